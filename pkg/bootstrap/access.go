package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Grant is one step of letting people use an app: a permission set that is to
// grant the app, or that its run-as user is to have.
type Grant struct {
	PermissionSet string // its name
	User          string // the username of the run-as user; "" where it is the app that is granted
	Action        Action // Create or Unchanged

	// Done says that the grant was made. Uncertain says that it was sent and no
	// answer came.
	Done      bool
	Uncertain bool
	// Err is why it is not there, as far as the org or the project is to blame.
	Err error

	fields map[string]any
}

// The objects that record who may use an app. That a SetupEntityAccess can be
// created for an External Client App was seen on live orgs.
const (
	setupEntityAccess       = "SetupEntityAccess"
	permissionSetAssignment = "PermissionSetAssignment"
)

func (g *Grant) object() string {
	if g.User != "" {
		return permissionSetAssignment
	}
	return setupEntityAccess
}

// lookups is what the org says of the names that settings and policies refer to.
type lookups struct {
	mu       sync.Mutex
	users    map[string]user            // by username, folded
	sets     map[string]string          // IDs of permission sets by name, folded
	profiles map[string]bool            // by name, folded
	similar  map[string]string          // names of permission sets with their namespace, by the name without it, folded
	apps     map[string]string          // IDs of headers by name, folded; "" where there are several
	has      map[string]map[string]bool // what permission sets grant an app, or a user has: by the ID of either

	// refused is why the org did not tell of an object, by its name.
	refused map[string]error
}

type user struct {
	ID       string `json:"Id"`
	Username string `json:"Username"`
	IsActive bool   `json:"IsActive"`
}

// named is a record with an ID and a name.
type named struct {
	ID              string  `json:"Id"`
	Name            string  `json:"Name"`
	DeveloperName   string  `json:"DeveloperName"`
	NamespacePrefix *string `json:"NamespacePrefix"`
}

// references are the names that are to be looked up.
type references struct{ users, sets, profiles, apps []string }

// add adds names, as far as there are some.
func add(names *[]string, more ...string) {
	for _, name := range more {
		if name = strings.TrimSpace(name); name != "" {
			*names = append(*names, name)
		}
	}
}

func referencesOf(apps []*App) (r references) {
	for _, app := range apps {
		if len(app.PermissionSets) > 0 {
			add(&r.sets, app.PermissionSets...)
			add(&r.apps, app.Name)
			if app.AssignToRunAsUser {
				add(&r.users, app.runAsUser())
			}
		}
		if !app.checked {
			continue
		}
		for _, file := range app.policies {
			if eca.Bool(file.Component, "isClientCredentialsFlowEnabled") {
				add(&r.users, file.Text("clientCredentialsFlowUser"))
			}
			add(&r.sets, metadata.Items(file.Text("commaSeparatedPermissionSet"))...)
			add(&r.profiles, metadata.Items(file.Text("commaSeparatedProfile"))...)
			if preAuthorisedOnly(file) {
				add(&r.apps, app.Name)
			}
		}
	}
	return references{unique(r.users), unique(r.sets), unique(r.profiles), unique(r.apps)}
}

