package salesforce

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Retry keeps retrying transient failures, within one budget that all who share the Retry
// draw on. The zero value retries nothing. It may be used by several goroutines.
type Retry struct {
	// Budget bounds the time spent waiting between attempts, of all calls together;
	// waits that overlap count once. The context of a call bounds it as well.
	Budget time.Duration

	// First is about how long the first wait of a call takes; 0 is half a second. Waits
	// grow from there, up to about 15 seconds, and are random, so that many runs that
	// one fault has met do not come back together.
	First time.Duration

	// Notify, where it is not nil, is told of each failure that is going to be retried,
	// and of the wait before that. It may be called by several goroutines at once.
	Notify func(err error, wait time.Duration)

	mu    sync.Mutex
	spent time.Duration
	until time.Time // when the last wait ends that was granted
}

// maxWait bounds a single wait that nobody has asked for.
const maxWait = 15 * time.Second

// Do makes a call, and makes it again for as long as it fails transiently (IsTransient)
// and the budget lasts. It returns the error of the last attempt. A call that changes
// something has to find out first what the attempt before it has done.
//
// Where an org says how long to wait (Retry-After), that is waited for; if the budget or
// the context does not allow it, the failure is returned at once.
func (r *Retry) Do(ctx context.Context, call func() error) error {
	if r == nil || r.Budget <= 0 {
		return call()
	}
	waits := &schedule{ctx: ctx, retry: r, growing: backoff.NewExponentialBackOff()}
	waits.growing.InitialInterval, waits.growing.MaxInterval = 500*time.Millisecond, maxWait
	if r.First > 0 {
		waits.growing.InitialInterval = r.First
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		waits.failure = call()
		return struct{}{}, waits.failure
	}, backoff.WithBackOff(waits), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		if r.Notify != nil {
			r.Notify(err, wait)
		}
	}))
	if err != nil && waits.failure != nil {
		return waits.failure // rather than that the context ended, which the caller knows
	}
	return err
}

// schedule says how long to wait before the next attempt of a call.
type schedule struct {
	ctx     context.Context
	retry   *Retry
	growing *backoff.ExponentialBackOff
	failure error // of the last attempt
}

// Reset is called by backoff before the first attempt.
func (s *schedule) Reset() { s.growing.Reset() }

// NextBackOff returns the next wait, or backoff.Stop.
func (s *schedule) NextBackOff() time.Duration {
	if !IsTransient(s.failure) {
		return backoff.Stop
	}
	wait, asked := min(s.growing.NextBackOff(), maxWait), retryAfter(s.failure)
	deadline, bounded := s.ctx.Deadline()
	if asked > 0 {
		wait = asked
	}
	if bounded && time.Until(deadline) <= wait {
		return backoff.Stop
	}
	return s.retry.take(wait, asked > 0)
}

// take takes a wait out of the budget, or what is left of the budget where the wait need
// not be whole, or returns backoff.Stop.
func (r *Retry) take(wait time.Duration, whole bool) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	from := now
	if r.until.After(now) {
		from = r.until // until then, another call waits anyway
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
