package apps

import (
	"context"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/restapi"
)

// The queried objects, by their names in SOQL.
const (
	UserObject              = preflight.UserObject
	PermissionSetObject     = preflight.PermissionSetObject
	ProfileObject           = preflight.ProfileObject
	AppObject               = preflight.AppObject
	SetupEntityAccess       = preflight.SetupEntityAccess
	PermissionSetAssignment = "PermissionSetAssignment" // who has a permission set
)

// Facts is an org's answer for names. It implements preflight.Facts.
type Facts struct {
	mu       sync.Mutex
	users    map[string]User            // by username, folded
	sets     map[string]string          // permission set IDs by name, folded
	similar  map[string]string          // full names of namespaced permission sets, by name without namespace, folded
	profiles map[string]bool            // by name, folded
	apps     map[string]string          // app IDs by name, folded; "" if ambiguous
	has      map[string]map[string]bool // permission set IDs by the ID of the app they grant, or of the user who has them
	refused  map[string]error           // errors of refused queries, by object
}

// User is a user of the org.
type User struct {
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

func fold(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// unique returns the names that are not empty, without duplicates.
func unique(all []string) (kept []string) {
	seen := make(map[string]bool)
	for _, name := range all {
		if key := fold(name); key != "" && !seen[key] {
			seen[key] = true
			kept = append(kept, strings.TrimSpace(name))
		}
	}
	return kept
}

// LookUp queries the org for names, in at most two rounds of requests. A query that the org
// refuses is recorded, see Facts.Refused; any other failure ends the
// look-up.
func LookUp(ctx context.Context, client *restapi.Client, names preflight.Names) (*Facts, error) {
	f := &Facts{
		users: make(map[string]User), sets: make(map[string]string), similar: make(map[string]string), profiles: make(map[string]bool),
		apps: make(map[string]string), has: make(map[string]map[string]bool), refused: make(map[string]error),
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return look(groupCtx, f, client, UserObject, "SELECT Id, Username, IsActive FROM User WHERE Username IN (%s)", names.Users, func(u User) { f.users[fold(u.Username)] = u })
	})
	group.Go(func() error {
		// Query namespaced names without their prefix.
		var plain []string
		for _, name := range names.PermissionSets {
			_, rest, prefixed := strings.Cut(name, "__")
			if !prefixed {
				rest = name
			}
			plain = append(plain, rest)
		}
		return look(groupCtx, f, client, PermissionSetObject, "SELECT Id, Name, NamespacePrefix FROM PermissionSet WHERE IsOwnedByProfile = false AND Name IN (%s)", plain, func(n named) {
			if n.NamespacePrefix != nil && *n.NamespacePrefix != "" {
				f.similar[fold(n.Name)] = *n.NamespacePrefix + "__" + n.Name
				n.Name = *n.NamespacePrefix + "__" + n.Name
			}
			f.sets[fold(n.Name)] = n.ID
		})
	})
	group.Go(func() error {
		return look(groupCtx, f, client, ProfileObject, "SELECT Id, Name FROM Profile WHERE Name IN (%s)", names.Profiles, func(n named) { f.profiles[fold(n.Name)] = true })
	})
	group.Go(func() error {
		return look(groupCtx, f, client, AppObject, "SELECT Id, DeveloperName FROM ExternalClientApplication WHERE DeveloperName IN (%s)", names.Apps, func(n named) {
			// A managed app can have the same name. Whether the query could tell them apart is
			// not known.
			if _, twice := f.apps[fold(n.DeveloperName)]; twice {
				n.ID = ""
			}
			f.apps[fold(n.DeveloperName)] = n.ID
		})
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}

	var apps, assignees []string
	for _, id := range f.apps {
		apps = append(apps, id)
	}
	for _, name := range names.Assignees {
		assignees = append(assignees, f.users[fold(name)].ID)
	}
	slices.Sort(apps)
	group, groupCtx = errgroup.WithContext(ctx)
	group.Go(func() error {
		type access struct{ ParentID, SetupEntityID string }
		return look(groupCtx, f, client, SetupEntityAccess, "SELECT ParentId, SetupEntityId FROM SetupEntityAccess WHERE SetupEntityId IN (%s)", apps, func(a access) { f.note(a.SetupEntityID, a.ParentID) })
	})
	group.Go(func() error {
		type assignment struct{ AssigneeID, PermissionSetID string }
		return look(groupCtx, f, client, PermissionSetAssignment, "SELECT AssigneeId, PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId IN (%s)", assignees, func(a assignment) { f.note(a.AssigneeID, a.PermissionSetID) })
	})
	return f, group.Wait()
}

// look runs a query for some values and passes its records to note. It records a refusal: most
// deployment users see everything, but some do not.
func look[Record any](ctx context.Context, f *Facts, client *restapi.Client, object, soql string, values []string, note func(Record)) error {
	records, err := restapi.QueryIn[Record](ctx, client, soql, unique(values))
	f.mu.Lock()
	defer f.mu.Unlock()
	if restapi.Refused(err) {
		f.refused[object] = err
		return nil
	}
	for _, record := range records {
		note(record)
	}
	return err
}

func (f *Facts) note(owner, set string) {
	if f.has[owner] == nil {
		f.has[owner] = make(map[string]bool)
	}
	f.has[owner][set] = true
}

// Refused returns the error of a refused query of an object, or nil.
func (f *Facts) Refused(object string) error { return f.refused[object] }

// User returns the user with a username, and whether it exists.
func (f *Facts) User(username string) (User, bool) {
	u, ok := f.users[fold(username)]
	return u, ok
}

// ActiveUser reports whether a user with that username exists, and is active.
func (f *Facts) ActiveUser(username string) (exists, active bool) {
	u, ok := f.User(username)
	return ok, u.IsActive
}

// HasPermissionSet reports whether a permission set of that name exists.
func (f *Facts) HasPermissionSet(name string) bool { return f.sets[fold(name)] != "" }

// WithNamespace returns the full name of a namespaced permission set with this name, "" if
// there is none.
func (f *Facts) WithNamespace(name string) string { return f.similar[fold(name)] }

// HasProfile reports whether a profile of that name exists.
func (f *Facts) HasProfile(name string) bool { return f.profiles[fold(name)] }

// IsGranted reports whether any permission set or profile grants an app.
func (f *Facts) IsGranted(app string) bool { return len(f.has[f.apps[fold(app)]]) > 0 }

// GrantedBy returns the names of the permission sets that grant an app, in three rounds of
// requests.
func GrantedBy(ctx context.Context, client *restapi.Client, app string) (names []string, err error) {
	apps, err := restapi.QueryIn[named](ctx, client, "SELECT Id, DeveloperName FROM ExternalClientApplication WHERE DeveloperName IN (%s)", []string{app})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, one := range apps {
		ids = append(ids, one.ID)
	}
	type entry struct{ ParentID string }
	entries, err := restapi.QueryIn[entry](ctx, client, "SELECT ParentId FROM SetupEntityAccess WHERE SetupEntityId IN (%s)", ids)
	if err != nil {
		return nil, err
	}
	var parents []string
	for _, one := range entries {
		parents = append(parents, one.ParentID)
	}
	sets, err := restapi.QueryIn[named](ctx, client, "SELECT Id, Name FROM PermissionSet WHERE IsOwnedByProfile = false AND Id IN (%s)", unique(parents))
	for _, one := range sets {
		names = append(names, one.Name)
	}
	slices.Sort(names)
	return names, err
}
