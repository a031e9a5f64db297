package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// engine works on the apps of one org.
type engine struct {
	conn  *salesforce.Conn
	apps  []*wanted.App
	names preflight.Names

	state  *reconcile.State
	run    *reconcile.Run
	facts  *apps.Facts
	grants map[*wanted.App][]*apps.Grant
	absent map[*wanted.App]bool // apps without a header on the org
	off    map[*wanted.App]bool // apps that are switched off on the org
	held   map[*wanted.App]bool // apps of which nothing is written, see hold
	pool   bool                 // skips absent apps

	unused             map[*wanted.App][]eca.Flow // see findFlows
	codeCredentialsOff bool                       // see findFlows

	orgID     string                       // "" if unknown
	clientID  string                       // of the session, "" if unknown
	consumers map[string]login.Credentials // see Options.Consumers
}

func (e *engine) metadata() *mdapi.Client { return &mdapi.Client{Conn: e.conn} }

func (e *engine) rest() *restapi.Client { return &restapi.Client{Conn: e.conn} }

// gather reads the org's components of the apps and their headers, and the records that policies and
// settings refer to, in parallel.
func (e *engine) gather(ctx context.Context) error {
	var wants []*metadata.Want
	for _, app := range e.apps {
		wants = append(append(wants, app.CreatedSets...), eca.InOrder(app.Wants)...)
	}
	e.names = wanted.References(e.apps)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		e.state, err = reconcile.Read(groupCtx, e.metadata(), wants)
		return err
	})
	group.Go(func() (err error) {
		e.facts, err = apps.LookUp(groupCtx, e.rest(), e.names)
		return err
	})
	group.Go(func() error { return e.findHeaders(groupCtx) })
	group.Go(func() error { return e.findFlows(groupCtx) })
	return group.Wait()
}

// findFlows records the settings of the org for the flows that the apps' settings switch on: which of them no OAuth
// policies switch on, neither in source nor on the org, and whether the org allows the one for which it is asked.
func (e *engine) findFlows(ctx context.Context) error {
	e.unused = make(map[*wanted.App][]eca.Flow)
	codeCredentials := false
	for _, app := range e.apps {
		want := app.Wants[eca.GlobalOAuthSettings]
		on := func(field string) bool { return want.Fields.Over(want.Source).Text(field) == "true" }
		codeCredentials = codeCredentials || on("isCodeCredFlowEnabled")
		if app.File(eca.OAuthPolicies) == "" {
			if flows := slices.DeleteFunc(eca.Flows(), func(flow eca.Flow) bool { return !on(flow.Switch) }); len(flows) > 0 {
				e.unused[app] = flows
			}
		}
	}
	if codeCredentials {
		// Whether an org has the type is not known, nor its full name, so a refusal says nothing.
		settings, err := e.metadata().Read(ctx, "OauthOidcSettings", "OauthOidc", "OauthOidcSettings")
		if _, refused := errors.AsType[*salesforce.Error](err); err != nil && !refused {
			return err
		}
		e.codeCredentialsOff = len(settings) > 0 && settings[0].Text(eca.CodeCredentialsOfOrg) == "false"
	}
	if len(e.unused) == 0 {
		return nil
	}
	all, err := apps.Read(ctx, e.conn, []string{eca.OAuthPolicies})
	for app := range e.unused {
		i := slices.IndexFunc(all, func(on *apps.App) bool { return strings.EqualFold(on.Name, app.Name) })
		if i < 0 || all[i].Component(eca.OAuthPolicies) == nil {
			continue
		}
		e.unused[app] = slices.DeleteFunc(e.unused[app], func(flow eca.Flow) bool { return eca.Bool(all[i].Component(eca.OAuthPolicies), flow.Policy) })
	}
	return err
}

// findHeaders records the apps whose header is missing on the org.
func (e *engine) findHeaders(ctx context.Context) error {
	var names []string
	for _, app := range e.apps {
		names = append(names, app.Name)
	}
	found, err := e.metadata().Read(ctx, eca.Header, names...)
	e.absent = make(map[*wanted.App]bool)
	for _, app := range e.apps {
		if !slices.ContainsFunc(found, func(c *metadata.Component) bool { return strings.EqualFold(c.FullName, app.Name) }) {
			e.absent[app] = true
		}
	}
	return err
}

