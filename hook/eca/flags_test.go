package main

import (
	"testing"
	"time"
)

// TestAttemptTimeout: an org that takes a call and never answers leaves time for further
// attempts.
func TestAttemptTimeout(t *testing.T) {
	t.Parallel()
	for run, want := range map[time.Duration]time.Duration{
		time.Hour: 2 * time.Minute, 10 * time.Minute: 2 * time.Minute, time.Minute: 12 * time.Second,
		10 * time.Second: 5 * time.Second, time.Second: 5 * time.Second,
	} {
		if got := (&callFlags{Timeout: run}).attemptTimeout(); got != want {
			t.Errorf("of a run of %s, an attempt may take %s, want %s", run, got, want)
		}
	}
}
