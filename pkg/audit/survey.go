package audit

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/cutover"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Survey is what an org tells of its apps.
type Survey struct {
	conn *salesforce.Conn

	mu     sync.Mutex
	unseen []string
	hidden map[string]bool // what of the org could not be seen, by the names of its sources

	listed    []string // the names of OAuth policies
	org       restapi.Organization
	external  []*apps.App
	policies  []policyRow
	plugins   []pluginRow
	settings  []map[string]any
	connected []connectedRow
	sources   []*connectedapp.App // the Connected Apps that can be read
	tokens    []tokenRow
	menu      []menuRow
	access    []accessRow
	logins    []loginRow

	assigned map[string]int      // users by permission set, by the ID's first 15 characters
	users    map[string]userRow  // by ID and by username, folded
	admins   map[string]bool     // likewise: who may modify all data
	sets     map[string][]string // permission sets that policies name, by app, where nothing else grants
}

type (
	policyRow struct {
		App                                                        string `json:"ExternalClientApplicationId"`
		PermittedUsersPolicyType, RefreshTokenPolicyType           string
		RefreshTokenValidityPeriod                                 any
		RefreshTokenValidityUnit, IpRelaxationPolicyType           string
		IsClientCredentialsFlowEnabled, IsTokenExchangeFlowEnabled bool
		IsGuestCodeCredFlowEnabled                                 bool
		ClientCredentialsFlowUser                                  string
	}
	pluginRow struct {
		App               string `json:"ExternalClientApplicationId"`
		IsEnabled         bool
		OauthPluginStatus string
	}
	connectedRow struct {
		ID                                 string `json:"Id"`
		Name                               string
		CreatedDate                        string
		OptionsAllowAdminApprovedUsersOnly *bool
	}
	tokenRow struct {
		AppName, AppMenuItemID string
		N, Users               int
		Last                   string
	}
	menuRow   struct{ ID, ApplicationID string }
	accessRow struct {
		SetupEntityID, ParentID string
		Parent                  struct {
			Name             string
			IsOwnedByProfile bool
			Profile          struct{ Name string }
		}
	}
	loginRow struct{ Application, LoginSubType, Last string }
	userRow  struct {
		ID, Username string
		IsActive     bool
		Profile      struct{ Name string }
	}
)

// scopes are the columns of ExtlClntAppOauthSettings that say which scopes an app has. Source: code
// that runs against real orgs.
var scopes = []struct{ column, name string }{
	{"OauthScopesFULL", "Full"}, {"OauthScopesAPI", "Api"}, {"OauthScopesWEB", "Web"}, {"OauthScopesREFRESH_TOKEN", "RefreshToken"}, {"OauthScopesSSO", "Basic"}, {"OauthScopesVF", "CustomApplications"},
	{"OauthScopesOPENID", "OpenID"}, {"OauthScopesOFFLINE_ACCESS", "OfflineAccess"}, {"OauthScopesCHATTER_REST_API", "Chatter"}, {"OauthScopesMCP_API", "MCP"},
}

// look runs a part of the survey. A refusal of the org is noted, not an error.
func (s *Survey) look(what string, err error) error {
	refused := new(salesforce.Error)
	if err == nil || !errors.As(err, &refused) || salesforce.IsSessionExpired(err) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unseen = append(s.unseen, what+": "+refused.Error())
	if s.hidden == nil {
		s.hidden = make(map[string]bool)
	}
	s.hidden[what] = true
	return nil
}

// The sources, as Report.Unseen names them.
const (
	fromApps      = "External Client Apps"
	fromGlobals   = "settings of External Client Apps"
	fromPolicies  = "their OAuth policies"
	fromPlugins   = "their plugin policies"
	fromSettings  = "their scopes"
	fromConnected = "Connected Apps"
	fromSources   = "settings of Connected Apps"
	fromTokens    = "tokens"
	fromMenu      = "the app menu"
	fromAccess    = "who may use the apps"
	fromLogins    = "logins"
	fromUsers     = "users that client credentials run as"
	fromAdmins    = "who may modify all data"
	fromAssigned  = "who has the permission sets"
)

// query asks for columns of an object, and keeps the records. What the org lacks of the columns is
// noted.
func query[T any](ctx context.Context, s *Survey, what, columns, from string, into *[]T) error {
	records, missing, err := restapi.QueryColumns[T](ctx, &restapi.Client{Conn: s.conn}, strings.Split(columns, ", "), from)
	*into = records
	s.lacks(what, missing)
	return s.look(what, err)
}