// leaveShared removes the apps that use the consumer of another org on this org, and returns them: they have
// OAuth settings with that org's link and no global OAuth settings, and the project states none. Salesforce
// documents that way to share a consumer.
func (e *engine) leaveShared() (shared []*wanted.App) {
	e.apps = slices.DeleteFunc(slices.Clone(e.apps), func(app *wanted.App) bool {
		settings := e.find(app, eca.OAuthSettings)
		if e.orgID == "" || settings == nil || e.find(app, eca.GlobalOAuthSettings) != nil {
			return false
		}
		link := settings.Text("oauthLink")
		is := strings.Contains(link, ":") && !apps.OfOrg(link, e.orgID) && !app.StatesConsumer()
		if is {
			shared = append(shared, app)
		}
		return is
	})
	return shared
}

// start plans the work for the apps.
func (e *engine) start() {
	if e.pool {
		e.apps = slices.DeleteFunc(slices.Clone(e.apps), func(app *wanted.App) bool { return e.absent[app] })
	}
	e.leaveOff()
	e.keepConsumers()
	due := make(map[*metadata.Want]bool)
	e.grants = make(map[*wanted.App][]*apps.Grant)
	for _, app := range e.apps {
		for _, want := range eca.InOrder(app.Wants) {
			due[want] = true
		}
		for _, want := range app.CreatedSets {
			due[want] = true
		}
		e.grants[app] = e.facts.Grants(app.Name, app.PermissionSets, app.Assignee())
	}
	e.run = e.state.Plan(func(w *metadata.Want) bool { return due[w] }).Start()
}

// leaveOff makes sure that the run does not switch on an app that is off on the org, because somebody
// may have had to cut it off. It does not write the app's OAuth policies, which the platform refuses then.
func (e *engine) leaveOff() {
	e.off = make(map[*wanted.App]bool)
	for _, app := range e.apps {
		plugins := e.find(app, eca.PluginPolicies)
		if plugins == nil || eca.Bool(plugins, "isEnabled") {
			continue
		}
		e.off[app] = true
		want := app.Wants[eca.PluginPolicies]
		for _, fields := range []*metadata.Fields{&want.Fields, &want.Source} {
			*fields = maps.Clone(*fields)
			for _, name := range eca.Switches() {
				if !fields.IsFalse(name) {
					delete(*fields, name)
				}
			}
		}
		if policies := app.Wants[eca.OAuthPolicies]; policies != nil {
			policies.ReadOnly = true
		}
	}
}

// hold excludes apps from the run for which the plan shows that it would stop halfway: those without a
// header, and those for which the org is certain to refuse OAuth policies.
func (e *engine) hold(refused func(*wanted.App) bool) {
	e.held = make(map[*wanted.App]bool)
	for _, app := range e.apps {
		e.held[app] = e.lacksHeader(app) || refused(app)
	}
}

// isHeld reports whether only held apps need a component.
func (e *engine) isHeld(want *metadata.Want) bool {
	for _, app := range e.apps {
		switch {
		case e.held[app]:
		case want.Type.Name != eca.PermissionSet && app.Wants[want.Type.Name] == want:
			return false
		case want.Type.Name == eca.PermissionSet && app.NeedsSet(want.Names[0]):
			return false
		}
	}
	return true
}

// apply writes the differences: first consumers and plugin policies, then the grants of apps
// with a consumer, then OAuth policies, so that policies for pre-authorised users lock nobody
// out.
func (e *engine) apply(ctx context.Context) error {
	isPolicies := func(w *metadata.Want) bool { return w.Type.Name == eca.OAuthPolicies }
	if err := e.run.Apply(ctx, func(w *metadata.Want) bool { return !isPolicies(w) && !e.isHeld(w) }); err != nil {
		return err
	}
	if err := e.lookAgain(ctx); err != nil {
		return err
	}
	if err := e.grant(ctx); err != nil {
		return err
	}
	due := make(map[*metadata.Want]bool)
	for _, app := range e.apps {
		missing := slices.ContainsFunc(e.grants[app], func(g *apps.Grant) bool { return !g.Exists && !g.Created })
		due[app.Wants[eca.OAuthPolicies]] = !missing && !e.held[app]
	}
	return e.run.Apply(ctx, func(w *metadata.Want) bool { return isPolicies(w) && due[w] })
}

