// Package repair finds External Client Apps whose OAuth is broken so that the platform refuses every
// later write, explains why, and deletes and recreates it.
//
//	problems, err := repair.Find(ctx, conn)
//	for _, p := range problems { … }
//	result, err := repair.Recreate(ctx, conn, "MyApp", repair.Options{})
package repair

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Kind is the kind of a Problem.
type Kind string

// The kinds.
const (
	// NullLink: the app's OAuth settings have no link to a consumer, as after a deployment of
	// them without a link and without global OAuth settings. Every later write is refused with
	// `Cannot invoke "String.split(String)" because "oauthLink" is null`, or with a duplicate key
	// of ak3tl_setup_entity_data. Source: several teams saw it.
	NullLink Kind = "null-link"
	// NoConsumer: there are OAuth settings with the org's own link, and no global OAuth
	// settings, so the app has no consumer. An interrupted run leaves this; nothing is broken.
	NoConsumer Kind = "no-consumer"
	// Duplicates: the app has several components of a type of which it can have one.
	Duplicates Kind = "duplicate-components"
	// PackagedWithoutOAuth: an app from a package has no OAuth settings with a link. A sandbox
	// refresh sometimes causes this. Source: a known issue of Salesforce.
	PackagedWithoutOAuth Kind = "packaged-without-oauth"
	// NoOAuth: the app has no OAuth settings, as after a Recreate that was interrupted, but has
	// components that only an app with OAuth has, or was named. Its fields are in what Options.Save
	// received, or in source.
	NoOAuth Kind = "no-oauth"
	// Unfinished: a Recreate was interrupted after it deleted components. Find does not detect it;
	// whoever has what Options.Save received does.
	Unfinished Kind = "unfinished-repair"
)

// Problem is what is wrong with one app.
type Problem struct {
	App  string `json:"app"`
	Kind Kind   `json:"kind"`
	// Components are the affected ones, like "ExtlClntAppOauthSettings MyApp_oauth".
	Components []string `json:"components,omitempty"`
	Why        string   `json:"why"` // what it is, and its cause
	Fix        string   `json:"fix"` // what to do
	// Repairable reports that Recreate fixes it.
	Repairable bool `json:"repairable"`
}

// types are the app's components that Recreate creates, in order.
var types = []string{eca.OAuthSettings, eca.GlobalOAuthSettings, eca.PluginPolicies, eca.OAuthPolicies}

// Find returns the problems of the org's apps, by name; with names, of those alone. It writes nothing.
//
// An app can be broken although nothing shows it: the platform may hide a row with which a later write
// collides. Then the error of that write shows it, see IsBroken.
func Find(ctx context.Context, conn *salesforce.Conn, names ...string) ([]Problem, error) {
	all, err := apps.Read(ctx, conn, types, names...)
	if err != nil {
		return nil, err
	}
	named := len(names) > 0
	if !slices.ContainsFunc(all, func(app *apps.App) bool { return diagnose(app, "", named) != nil }) {
		return nil, nil
	}
	org, err := (&restapi.Client{Conn: conn}).Organization(ctx) // rarely needed
	if err != nil {
		return nil, err
	}
	var found []Problem
	for _, app := range all {
		if p := diagnose(app, org.ID, named); p != nil {
			found = append(found, *p)
		}
	}
	return found, nil
}

const reinstall = "install the package version again; if that does not help, delete the app and install the package"

// diagnose returns the problem of an app, or nil. org is the org's ID. With "", some sound apps have a
// problem. Of an app that was named, the lack of OAuth is a problem, whatever the reason.
func diagnose(app *apps.App, org string, named bool) *Problem {
	if p := duplicates(app, org); p != nil {
		return p
	}
	settings, global := app.Component(eca.OAuthSettings), app.Component(eca.GlobalOAuthSettings)
	linked := settings != nil && strings.TrimSpace(settings.Text("oauthLink")) != ""
	foreign := foreign(app, org)
	p := &Problem{App: app.Name}
	if settings != nil {
		p.Components = []string{eca.OAuthSettings + " " + settings.FullName}
	}
	switch {
	case foreign && !linked:
		p.Kind = PackagedWithoutOAuth
		p.Why = "it comes from a package and has no link to its consumer, which sandbox refreshes sometimes cause"
		p.Fix = reinstall
	case settings == nil:
		if !named && !hadOAuth(app) {
			return nil // OAuth not enabled yet
		}
		p.Kind = NoOAuth
		p.Why = "it has no OAuth settings: an interrupted repair deleted them, or OAuth was never enabled"
		p.Fix = "restore what the repair printed before it deleted anything, or create the OAuth of the app from its project"
	case !linked:
		p.Kind, p.Repairable = NullLink, true
		p.Why = "its OAuth settings have no link to a consumer, as after a deployment of them without an oauthLink " +
			"and without global OAuth settings; the platform refuses every later write"
		p.Fix = "delete and recreate the app's OAuth components, which gives it a new consumer; remove the settings " +
			"without a link from the source, or a deployment breaks the app again"
	case global == nil && !foreign && (org == "" || apps.OfOrg(settings.Text("oauthLink"), org)):
		p.Kind, p.Repairable = NoConsumer, true
		p.Why = "it has OAuth settings but no global OAuth settings, and so no consumer: a run was interrupted"
		p.Fix = "create its global OAuth settings"
	default:
		return nil // sound, or linked to another org's consumer, which is a way to share one
	}
	return p
}

