package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// ComponentFailure is why a component is not as wanted.
type ComponentFailure struct {
	App      string
	Type     string
	FullName string
	Err      error // a *mdapi.ComponentError where the org refused it, else a *MismatchError
}

func (e *ComponentFailure) Error() string {
	message := e.Err.Error()
	if refused := new(mdapi.ComponentError); errors.As(e.Err, &refused) {
		message = "the org refused it: " + strings.TrimPrefix(message, fmt.Sprintf("%s %s: ", refused.Type, refused.FullName))
	}
	return fmt.Sprintf("%s: %s %s: %s", e.App, e.Type, e.FullName, message)
}

// Unwrap returns the cause.
func (e *ComponentFailure) Unwrap() error { return e.Err }

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

// maxRounds bounds how often Apply writes and reads back. The second round is for
// components that turned out to exist under another name.
const maxRounds = 3

// Apply writes what the plan says, type by type in the order of Types, many apps
// in one call, and reads it back. The plan's components say afterwards what
// became of each.
//
// An app whose component the org refuses is left at that; the others go on. The
// error joins a *ComponentFailure for each such component, or is what ended the
// run as a whole, such as a *mdapi.Fault.
func (o *Org) Apply(ctx context.Context, p *Plan) error {
	for range maxRounds {
		readBack := make(map[string][]string)
		for _, typ := range Types {
			if err := o.write(ctx, p.pending(typ), readBack); err != nil {
				return err
			}
		}
		if len(readBack) == 0 {
			break
		}
		group, groupCtx := errgroup.WithContext(ctx)
		for typ, names := range readBack {
			group.Go(func() error { return p.state.load(groupCtx, o.Metadata, typ, names) })
		}
		if err := group.Wait(); err != nil {
			return fmt.Errorf("all is written, but could not be read back: %w", err)
		}
		for _, app := range p.Apps {
			p.confirm(app)
		}
	}
	var failures []error
	for _, app := range p.Apps {
		for _, c := range app.Components {
			if c.Err != nil {
				failures = append(failures, &ComponentFailure{App: app.App.Name, Type: c.Type, FullName: c.FullName, Err: c.Err})
			}
		}
	}
	return errors.Join(failures...)
}

// write sends components of one type and notes which names are to be read back.
func (o *Org) write(ctx context.Context, components []*ComponentPlan, readBack map[string][]string) error {
	var send []*metadata.Component
	for _, c := range components {
		send = append(send, c.component)
	}
	results, err := o.Metadata.Upsert(ctx, send)
	for i, r := range results {
		c := components[i]
		if r.Success {
			c.Done = true
			readBack[c.Type] = append(readBack[c.Type], c.FullName)
			continue
		}
		c.Err = r.Errors[0]
		if c.Action == Create && r.Errors[0].IsDuplicate() {
			// The app has the component under another name. The org makes some by
			// itself, and another run may have been faster.
			names := usualNames(c.Type, c.component.App())
			if name := r.Errors[0].DuplicateOf(); name != "" {
				names = append(names, name)
			}
			readBack[c.Type] = append(readBack[c.Type], names...)
		}
	}
	if fault := new(mdapi.Fault); err != nil && !errors.As(err, &fault) {
		for _, c := range components[len(results):min(len(results)+mdapi.MaxComponents, len(components))] {
			c.Uncertain = true
		}
	}
	return err
}

// confirm compares an app again with what was read back. A component that was
// refused as a duplicate and found under its other name is planned anew.
func (p *Plan) confirm(app *AppPlan) {
	for i, c := range app.Components {
		now := p.compare(app.App, c.Type)
		switch refused := new(mdapi.ComponentError); {
		case errors.As(c.Err, &refused) && c.Action == Create && refused.IsDuplicate():
			if now.Action != Create {
				app.Components[i] = now
			}
		case c.Done && now.Action == Create:
			c.Err = &MismatchError{}
		case c.Done:
			var differing []metadata.Change
			for _, change := range now.Changes {
				switch {
				case change.Forced:
					app.warn("the org keeps %s of %s at %s whatever is sent; state that in plugins.eca to have it left unchanged", change.Field, c.FullName, change.From)
				case !change.Withheld:
					differing = append(differing, change)
				}
			}
			c.Err = nil
			if len(differing) > 0 {
				c.Err = &MismatchError{Changes: differing}
			}
		}
	}
}

// warn adds a warning, once.
func (p *AppPlan) warn(format string, args ...any) {
	if warning := fmt.Sprintf(format, args...); !slices.Contains(p.Warnings, warning) {
		p.Warnings = append(p.Warnings, warning)
	}
}