// unseen reports whether the run wants the app's header, and the org had no such app when its
// grants were looked up.
func (e *engine) unseen(app *wanted.App) bool {
	return app.Wants[eca.Header] != nil && slices.ContainsFunc(e.grants[app], lacksApp)
}

func lacksApp(g *apps.Grant) bool {
	_, ok := errors.AsType[*apps.NotFoundError](g.Err)
	return ok
}

// creates reports whether the run creates a permission set, or has created it.
func (e *engine) creates(name string) bool {
	return slices.ContainsFunc(e.apps, func(app *wanted.App) bool {
		return slices.ContainsFunc(app.CreatedSets, func(want *metadata.Want) bool {
			o := e.run.Of(want)
			return strings.EqualFold(o.FullName, name) && o.Action == reconcile.Create && o.Err == nil
		})
	})
}

// lookAgain looks up what grants and policies refer to if headers or permission sets have come to the
// org meanwhile.
func (e *engine) lookAgain(ctx context.Context) error {
	news := func(app *wanted.App) bool {
		return e.unseen(app) && e.run.Of(app.Wants[eca.Header]).OK() ||
			slices.ContainsFunc(app.CreatedSets, func(want *metadata.Want) bool { return e.run.Of(want).Applied })
	}
	if !slices.ContainsFunc(e.apps, news) {
		return nil
	}
	return e.conn.Retry.Do(ctx, func() error {
		facts, err := apps.LookUp(ctx, e.rest(), e.names)
		if err != nil {
			return err
		}
		e.facts = facts
		for _, app := range e.apps {
			e.grants[app] = e.facts.Grants(app.Name, app.PermissionSets, app.Assignee())
		}
		return nil
	})
}

// grant creates the missing grants: first those of apps with a consumer, then the assignments
// of permission sets that grant the app. After a transient failure it looks the grants up
// before it sends anything again.
func (e *engine) grant(ctx context.Context) error {
	first := true
	return e.conn.Retry.Do(ctx, func() error {
		if !first {
			facts, err := apps.LookUp(ctx, e.rest(), e.names)
			if err != nil {
				return err
			}
			for _, app := range e.apps {
				if err := facts.Update(e.grants[app], facts.Grants(app.Name, app.PermissionSets, app.Assignee())); err != nil {
					return err // never send again without a fresh look
				}
			}
		}
		first = false
		if err := apps.CreateGrants(ctx, e.rest(), e.due(func(app *wanted.App, g *apps.Grant) bool { return g.User == "" })); err != nil {
			return err
		}
		return apps.CreateGrants(ctx, e.rest(), e.due(func(app *wanted.App, g *apps.Grant) bool {
			return g.User != "" && slices.ContainsFunc(e.grants[app], func(of *apps.Grant) bool {
				return of.User == "" && of.PermissionSet == g.PermissionSet && of.OK()
			})
		}))
	})
}

// due returns the grants for which is returns true, of apps that have their consumer and their
// OAuth plugin.
func (e *engine) due(is func(*wanted.App, *apps.Grant) bool) (all []*apps.Grant) {
	for _, app := range e.apps {
		ready := !slices.ContainsFunc(eca.Satellites(), func(typ string) bool { return !e.run.Of(app.Wants[typ]).OK() })
		for _, g := range e.grants[app] {
			if ready && !e.held[app] && is(app, g) {
				all = append(all, g)
			}
		}
	}
	return all
}

// find returns the app's component of a type as last read, or nil.
func (e *engine) find(app *wanted.App, typ string) *metadata.Component {
	if want := app.Wants[typ]; want != nil {
		return e.state.Find(want)
	}
	return nil
}

// will returns the app's component of a type as the run leaves it, or nil.
func (e *engine) will(app *wanted.App, typ string) *metadata.Component {
	want := app.Wants[typ]
	switch {
	case want == nil:
		return nil
	case want.ReadOnly:
		return e.state.Find(want)
	}
	return e.state.Result(want)
}

// outcomes returns the outcomes of the app's components, in the order of types.
func (e *engine) outcomes(app *wanted.App) (all []reconcile.Outcome) {
	for _, want := range app.CreatedSets {
		if o := e.run.Of(want); o.Action != reconcile.Unchanged {
			all = append(all, o)
		}
	}
	for _, typ := range eca.Order() {
		if want := app.Wants[typ]; want != nil && !want.ReadOnly {
			all = append(all, e.run.Of(want))
		}
	}
	return all
}

