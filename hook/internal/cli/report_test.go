package cli

import (
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/reconcile"
)

// TestFailuresFirst: a table has what a run did not get to after the failure that explains it, and keeps the
// order of a plan.
func TestFailuresFirst(t *testing.T) {
	t.Parallel()
	component := func(name string, failed, held, done bool) (c bootstrap.ComponentReport) {
		c.FullName, c.Held, c.Done, c.Action = name, held, done, reconcile.Create
		if failed {
			c.Error = "refused"
		}
		return c
	}
	all := []bootstrap.ComponentReport{
		component("held", false, true, false), component("done", false, false, true),
		component("unreached", false, false, false), component("failed", true, false, false),
	}
	for planOnly, want := range map[bool]string{false: "done failed held unreached", true: "done unreached failed held"} {
		var names []string
		for _, c := range byUrgency(all, planOnly) {
			names = append(names, c.FullName)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("plan only %t: %s, want %s", planOnly, got, want)
		}
	}
}
