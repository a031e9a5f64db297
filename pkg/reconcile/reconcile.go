// Package reconcile brings metadata components of any type to an org: it reads what the org
// has, plans what differs, writes that in the order in which the components depend on one
// another, and reads it back.
//
//	state, err := reconcile.Read(ctx, client, wants)  // what the org has
//	plan := state.Plan(nil)                           // what differs; it never changes
//	run := plan.Start()
//	err = run.Apply(ctx, nil)                         // write, confirm
//	for _, outcome := range run.Outcomes() { … }      // what became of each
//
// A run against an org that is as wanted writes nothing; one that died is finished by the
// next; two at once end in the state of one. The platform replaces a whole record by what is
// sent, so a component that exists is written with all that it had, known here or not.
package reconcile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// Want is a component that an org is to have.
type Want struct {
	// Type is the component's type. It is never nil.
	Type *metadata.Type

	// Names are the usual names of the component. A new one gets the first that is free.
	// Components that exist are looked for under all of them, and under whatever the org
	// lists of the type.
	Names []string

	// Is reports whether a component of the org is the one that is meant; nil is for one
	// of the usual names. Of several the one with the most usual name counts.
	Is func(*metadata.Component) bool

	// Fields are what the component is to have. Fields that they say nothing of stay as
	// they are. Defaults are for a new component, below Fields.
	Fields, Defaults metadata.Fields

	// After are the components that must be there before. The platform refuses a component
	// without them, so where they are not there, it is not either.
	After []*Want

	// Made says that the platform may make the component by itself along with one of
	// After. It is looked for again before it is created, and what was written before it is
	// confirmed before it is changed.
	Made bool

	// Trusted spares reading back what was compared with the org right before it was
	// written: that the org accepts it is enough.
	Trusted bool

	// ReadOnly says that the component is only looked for.
	ReadOnly bool

	// Check, where it is not nil, says what is wrong with the component as the org shows it
	// after it was written.
	Check func(*metadata.Component) error
}

func (w *Want) is(c *metadata.Component) bool {
	if w.Is != nil {
		return w.Is(c)
	}
	return contains(w.Names, c.FullName)
}

// Action is what is done to a component.
type Action string

// The actions.
const (
	Create    Action = "create"
	Update    Action = "update"
	Unchanged Action = "unchanged"
)

// Step is what a plan is going to do to one component.
type Step struct {
	Want     *Want
	FullName string
	Action   Action
	Changes  []metadata.Change // the fields that differ
	Err      error             // why nothing can be done
}

// Plan is what separates an org from what is wanted of it. It does not change.
type Plan struct {
	Steps []Step // in the order of the wants that are to be written

	state *State
	wants []*Want
}

// Pending reports how many components the plan would write.
func (p *Plan) Pending() (n int) {
	for _, s := range p.Steps {
		if s.Action != Unchanged {
			n++
		}
	}
	return n
}

// Plan compares what the org was seen to have with what is wanted, as far as keep holds, nil
// being for all. Nothing is sent.
func (s *State) Plan(keep func(*Want) bool) *Plan {
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

// draft is a step with the component that it writes.
type draft struct {
	Step
	component *metadata.Component
}

// compare plans one component. Defaults are for creation only: of a component that exists,
// only the stated fields count.
func (s *State) compare(w *Want) draft {
	if existing := s.Find(w); existing != nil {
		component, changes := w.Type.Overlay(existing, w.Fields)
		d := draft{Step{Want: w, FullName: existing.FullName, Action: Unchanged, Changes: changes}, component}
		if len(changes) > 0 {
			d.Action = Update
		}
		return d
	}
	d := draft{Step: Step{Want: w, FullName: s.free(w), Action: Create}}
	if d.FullName == "" {
		d.FullName = w.Names[0]
		d.Err = errors.New("other components have all the names that it could have")
		return d
	}
	d.component = metadata.New(w.Type.Name, d.FullName, w.Fields.Over(w.Defaults))
	d.Changes = w.Type.Changes(d.component)
	return d
}

// MismatchError says that the org accepted a component and yet shows other
// values than those that were sent.
type MismatchError struct {
	Changes []metadata.Change // empty where the component is not there at all
}

func (e *MismatchError) Error() string {
	if len(e.Changes) == 0 {
		return "the org accepted it, and does not have it"
	}
	var fields []string
	for _, c := range e.Changes {
		fields = append(fields, fmt.Sprintf("%s is %q instead of %q", c.Field, c.From, c.To))
	}
	return "the org accepted it, but " + strings.Join(fields, ", ")
}
