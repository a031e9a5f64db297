// Package orgs finds out which orgs a command works on, connects to them, and works on several in
// parallel.
package orgs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/transport"
	"github.com/ecakit/ecakit/pkg/orgauth"
)

// Env is what a command has of its surroundings.
type Env struct {
	*console.Console
	Stdin  io.Reader
	Getenv func(string) string
	Home   string                // the user's home directory, "" if there is none
	Store  func() *orgauth.Store // sf's, one for the whole process

	// Explain returns an error in the words that a person reads, with advice.
	Explain func(error) string
}

// Work is the work on one org: where it reports, and how it sends requests.
type Work struct {
	*console.Log
	*transport.Transport
}

// NewWork returns the work on an org that reports to a log. With trace, each request is reported.
func NewWork(log *console.Log, trace bool) *Work {
	w := &Work{Log: log}
	var line func(string)
	if trace {
		line = func(text string) { log.Line("%s", text) }
	}
	w.Transport = transport.New(line)
	return w
}

// retrying reports a failure that is retried.
func (w *Work) retrying(failure error, wait time.Duration) {
	w.Retried()
	w.Line("%s; trying again in %s", console.OneLine(failure.Error()), console.Duration(wait))
}

// Error is an error that came up during the work on an org.
type Error struct {
	Org string
	Err error
}

func (e *Error) Error() string { return e.Org + ": " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// Ended returns why the work on an org ended early: its timeout, with what it waited for, or an interrupt.
func Ended(ctx context.Context, timeout error, work *Work) error {
	if cause := context.Cause(ctx); cause == timeout {
		if what := work.Awaited(); what != "" {
			return fmt.Errorf("%w while waiting for %s", cause, what)
		}
		return cause
	}
	return errors.New("interrupted")
}

// Calls counts the requests of a command, for its JSON document.
type Calls struct {
	Requests int `json:"requests"`
	Retries  int `json:"retries"` // how often something was tried again
}

// Calls returns the requests of the work so far.
func (w *Work) Calls() Calls { return Calls{w.Requests(), w.Retries()} }

// Seconds returns a duration as JSON documents have it, in milliseconds' precision.
func Seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond).Milliseconds()) / 1000
}
