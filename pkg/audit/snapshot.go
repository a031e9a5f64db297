package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/cutover"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Snapshot is what an org shows of its apps at one time.
type Snapshot struct {
	conn *salesforce.Conn

	mu     sync.Mutex
	unseen []string
	hidden map[source]bool // what the org refused to show

	org       restapi.Organization
	orgKnown  bool
	external  []*apps.App
	policies  []policyRow
	plugins   []pluginRow
	settings  []settingsRow
	connected []connectedRow
	sources   []*connectedapp.App // the Connected Apps that can be read
	tokens    []tokenRow
	holders   []holderRow
	menu      []menuRow
	access    []accessRow
	logins    []loginRow
	trusted   []rangeRow                // trusted IP ranges of External Client Apps
	allowed   []allowedRow              // IP ranges in which their refresh tokens can be used
	permitted map[string][]permittedRow // by Permission.Name
	dates     map[string]consumer.Dates // of consumers, by the first 15 characters of their app's ID

	assigned  map[string]int     // number of users by permission set, by the ID's first 15 characters
	users     map[string]userRow // by userKey of ID and of username
	admins    map[string]bool    // users who may modify all data, by userKey of the ID
	noColumns []string           // labels of permissions that the org has no column for
	orgWide   map[string]string  // settings of the org, by field
}

type (
	policyRow struct {
		App                                                        string `json:"ExternalClientApplicationId"`
		PermittedUsersPolicyType, RefreshTokenPolicyType           string
		RefreshTokenValidityPeriod                                 any
		RefreshTokenValidityUnit, IpRelaxationPolicyType           string
		IsClientCredentialsFlowEnabled, IsTokenExchangeFlowEnabled bool
		IsGuestCodeCredFlowEnabled                                 bool
		ClientCredentialsFlowUser                                  string // a username, see userKey
	}
	rangeRow struct {
		ExtlClntAppOauthSettings struct{ ExternalClientApplicationID string }
	}
	allowedRow struct {
		ExtlClntAppOauthSecurity     struct{ ExternalClientApplicationID string }
		StartIPAddress, EndIPAddress string
	}
	pluginRow struct {
		App               string `json:"ExternalClientApplicationId"`
		IsEnabled         *bool
		OauthPluginStatus string
	}
	settingsRow  map[string]any
	connectedRow struct {
		ID                                 string `json:"Id"`
		Name                               string
		CreatedDate                        string
		OptionsAllowAdminApprovedUsersOnly *bool
		OptionsIsInternal                  bool
	}
	tokenRow struct {
		AppName, AppMenuItemID string
		N, Users               int
		Last                   string
	}
	holderRow struct{ AppName, AppMenuItemID, UserID, Username, Last string }
	menuRow   struct{ ID, ApplicationID, NamespacePrefix string }
	accessRow struct {
		SetupEntityID, ParentID string
		Parent                  struct {
			Name             string
			IsOwnedByProfile bool
			Profile          struct{ Name string }
		}
	}
	loginRow     struct{ Application, LoginSubType, Status, Last string }
	permittedRow struct {
		AssigneeID    string
		Assignee      struct{ Username string }
		PermissionSet struct {
			Label            string
			IsOwnedByProfile bool
			Profile          struct{ Name string }
		}
	}
	userRow struct {
		ID, Username string
		IsActive     *bool
		Profile      struct{ Name string }
	}
)

func (row settingsRow) text(column string) string {
	text, _ := row[column].(string)
	return text
}

// source is a part of a snapshot that an org can refuse to show, as Report.Unseen names it.
type source string

const (
	fromApps      source = "External Client Apps"
	fromGlobals   source = "settings of External Client Apps"
	fromPolicies  source = "their OAuth policies"
	fromPlugins   source = "their plugin policies"
	fromSettings  source = "their scopes"
	fromConnected source = "Connected Apps"
	fromSources   source = "settings of Connected Apps"
	fromTokens    source = "tokens"
	fromMenu      source = "the app menu"
	fromAccess    source = "who may use the apps"
	fromLogins    source = "logins"
	fromUsers     source = "users that client credentials run as"
	fromHolders   source = "who holds the tokens"
	fromTrusted   source = "their trusted IP ranges"
	fromAllowed   source = "IP allowlists of their refresh tokens"
	fromOrg       source = "the kind of the org"
	fromOrgWide   source = "settings of the org"
	fromPermitted source = "permissions"
	fromAdmins    source = "who may modify all data"
	fromAssigned  source = "who has the permission sets"
)