// warnings returns what the run cannot fix but people should know, without duplicates.
// unsettled reports that the next run will write again.
func (e *engine) warnings(app *wanted.App) (all []string, unsettled bool) {
	warn := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	for _, text := range app.Contradictions() {
		warn("%s", text)
		unsettled = true
	}
	if link := app.Association(e.orgID); link != "" {
		org, _, _ := strings.Cut(link, ":")
		warn("the oauthLink in %s leads to the consumer of the org %s and is left out, because this org has a consumer of its own; a deployment of that file by others leads back to the other org", app.File(eca.OAuthSettings), org)
	}
	for _, o := range e.outcomes(app) {
		for _, change := range o.Forced {
			warn("the org keeps %s of %s at %s whatever is sent; state that value in plugins.eca", change.Field, o.FullName, change.From)
			unsettled = true
		}
		for _, change := range o.Withheld {
			warn("the org does not show the %s of %s, so every run sends it again", change.Field, o.FullName)
			unsettled = true
		}
	}
	if e.off[app] {
		if !app.Wanted[eca.PluginPolicies].IsFalse("isEnabled") {
			warn("the app is switched off on this org, and stays off")
		}
		if app.Applied() {
			warn("its OAuth policies are not written while it is off")
		}
	} else if policies := e.find(app, eca.PluginPolicies); policies != nil {
		for _, name := range eca.Switches() {
			if eca.Bool(policies, name) || app.Wanted[eca.PluginPolicies].Has(name) {
				continue
			}
			where := "state pluginPolicies." + name + " in plugins.eca"
			if slices.Contains(app.Source(), eca.PluginPolicies) {
				where = "state it in the app's source"
			}
			warn("the app is switched off on this org (%s is false in %s); %s to switch it on", name, policies.FullName, where)
		}
	}
	return all, unsettled
}

// NoHeaderError reports that an app's header is neither on the org nor part of the run, so the
// platform will refuse the app's OAuth settings.
type NoHeaderError struct{ App string }

func (e *NoHeaderError) Error() string { return e.App + ": its header is not on this org" }

// lacksHeader reports whether an app needs its header first.
func (e *engine) lacksHeader(app *wanted.App) bool {
	return e.absent[app] && e.run.Of(app.Wants[eca.OAuthSettings]).Action == reconcile.Create && app.Wants[eca.Header] == nil
}

// ComponentFailure reports why a component or a grant is not as wanted.
type ComponentFailure struct {
	App      string
	Type     string
	FullName string
	File     string // of the source that states the component, "" if none
	Err      error  // *mdapi.ComponentError if the org refused it, *reconcile.MismatchError if it kept other values
}

func (e *ComponentFailure) Error() string {
	message := e.Err.Error()
	if _, refused := errors.AsType[*mdapi.ComponentError](e.Err); refused {
		message = "the org refused it: " + message
	}
	name := e.FullName
	if e.File != "" {
		name += " of " + e.File
	}
	return fmt.Sprintf("%s: %s %s: %s", e.App, e.Type, name, message)
}

// Unwrap returns e.Err.
func (e *ComponentFailure) Unwrap() error { return e.Err }

// pending reports whether a grant fails only because the run deploys the app's header or creates the
// permission set first.
func (e *engine) pending(app *wanted.App, g *apps.Grant) bool {
	_, lacksSet := errors.AsType[*apps.NoPermissionSetError](g.Err)
	return e.unseen(app) && lacksApp(g) || lacksSet && e.creates(g.PermissionSet)
}

// failures joins the error that ended a run with a *NoHeaderError for each app that lacks its header,
// and the errors of single components. except excludes grants.
func (e *engine) failures(err error, except func(*wanted.App, *apps.Grant) bool) error {
	all := []error{err}
	for _, app := range e.apps {
		if e.lacksHeader(app) {
			all = append(all, &NoHeaderError{app.Name})
		}
		for _, o := range e.outcomes(app) {
			all = append(all, e.failure(app, o))
		}
		for _, g := range e.grants[app] {
			if g.Err != nil && (except == nil || !except(app, g)) {
				all = append(all, &ComponentFailure{App: app.Name, Type: g.Object(), FullName: g.PermissionSet, Err: g.Err})
			}
		}
	}
	return errors.Join(all...)
}
