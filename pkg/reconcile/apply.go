package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Outcome is the result for one component. Action and Changes are those that were carried out.
// They differ from the plan's if the org changed in between.
type Outcome struct {
	Step

	// Applied reports that the component was written, and that the org accepted it and shows it as
	// sent.
	Applied bool

	// Uncertain reports that the component was sent without an answer, so the org may or may
	// not have acted. The next run finds out.
	Uncertain bool

	// Forced are fields that the org keeps as they are, whatever is sent. Withheld are fields
	// that the org does not show, so every run sends them again.
	Forced, Withheld []metadata.Change
}

// OK reports whether the org has the component as wanted.
func (o Outcome) OK() bool { return o.Err == nil && (o.Applied || o.Action == Unchanged) }

// Run carries out a plan.
type Run struct {
	state  *State
	wants  []*metadata.Want
	work   []*work // in the order of the plan's steps
	byWant map[*metadata.Want]*work
	levels int // number of levels
}

// work is one component of a run.
type work struct {
	Outcome
	component *metadata.Component // the component to write
	stated    metadata.Fields     // the fields that it must have
	level     int                 // number of components that must exist before it, one after another
	fresh     bool                // compared with a read just before the write
	due       bool                // the current Apply may write it
}

// pending reports whether the component is to be written.
func (w *work) pending() bool { return w.due && w.Err == nil && w.Action != Unchanged && !w.Applied }

// Start returns a run of the plan that has not written anything yet.
func (p *Plan) Start() *Run {
	r := &Run{state: p.state, wants: p.wants, byWant: make(map[*metadata.Want]*work)}
	levels := make(levels)
	for _, step := range p.Steps {
		d := p.state.compare(step.Want)
		w := &work{Outcome: Outcome{Step: d.Step}, component: d.component, stated: d.stated, level: levels.of(step.Want)}
		r.work = append(r.work, w)
		r.byWant[step.Want] = w
		r.levels = max(r.levels, w.level+1)
	}
	return r
}

// levels are the numbers of components that must exist before wants, one after another.
type levels map[*metadata.Want]int

func (l levels) of(want *metadata.Want) int {
	level, known := l[want]
	if !known {
		for _, before := range want.After {
			level = max(level, l.of(before)+1)
		}
		l[want] = level
	}
	return level
}

// Outcomes returns the result so far for each component, in the order of the plan's steps.
func (r *Run) Outcomes() []Outcome {
	all := make([]Outcome, len(r.work))
	for i, w := range r.work {
		all[i] = w.Outcome
	}
	return all
}

// Of returns the result so far for one component.
func (r *Run) Of(want *metadata.Want) Outcome { return r.byWant[want].Outcome }

// Find returns the org's component for a want, as last read, or nil.
func (r *Run) Find(want *metadata.Want) *metadata.Component { return r.state.Find(want) }

// Apply writes the components that differ and for which due returns true; nil means all. It
// follows the order of After, and sends components of one type and level together, many per
// call. Then it reads back what it wrote.
//
// If the org refuses a component, the components after it stop there; others continue, and the
// reason is in the Outcome. That holds for an element that the org does not have, too: the call is refused as a
// whole then, so its components are sent again one by one. The error is what ended the run as a whole.
//
// After a transient failure, Apply reads what the org has before it sends anything again,
// because a write with a lost answer may have succeeded.
func (r *Run) Apply(ctx context.Context, due func(*metadata.Want) bool) error {
	for _, w := range r.work {
		w.due = due == nil || due(w.Want)
	}
	first := true
	err := r.state.client.Conn.Retry.Do(ctx, func() error {
		if !first {
			if err := r.refresh(ctx); err != nil {
				return err
			}
		}
		first = false
		return r.once(ctx)
	})
	if _, refused := errors.AsType[*mdapi.ComponentError](err); refused {
		return nil // reported in the component's Outcome
	}
	return err
}

// refresh reads all components that were to be written, and plans the rest of the work again.
func (r *Run) refresh(ctx context.Context) error {
	read := make(names)
	for _, w := range r.work {
		if w.due && w.Action != Unchanged {
			if salesforce.IsTransient(w.Err) {
				w.Err = nil
			}
			read.add(w.Want.Type.Name, append(slices.Clone(w.Want.Names), w.FullName)...)
		}
	}
	return r.confirm(ctx, read)
}

