package bootstrap

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Patience is how a run deals with faults that pass: a connection that was cut, a
// server that is busy, a record that somebody else has locked. The zero value has
// none, and a run ends with the first of them.
type Patience struct {
	// For is how long is waited at most, in all, for the same thing. The run's own
	// deadline bounds it as well.
	For time.Duration

	// First is about how long is waited before the first repetition; 0 stands for
	// half a second. Each wait is longer than the one before, and random, so that
	// many runs that a fault has met together do not come back together.
	First time.Duration

	// Waiting, where it is not nil, is told of each fault that is waited for, and how
	// long. It may be called by several goroutines at once.
	Waiting func(fault error, wait time.Duration)
}

// maxWait bounds a single wait.
const maxWait = 15 * time.Second

// isTransient reports whether a fault may pass.
func isTransient(err error) bool {
	var fault interface{ Transient() bool }
	return errors.As(err, &fault) && fault.Transient()
}

// patiently makes a call, and makes it again for as long as it fails of something
// that may pass and the patience lasts.
func patiently[T any](ctx context.Context, p Patience, call func() (T, error)) (T, error) {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = 500*time.Millisecond, maxWait
	if p.First > 0 {
		waits.InitialInterval = p.First
	}
	for left := p.For; ; {
		result, err := call()
		if err == nil || !isTransient(err) || ctx.Err() != nil {
			return result, err
		}
		// Only waiting uses the patience up: a call may take its time and fail then.
		wait := min(waits.NextBackOff(), left)
		if deadline, ok := ctx.Deadline(); wait <= 0 || ok && time.Until(deadline) <= wait {
			return result, err
		}
		left -= wait
		if p.Waiting != nil {
			p.Waiting(err, wait)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return result, err
		}
	}
}