// look asks the org about all names that the apps' settings and policies refer to. A query
// that the org refuses is recorded, not returned as an error.
func (o *Org) look(ctx context.Context, apps []*App) (*lookups, error) {
	l := &lookups{
		users: make(map[string]user), sets: make(map[string]string), profiles: make(map[string]bool), similar: make(map[string]string), apps: make(map[string]string),
		has: make(map[string]map[string]bool), refused: make(map[string]error),
	}
	r := referencesOf(apps)
	if len(r.users)+len(r.sets)+len(r.profiles)+len(r.apps) == 0 {
		return l, nil
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return query(groupCtx, l, o, "User", "SELECT Id, Username, IsActive FROM User WHERE Username IN (%s)", r.users, func(u user) { l.users[fold(u.Username)] = u })
	})
	group.Go(func() error {
		// The names with the prefix of a namespace are looked for without it.
		var names []string
		for _, name := range r.sets {
			_, plain, prefixed := strings.Cut(name, "__")
			if !prefixed {
				plain = name
			}
			add(&names, plain)
		}
		names = unique(names)
		return query(groupCtx, l, o, "PermissionSet", "SELECT Id, Name, NamespacePrefix FROM PermissionSet WHERE IsOwnedByProfile = false AND Name IN (%s)", names, func(n named) {
			if n.NamespacePrefix != nil && *n.NamespacePrefix != "" {
				l.similar[fold(n.Name)] = *n.NamespacePrefix + "__" + n.Name
				n.Name = *n.NamespacePrefix + "__" + n.Name
			}
			l.sets[fold(n.Name)] = n.ID
		})
	})
	group.Go(func() error {
		return query(groupCtx, l, o, "Profile", "SELECT Id, Name FROM Profile WHERE Name IN (%s)", r.profiles, func(n named) { l.profiles[fold(n.Name)] = true })
	})
	group.Go(func() error {
		return query(groupCtx, l, o, eca.Header, "SELECT Id, DeveloperName FROM ExternalClientApplication WHERE DeveloperName IN (%s)", r.apps, func(n named) {
			// A managed app can have the same name. That the query could tell them apart is
			// not known.
			if _, twice := l.apps[fold(n.DeveloperName)]; twice {
				n.ID = ""
			}
			l.apps[fold(n.DeveloperName)] = n.ID
		})
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}

	var appIDs, userIDs []string
	for _, id := range l.apps {
		add(&appIDs, id)
	}
	for _, app := range apps {
		if u := l.users[fold(app.runAsUser())]; app.AssignToRunAsUser && u.ID != "" && len(app.PermissionSets) > 0 {
			add(&userIDs, u.ID)
		}
	}
	slices.Sort(appIDs)
	userIDs = unique(userIDs)
	group, groupCtx = errgroup.WithContext(ctx)
	group.Go(func() error {
		type access struct{ ParentID, SetupEntityID string }
		return query(groupCtx, l, o, setupEntityAccess, "SELECT ParentId, SetupEntityId FROM SetupEntityAccess WHERE SetupEntityId IN (%s)", appIDs, func(a access) { l.note(a.SetupEntityID, a.ParentID) })
	})
	group.Go(func() error {
		type assignment struct{ AssigneeID, PermissionSetID string }
		return query(groupCtx, l, o, permissionSetAssignment, "SELECT AssigneeId, PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId IN (%s)", userIDs, func(a assignment) { l.note(a.AssigneeID, a.PermissionSetID) })
	})
	return l, group.Wait()
}

