package connectedapp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// typeName is the metadata type of Connected Apps.
const typeName = "ConnectedApp"

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
func (c *Client) Read(ctx context.Context, names ...string) (apps []*App, unread []*UnreadableError, err error) {
	listed, err := c.md().List(ctx, typeName)
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
	slices.Sort(wanted)
	components, err := c.read(ctx, wanted)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range wanted {
		switch got := components[name].(type) {
		case *metadata.Component:
			apps = append(apps, FromOrg(got))
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
	components, err := c.md().Read(ctx, typeName, names...)
	if refused := new(salesforce.Error); errors.As(err, &refused) && strings.Contains(refused.Message, "Load of metadata from db failed") {
		var mu sync.Mutex
		group, groupCtx := errgroup.WithContext(ctx)
		for _, name := range names {
			group.Go(func() error {
				one, err := c.md().Read(groupCtx, typeName, name)
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
	// Either are uses of which the org does not tell which of the two apps they are of, because
	// both have one label.
	Either []Use
}

// Use is how a user uses an app.
type Use struct {
	Username string `json:"username"` // or the user's ID, where the org does not tell the name
	// Tokens is how many tokens the user has.
	Tokens int `json:"tokens,omitempty"`
	// LastUsed is when a token was last used, and LastLogin when the user last logged in, of the
	// last six months; zero for never.
	LastUsed  time.Time `json:"lastUsed,omitzero"`
	LastLogin time.Time `json:"lastLogin,omitzero"`
}

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
	// Unseen is what the org did not let the session see, and why.
	Unseen []string
}

// connectedPrefix is how the IDs of Connected Apps begin.
const connectedPrefix = "0H4"

// org is what an org's records say about apps and who uses them.
type org struct {
	external []struct{ ID, DeveloperName, MasterLabel string }
	settings []struct{ ExternalClientApplicationID, OauthLink string }
	menu     []struct{ ID, ApplicationID string }
	tokens   []struct {
		AppName, AppMenuItemID, UserID string
		N                              int
		Last                           string
	}
	logins []struct{ Application, UserID, Last string }
}

// CutOver looks which Connected Apps have an External Client App of the same name, and who uses
// either. It takes two or three rounds of requests. names leaves out all other apps; none takes
// all that have one of each kind.
//
// Tokens and logins name an app by its label alone, so where both have one label, only the item
// of the app menu tells whose a token is. Source: the documentation of OauthToken and LoginHistory.
func (c *Client) CutOver(ctx context.Context, names ...string) (*CutOver, error) {
	apps, unread, err := c.Read(ctx, names...)
	if err != nil {
		return nil, err
	}
	result := &CutOver{}
	for _, u := range unread {
		result.Unseen = append(result.Unseen, u.Error())
	}
	var has org
	unseen := make([]string, 5)
	group, groupCtx := errgroup.WithContext(ctx)
	for i, ask := range []func(ctx context.Context) error{
		func(ctx context.Context) (err error) {
			has.external, err = restapi.Query[struct{ ID, DeveloperName, MasterLabel string }](ctx, c.rest(), "SELECT Id, DeveloperName, MasterLabel FROM ExternalClientApplication WHERE NamespacePrefix = null")
			return err
		},
		func(ctx context.Context) (err error) {
			has.settings, err = restapi.Query[struct{ ExternalClientApplicationID, OauthLink string }](ctx, c.rest(), "SELECT ExternalClientApplicationId, OauthLink FROM ExtlClntAppOauthSettings")
			return err
		},
		func(ctx context.Context) (err error) {
			has.menu, err = restapi.Query[struct{ ID, ApplicationID string }](ctx, c.rest(), "SELECT Id, ApplicationId FROM AppMenuItem")
			return err
		},
		func(ctx context.Context) (err error) {
			has.tokens, err = restapi.Query[struct {
				AppName, AppMenuItemID, UserID string
				N                              int
				Last                           string
			}](ctx, c.rest(), "SELECT AppName, AppMenuItemId, UserId, COUNT(UserId) n, MAX(LastUsedDate) last FROM OauthToken GROUP BY AppName, AppMenuItemId, UserId")
			return err
		},
		func(ctx context.Context) (err error) {
			has.logins, err = restapi.Query[struct{ Application, UserID, Last string }](ctx, c.rest(), "SELECT Application, UserId, MAX(LoginTime) last FROM LoginHistory GROUP BY Application, UserId ORDER BY MAX(LoginTime) DESC LIMIT 2000")
			return err
		},
	} {
		group.Go(func() error {
			err := ask(groupCtx)
			if refused := new(salesforce.Error); errors.As(err, &refused) {
				unseen[i] = []string{"External Client Apps", "their OAuth settings", "the app menu", "tokens", "logins"}[i] + ": " + refused.Error()
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, why := range unseen {
		if why != "" {
			result.Unseen = append(result.Unseen, why)
		}
	}
	result.Pairs = has.pairs(apps, len(names) > 0)
	return result, c.name(ctx, result)
}

// pairs finds the External Client App of each Connected App, and sorts uses by app.
func (o *org) pairs(apps []*App, all bool) (pairs []Pair) {
	menu := make(map[string]string) // the app's ID, by the menu item's
	for _, m := range o.menu {
		menu[short(m.ID)] = m.ApplicationID
	}
	for _, app := range apps {
		p := Pair{Name: app.Name, OldLabel: app.Label()}
		newID := ""
		for _, e := range o.external {
			if strings.EqualFold(e.DeveloperName, app.Name) {
				p.HasNew, p.NewLabel, newID = true, e.MasterLabel, e.ID
			}
		}
		for _, s := range o.settings {
			if newID != "" && short(s.ExternalClientApplicationID) == short(newID) {
				p.HasConsumer = s.OauthLink != ""
			}
		}
		old, fresh, either := uses{}, uses{}, uses{}
		for _, t := range o.tokens {
			owner := p.owner(t.AppName, menu[short(t.AppMenuItemID)])
			if of := map[string]uses{"old": old, "new": fresh, "either": either}[owner]; of != nil {
				u := of.user(t.UserID)
				u.Tokens += t.N
				u.LastUsed = later(u.LastUsed, t.Last)
			}
		}
		for _, l := range o.logins {
			owner := p.owner(l.Application, "")
			if of := map[string]uses{"old": old, "new": fresh, "either": either}[owner]; of != nil {
				u := of.user(l.UserID)
				u.LastLogin = later(u.LastLogin, l.Last)
			}
		}
		p.Old, p.New, p.Either = old.list(), fresh.list(), either.list()
		if p.HasNew || all {
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// owner tells which of the two apps a label is of: "old", "new", "either" or "".
func (p *Pair) owner(label, applicationID string) string {
	isOld, isNew := strings.EqualFold(label, p.OldLabel), p.HasNew && (strings.EqualFold(label, p.NewLabel) || strings.EqualFold(label, p.Name))
	switch {
	case isOld && isNew && strings.HasPrefix(applicationID, connectedPrefix):
		return "old"
	case isOld && isNew && applicationID != "":
		return "new"
	case isOld && isNew:
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
	if u[short(id)] == nil {
		u[short(id)] = &Use{Username: id}
	}
	return u[short(id)]
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

// short is the part of an ID that counts.
func short(id string) string { return id[:min(15, len(id))] }

// timeLayout is how the REST API writes a time.
const timeLayout = "2006-01-02T15:04:05.000-0700"

func later(t time.Time, text string) time.Time {
	if other, err := time.Parse(timeLayout, text); err == nil && other.After(t) {
		return other.UTC()
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
	each(func(u *Use) { ids = append(ids, u.Username) })
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
		names[short(u.ID)] = u.Username
	}
	each(func(u *Use) { u.Username = cmp.Or(names[short(u.Username)], u.Username) })
	return nil
}

// Revocation is what became of the tokens of a Connected App.
type Revocation struct {
	App     string
	Tokens  int // how many it has
	Revoked int // how many of them were revoked
	// Left is how many tokens have the label of both apps and no item of the app menu, so that
	// nothing tells whose they are.
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
// The resources for tokens of External Client Apps do not know Connected Apps; their tokens are
// revoked by OauthToken.DeleteToken at the revoke endpoint. Source: the documentation of
// OauthToken.
func (c *Client) RevokeOld(ctx context.Context, name string, really bool) (*Revocation, error) {
	cutOver, err := c.CutOver(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(cutOver.Pairs) != 1 || !cutOver.Pairs[0].HasNew || !cutOver.Pairs[0].HasConsumer {
		return nil, fmt.Errorf("%s: %w", name, ErrNothingTakesOver)
	}
	p := cutOver.Pairs[0]
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
	twins, err := restapi.Query[struct{ ID string }](ctx, c.rest(), "SELECT Id FROM ConnectedApplication WHERE Name = "+restapi.Quote(p.OldLabel))
	if err != nil {
		return r, err
	}
	if len(twins) > 1 {
		return r, fmt.Errorf("%d Connected Apps have the label %s, and tokens do not tell them apart; rename this one first", len(twins), p.OldLabel)
	}
	both := strings.EqualFold(p.OldLabel, p.NewLabel) || strings.EqualFold(p.OldLabel, p.Name)
	query := "SELECT DeleteToken FROM OauthToken WHERE AppName = " + restapi.Quote(p.OldLabel)
	if both {
		items, err := c.menuItems(ctx)
		if err != nil {
			return r, err
		}
		query += " AND AppMenuItemId IN (" + items + ")"
	}
	tried := make(map[string]bool)
	for range maxRevocations {
		tokens, err := restapi.Query[struct{ DeleteToken salesforce.Secret }](ctx, c.rest(), query)
		if err != nil {
			return r, err
		}
		tokens = slices.DeleteFunc(tokens, func(t struct{ DeleteToken salesforce.Secret }) bool {
			return t.DeleteToken.IsZero() || tried[t.DeleteToken.Reveal()]
		})
		if len(tokens) == 0 {
			return r, nil
		}
		done := make([]bool, len(tokens))
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(revokeJobs)
		for i, t := range tokens {
			tried[t.DeleteToken.Reveal()] = true
			group.Go(func() error {
				err := c.rest().Revoke(groupCtx, t.DeleteToken)
				done[i] = err == nil
				return err
			})
		}
		err = group.Wait()
		for _, ok := range done {
			if ok {
				r.Revoked++
			}
		}
		if err != nil {
			return r, fmt.Errorf("%d of %d tokens are revoked, the next run goes on: %w", r.Revoked, r.Tokens, err)
		}
	}
	return r, nil
}

// menuItems returns the menu's items of Connected Apps as SOQL literals.
func (c *Client) menuItems(ctx context.Context) (string, error) {
	items, err := restapi.Query[struct{ ID, ApplicationID string }](ctx, c.rest(), "SELECT Id, ApplicationId FROM AppMenuItem")
	if err != nil {
		return "", err
	}
	var quoted []string
	for _, item := range items {
		if strings.HasPrefix(item.ApplicationID, connectedPrefix) {
			quoted = append(quoted, restapi.Quote(item.ID))
		}
	}
	return strings.Join(quoted, ", "), nil
}
