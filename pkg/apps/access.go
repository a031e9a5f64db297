package apps

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/restapi"
)

// permissionSetAssignment is who has a permission set. Package preflight names the other objects.
const permissionSetAssignment = "PermissionSetAssignment"

// Facts is an org's answer for names. It implements preflight.Facts.
type Facts struct {
	mu       sync.Mutex
	users    map[string]user            // by username, folded
	sets     map[string]string          // permission set IDs by name, folded
	similar  map[string]string          // full names of namespaced permission sets, by name without namespace, folded
	profiles map[string]bool            // by name, folded
	apps     map[string]string          // app IDs by name, folded; "" if ambiguous
	has      map[string]map[string]bool // permission set IDs by the ID of the app they grant, or of the user who has them
	refused  map[string]error           // errors of refused queries, by object
}

// user is a user of the org.
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

func fold(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// LookUp queries the org for names, in at most two rounds of requests. A query that the org refuses is
// recorded, see Facts.Refused; any other failure ends the look-up.
func LookUp(ctx context.Context, client *restapi.Client, names preflight.Names) (*Facts, error) {
	f := &Facts{
		users: make(map[string]user), sets: make(map[string]string), similar: make(map[string]string),
		profiles: make(map[string]bool), apps: make(map[string]string), has: make(map[string]map[string]bool),
		refused: make(map[string]error),
	}
	var plain []string // names of permission sets without a namespace
	for _, name := range names.PermissionSets {
		if _, rest, prefixed := strings.Cut(name, "__"); prefixed {
			name = rest
		}
		plain = append(plain, name)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		const soql = "SELECT Id, Username, IsActive FROM User WHERE Username IN (%s)"
		add := func(u user) { f.users[fold(u.Username)] = u }
		return look(groupCtx, f, client, preflight.UserObject, soql, names.Users, add)
	})
	group.Go(func() error {
		const soql = "SELECT Id, Name, NamespacePrefix FROM PermissionSet WHERE IsOwnedByProfile = false AND Name IN (%s)"
		return look(groupCtx, f, client, preflight.PermissionSetObject, soql, plain, f.addSet)
	})
	group.Go(func() error {
		const soql = "SELECT Id, Name FROM Profile WHERE Name IN (%s)"
		add := func(n named) { f.profiles[fold(n.Name)] = true }
		return look(groupCtx, f, client, preflight.ProfileObject, soql, names.Profiles, add)
	})
	group.Go(func() error {
		const soql = "SELECT Id, DeveloperName FROM ExternalClientApplication WHERE DeveloperName IN (%s)"
		return look(groupCtx, f, client, preflight.AppObject, soql, names.Apps, f.addApp)
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	apps := slices.Sorted(maps.Values(f.apps))
	var assignees []string
	for _, name := range names.Assignees {
		assignees = append(assignees, f.users[fold(name)].ID)
	}
	group, groupCtx = errgroup.WithContext(ctx)
	group.Go(func() error {
		type access struct{ ParentID, SetupEntityID string }
		const soql = "SELECT ParentId, SetupEntityId FROM SetupEntityAccess WHERE SetupEntityId IN (%s)"
		add := func(a access) { f.addAccess(a.SetupEntityID, a.ParentID) }
		return look(groupCtx, f, client, preflight.SetupEntityAccess, soql, apps, add)
	})
	group.Go(func() error {
		type assignment struct{ AssigneeID, PermissionSetID string }
		const soql = "SELECT AssigneeId, PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId IN (%s)"
		add := func(a assignment) { f.addAccess(a.AssigneeID, a.PermissionSetID) }
		return look(groupCtx, f, client, permissionSetAssignment, soql, assignees, add)
	})
	return f, group.Wait()
}

func (f *Facts) addSet(set named) {
	if set.NamespacePrefix != nil && *set.NamespacePrefix != "" {
		full := *set.NamespacePrefix + "__" + set.Name
		f.similar[fold(set.Name)] = full
		set.Name = full
	}
	f.sets[fold(set.Name)] = set.ID
}

// addApp records an app. A managed app can have the same name; whether the query could tell them apart
// is unknown.
func (f *Facts) addApp(app named) {
	if _, twice := f.apps[fold(app.DeveloperName)]; twice {
		app.ID = ""
	}
	f.apps[fold(app.DeveloperName)] = app.ID
}

// addAccess records that an app or a user has a permission set.
func (f *Facts) addAccess(owner, set string) {
	if f.has[owner] == nil {
		f.has[owner] = make(map[string]bool)
	}
	f.has[owner][set] = true
}

// look runs a query for some values and passes its records to add. It records a refusal: most
// deployment users see everything, but some do not.
func look[Record any](ctx context.Context, f *Facts, client *restapi.Client, object, soql string, values []string, add func(Record)) error {
	records, err := restapi.QueryIn[Record](ctx, client, soql, words.Unique(values))
	f.mu.Lock()
	defer f.mu.Unlock()
	if restapi.Refused(err) {
		f.refused[object] = err
		return nil
	}
	for _, record := range records {
		add(record)
	}
	return err
}

// Refused returns the error of a refused query of an object, or nil.
func (f *Facts) Refused(object string) error { return f.refused[object] }

// ActiveUser reports whether a user with that username exists, and is active.
func (f *Facts) ActiveUser(username string) (exists, active bool) {
	u, ok := f.users[fold(username)]
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

// MayUse reports whether a user has a permission set or profile that grants an app. The user must be one of
// the assignees that were looked up. If the org refused a query, MayUse reports true.
func (f *Facts) MayUse(app, username string) bool {
	admits, known := f.Admits(app, nil, username)
	return admits || !known
}

// Admits reports whether a user has a permission set that grants an app, or one of those named. known is
// false if the org refused a query that it takes.
func (f *Facts) Admits(app string, permissionSets []string, username string) (admits, known bool) {
	has := f.has[f.users[fold(username)].ID]
	for set := range f.has[f.apps[fold(app)]] {
		admits = admits || has[set]
	}
	for _, name := range permissionSets {
		admits = admits || has[f.sets[fold(name)]]
	}
	return admits, f.unknown(preflight.UserObject, preflight.AppObject, preflight.SetupEntityAccess, preflight.PermissionSetObject, permissionSetAssignment) == nil
}

// Granted is access to an app that a permission set or a profile grants.
type Granted struct {
	AppID         string // as it was asked for
	PermissionSet string // its name, with the prefix of a package; "" for a profile
	Profile       string // its name, "" for a permission set
}

// Granting returns what grants some apps, by their IDs, sorted. It takes two rounds of requests.
func Granting(ctx context.Context, client *restapi.Client, ids []string) (all []Granted, err error) {
	const byApp = "SELECT SetupEntityId, ParentId FROM SetupEntityAccess WHERE SetupEntityId IN (%s)"
	entries, err := restapi.QueryIn[struct{ SetupEntityID, ParentID string }](ctx, client, byApp, ids)
	if err != nil {
		return nil, err
	}
	var parents []string
	for _, entry := range entries {
		parents = append(parents, entry.ParentID)
	}
	type parent struct {
		named
		IsOwnedByProfile bool
		Profile          *named
	}
	const byID = "SELECT Id, Name, NamespacePrefix, IsOwnedByProfile, Profile.Name FROM PermissionSet WHERE Id IN (%s)"
	sets, err := restapi.QueryIn[parent](ctx, client, byID, words.Unique(parents))
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		for _, set := range sets {
			one := Granted{AppID: entry.SetupEntityID, PermissionSet: set.Name}
			if set.NamespacePrefix != nil && *set.NamespacePrefix != "" {
				one.PermissionSet = *set.NamespacePrefix + "__" + set.Name
			}
			if set.IsOwnedByProfile && set.Profile != nil {
				one.PermissionSet, one.Profile = "", set.Profile.Name
			}
			if !restapi.SameID(set.ID, entry.ParentID) || slices.Contains(all, one) {
				continue
			}
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b Granted) int {
		return cmp.Or(strings.Compare(a.AppID, b.AppID), strings.Compare(a.PermissionSet, b.PermissionSet), strings.Compare(a.Profile, b.Profile))
	})
	return all, nil
}

// GrantedBy returns the names of the permission sets that grant an app, in three rounds of
// requests.
func GrantedBy(ctx context.Context, client *restapi.Client, app string) (names []string, err error) {
	const byName = "SELECT Id FROM ExternalClientApplication WHERE DeveloperName IN (%s)"
	apps, err := restapi.QueryIn[named](ctx, client, byName, []string{app})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, one := range apps {
		ids = append(ids, one.ID)
	}
	const byApp = "SELECT ParentId FROM SetupEntityAccess WHERE SetupEntityId IN (%s)"
	entries, err := restapi.QueryIn[struct{ ParentID string }](ctx, client, byApp, ids)
	if err != nil {
		return nil, err
	}
	var parents []string
	for _, one := range entries {
		parents = append(parents, one.ParentID)
	}
	const byID = "SELECT Name FROM PermissionSet WHERE IsOwnedByProfile = false AND Id IN (%s)"
	sets, err := restapi.QueryIn[named](ctx, client, byID, words.Unique(parents))
	for _, one := range sets {
		names = append(names, one.Name)
	}
	slices.Sort(names)
	return names, err
}
