// Package packaged reads an External Client App of a Dev Hub for a package: Pattern 1 of flxbl's
// guide. All orgs that install the package share the app's one consumer, which stays on the Dev
// Hub.
//
//	app, err := packaged.Read(ctx, conn, "MyApp")
//	files, err := scaffold.NewPackage(project, scaffold.PackageConfig{Components: app.Components()})
package packaged

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/inventory"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// App is an app as a package has it.
type App struct {
	Name  string
	OrgID string // of the org that has its consumer

	Header   *metadata.Component
	Settings *metadata.Component // its OAuth settings, with the link to the consumer
}

// Components are what belongs in the package.
func (a *App) Components() []*metadata.Component {
	return []*metadata.Component{a.Header, a.Settings}
}

// NoSourceError reports that an org cannot be where an app for a package is made.
type NoSourceError struct {
	Kind salesforce.Kind
}

func (e *NoSourceError) Error() string {
	if e.Kind == salesforce.Production {
		return "this org is not a Dev Hub: enable Dev Hub in its Setup, or name the org that is one"
	}
	return fmt.Sprintf("this is a %s; packages are made with the consumer of the Dev Hub, never with one of a sandbox or scratch org", e.Kind)
}

// NoAppError reports that the org has no app of that name, or one without OAuth.
type NoAppError struct {
	App     string
	IsThere bool // the app is there, and has no OAuth settings with a link
}

func (e *NoAppError) Error() string {
	if e.IsThere {
		return fmt.Sprintf("the app %s has no OAuth settings with a link to a consumer on this org", e.App)
	}
	return fmt.Sprintf("this org has no External Client App %s", e.App)
}

// LocalError reports that the app is Local on its org, so that users of other orgs could not log in
// by it. Source: the platform's OAUTH_AUTHORIZATION_BLOCKED for Local apps.
type LocalError struct{ App string }

func (e *LocalError) Error() string {
	return fmt.Sprintf("the app %s is Local, so that users of other orgs cannot log in by it", e.App)
}

// ForeignError reports that a field of an app leads to another org, so that the package would.
type ForeignError struct {
	App, Field, Value, OrgID string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s of %s is %s, and this org is %s: make the app here, or take the org that it leads to", e.Field, e.App, e.Value, e.OrgID)
}

// scratchOrgs is how sf tells a Dev Hub: it has the object.
const scratchOrgs = "SELECT Id FROM ScratchOrgInfo LIMIT 1"

// check refuses an org that is no Dev Hub, and returns its ID.
func check(ctx context.Context, conn *salesforce.Conn) (string, error) {
	client := &restapi.Client{Conn: conn}
	var org restapi.Organization
	var hub error
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { org, err = client.Organization(groupCtx); return err })
	group.Go(func() error {
		_, hub = restapi.Query[struct{}](groupCtx, client, scratchOrgs)
		return nil
	})
	if err := group.Wait(); err != nil {
		return "", err
	}
	refused := new(salesforce.Error)
	switch kind := org.Kind(); {
	case kind != salesforce.Production:
		return "", &NoSourceError{kind}
	case errors.As(hub, &refused) && refused.Code == "INVALID_TYPE":
		return "", &NoSourceError{kind}
	}
	return org.ID, hub
}

