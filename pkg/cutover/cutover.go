// Package cutover reads the Connected Apps of an org, shows who still uses them after a migration to
// External Client Apps, and revokes the tokens of those that are replaced.
package cutover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Client reads the Connected Apps of one org.
type Client struct{ Conn *salesforce.Conn }

func (c *Client) rest() *restapi.Client { return &restapi.Client{Conn: c.Conn} }
func (c *Client) md() *mdapi.Client     { return &mdapi.Client{Conn: c.Conn} }

// Status is how far an org is in moving from Connected Apps to External Client Apps.
type Status struct {
	Replacements []Replacement
	// Unseen is what the org refused to show, with its reason. Blind reports that the tokens or the
	// records of apps are among it, so that the users of the Connected Apps are not certain.
	Unseen []string
	Blind  bool
}

// Replacement is a Connected App with the External Client App of the same name.
type Replacement struct {
	Name     string // the API name of both
	OldLabel string // of the Connected App
	NewLabel string // of the External Client App

	HasNew      bool // whether the org has the External Client App
	HasConsumer bool // whether the External Client App has a consumer

	// Old is the usage of the Connected App, and New of the External Client App. Either may be of the
	// Connected App or of another app with its label.
	Old, New, Either []Usage

	newID  string
	oldIDs []string // the Connected Apps with the label
	rivals int      // number of other External Client Apps with the label
	items  []string // of the app menu, of the Connected App
}

// Usage is how a user uses an app.
type Usage struct {
	// Username is the user's name, or the ID if the org does not show the name. For all users of an app
	// with too many to show, see Many.
	Username string `json:"username"`
	// Tokens is the number of the user's tokens.
	Tokens int `json:"tokens,omitempty"`
	// LastUsed is the last use of a token, and LastLogin the last login in the last six months; zero
	// means never.
	LastUsed  time.Time `json:"lastUsed,omitzero"`
	LastLogin time.Time `json:"lastLogin,omitzero"`
}

// manyUsers is the Username of all users of an app together.
const manyUsers = "more than 2,000 users"

// Many reports whether the usage is that of all users of an app together.
func (u Usage) Many() bool { return u.Username == manyUsers }

// Last returns the time of the last use or login.
func (u Usage) Last() time.Time {
	if u.LastLogin.After(u.LastUsed) {
		return u.LastLogin
	}
	return u.LastUsed
}

// records are an org's records of apps and their usage.
type records struct {
	client *Client
	mu     sync.Mutex
	status *Status

	connected []connectedRow
	external  []*apps.App
	settings  []settingsRow
	menu      []menuRow
	tokens    []tokenRow
	logins    []loginRow
}

type (
	connectedRow struct{ ID, Name string }
	settingsRow  struct{ ExternalClientApplicationID, OauthLink string }
	menuRow      struct{ ID, ApplicationID string }
	loginRow     struct{ Application, UserID, Last string }
	tokenRow     struct { // the tokens of one user and app
		AppName, AppMenuItemID, UserID string
		N                              int
		Last                           string
	}
)

// maxLogins is the number of rows that LoginHistory is asked for. LoginHistory cannot be filtered by
// application, and the answer to a grouped query has one page.
const maxLogins = 2000

// Status reads who uses the Connected Apps of some names and the External Client Apps of the same names,
// in four or five rounds of requests. Without names, it reads all Connected Apps that have an External
// Client App of the same name. If the org refuses to show something, it is in Unseen, and usage may
// be missing. Any other failure is an error.
//
// Tokens and logins contain only the label of an app. A token with an item of the app menu belongs to
// that item's app. Source: the documentation of OauthToken and LoginHistory.
func (c *Client) Status(ctx context.Context, names ...string) (*Status, error) {
	found, unread, err := c.Read(ctx, names...)
	if err != nil {
		return nil, err
	}
	r := &records{client: c, status: new(Status)}
	for _, u := range unread {
		r.status.Unseen = append(r.status.Unseen, u.Error())
	}
	return r.read(ctx, found, len(names) == 0)
}

