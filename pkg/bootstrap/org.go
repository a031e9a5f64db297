package bootstrap

import (
	"context"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// Org is an org that apps are bootstrapped on.
type Org struct {
	Metadata *mdapi.Client
}

// state is what an org was seen to have. The platform's names differ by more
// than case, so that all lookups fold it.
type state struct {
	mu     sync.Mutex
	found  map[string][]*metadata.Component // by type
	read   map[string]map[string]bool       // which names of a type were asked for, folded
	listed map[string][]string              // what the org lists of a type
}

func newState() *state {
	s := &state{found: make(map[string][]*metadata.Component), read: make(map[string]map[string]bool), listed: make(map[string][]string)}
	for _, typ := range Types {
		s.read[typ] = make(map[string]bool)
	}
	return s
}

// of returns the component of an app, the one with the most usual name where
// there are several, or nil.
func (s *state) of(typ, app string) *metadata.Component {
	var own []*metadata.Component
	for _, c := range s.found[typ] {
		if strings.EqualFold(c.App(), app) {
			own = append(own, c)
		}
	}
	for _, name := range usualNames(typ, app) {
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
func (s *state) free(typ, app string) string {
	for _, name := range usualNames(typ, app) {
		if !slices.ContainsFunc(s.found[typ], func(c *metadata.Component) bool { return strings.EqualFold(c.FullName, name) }) {
			return name
		}
	}
	return ""
}

// load reads components by name. Names that were read before are read again and
// what they hold is replaced.
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
func (s *state) loadAll(ctx context.Context, client *mdapi.Client, names map[string][]string) error {
	group, ctx := errgroup.WithContext(ctx)
	for typ, names := range names {
		group.Go(func() error { return s.load(ctx, client, typ, unique(names)) })
	}
	return group.Wait()
}

func unique(names []string) []string {
	var all []string
	for _, name := range names {
		if !slices.ContainsFunc(all, func(other string) bool { return strings.EqualFold(other, name) }) {
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
func (o *Org) gather(ctx context.Context, apps []string, first func(context.Context) error) (*state, error) {
	s := newState()
	group, groupCtx := errgroup.WithContext(ctx)
	if first != nil {
		group.Go(func() error { return first(groupCtx) })
	}
	group.Go(func() error {
		list, err := o.Metadata.List(groupCtx, Types...)
		for _, found := range list {
			s.listed[found.Type] = append(s.listed[found.Type], found.FullName)
		}
		return err
	})
	group.Go(func() error {
		var names []string
		for _, app := range apps {
			names = append(names, usualNames(metadata.OAuthSettings, app)...)
		}
		return s.load(groupCtx, o.Metadata, metadata.OAuthSettings, unique(names))
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for {
		missing := make(map[string][]string)
		for _, typ := range Types {
			if names := s.missing(typ, apps); len(names) > 0 {
				missing[typ] = names
			}
		}
		if len(missing) == 0 {
			return s, nil
		}
		// Each round reads names that were not read before, so this ends.
		if err := s.loadAll(ctx, o.Metadata, missing); err != nil {
			return nil, err
		}
	}
}

// missing returns the names that are to be read next in search of the apps'
// components of a type.
func (s *state) missing(typ string, apps []string) []string {
	unread := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return s.read[typ][strings.ToLower(name)] })
	}
	listed := unread(s.listed[typ])
	var names []string
	for _, app := range apps {
		if s.of(typ, app) != nil {
			continue
		}
		usual := unread(usualNames(typ, app))
		inList := slices.DeleteFunc(slices.Clone(usual), func(name string) bool {
			return !slices.ContainsFunc(listed, func(l string) bool { return strings.EqualFold(l, name) })
		})
		switch {
		case len(inList) > 0:
			names = append(names, inList...)
		case len(listed) > 0:
			names = append(append(names, usual...), listed...)
		case s.of(metadata.OAuthSettings, app) != nil:
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
