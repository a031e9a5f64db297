package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// State is what an org has of the wants. Salesforce names are case-insensitive, so lookups fold
// case.
type State struct {
	client *mdapi.Client
	wants  []*metadata.Want

	mu     sync.Mutex
	found  map[string][]*metadata.Component // by type
	read   map[string]map[string]bool       // names already read, by type, folded
	listed map[string][]string              // names that the org lists, by type
}

// maxListed bounds the components that the org may list for a type.
const maxListed = 5000

// Read reads what an org has of the wants, in as few rounds of requests as possible.
//
// The first round lists all types, and reads the wants without dependencies by their usual
// names. If those do not exist, nothing that depends on them does, so an empty org needs no
// second round. Otherwise the second round reads the other components with usual names, and
// further rounds read those with unusual names.
func Read(ctx context.Context, client *mdapi.Client, wants []*metadata.Want) (*State, error) {
	s := &State{
		client: client, wants: wants,
		found: make(map[string][]*metadata.Component), read: make(map[string]map[string]bool), listed: make(map[string][]string),
	}
	first := make(names)
	for _, w := range wants {
		if s.read[w.Type.Name] == nil {
			s.read[w.Type.Name] = make(map[string]bool)
			first.add(w.Type.Name)
		}
		if len(w.After) == 0 {
			first.add(w.Type.Name, w.Names...)
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.list(groupCtx, first) })
	group.Go(func() error { return s.load(groupCtx, first) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	// This ends, because each round reads names not read before.
	for missing := s.missing(); len(missing) > 0; missing = s.missing() {
		if err := s.load(ctx, missing); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// names are component names by type.
type names map[string][]string

func (n names) add(typ string, more ...string) {
	n[typ] = words.Unique(append(n[typ], more...))
}

func contains(all []string, name string) bool {
	return slices.ContainsFunc(all, func(other string) bool { return strings.EqualFold(other, name) })
}

// Find returns the org's component for a want, or nil.
func (s *State) Find(w *metadata.Want) *metadata.Component {
	var own []*metadata.Component
	for _, c := range s.found[w.Type.Name] {
		if is(w, c) {
			own = append(own, c)
		}
	}
	for _, name := range w.Names {
		if i := slices.IndexFunc(own, func(c *metadata.Component) bool { return strings.EqualFold(c.FullName, name) }); i >= 0 {
			return own[i]
		}
	}
	if len(own) > 0 {
		return own[0]
	}
	return nil
}

// Components returns the org's components of a type as far as they were read, also those that no want
// is about.
func (s *State) Components(typ string) []*metadata.Component { return slices.Clone(s.found[typ]) }

// free returns the first usual name that no known component has, or "".
func (s *State) free(w *metadata.Want) string {
	for _, name := range w.Names {
		if !slices.ContainsFunc(s.found[w.Type.Name], func(c *metadata.Component) bool { return strings.EqualFold(c.FullName, name) }) {
			return name
		}
	}
	return ""
}

// load reads components of several types in parallel. It replaces earlier results for the same
// names.
func (s *State) load(ctx context.Context, all names) error {
	group, ctx := errgroup.WithContext(ctx)
	for typ, names := range all {
		if len(names) == 0 {
			continue
		}
		group.Go(func() error {
			found, err := s.client.Read(ctx, typ, names...)
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
		})
	}
	return group.Wait()
}

func (s *State) forget(typ, name string) {
	s.found[typ] = slices.DeleteFunc(s.found[typ], func(c *metadata.Component) bool { return strings.EqualFold(c.FullName, name) })
}

// accept records a component that the org accepted as sent.
func (s *State) accept(c *metadata.Component) {
	s.forget(c.Type, c.FullName)
	s.found[c.Type] = append(s.found[c.Type], c)
}

// list reads what the org lists for the types.
func (s *State) list(ctx context.Context, types names) error {
	var all []string
	for typ := range types {
		all = append(all, typ)
	}
	list, err := s.client.List(ctx, all...)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, found := range list {
		if s.listed[found.Type] = append(s.listed[found.Type], found.FullName); len(s.listed[found.Type]) > maxListed {
			return fmt.Errorf("the org lists more than %d components of %s", maxListed, found.Type)
		}
	}
	return err
}

// rooted reports whether the org has the components at the root of a want's dependencies, so
// that it may have the want as well.
func (s *State) rooted(w *metadata.Want) bool {
	if len(w.After) == 0 {
		return s.Find(w) != nil
	}
	return !slices.ContainsFunc(w.After, func(before *metadata.Want) bool { return !s.rooted(before) })
}

// missing returns the names to read next.
func (s *State) missing() names {
	all := make(names)
	for _, w := range s.wants {
		typ := w.Type.Name
		unread := func(names []string) []string {
			return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return s.read[typ][strings.ToLower(name)] })
		}
		if s.Find(w) != nil {
			continue
		}
		usual, listed := unread(w.Names), unread(s.listed[typ])
		inList := slices.DeleteFunc(slices.Clone(usual), func(name string) bool { return !contains(listed, name) })
		switch {
		case len(inList) > 0:
			all.add(typ, inList...)
		case len(listed) > 0 && w.Is != nil:
			all.add(typ, append(usual, listed...)...)
		case len(usual) > 0 && s.rooted(w):
			all.add(typ, usual...) // an empty list proves nothing
		}
	}
	// A call costs the same for any number of names up to its limit, so fill it up.
	for typ, names := range all {
		for _, name := range s.listed[typ] {
			if len(names)%mdapi.MaxComponents == 0 {
				break
			}
			if !s.read[typ][strings.ToLower(name)] {
				names = words.Unique(append(names, name))
			}
		}
		all[typ] = names
	}
	return all
}
