package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ecakit/ecakit/pkg/fleet"
)

func names(n int) (orgs []string) {
	for i := range n {
		orgs = append(orgs, fmt.Sprintf("org%02d", i))
	}
	return orgs
}

var errDown = errors.New("down")

// every4th fails on every fourth org, from the second on.
func every4th(ctx context.Context, org string) (string, error) {
	time.Sleep(time.Second)
	var i int
	fmt.Sscanf(org, "org%d", &i)
	if i%4 == 1 {
		return "half of " + org, errDown
	}
	return "all of " + org, nil
}

func TestAFailureTouchesNoOtherOrg(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var atOnce, most atomic.Int64
		var told []string
		options := fleet.Options[string]{Jobs: 3, Changed: func(o fleet.Outcome[string]) { told = append(told, o.Org+" "+string(o.State)) }}
		started := time.Now()
		outcomes := fleet.Run(t.Context(), options, names(12), func(ctx context.Context, org string) (string, error) {
			if n := atOnce.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer atOnce.Add(-1)
			return every4th(ctx, org)
		})
		for i, o := range outcomes {
			want := fleet.Outcome[string]{Org: fmt.Sprintf("org%02d", i), State: fleet.Finished, Result: "all of " + o.Org, Took: time.Second}
			if i%4 == 1 {
				want.State, want.Result, want.Err = fleet.Failed, "half of "+o.Org, errDown
			}
			if o != want {
				t.Errorf("got %+v, want %+v", o, want)
			}
		}
		if most.Load() != 3 || time.Since(started) != 4*time.Second {
			t.Errorf("at most %d at once, in %s; want 3, in 4s", most.Load(), time.Since(started))
		}
		for _, state := range []string{"running", "done", "failed"} {
			want := map[string]int{"running": 12, "done": 9, "failed": 3}[state]
			if got := strings.Count(strings.Join(told, ",")+",", " "+state+","); got != want {
				t.Errorf("told %d times that an org is %s, want %d", got, state, want)
			}
		}
	})
}

func TestFailFastBeginsNoFurtherOrg(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		states := make(map[fleet.State]int)
		for _, o := range fleet.Run(t.Context(), fleet.Options[string]{FailFast: true}, names(12), every4th) {
			states[o.State]++
		}
		if got := fmt.Sprint(states); got != "map[done:1 failed:1 not begun:10]" {
			t.Errorf("got %s", got)
		}
	})
}

func TestInterruptionTellsWhatWasDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		got := ""
		for _, o := range fleet.Run(ctx, fleet.Options[string]{Jobs: 2}, []string{"a", "b", "c", "d", "e"}, func(ctx context.Context, org string) (string, error) {
			if org == "a" {
				time.Sleep(time.Second)
				return "", nil
			}
			<-ctx.Done()
			return "", ctx.Err()
		}) {
			got += o.Org + " " + string(o.State) + ", "
		}
		if want := "a done, b interrupted, c interrupted, d not begun, e not begun, "; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestNoOrgs(t *testing.T) {
	t.Parallel()
	if got := fleet.Run(t.Context(), fleet.Options[string]{Jobs: 16}, nil, every4th); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}