// hadOAuth reports whether an app without OAuth settings has components that it got with them.
func hadOAuth(app *apps.App) bool {
	plugin := app.Component(eca.PluginPolicies)
	return len(app.Components[eca.GlobalOAuthSettings])+len(app.Components[eca.OAuthPolicies]) > 0 ||
		plugin != nil && eca.Bool(plugin, "isOauthPluginEnabled")
}

// duplicates returns the problem of an app with several components of a type, or nil.
func duplicates(app *apps.App, org string) *Problem {
	p := &Problem{App: app.Name, Kind: Duplicates, Repairable: !foreign(app, org)}
	for _, typ := range types {
		all := app.Components[typ]
		if len(all) < 2 {
			continue
		}
		for _, c := range all {
			p.Components = append(p.Components, typ+" "+c.FullName)
		}
		// Only a person knows which policies count.
		p.Repairable = p.Repairable && typ != eca.PluginPolicies && typ != eca.OAuthPolicies
	}
	if len(p.Components) == 0 {
		return nil
	}
	p.Why = "it has several components of a type of which an app has one, so the platform may refuse a write to either"
	p.Fix = "delete the wrong one in Setup, or with sf project delete source"
	if p.Repairable {
		p.Fix = "delete the app's OAuth components and recreate one of each, which gives it a new consumer"
	}
	return p
}

// foreign reports whether an app comes from another org's package. On the org where a package is
// made, its app is Packaged as well.
func foreign(app *apps.App, org string) bool {
	return app.Packaged() && !apps.OfOrg(app.OrgScopedExternalApp, org)
}

// IsBroken reports whether an org refused a component because its app is broken in a way that only
// Recreate fixes. Source: the platform's sentences, seen by several teams.
func IsBroken(err error) bool {
	refused, ok := errors.AsType[*mdapi.ComponentError](err)
	return ok && (strings.Contains(refused.Message, `"oauthLink" is null`) ||
		strings.Contains(refused.Message, "ak3tl_setup_entity_data"))
}

// NotRepairableError reports that Recreate cannot fix an app. Nothing was written.
type NotRepairableError struct{ Problem Problem }

func (e *NotRepairableError) Error() string {
	return fmt.Sprintf("%s: %s; %s", e.Problem.App, e.Problem.Why, e.Problem.Fix)
}

// UnfinishedError reports that components of an app were deleted and not all were recreated. A Recreate
// with what Options.Save received completes that.
type UnfinishedError struct {
	App     string
	Deleted []string // as in Result
	Err     error    // why they were not recreated
}

func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("%s was deleted and could not be recreated: %v", strings.Join(e.Deleted, ", "), e.Err)
}

// Unwrap returns e.Err.
func (e *UnfinishedError) Unwrap() error { return e.Err }

// Result is the result of Recreate.
type Result struct {
	App     string   `json:"app"`
	Deleted []string `json:"deleted,omitempty"` // in order, like "ExtlClntAppOauthSettings MyApp_oauth"
	Created []string `json:"created,omitempty"`
	// NewConsumer reports that the app has a new key and secret.
	NewConsumer bool   `json:"newConsumer"`
	ConsumerKey string `json:"-"`
	// Defaults reports that the app had no readable global OAuth settings, so it has default ones now.
	Defaults bool `json:"defaults,omitempty"`
	// NoCertificate reports that the deleted global settings showed no certificate. It is unknown
	// whether orgs show it; if there was one, it is lost.
	NoCertificate bool `json:"noCertificate,omitempty"`
}

// Options configure Recreate.
type Options struct {
	CallbackURL string // of global settings that could not be read

	// Save, if not nil, receives the components before they are deleted, without what the platform
	// creates. Its error ends the run before anything is written.
	Save func([]*metadata.Component) error
	// Saved are the components that Save received in an interrupted run. They have precedence over those
	// of the org.
	Saved []*metadata.Component
	// Source are components as the app's project states them. One that is created gets these fields before
	// those that it had, and this name, so that the next deployment of the source does not create a duplicate.
	// Without a FullName, it keeps the name that it had.
	Source []*metadata.Component
}

