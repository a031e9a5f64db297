// Package access knows who may use an org's apps: which permission sets grant an app, and
// who has them. It looks names up, says what is missing, and grants.
package access

import (
	"context"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// The objects that an org is asked about, by their names in SOQL.
const (
	UserObject              = "User"
	PermissionSetObject     = "PermissionSet"
	ProfileObject           = "Profile"
	AppObject               = "ExternalClientApplication"
	SetupEntityAccess       = "SetupEntityAccess"       // what a permission set grants
	PermissionSetAssignment = "PermissionSetAssignment" // who has a permission set
)

// Names are what is to be looked up on an org. Case carries no meaning.
type Names struct {
	Users          []string // usernames
	PermissionSets []string // API names, with the prefix of a namespace where there is one
	Profiles       []string
	Apps           []string // External Client Apps; which permission sets grant them as well

	// Assignees are those of the users whose permission sets are to be looked up.
	Assignees []string
}

// Facts is what an org says of names.
type Facts struct {
	mu       sync.Mutex
	users    map[string]User            // by username, folded
	sets     map[string]string          // IDs of permission sets by name, folded
	similar  map[string]string          // names of permission sets with their namespace, by the name without it, folded
	profiles map[string]bool            // by name, folded
	apps     map[string]string          // IDs of apps by name, folded; "" where there are several
	has      map[string]map[string]bool // permission sets that grant an app, or that a user has: by the ID of either
	refused  map[string]error           // why the org did not tell of an object, by its name
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

// unique returns the names that are some, each once.
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

// Look asks the org about names, in two rounds of requests at most. A query that the org
// refuses is recorded, see Refused, not returned as an error.
func Look(ctx context.Context, client *restapi.Client, names Names) (*Facts, error) {
	f := &Facts{
		users: make(map[string]User), sets: make(map[string]string), similar: make(map[string]string), profiles: make(map[string]bool),
		apps: make(map[string]string), has: make(map[string]map[string]bool), refused: make(map[string]error),
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return look(groupCtx, f, client, UserObject, "SELECT Id, Username, IsActive FROM User WHERE Username IN (%s)", names.Users, func(u User) { f.users[fold(u.Username)] = u })
	})
	group.Go(func() error {
		// The names with the prefix of a namespace are looked for without it.
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
			// A managed app can have the same name. That the query could tell them apart is
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

// look runs a query for some values and notes its records, or that the org does not answer
// it: most users that deploy see everything, and some do not.
func look[Record any](ctx context.Context, f *Facts, client *restapi.Client, object, soql string, values []string, note func(Record)) error {
	records, err := restapi.QueryIn[Record](ctx, client, soql, unique(values))
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && ctx.Err() == nil && !salesforce.IsSessionExpired(err) {
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

// Refused returns why the org did not tell of an object, nil where it did.
func (f *Facts) Refused(object string) error { return f.refused[object] }

// User returns the user with a username, and whether there is one.
func (f *Facts) User(username string) (User, bool) {
	u, ok := f.users[fold(username)]
	return u, ok
}

// HasPermissionSet reports whether there is a permission set of that name.
func (f *Facts) HasPermissionSet(name string) bool { return f.sets[fold(name)] != "" }

// WithNamespace returns the name of a permission set of a namespace that has this name
// without the prefix, "" where there is none.
func (f *Facts) WithNamespace(name string) string { return f.similar[fold(name)] }

// HasProfile reports whether there is a profile of that name.
func (f *Facts) HasProfile(name string) bool { return f.profiles[fold(name)] }

// IsGranted reports whether any permission set, or profile, grants an app.
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
