// Package fleet runs one function on many orgs, several at a time. A failure on one org does
// not affect the others.
//
//	outcomes := fleet.Run(ctx, fleet.Options[*bootstrap.Report]{Jobs: 16}, orgs, bootstrapOne)
package fleet

import (
	"context"
	"sync"
	"time"
)

// State is the progress on one org.
type State string

// The states.
const (
	NotStarted  State = "not begun"   // waiting for its turn, or the fleet stopped before it
	Running     State = "running"     // in progress
	Finished    State = "done"        // ended without an error
	Failed      State = "failed"      // ended with an error
	Interrupted State = "interrupted" // was in progress when the fleet was interrupted
)

// Outcome is the result for one org.
type Outcome[T any] struct {
	Org    string // as passed to Run
	State  State
	Result T     // the function's result, even with an error; zero before it ends
	Err    error // nil unless State is Failed or Interrupted
	Took   time.Duration
}

// Options configure Run. The zero value handles one org after the other.
type Options[T any] struct {
	// Jobs is the number of concurrent orgs; less than 1 means 1.
	Jobs int

	// FailFast starts no further orgs after a failure. Orgs in progress run to their end.
	FailFast bool

	// Changed, if not nil, is called when an org starts and when it ends, by one goroutine at a
	// time.
	Changed func(Outcome[T])
}

// Run calls one for each org, from several goroutines, and returns the outcomes in the order of
// orgs. When the context ends, running calls are cancelled and no further ones start.
func Run[T any](ctx context.Context, options Options[T], orgs []string, one func(ctx context.Context, org string) (T, error)) []Outcome[T] {
	var mu sync.Mutex
	outcomes := make([]Outcome[T], len(orgs))
	for i, org := range orgs {
		outcomes[i] = Outcome[T]{Org: org, State: NotStarted}
	}
	changed := func(i int) {
		if options.Changed != nil {
			options.Changed(outcomes[i])
		}
	}
	next, stop := 0, false
	// begin returns the index of the next org, or -1.
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