func fold(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

func (l *lookups) note(owner, set string) {
	if l.has[owner] == nil {
		l.has[owner] = make(map[string]bool)
	}
	l.has[owner][set] = true
}

// query runs a query and notes its records, or that the org does not answer it:
// most users that deploy see everything, and some do not.
func query[Record any](ctx context.Context, l *lookups, o *Org, object, soql string, values []string, note func(Record)) error {
	records, err := restapi.QueryIn[Record](ctx, o.rest(), soql, values)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && ctx.Err() == nil && !salesforce.IsSessionExpired(err) {
		l.refused[object] = err
		return nil
	}
	for _, record := range records {
		note(record)
	}
	return err
}

// several reports whether the org has more than one app of that name.
func (l *lookups) several(app *App) bool {
	id, ok := l.apps[fold(app.Name)]
	return ok && id == ""
}

// grants plans what permission sets are to grant an app and its run-as user.
func (l *lookups) grants(app *App) []*Grant {
	var all []*Grant
	plan := func(g *Grant, object, owner string, fields map[string]any, set string) {
		g.fields, g.Action = fields, Create
		if l.has[owner][set] {
			g.Action = Unchanged
		}
		for _, object := range []string{"PermissionSet", object, g.object()} {
			if err := l.refused[object]; err != nil && g.Err == nil {
				g.Err = fmt.Errorf("the org does not tell of its %s: %w", object, err)
			}
		}
		switch {
		case g.Err != nil:
		case set == "":
			g.Err = fmt.Errorf("there is no permission set %s on this org; deploy it before the app, or correct permissionSets of %s in plugins.eca", g.PermissionSet, app.Name)
		case owner == "" && g.User != "":
			g.Err = fmt.Errorf("there is no user %s on this org", g.User)
		case g.User != "" && g.Action == Create && !l.users[fold(g.User)].IsActive:
			g.Err = fmt.Errorf("the user %s is not active; activate it, or name another one in the policies", g.User)
		case owner == "" && l.several(app):
			g.Err = fmt.Errorf("the org has several apps called %s, and nobody can tell which one is meant; grant it in Setup", app.Name)
		case owner == "":
			g.Err = fmt.Errorf("the header of %s is not on this org; deploy it first", app.Name)
		}
		all = append(all, g)
	}
	for _, name := range app.PermissionSets {
		set, id := l.sets[fold(name)], l.apps[fold(app.Name)]
		plan(&Grant{PermissionSet: name}, eca.Header, id, map[string]any{"ParentId": set, "SetupEntityId": id}, set)
	}
	if runAs := app.runAsUser(); app.AssignToRunAsUser && runAs != "" {
		for _, name := range app.PermissionSets {
			set, id := l.sets[fold(name)], l.users[fold(runAs)].ID
			plan(&Grant{PermissionSet: name, User: runAs}, "User", id, map[string]any{"AssigneeId": id, "PermissionSetId": set}, set)
		}
	}
	return all
}

// maxGrants bounds the requests that are under way at once.
const maxGrants = 8

// grant makes the grants that are missing. What the org refuses is noted there;
// an error is what ends the run as a whole.
//
// After a fault that passes, what the org has is looked up before anything is
// sent again.
func (o *Org) grant(ctx context.Context, p *Plan) error {
	first := true
	return o.Conn.Retry.Do(ctx, func() error {
		if !first {
			if err := o.regrant(ctx, p); err != nil {
				return err
			}
		}
		first = false
		return o.grantOnce(ctx, p)
	})
}

// regrant looks at the grants again that are not known to be made.
func (o *Org) regrant(ctx context.Context, p *Plan) error {
	var apps []*App
	for _, app := range p.Apps {
		apps = append(apps, app.App)
	}
	found, err := o.look(ctx, apps)
	if err != nil {
		return err
	}
	for _, object := range []string{eca.Header, "User", "PermissionSet", setupEntityAccess, permissionSetAssignment} {
		if err := found.refused[object]; err != nil {
			return err // nothing is sent again without a look
		}
	}
	for _, app := range p.Apps {
		for i, g := range found.grants(app.App) {
			if was := app.Grants[i]; was.Action != Unchanged && !was.Done && was.Err == nil {
				was.Done, was.Uncertain = g.Action == Unchanged, false
			}
		}
	}
	return nil
}

// grantOnce makes what is missing: first the grants of apps that have their consumer,
// then the assignments of permission sets that do grant the app.
func (o *Org) grantOnce(ctx context.Context, p *Plan) error {
	var due []*Grant
	for _, app := range p.Apps {
		for _, g := range app.Grants {
			if g.User == "" && app.ready() {
				due = append(due, g)
			}
		}
	}
	if err := o.send(ctx, due); err != nil {
		return err
	}
	due = nil
	for _, app := range p.Apps {
		for _, g := range app.Grants {
			granted := slices.ContainsFunc(app.Grants, func(of *Grant) bool {
				return of.User == "" && of.PermissionSet == g.PermissionSet && of.Err == nil && (of.Done || of.Action == Unchanged)
			})
			if g.User != "" && app.ready() && granted {
				due = append(due, g)
			}
		}
	}
	return o.send(ctx, due)
}

// send makes grants, several at a time. One that fails does not end the others: what
// they do at the org stays.
func (o *Org) send(ctx context.Context, due []*Grant) error {
	var group errgroup.Group
	group.SetLimit(maxGrants)
	for _, g := range due {
		if g.Action == Unchanged || g.Done || g.Err != nil {
			continue
		}
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			_, err := o.rest().Create(ctx, g.object(), g.fields)
			g.Uncertain = salesforce.IsUncertain(err)
			refused, isAnswer := errors.AsType[*salesforce.Error](err)
			switch {
			case err == nil:
				g.Done = true
			case isAnswer && strings.HasPrefix(refused.Code, "DUPLICATE"):
				// DUPLICATE_VALUE or DUPLICATES_DETECTED: somebody else was faster.
				g.Done = true
			case isAnswer && !refused.SessionExpired() && !refused.Transient() && !refused.Uncertain():
				g.Err = fmt.Errorf("the org refused it: %w", refused)
			default:
				return err
			}
			return nil
		})
	}
	return group.Wait()
}
