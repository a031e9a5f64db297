// Package adopt takes External Client Apps that exist on an org into a project: apps made in Setup, moved by Setup's
// migration, or deployed as source. Afterwards, a bootstrap of the project finds nothing to change on the org.
//
//	org, err := adopt.Read(ctx, conn, "uat")
//	apps, err := org.Apps("MyApp") // all without a name
//	adopted, err := scaffold.Adopt(project, app.Adoption)
//	err = scaffold.Write(dir, adopted.Files)
//
// Read reads the org and writes nothing to it. What is written to the project is decided by package scaffold, which
// knows no org.
package adopt

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
)

// Org is the state of the apps on an org.
type Org struct {
	// Unseen are types of components that the org does not show.
	Unseen []string

	apps  []*apps.App
	org   project.Org
	id    string
	facts *apps.Facts
	sets  map[string][]string // permission sets that grant an app, by its ID
	by    map[string][]string // profiles that grant an app, by its ID
}

// App is an app of an org.
type App struct {
	scaffold.Adoption // for scaffold.Adopt, if Left is ""

	// Left is why the app is left as it is: it belongs to Salesforce, or cannot be described by a project.
	Left string
	// Profiles grant the app on the org, which plugins.eca cannot state.
	Profiles []string
	// TokenRanges reports that the app limits the addresses of refresh tokens or the certificates of clients, which
	// only Setup can.
	TokenRanges bool
}

// types returns the types of components that apps are read with, and those of which an org may have none.
func types(conn *salesforce.Conn) (usual, rare []string) {
	v := conn.APIVersion()
	for _, typ := range eca.Types() {
		switch {
		case typ.Name == eca.RemoteSiteSetting:
		case typ.Name == eca.OAuthSecuritySettings && typ.Since <= v:
			rare = append(rare, typ.Name)
		case typ.Since <= v:
			usual = append(usual, typ.Name)
		}
	}
	for _, typ := range eca.SourceTypes() {
		if typ.Since <= v {
			rare = append(rare, typ.Name)
		}
	}
	return usual, rare
}

