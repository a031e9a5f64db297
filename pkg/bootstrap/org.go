package bootstrap

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Org is an org that apps are bootstrapped on.
type Org struct {
	// Conn is the way to it. Its Retry is the budget for transient failures of the whole
	// run, of reads and writes alike.
	Conn *salesforce.Conn
}

func (o *Org) metadata() *mdapi.Client { return &mdapi.Client{Conn: o.Conn} }

func (o *Org) rest() *restapi.Client { return &restapi.Client{Conn: o.Conn} }

// state is what an org was seen to have. Salesforce names are case-insensitive, so
// lookups fold case.
type state struct {
	mu     sync.Mutex
	found  map[string][]*metadata.Component // by type
	read   map[string]map[string]bool       // which names of a type were asked for, folded
	listed map[string][]string              // what the org lists of a type

	lookups *lookups
}

func newState() *state {
	s := &state{found: make(map[string][]*metadata.Component), read: make(map[string]map[string]bool), listed: make(map[string][]string)}
	for _, typ := range eca.Types() {
		s.read[typ.Name] = make(map[string]bool)
	}
	return s
}

// of returns the component of an app, the one with the most usual name where
// there are several, or nil.
func (s *state) of(typ string, app *App) *metadata.Component {
	var own []*metadata.Component
	for _, c := range s.found[typ] {
		if strings.EqualFold(eca.App(c), app.Name) {
			own = append(own, c)
		}
	}
	for _, name := range app.names(typ) {
		if i := slices.IndexFunc(own, func(c *metadata.Component) bool { return strings.EqualFold(c.FullName, name) }); i >= 0 {
			return own[i]
		}
	}
	if len(own) > 0 {
		return own[0]
	}
	return nil
}

// free returns the name for a new component of an app, the first usual one that
// no component is known to have, or "".
func (s *state) free(typ string, app *App) string {
	for _, name := range app.names(typ) {
		if !slices.ContainsFunc(s.found[typ], func(c *metadata.Component) bool { return strings.EqualFold(c.FullName, name) }) {
			return name
		}
	}
	return ""
}

// unread reports whether a usual name of the app's component was not asked for.
func (s *state) unread(typ string, app *App) bool {
	return slices.ContainsFunc(app.names(typ), func(name string) bool { return !s.read[typ][strings.ToLower(name)] })
}

// load reads components by name. Names that were read before are read again and
// what they hold is replaced.
func (s *state) load(ctx context.Context, o *Org, typ string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	found, err := o.metadata().Read(ctx, typ, names...)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.forget(typ, name)
		s.read[typ][strings.ToLower(name)] = true
	}
	s.found[typ] = append(s.found[typ], found...)
	return nil
}

func (s *state) forget(typ, name string) {
	s.found[typ] = slices.DeleteFunc(s.found[typ], func(c *metadata.Component) bool { return strings.EqualFold(c.FullName, name) })
}

// put notes a component that the org reports to have made as it was sent.
func (s *state) put(c *metadata.Component) {
	s.forget(c.Type, c.FullName)
	s.found[c.Type] = append(s.found[c.Type], c)
}

// loadAll reads components of several types in parallel.
func (s *state) loadAll(ctx context.Context, o *Org, names map[string][]string) error {
	group, ctx := errgroup.WithContext(ctx)
	for typ, names := range names {
		group.Go(func() error { return s.load(ctx, o, typ, unique(names)) })
	}
	return group.Wait()
}

func unique(names []string) []string {
	var all []string
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if key := strings.ToLower(name); !seen[key] {
			seen[key] = true
			all = append(all, name)
		}
	}
	return all
}

// gather reads what the org has of the apps. first runs along with the first
// round of requests.
//
// The first round lists all types and reads the OAuth settings by their usual
// names. An app without OAuth settings has no global settings, because the
// platform refuses those, and its policies are looked for before they are
// written, so that of a new app nothing is left to read. For an app with usual
// names the second round completes the picture. Further ones are for apps whose
// components have names that no one would expect.
//
// What the policies and settings refer to is looked up at the same time, in two
// rounds at most.
func (o *Org) gather(ctx context.Context, apps []*App, first func(context.Context) error) (*state, error) {
	s := newState()
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		s.lookups, err = o.look(groupCtx, apps)
		return err
	})
	group.Go(func() error { return o.gatherComponents(groupCtx, s, apps, first) })
	return s, group.Wait()
}

func (o *Org) gatherComponents(ctx context.Context, s *state, apps []*App, first func(context.Context) error) error {
	group, groupCtx := errgroup.WithContext(ctx)
	if first != nil {
		group.Go(func() error { return first(groupCtx) })
	}
	group.Go(func() error { return s.list(groupCtx, o, Types...) })
	group.Go(func() error {
		var names []string
		for _, app := range apps {
			names = append(names, app.names(eca.OAuthSettings)...)
		}
		return s.load(groupCtx, o, eca.OAuthSettings, unique(names))
	})
	if err := group.Wait(); err != nil {
		return err
	}
	for {
		missing := make(map[string][]string)
		for _, typ := range append(slices.Clone(Types), eca.OAuthPolicies) {
			if names := s.missing(typ, apps); len(names) > 0 {
				missing[typ] = names
			}
		}
		if len(missing) == 0 {
			return nil
		}
		group, groupCtx := errgroup.WithContext(ctx)
		if _, listed := s.listed[eca.OAuthPolicies]; !listed && missing[eca.OAuthPolicies] != nil {
			s.listed[eca.OAuthPolicies] = nil
			group.Go(func() error { return s.list(groupCtx, o, eca.OAuthPolicies) })
		}
		// Each round reads names that were not read before, so this ends.
		group.Go(func() error { return s.loadAll(groupCtx, o, missing) })
		if err := group.Wait(); err != nil {
			return err
		}
	}
}

// list asks what the org lists of some types.
func (s *state) list(ctx context.Context, o *Org, types ...string) error {
	list, err := o.metadata().List(ctx, types...)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, found := range list {
		if s.listed[found.Type] = append(s.listed[found.Type], found.FullName); len(s.listed[found.Type]) > maxListed {
			return fmt.Errorf("the org lists more than %d components of %s", maxListed, found.Type)
		}
	}
	return err
}

// maxListed bounds the components of a type that are looked through.
const maxListed = 5000

// missing returns the names that are to be read next in search of the apps'
// components of a type.
func (s *state) missing(typ string, apps []*App) []string {
	unread := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return s.read[typ][strings.ToLower(name)] })
	}
	listed := unread(s.listed[typ])
	var names []string
	for _, app := range apps {
		if s.of(typ, app) != nil || typ == eca.OAuthPolicies && !app.looked {
			continue
		}
		usual := unread(app.names(typ))
		inList := slices.DeleteFunc(slices.Clone(usual), func(name string) bool {
			return !slices.ContainsFunc(listed, func(l string) bool { return strings.EqualFold(l, name) })
		})
		switch {
		case len(inList) > 0:
			names = append(names, inList...)
		case len(listed) > 0:
			names = append(append(names, usual...), listed...)
		case s.of(eca.OAuthSettings, app) != nil:
			names = append(names, usual...) // an empty list proves nothing
		}
	}
	if len(names) == 0 {
		return nil
	}
	// A call costs the same with as many names as it can carry.
	names = unique(names)
	for _, name := range listed {
		if len(names)%mdapi.MaxComponents == 0 {
			break
		}
		names = unique(append(names, name))
	}
	return names
}
