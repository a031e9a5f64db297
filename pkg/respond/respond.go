// Package respond shows who has access to an org through an app, and ends it: it revokes tokens, ends
// sessions, and switches External Client Apps off and on.
//
//	exposure, err := respond.Look(ctx, conn, respond.Selection{App: "Data Sync"})
//	revocation, err := exposure.Revoke(ctx)
//
// Connected Apps, External Client Apps and apps that are not installed are covered. No API blocks a
// Connected App, and a user who may log in gets another token after a revocation, so an app should be
// cut off first: an External Client App by Switch, any other in Setup. Sources: the documentation of
// OauthToken, AuthSession, LoginHistory and /apps/oauth/usage.
package respond

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/cutover"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Selection says whose access is meant. App, NotInstalled or both must be set.
type Selection struct {
	App          string // API name or label of an app
	NotInstalled bool   // apps that are not installed; with App, the one of that label
	User         string // username of the only user that is meant, "" for all
	Sessions     bool   // open sessions as well, not only tokens
}

// Kind is the kind of an app.
type Kind string

// The kinds.
const (
	External     Kind = "External Client App"
	Connected    Kind = "Connected App"
	NotInstalled Kind = "not installed" // an app of another org that users of this org log in with
)

// App is an app with the access that it gives.
type App struct {
	Kind  Kind   `json:"kind"`
	Name  string `json:"name"` // the API name of an External Client App, the label of any other
	Label string `json:"label"`
	ID    string `json:"id,omitempty"`

	Tokens   int      `json:"tokens"`             // number of tokens: refresh tokens, and other approvals
	Unclear  int      `json:"unclear,omitempty"`  // number of tokens with the label that may belong to another app
	Sessions int      `json:"sessions,omitempty"` // number of open sessions, if Selection.Sessions is set
	Holders  []Holder `json:"holders,omitempty"`  // the privileged first, then the latest

	labels   []string // what tokens and logins call the app
	items    []string // of the app menu, in its tokens
	bare     bool     // tokens without an item belong to it
	sessions []string // IDs
}

// Holder is a user with access through an app.
type Holder struct {
	ID         string    `json:"id"`
	Username   string    `json:"username"` // "" if the org does not show it
	Profile    string    `json:"profile,omitempty"`
	Inactive   bool      `json:"inactive,omitempty"`
	Privileges []string  `json:"privileges,omitempty"` // of ModifyAllData and ViewAllData
	Tokens     int       `json:"tokens"`
	LastUsed   time.Time `json:"lastUsed,omitzero"` // of a token
	Logins     []Login   `json:"logins,omitempty"`  // through the app, the latest first
}

// Login are logins of one user through an app that differ in their time alone.
type Login struct {
	Type    string    `json:"type,omitempty"`
	Subtype string    `json:"subtype,omitempty"` // such as OauthWebServer
	IP      string    `json:"ip,omitempty"`
	Status  string    `json:"status,omitempty"`
	Count   int       `json:"count"`
	Last    time.Time `json:"last"`
}

// Exposure is what an org shows of the access through some apps at one time.
type Exposure struct {
	OrgID string    `json:"orgId"`
	Time  time.Time `json:"time"`
	Apps  []*App    `json:"apps"` // empty if none gives access, see NotFoundError
	// Unseen is what the org refused to show or had too much of, with its reason.
	Unseen []string `json:"unseen,omitempty"`

	conn      *salesforce.Conn
	selection Selection
}

// Tokens returns the number of tokens of all apps.
func (e *Exposure) Tokens() (n int) {
	for _, app := range e.Apps {
		n += app.Tokens
	}
	return n
}

// Sessions returns the number of open sessions of all apps.
func (e *Exposure) Sessions() (n int) {
	for _, app := range e.Apps {
		n += app.Sessions
	}
	return n
}

// Users returns the number of users with access.
func (e *Exposure) Users() int {
	users := make(map[string]bool)
	for _, app := range e.Apps {
		for _, h := range app.Holders {
			users[h.ID] = true
		}
	}
	return len(users)
}

// NotFoundError reports that an org has neither an app of a name or label nor a token of one.
type NotFoundError struct {
	App          string
	NotInstalled bool // only apps that are not installed were meant
	// Similar are the names of the org's apps, of which the message suggests one that is close.
	Similar []string
}