// lacks notes columns that the org does not show.
func (s *Survey) lacks(what string, missing []string) {
	if len(missing) > 0 {
		s.mu.Lock()
		s.unseen = append(s.unseen, fmt.Sprintf("%s: %s: this org does not have it, or the session may not see it", what, strings.Join(missing, ", ")))
		s.mu.Unlock()
	}
}

// read asks the org: first for everything that needs nothing else, then for what follows.
func (s *Survey) read(parent context.Context) error {
	group, ctx := errgroup.WithContext(parent)
	rest := &restapi.Client{Conn: s.conn}
	group.Go(func() (err error) { s.org, err = rest.Organization(ctx); return err })
	group.Go(func() error { return s.readApps(ctx) })
	group.Go(func() error {
		return query(ctx, s, fromPlugins, "ExternalClientApplicationId, IsEnabled, OauthPluginStatus", "ExtlClntAppPlcyCnfg", &s.plugins)
	})
	group.Go(func() error {
		columns := "ExternalClientApplicationId, CreatedDate"
		for _, scope := range scopes {
			columns += ", " + scope.column
		}
		return query(ctx, s, fromSettings, columns, "ExtlClntAppOauthSettings", &s.settings)
	})
	group.Go(func() error {
		return query(ctx, s, fromConnected, "Id, Name, CreatedDate, OptionsAllowAdminApprovedUsersOnly", "ConnectedApplication", &s.connected)
	})
	group.Go(func() error {
		err := query(ctx, s, fromTokens, "AppName, AppMenuItemId, COUNT(UserId) n, COUNT_DISTINCT(UserId) users, MAX(LastUsedDate) last", "OauthToken GROUP BY AppName, AppMenuItemId", &s.tokens)
		if err == nil {
			err = s.readMenu(ctx)
		}
		return err
	})
	group.Go(func() error {
		return query(ctx, s, fromLogins, "Application, LoginSubType, MAX(LoginTime) last", "LoginHistory GROUP BY Application, LoginSubType", &s.logins)
	})
	group.Go(func() error {
		err := query(ctx, s, fromAccess, "SetupEntityId, ParentId, Parent.Name, Parent.IsOwnedByProfile, Parent.Profile.Name", "SetupEntityAccess WHERE SetupEntityType IN ('ExternalClientApplication', 'ConnectedApplication')", &s.access)
		if err == nil {
			err = s.readAssignments(ctx)
		}
		return err
	})
	group.Go(func() error {
		return query(ctx, s, fromPolicies, "ExternalClientApplicationId, PermittedUsersPolicyType, RefreshTokenPolicyType, RefreshTokenValidityPeriod, RefreshTokenValidityUnit, IpRelaxationPolicyType, IsClientCredentialsFlowEnabled, IsTokenExchangeFlowEnabled, IsGuestCodeCredFlowEnabled, ClientCredentialsFlowUser", "ExtlClntAppOauthPlcyCnfg", &s.policies)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return s.follow(parent)
}

// readApps reads the External Client Apps, those of managed packages among them, the global settings
// of the org's own, and the settings of Connected Apps. A session that may not call the Metadata
// API sees the apps all the same.
func (s *Survey) readApps(ctx context.Context) error {
	var listed []mdapi.FileProperties
	refused := false
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		var missing []string
		s.external, missing, err = apps.Apps(groupCtx, s.conn)
		s.lacks(fromApps, missing)
		return s.look(fromApps, err)
	})
	group.Go(func() (err error) {
		listed, err = apps.List(groupCtx, s.conn, []string{eca.GlobalOAuthSettings, eca.OAuthPolicies, connectedapp.TypeName})
		refused = err != nil
		return cmp.Or(s.look(fromGlobals, err), s.look(fromSources, err))
	})
	if err := group.Wait(); err != nil || refused {
		return err
	}
	var names []string
	for _, l := range listed {
		switch l.Type {
		case eca.OAuthPolicies:
			s.listed = append(s.listed, l.FullName)
		case connectedapp.TypeName:
			names = append(names, l.FullName)
		}
	}
	group, groupCtx = errgroup.WithContext(ctx)
	group.Go(func() error {
		return s.look(fromGlobals, apps.Load(groupCtx, s.conn, s.external, []string{eca.GlobalOAuthSettings}, listed))
	})
	group.Go(func() error {
		apps, unread, err := (&cutover.Client{Conn: s.conn}).ReadListed(groupCtx, names)
		s.sources = apps
		s.mu.Lock()
		for _, u := range unread {
			s.unseen = append(s.unseen, u.Error())
		}
		s.mu.Unlock()
		return s.look(fromSources, err)
	})
	return group.Wait()
}

