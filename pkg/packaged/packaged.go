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
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// App is an app as a package contains it.
type App struct {
	Name  string
	OrgID string // of the Dev Hub, which has its consumer

	Header   *metadata.Component
	Settings *metadata.Component // the OAuth settings, with the link to the consumer
}

// Components returns the components of the package.
func (a *App) Components() []*metadata.Component {
	return []*metadata.Component{a.Header, a.Settings}
}

// NoSourceError reports that an org is not a Dev Hub, which has the consumers of packaged apps.
type NoSourceError struct {
	Kind platform.Kind // of the org
}

func (e *NoSourceError) Error() string {
	if e.Kind == platform.Production {
		return "this org is not a Dev Hub: enable Dev Hub in its Setup, or use the org that is the Dev Hub"
	}
	return fmt.Sprintf("this org is a %s, and packages need the consumer of the Dev Hub", e.Kind)
}

// LocalError reports that the app is Local, so users of other orgs could not log in with it. Source: the
// platform's OAUTH_AUTHORIZATION_BLOCKED for Local apps.
type LocalError struct{ App string }

func (e *LocalError) Error() string {
	return fmt.Sprintf("the app %s is Local, so users of other orgs cannot log in with it", e.App)
}

// ForeignError reports that a field of an app refers to another org, as the package then would.
type ForeignError struct {
	App, Field, Value string
	OrgID             string // of the Dev Hub
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s of %s is %s, but this org is %s: create the app here, or use the org to which the field refers",
		e.Field, e.App, e.Value, e.OrgID)
}

// scratchOrgs is the query by which the Salesforce CLI recognises a Dev Hub, which has the object.
const scratchOrgs = "SELECT Id FROM ScratchOrgInfo LIMIT 1"

// check returns the ID of a Dev Hub. For another org, the error is a *NoSourceError.
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
	if kind := org.Kind(); kind != platform.Production || salesforce.Code(hub) == "INVALID_TYPE" {
		return "", &NoSourceError{kind}
	}
	return org.ID, hub
}

// Read reads an app of a Dev Hub and checks that a package can contain it: the org is a Dev Hub, and the
// app's link and orgScopedExternalApp refer to that org. It takes four rounds of requests.
func Read(ctx context.Context, conn *salesforce.Conn, name string) (*App, error) {
	var orgID string
	var found *apps.App
	var headers []*metadata.Component
	var wrongOrg, lookup, read error
	var group sync.WaitGroup
	group.Go(func() { orgID, wrongOrg = check(ctx, conn) })
	group.Go(func() { found, lookup = apps.Find(ctx, conn, []string{eca.OAuthSettings}, name) })
	group.Go(func() { headers, read = (&mdapi.Client{Conn: conn}).Read(ctx, eca.Header, name) })
	group.Wait()
	// The wrong org explains why it lacks the app.
	if err := cmp.Or(wrongOrg, lookup, read); err != nil {
		return nil, err
	}
	if len(headers) == 0 {
		return nil, &apps.NotFoundError{App: name}
	}
	settings := found.Component(eca.OAuthSettings)
	if settings == nil || strings.TrimSpace(settings.Text("oauthLink")) == "" {
		return nil, &apps.NoOAuthError{App: found.Name, Lack: "OAuth settings with a link to a consumer"}
	}
	own := func(field, value string) error {
		if !apps.OfOrg(value, orgID) {
			return &ForeignError{found.Name, field, value, orgID}
		}
		return nil
	}
	header := headers[0]
	a := &App{Name: found.Name, OrgID: orgID}
	if !found.Packaged() {
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
	fields := eca.Lookup(eca.Header).Sendable(header, apiversion.Latest)
	fields.Set("distributionState", "Packaged")
	delete(fields, "managedType")
	a.Header = metadata.New(eca.Header, a.Name, fields)
	a.Settings = &metadata.Component{Type: eca.OAuthSettings, FullName: settings.FullName, Fields: settings.Fields}
	return a, nil
}

// Config describes a new app. Fields that are not stated get the platform's defaults.
type Config struct {
	Name, Label, ContactEmail string
	OAuthSettings             metadata.Fields // scopes and so on
	GlobalOAuthSettings       metadata.Fields // callback URLs, flows and so on
}

// ErrNoContact reports that a new app lacks its contact, which the platform requires.
var ErrNoContact = errors.New("a new app needs a contact's e-mail address")

// Create creates a Packaged app with its consumer on a Dev Hub, or completes an existing one. It sets
// the stated fields, and leaves all others.
func Create(ctx context.Context, conn *salesforce.Conn, config Config) ([]reconcile.Outcome, error) {
	if _, err := check(ctx, conn); err != nil {
		return nil, err
	}
	label := cmp.Or(config.Label, strings.ReplaceAll(config.Name, "_", " "))
	wants := eca.Wants(eca.Desired{
		App: config.Name, Label: label, DomainURL: conn.InstanceURL,
		Types: []string{eca.Header, eca.OAuthSettings, eca.GlobalOAuthSettings},
		Fields: map[string]metadata.Fields{
			eca.Header:        metadata.Stated("distributionState", "Packaged"),
			eca.OAuthSettings: config.OAuthSettings, eca.GlobalOAuthSettings: config.GlobalOAuthSettings,
		},
		Defaults: map[string]metadata.Fields{eca.Header: metadata.Stated("contactEmail", config.ContactEmail)},
	})
	state, err := reconcile.Read(ctx, &mdapi.Client{Conn: conn}, eca.InOrder(wants))
	if err != nil {
		return nil, err
	}
	if state.Find(wants[eca.Header]) == nil && !strings.Contains(config.ContactEmail, "@") {
		return nil, ErrNoContact
	}
	run := state.Plan(nil).Start()
	err = run.Apply(ctx, nil)
	outcomes := run.Outcomes()
	for _, o := range outcomes {
		err = cmp.Or(err, o.Err)
	}
	return outcomes, err
}
