package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// Action is what a plan is going to do to a component, or what a run has done.
type Action string

// The actions.
const (
	Create    Action = "create"
	Update    Action = "update"
	Unchanged Action = "unchanged"
)

// Plan is what separates an org from what is wanted of it.
type Plan struct {
	Apps []*AppPlan

	domainURL string
	state     *state
}

// AppPlan is the plan for one app.
type AppPlan struct {
	App        *App
	Components []*ComponentPlan // in the order of Types, then OAuth policies where they are applied
	Grants     []*Grant         // of permission sets, where the project wants some
	Warnings   []string

	ungranted bool // it is not yet time for what has to come after the grants
}

// ComponentPlan is the plan for one component of an app, and after Apply what
// became of it.
type ComponentPlan struct {
	Type     string
	FullName string
	Action   Action
	Changes  []metadata.Change // the fields that differ

	// Done says that the component was written, and the org accepted it.
	Done bool
	// Uncertain says that the component was sent and no answer came, so that
	// nobody knows whether the org acted. The next run finds out.
	Uncertain bool
	// Err is why the component is not as wanted, after Apply.
	Err error

	app       *App
	component *metadata.Component // to be written
	fresh     bool                // planned from what was read right before
}

// Pending reports how many components the plan would write.
func (p *Plan) Pending() int {
	n := 0
	for _, app := range p.Apps {
		for _, c := range app.Components {
			if c.Action != Unchanged {
				n++
			}
		}
		for _, g := range app.Grants {
			if g.Action != Unchanged {
				n++
			}
		}
	}
	return n
}

// ConsumerKey returns the app's consumer key as the org showed it last, "" where
// it has none yet.
func (p *Plan) ConsumerKey(app *App) string {
	if global := p.state.of(eca.GlobalOAuthSettings, app); global != nil {
		return global.Text("consumerKey")
	}
	return ""
}

// Plan reads what the org has of the apps and compares it with what is wanted.
// domainURL is the org's own domain, which a new app gets as callback where the
// project states none. Nothing is written.
func (o *Org) Plan(ctx context.Context, apps []*App, domainURL string) (*Plan, error) {
	s, err := o.gather(ctx, apps, nil)
	if err != nil {
		return nil, err
	}
	return newPlan(s, apps, domainURL), nil
}

func newPlan(s *state, apps []*App, domainURL string) *Plan {
	p := &Plan{domainURL: domainURL, state: s}
	for _, app := range apps {
		plan := &AppPlan{App: app}
		for _, typ := range app.types() {
			plan.Components = append(plan.Components, p.compare(app, typ))
		}
		plan.Grants = s.lookups.grants(app)
		plan.warn(app.contradictions()...)
		plan.warn(p.warnings(plan)...)
		p.Apps = append(p.Apps, plan)
	}
	return p
}

// onOrg reads those of the headers that are on the org.
func (o *Org) onOrg(ctx context.Context, names []string) ([]*metadata.Component, error) {
	return o.metadata().Read(ctx, eca.Header, names...)
}

// headers warns of apps that the plan is to make components for and whose header
// is not there, so that the org would refuse them.
func (o *Org) headers(ctx context.Context, p *Plan) error {
	var missing []*AppPlan
	for _, app := range p.Apps {
		if app.Components[0].Action == Create {
			missing = append(missing, app)
		}
	}
	var names []string
	for _, app := range missing {
		names = append(names, app.App.Name)
	}
	found, err := o.onOrg(ctx, names)
	for _, app := range missing {
		if err == nil && !slices.ContainsFunc(found, func(c *metadata.Component) bool { return strings.EqualFold(c.FullName, app.App.Name) }) {
			app.warn("its header is not on this org yet, and has to be deployed before the app can be bootstrapped")
		}
	}
	return err
}

// compare plans one component from what the org is known to have. Defaults are
// for creation only: of a component that exists, only stated fields count.
func (p *Plan) compare(app *App, typ string) *ComponentPlan {
	if existing := p.state.of(typ, app); existing != nil {
		component, changes := eca.Lookup(existing.Type).Overlay(existing, app.Wanted[typ])
		plan := &ComponentPlan{app: app, Type: typ, FullName: existing.FullName, Action: Unchanged, Changes: changes, component: component}
		if len(changes) > 0 {
			plan.Action = Update
		}
		return plan
	}
	name := p.state.free(typ, app)
	plan := &ComponentPlan{app: app, Type: typ, FullName: name, Action: Create}
	if name == "" {
		plan.FullName = app.names(typ)[0]
		plan.Err = errors.New("components of other apps have all the names that it could have")
		return plan
	}
	plan.component = metadata.New(typ, name, app.created(typ, p.domainURL))
	plan.Changes = eca.Lookup(typ).Changes(plan.component)
	return plan
}

// warnings are what a plan cannot put right and a person should know.
func (p *Plan) warnings(plan *AppPlan) []string {
	var warnings []string
	for _, c := range plan.Components {
		global := c.Type == eca.GlobalOAuthSettings && c.Action == Update
		if global && c.component.Text("certificate") == "" {
			warnings = append(warnings, fmt.Sprintf("the org shows no certificate for %s; should it have one all the same, an update clears it unless globalOauthSettings.certificate states it", c.FullName))
		}
	}
	if policies := p.state.of(eca.PluginPolicies, plan.App); policies != nil {
		wanted := plan.App.Wanted[eca.PluginPolicies]
		for _, name := range []string{"isEnabled", "isOauthPluginEnabled"} {
			if !eca.Bool(policies, name) && !wanted.Has(name) {
				where := "state pluginPolicies." + name + " in plugins.eca"
				if plan.App.source[eca.PluginPolicies] != nil {
					where = "state it in the app's source"
				}
				warnings = append(warnings, fmt.Sprintf("the app is switched off on this org (%s is false in %s); %s to switch it on", name, policies.FullName, where))
			}
		}
	}
	return warnings
}

// warn adds warnings, each once.
func (p *AppPlan) warn(warnings ...string) {
	for _, w := range warnings {
		if !slices.Contains(p.Warnings, w) {
			p.Warnings = append(p.Warnings, w)
		}
	}
}

// ready reports whether the app has its consumer and its OAuth plugin, so that it
// makes sense to grant it to somebody.
func (p *AppPlan) ready() bool {
	return !slices.ContainsFunc(p.Components, func(c *ComponentPlan) bool {
		return c.Type != eca.OAuthPolicies && (c.Err != nil || c.Action != Unchanged && !c.Done)
	})
}

// failed reports whether a component of the app is not to be had.
func (p *AppPlan) failed() bool {
	return slices.ContainsFunc(p.Components, func(c *ComponentPlan) bool { return c.Err != nil })
}

// held reports whether the app's OAuth policies have to wait: policies that let
// only pre-authorised users in must not come before what authorises them.
func (p *AppPlan) held() bool {
	return p.App.held || p.ungranted || slices.ContainsFunc(p.Grants, func(g *Grant) bool { return g.Action != Unchanged && !g.Done })
}

// pending returns the components of a type that are next to be written: of each
// app the first that is not as wanted yet, where it is of that type. For "" it
// returns all that are not as wanted yet. Those of an app that failed are left
// out.
func (p *Plan) pending(typ string) (components []*ComponentPlan) {
	for _, app := range p.Apps {
		if app.failed() {
			continue
		}
		for _, c := range app.Components {
			if c.Action == Unchanged || c.Done {
				continue
			}
			if c.Type == eca.OAuthPolicies && app.held() {
				break
			}
			if typ == "" || c.Type == typ {
				components = append(components, c)
			}
			if typ != "" {
				break
			}
		}
	}
	return components
}