// readMenu asks which apps the menu items of tokens are of.
func (s *Survey) readMenu(ctx context.Context) error {
	var ids []string
	for _, t := range s.tokens {
		if t.AppMenuItemID != "" {
			ids = append(ids, t.AppMenuItemID)
		}
	}
	slices.Sort(ids)
	items, err := restapi.QueryIn[menuRow](ctx, &restapi.Client{Conn: s.conn}, "SELECT Id, ApplicationId FROM AppMenuItem WHERE Id IN (%s)", slices.Compact(ids))
	s.menu = items
	return s.look(fromMenu, err)
}

// readAssignments counts who has the permission sets that grant apps.
func (s *Survey) readAssignments(ctx context.Context) error {
	var ids []string
	for _, a := range s.access {
		if !a.Parent.IsOwnedByProfile {
			ids = append(ids, a.ParentID)
		}
	}
	slices.Sort(ids)
	type count struct {
		PermissionSetID string
		N               int
	}
	counts, err := restapi.QueryIn[count](ctx, &restapi.Client{Conn: s.conn}, "SELECT PermissionSetId, COUNT(AssigneeId) n FROM PermissionSetAssignment WHERE PermissionSetId IN (%s) AND Assignee.IsActive = true GROUP BY PermissionSetId", slices.Compact(ids))
	s.assigned = make(map[string]int)
	for _, c := range counts {
		s.assigned[restapi.ShortID(c.PermissionSetID)] = c.N
	}
	return s.look(fromAssigned, err)
}

// follow asks for the users that client credentials run as, and for the permission sets that the
// policies of apps name which nothing else grants.
func (s *Survey) follow(ctx context.Context) error {
	var ids, names []string
	for _, p := range s.policies {
		if p.ClientCredentialsFlowUser != "" {
			ids = append(ids, p.ClientCredentialsFlowUser)
		}
	}
	for _, a := range s.sources {
		if a.RunAsUser != "" {
			names = append(names, a.RunAsUser)
		}
	}
	s.users, s.admins = make(map[string]userRow), make(map[string]bool)
	group, ctx := errgroup.WithContext(ctx)
	for _, by := range []struct {
		field  string
		values []string
	}{{"Id", ids}, {"Username", names}} {
		slices.Sort(by.values)
		values := slices.Compact(by.values)
		group.Go(func() error {
			users, err := restapi.QueryIn[userRow](ctx, &restapi.Client{Conn: s.conn}, "SELECT Id, Username, IsActive, Profile.Name FROM User WHERE "+by.field+" IN (%s)", values)
			s.mu.Lock()
			for _, u := range users {
				s.users[restapi.ShortID(u.ID)], s.users[strings.ToLower(u.Username)] = u, u
			}
			s.mu.Unlock()
			return s.look(fromUsers, err)
		})
		group.Go(func() error {
			type assignment struct {
				AssigneeID string
				Assignee   struct{ Username string }
			}
			admins, err := restapi.QueryIn[assignment](ctx, &restapi.Client{Conn: s.conn}, "SELECT AssigneeId, Assignee.Username FROM PermissionSetAssignment WHERE PermissionSet.PermissionsModifyAllData = true AND Assignee"+map[string]string{"Id": "Id", "Username": ".Username"}[by.field]+" IN (%s)", values)
			s.mu.Lock()
			for _, a := range admins {
				s.admins[restapi.ShortID(a.AssigneeID)], s.admins[strings.ToLower(a.Assignee.Username)] = true, true
			}
			s.mu.Unlock()
			return s.look(fromAdmins, err)
		})
	}
	group.Go(func() error { return s.readPolicies(ctx) })
	return group.Wait()
}

