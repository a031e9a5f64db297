package bootstrap

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// Org is an org that apps are bootstrapped on.
type Org struct {
	Metadata *mdapi.Client
}

// state is what an org was seen to have: components by type and app.
type state struct {
	mu    sync.Mutex
	byApp map[string]map[string][]*metadata.Component
	read  map[string]map[string]bool // which names of a type were asked for
}

func newState() *state {
	return &state{byApp: make(map[string]map[string][]*metadata.Component), read: make(map[string]map[string]bool)}
}

// of returns the component of an app, or nil.
func (s *state) of(typ, app string) *metadata.Component { return choose(s.byApp[typ][app], typ, app) }

// load reads components by name and remembers whose they are. Names that were
// read before are read again and their components replaced.
func (s *state) load(ctx context.Context, client *mdapi.Client, typ string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	found, err := client.Read(ctx, typ, names...)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byApp[typ] == nil {
		s.byApp[typ], s.read[typ] = make(map[string][]*metadata.Component), make(map[string]bool)
	}
	for _, name := range names {
		s.read[typ][name] = true
	}
	for app := range s.byApp[typ] {
		s.byApp[typ][app] = slices.DeleteFunc(s.byApp[typ][app], func(c *metadata.Component) bool { return slices.Contains(names, c.FullName) })
	}
	for _, c := range found {
		s.byApp[typ][c.App()] = append(s.byApp[typ][c.App()], c)
	}
	return nil
}

// unread returns the names that have not been read yet, each once.
func (s *state) unread(typ string, names []string) []string {
	var rest []string
	for _, name := range names {
		if !s.read[typ][name] && !slices.Contains(rest, name) {
			rest = append(rest, name)
		}
	}
	return rest
}

// gather reads what the org has of the apps, in two rounds of parallel requests
// at most.
//
// The first round lists all types and reads the OAuth settings by their usual
// names. An app without OAuth settings has no global settings, because the
// platform refuses those, so that for a new app nothing is left to read. The
// second round reads the rest: by the usual names where they are listed or the
// listing cannot be trusted, and everything listed where an app's component is
// not among those. first runs along with the first round.
func (o *Org) gather(ctx context.Context, apps []string, first func(context.Context) error) (*state, error) {
	s := newState()
	listed := make(map[string][]string)
	group, groupCtx := errgroup.WithContext(ctx)
	if first != nil {
		group.Go(func() error { return first(groupCtx) })
	}
	group.Go(func() error {
		list, err := o.Metadata.List(groupCtx, Types...)
		for _, found := range list {
			listed[found.Type] = append(listed[found.Type], found.FullName)
		}
		return err
	})
	group.Go(func() error {
		return s.load(groupCtx, o.Metadata, metadata.OAuthSettings, allUsualNames(metadata.OAuthSettings, apps))
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}

	group, groupCtx = errgroup.WithContext(ctx)
	for _, typ := range Types {
		var names []string
		for _, app := range apps {
			if s.of(typ, app) != nil {
				continue
			}
			usual := usualNames(typ, app)
			inList := slices.DeleteFunc(slices.Clone(usual), func(name string) bool { return !slices.Contains(listed[typ], name) })
			switch {
			case len(inList) > 0:
				names = append(names, inList...)
			case len(listed[typ]) > 0:
				names = append(append(names, usual...), listed[typ]...)
			case s.of(metadata.OAuthSettings, app) != nil || len(listed[metadata.OAuthSettings]) > 0:
				names = append(names, usual...)
			}
		}
		names = s.unread(typ, names)
		group.Go(func() error { return s.load(groupCtx, o.Metadata, typ, names) })
	}
	return s, group.Wait()
}

func allUsualNames(typ string, apps []string) []string {
	var names []string
	for _, app := range apps {
		names = append(names, usualNames(typ, app)...)
	}
	return names
}
