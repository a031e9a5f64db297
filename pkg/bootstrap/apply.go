package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// ComponentFailure is why a component is not as wanted.
type ComponentFailure struct {
	App      string
	Type     string
	FullName string
	Err      error // a *mdapi.ComponentError where the org refused it, a *MismatchError where it keeps something else
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

// readBack lists what is to be read after a write: names by type.
type readBack map[string][]string

func (r readBack) add(typ string, names ...string) { r[typ] = append(r[typ], names...) }

// Apply writes what the plan says, type by type in the order of Types, many apps
// in one call, and compares with what the org shows afterwards. The plan's
// components say then what became of each.
//
// What is written is read back, together with the policies, which many orgs make
// by themselves along with the consumer. Plugin policies that are written on the
// strength of that reading are not read once more: the org reports them as
// accepted.
//
// Permission sets are granted when an app has its consumer, and before any OAuth
// policies are written, so that policies that let only pre-authorised users in lock
// nobody out.
//
// If the org refuses a component, its app stops there; other apps continue. The error joins a *ComponentFailure for each such component; what ended the run as
// a whole, such as a *salesforce.Error, comes first in it.
func (o *Org) Apply(ctx context.Context, p *Plan) error {
	for _, app := range p.Apps {
		app.ungranted = true
	}
	err := o.apply(ctx, p)
	if err == nil {
		err = o.grant(ctx, p)
	}
	for _, app := range p.Apps {
		app.ungranted = false
	}
	if err == nil {
		err = o.apply(ctx, p)
	}
	return p.stopped(err)
}

// apply brings what is pending to the org. After a transient failure, the org is asked
// what it has before anything is sent again: a write whose answer was lost may have been
// carried out.
func (o *Org) apply(ctx context.Context, p *Plan) error {
	first := true
	err := o.Conn.Retry.Do(ctx, func() error {
		if !first {
			if err := o.refresh(ctx, p); err != nil {
				return err
			}
		}
		first = false
		return o.applyOnce(ctx, p)
	})
	if _, refused := errors.AsType[*mdapi.ComponentError](err); refused {
		return nil // the component has it
	}
	return err
}

// refresh reads what the org has of everything that the plan was to write, and
// plans anew what is still to be done.
func (o *Org) refresh(ctx context.Context, p *Plan) error {
	read := make(readBack)
	for _, app := range p.Apps {
		for _, c := range app.Components {
			if c.Action == Unchanged {
				continue
			}
			if salesforce.IsTransient(c.Err) {
				c.Err = nil
			}
			read.add(c.Type, append(app.App.names(c.Type), c.FullName)...)
		}
	}
	return o.confirm(ctx, p, read)
}

func (o *Org) applyOnce(ctx context.Context, p *Plan) error {
	// One round does it. More are for components that turn out to exist under
	// another name, one of each type at most.
	for range len(Types) + 2 {
		if len(p.pending("")) == 0 {
			break
		}
		read := make(readBack)
		for _, typ := range Types[:2] {
			if err := o.write(ctx, p, typ, read); err != nil {
				return err
			}
		}
		for _, c := range p.pending(eca.PluginPolicies) {
			if c.Action == Create {
				read.add(c.Type, c.app.names(c.Type)...)
			}
		}
		for _, app := range p.Apps {
			made := app.Components[1].Action == Create // the consumer, and with it perhaps the policies
			if app.App.looked && p.state.of(eca.OAuthPolicies, app.App) == nil && (made || p.state.unread(eca.OAuthPolicies, app.App)) {
				read.add(eca.OAuthPolicies, app.App.names(eca.OAuthPolicies)...)
			}
		}
		if err := o.confirm(ctx, p, read); err != nil {
			return err
		}
		for _, typ := range []string{eca.PluginPolicies, eca.OAuthPolicies} {
			read = make(readBack)
			if err := o.write(ctx, p, typ, read); err != nil {
				return err
			}
			if err := o.confirm(ctx, p, read); err != nil {
				return err
			}
		}
	}
	for _, app := range p.Apps {
		for _, c := range app.Components {
			if salesforce.IsTransient(c.Err) {
				return c.Err
			}
		}
	}
	for _, c := range p.pending("") {
		c.Err = errors.New("the org keeps showing something else than it says; run it again when nobody else changes the app")
	}
	return nil
}

// stopped ends a run: it completes the warnings and joins what ended it with the
// failures of single components.
func (p *Plan) stopped(err error) error {
	failures := []error{err}
	for _, app := range p.Apps {
		app.warn(p.warnings(app)...)
		for _, c := range app.Components {
			if c.Err != nil {
				failures = append(failures, &ComponentFailure{App: app.App.Name, Type: c.Type, FullName: c.FullName, Err: c.Err})
			}
		}
		for _, g := range app.Grants {
			if g.Err != nil {
				failures = append(failures, &ComponentFailure{App: app.App.Name, Type: g.object(), FullName: g.PermissionSet, Err: g.Err})
			}
		}
	}
	return errors.Join(failures...)
}

// write sends the pending components of one type and notes which names are to be
// read back.
func (o *Org) write(ctx context.Context, p *Plan, typ string, read readBack) error {
	components := p.pending(typ)
	var send []*metadata.Component
	for _, c := range components {
		send = append(send, c.component)
	}
	results, err := o.metadata().Upsert(ctx, send)
	for i, r := range results {
		c := components[i]
		switch {
		case r.Success && c.fresh && typ == eca.PluginPolicies:
			c.Done = true
			p.state.put(c.component)
		case r.Success:
			c.Done = true
			read.add(typ, c.FullName)
		default:
			c.Err = refusal(r.Errors)
			if c.duplicate() == nil {
				continue
			}
			// The app has the component under another name: the org makes some by
			// itself, and another run may have been faster. Then it is no new app,
			// and its other components may exist as well.
			for _, t := range c.app.types() {
				read.add(t, c.app.names(t)...)
			}
			if name := c.duplicate().DuplicateOf(); name != "" {
				read.add(typ, name)
			}
		}
	}
	if salesforce.IsUncertain(err) {
		for _, c := range components[len(results):min(len(results)+mdapi.MaxComponents, len(components))] {
			c.Uncertain = true
		}
	}
	return err
}

// refusal makes one error of all reasons for which the org refused a component.
func refusal(reasons []*mdapi.ComponentError) error {
	first := *reasons[0]
	for _, more := range reasons[1:] {
		first.Message += "; " + more.Message
	}
	return &first
}

// duplicate returns why the org refused to make the component, where the reason
// is that the app has one already, or nil.
func (c *ComponentPlan) duplicate() *mdapi.ComponentError {
	refused := new(mdapi.ComponentError)
	if c.Action == Create && errors.As(c.Err, &refused) && refused.IsDuplicate() {
		return refused
	}
	return nil
}

// confirm reads components and compares the apps again: what was written has to
// be as it was sent, and what was not written yet is planned anew.
func (o *Org) confirm(ctx context.Context, p *Plan, read readBack) error {
	if len(read) == 0 {
		return nil
	}
	if err := p.state.loadAll(ctx, o, read); err != nil {
		return fmt.Errorf("reading back what was written: %w", err)
	}
	for _, app := range p.Apps {
		for i, c := range app.Components {
			switch {
			case c.Done:
				c.Err = p.mismatch(app, c)
			case c.duplicate() != nil:
				if now := p.compare(app.App, c.Type); now.Action != Create {
					app.Components[i] = now
				}
			case c.Err == nil:
				now := p.compare(app.App, c.Type)
				kept := func(change metadata.Change) bool { return !change.Forced && !change.Withheld }
				if c.Uncertain && now.Action != Create && !slices.ContainsFunc(now.Changes, kept) {
					c.Done, c.Uncertain = true, false // the org had acted, and the answer was lost
					c.Err = p.mismatch(app, c)
					continue
				}
				app.Components[i] = now
				now.fresh = len(read[c.Type]) > 0
			}
		}
	}
	return nil
}

// mismatch compares a component that was written with what the org shows.
func (p *Plan) mismatch(app *AppPlan, c *ComponentPlan) error {
	existing := p.state.of(c.Type, app.App)
	if existing == nil {
		return &MismatchError{}
	}
	stated := app.App.Wanted[c.Type]
	if c.Action == Create {
		stated = app.App.created(c.Type, p.domainURL)
	}
	var differing []metadata.Change
	_, changes := eca.Lookup(existing.Type).Overlay(existing, stated)
	for _, change := range changes {
		switch {
		case change.Forced:
			app.warn(fmt.Sprintf("the org keeps %s of %s at %s whatever is sent; state that in plugins.eca to have it left unchanged", change.Field, c.FullName, change.From))
		case change.Withheld:
			app.warn(fmt.Sprintf("the org does not show the %s of %s, so it is sent again at every run", change.Field, c.FullName))
		default:
			differing = append(differing, change)
		}
	}
	if len(differing) > 0 {
		return &MismatchError{Changes: differing}
	}
	if c.Type == eca.GlobalOAuthSettings && existing.Text("consumerKey") == "" {
		return errors.New("the org accepted it, but shows no consumer key for it")
	}
	return nil
}
