// Package cutover reads the Connected Apps of an org, shows who still uses them after a migration to
// External Client Apps, and revokes the tokens of those that are replaced.
package cutover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Client looks at the Connected Apps of one org.
type Client struct{ Conn *salesforce.Conn }

func (c *Client) rest() *restapi.Client { return &restapi.Client{Conn: c.Conn} }
func (c *Client) md() *mdapi.Client     { return &mdapi.Client{Conn: c.Conn} }

// UnreadableError reports a Connected App that the org lists and does not show, as it does with
// those of other vendors.
type UnreadableError struct {
	App string
	Err error // the org's refusal, nil where the org returned nothing
}

func (e *UnreadableError) Error() string {
	message := e.App + " is listed and cannot be read, like apps of other vendors, which their vendors move"
	if e.Err != nil {
		message += ": " + e.Err.Error()
	}
	return message
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// Read returns Connected Apps of the org by name, all of them where none is named, and the names
// of those that the org does not show. A name that the org does not have is a *NoAppError.
//
// Salesforce does not show apps of other vendors ("Load of metadata from db failed"). Whether one
// of them spoils the reading of others is not certain, so a call that fails so is made again for
// each app.
func (c *Client) Read(ctx context.Context, names ...string) (apps []*connectedapp.App, unread []*UnreadableError, err error) {
	listed, err := c.md().List(ctx, connectedapp.TypeName)
	if err != nil {
		return nil, nil, err
	}
	var wanted []string
	for _, l := range listed {
		if len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, l.FullName) }) {
			wanted = append(wanted, l.FullName)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, name) }) {
			return nil, nil, &NoAppError{App: name}
		}
	}
	return c.ReadListed(ctx, wanted)
}

// ReadListed is Read of names that the org lists.
func (c *Client) ReadListed(ctx context.Context, names []string) (apps []*connectedapp.App, unread []*UnreadableError, err error) {
	names = slices.Sorted(slices.Values(names))
	components, err := c.read(ctx, names)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		switch got := components[name].(type) {
		case *metadata.Component:
			apps = append(apps, connectedapp.FromOrg(got))
		case error:
			unread = append(unread, &UnreadableError{name, got})
		default:
			unread = append(unread, &UnreadableError{App: name})
		}
	}
	return apps, unread, nil
}

// maxParallel is how many calls read at once.
const maxParallel = 32

// read returns a *metadata.Component, an error or nothing for each name.
func (c *Client) read(ctx context.Context, names []string) (map[string]any, error) {
	got := make(map[string]any)
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	for batch := range slices.Chunk(names, mdapi.MaxComponents) {
		group.Go(func() error {
			some, err := c.batch(groupCtx, batch)
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(got, some)
			return err
		})
	}
	return got, group.Wait()
}