// readPolicies reads which permission sets the OAuth policies name, of apps that admit only
// pre-authorised users and that nothing grants.
func (s *Survey) readPolicies(ctx context.Context) error {
	granted := make(map[string]bool)
	for _, a := range s.access {
		granted[restapi.ShortID(a.SetupEntityID)] = true
	}
	byApp := make(map[string]string)
	names := slices.Clone(s.listed)
	for _, p := range s.policies {
		for _, a := range s.external {
			if restapi.ShortID(p.App) == restapi.ShortID(a.ID) && p.PermittedUsersPolicyType == "AdminApprovedPreAuthorized" && !granted[restapi.ShortID(a.ID)] {
				names = append(names, eca.UsualNames(a.Name, eca.OAuthPolicies)...)
				byApp[strings.ToLower(a.Name)] = a.ID
			}
		}
	}
	if len(byApp) == 0 {
		return nil
	}
	slices.Sort(names)
	components, err := (&mdapi.Client{Conn: s.conn}).Read(ctx, eca.OAuthPolicies, slices.Compact(names)...)
	s.sets = make(map[string][]string)
	for _, c := range components {
		if id := restapi.ShortID(byApp[strings.ToLower(eca.App(c))]); id != "" {
			s.sets[id] = append(s.sets[id], metadata.Items(c.Text("commaSeparatedPermissionSet"))...)
		}
	}
	return s.look(fromPolicies, err)
}

// apps puts together what the org tells.
func (s *Survey) apps() (all []*App) {
	for _, e := range s.external {
		all = append(all, s.externalApp(e))
	}
	all = append(all, s.connectedApps()...)
	for _, app := range all {
		s.grant(app)
	}
	return append(all, s.use(all)...)
}

// externalApp is an External Client App.
func (s *Survey) externalApp(e *apps.App) *App {
	a := &App{Kind: External, Name: e.FullName(), Label: e.Label, ID: e.ID, Namespace: e.Namespace, Packaged: e.Packaged(), created: restapi.ParseTime(e.CreatedDate)}
	for _, p := range s.policies {
		if restapi.ShortID(p.App) != restapi.ShortID(e.ID) {
			continue
		}
		a.Access = map[string]Access{"AllSelfAuthorized": Everybody, "AdminApprovedPreAuthorized": PreAuthorised}[p.PermittedUsersPolicyType]
		a.IP = p.IpRelaxationPolicyType
		a.refresh(p.RefreshTokenPolicyType, fmt.Sprint(p.RefreshTokenValidityPeriod), p.RefreshTokenValidityUnit)
		for flow, on := range map[string]bool{"client credentials": p.IsClientCredentialsFlowEnabled, "token exchange": p.IsTokenExchangeFlowEnabled, "guest code and credentials": p.IsGuestCodeCredFlowEnabled} {
			if on {
				a.Flows = append(a.Flows, flow)
			}
		}
		if p.IsClientCredentialsFlowEnabled && p.ClientCredentialsFlowUser != "" {
			a.RunAs = s.runAs(restapi.ShortID(p.ClientCredentialsFlowUser), p.ClientCredentialsFlowUser)
		}
	}
	for _, p := range s.plugins {
		if restapi.ShortID(p.App) == restapi.ShortID(e.ID) {
			on := p.IsEnabled && !strings.EqualFold(p.OauthPluginStatus, "Disabled")
			a.On = &on
		}
	}
	for _, row := range s.settings {
		id, _ := row["ExternalClientApplicationId"].(string)
		if restapi.ShortID(id) != restapi.ShortID(e.ID) {
			continue
		}
		made, _ := row["CreatedDate"].(string)
		a.ConsumerMade = restapi.ParseTime(made)
		for _, scope := range scopes {
			if row[scope.column] == true {
				a.Scopes = append(a.Scopes, scope.name)
			}
		}
	}
	if global := e.Component(eca.GlobalOAuthSettings); global != nil {
		a.globals(func(name string) string { return global.Text(name) }, func(name string) bool { return eca.Bool(global, name) })
		if !eca.Bool(global, "isClientCredentialsFlowEnabled") {
			a.Flows = slices.DeleteFunc(a.Flows, func(f string) bool { return f == "client credentials" })
			a.RunAs = nil
		}
	} else {
		a.opaque = true
	}
	slices.Sort(a.Flows)
	return a
}

// globals takes what the global OAuth settings say.
func (a *App) globals(text func(string) string, is func(string) bool) {
	pkce, optional := is("isPkceRequired"), is("isConsumerSecretOptional")
	a.PKCE, a.SecretOptional = &pkce, &optional
	a.Callbacks = strings.Fields(text("callbackUrl"))
	for flow, field := range map[string]string{"device": "isDeviceFlowEnabled", "code and credentials": "isCodeCredFlowEnabled"} {
		if is(field) {
			a.Flows = append(a.Flows, flow)
		}
	}
	if certificate, err := x509.ParseCertificate(metadata.CertificateDER(text("certificate"))); err == nil {
		a.CertificateExpires = certificate.NotAfter.UTC()
		a.Flows = append(a.Flows, "JWT bearer")
	}
}

