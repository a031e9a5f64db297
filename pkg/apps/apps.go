// Package apps finds the External Client Apps of an org: which there are, their components whatever
// those are named, and who may use them.
//
//	found, err := apps.Find(ctx, conn, []string{eca.GlobalOAuthSettings}, "MyApp")
//
// Names of components follow no rule on a real org, so an app is linked to its components by their
// element externalClientApplication alone. Reading takes at most three rounds of requests: the
// apps and the names that the org lists; the components of these names; and those of usual names
// for apps of which the org listed none, because an empty list proves nothing for these types.
package apps

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// App is an External Client App of an org.
type App struct {
	ID    string `json:"Id"`            // 0xI…
	Name  string `json:"DeveloperName"` // the header's fullName
	Label string `json:"MasterLabel"`

	Namespace         string `json:"NamespacePrefix"` // of a managed app, "" for the org's own
	DistributionState string // Local, Packaged, …
	// OrgScopedExternalApp is ORGID:Name of the org that a Packaged app comes from, "" where
	// there is none.
	OrgScopedExternalApp string
	CreatedDate          string // as the REST API writes it

	// Components are the app's, by type: usually one of each.
	Components map[string][]*metadata.Component `json:"-"`
}

// Component returns the app's component of a type, nil where it has none.
func (a *App) Component(typ string) *metadata.Component {
	if all := a.Components[typ]; len(all) > 0 {
		return all[0]
	}
	return nil
}

// Packaged reports whether the app comes from a package, so that its consumer is on another org.
func (a *App) Packaged() bool {
	return a.DistributionState != "" && a.DistributionState != "Local"
}

// OfOrg tells whether an oauthLink or orgScopedExternalApp, which begin with an org's ID and a colon,
// leads to that org.
func OfOrg(value, orgID string) bool {
	org, _, _ := strings.Cut(value, ":")
	return restapi.SameID(org, orgID)
}

// OfSalesforce reports whether a namespace is that of one of Salesforce's own packages. Source: public projects
// with installed packages and profiles that name their apps.
func OfSalesforce(namespace string) bool {
	return slices.Contains(salesforceNamespaces, strings.ToLower(namespace))
}

var salesforceNamespaces = []string{
	"oiq", "pi", "pi3", "relateiq", "sf_chttr_apps", "sf_com_apps", "slackv2", "ssot",
}

// FullName is the header's name as the Metadata API has it.
func (a *App) FullName() string {
	if a.Namespace != "" {
		return a.Namespace + "__" + a.Name
	}
	return a.Name
}

// Apps returns the org's apps without their components, those of packages among them, by name.
// missing are columns that the org does not show, or shows with an unexpected type; to leave out the
// former takes two more rounds. Records without an ID or a name are left out, and these columns are among
// missing then.
func Apps(ctx context.Context, conn *salesforce.Conn) (apps []*App, missing []string, err error) {
	columns := []string{
		"Id", "DeveloperName", "MasterLabel", "NamespacePrefix", "DistributionState", "OrgScopedExternalApp", "CreatedDate",
	}
	found, missing, err := restapi.QueryColumns[restapi.Loose[*App]](ctx, &restapi.Client{Conn: conn}, columns, preflight.AppObject)
	apps, odd := restapi.Records(found)
	incomplete := func(a *App) bool { return a == nil || a.ID == "" || a.Name == "" }
	if slices.ContainsFunc(apps, incomplete) {
		odd = append(odd, "Id", "DeveloperName")
	}
	apps = slices.DeleteFunc(apps, incomplete)
	slices.SortFunc(apps, byName)
	return apps, words.Unique(append(missing, odd...)), err
}

func byName(a, b *App) int { return cmp.Compare(a.FullName(), b.FullName()) }

// maxListed bounds the components that an org may list for a type.
const maxListed = 20_000