func (e *NotFoundError) Error() string {
	if e.NotInstalled {
		return "the org has no token of an app with the label " + e.App + " that is not installed"
	}
	return fmt.Sprintf("the org has no app with the name or label %s%s", e.App, words.DidYouMean(e.App, e.Similar))
}

// AmbiguousError reports that several apps of an org share a label, so that the label selects none.
type AmbiguousError struct {
	App  string
	Apps []string // each with its kind
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%d apps of the org have the label %s: %s", len(e.Apps), e.App, strings.Join(e.Apps, ", "))
}

// OwnTokensError reports that the session sees its own user's tokens only, so that the tokens of the
// org cannot be counted. The permission Customize Application shows those of others.
type OwnTokensError struct{ Username string }

func (e *OwnTokensError) Error() string {
	return fmt.Sprintf("%s sees only tokens of their own, because the permission Customize Application is missing", e.Username)
}

// Look reads who has access through the selected apps, in at most four rounds of requests. It changes
// nothing. The error is a *NotFoundError, an *AmbiguousError or an *OwnTokensError if the org answers.
func Look(ctx context.Context, conn *salesforce.Conn, selection Selection) (*Exposure, error) {
	return look(ctx, conn, selection, true)
}

// look is Look, without the users and their logins unless they are wanted.
func look(ctx context.Context, conn *salesforce.Conn, selection Selection, users bool) (*Exposure, error) {
	if selection.App == "" && !selection.NotInstalled {
		return nil, errors.New("the selection names no app")
	}
	r := &reading{conn: conn, rest: &restapi.Client{Conn: conn}, selection: selection, Exposure: &Exposure{
		Time: time.Now().UTC(), Apps: []*App{}, conn: conn, selection: selection,
	}}
	if err := r.readApps(ctx); err != nil {
		return nil, err
	}
	if err := r.readMenu(ctx); err != nil {
		return nil, err
	}
	if err := r.choose(); err != nil && !r.wasUsed(ctx, err) {
		return nil, err
	}
	if users {
		if err := r.readHolders(ctx); err != nil {
			return nil, err
		}
	}
	for _, app := range r.Apps {
		slices.SortFunc(app.Holders, func(a, b Holder) int {
			return cmp.Or(len(b.Privileges)-len(a.Privileges), b.LastUsed.Compare(a.LastUsed), cmp.Compare(a.Username, b.Username))
		})
	}
	return r.Exposure, nil
}

// wasUsed reports whether an app that the org no longer shows is known from logins, as after a revocation of
// all its tokens. It has no access then.
func (r *reading) wasUsed(ctx context.Context, err error) bool {
	missing, ok := errors.AsType[*NotFoundError](err)
	if !ok || r.isInstalled(missing.App) {
		return false
	}
	used, err := restapi.Query[loginRow](ctx, r.rest, "SELECT Application FROM LoginHistory GROUP BY Application")
	i := slices.IndexFunc(used, func(l loginRow) bool { return strings.EqualFold(l.Application, missing.App) })
	if err != nil || i < 0 {
		return false
	}
	r.absent(used[i].Application)
	return true
}

// reading is one call of look.
type reading struct {
	*Exposure
	conn      *salesforce.Conn
	rest      *restapi.Client
	selection Selection

	me        restapi.UserInfo
	external  []*apps.App
	connected []connectedRow
	label     string // of the Connected App with the API name Selection.App, "" if there is none
	tokens    []tokenRow
	menu      map[string]string // app IDs by item, both short
	installed []*App            // of the org
	sessions  []sessionRow
	// blind reports that apps of the org may be missing, so that a label proves nothing.
	blind bool
}

type (
	connectedRow struct{ ID, Name string }
	menuRow      struct{ ID, ApplicationID string }
	tokenRow     struct { // the tokens of one user and app
		AppName, AppMenuItemID, UserID string
		N                              int
		Last                           string

		doubtful bool // whose app is not known for certain, because of a value of an unexpected type
	}
	userRow struct {
		ID, Username string
		IsActive     *bool
		Profile      struct{ Name string }
	}
	loginRow struct {
		UserID, Application, LoginTime, LoginType, LoginSubType, SourceIP, Status string
	}
	sessionRow struct {
		ID, UsersID  string
		IsCurrent    *bool
		LoginType    string
		LoginHistory struct{ Application string }
	}
)