// recreateTime bounds a run after ctx has ended.
const recreateTime = 2 * time.Minute

// Recreate deletes the OAuth policies, global OAuth settings and OAuth settings of a broken app, in this
// order, and recreates them with the fields of Options.Source and those that they had. The consumer is a
// new one. Plugin policies stay. If the app only lacks its consumer, Recreate creates that and deletes nothing. If nothing is
// broken, it changes nothing. To find that out for an app whose problem does not show, it writes the
// app's OAuth settings as they are.
//
// Once it begins to delete, Recreate continues although ctx ends.
func Recreate(ctx context.Context, conn *salesforce.Conn, name string, o Options) (*Result, error) {
	client := &mdapi.Client{Conn: conn}
	org, err := (&restapi.Client{Conn: conn}).Organization(ctx)
	if err != nil {
		return nil, err
	}
	app, err := apps.Find(ctx, conn, types, name)
	if err != nil {
		return nil, err
	}
	r := &Result{App: app.Name}
	for _, c := range slices.Concat(o.Saved, o.Source) {
		if c == nil || !slices.Contains(types, c.Type) || !strings.EqualFold(eca.App(c), app.Name) {
			return r, fmt.Errorf("the saved components are not those of %s", app.Name)
		}
	}
	for _, c := range o.Source {
		if err := eca.CheckFullName(c.FullName); c.FullName != "" && err != nil {
			return r, fmt.Errorf("nothing was changed, because the org would refuse the name %s in source: %w", c.FullName, err)
		}
	}
	todo, err := decide(ctx, client, app, org.ID, o)
	if err != nil || todo == nothing {
		return r, err
	}
	w := &work{r, client, app, keep(app, conn.APIVersion(), o), o.Source, o.CallbackURL}
	if todo == replace && o.Save != nil {
		if err := o.Save(w.kept); err != nil {
			return r, fmt.Errorf("nothing was changed, because the components of %s cannot be saved: %w", app.Name, err)
		}
	}
	return r, r.unfinished(w.apply(ctx, todo))
}

// work is what a Recreate does, and what it has done.
type work struct {
	*Result
	client      *mdapi.Client
	app         *apps.App
	kept        []*metadata.Component // one of each type, as it can be sent
	source      []*metadata.Component
	callbackURL string // of global settings that could not be read
}

// apply deletes components, if todo is replace, and creates what is then missing.
func (w *work) apply(ctx context.Context, todo todo) error {
	if todo == replace {
		if err := ctx.Err(); err != nil {
			return err
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), recreateTime)
		defer cancel()
		for _, typ := range []string{eca.OAuthPolicies, eca.GlobalOAuthSettings, eca.OAuthSettings} {
			if err := w.delete(ctx, typ); err != nil {
				return err
			}
		}
	}
	all := make(map[string]*metadata.Component)
	for _, typ := range types {
		if c := w.restored(typ); c != nil {
			all[typ] = c
		}
	}
	global := all[eca.GlobalOAuthSettings]
	w.Defaults = global == nil
	w.NoCertificate = len(w.Deleted) > 0 && global != nil && global.Text("certificate") == ""
	return w.create(ctx, all)
}

// restored returns the component of a type as the app gets it, nil if nothing is known of it. One that the org
// still has is as it was.
func (w *work) restored(typ string) *metadata.Component {
	had, source := ofType(w.kept, typ), ofType(w.source, typ)
	stays := slices.ContainsFunc(w.app.Components[typ], func(c *metadata.Component) bool {
		return !slices.Contains(w.Deleted, typ+" "+c.FullName)
	})
	if source == nil || stays {
		return had
	}
	name, fields := source.FullName, eca.Lookup(typ).Sendable(source, w.client.Conn.APIVersion())
	if had != nil {
		name, fields = cmp.Or(name, had.FullName), fields.Over(eca.Lookup(typ).Sendable(had, w.client.Conn.APIVersion()))
	}
	return metadata.New(typ, name, fields)
}

func ofType(components []*metadata.Component, typ string) *metadata.Component {
	if i := slices.IndexFunc(components, func(c *metadata.Component) bool { return c.Type == typ }); i >= 0 {
		return components[i]
	}
	return nil
}

// todo is what Recreate does to an app.
type todo int

const (
	nothing  todo = iota
	complete      // create what is missing
	replace       // delete and recreate
)