// refresh says how long refresh tokens live.
func (a *App) refresh(policy, period, unit string) {
	switch policy {
	case "Infinite":
		a.RefreshToken, a.refreshDays = "forever", -1
	case "Zero":
		a.RefreshToken = "not at all"
	case "SpecificLifetime", "SpecificInactivity":
		n, err := strconv.ParseFloat(period, 64)
		if err != nil {
			return
		}
		a.RefreshToken = fmt.Sprintf("%g %s", n, strings.ToLower(unit))
		if policy == "SpecificInactivity" {
			a.RefreshToken += " without use"
		}
		if days := map[string]float64{"Hours": 1.0 / 24, "Days": 1, "Months": 30}[unit]; days > 0 {
			a.refreshDays = max(1, int(n*days))
		}
	}
}

// runAs looks a user up.
func (s *Survey) runAs(key, shown string) *User {
	u, ok := s.users[key]
	if !ok {
		return &User{Username: shown, Missing: !s.hidden[fromUsers]}
	}
	return &User{Username: u.Username, Profile: u.Profile.Name, Inactive: !u.IsActive, Admin: s.admins[key] || u.Profile.Name == "System Administrator"}
}

// connectedApps are the Connected Apps, by their records and, where they can be read, their
// settings. Both are paired by the label, which is all that the records tell; where several have
// one label, nothing pairs them, and the settings count.
func (s *Survey) connectedApps() (all []*App) {
	records, sources := make(map[string][]connectedRow), make(map[string][]*connectedapp.App)
	var labels []string
	for _, row := range s.connected {
		label := strings.ToLower(row.Name)
		records[label] = append(records[label], row)
		labels = append(labels, label)
	}
	for _, source := range s.sources {
		label := strings.ToLower(source.Label())
		sources[label] = append(sources[label], source)
		labels = append(labels, label)
	}
	slices.Sort(labels)
	for _, label := range slices.Compact(labels) {
		rows, apps := records[label], sources[label]
		paired := len(rows) == 1 && len(apps) == 1
		for _, source := range apps {
			a := &App{Kind: Connected, Label: source.Label()}
			if paired {
				a.record(rows[0])
			}
			s.settingsOf(a, source)
			all = append(all, a)
		}
		// What is left are apps that cannot be read.
		for _, row := range rows[min(len(apps), len(rows)):] {
			a := &App{Kind: Connected, Name: row.Name, Label: row.Name, opaque: true}
			a.record(row)
			if len(rows) > 1 && len(apps) > 0 {
				a.ID, a.Access = "", Unknown // which of the records it is, nothing tells
			}
			all = append(all, a)
		}
	}
	return all
}

// record takes what the record of a Connected App says.
func (a *App) record(row connectedRow) {
	a.ID, a.created, a.ConsumerMade = row.ID, restapi.ParseTime(row.CreatedDate), restapi.ParseTime(row.CreatedDate)
	if only := row.OptionsAllowAdminApprovedUsersOnly; only != nil {
		a.Access = map[bool]Access{true: PreAuthorised, false: Everybody}[*only]
	}
}

// settingsOf takes what a Connected App's settings say, in the fields of an External Client App
// that it would become.
func (s *Survey) settingsOf(a *App, source *connectedapp.App) {
	a.Name = source.Name
	if wrong := source.Wrong(); wrong != nil && wrong.Rule == "no-oauth" {
		a.noOAuth = true
		return
	}
	field := func(typ, name string) string {
		if values := source.Fields[typ][name]; len(values) > 0 {
			return values[0].Text
		}
		return ""
	}
	global := func(name string) string { return field(eca.GlobalOAuthSettings, name) }
	policy := func(name string) string { return field(eca.OAuthPolicies, name) }
	a.Access = map[string]Access{"AllSelfAuthorized": Everybody, "AdminApprovedPreAuthorized": PreAuthorised}[policy("permittedUsersPolicyType")]
	a.globals(global, func(name string) bool { return global(name) == "true" })
	a.Scopes = metadata.Items(field(eca.OAuthSettings, "commaSeparatedOauthScopes"))
	a.IP = policy("ipRelaxationPolicyType")
	a.refresh(policy("refreshTokenPolicyType"), policy("refreshTokenValidityPeriod"), policy("refreshTokenValidityUnit"))
	if global("isClientCredentialsFlowEnabled") == "true" {
		a.Flows = append(a.Flows, "client credentials")
		if source.RunAsUser != "" {
			a.RunAs = s.runAs(strings.ToLower(source.RunAsUser), source.RunAsUser)
		}
	}
	a.Granted = append(a.Granted, source.PermissionSets...)
	for _, profile := range metadata.Items(policy("commaSeparatedProfile")) {
		a.Granted = append(a.Granted, profilePrefix+profile)
	}
	slices.Sort(a.Flows)
	for _, f := range source.Findings {
		if f.Level == finding.Error {
			a.Lost = append(a.Lost, cmp.Or(f.Field, f.Rule))
		}
	}
}

