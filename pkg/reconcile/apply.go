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

// Outcome is what became of one component. Its action and changes are those that were
// carried out: where the org changed meanwhile, they are other ones than in the plan.
type Outcome struct {
	Step

	// Done says that the component was written, and the org accepted it and shows it so.
	Done bool

	// Uncertain says that the component was sent and no answer came, so that nobody knows
	// whether the org acted. The next run finds out.
	Uncertain bool

	// Forced are fields that the org keeps as they are whatever is sent; Withheld are
	// those that it does not show, so that they are sent again at every run.
	Forced, Withheld []metadata.Change
}

// OK reports whether the org has the component as wanted.
func (o Outcome) OK() bool { return o.Err == nil && (o.Done || o.Action == Unchanged) }

// Run is the carrying out of a plan.
type Run struct {
	state *State
	wants []*Want
	work  []*work // in the order of the plan's steps
	byOf  map[*Want]*work
	level map[*Want]int
}

// work is one component of a run.
type work struct {
	Outcome
	component *metadata.Component // to be written
	fresh     bool                // compared with what was read right before
	due       bool                // subject to the Apply that is under way
}

// Start returns a run of the plan, which has done nothing yet.
func (p *Plan) Start() *Run {
	r := &Run{state: p.state, wants: p.wants, byOf: make(map[*Want]*work), level: make(map[*Want]int)}
	for _, step := range p.Steps {
		d := p.state.compare(step.Want)
		w := &work{Outcome: Outcome{Step: d.Step}, component: d.component}
		r.work = append(r.work, w)
		r.byOf[step.Want] = w
	}
	return r
}

// Outcomes returns what became of each component so far, in the order of the plan's steps.
func (r *Run) Outcomes() []Outcome {
	all := make([]Outcome, len(r.work))
	for i, w := range r.work {
		all[i] = w.Outcome
	}
	return all
}

// Of returns what became of one component so far.
func (r *Run) Of(want *Want) Outcome { return r.byOf[want].Outcome }

// Find returns the component of the org that a want is about as it was seen last, or nil.
func (r *Run) Find(want *Want) *metadata.Component { return r.state.Find(want) }

// Apply writes the components that differ and for which due holds, nil being for all: in the
// order of After, many components in one call, those of one type and level together. It
// compares with what the org shows afterwards.
//
// If the org refuses a component, what comes after it stops there; others continue, and the
// reason is in the Outcome. The error is what ended the run as a whole.
//
// After a transient failure, the org is asked what it has before anything is sent again: a
// write whose answer was lost may have been carried out.
func (r *Run) Apply(ctx context.Context, due func(*Want) bool) error {
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
		return nil // the component has it
	}
	return err
}

// refresh reads what the org has of everything that was to be written, and plans anew what
// is still to be done.
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

// once writes what is pending, level by level.
func (r *Run) once(ctx context.Context) error {
	// One turn does it. Each further one is for components that turned out to exist under
	// another name, which each component does once at most.
	for turn := 0; turn <= len(r.work) && r.pending(-1) != nil; turn++ {
		read := make(names)
		for level := 0; level <= r.levels(); level++ {
			if slices.ContainsFunc(r.pending(level), func(w *work) bool { return w.Want.Made && (w.Action == Create || len(read) > 0) }) {
				if err := r.confirm(ctx, r.made(read)); err != nil {
					return err
				}
				read = make(names)
			}
			if err := r.write(ctx, r.pending(level), read); err != nil {
				return err
			}
		}
		if len(read) > 0 {
			read = r.made(read)
		}
		if err := r.confirm(ctx, read); err != nil {
			return err
		}
	}
	for _, w := range r.work {
		if w.due && salesforce.IsTransient(w.Err) {
			return w.Err
		}
	}
	for _, w := range r.pending(-1) {
		w.Err = errors.New("the org keeps showing something else than it says; run it again when nobody else changes it")
	}
	return nil
}

// made adds to what is read the components that the platform may have made by itself
// meanwhile.
func (r *Run) made(read names) names {
	for _, want := range r.wants {
		if want.Made && r.state.Find(want) == nil && !r.stopped(want) {
			read.add(want.Type.Name, want.Names...)
		}
	}
	return read
}

// levels returns the highest level.
func (r *Run) levels() (highest int) {
	for _, w := range r.work {
		highest = max(highest, r.levelOf(w.Want))
	}
	return highest
}

// levelOf returns how many components have to be there one after another before a want.
func (r *Run) levelOf(want *Want) int {
	level, known := r.level[want]
	if !known {
		for _, before := range want.After {
			level = max(level, r.levelOf(before)+1)
		}
		r.level[want] = level
	}
	return level
}