// decide returns what to do to an app.
func decide(ctx context.Context, client *mdapi.Client, app *apps.App, org string, o Options) (todo, error) {
	p := diagnose(app, org, true)
	saved := len(o.Saved) > 0
	switch {
	case foreign(app, org):
		return nothing, &NotRepairableError{Problem{
			App: app.Name, Kind: PackagedWithoutOAuth, Why: "it comes from a package, which contains its OAuth", Fix: reinstall,
		}}
	case p != nil && p.Kind == NoOAuth:
		if saved || len(o.Source) > 0 {
			return complete, nil
		}
		return nothing, nil
	case p != nil && !p.Repairable:
		return nothing, &NotRepairableError{*p}
	case p != nil && p.Kind == NoConsumer, p == nil && saved:
		return complete, nil
	case p != nil:
		return replace, nil
	}
	broken, err := probe(ctx, client, app)
	if broken {
		return replace, nil
	}
	return nothing, err
}

// keep returns one component of each type as it can be sent: the saved one, or the app's. One with a link or
// a key comes before others.
func keep(app *apps.App, v apiversion.Version, o Options) (all []*metadata.Component) {
	for _, typ := range types {
		best := ofType(o.Saved, typ)
		for _, c := range app.Components[typ] {
			if best == nil || len(o.Saved) == 0 && best.Text("oauthLink")+best.Text("consumerKey") == "" {
				best = c
			}
		}
		if best != nil {
			all = append(all, metadata.New(typ, best.FullName, eca.Lookup(typ).Sendable(best, v)))
		}
	}
	return all
}

// probe writes the app's OAuth settings as they are, and reports whether the org refuses that as it does
// for a broken app.
func probe(ctx context.Context, client *mdapi.Client, app *apps.App) (broken bool, err error) {
	settings := app.Component(eca.OAuthSettings)
	same, _ := eca.Lookup(eca.OAuthSettings).Overlay(settings, nil) // with unknown fields
	results, err := client.Upsert(ctx, []*metadata.Component{same})
	if err != nil || results[0].Success {
		return false, err
	}
	for _, refused := range results[0].Errors {
		if IsBroken(refused) {
			return true, nil
		}
		err = refused
	}
	return false, err
}

// delete deletes the app's components of a type. That one no longer exists is no error.
func (w *work) delete(ctx context.Context, typ string) error {
	var names []string
	for _, c := range w.app.Components[typ] {
		names = append(names, c.FullName)
	}
	if len(names) == 0 {
		return nil
	}
	results, err := w.client.Delete(ctx, typ, names...)
	if err != nil {
		return fmt.Errorf("%s cannot be deleted: %w", typ, err)
	}
	for _, deleted := range results {
		if !deleted.Success && len(deleted.Errors) > 0 && deleted.Errors[0].Code != "INVALID_CROSS_REFERENCE_KEY" {
			return fmt.Errorf("%s %s cannot be deleted, so delete the app %s and deploy its header again: %w",
				typ, deleted.FullName, w.App, deleted.Errors[0])
		}
		w.Deleted = append(w.Deleted, typ+" "+deleted.FullName)
	}
	return nil
}

// create creates what the app lacks.
func (w *work) create(ctx context.Context, all map[string]*metadata.Component) error {
	d := eca.Desired{
		App: w.App, Label: w.app.Label, DomainURL: w.callbackURL, Types: eca.Satellites(),
		Fields: make(map[string]metadata.Fields), Names: make(map[string][]string),
	}
	if all[eca.OAuthPolicies] != nil {
		d.Types = append(d.Types, eca.OAuthPolicies)
	}
	for typ, had := range all {
		d.Fields[typ] = eca.Lookup(typ).Sendable(had, w.client.Conn.APIVersion())
		if had.FullName != "" {
			d.Names[typ] = []string{had.FullName}
		}
	}
	wants := eca.Wants(d)
	state, err := reconcile.Read(ctx, w.client, eca.InOrder(wants))
	if err != nil {
		return err
	}
	run := state.Plan(nil).Start()
	err = run.Apply(ctx, nil)
	for _, o := range run.Outcomes() {
		if o.Action == reconcile.Create && o.OK() {
			w.Created = append(w.Created, o.Want.Type.Name+" "+o.FullName)
			w.NewConsumer = w.NewConsumer || o.Want.Type.Name == eca.GlobalOAuthSettings
		}
		err = cmp.Or(err, o.Err)
	}
	if global := run.Find(wants[eca.GlobalOAuthSettings]); global != nil {
		w.ConsumerKey = global.Text("consumerKey")
	}
	return err
}

// unfinished adds to an error what was deleted.
func (r *Result) unfinished(err error) error {
	if err == nil || len(r.Deleted) == 0 {
		return err
	}
	return &UnfinishedError{r.App, r.Deleted, err}
}