// batch reads the names of one call.
func (c *Client) batch(ctx context.Context, names []string) (map[string]any, error) {
	got := make(map[string]any)
	components, err := c.md().Read(ctx, connectedapp.TypeName, names...)
	if refused := new(salesforce.Error); errors.As(err, &refused) && strings.Contains(refused.Message, "Load of metadata from db failed") {
		var mu sync.Mutex
		group, groupCtx := errgroup.WithContext(ctx)
		for _, name := range names {
			group.Go(func() error {
				one, err := c.md().Read(groupCtx, connectedapp.TypeName, name)
				mu.Lock()
				defer mu.Unlock()
				components = append(components, one...)
				if refused := new(salesforce.Error); errors.As(err, &refused) {
					got[name], err = error(refused), nil
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	for _, component := range components {
		got[component.FullName] = component
	}
	return got, nil
}

// NoAppError reports that the org has no Connected App of that name.
type NoAppError struct{ App string }

func (e *NoAppError) Error() string { return "the org has no Connected App " + e.App }

// Pair is a Connected App and the External Client App that takes its place, by name.
type Pair struct {
	Name     string // the API name of both
	OldLabel string
	NewLabel string

	HasNew      bool // whether the org has the External Client App
	HasConsumer bool // whether that has a consumer

	Old, New []Use
	// Either are uses of which the org does not tell whether they are of the old app, because
	// another one has its label.
	Either []Use

	newID  string
	oldIDs []string // of the Connected Apps that have the label; one, unless it has twins
	rivals int      // how many other External Client Apps have it
	items  []string // of the app menu, of the old app
}

// shared tells whether other apps have the Connected App's label.
func (p *Pair) shared() bool { return len(p.oldIDs) > 1 || p.rivals > 0 }

// Use is how a user uses an app.
type Use struct {
	// Username is the user's, or the ID where the org does not tell the name, or manyUsers for all
	// users together, where they are too many to be told one by one.
	Username string `json:"username"`
	// Tokens is how many tokens the user has.
	Tokens int `json:"tokens,omitempty"`
	// LastUsed is when a token was last used, and LastLogin when the user last logged in, of the
	// last six months; zero for never.
	LastUsed  time.Time `json:"lastUsed,omitzero"`
	LastLogin time.Time `json:"lastLogin,omitzero"`
}

// manyUsers stands for users who are not told one by one.
const manyUsers = "more than 2,000 users"

// Many tells whether the use is that of all users together.
func (u Use) Many() bool { return u.Username == manyUsers }

// Last is when the app was last used.
func (u Use) Last() time.Time {
	if u.LastLogin.After(u.LastUsed) {
		return u.LastLogin
	}
	return u.LastUsed
}

// CutOver is how far an org is in moving from Connected Apps to External Client Apps.
type CutOver struct {
	Pairs []Pair
	// Unseen is what the org did not let the session see, and why. Blind says that the tokens or
	// records of apps are among it, so that nothing tells for sure who uses the old apps.
	Unseen []string
	Blind  bool
}

// records are what an org's records say about apps and who uses them.
type records struct {
	connected []struct{ ID, Name string }
	external  []struct{ ID, DeveloperName, MasterLabel, NamespacePrefix string }
	settings  []struct{ ExternalClientApplicationID, OauthLink string }
	menu      []struct{ ID, ApplicationID string }
	tokens    []tokens
	logins    []struct{ Application, UserID, Last string }
}

// tokens are those of one user and app.
type tokens struct {
	AppName, AppMenuItemID, UserID string
	N                              int
	Last                           string
}

// maxLogins is how many pairs of application and user LoginHistory is asked for: it cannot be
// filtered by application, and a grouped query has one page.
const maxLogins = 2000

// CutOver looks which Connected Apps have an External Client App of the same name, and who uses
// either. It takes four or five rounds of requests. names leaves out all other apps; none takes
// all that have one of each kind. A refusal of the org is in Unseen, and then uses may be missing.
//
// Tokens and logins name an app by its label alone. A token with an item of the app menu is of that
// item's app; of one without, and of logins, nothing tells which of two apps with one label they
// are of. Source: the documentation of OauthToken and LoginHistory.
func (c *Client) CutOver(ctx context.Context, names ...string) (*CutOver, error) {
	result, _, err := c.cutOver(ctx, names...)
	return result, err
}

func (c *Client) cutOver(ctx context.Context, names ...string) (*CutOver, *records, error) {
	apps, unread, err := c.Read(ctx, names...)
	if err != nil {
		return nil, nil, err
	}
	result := &CutOver{}
	for _, u := range unread {
		result.Unseen = append(result.Unseen, u.Error())
	}
	var mu sync.Mutex
	look := func(what string, err error) error {
		refused := new(salesforce.Error)
		if err == nil || !errors.As(err, &refused) || salesforce.IsSessionExpired(err) {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		result.Unseen = append(result.Unseen, what+": "+refused.Error())
		result.Blind = result.Blind || what == "tokens" || strings.HasPrefix(what, "records of ")
		return nil
	}
	has := new(records)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		has.connected, err = restapi.Query[struct{ ID, Name string }](groupCtx, c.rest(), "SELECT Id, Name FROM ConnectedApplication")
		return look("records of Connected Apps", err)
	})
	group.Go(func() (err error) {
		has.external, err = restapi.Query[struct{ ID, DeveloperName, MasterLabel, NamespacePrefix string }](groupCtx, c.rest(), "SELECT Id, DeveloperName, MasterLabel, NamespacePrefix FROM ExternalClientApplication")
		return look("records of External Client Apps", err)
	})
	group.Go(func() (err error) {
		has.settings, err = restapi.Query[struct{ ExternalClientApplicationID, OauthLink string }](groupCtx, c.rest(), "SELECT ExternalClientApplicationId, OauthLink FROM ExtlClntAppOauthSettings")
		return look("records of their OAuth settings", err)
	})
	group.Go(func() (err error) {
		has.logins, err = restapi.Query[struct{ Application, UserID, Last string }](groupCtx, c.rest(), fmt.Sprintf("SELECT Application, UserId, MAX(LoginTime) last FROM LoginHistory GROUP BY Application, UserId ORDER BY MAX(LoginTime) DESC LIMIT %d", maxLogins))
		if len(has.logins) == maxLogins {
			mu.Lock()
			result.Unseen = append(result.Unseen, fmt.Sprintf("logins: only the last of %d users and applications, back to %s", maxLogins, restapi.ParseTime(has.logins[maxLogins-1].Last).Format(time.DateOnly)))
			mu.Unlock()
		}
		return look("logins", err)
	})
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	pairs := has.pairs(apps, len(names) > 0)
	var labels []string
	for _, p := range pairs {
		labels = append(labels, p.OldLabel)
		if p.HasNew {
			labels = append(labels, p.NewLabel, p.Name)
		}
	}
	slices.Sort(labels)
	err = look("tokens", c.readTokens(ctx, has, slices.Compact(labels)))
	if err == nil {
		err = look("the app menu", c.readMenu(ctx, has, pairs))
	}
	if err != nil {
		return nil, nil, err
	}
	for i := range pairs {
		has.sort(&pairs[i])
	}
	result.Pairs = pairs
	return result, has, c.name(ctx, result)
}

// readTokens counts the tokens of apps with some labels by user, or where there are too many for
// one page, all of an app together.
func (c *Client) readTokens(ctx context.Context, has *records, labels []string) (err error) {
	const query = "SELECT AppName, AppMenuItemId, %sCOUNT(UserId) n, MAX(LastUsedDate) last FROM OauthToken WHERE AppName IN (%%s) GROUP BY AppName, AppMenuItemId%s"
	has.tokens, err = restapi.QueryIn[tokens](ctx, c.rest(), fmt.Sprintf(query, "UserId, ", ", UserId"), labels)
	if refused := new(salesforce.Error); errors.As(err, &refused) && refused.Code == "EXCEEDED_ID_LIMIT" {
		has.tokens, err = restapi.QueryIn[tokens](ctx, c.rest(), fmt.Sprintf(query, "", ""), labels)
	}
	return err
}

// readMenu asks for the menu items of tokens, and for those of the apps.
func (c *Client) readMenu(ctx context.Context, has *records, pairs []Pair) error {
	var items, apps []string
	for _, t := range has.tokens {
		if t.AppMenuItemID != "" {
			items = append(items, t.AppMenuItemID)
		}
	}
	for _, p := range pairs {
		apps = append(apps, p.oldIDs...)
		if p.newID != "" {
			apps = append(apps, p.newID)
		}
	}
	slices.Sort(items)
	slices.Sort(apps)
	apps = slices.Compact(apps)
	for field, ids := range map[string][]string{"Id": slices.Compact(items), "ApplicationId": apps} {
		menu, err := restapi.QueryIn[struct{ ID, ApplicationID string }](ctx, c.rest(), "SELECT Id, ApplicationId FROM AppMenuItem WHERE "+field+" IN (%s)", ids)
		if err != nil {
			return err
		}
		has.menu = append(has.menu, menu...)
	}
	return nil
}

// pairs finds the External Client App of each Connected App.
func (r *records) pairs(apps []*connectedapp.App, all bool) (pairs []Pair) {
	for _, app := range apps {
		p := Pair{Name: app.Name, OldLabel: app.Label()}
		for _, c := range r.connected {
			if strings.EqualFold(c.Name, p.OldLabel) {
				p.oldIDs = append(p.oldIDs, c.ID)
			}
		}
		for _, e := range r.external {
			switch {
			case e.NamespacePrefix == "" && strings.EqualFold(e.DeveloperName, app.Name):
				p.HasNew, p.NewLabel, p.newID = true, e.MasterLabel, e.ID
			case strings.EqualFold(e.MasterLabel, p.OldLabel), strings.EqualFold(e.DeveloperName, p.OldLabel):
				p.rivals++
			}
		}
		for _, s := range r.settings {
			if p.newID != "" && restapi.ShortID(s.ExternalClientApplicationID) == restapi.ShortID(p.newID) {
				p.HasConsumer = s.OauthLink != ""
			}
		}
		if p.HasNew || all {
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// sort sorts uses by app.
func (r *records) sort(p *Pair) {
	menu := make(map[string]string) // the app's ID, by the menu item's
	for _, m := range r.menu {
		menu[restapi.ShortID(m.ID)] = restapi.ShortID(m.ApplicationID)
		if p.isOld(m.ApplicationID) && !slices.Contains(p.items, m.ID) {
			p.items = append(p.items, m.ID)
		}
	}
	of := map[string]uses{"old": {}, "new": {}, "either": {}}
	for _, t := range r.tokens {
		if uses := of[p.owner(t.AppName, t.AppMenuItemID, menu[restapi.ShortID(t.AppMenuItemID)])]; uses != nil {
			u := uses.user(t.UserID)
			u.Tokens += t.N
			u.LastUsed = later(u.LastUsed, t.Last)
		}
	}
	for _, l := range r.logins {
		if uses := of[p.login(l.Application)]; uses != nil {
			u := uses.user(l.UserID)
			u.LastLogin = later(u.LastLogin, l.Last)
		}
	}
	p.Old, p.New, p.Either = of["old"].list(), of["new"].list(), of["either"].list()
}

// owner tells whose a token is: "old", "new", "either", or "" for neither.
func (p *Pair) owner(label, item, appID string) string {
	switch byLabel := p.login(label); {
	case p.isOld(appID) && len(p.oldIDs) == 1:
		return "old"
	case p.isOld(appID):
		return "either"
	case appID != "" && appID == restapi.ShortID(p.newID):
		return "new"
	case appID != "":
		return "" // another app of that label
	case item != "" || byLabel == "old" && len(p.items) > 0:
		// The item cannot be seen; or the Connected App's tokens have one, and this has none.
		return map[string]string{"old": "either", "new": "new", "either": "either"}[byLabel]
	default:
		return byLabel
	}
}

// isOld tells whether an ID is that of a Connected App with the label.
func (p *Pair) isOld(appID string) bool {
	return appID != "" && slices.ContainsFunc(p.oldIDs, func(id string) bool { return restapi.ShortID(id) == restapi.ShortID(appID) })
}

// login tells which of the two apps a label is of.
func (p *Pair) login(label string) string {
	isOld, isNew := strings.EqualFold(label, p.OldLabel), p.HasNew && (strings.EqualFold(label, p.NewLabel) || strings.EqualFold(label, p.Name))
	switch {
	case isOld && (isNew || p.shared()):
		return "either"
	case isOld:
		return "old"
	case isNew:
		return "new"
	}
	return ""
}

type uses map[string]*Use

func (u uses) user(id string) *Use {
	if u[restapi.ShortID(id)] == nil {
		u[restapi.ShortID(id)] = &Use{Username: id}
	}
	return u[restapi.ShortID(id)]
}

// list returns uses, the latest first.
func (u uses) list() (all []Use) {
	for _, use := range u {
		all = append(all, *use)
	}
	slices.SortFunc(all, func(a, b Use) int {
		return cmp.Or(b.Last().Compare(a.Last()), cmp.Compare(a.Username, b.Username))
	})
	return all
}

func later(t time.Time, text string) time.Time {
	if other := restapi.ParseTime(text); other.After(t) {
		return other
	}
	return t
}

// name replaces the IDs of users by their names.
func (c *Client) name(ctx context.Context, result *CutOver) error {
	var ids []string
	each := func(do func(*Use)) {
		for i := range result.Pairs {
			for _, uses := range [][]Use{result.Pairs[i].Old, result.Pairs[i].New, result.Pairs[i].Either} {
				for j := range uses {
					do(&uses[j])
				}
			}
		}
	}
	each(func(u *Use) {
		if u.Username != "" {
			ids = append(ids, u.Username)
		}
	})
	slices.Sort(ids)
	ids = slices.Compact(ids)
	users, err := restapi.QueryIn[struct{ ID, Username string }](ctx, c.rest(), "SELECT Id, Username FROM User WHERE Id IN (%s)", ids)
	if refused := new(salesforce.Error); errors.As(err, &refused) {
		result.Unseen = append(result.Unseen, "names of users: "+refused.Error())
	} else if err != nil {
		return err
	}
	names := make(map[string]string)
	for _, u := range users {
		names[restapi.ShortID(u.ID)] = u.Username
	}
	each(func(u *Use) { u.Username = cmp.Or(names[restapi.ShortID(u.Username)], u.Username, manyUsers) })
	return nil
}

// Revocation is what became of the tokens of a Connected App.
type Revocation struct {
	App     string
	Tokens  int // how many it has
	Revoked int // how many of them were revoked, or were gone already
	// Left is how many tokens have its label, and nothing tells whether they are its own.
	Left int
}

// ErrNothingTakesOver reports that an app's tokens are not revoked, because its users would have
// nothing to log in with.
var ErrNothingTakesOver = errors.New("there is no External Client App of that name with a consumer, which its users could move to")

// revokeJobs is how many tokens are revoked at once, and maxRevocations how often tokens are
// looked for: the org shows 2,500 at a time.
const (
	revokeJobs     = 8
	maxRevocations = 400
)

// RevokeOld revokes the tokens of a Connected App that an External Client App of the same name
// has taken the place of; without really it counts them. Who still uses the old app is cut off.
//
// Tokens are the app's where their item of the app menu is. Of an org that shows no item of the
// app, those without an item are, unless another app has its label.
//
// The resources for tokens of External Client Apps do not know Connected Apps; their tokens are
// revoked by OauthToken.DeleteToken at the revoke endpoint. Source: the documentation of
// OauthToken.
func (c *Client) RevokeOld(ctx context.Context, name string, really bool) (*Revocation, error) {
	cutOver, _, err := c.cutOver(ctx, name)
	if err != nil {
		return nil, err
	}
	if cutOver.Blind {
		return nil, fmt.Errorf("the org does not tell whose tokens it has: %s", strings.Join(cutOver.Unseen, "; "))
	}
	if len(cutOver.Pairs) != 1 || !cutOver.Pairs[0].HasNew || !cutOver.Pairs[0].HasConsumer {
		return nil, fmt.Errorf("%s: %w", name, ErrNothingTakesOver)
	}
	p := cutOver.Pairs[0]
	if len(p.oldIDs) > 1 {
		return nil, fmt.Errorf("%d Connected Apps have the label %s, and tokens do not tell them apart; rename this one first", len(p.oldIDs), p.OldLabel)
	}
	r := &Revocation{App: p.Name}
	for _, u := range p.Old {
		r.Tokens += u.Tokens
	}
	for _, u := range p.Either {
		r.Left += u.Tokens
	}
	if !really || r.Tokens == 0 {
		return r, nil
	}
	query := "SELECT DeleteToken FROM OauthToken WHERE AppName = " + restapi.Quote(p.OldLabel) + " AND AppMenuItemId "
	if len(p.items) == 0 {
		query += "= null"
	} else {
		var items []string
		for _, item := range p.items {
			items = append(items, restapi.Quote(item))
		}
		query += "IN (" + strings.Join(items, ", ") + ")"
	}
	tried, gone := make(map[string]bool), make(map[string]bool)
	for range maxRevocations {
		found, err := restapi.Query[struct{ DeleteToken salesforce.Secret }](ctx, c.rest(), query)
		if err != nil {
			return r, err
		}
		var due []salesforce.Secret
		for _, t := range found {
			if gone[t.DeleteToken.Reveal()] { // the org said so, and has it still
				delete(gone, t.DeleteToken.Reveal())
				r.Revoked--
			}
			if !t.DeleteToken.IsZero() && !tried[t.DeleteToken.Reveal()] {
				tried[t.DeleteToken.Reveal()] = true
				due = append(due, t.DeleteToken)
			}
		}
		if len(due) == 0 {
			break
		}
		if err := c.revoke(ctx, due, gone, r); err != nil {
			return r, fmt.Errorf("%d of %d tokens are revoked, the next run goes on: %w", r.Revoked, r.Tokens, err)
		}
	}
	if r.Revoked < r.Tokens {
		return r, fmt.Errorf("%d of %d tokens are revoked; of the others the org does not show what revokes them: revoke them in Setup (Connected Apps OAuth Usage)", r.Revoked, r.Tokens)
	}
	return r, nil
}

// revoke revokes tokens. One that is gone already, as by another run, counts, and is noted in gone.
func (c *Client) revoke(ctx context.Context, due []salesforce.Secret, gone map[string]bool, r *Revocation) error {
	done, unknown := make([]bool, len(due)), make([]bool, len(due))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(revokeJobs)
	for i, token := range due {
		group.Go(func() error {
			err := c.rest().Revoke(groupCtx, token)
			if status := new(salesforce.StatusError); errors.As(err, &status) && status.Status == http.StatusBadRequest {
				unknown[i], err = true, nil
			}
			done[i] = err == nil
			return err
		})
	}
	err := group.Wait()
	for i, ok := range done {
		if ok {
			r.Revoked++
		}
		if unknown[i] {
			gone[due[i].Reveal()] = true
		}
	}
	return err
}