// profilePrefix tells a profile from a permission set.
const profilePrefix = "profile "

// grant notes what grants an app.
func (s *Survey) grant(app *App) {
	for _, a := range s.access {
		if app.ID == "" || restapi.ShortID(a.SetupEntityID) != restapi.ShortID(app.ID) {
			continue
		}
		name := a.Parent.Name
		if a.Parent.IsOwnedByProfile {
			name = profilePrefix + a.Parent.Profile.Name
		}
		app.Granted = append(app.Granted, name)
		app.Grantees += s.assigned[restapi.ShortID(a.ParentID)]
		app.recorded = true
	}
	app.Granted = append(app.Granted, s.sets[restapi.ShortID(app.ID)]...)
	slices.Sort(app.Granted)
	app.Granted = slices.Compact(app.Granted)
}

// use notes tokens and logins, and returns the apps that they are of and the org does not show.
//
// Both name an app by its label. A token that has an item of the app menu is of that item's app,
// whatever its label; one without is of the app of that label, and where both kinds have it, of the
// Connected App as far as tokens are counted. The username-password flow is a Connected App's.
func (s *Survey) use(apps []*App) (others []*App) {
	menu := make(map[string]string)
	for _, m := range s.menu {
		menu[restapi.ShortID(m.ID)] = restapi.ShortID(m.ApplicationID)
	}
	owners := func(label string) (of []*App) {
		for _, kind := range []Kind{Connected, External} {
			for _, a := range apps {
				if a.Kind == kind && (strings.EqualFold(label, a.Label) || kind == External && strings.EqualFold(label, a.Name)) {
					of = append(of, a)
				}
			}
		}
		return of
	}
	byLabel := make(map[string]*App)
	other := func(label string, kind Kind) *App {
		key := string(kind) + label
		if byLabel[key] == nil {
			byLabel[key] = &App{Kind: kind, Name: label, Label: label, opaque: true}
			others = append(others, byLabel[key])
		}
		return byLabel[key]
	}
	for _, t := range s.tokens {
		var of []*App
		if id := menu[restapi.ShortID(t.AppMenuItemID)]; id != "" {
			if i := slices.IndexFunc(apps, func(a *App) bool { return a.ID != "" && restapi.ShortID(a.ID) == id }); i >= 0 {
				of = apps[i : i+1]
			} else if of = owners(t.AppName); slices.ContainsFunc(of, func(a *App) bool { return a.ID != "" }) {
				of = nil // an app of the same label that is not shown
			}
		} else {
			of = owners(t.AppName)
		}
		if len(of) == 0 {
			kind := NotInstalled
			if t.AppMenuItemID != "" {
				kind = NotShown
			}
			of = []*App{other(t.AppName, kind)}
		}
		of[0].Tokens += t.N
		of[0].Users = max(of[0].Users, t.Users)
		for _, a := range of {
			a.used(restapi.ParseTime(t.Last))
		}
	}
	for _, l := range s.logins {
		of := owners(l.Application)
		password := l.LoginSubType == passwordLogin
		switch {
		case len(of) == 0 && !password:
			continue // a browser, say
		case len(of) == 0:
			of = []*App{other(l.Application, NotInstalled)}
		}
		for _, a := range of {
			last := restapi.ParseTime(l.Last)
			if !password || a.Kind != External {
				a.used(last)
			}
			if password && a.Kind != External && last.After(a.LastPasswordLogin) {
				a.LastPasswordLogin = last
			}
		}
	}
	return others
}

// passwordLogin is how LoginHistory names the username-password flow. Source: the documentation
// of LoginSubType.
const passwordLogin = "OauthUsernamePassword"

func (a *App) used(t time.Time) {
	if t.After(a.LastUsed) {
		a.LastUsed = t
	}
}
