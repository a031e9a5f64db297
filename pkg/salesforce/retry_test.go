package salesforce_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

var (
	busy  = &salesforce.StatusError{Host: "org", Status: 503, What: "busy"}
	final = &salesforce.Error{Code: "INVALID_FIELD", Message: "no"}
)

// waits returns a Retry that notes its waits, and the notes.
func waits(budget time.Duration) (*salesforce.Retry, *[]time.Duration) {
	var mu sync.Mutex
	var all []time.Duration
	return &salesforce.Retry{Budget: budget, Notify: func(_ error, wait time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, wait)
	}}, &all
}

func sum(waits []time.Duration) (total time.Duration) {
	for _, wait := range waits {
		total += wait
	}
	return total
}

func TestRetryEndsWithTheBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		retry, all := waits(time.Hour)
		started, calls := time.Now(), 0
		err := retry.Do(t.Context(), func() error { calls++; return busy })
		if !errors.Is(err, busy) {
			t.Errorf("ended with %v, want the last failure", err)
		}
		if took := time.Since(started); took != time.Hour || sum(*all) != time.Hour {
			t.Errorf("waited %s in all, %s of it told, want the budget of an hour", took, sum(*all))
		}
		if calls != len(*all)+1 {
			t.Errorf("%d calls with %d waits", calls, len(*all))
		}
		if first := (*all)[0]; first < 250*time.Millisecond || first > 750*time.Millisecond {
			t.Errorf("the first wait is %s, want about half a second", first)
		}
		for _, wait := range *all {
			if wait > 15*time.Second {
				t.Errorf("a single wait is %s, want 15s at most", wait)
			}
		}
	})
}

func TestRetryOnlyOfWhatPasses(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{"refused": final, "unknown": errors.New("x"), "none": nil} {
		retry, all := waits(time.Hour)
		calls := 0
		if err := retry.Do(t.Context(), func() error { calls++; return failure }); err != failure || calls != 1 || len(*all) > 0 {
			t.Errorf("%s: ended with %v after %d calls and %d waits, want one call", name, err, calls, len(*all))
		}
	}
	for name, retry := range map[string]*salesforce.Retry{"nil": nil, "zero": {}} {
		calls := 0
		if err := retry.Do(t.Context(), func() error { calls++; return busy }); err != busy || calls != 1 {
			t.Errorf("a %s Retry ends with %v after %d calls, want one call", name, err, calls)
		}
	}
}

// TestRetrySharesOneBudget: reads inside a write that is retried itself do not multiply the
// time that an org may be away.
func TestRetrySharesOneBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		retry, _ := waits(time.Second)
		started := time.Now()
		read := func() error { return retry.Do(t.Context(), func() error { return busy }) }
		err := retry.Do(t.Context(), func() error {
			if err := read(); err != nil {
				return err
			}
			return read()
		})
		if took := time.Since(started); !errors.Is(err, busy) || took != time.Second {
			t.Errorf("ended with %v after %s, want the budget of 1s", err, took)
		}
	})
}

// TestRetryCountsOverlappingWaitsOnce: an org that is away for half a minute is waited for by
// five calls at once as by one.
func TestRetryCountsOverlappingWaitsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		retry, _ := waits(time.Minute)
		back := time.Now().Add(30 * time.Second)
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				err := retry.Do(t.Context(), func() error {
					if time.Now().Before(back) {
						return busy
					}
					return nil
				})
				if err != nil {
					t.Errorf("one of five calls at once ended with %v after %s", err, time.Until(back))
				}
			})
		}
		group.Wait()
	})
}

func TestRetryEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// The deadline comes before the wait would end: there is nothing to wait for.
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		retry, all := waits(time.Hour)
		started := time.Now()
		if err := retry.Do(ctx, func() error { return busy }); !errors.Is(err, busy) || ctx.Err() != nil {
			t.Errorf("ended with %v, the context with %v, want the failure before the deadline", err, ctx.Err())
		}
		if took := time.Since(started); took > 10*time.Second || took != sum(*all) {
			t.Errorf("waited %s, %s of it told, beyond the deadline of 10s", took, sum(*all))
		}

		// Whoever cancels does not wait for the wait to end.
		ctx, cancel = context.WithCancel(t.Context())
		retry, _ = waits(time.Hour)
		retry.First = 10 * time.Second
		started = time.Now()
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		calls := 0
		err := retry.Do(ctx, func() error { calls++; return busy })
		if took := time.Since(started); err == nil || took != time.Second || calls != 1 {
			t.Errorf("ended with %v after %s and %d calls, want 1s and one call", err, took, calls)
		}
	})
}

func TestUntil(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		polling   salesforce.Polling
		succeedAt int // call that succeeds, 0 for none
		failAt    int
		waits     []time.Duration
		done      bool
	}{
		"at once":       {salesforce.Polling{Limit: time.Minute}, 1, 0, nil, true},
		"zero value":    {salesforce.Polling{}, 0, 0, nil, false},
		"third call":    {salesforce.Polling{Limit: time.Minute}, 3, 0, []time.Duration{time.Second, 2 * time.Second}, true},
		"limit":         {salesforce.Polling{Limit: 4 * time.Second}, 0, 0, []time.Duration{time.Second, 2 * time.Second}, false},
		"longest wait":  {salesforce.Polling{Limit: 12 * time.Second, First: 4 * time.Second, Max: 4 * time.Second}, 0, 0, []time.Duration{4 * time.Second, 4 * time.Second, 4 * time.Second}, false},
		"error":         {salesforce.Polling{Limit: time.Minute}, 0, 2, []time.Duration{time.Second}, false},
		"exactly there": {salesforce.Polling{Limit: 3 * time.Second}, 3, 0, []time.Duration{time.Second, 2 * time.Second}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var waits []time.Duration
				test.polling.Waiting = func(wait time.Duration) { waits = append(waits, wait) }
				calls, started, total := 0, time.Now(), time.Duration(0)
				done, err := (*salesforce.Retry)(nil).Until(t.Context(), test.polling, func(context.Context) (bool, error) {
					calls++
					if calls == test.failAt {
						return false, io.EOF
					}
					return calls == test.succeedAt, nil
				})
				for _, wait := range waits {
					total += wait
				}
				if done != test.done || (err != nil) != (test.failAt > 0) || !slices.Equal(waits, test.waits) || time.Since(started) != total {
					t.Errorf("done %t, error %v, waits %v, after %s", done, err, waits, time.Since(started))
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 1500*time.Millisecond, cause)
		defer cancel()
		if done, err := new(salesforce.Retry).Until(ctx, salesforce.Polling{Limit: time.Minute}, func(context.Context) (bool, error) { return false, nil }); done || !errors.Is(err, cause) {
			t.Errorf("after the end of the context: %t, %v", done, err)
		}
	})
}
