package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// TestRotateNow has credentials that leaked, in each state that a rotation can have left behind, and
// breaks each request in each way. In the end only new credentials work, and their user has them.
func TestRotateNow(t *testing.T) {
	t.Parallel()
	states := map[string]func(t *testing.T, s *stage, u *user){
		"no rotation": func(*testing.T, *stage, *user) {},
		"staged": func(t *testing.T, s *stage, u *user) {
			down := func(context.Context, login.Credentials) error { return errors.New("down") }
			if _, err := (&Rotation{Client: s.Client, HandOver: down}).Run(t.Context(), "App"); err == nil {
				t.Fatal("no error")
			}
		},
		"rotated": func(t *testing.T, s *stage, u *user) {
			if _, err := (&Rotation{Client: s.Client, HandOver: u.receive}).Run(t.Context(), "App"); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, config := range readings() {
		if testing.Short() && (config.Facts.Is("staged-id-after-swap", "kept") || config.Facts.Is("staged-shape", "list") || config.Facts.Is("nothing-staged", "not-found")) {
			continue
		}
		for state, prepare := range states {
			t.Run(name+", "+state, func(t *testing.T) {
				t.Parallel()
				for kind, fault := range map[string]simorg.Fault{"none": {}, "before": {Drop: true}, "after": {Drop: true, After: true}} {
					for at := int64(1); ; at++ {
						s := start(t, config)
						u := &user{pair: s.pair()}
						prepare(t, s, u)
						leaked := s.Pairs("App")
						var n atomic.Int64
						fault.Fits = func(simorg.Request) bool { return n.Add(1) == at }
						if kind != "none" {
							s.Inject(fault)
						}
						run := func() error {
							_, err := (&Rotation{Client: s.Client, HandOver: u.receive, Now: true}).Run(t.Context(), "App")
							return err
						}
						err := run()
						reached := n.Swap(1<<40) >= at // from here on, nothing breaks
						if reached {
							err = run()
						}
						if err != nil {
							t.Fatalf("%s, request %d: %v", kind, at, err)
						}
						pairs := s.Pairs("App")
						if len(pairs) != 1 || !u.logsIn(s) || u.pair.Key != pairs[0].Key || pairs[0].Key == leaked[0].Key {
							t.Errorf("%s, request %d: the org has %v, and the user %s; the leaked one was %s", kind, at, pairs, u.pair.Key, leaked[0].Key)
						}
						s.Close()
						if kind == "none" || !reached {
							break
						}
					}
				}
			})
		}
	}
}

// TestRotateNowWithoutHandOver has a hand-over that fails: the old credentials stay, unless they have to
// end in any case.
func TestRotateNowWithoutHandOver(t *testing.T) {
	t.Parallel()
	for _, regardless := range []bool{false, true} {
		s := start(t, on(simorg.Config{}))
		old := &user{pair: s.pair()}
		down := errors.New("vault is sealed")
		r := &Rotation{Client: s.Client, Now: true, EvenIfHandOverFails: regardless, HandOver: func(context.Context, login.Credentials) error { return down }}
		result, err := r.Run(t.Context(), "App")
		if failed, ok := errors.AsType[*HandOverError](err); !ok || !errors.Is(failed, down) {
			t.Errorf("regardless %t: got %v, want a *HandOverError", regardless, err)
		}
		if old.logsIn(s) == regardless || (result != nil) != regardless || regardless && len(s.Pairs("App")) != 1 {
			t.Errorf("regardless %t: the result is %+v, the org has %v", regardless, result, fmt.Sprint(s.Pairs("App")))
		}
	}
}