// once writes the pending components.
func (r *Run) once(ctx context.Context) error {
	// One turn is usually enough. Further turns are for components that exist under another
	// name, which happens at most once per component.
	for turn := 0; turn <= len(r.work) && len(r.unfinished()) > 0; turn++ {
		if err := r.turn(ctx); err != nil {
			return err
		}
	}
	for _, w := range r.work {
		if w.due && salesforce.IsTransient(w.Err) {
			return w.Err
		}
	}
	for _, w := range r.unfinished() {
		w.Err = errors.New("the org's answers contradict each other; run it again when nobody else changes the org")
	}
	return nil
}

// turn writes the pending components, level by level, and reads them back.
func (r *Run) turn(ctx context.Context) error {
	written := make(names)
	for level := range r.levels {
		// The platform may have created components by itself, or changed them, after the writes so far.
		// What was read since then needs no further read.
		affected := func(w *work) bool { return w.Want.AutoCreated && (w.Action == Create && !w.fresh || len(written) > 0) }
		if slices.ContainsFunc(r.ready(level), affected) {
			if err := r.confirm(ctx, r.withAutoCreated(written)); err != nil {
				return err
			}
			written = make(names)
		}
		if err := r.write(ctx, r.ready(level), written); err != nil {
			return err
		}
	}
	if len(written) > 0 {
		written = r.withAutoCreated(written)
	}
	return r.confirm(ctx, written)
}

// withAutoCreated adds the components that the platform may have created by itself in the meantime.
func (r *Run) withAutoCreated(read names) names {
	for _, want := range r.wants {
		if want.AutoCreated && r.state.Find(want) == nil && !r.stopped(want) {
			read.add(want.Type.Name, want.Names...)
		}
	}
	return read
}

// unfinished returns the pending components that can still be written.
func (r *Run) unfinished() (all []*work) {
	for _, w := range r.work {
		if w.pending() && !r.stopped(w.Want) {
			all = append(all, w)
		}
	}
	return all
}

// ready returns the pending components of a level for which the org has all that they depend on.
func (r *Run) ready(level int) (all []*work) {
	for _, w := range r.work {
		if w.pending() && w.level == level && r.hasAll(w.Want.After) {
			all = append(all, w)
		}
	}
	return all
}

// hasAll reports whether the org has all wants.
func (r *Run) hasAll(wants []*metadata.Want) bool {
	return !slices.ContainsFunc(wants, func(want *metadata.Want) bool {
		if w := r.byWant[want]; w != nil {
			return w.Err != nil || w.Action != Unchanged && !w.Applied
		}
		return r.state.Find(want) == nil
	})
}

// stopped reports whether a component that a want depends on has failed or is not due.
func (r *Run) stopped(want *metadata.Want) bool {
	return slices.ContainsFunc(want.After, func(before *metadata.Want) bool {
		w := r.byWant[before]
		return w != nil && (w.Err != nil || !w.due && w.Action != Unchanged && !w.Applied) || r.stopped(before)
	})
}

// write sends components, type by type, and adds to read the names to read back.
func (r *Run) write(ctx context.Context, all []*work, read names) error {
	for len(all) > 0 {
		typ := all[0].Want.Type
		var same, rest []*work
		for _, w := range all {
			if w.Want.Type == typ {
				same = append(same, w)
			} else {
				rest = append(rest, w)
			}
		}
		if err := r.writeType(ctx, typ.Name, same, read); err != nil {
			return err
		}
		all = rest
	}
	return nil
}

func (r *Run) writeType(ctx context.Context, typ string, all []*work, read names) error {
	var send []*metadata.Component
	for _, w := range all {
		send = append(send, w.sealed())
	}
	results, err := r.state.client.Upsert(ctx, send)
	var again []*work // without their sealed fields
	for i, result := range results {
		w := all[i]
		switch w.Applied = result.Success; {
		case !result.Success && w.unseal(refusal(result.Errors)):
			again = append(again, w)
		case !result.Success:
			w.Err = refusal(result.Errors)
			r.addDuplicate(w, read)
		case w.fresh && w.Want.Trusted:
			r.state.accept(w.component)
		default:
			read.add(typ, w.FullName)
		}
	}
	if salesforce.IsUncertain(err) {
		for _, w := range all[len(results):min(len(results)+mdapi.MaxComponents, len(all))] {
			w.Uncertain = true
		}
	}
	if _, invalid := mdapi.InvalidOf(err); invalid {
		again = append(again, all[len(results):]...)
		if refused := all[len(results):min(len(results)+mdapi.MaxComponents, len(all))]; len(refused) == 1 {
			refused[0].Err, again = err, slices.DeleteFunc(again, func(w *work) bool { return w == refused[0] })
		} else {
			return r.writeEach(ctx, typ, again, read)
		}
		err = nil
	}
	if err == nil && len(again) > 0 {
		return r.writeType(ctx, typ, again, read)
	}
	return err
}

