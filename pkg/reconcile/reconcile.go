// Package reconcile brings metadata components of any type to an org. It reads what the org
// has, plans the differences, writes them in dependency order, and reads them back.
//
//	state, err := reconcile.Read(ctx, client, wants)  // what the org has
//	plan := state.Plan(nil)                           // the differences; immutable
//	run := plan.Start()
//	err = run.Apply(ctx, nil)                         // write, confirm
//	for _, outcome := range run.Outcomes() { … }      // result of each component
//
// A run against an up-to-date org writes nothing. The next run finishes an interrupted one. Two
// runs at once end in the state of one of them. The platform replaces whole records, so an
// existing component is sent with all its fields, including unknown ones.
package reconcile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// is reports whether a component of the org is the wanted one.
func is(w *metadata.Want, c *metadata.Component) bool {
	if w.Is != nil {
		return w.Is(c)
	}
	return contains(w.Names, c.FullName)
}

// Action is the operation on a component.
type Action string

// The actions.
const (
	Create    Action = "create"
	Update    Action = "update"
	Unchanged Action = "unchanged"
)

// Step is the planned operation on one component.
type Step struct {
	Want     *metadata.Want
	FullName string
	Action   Action
	Changes  []metadata.Change // the fields that differ
	Err      error             // why the component cannot be written
}

// Plan is the difference between an org and the wants. It is immutable.
type Plan struct {
	Steps []Step // for the wants that are not ReadOnly, in their order

	state *State
	wants []*metadata.Want
}

// Pending returns the number of components that the plan would write.
func (p *Plan) Pending() (n int) {
	for _, s := range p.Steps {
		if s.Action != Unchanged {
			n++
		}
	}
	return n
}

// Plan compares the org's state with the wants for which keep returns true; nil means all. It
// sends nothing.
func (s *State) Plan(keep func(*metadata.Want) bool) *Plan {
	p := &Plan{state: s}
	for _, w := range s.wants {
		if keep != nil && !keep(w) {
			continue
		}
		p.wants = append(p.wants, w)
		if !w.ReadOnly {
			p.Steps = append(p.Steps, s.compare(w).Step)
		}
	}
	return p
}

// Compare plans one component that was read, also a ReadOnly one.
func (s *State) Compare(w *metadata.Want) Step { return s.compare(w).Step }

// Result returns a component as it is once its want is fulfilled. It sends nothing.
func (s *State) Result(w *metadata.Want) *metadata.Component { return s.compare(w).component }

// draft is a step with the component to write and the fields that it must have.
type draft struct {
	Step
	component *metadata.Component
	stated    metadata.Fields
}

// compare plans one component. Defaults apply only to a new component; for an existing one only
// the stated fields and those of its source count.
func (s *State) compare(w *metadata.Want) draft {
	if existing := s.Find(w); existing != nil {
		stated := w.Existing(existing)
		component, changes := w.Type.Overlay(existing, stated)
		d := draft{Step{Want: w, FullName: existing.FullName, Action: Unchanged, Changes: changes}, component, stated}
		if len(changes) > 0 {
			d.Action = Update
			if w.Guard != nil {
				d.Err = w.Guard(changes)
			}
		}
		return d
	}
	d := draft{Step: Step{Want: w, FullName: s.free(w), Action: Create}}
	if d.FullName == "" {
		d.FullName = w.Names[0]
		d.Err = errors.New("all its possible names are taken by other components")
		return d
	}
	d.stated = w.Fields.Over(w.Source).Over(w.Defaults)
	d.component = metadata.New(w.Type.Name, d.FullName, d.stated)
	d.Changes = w.Type.Changes(d.component)
	return d
}

// MismatchError reports that the org accepted a component but shows other values than those
// sent.
type MismatchError struct {
	Changes []metadata.Change // empty if the component does not exist
}

func (e *MismatchError) Error() string {
	if len(e.Changes) == 0 {
		return "the org accepted it, but does not have it"
	}
	var fields []string
	for _, c := range e.Changes {
		fields = append(fields, fmt.Sprintf("%s is %q instead of %q", c.Field, c.From, c.To))
	}
	return "the org accepted it, but " + strings.Join(fields, ", ")
}