// Usage is Status for Connected Apps that were read.
func (c *Client) Usage(ctx context.Context, found []*connectedapp.App) (*Status, error) {
	r := &records{client: c, status: new(Status)}
	return r.read(ctx, found, false)
}

// read reads the usage of Connected Apps, or of those that have an External Client App of the same name.
func (r *records) read(ctx context.Context, found []*connectedapp.App, replaced bool) (*Status, error) {
	if err := r.readApps(ctx); err != nil {
		return nil, err
	}
	var replacements []Replacement
	for _, app := range found {
		if p := r.replacement(app); p.HasNew || !replaced {
			replacements = append(replacements, p)
		}
	}
	if err := r.readTokens(ctx, replacements); err != nil {
		return nil, err
	}
	if err := r.readMenu(ctx, replacements); err != nil {
		return nil, err
	}
	for i := range replacements {
		r.attribute(&replacements[i])
	}
	r.status.Replacements = replacements
	return r.status, r.nameUsers(ctx)
}

// tolerate notes that the org refuses to show something, and returns any other error. An error of the
// network or a busy org does not mean that there is nothing.
func (r *records) tolerate(what string, err error) error {
	if shape, ok := errors.AsType[*restapi.ShapeError](err); ok {
		r.note(fmt.Sprintf("%s: %v", what, shape))
		return nil
	}
	if !restapi.Refused(err) {
		return err
	}
	answer, _ := errors.AsType[*salesforce.Error](err) // without the call around it
	r.note(fmt.Sprintf("%s: %v", what, answer))
	return nil
}

// require is tolerate for what the owners of tokens depend on.
func (r *records) require(what string, err error) error {
	if restapi.Refused(err) || errors.As(err, new(*restapi.ShapeError)) {
		r.blind()
	}
	return r.tolerate(what, err)
}

// blind notes that the owners of tokens are not known for certain, so that none is revoked.
func (r *records) blind() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Blind = true
}

// usable returns rows, and notes members of an unexpected type, which the rows do not have. If the owners
// of tokens depend on them, the records are blind.
func usable[Row any](r *records, what string, loose []restapi.Loose[Row], required bool) []Row {
	rows, odd := restapi.Records(loose)
	if len(odd) > 0 {
		r.note(fmt.Sprintf("%s: the org answers with values of an unexpected type: %s", what, strings.Join(odd, ", ")))
		if required {
			r.blind()
		}
	}
	return rows
}

func (r *records) note(unseen string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Unseen = append(r.status.Unseen, unseen)
}

// readApps reads what does not depend on labels: the records of apps, and logins.
func (r *records) readApps(ctx context.Context) error {
	rest := r.client.rest()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		rows, err := restapi.Query[restapi.Loose[connectedRow]](ctx, rest, "SELECT Id, Name FROM ConnectedApplication")
		r.connected = usable(r, "records of Connected Apps", rows, true)
		return r.require("records of Connected Apps", err)
	})
	group.Go(func() (err error) {
		r.external, _, err = apps.Apps(ctx, r.client.Conn)
		return r.require("records of External Client Apps", err)
	})
	group.Go(func() error {
		rows, err := restapi.Query[restapi.Loose[settingsRow]](ctx, rest,
			"SELECT ExternalClientApplicationId, OauthLink FROM ExtlClntAppOauthSettings")
		r.settings = usable(r, "records of their OAuth settings", rows, true)
		return r.require("records of their OAuth settings", err)
	})
	group.Go(func() error {
		rows, err := restapi.Query[restapi.Loose[loginRow]](ctx, rest, fmt.Sprintf("SELECT Application, UserId, MAX(LoginTime) last "+
			"FROM LoginHistory GROUP BY Application, UserId ORDER BY MAX(LoginTime) DESC LIMIT %d", maxLogins))
		r.logins = usable(r, "logins", rows, false)
		if len(r.logins) == maxLogins {
			first := restapi.ParseTime(r.logins[maxLogins-1].Last).Format(time.DateOnly)
			r.note(fmt.Sprintf("logins: only the last of %d users and applications, back to %s", maxLogins, first))
		}
		return r.tolerate("logins", err)
	})
	return group.Wait()
}

