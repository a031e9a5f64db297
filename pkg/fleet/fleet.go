// Package fleet does the same thing on many orgs, some of them at a time. What happens on
// one org never touches another.
//
//	outcomes := fleet.Run(ctx, fleet.Options[*bootstrap.Report]{Jobs: 16}, orgs, bootstrapOne)
package fleet

import (
	"context"
	"sync"
	"time"
)

// State is how far the work on one org has come.
type State string

// The states.
const (
	Waiting     State = "not begun"   // it is not its turn yet, or the fleet was stopped before
	Running     State = "running"     // it is at work
	Finished    State = "done"        // it ended without an error
	Failed      State = "failed"      // it ended with an error
	Interrupted State = "interrupted" // it was under way when the fleet was interrupted
)

// Outcome is what became of one org.
type Outcome[T any] struct {
	Org    string // as it was given
	State  State
	Result T     // what the work returned, also beside an error; zero where it did not end
	Err    error // nil unless State is Failed or Interrupted
	Took   time.Duration
}

// Options say how a fleet is worked on. The zero value takes one org after the other.
type Options[T any] struct {
	// Jobs is how many orgs are worked on at once; less than 1 is 1.
	Jobs int

	// FailFast begins no further org after one that failed. Those that are under way
	// come to their end.
	FailFast bool

	// Changed, where it is not nil, is told when an org begins and when it ends. It is
	// called by one goroutine at a time.
	Changed func(Outcome[T])
}

// Run calls one for each of the orgs, from several goroutines, and returns what became of
// each, in their order. When the context ends, those that are under way are ended with it,
// and no further one begins.
func Run[T any](ctx context.Context, options Options[T], orgs []string, one func(ctx context.Context, org string) (T, error)) []Outcome[T] {
	var mu sync.Mutex
	outcomes := make([]Outcome[T], len(orgs))
	for i, org := range orgs {
		outcomes[i] = Outcome[T]{Org: org, State: Waiting}
	}
	changed := func(i int) {
		if options.Changed != nil {
			options.Changed(outcomes[i])
		}
	}
	next, stop := 0, false
	// begin gives out the next org, -1 where there is none to begin.
	begin := func() int {
		mu.Lock()
		defer mu.Unlock()
		if next == len(orgs) || stop || ctx.Err() != nil {
			return -1
		}
		i := next
		next++
		outcomes[i].State = Running
		changed(i)
		return i
	}
	end := func(i int, result T, err error, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		o := &outcomes[i]
		o.Result, o.Err, o.Took, o.State = result, err, took, Finished
		switch {
		case err != nil && ctx.Err() != nil:
			o.State = Interrupted
		case err != nil:
			o.State = Failed
			stop = stop || options.FailFast
		}
		changed(i)
	}
	var workers sync.WaitGroup
	for range min(max(options.Jobs, 1), len(orgs)) {
		workers.Go(func() {
			for i := begin(); i >= 0; i = begin() {
				started := time.Now()
				result, err := one(ctx, orgs[i])
				end(i, result, err, time.Since(started))
			}
		})
	}
	workers.Wait()
	return outcomes
}