// tolerate notes that the org refuses to show something, and returns any other error.
func (r *reading) tolerate(what string, err error) error {
	if shape, ok := errors.AsType[*restapi.ShapeError](err); ok {
		r.Unseen = append(r.Unseen, fmt.Sprintf("%s: %v", what, shape))
		return nil
	}
	if !restapi.Refused(err) {
		return err
	}
	answer, _ := errors.AsType[*salesforce.Error](err) // without the call around it
	r.Unseen = append(r.Unseen, fmt.Sprintf("%s: %v", what, answer))
	return nil
}

// usable returns rows, and notes members of an unexpected type, which the rows do not have.
func usable[Row any](r *reading, what string, loose []restapi.Loose[Row]) []Row {
	rows, odd := restapi.Records(loose)
	if len(odd) > 0 {
		r.Unseen = append(r.Unseen, fmt.Sprintf("%s: the org answers with values of an unexpected type: %s", what, strings.Join(odd, ", ")))
	}
	return rows
}

// setTokens keeps the tokens with the label of an app. A group has at least one token.
func (r *reading) setTokens(loose []restapi.Loose[tokenRow]) {
	unnamed := 0
	for i, t := range usable(r, "tokens", loose) {
		odd := strings.ToLower(loose[i].Odd)
		t.doubtful = !slices.Contains([]string{"", "n", "last", "userid"}, odd)
		t.N = max(1, t.N)
		if t.AppName == "" {
			unnamed += t.N
			continue
		}
		r.tokens = append(r.tokens, t)
	}
	if unnamed > 0 {
		r.Unseen = append(r.Unseen, fmt.Sprintf("tokens: %d without the label of an app", unnamed))
	}
}

// setConnected keeps the records of Connected Apps.
func (r *reading) setConnected(loose []restapi.Loose[connectedRow]) {
	r.connected = usable(r, "Connected Apps", loose)
	complete := func(row connectedRow) bool { return row.ID != "" && row.Name != "" }
	r.blind = r.blind || slices.ContainsFunc(r.connected, func(row connectedRow) bool { return !complete(row) })
	r.connected = slices.DeleteFunc(r.connected, func(row connectedRow) bool { return !complete(row) })
}

// readApps reads the apps of the org and counts all tokens by app and user.
func (r *reading) readApps(ctx context.Context) error {
	var org restapi.Organization
	var noExternal error // an older org has no such object
	var missing []string
	var tokens []restapi.Loose[tokenRow]
	var connected []restapi.Loose[connectedRow]
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { org, err = r.rest.Organization(groupCtx); return err })
	group.Go(func() (err error) { r.me, err = r.rest.UserInfo(groupCtx); return err })
	group.Go(func() (err error) { tokens, err = r.countTokens(groupCtx); return err })
	group.Go(func() (err error) {
		r.external, missing, err = apps.Apps(groupCtx, r.conn)
		if salesforce.Code(err) == "INVALID_TYPE" {
			noExternal, err = err, nil
		}
		return err
	})
	group.Go(func() (err error) {
		connected, err = restapi.Query[restapi.Loose[connectedRow]](groupCtx, r.rest, "SELECT Id, Name FROM ConnectedApplication")
		return err
	})
	group.Go(func() error { return r.readLabel(groupCtx) })
	if err := group.Wait(); err != nil {
		return err
	}
	r.blind = slices.ContainsFunc(missing, func(column string) bool { return column != "CreatedDate" && column != "OrgScopedExternalApp" })
	if slices.ContainsFunc(r.external, func(a *apps.App) bool { return a.Label == "" }) {
		missing, r.blind = append(missing, "MasterLabel"), true
	}
	if r.blind {
		r.Unseen = append(r.Unseen, "External Client Apps: the org lacks or hides "+strings.Join(words.Unique(missing), ", "))
	}
	r.setTokens(tokens)
	r.setConnected(connected)
	r.OrgID, r.installed = org.ID, r.installedApps()
	return r.tolerate("External Client Apps", noExternal)
}