// Read reads the apps of an org with their components, who may use them, and the org itself. alias is the environment
// that they are adopted for.
func Read(ctx context.Context, conn *salesforce.Conn, alias string) (*Org, error) {
	client := &restapi.Client{Conn: conn}
	o := &Org{org: project.Org{Alias: alias, Name: alias, DomainURL: strings.TrimSuffix(conn.InstanceURL, "/"), Version: conn.APIVersion()}}
	usual, rare := types(conn)
	var listed []mdapi.FileProperties
	more := make([][]mdapi.FileProperties, len(rare))
	unseen := make([]bool, len(rare))
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		facts, err := client.Organization(groupCtx)
		o.org.Sandbox, o.id = facts.IsSandbox, facts.ID
		return err
	})
	group.Go(func() (err error) { o.apps, _, err = apps.Apps(groupCtx, conn); return err })
	group.Go(func() (err error) { listed, err = apps.List(groupCtx, conn, usual); return err })
	for i, typ := range rare {
		group.Go(func() (err error) {
			more[i], err = apps.List(groupCtx, conn, []string{typ})
			if salesforce.Code(err) == "INVALID_TYPE" {
				unseen[i], err = true, nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	read := usual
	for i, typ := range rare {
		if unseen[i] {
			o.Unseen = append(o.Unseen, typ)
			continue
		}
		if len(more[i]) > 0 { // usual names are not known for these, so an empty list has to do
			read = append(read, typ)
		}
		listed = append(listed, more[i]...)
	}
	group, groupCtx = errgroup.WithContext(ctx)
	group.Go(func() error { return apps.Load(groupCtx, conn, o.apps, read, listed) })
	group.Go(func() error { return o.readGrants(groupCtx, client) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return o, o.readUsers(ctx, client)
}

// readGrants reads which permission sets and profiles grant the apps.
func (o *Org) readGrants(ctx context.Context, client *restapi.Client) (err error) {
	var ids []string
	for _, a := range o.apps {
		ids = append(ids, a.ID)
	}
	grants, err := apps.Granting(ctx, client, ids)
	o.sets, o.by = make(map[string][]string), make(map[string][]string)
	for _, g := range grants {
		if g.Profile != "" {
			o.by[g.AppID] = append(o.by[g.AppID], g.Profile)
		} else {
			o.sets[g.AppID] = append(o.sets[g.AppID], g.PermissionSet)
		}
	}
	return err
}

// readUsers reads which permission sets the users have that client credentials run as.
func (o *Org) readUsers(ctx context.Context, client *restapi.Client) (err error) {
	var names preflight.Names
	for _, a := range o.apps {
		if user := runAs(a); user != "" && len(o.sets[a.ID]) > 0 {
			names.Users, names.Assignees = append(names.Users, user), append(names.Assignees, user)
			names.PermissionSets = append(names.PermissionSets, o.sets[a.ID]...)
		}
	}
	if len(names.Users) > 0 {
		o.facts, err = apps.LookUp(ctx, client, names)
	}
	return err
}

// runAs returns the user that an app's client credentials run as, or "".
func runAs(a *apps.App) string {
	if policies := a.Component(eca.OAuthPolicies); policies != nil {
		return strings.TrimSpace(policies.Text("clientCredentialsFlowUser"))
	}
	return ""
}

// Apps returns apps of the org by their names, with the prefix of a package or without, or all without names. If there
// is none of a name, the error is an *apps.NotFoundError.
func (o *Org) Apps(names ...string) (all []App, err error) {
	chosen := o.apps
	if len(names) > 0 {
		chosen = nil
	}
	for _, name := range names {
		i := slices.IndexFunc(o.apps, func(a *apps.App) bool { return strings.EqualFold(a.FullName(), name) })
		if i < 0 {
			missing := &apps.NotFoundError{App: name}
			for _, a := range o.apps {
				missing.Similar = append(missing.Similar, a.FullName())
			}
			return nil, missing
		}
		if !slices.Contains(chosen, o.apps[i]) {
			chosen = append(chosen, o.apps[i])
		}
	}
	shown := slices.ContainsFunc(o.apps, func(a *apps.App) bool {
		global := a.Component(eca.GlobalOAuthSettings)
		return global != nil && global.Text("certificate") != ""
	})
	var beside []string
	for _, a := range chosen {
		beside = append(beside, a.FullName())
	}
	for _, a := range chosen {
		one := App{Adoption: scaffold.Adoption{
			App: a.FullName(), Components: make(map[string]*metadata.Component), PermissionSets: o.sets[a.ID],
			CertificatesShown: shown, Org: o.org, Beside: beside,
		}, Profiles: o.by[a.ID]}
		for typ := range a.Components {
			one.Components[typ] = a.Component(typ)
		}
		if header := one.Components[eca.Header]; header != nil {
			one.App = header.FullName
		}
		if one.Left = o.left(a); one.Left == "" {
			one.Assigned = o.assigned(a)
			one.TokenRanges = limits(a.Component(eca.OAuthSecuritySettings))
		}
		all = append(all, one)
	}
	return all, nil
}

// assigned reports whether the user that an app's client credentials run as has the permission sets that grant it.
func (o *Org) assigned(a *apps.App) bool {
	user := runAs(a)
	if user == "" || o.facts == nil {
		return false
	}
	return !slices.ContainsFunc(o.facts.Grants(a.Name, o.sets[a.ID], user), func(g *apps.Grant) bool { return g.User != "" && !g.Exists })
}

// limits reports whether OAuth security settings say anything.
func limits(security *metadata.Component) bool {
	return security != nil && slices.ContainsFunc(security.Fields, func(f metadata.Field) bool {
		return f.Name == "tokenIpRanges" || f.Name == "tlsClientAuthCertParamValue" && f.Text != ""
	})
}

// left returns why an app is left as it is, or "".
func (o *Org) left(a *apps.App) string {
	has := func(typ string) bool { return a.Component(typ) != nil }
	settings := a.Component(eca.OAuthSettings)
	switch {
	case apps.OfSalesforce(a.Namespace) || a.DistributionState == "AutoInstalled" || a.Packaged() && slices.Contains(salesforceApps, a.Name):
		return "it belongs to Salesforce"
	case !has(eca.Header):
		return "the org lists it, and does not show it"
	case a.Packaged() && !has(eca.OAuthPolicies) && !has(eca.PluginPolicies):
		return "it comes from a package, and the org shows no policies of it"
	case a.Packaged():
		return ""
	case settings != nil && !has(eca.GlobalOAuthSettings) && settings.Text("oauthLink") != "" && !apps.OfOrg(settings.Text("oauthLink"), o.id):
		return "it uses the consumer of another org"
	}
	for _, typ := range eca.Satellites() {
		if !has(typ) {
			return fmt.Sprintf("it has no %s on the org, which a bootstrap would create", typ)
		}
	}
	return ""
}

// salesforceApps are packaged apps of Salesforce's features without a namespace of their own. Source: one of
// Salesforce's skills, which forbids to edit them.
var salesforceApps = []string{"ServiceCloudTeamsEca", "ServiceCloudMSTeamsEca"}

// Notes returns what a person should know of an app, and the project cannot say.
func (a App) Notes() (notes []finding.Finding) {
	add := func(rule, problem, fix string) {
		notes = append(notes, finding.Finding{Rule: rule, Level: finding.Warning, App: a.App, Problem: problem, Fix: fix})
	}
	if len(a.Profiles) > 0 {
		add("profile-grant", "profiles grant it on the org, which plugins.eca cannot state: "+strings.Join(a.Profiles, ", "), "let a permission set grant it")
	}
	if a.Packaged() && len(a.PermissionSets) > 0 {
		add("permission-sets", "permission sets grant it on the org: "+strings.Join(a.PermissionSets, ", "), "name them in commaSeparatedPermissionSet of its policies, if other orgs need them as well")
	}
	if a.TokenRanges {
		add("security-settings", "it limits the addresses of refresh tokens or the certificates of clients, which no deployment brings", "set that in Setup of each org")
	}
	return notes
}
