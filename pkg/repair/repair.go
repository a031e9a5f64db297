// Package repair finds External Client Apps whose OAuth is broken for good, says why, and makes
// it anew.
//
//	found, err := repair.Look(ctx, conn)
//	for _, d := range found { … }
//	mended, err := repair.Mend(ctx, conn, "MyApp", repair.Options{})
package repair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Kind is a way in which an app is broken.
type Kind string

// The kinds.
const (
	// NullLink: the app's OAuth settings have no link to a consumer, as after a deployment of
	// them without a link and without global OAuth settings. Every later write is refused with
	// `Cannot invoke "String.split(String)" because "oauthLink" is null`, or with a duplicate key
	// of ak3tl_setup_entity_data.
	NullLink Kind = "null-link"
	// NoConsumer: there are OAuth settings with the org's own link, and no global OAuth
	// settings, so the app has no consumer. A run that died leaves this; nothing is broken.
	NoConsumer Kind = "no-consumer"
	// Duplicates: the app has several components of a type, of which it can have one.
	Duplicates Kind = "duplicate-components"
	// PackagedWithoutOAuth: an app from a package has no OAuth settings, or none with a link,
	// which a sandbox refresh does now and then. Source: a known issue of Salesforce.
	PackagedWithoutOAuth Kind = "packaged-without-oauth"
	// Unfinished: a Mend took components away and died before it made them anew. Look does not
	// know of it; who keeps what Options.Save got does.
	Unfinished Kind = "unfinished-repair"
)

// Damage is what is wrong with one app.
type Damage struct {
	App  string `json:"app"`
	Kind Kind   `json:"kind"`
	// Components are those concerned, like "ExtlClntAppOauthSettings MyApp_oauth".
	Components []string `json:"components,omitempty"`
	Why        string   `json:"why"` // what it is, and what leads there
	Fix        string   `json:"fix"` // what mends it
	// Mendable says that Mend does so.
	Mendable bool `json:"mendable"`
}

// types are the app's components that Mend makes anew, in the order in which they are made.
var types = []string{eca.OAuthSettings, eca.GlobalOAuthSettings, eca.PluginPolicies, eca.OAuthPolicies}

// Look returns what is wrong with the org's apps, by name; with names, with those alone. It
// writes nothing.
//
// That an app has the broken state and nothing shows it is possible: the platform may hide a row
// that a later write collides with. Then a bootstrap's error says so, see IsBroken.
func Look(ctx context.Context, conn *salesforce.Conn, names ...string) ([]Damage, error) {
	all, err := apps.Read(ctx, conn, types, names...)
	if err != nil {
		return nil, err
	}
	var found []Damage
	for _, app := range all {
		if diagnose(app, "") == nil {
			continue
		}
		org, err := (&restapi.Client{Conn: conn}).Organization(ctx) // which is rarely needed
		if err != nil {
			return nil, err
		}
		for _, app := range all {
			if d := diagnose(app, org.ID); d != nil {
				found = append(found, *d)
			}
		}
		break
	}
	return found, nil
}

// diagnose returns what is wrong with an app, nil for nothing. org is the org's ID, "" where it is
// not known yet: then it is too careful.
func diagnose(app *apps.App, org string) *Damage {
	settings, global := app.Component(eca.OAuthSettings), app.Component(eca.GlobalOAuthSettings)
	linked := settings != nil && strings.TrimSpace(settings.Text("oauthLink")) != ""
	foreign := foreign(app, org)
	d := &Damage{App: app.Name}
	d.Mendable = !foreign
	for _, typ := range types {
		if all := app.Components[typ]; len(all) > 1 {
			d.Kind = Duplicates
			for _, c := range all {
				d.Components = append(d.Components, typ+" "+c.FullName)
			}
			// Of policies, nobody but a person knows which ones count.
			d.Mendable = d.Mendable && typ != eca.PluginPolicies && typ != eca.OAuthPolicies
		}
	}
	if d.Kind == Duplicates {
		d.Why = "it has several components of a type of which an app has one, so a write to either may be refused"
		d.Fix = "look at them, and delete the one that is not meant to be: sf project delete source, or Setup"
		if d.Mendable {
			d.Fix = "eca takes the app's OAuth components away and makes one of each, with a new consumer"
		}
		return d
	}
	d.Mendable = false
	switch {
	case foreign && !linked:
		d.Kind = PackagedWithoutOAuth
		d.Why = "it comes from a package and has no link to its consumer; a sandbox refresh does that now and then"
		d.Fix = "install the package version again; where that does not help, delete the app and install it anew"
		if settings != nil {
			d.Components = []string{eca.OAuthSettings + " " + settings.FullName}
		}
	case settings == nil:
		return nil // not enabled yet
	case !linked:
		d.Kind, d.Mendable = NullLink, true
		d.Components = []string{eca.OAuthSettings + " " + settings.FullName}
		d.Why = "its OAuth settings have no link to a consumer, as after a deployment of them without an oauthLink and without global OAuth settings; the platform refuses every later write"
		d.Fix = "eca takes the app's OAuth components away and makes them anew, with a new consumer; take the settings without a link out of the source, or a deployment breaks it again"
	case global == nil && !foreign && (org == "" || apps.OfOrg(settings.Text("oauthLink"), org)):
		d.Kind, d.Mendable = NoConsumer, true
		d.Components = []string{eca.OAuthSettings + " " + settings.FullName}
		d.Why = "it has OAuth settings and no global OAuth settings, so it has no consumer: a run died between the two"
		d.Fix = "eca bootstrap completes it"
	default:
		return nil // sound, or associated with another org's consumer, which is a way to share one
	}
	return d
}