// Read reads the apps of an org and the settings around them, in at most four rounds of requests. What
// the org refuses to show is noted for Report.Unseen. Any other failure is an error.
func Read(ctx context.Context, conn *salesforce.Conn) (*Snapshot, error) {
	s := &Snapshot{conn: conn, hidden: make(map[source]bool), admins: make(map[string]bool),
		orgWide: make(map[string]string), permitted: make(map[string][]permittedRow)}
	group, groupCtx := errgroup.WithContext(ctx)
	reads := []func(context.Context) error{
		s.readOrg, s.readApps, s.readAccess, s.readOrgWide, s.readDates,
		query(s, &s.plugins, fromPlugins, "ExtlClntAppPlcyCnfg",
			"ExternalClientApplicationId, IsEnabled, OauthPluginStatus"),
		query(s, &s.policies, fromPolicies, "ExtlClntAppOauthPlcyCnfg",
			"ExternalClientApplicationId, PermittedUsersPolicyType, "+
				"RefreshTokenPolicyType, RefreshTokenValidityPeriod, RefreshTokenValidityUnit, IpRelaxationPolicyType, "+
				"IsClientCredentialsFlowEnabled, IsTokenExchangeFlowEnabled, IsGuestCodeCredFlowEnabled, "+
				"ClientCredentialsFlowUser"),
		query(s, &s.settings, fromSettings, "ExtlClntAppOauthSettings",
			"ExternalClientApplicationId, CreatedDate, "+strings.Join(slices.Sorted(maps.Values(eca.ScopeColumns())), ", ")),
		query(s, &s.trusted, fromTrusted, "ExtlClntAppOauthIpRange", "ExtlClntAppOauthSettings.ExternalClientApplicationId"),
		query(s, &s.allowed, fromAllowed, "ExtlClntAppOauthSecurityTokenIpRange",
			"ExtlClntAppOauthSecurity.ExternalClientApplicationId, StartIpAddress, EndIpAddress"),
		query(s, &s.connected, fromConnected, "ConnectedApplication",
			"Id, Name, CreatedDate, OptionsAllowAdminApprovedUsersOnly, OptionsIsInternal"),
		query(s, &s.menu, fromMenu, "AppMenuItem", "Id, ApplicationId, NamespacePrefix"),
		query(s, &s.tokens, fromTokens, "OauthToken GROUP BY AppName, AppMenuItemId",
			"AppName, AppMenuItemId, COUNT(UserId) n, COUNT_DISTINCT(UserId) users, MAX(LastUsedDate) last"),
		// A query with groups has one page. Tokens of apps that are not installed come first.
		query(s, &s.holders, fromHolders,
			"OauthToken GROUP BY AppName, AppMenuItemId, UserId, User.Username ORDER BY AppMenuItemId NULLS FIRST LIMIT 2000",
			"AppName, AppMenuItemId, UserId, User.Username, MAX(LastUsedDate) last"),
		query(s, &s.logins, fromLogins,
			"LoginHistory GROUP BY Application, LoginSubType, Status ORDER BY MAX(LoginTime) DESC LIMIT 2000",
			"Application, LoginSubType, Status, MAX(LoginTime) last"),
	}
	for _, p := range permissions {
		reads = append(reads, s.readPermitted(p))
	}
	for _, read := range reads {
		group.Go(func() error { return read(groupCtx) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.Sort(s.unseen)
	return s, s.readUsers(ctx)
}

// tolerate notes that the org refuses to show a source, and returns any other error. An error of the
// network or a busy org says nothing about the source, so it must not pass for a refusal.
func (s *Snapshot) tolerate(what source, err error) error {
	var reason error
	if answer, ok := errors.AsType[*salesforce.Error](err); ok && restapi.Refused(err) {
		reason = answer // without the call around it
	} else if shape, ok := errors.AsType[*restapi.ShapeError](err); ok {
		reason = shape
	} else {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden[what] = true
	s.unseen = append(s.unseen, fmt.Sprintf("%s: %v", what, reason))
	return nil
}

// lacks notes columns that the org does not show.
func (s *Snapshot) lacks(what source, missing []string) {
	if len(missing) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unseen = append(s.unseen,
		fmt.Sprintf("%s: the org lacks or hides the fields %s", what, strings.Join(missing, ", ")))
}

// query returns a function that reads columns of an object. It notes columns that the org lacks.
func query[T any](s *Snapshot, into *[]T, what source, from, columns string) func(context.Context) error {
	return func(ctx context.Context) error {
		rows, missing, err := restapi.QueryColumns[restapi.Loose[T]](ctx, s.rest(), strings.Split(columns, ", "), from)
		all, odd := restapi.Records(rows)
		*into = all
		s.lacks(what, append(missing, odd...))
		return s.tolerate(what, err)
	}
}

func (s *Snapshot) rest() *restapi.Client { return &restapi.Client{Conn: s.conn} }

// distinct returns the values that are not empty, sorted and without duplicates.
func distinct(values []string) []string {
	sorted := slices.Compact(slices.Sorted(slices.Values(values)))
	return slices.DeleteFunc(sorted, func(v string) bool { return v == "" })
}

// readDates reads when consumers were modified. An org that does not show it is none that hides something:
// the dates only tell more of a consumer whose creation is known from its settings.
func (s *Snapshot) readDates(ctx context.Context) (err error) {
	s.dates, err = (&consumer.Client{Conn: s.conn}).AllDates(ctx)
	return err
}

func (s *Snapshot) readOrg(ctx context.Context) (err error) {
	s.org, err = s.rest().Organization(ctx)
	s.orgKnown = err == nil
	if errors.Is(err, restapi.ErrNoOrganization) {
		s.lacks(fromOrg, []string{"Id", "IsSandbox"})
		return nil
	}
	return s.tolerate(fromOrg, err)
}

// kind returns the kind of the org, "" if it is not known.
func (s *Snapshot) kind() platform.Kind {
	if !s.orgKnown {
		return ""
	}
	return s.org.Kind()
}

// orgWideTypes are the types of settings of the org, by their full names. That of OauthOidcSettings is
// assumed, so the type's own name is asked for as well.
var orgWideTypes = map[string]string{
	"ConnectedApp": "ConnectedAppSettings", "OauthOidc": "OauthOidcSettings", eca.OrgSettingsName: eca.OrgSettings,
}

// readOrgWide reads settings of the org. A type that the org lacks is an empty record or a refusal.
func (s *Snapshot) readOrgWide(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for name, typ := range orgWideTypes {
		group.Go(func() error {
			found, err := (&mdapi.Client{Conn: s.conn}).Read(ctx, typ, name, typ)
			s.mu.Lock()
			for _, c := range found {
				for _, f := range c.Fields {
					s.orgWide[f.Name] = strings.TrimSpace(f.Text)
				}
			}
			s.mu.Unlock()
			return s.tolerate(fromOrgWide, err)
		})
	}
	return group.Wait()
}

// readPermitted returns a function that reads who holds a permission. Orgs lack the columns of some.
func (s *Snapshot) readPermitted(p Permission) func(context.Context) error {
	return func(ctx context.Context) error {
		what := fromPermitted
		if p.Name == modifyAllData {
			what = fromAdmins
		}
		found, missing, err := restapi.QueryColumns[restapi.Loose[permittedRow]](ctx, s.rest(), []string{
			"AssigneeId", "Assignee.Username", "PermissionSet.Label", "PermissionSet.IsOwnedByProfile", "PermissionSet.Profile.Name",
		}, "PermissionSetAssignment WHERE PermissionSet.Permissions"+p.Name+" = true AND Assignee.IsActive = true")
		rows, odd := restapi.Records(found)
		s.lacks(what, append(missing, odd...))
		refused, _ := errors.AsType[*salesforce.Error](err)
		noColumn := refused != nil && refused.Code == "INVALID_FIELD" && p.Name != modifyAllData
		if !noColumn {
			err = s.tolerate(what, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.permitted[p.Name] = rows
		if p.Name == modifyAllData {
			for _, row := range rows {
				s.admins[userKey(row.AssigneeID)] = true
			}
		}
		if noColumn {
			s.noColumns = append(s.noColumns, p.Label)
			return nil
		}
		return err
	}
}

// readApps reads the External Client Apps, those of managed packages among them, the global settings
// and OAuth policies of the org's own, and the settings of Connected Apps. Without access to the
// Metadata API, it reads the External Client Apps alone.
func (s *Snapshot) readApps(ctx context.Context) error {
	types := []string{eca.GlobalOAuthSettings, eca.OAuthPolicies}
	var listed []mdapi.FileProperties
	refused := false
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		var missing []string
		s.external, missing, err = apps.Apps(groupCtx, s.conn)
		s.lacks(fromApps, missing)
		return s.tolerate(fromApps, err)
	})
	group.Go(func() (err error) {
		listed, err = apps.List(groupCtx, s.conn, append(types, connectedapp.TypeName))
		if refused = restapi.Refused(err); refused {
			s.tolerate(fromGlobals, err)
		}
		return s.tolerate(fromSources, err)
	})
	if err := group.Wait(); err != nil || refused {
		return err
	}
	group, groupCtx = errgroup.WithContext(ctx)
	group.Go(func() error {
		return s.tolerate(fromGlobals, apps.Load(groupCtx, s.conn, s.external, types, listed))
	})
	group.Go(func() error { return s.readSources(groupCtx, listed) })
	return group.Wait()
}

// readSources reads the settings of Connected Apps. Those of other vendors cannot be read.
func (s *Snapshot) readSources(ctx context.Context, listed []mdapi.FileProperties) error {
	var names []string
	for _, l := range listed {
		if l.Type == connectedapp.TypeName {
			names = append(names, l.FullName)
		}
	}
	readable, unread, err := (&cutover.Client{Conn: s.conn}).ReadListed(ctx, names)
	s.sources = readable
	s.mu.Lock()
	for _, u := range unread {
		s.unseen = append(s.unseen, u.Error())
	}
	s.mu.Unlock()
	return s.tolerate(fromSources, err)
}

// readAccess reads what grants apps, and counts the users with these permission sets.
func (s *Snapshot) readAccess(ctx context.Context) error {
	const columns = "SetupEntityId, ParentId, Parent.Name, Parent.IsOwnedByProfile, Parent.Profile.Name"
	const from = "SetupEntityAccess WHERE SetupEntityType IN ('ExternalClientApplication', 'ConnectedApplication')"
	if err := query(s, &s.access, fromAccess, from, columns)(ctx); err != nil {
		return err
	}
	var ids []string
	for _, a := range s.access {
		if !a.Parent.IsOwnedByProfile {
			ids = append(ids, a.ParentID)
		}
	}
	counts, err := restapi.QueryIn[restapi.Loose[struct {
		PermissionSetID string
		N               int
	}]](ctx, s.rest(), "SELECT PermissionSetId, COUNT(AssigneeId) n FROM PermissionSetAssignment "+
		"WHERE PermissionSetId IN (%s) AND Assignee.IsActive = true GROUP BY PermissionSetId", ids)
	s.assigned = make(map[string]int)
	for _, c := range counts {
		s.assigned[restapi.ShortID(c.Record.PermissionSetID)] = c.Record.N
	}
	return s.tolerate(fromAssigned, err)
}

// userKey returns what a user is found by, from a username or an ID. ClientCredentialsFlowUser is a
// username according to a generated model of a real org, which types it as email. No official
// source says so, therefore IDs work as well.
func userKey(user string) string {
	if isUserID(user) {
		return restapi.ShortID(user)
	}
	return strings.ToLower(user)
}

// isUserID reports whether a text is a user's ID. A username contains an @.
func isUserID(text string) bool {
	return strings.HasPrefix(text, "005") && (len(text) == 15 || len(text) == 18) && !strings.Contains(text, "@")
}

// readUsers reads the users that client credentials run as.
func (s *Snapshot) readUsers(ctx context.Context) error {
	var users []string
	for _, p := range s.policies {
		users = append(users, p.ClientCredentialsFlowUser)
	}
	for _, a := range s.sources {
		users = append(users, a.RunAsUser)
	}
	names := slices.DeleteFunc(slices.Clone(users), isUserID)
	ids := slices.DeleteFunc(users, func(user string) bool { return !isUserID(user) })
	s.users = make(map[string]userRow)
	group, ctx := errgroup.WithContext(ctx)
	for field, values := range map[string][]string{"Id": ids, "Username": names} {
		group.Go(func() error {
			found, err := restapi.QueryIn[restapi.Loose[userRow]](ctx, s.rest(),
				"SELECT Id, Username, IsActive, Profile.Name FROM User WHERE "+field+" IN (%s)", values)
			s.mu.Lock()
			for _, u := range found {
				s.users[userKey(u.Record.ID)], s.users[userKey(u.Record.Username)] = u.Record, u.Record
			}
			s.mu.Unlock()
			return s.tolerate(fromUsers, err)
		})
	}
	return group.Wait()
}
