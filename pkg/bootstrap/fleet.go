package bootstrap

import (
	"context"
	"sync"
	"time"
)

// State is how far a fleet's run on one org has come.
type State string

// The states.
const (
	Waiting     State = "not begun"   // it is not its turn yet, or the fleet was stopped before
	Running     State = "running"     // it is at work
	Finished    State = "done"        // the org is as wanted
	Failed      State = "failed"      // it ended with an error
	Interrupted State = "interrupted" // it was under way when the fleet was interrupted
)

// Outcome is what became of one org of a fleet.
type Outcome struct {
	Org    string // as it was given
	State  State
	Report *Report // nil where the run did not come that far
	Err    error   // nil unless State is Failed or Interrupted
	Took   time.Duration
}

// Fleet runs the same thing on many orgs, some of them at a time. What happens on
// one org never touches another.
type Fleet struct {
	// Jobs is how many orgs are worked on at once; less than 1 is 1.
	Jobs int

	// FailFast begins no further org after one that failed. Those that are under way
	// come to their end.
	FailFast bool

	// One does the work on one org, for example with Run. It is called by several
	// goroutines at once.
	One func(ctx context.Context, org string) (*Report, error)

	// Changed, where it is not nil, is told when an org begins and when it ends, by
	// its place in the list. It is called by one goroutine at a time.
	Changed func(i int, outcome Outcome)
}

// Run works on the orgs and returns what became of each, in their order. When the
// context ends, those that are under way are ended with it, and no further one
// begins.
func (f Fleet) Run(ctx context.Context, orgs []string) []Outcome {
	var mu sync.Mutex
	outcomes := make([]Outcome, len(orgs))
	for i, org := range orgs {
		outcomes[i] = Outcome{Org: org, State: Waiting}
	}
	next, stop := 0, false
	// take gives out the next org, -1 where there is none to begin.
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if next == len(orgs) || stop || ctx.Err() != nil {
			return -1
		}
		i := next
		next++
		outcomes[i].State = Running
		f.changed(i, outcomes[i])
		return i
	}
	end := func(i int, report *Report, err error, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		o := &outcomes[i]
		o.Report, o.Err, o.Took, o.State = report, err, took, Finished
		switch {
		case err != nil && ctx.Err() != nil:
			o.State = Interrupted
		case err != nil:
			o.State = Failed
			stop = stop || f.FailFast
		}
		f.changed(i, *o)
	}
	var group sync.WaitGroup
	for range min(max(f.Jobs, 1), len(orgs)) {
		group.Go(func() {
			for i := take(); i >= 0; i = take() {
				started := time.Now()
				report, err := f.One(ctx, orgs[i])
				end(i, report, err, time.Since(started))
			}
		})
	}
	group.Wait()
	return outcomes
}

func (f Fleet) changed(i int, outcome Outcome) {
	if f.Changed != nil {
		f.Changed(i, outcome)
	}
}