// ready reports whether the org has what comes before a want.
func (r *Run) ready(want *Want) bool {
	return !slices.ContainsFunc(want.After, func(before *Want) bool {
		if w := r.byOf[before]; w != nil {
			return w.Err != nil || w.Action != Unchanged && !w.Done
		}
		return r.state.Find(before) == nil
	})
}

// pending returns the components of a level that are to be written next, of -1 those of all
// levels that are not as wanted and could be.
func (r *Run) pending(level int) (all []*work) {
	for _, w := range r.work {
		if w.due && w.Err == nil && w.Action != Unchanged && !w.Done && (level < 0 && !r.stopped(w.Want) || level == r.levelOf(w.Want) && r.ready(w.Want)) {
			all = append(all, w)
		}
	}
	return all
}

// stopped reports whether something that comes before a want has failed, or is not due.
func (r *Run) stopped(want *Want) bool {
	return slices.ContainsFunc(want.After, func(before *Want) bool {
		w := r.byOf[before]
		return w != nil && (w.Err != nil || !w.due && w.Action != Unchanged && !w.Done) || r.stopped(before)
	})
}

// write sends components, type by type, and notes which names are to be read back.
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
		send = append(send, w.component)
	}
	results, err := r.state.client.Upsert(ctx, send)
	for i, result := range results {
		w := all[i]
		switch {
		case result.Success && w.fresh && w.Want.Trusted:
			w.Done = true
			r.state.accept(w.component)
		case result.Success:
			w.Done = true
			read.add(typ, w.FullName)
		default:
			w.Err = refusal(result.Errors)
			if w.duplicate() == nil {
				continue
			}
			// The component exists under another name: the org makes some by itself, and
			// another run may have been faster. Then what comes before and after it may
			// exist as well.
			for _, other := range r.related(w.Want) {
				read.add(other.Type.Name, other.Names...)
			}
			if name := w.duplicate().DuplicateOf(); name != "" {
				read.add(typ, name)
			}
		}
	}
	if salesforce.IsUncertain(err) {
		for _, w := range all[len(results):min(len(results)+mdapi.MaxComponents, len(all))] {
			w.Uncertain = true
		}
	}
	return err
}

// related returns the wants that come before or after one, it among them.
func (r *Run) related(want *Want) []*Want {
	before := func(a, b *Want) bool {
		var reach func(w *Want) bool
		reach = func(w *Want) bool { return w == a || slices.ContainsFunc(w.After, reach) }
		return reach(b)
	}
	var all []*Want
	for _, other := range r.wants {
		if before(other, want) || before(want, other) {
			all = append(all, other)
		}
	}
	return all
}

// refusal makes one error of all reasons for which the org refused a component.
func refusal(reasons []*mdapi.ComponentError) error {
	first := *reasons[0]
	for _, more := range reasons[1:] {
		first.Message += "; " + more.Message
	}
	return &first
}

// duplicate returns why the org refused to make the component, where the reason is that it
// has it already, or nil.
func (w *work) duplicate() *mdapi.ComponentError {
	if refused, ok := errors.AsType[*mdapi.ComponentError](w.Err); ok && w.Action == Create && refused.IsDuplicate() {
		return refused
	}
	return nil
}

// confirm reads components and compares again: what was written has to be as it was sent,
// and what was not written yet is planned anew.
func (r *Run) confirm(ctx context.Context, read names) error {
	if len(read) == 0 {
		return nil
	}
	if err := r.state.load(ctx, read); err != nil {
		return fmt.Errorf("reading back what was written: %w", err)
	}
	for _, w := range r.work {
		switch {
		case w.Done:
			w.Err = r.mismatch(w)
		case w.duplicate() != nil:
			if now := r.state.compare(w.Want); now.Action != Create {
				w.replan(now, false)
			}
		case w.Err == nil:
			now := r.state.compare(w.Want)
			kept := func(change metadata.Change) bool { return !change.Forced && !change.Withheld }
			if w.Uncertain && now.Action != Create && !slices.ContainsFunc(now.Changes, kept) {
				w.Done, w.Uncertain = true, false // the org had acted, and the answer was lost
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
	w.component, w.fresh = now.component, fresh
}

// mismatch compares a component that was written with what the org shows.
func (r *Run) mismatch(w *work) error {
	existing := r.state.Find(w.Want)
	if existing == nil {
		return &MismatchError{}
	}
	stated := w.Want.Fields
	if w.Action == Create {
		stated = stated.Over(w.Want.Defaults)
	}
	w.Forced, w.Withheld = nil, nil
	var differing []metadata.Change
	_, changes := w.Want.Type.Overlay(existing, stated)
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