// countTokens counts the tokens of the org by app and user. Source: OauthToken shows 2,500 rows at most,
// but groups all.
func (r *reading) countTokens(ctx context.Context) ([]restapi.Loose[tokenRow], error) {
	where := ""
	if r.selection.User != "" {
		where = "WHERE User.Username = " + restapi.Quote(r.selection.User) + " "
	}
	columns := []string{"AppName", "AppMenuItemId", "UserId", "COUNT(UserId) n", "MAX(LastUsedDate) last"}
	group := " GROUP BY AppName, AppMenuItemId, UserId"
	tokens, _, err := restapi.QueryColumns[restapi.Loose[tokenRow]](ctx, r.rest, columns, "OauthToken "+where+group)
	if salesforce.Code(err) == "EXCEEDED_ID_LIMIT" {
		columns = slices.Delete(columns, 2, 3)
		tokens, _, err = restapi.QueryColumns[restapi.Loose[tokenRow]](ctx, r.rest, columns, "OauthToken "+where+strings.TrimSuffix(group, ", UserId"))
	}
	return tokens, err
}

// readLabel finds the label of the Connected App whose API name is selected. Records and tokens of
// Connected Apps have the label alone.
func (r *reading) readLabel(ctx context.Context) error {
	if r.selection.App == "" {
		return nil
	}
	listed, err := (&mdapi.Client{Conn: r.conn}).List(ctx, connectedapp.TypeName)
	if restapi.Refused(err) {
		return nil // then labels alone select
	}
	if err != nil {
		return err
	}
	for _, l := range listed {
		if strings.EqualFold(l.FullName, r.selection.App) {
			found, _, err := (&cutover.Client{Conn: r.conn}).ReadListed(ctx, []string{l.FullName})
			if len(found) == 1 {
				r.label = found[0].Label()
			}
			return err
		}
	}
	return nil
}