// Read returns the org's own apps, without those of managed packages, with their components of some
// types, by name; with names, only those apps. The error is a *NotFoundError if the org lacks one of
// them.
func Read(ctx context.Context, conn *salesforce.Conn, types []string, names ...string) ([]*App, error) {
	var apps []*App
	var listed []mdapi.FileProperties
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { apps, _, err = Apps(groupCtx, conn); return err })
	group.Go(func() (err error) { listed, err = List(groupCtx, conn, types); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	chosen := slices.DeleteFunc(slices.Clone(apps), func(a *App) bool { return a.Namespace != "" })
	if len(names) > 0 {
		chosen = nil
	}
	for _, name := range names {
		one, err := Named(apps, name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(chosen, one) {
			chosen = append(chosen, one)
		}
	}
	slices.SortFunc(chosen, byName)
	return chosen, Load(ctx, conn, chosen, types, listed)
}

// NotFoundError reports that an org has no External Client App of a name.
type NotFoundError struct {
	App string
	// Similar are the names of the org's apps, of which the message suggests one that is close.
	Similar []string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("there is no External Client App %s on this org%s", e.App, words.DidYouMean(e.App, e.Similar))
}

// Suggestion returns the name of an app that was probably meant, or "".
func (e *NotFoundError) Suggestion() string { return words.Similar(e.App, e.Similar) }

// NoOAuthError reports that an app exists and lacks a part of its OAuth.
type NoOAuthError struct {
	App  string
	Lack string // what it lacks, like "OAuth consumer"
}

func (e *NoOAuthError) Error() string {
	return fmt.Sprintf("the app %s has no %s on this org", e.App, e.Lack)
}

// Find returns one of the org's own apps with its components of some types. If there is none of
// that name, the error is a *NotFoundError.
func Find(ctx context.Context, conn *salesforce.Conn, types []string, name string) (*App, error) {
	found, err := Read(ctx, conn, types, name)
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// Component returns an app's component of a type, or nil. It does not check that the app exists, so
// it takes only two rounds of requests.
func Component(ctx context.Context, conn *salesforce.Conn, app, typ string) (*metadata.Component, error) {
	one := &App{Name: app}
	listed, err := List(ctx, conn, []string{typ})
	if err == nil {
		err = Load(ctx, conn, []*App{one}, []string{typ}, listed)
	}
	return one.Component(typ), err
}

// Named returns the org's own app of a name among all, as Apps returns them. Names fold case. If there
// is none, the error is a *NotFoundError.
func Named(all []*App, name string) (*App, error) {
	missing := &NotFoundError{App: name}
	for _, a := range all {
		if a.Namespace != "" {
			continue
		}
		if strings.EqualFold(a.Name, name) {
			return a, nil
		}
		missing.Similar = append(missing.Similar, a.Name)
	}
	return nil, missing
}

// List returns what the org lists of some types.
func List(ctx context.Context, conn *salesforce.Conn, types []string) ([]mdapi.FileProperties, error) {
	listed, err := (&mdapi.Client{Conn: conn}).List(ctx, types...)
	if len(listed) > maxListed {
		return nil, fmt.Errorf("the org lists more than %d components of %s", maxListed, strings.Join(types, ", "))
	}
	return listed, err
}

// Load reads the components of apps, of some types: those that the org lists, and then, for apps of
// which it listed none, those of usual names.
func Load(ctx context.Context, conn *salesforce.Conn, apps []*App, types []string, listed []mdapi.FileProperties) error {
	if len(apps) == 0 {
		return nil
	}
	l := &loader{client: &mdapi.Client{Conn: conn}, apps: make(map[string]*App), read: make(map[component]bool)}
	for _, a := range apps {
		a.Components = make(map[string][]*metadata.Component)
		l.apps[strings.ToLower(a.FullName())] = a
	}
	var first []component
	for _, f := range listed {
		if slices.Contains(types, f.Type) {
			first = append(first, component{f.Type, f.FullName})
		}
	}
	if err := l.load(ctx, first); err != nil {
		return err
	}
	var second []component
	for _, a := range apps {
		for _, typ := range types {
			if len(a.Components[typ]) == 0 && a.Namespace == "" {
				for _, name := range eca.UsualNames(a.Name, typ) {
					second = append(second, component{typ, name})
				}
			}
		}
	}
	return l.load(ctx, second)
}

// component is a component by type and name.
type component struct{ typ, name string }

// loader reads components, each once, and gives them to their apps.
type loader struct {
	client *mdapi.Client
	apps   map[string]*App    // by full name, folded
	read   map[component]bool // with folded names
}

func (l *loader) load(ctx context.Context, all []component) error {
	names := make(map[string][]string) // by type
	for _, c := range all {
		if key := (component{c.typ, strings.ToLower(c.name)}); !l.read[key] {
			l.read[key] = true
			names[c.typ] = append(names[c.typ], c.name)
		}
	}
	var mu sync.Mutex
	var found []*metadata.Component
	group, ctx := errgroup.WithContext(ctx)
	for typ, names := range names {
		group.Go(func() error {
			components, err := l.client.Read(ctx, typ, names...)
			mu.Lock()
			defer mu.Unlock()
			found = append(found, components...)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b *metadata.Component) int { return cmp.Compare(a.FullName, b.FullName) })
	for _, c := range found {
		if a := l.apps[strings.ToLower(eca.App(c))]; a != nil {
			a.Components[c.Type] = append(a.Components[c.Type], c)
		}
	}
	return nil
}
