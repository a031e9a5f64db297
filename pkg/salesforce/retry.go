package salesforce

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Retry retries transient failures within one budget, shared by all users of the Retry. The
// zero value retries nothing. It is safe for concurrent use.
type Retry struct {
	// Budget bounds the total time spent waiting between attempts, over all calls; overlapping
	// waits count once. A call's context bounds it too.
	Budget time.Duration

	// First is the approximate length of a call's first wait; 0 means half a second. Waits grow
	// up to about 15 seconds. They are random, so that many runs hit by one fault do not all
	// come back at once.
	First time.Duration

	// Notify, if not nil, is called before each retry with the failure and the wait. Several
	// goroutines may call it at once.
	Notify func(err error, wait time.Duration)

	mu    sync.Mutex
	spent time.Duration
	until time.Time // end of the last granted wait
}

// maxWait bounds a single wait, unless the org requested a longer one.
const maxWait = 15 * time.Second

// Do makes a call, and repeats it while it fails transiently (IsTransient) and the budget
// lasts. It returns the error of the last attempt. A call that changes something must first
// find out what the previous attempt did.
//
// If the org requests a wait (Retry-After), Do waits that long. If the budget or the context
// does not allow it, Do returns the failure at once.
func (r *Retry) Do(ctx context.Context, call func() error) error {
	if r == nil || r.Budget <= 0 {
		return call()
	}
	growing := backoff.NewExponentialBackOff()
	growing.InitialInterval, growing.MaxInterval = cmp.Or(max(r.First, 0), 500*time.Millisecond), maxWait
	for {
		err := call()
		if !IsTransient(err) {
			return err
		}
		wait := r.next(ctx, min(growing.NextBackOff(), maxWait), RetryAfter(err))
		if wait == backoff.Stop || ctx.Err() != nil {
			return err
		}
		if r.Notify != nil {
			r.Notify(err, wait)
		}
		if pause(ctx, wait) != nil {
			return err // more useful than the context's error
		}
	}
}

// pause waits. If ctx ends before, the error is its cause.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// Polling describes how long Until waits for something. The zero value looks once.
type Polling struct {
	// Limit bounds the total time. Until does not begin a wait that would end later.
	Limit time.Duration
	// First is the length of the first wait; 0 means one second. Each wait is twice as long as
	// the one before, up to Max; 0 means 30 seconds.
	First, Max time.Duration
	// Waiting, if not nil, is called before each wait.
	Waiting func(wait time.Duration)
}

// Until calls look until it returns true or an error, and waits between the calls. It returns
// false if the limit is reached. The waits do not count against Budget, because nothing has
// failed; look retries its own calls. If ctx ends during a wait, the error is its cause. A nil
// Retry works.
func (r *Retry) Until(ctx context.Context, p Polling, look func(context.Context) (bool, error)) (bool, error) {
	end := time.Now().Add(p.Limit)
	wait, longest := cmp.Or(p.First, time.Second), cmp.Or(p.Max, 30*time.Second)
	for {
		done, err := look(ctx)
		if done || err != nil || time.Now().Add(wait).After(end) {
			return done, err
		}
		if p.Waiting != nil {
			p.Waiting(wait)
		}
		if err := pause(ctx, wait); err != nil {
			return false, err
		}
		wait = min(2*wait, longest)
	}
}

// next returns the wait before the next attempt: the one that the org asked for, or otherwise the usual
// one. If ctx or the budget does not allow it, next returns backoff.Stop.
func (r *Retry) next(ctx context.Context, usual, asked time.Duration) time.Duration {
	wait := cmp.Or(asked, usual)
	if deadline, bounded := ctx.Deadline(); bounded && time.Until(deadline) <= wait {
		return backoff.Stop
	}
	return r.spend(wait, asked > 0)
}

// spend deducts a wait from the budget and returns it. If the budget is too small, it returns
// the rest of the budget, or backoff.Stop if the wait must be whole.
func (r *Retry) spend(wait time.Duration, whole bool) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	from := now
	if r.until.After(now) {
		from = r.until // another call waits until then anyway
	}
	most := from.Sub(now) + r.Budget - r.spent
	if most <= 0 || whole && wait > most {
		return backoff.Stop
	}
	wait = min(wait, most)
	if end := now.Add(wait); end.After(from) {
		r.spent += end.Sub(from)
		r.until = end
	}
	return wait
}