// readMenu finds out to which apps the items of the app menu in tokens lead, whether the session
// sees the tokens of others, and the open sessions.
func (r *reading) readMenu(ctx context.Context) error {
	var ids []string
	mine := true
	for _, t := range r.tokens {
		ids = append(ids, t.AppMenuItemID)
		mine = mine && t.UserID != "" && restapi.SameID(t.UserID, r.me.UserID)
	}
	var menu []restapi.Loose[menuRow]
	var sessions []restapi.Loose[sessionRow]
	var rights []restapi.Loose[struct{ ID string }]
	var noMenu, noRights, noSessions error
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		menu, noMenu = restapi.QueryIn[restapi.Loose[menuRow]](groupCtx, r.rest, "SELECT Id, ApplicationId FROM AppMenuItem WHERE Id IN (%s)", ids)
		return unlessRefused(noMenu)
	})
	group.Go(func() error {
		sessions, noSessions = r.readSessions(groupCtx)
		return unlessRefused(noSessions)
	})
	group.Go(func() error {
		if !mine {
			return nil
		}
		rights, noRights = restapi.Query[restapi.Loose[struct{ ID string }]](groupCtx, r.rest, "SELECT Id FROM PermissionSetAssignment WHERE AssigneeId = "+
			restapi.Quote(r.me.UserID)+" AND PermissionSet.PermissionsCustomizeApplication = true LIMIT 1")
		return unlessRefused(noRights)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if mine && len(rights) == 0 {
		return &OwnTokensError{r.me.Username}
	}
	r.menu = make(map[string]string)
	for _, m := range usable(r, "the app menu", menu) {
		r.menu[restapi.ShortID(m.ID)] = restapi.ShortID(m.ApplicationID)
	}
	for i, s := range usable(r, "sessions", sessions) {
		// A session that does not say so may be the caller's.
		if sessions[i].Odd == "" && s.IsCurrent != nil && !*s.IsCurrent {
			r.sessions = append(r.sessions, s)
		}
	}
	return cmp.Or(r.tolerate("the app menu", noMenu), r.tolerate("sessions", noSessions))
}

func unlessRefused(err error) error {
	if restapi.Refused(err) || errors.As(err, new(*restapi.ShapeError)) {
		return nil
	}
	return err
}

// readSessions reads the open sessions of the user who is meant.
func (r *reading) readSessions(ctx context.Context) ([]restapi.Loose[sessionRow], error) {
	if !r.selection.Sessions {
		return nil, nil
	}
	query := "SELECT Id, UsersId, IsCurrent, LoginType, LoginHistory.Application FROM AuthSession"
	if r.selection.User != "" {
		query += " WHERE Users.Username = " + restapi.Quote(r.selection.User)
	}
	return restapi.Query[restapi.Loose[sessionRow]](ctx, r.rest, query)
}

// maxLogins is the number of rows that LoginHistory is asked for: one page.
const maxLogins = 2000

// readHolders reads the users with access: their names, privileges and logins.
func (r *reading) readHolders(ctx context.Context) error {
	ids := make(map[string]bool)
	for _, app := range r.Apps {
		for _, h := range app.Holders {
			ids[h.ID] = true
		}
	}
	all := slices.Sorted(maps.Keys(ids))
	var users []restapi.Loose[userRow]
	var found []restapi.Loose[loginRow]
	holders := make([][]restapi.Loose[assignment], len(privileged))
	refusals := make([]error, 2+len(privileged))
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		users, refusals[0] = restapi.QueryIn[restapi.Loose[userRow]](groupCtx, r.rest, "SELECT Id, Username, IsActive, Profile.Name FROM User WHERE Id IN (%s)", all)
		return unlessRefused(refusals[0])
	})
	group.Go(func() error {
		found, refusals[1] = restapi.QueryIn[restapi.Loose[loginRow]](groupCtx, r.rest, fmt.Sprintf("SELECT UserId, Application, LoginTime, LoginType, LoginSubType, SourceIp, Status "+
			"FROM LoginHistory WHERE UserId IN (%%s) ORDER BY LoginTime DESC LIMIT %d", maxLogins), all)
		return unlessRefused(refusals[1])
	})
	for i, permission := range privileged {
		group.Go(func() error {
			holders[i], refusals[2+i] = restapi.QueryIn[restapi.Loose[assignment]](groupCtx, r.rest,
				holdersOf[permission], all)
			return unlessRefused(refusals[2+i])
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, what := range append([]string{"names of users", "logins"}, privileged...) {
		if err := r.tolerate(what, refusals[i]); err != nil {
			return err
		}
	}
	named, logins := usable(r, "names of users", users), usable(r, "logins", found)
	privileges := make([][]assignment, len(privileged))
	for i, permission := range privileged {
		privileges[i] = usable(r, permission, holders[i])
	}
	if len(logins) >= maxLogins {
		r.Unseen = append(r.Unseen, fmt.Sprintf("logins: only the last %d", maxLogins))
	}
	for _, app := range r.Apps {
		for i := range app.Holders {
			h := &app.Holders[i]
			h.describe(named, privileges)
			for _, l := range logins {
				if restapi.SameID(l.UserID, h.ID) && app.isCalled(l.Application) {
					h.addLogin(l)
				}
			}
		}
	}
	return nil
}

// privileged are the permissions that Holder.Privileges has, and holdersOf the queries for who has them.
var (
	privileged = []string{"ModifyAllData", "ViewAllData"}
	holdersOf  = map[string]string{
		"ModifyAllData": "SELECT AssigneeId FROM PermissionSetAssignment WHERE PermissionSet.PermissionsModifyAllData = true AND AssigneeId IN (%s)",
		"ViewAllData":   "SELECT AssigneeId FROM PermissionSetAssignment WHERE PermissionSet.PermissionsViewAllData = true AND AssigneeId IN (%s)",
	}
)

// assignment is a user who has a permission.
type assignment struct{ AssigneeID string }

func (h *Holder) describe(users []userRow, privileges [][]assignment) {
	for _, u := range users {
		if restapi.SameID(u.ID, h.ID) {
			h.Username, h.Profile, h.Inactive = u.Username, u.Profile.Name, u.IsActive != nil && !*u.IsActive
		}
	}
	for i, assigned := range privileges {
		if slices.ContainsFunc(assigned, func(a assignment) bool { return restapi.SameID(a.AssigneeID, h.ID) }) {
			h.Privileges = append(h.Privileges, privileged[i])
		}
	}
}

func (h *Holder) addLogin(l loginRow) {
	at := restapi.ParseTime(l.LoginTime)
	for i := range h.Logins {
		if known := &h.Logins[i]; known.Type == l.LoginType && known.Subtype == l.LoginSubType && known.IP == l.SourceIP && known.Status == l.Status {
			known.Count++
			if at.After(known.Last) {
				known.Last = at
			}
			return
		}
	}
	h.Logins = append(h.Logins, Login{l.LoginType, l.LoginSubType, l.SourceIP, l.Status, 1, at})
}