// foreign reports whether an app comes from another org's package. On the org where a package is
// made, its app is Packaged as well.
func foreign(app *apps.App, org string) bool {
	return app.Packaged() && !apps.OfOrg(app.OrgScopedExternalApp, org)
}

// IsBroken reports whether an org refused a component because its app is broken in a way that
// only Mend ends. Source: the platform's sentences, seen by several teams.
func IsBroken(err error) bool {
	refused, ok := errors.AsType[*mdapi.ComponentError](err)
	return ok && (strings.Contains(refused.Message, `"oauthLink" is null`) || strings.Contains(refused.Message, "ak3tl_setup_entity_data"))
}

// Mended is what Mend did.
type Mended struct {
	App     string   `json:"app"`
	Deleted []string `json:"deleted,omitempty"` // in order, like "ExtlClntAppOauthSettings MyApp_oauth"
	Made    []string `json:"made,omitempty"`
	// NewConsumer says that the app has another key and secret than before.
	NewConsumer bool   `json:"newConsumer"`
	ConsumerKey string `json:"-"`
	// Defaults says that the app had no readable global OAuth settings, so that those that it
	// has now are defaults: what its project states comes with the next bootstrap.
	Defaults bool `json:"defaults,omitempty"`
	// NoCertificate says that the org showed no certificate of global settings that were taken
	// away. Whether orgs show one is not certain; if there was one, it is gone.
	NoCertificate bool `json:"noCertificate,omitempty"`
}

// Options say how Mend goes about it.
type Options struct {
	CallbackURL string // of global settings that could not be read

	// Save, if not nil, gets the components before they are taken away, without what the platform
	// makes. Its error ends the run before anything is done.
	Save func([]*metadata.Component) error
	// Saved are components that an earlier Save got, of a run that died.
	Saved []*metadata.Component
}

// remakeTime is how long an app is still made anew when its run is interrupted after its
// components were taken away.
const remakeTime = 2 * time.Minute

// Mend takes the OAuth policies, global OAuth settings and OAuth settings of a broken app away, in
// this order, and makes them anew with the fields that they had. The consumer is a new one. Plugin
// policies stay. An app that lacks its consumer alone is completed, and loses nothing; one in which
// nothing is broken stays as it is. Whether an app is broken where nothing shows it, Mend finds out
// by writing its OAuth settings as they are.
//
// Once something is taken away, Mend goes on although ctx ends.
func Mend(ctx context.Context, conn *salesforce.Conn, name string, o Options) (*Mended, error) {
	client := &mdapi.Client{Conn: conn}
	org, err := (&restapi.Client{Conn: conn}).Organization(ctx)
	if err != nil {
		return nil, err
	}
	app, err := apps.Find(ctx, conn, types, name)
	if err != nil {
		return nil, err
	}
	m := &Mended{App: app.Name}
	for _, c := range o.Saved {
		if c == nil || !slices.Contains(types, c.Type) || !strings.EqualFold(eca.App(c), app.Name) {
			return m, fmt.Errorf("what is kept is not of %s", app.Name)
		}
	}
	if foreign(app, org.ID) {
		return m, fmt.Errorf("%s comes from a package, which brings its OAuth: install the package version again; where that does not help, delete the app and install it anew", app.Name)
	}
	d := diagnose(app, org.ID)
	switch {
	case d != nil && !d.Mendable:
		return m, fmt.Errorf("%s: %s; %s", app.Name, d.Why, d.Fix)
	case d != nil && d.Kind == NoConsumer:
	case d == nil && len(o.Saved) > 0: // what a run that died has not made yet
	case d == nil && app.Component(eca.OAuthSettings) == nil:
		return m, nil
	case d == nil:
		if broken, err := probe(ctx, client, app); !broken {
			return m, err
		}
		fallthrough
	default:
		if o.Save != nil {
			if err := o.Save(keep(app, o.Saved)); err != nil {
				return m, fmt.Errorf("nothing is done, because what %s has cannot be kept meanwhile: %w", app.Name, err)
			}
		}
		for _, typ := range []string{eca.OAuthPolicies, eca.GlobalOAuthSettings, eca.OAuthSettings} {
			if err := take(ctx, client, app, typ, m); err != nil {
				return m, m.after(err)
			}
			if len(m.Deleted) > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), remakeTime)
				defer cancel()
			}
		}
	}
	had := make(map[string]*metadata.Component)
	for _, c := range keep(app, o.Saved) {
		had[c.Type] = c
	}
	global := had[eca.GlobalOAuthSettings]
	m.Defaults = global == nil
	m.NoCertificate = len(m.Deleted) > 0 && global != nil && global.Text("certificate") == ""
	return m, remake(ctx, client, app, had, o.CallbackURL, m)
}