// writeEach sends each component by itself, so that one which makes a call invalid does not stop the others.
func (r *Run) writeEach(ctx context.Context, typ string, all []*work, read names) error {
	for i := range all {
		if err := r.writeType(ctx, typ, all[i:i+1], read); err != nil {
			return err
		}
	}
	return nil
}

// sealed returns the component as it is sent.
func (w *work) sealed() *metadata.Component {
	if s := w.Want.Sealed; s != nil && s.Refused == nil && w.Action == Create {
		return w.Want.Type.Seal(w.component, s.Fields())
	}
	return w.component
}

// unseal reports whether a component that was refused is sent again without its sealed fields.
func (w *work) unseal(refused error) bool {
	s := w.Want.Sealed
	if s == nil || s.Refused != nil || w.Action != Create || !s.Without(refused) {
		return false
	}
	s.Refused = refused
	return true
}

// addDuplicate adds the names to read if the component exists under another name: the org creates some
// by itself, or another run was faster. Then the components it depends on, and those that depend on
// it, may exist as well.
func (r *Run) addDuplicate(w *work, read names) {
	duplicate := w.duplicate()
	if duplicate == nil {
		return
	}
	for _, other := range r.related(w.Want) {
		read.add(other.Type.Name, other.Names...)
	}
	if name := duplicate.DuplicateOf(); name != "" {
		read.add(w.Want.Type.Name, name)
	}
}

// related returns a want with all wants that it depends on or that depend on it.
func (r *Run) related(want *metadata.Want) []*metadata.Want {
	before := func(a, b *metadata.Want) bool {
		var reach func(w *metadata.Want) bool
		reach = func(w *metadata.Want) bool { return w == a || slices.ContainsFunc(w.After, reach) }
		return reach(b)
	}
	var all []*metadata.Want
	for _, other := range r.wants {
		if before(other, want) || before(want, other) {
			all = append(all, other)
		}
	}
	return all
}

// refusal joins all reasons for which the org refused a component.
func refusal(reasons []*mdapi.ComponentError) error {
	first := *reasons[0]
	for _, more := range reasons[1:] {
		first.Message += "; " + more.Message
	}
	return &first
}

// duplicate returns the error of a component that the org refused to create because it exists
// under another name, or nil.
func (w *work) duplicate() *mdapi.ComponentError {
	if refused, ok := errors.AsType[*mdapi.ComponentError](w.Err); ok && w.Action == Create && refused.IsDuplicate() {
		return refused
	}
	return nil
}

// confirm reads components and compares again. Written components must be as sent; the others
// are planned again.
func (r *Run) confirm(ctx context.Context, read names) error {
	if len(read) == 0 {
		return nil
	}
	if err := r.state.load(ctx, read); err != nil {
		return fmt.Errorf("reading back the written components: %w", err)
	}
	for _, w := range r.work {
		switch {
		case w.Applied:
			w.Err = r.mismatch(w)
		case w.duplicate() != nil:
			if now := r.state.compare(w.Want); now.Action != Create {
				w.replan(now, false)
			}
		case w.Err == nil:
			now := r.state.compare(w.Want)
			kept := func(change metadata.Change) bool { return !change.Forced && !change.Withheld }
			if w.Uncertain && now.Action != Create && !slices.ContainsFunc(now.Changes, kept) {
				w.Applied, w.Uncertain = true, false // the org had acted, only its answer was lost
				w.Err = r.mismatch(w)
				continue
			}
			w.replan(now, contains(read[w.Want.Type.Name], now.FullName))
		}
	}
	return nil
}

func (w *work) replan(now draft, fresh bool) {
	w.Outcome = Outcome{Step: now.Step}
	w.component, w.stated, w.fresh = now.component, now.stated, fresh
}

// mismatch returns an error if the org shows a written component other than as sent.
func (r *Run) mismatch(w *work) error {
	existing := r.state.Find(w.Want)
	if existing == nil {
		return &MismatchError{}
	}
	w.Forced, w.Withheld = nil, nil
	var differing []metadata.Change
	_, changes := w.Want.Type.Overlay(existing, w.stated)
	for _, change := range changes {
		switch {
		case change.Forced:
			w.Forced = append(w.Forced, change)
		case change.Withheld:
			w.Withheld = append(w.Withheld, change)
		default:
			differing = append(differing, change)
		}
	}
	if len(differing) > 0 {
		return &MismatchError{Changes: differing}
	}
	if w.Want.Check != nil {
		return w.Want.Check(existing)
	}
	return nil
}
