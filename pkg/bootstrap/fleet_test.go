package bootstrap_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// TestFleet works on twelve orgs, three of which fail.
func TestFleet(t *testing.T) {
	p := simple()
	orgs := make(map[string]*org)
	var names []string
	for i := range 12 {
		o := startOrg(t, simorg.Config{})
		if i%4 == 1 {
			o.Close()
		} else if err := o.Deploy(p.fs(), "src/def"); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("org%02d", i)
		orgs[name], names = o, append(names, name)
	}
	var atOnce, most atomic.Int64
	begun := 0
	fleet := bootstrap.Fleet{
		Jobs: 3,
		One: func(ctx context.Context, name string) (*bootstrap.Report, error) {
			if n := atOnce.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer atOnce.Add(-1)
			options, err := orgs[name].options(p, "def")
			if err != nil {
				return nil, err
			}
			return options.run(ctx)
		},
		Changed: func(i int, o bootstrap.Outcome) {
			if o.State == bootstrap.Running {
				begun++
			}
			if o.Org != names[i] {
				t.Errorf("org %d is %s", i, o.Org)
			}
		},
	}
	for i, o := range fleet.Run(t.Context(), names) {
		failed := i%4 == 1
		if (o.State == bootstrap.Failed) != failed || (o.Err != nil) != failed || !failed && (o.State != bootstrap.Finished || touched(o.Report) != 3) {
			t.Errorf("%s: %s, %v", o.Org, o.State, o.Err)
		}
		if !failed {
			orgs[o.Org].one(eca.GlobalOAuthSettings)
		}
	}
	if most.Load() > 3 || begun != 12 {
		t.Errorf("%d at once, %d begun", most.Load(), begun)
	}

	// After a failure nothing begins, and what is under way is finished.
	fleet.FailFast, fleet.Jobs, begun = true, 1, 0
	states := make(map[bootstrap.State]int)
	for _, o := range fleet.Run(t.Context(), names) {
		states[o.State]++
	}
	if fmt.Sprint(states) != "map[done:1 failed:1 not begun:10]" || begun != 2 {
		t.Errorf("with FailFast: %v", states)
	}
}

// TestFleetInterrupted tells what was done from what was not.
func TestFleetInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	fleet := bootstrap.Fleet{Jobs: 2, One: func(ctx context.Context, org string) (*bootstrap.Report, error) {
		switch org {
		case "a":
			return nil, nil
		case "b":
			cancel()
		}
		<-ctx.Done()
		return nil, errors.New("cut")
	}}
	got := ""
	for _, o := range fleet.Run(ctx, []string{"a", "b", "c", "d", "e"}) {
		got += o.Org + " " + string(o.State) + ", "
	}
	if got != "a done, b interrupted, c interrupted, d not begun, e not begun, " && got != "a done, b interrupted, c not begun, d not begun, e not begun, " {
		t.Error(got)
	}
	if got := fleet.Run(t.Context(), nil); len(got) != 0 {
		t.Error(got)
	}
}