// replacement returns a Connected App with its External Client App, without usage.
func (r *records) replacement(app *connectedapp.App) Replacement {
	p := Replacement{Name: app.Name, OldLabel: app.Label()}
	for _, c := range r.connected {
		if strings.EqualFold(c.Name, p.OldLabel) {
			p.oldIDs = append(p.oldIDs, c.ID)
		}
	}
	for _, e := range r.external {
		switch {
		case e.Namespace == "" && strings.EqualFold(e.Name, app.Name):
			p.HasNew, p.NewLabel, p.newID = true, e.Label, e.ID
		case strings.EqualFold(e.Label, p.OldLabel), strings.EqualFold(e.Name, p.OldLabel):
			p.rivals++
		}
	}
	p.HasConsumer = slices.ContainsFunc(r.settings, func(s settingsRow) bool {
		return s.OauthLink != "" && restapi.SameID(s.ExternalClientApplicationID, p.newID)
	})
	return p
}

// readTokens counts the tokens of apps by user. If these are too many rows for one page, it counts
// them by app.
func (r *records) readTokens(ctx context.Context, replacements []Replacement) (err error) {
	var labels []string
	for _, p := range replacements {
		labels = append(labels, p.OldLabel)
		if p.HasNew {
			labels = append(labels, p.NewLabel, p.Name)
		}
	}
	const query = "SELECT AppName, AppMenuItemId, COUNT(UserId) n%s%s FROM OauthToken WHERE AppName IN (%%s) GROUP BY AppName, AppMenuItemId%[1]s"
	user, last := ", UserId", ", MAX(LastUsedDate) last"
	for {
		rows, err := restapi.QueryIn[restapi.Loose[tokenRow]](ctx, r.client.rest(), fmt.Sprintf(query, user, last), labels)
		switch {
		case user != "" && salesforce.Code(err) == "EXCEEDED_ID_LIMIT":
			user = ""
		case last != "" && restapi.Refused(err): // see token-dates-aggregate of pkg/platform
			last = ""
		default:
			r.tokens = usable(r, "tokens", rows, true)
			return r.require("tokens", err)
		}
	}
}

// readMenu reads the menu items of tokens, and those of the apps.
func (r *records) readMenu(ctx context.Context, replacements []Replacement) error {
	var items, ids []string
	for _, t := range r.tokens {
		items = append(items, t.AppMenuItemID)
	}
	for _, p := range replacements {
		ids = append(append(ids, p.oldIDs...), p.newID)
	}
	for _, by := range []struct {
		field string
		ids   []string
	}{{"Id", items}, {"ApplicationId", ids}} {
		menu, err := restapi.QueryIn[restapi.Loose[menuRow]](ctx, r.client.rest(),
			"SELECT Id, ApplicationId FROM AppMenuItem WHERE "+by.field+" IN (%s)", by.ids)
		if err != nil {
			return r.tolerate("the app menu", err)
		}
		r.menu = append(r.menu, usable(r, "the app menu", menu, true)...)
	}
	return nil
}

// owner is the app that a token or a login belongs to.
type owner int

const (
	otherApp owner = iota
	oldApp
	newApp
	eitherApp // the Connected App, or another app with its label
)