// keep returns one component of each type as it can be sent: the one that was saved, or else the
// app's, that with a link or a key before others.
func keep(app *apps.App, saved []*metadata.Component) (all []*metadata.Component) {
	for _, typ := range types {
		var best *metadata.Component
		for _, c := range saved {
			if c.Type == typ {
				best = c
			}
		}
		for _, c := range app.Components[typ] {
			if best == nil || len(saved) == 0 && best.Text("oauthLink")+best.Text("consumerKey") == "" {
				best = c
			}
		}
		if best != nil {
			all = append(all, metadata.New(typ, best.FullName, eca.Lookup(typ).Sendable(best)))
		}
	}
	return all
}

// probe writes the app's OAuth settings as they are, and reports whether the org refuses that as
// it does for a broken app.
func probe(ctx context.Context, client *mdapi.Client, app *apps.App) (broken bool, err error) {
	settings := app.Component(eca.OAuthSettings)
	same, _ := eca.Lookup(eca.OAuthSettings).Overlay(settings, nil) // with the fields that nobody here knows
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

// take deletes the app's components of a type.
func take(ctx context.Context, client *mdapi.Client, app *apps.App, typ string, m *Mended) error {
	var names []string
	for _, c := range app.Components[typ] {
		names = append(names, c.FullName)
	}
	if len(names) == 0 {
		return nil
	}
	results, err := client.Delete(ctx, typ, names...)
	if err != nil {
		return fmt.Errorf("%s cannot be deleted: %w", typ, err)
	}
	for _, r := range results {
		if !r.Success && len(r.Errors) > 0 && r.Errors[0].Code != "INVALID_CROSS_REFERENCE_KEY" { // it is gone
			return fmt.Errorf("%s %s cannot be deleted, so delete the app %s, deploy its header, and bootstrap it: %w", typ, r.FullName, app.Name, r.Errors[0])
		}
		m.Deleted = append(m.Deleted, typ+" "+r.FullName)
	}
	return nil
}

// remake makes what the app lacks, with the fields that it had.
func remake(ctx context.Context, client *mdapi.Client, app *apps.App, all map[string]*metadata.Component, callbackURL string, m *Mended) error {
	d := eca.Desired{
		App: app.Name, Label: app.Label, DomainURL: callbackURL, Types: eca.Satellites(),
		Fields: make(map[string]metadata.Fields), Names: make(map[string][]string),
	}
	if all[eca.OAuthPolicies] != nil {
		d.Types = append(d.Types, eca.OAuthPolicies)
	}
	for typ, had := range all {
		d.Fields[typ] = eca.Lookup(typ).Sendable(had)
		d.Names[typ] = []string{had.FullName}
	}
	wants := eca.Wants(d)
	state, err := reconcile.Read(ctx, client, eca.InOrder(wants))
	if err != nil {
		return m.after(err)
	}
	run := state.Plan(nil).Start()
	err = run.Apply(ctx, nil)
	for _, o := range run.Outcomes() {
		if o.Action == reconcile.Create && o.OK() {
			m.Made = append(m.Made, o.Want.Type.Name+" "+o.FullName)
			m.NewConsumer = m.NewConsumer || o.Want.Type.Name == eca.GlobalOAuthSettings
		}
		if err == nil {
			err = o.Err
		}
	}
	if global := run.Find(wants[eca.GlobalOAuthSettings]); global != nil {
		m.ConsumerKey = global.Text("consumerKey")
	}
	return m.after(err)
}

// after says what is gone where making it anew failed.
func (m *Mended) after(err error) error {
	if err == nil || len(m.Deleted) == 0 {
		return err
	}
	return fmt.Errorf("%s was taken away and could not be made anew; the next run goes on, and eca bootstrap makes it as well: %w", strings.Join(m.Deleted, ", "), err)
}
