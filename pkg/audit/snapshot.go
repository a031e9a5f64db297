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
	"github.com/ecakit/ecakit/pkg/cutover"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
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
	external  []*apps.App
	policies  []policyRow
	plugins   []pluginRow
	settings  []settingsRow
	connected []connectedRow
	sources   []*connectedapp.App // the Connected Apps that can be read
	tokens    []tokenRow
	menu      []menuRow
	access    []accessRow
	logins    []loginRow

	assigned map[string]int     // number of users by permission set, by the ID's first 15 characters
	users    map[string]userRow // by userKey of ID and of username
	admins   map[string]bool    // users who may modify all data, by userKey of the ID
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
	pluginRow struct {
		App               string `json:"ExternalClientApplicationId"`
		IsEnabled         bool
		OauthPluginStatus string
	}
	settingsRow  map[string]any
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
	fromAdmins    source = "who may modify all data"
	fromAssigned  source = "who has the permission sets"
)

// Read reads the apps of an org, in at most four rounds of requests. What the org refuses to show is
// noted for Report.Unseen. Any other failure is an error.
func Read(ctx context.Context, conn *salesforce.Conn) (*Snapshot, error) {
	s := &Snapshot{conn: conn, hidden: make(map[source]bool)}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, read := range []func(context.Context) error{
		s.readOrg, s.readApps, s.readTokens, s.readAccess,
		query(s, &s.plugins, fromPlugins, "ExtlClntAppPlcyCnfg",
			"ExternalClientApplicationId, IsEnabled, OauthPluginStatus"),
		query(s, &s.policies, fromPolicies, "ExtlClntAppOauthPlcyCnfg",
			"ExternalClientApplicationId, PermittedUsersPolicyType, "+
				"RefreshTokenPolicyType, RefreshTokenValidityPeriod, RefreshTokenValidityUnit, IpRelaxationPolicyType, "+
				"IsClientCredentialsFlowEnabled, IsTokenExchangeFlowEnabled, IsGuestCodeCredFlowEnabled, "+
				"ClientCredentialsFlowUser"),
		query(s, &s.settings, fromSettings, "ExtlClntAppOauthSettings",
			"ExternalClientApplicationId, CreatedDate, "+strings.Join(slices.Sorted(maps.Values(eca.ScopeColumns())), ", ")),
		query(s, &s.connected, fromConnected, "ConnectedApplication",
			"Id, Name, CreatedDate, OptionsAllowAdminApprovedUsersOnly"),
		query(s, &s.logins, fromLogins, "LoginHistory GROUP BY Application, LoginSubType",
			"Application, LoginSubType, MAX(LoginTime) last"),
	} {
		group.Go(func() error { return read(groupCtx) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return s, s.readUsers(ctx)
}

// tolerate notes that the org refuses to show a source, and returns any other error. An error of the
// network or a busy org says nothing about the source, so it must not pass for a refusal.
func (s *Snapshot) tolerate(what source, err error) error {
	if !restapi.Refused(err) {
		return err
	}
	answer, _ := errors.AsType[*salesforce.Error](err) // without the call around it
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden[what] = true
	s.unseen = append(s.unseen, fmt.Sprintf("%s: %v", what, answer))
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
	return func(ctx context.Context) (err error) {
		var missing []string
		*into, missing, err = restapi.QueryColumns[T](ctx, s.rest(), strings.Split(columns, ", "), from)
		s.lacks(what, missing)
		return s.tolerate(what, err)
	}
}

func (s *Snapshot) rest() *restapi.Client { return &restapi.Client{Conn: s.conn} }

// distinct returns the values that are not empty, sorted and without duplicates.
func distinct(values []string) []string {
	sorted := slices.Compact(slices.Sorted(slices.Values(values)))
	return slices.DeleteFunc(sorted, func(v string) bool { return v == "" })
}

func (s *Snapshot) readOrg(ctx context.Context) (err error) {
	s.org, err = s.rest().Organization(ctx)
	return err
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

// readTokens counts tokens, and reads the menu items that they name.
func (s *Snapshot) readTokens(ctx context.Context) error {
	const columns = "AppName, AppMenuItemId, COUNT(UserId) n, COUNT_DISTINCT(UserId) users, MAX(LastUsedDate) last"
	err := query(s, &s.tokens, fromTokens, "OauthToken GROUP BY AppName, AppMenuItemId", columns)(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, t := range s.tokens {
		ids = append(ids, t.AppMenuItemID)
	}
	s.menu, err = restapi.QueryIn[menuRow](ctx, s.rest(),
		"SELECT Id, ApplicationId FROM AppMenuItem WHERE Id IN (%s)", ids)
	return s.tolerate(fromMenu, err)
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
	counts, err := restapi.QueryIn[struct {
		PermissionSetID string
		N               int
	}](ctx, s.rest(), "SELECT PermissionSetId, COUNT(AssigneeId) n FROM PermissionSetAssignment "+
		"WHERE PermissionSetId IN (%s) AND Assignee.IsActive = true GROUP BY PermissionSetId", ids)
	s.assigned = make(map[string]int)
	for _, c := range counts {
		s.assigned[restapi.ShortID(c.PermissionSetID)] = c.N
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
	s.users, s.admins = make(map[string]userRow), make(map[string]bool)
	group, ctx := errgroup.WithContext(ctx)
	for _, by := range []struct {
		field, assignee string
		values          []string
	}{{"Id", "AssigneeId", ids}, {"Username", "Assignee.Username", names}} {
		group.Go(func() error {
			found, err := restapi.QueryIn[userRow](ctx, s.rest(),
				"SELECT Id, Username, IsActive, Profile.Name FROM User WHERE "+by.field+" IN (%s)", by.values)
			s.mu.Lock()
			for _, u := range found {
				s.users[userKey(u.ID)], s.users[userKey(u.Username)] = u, u
			}
			s.mu.Unlock()
			return s.tolerate(fromUsers, err)
		})
		group.Go(func() error {
			found, err := restapi.QueryIn[struct{ AssigneeID string }](ctx, s.rest(),
				"SELECT AssigneeId FROM PermissionSetAssignment WHERE PermissionSet.PermissionsModifyAllData = true "+
					"AND "+by.assignee+" IN (%s)", by.values)
			s.mu.Lock()
			for _, a := range found {
				s.admins[userKey(a.AssigneeID)] = true
			}
			s.mu.Unlock()
			return s.tolerate(fromAdmins, err)
		})
	}
	return group.Wait()
}