// attribute sets the usage of a replacement's apps.
func (r *records) attribute(p *Replacement) {
	menu := make(map[string]string) // app IDs by menu item
	for _, m := range r.menu {
		menu[restapi.ShortID(m.ID)] = restapi.ShortID(m.ApplicationID)
		if p.isOld(m.ApplicationID) && !slices.Contains(p.items, m.ID) {
			p.items = append(p.items, m.ID)
		}
	}
	usage := map[owner]users{oldApp: {}, newApp: {}, eitherApp: {}}
	for _, t := range r.tokens {
		if of := usage[p.ownerOfToken(t, menu[restapi.ShortID(t.AppMenuItemID)])]; of != nil {
			u := of.user(t.UserID)
			u.Tokens += t.N
			u.LastUsed = restapi.Later(u.LastUsed, t.Last)
		}
	}
	for _, l := range r.logins {
		if of := usage[p.ownerOfLabel(l.Application)]; of != nil {
			u := of.user(l.UserID)
			u.LastLogin = restapi.Later(u.LastLogin, l.Last)
		}
	}
	p.Old, p.New, p.Either = usage[oldApp].list(), usage[newApp].list(), usage[eitherApp].list()
}

// ownerOfToken returns the owner of tokens. appID is the app of their menu item, "" if that is not known.
func (p *Replacement) ownerOfToken(t tokenRow, appID string) owner {
	byLabel := p.ownerOfLabel(t.AppName)
	switch {
	case p.isOld(appID) && len(p.oldIDs) == 1:
		return oldApp
	case p.isOld(appID):
		return eitherApp
	case appID != "" && appID == restapi.ShortID(p.newID):
		return newApp
	case appID != "":
		return otherApp
	case byLabel == oldApp && (t.AppMenuItemID != "" || len(p.items) > 0):
		// The org hides the item; or the Connected App's tokens have an item, and this one has none.
		return eitherApp
	}
	return byLabel
}

// isOld reports whether an ID is that of a Connected App with the label.
func (p *Replacement) isOld(appID string) bool {
	return slices.ContainsFunc(p.oldIDs, func(id string) bool { return restapi.SameID(id, appID) })
}

// ownerOfLabel returns the owner of what contains only an app's label.
func (p *Replacement) ownerOfLabel(label string) owner {
	isOld := strings.EqualFold(label, p.OldLabel)
	isNew := p.HasNew && (strings.EqualFold(label, p.NewLabel) || strings.EqualFold(label, p.Name))
	switch {
	case isOld && (isNew || len(p.oldIDs) > 1 || p.rivals > 0):
		return eitherApp
	case isOld:
		return oldApp
	case isNew:
		return newApp
	}
	return otherApp
}

// users is the usage of an app by the first 15 characters of the user's ID.
type users map[string]*Usage

func (u users) user(id string) *Usage {
	key := restapi.ShortID(id)
	if u[key] == nil {
		u[key] = &Usage{Username: id}
	}
	return u[key]
}

// list returns the usage, the latest first.
func (u users) list() (all []Usage) {
	for _, usage := range u {
		all = append(all, *usage)
	}
	slices.SortFunc(all, func(a, b Usage) int {
		return cmp.Or(b.Last().Compare(a.Last()), cmp.Compare(a.Username, b.Username))
	})
	return all
}

// nameUsers replaces the IDs of users with their names.
func (r *records) nameUsers(ctx context.Context) error {
	var all []*Usage
	var ids []string
	for i := range r.status.Replacements {
		p := &r.status.Replacements[i]
		for _, list := range [][]Usage{p.Old, p.New, p.Either} {
			for j := range list {
				all = append(all, &list[j])
				ids = append(ids, list[j].Username)
			}
		}
	}
	found, err := restapi.QueryIn[restapi.Loose[struct{ ID, Username string }]](ctx, r.client.rest(),
		"SELECT Id, Username FROM User WHERE Id IN (%s)", ids)
	names := make(map[string]string)
	for _, u := range found {
		names[restapi.ShortID(u.Record.ID)] = u.Record.Username
	}
	for _, u := range all {
		u.Username = cmp.Or(names[restapi.ShortID(u.Username)], u.Username, manyUsers)
	}
	return r.tolerate("names of users", err)
}