// Read reads an app of a Dev Hub and checks that a package can have it: the org is a Dev Hub, and
// the app's link and orgScopedExternalApp are that org's own. It takes four rounds of requests.
func Read(ctx context.Context, conn *salesforce.Conn, name string) (*App, error) {
	var orgID string
	var apps []*inventory.App
	var headers []*metadata.Component
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { orgID, err = check(groupCtx, conn); return err })
	group.Go(func() (err error) {
		apps, err = inventory.Read(groupCtx, conn, []string{eca.OAuthSettings}, name)
		return err
	})
	group.Go(func() (err error) {
		headers, err = (&mdapi.Client{Conn: conn}).Read(groupCtx, eca.Header, name)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if len(apps) == 0 || len(headers) == 0 {
		return nil, &NoAppError{App: name}
	}
	settings := apps[0].Component(eca.OAuthSettings)
	if settings == nil || strings.TrimSpace(settings.Text("oauthLink")) == "" {
		return nil, &NoAppError{App: apps[0].Name, IsThere: true}
	}
	own := func(field, value string) error {
		if !inventory.OfOrg(value, orgID) {
			return &ForeignError{apps[0].Name, field, value, orgID}
		}
		return nil
	}
	header := headers[0]
	a := &App{Name: apps[0].Name, OrgID: orgID}
	if !apps[0].Packaged() {
		return nil, &LocalError{a.Name}
	}
	if err := own("oauthLink", settings.Text("oauthLink")); err != nil {
		return nil, err
	}
	if scoped := header.Text("orgScopedExternalApp"); scoped != "" {
		if err := own("orgScopedExternalApp", scoped); err != nil {
			return nil, err
		}
	}
	fields := eca.Lookup(eca.Header).Sendable(header)
	fields.Set("distributionState", "Packaged")
	delete(fields, "managedType")
	a.Header = metadata.New(eca.Header, a.Name, fields)
	a.Settings = &metadata.Component{Type: eca.OAuthSettings, FullName: settings.FullName, Fields: settings.Fields}
	return a, nil
}

// Config says what a new app is. Fields that are not stated have the platform's defaults.
type Config struct {
	Name, Label, ContactEmail string
	OAuthSettings             metadata.Fields // scopes and so on
	GlobalOAuthSettings       metadata.Fields // callback URLs, flows and so on
}

// ErrNoContact reports that a new app lacks its contact, which the platform demands.
var ErrNoContact = errors.New("a new app needs a contact's e-mail address")

// Create makes an app with its consumer on a Dev Hub, as Packaged, or completes one that is there.
// What it states is set, everything else stays.
func Create(ctx context.Context, conn *salesforce.Conn, config Config) ([]reconcile.Outcome, error) {
	if _, err := check(ctx, conn); err != nil {
		return nil, err
	}
	set := func(pairs ...string) metadata.Fields {
		fields := make(metadata.Fields)
		for i := 0; i < len(pairs); i += 2 {
			fields.Set(pairs[i], pairs[i+1])
		}
		return fields
	}
	label := cmp.Or(config.Label, strings.ReplaceAll(config.Name, "_", " "))
	is := func(c *metadata.Component) bool { return strings.EqualFold(eca.App(c), config.Name) }
	header := &reconcile.Want{
		Type: eca.Lookup(eca.Header), Names: []string{config.Name}, Is: is,
		Fields: set("distributionState", "Packaged"), Defaults: set("label", label, "contactEmail", config.ContactEmail),
	}
	satellite := set("externalClientApplication", config.Name, "label", label)
	settings := &reconcile.Want{
		Type: eca.Lookup(eca.OAuthSettings), Names: eca.UsualNames(config.Name, eca.OAuthSettings), Is: is, After: []*reconcile.Want{header},
		Fields: config.OAuthSettings, Defaults: set("commaSeparatedOauthScopes", "Api, RefreshToken").Over(satellite),
	}
	global := &reconcile.Want{
		Type: eca.Lookup(eca.GlobalOAuthSettings), Names: eca.UsualNames(config.Name, eca.GlobalOAuthSettings), Is: is, After: []*reconcile.Want{settings},
		Fields: config.GlobalOAuthSettings, Defaults: set("callbackUrl", conn.InstanceURL).Over(satellite),
	}
	state, err := reconcile.Read(ctx, &mdapi.Client{Conn: conn}, []*reconcile.Want{header, settings, global})
	if err != nil {
		return nil, err
	}
	if state.Find(header) == nil && !strings.Contains(config.ContactEmail, "@") {
		return nil, ErrNoContact
	}
	run := state.Plan(nil).Start()
	err = run.Apply(ctx, nil)
	outcomes := run.Outcomes()
	for _, o := range outcomes {
		if err == nil {
			err = o.Err
		}
	}
	return outcomes, err
}
