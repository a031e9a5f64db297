package cli

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
)

// result is what a command gives back: a pointer to a struct of its own with an outcome in it.
// Its fields are what --json prints.
type result interface {
	ended(outcome)
}

// outcome is what --json says of every command.
type outcome struct {
	Command string   `json:"command,omitempty"` // "" where the command line names none
	OK      bool     `json:"ok"`
	Seconds float64  `json:"seconds"`
	Error   *failure `json:"error,omitempty"`
}

func (o *outcome) ended(all outcome) { *o = all }

// failure is why a command failed.
type failure struct {
	Message  string `json:"message"`        // the line of standard error that says what failed
	Hint     string `json:"hint,omitempty"` // the line that says what to do
	ExitCode int    `json:"exitCode"`
}

// finish prints how the command has ended, and returns the exit code.
func finish(u *console.Console, command string, r result, err error) int {
	o := outcome{Command: command, OK: true, Seconds: orgs.Seconds(time.Since(u.Started))}
	code := exitDone
	switch {
	case err == nil:
	case errors.Is(err, errPending):
		code = exitFound
	default:
		code = exitFailed
		switch {
		case errors.As(err, new(usage.Error)):
			code = exitUsage
		case errors.As(err, new(foundError)):
			code = exitFound
		}
		message, advice := explainParts(err)
		o.OK, o.Error = false, &failure{Message: console.OneLine(message), Hint: console.OneLine(advice), ExitCode: code}
		u.Fail(o.Error.Message)
		u.Hint(o.Error.Hint)
	}
	// Whoever closes a pipe, like head, has seen enough.
	if err := u.Lost(); err != nil && code == exitDone && !errors.Is(err, syscall.EPIPE) {
		u.Fail(fmt.Sprintf("standard output cannot be written, so the output is incomplete: %v", err))
		return exitFailed
	}
	if !u.JSON || r == printed {
		return code
	}
	if r == nil {
		r = new(outcome)
	}
	r.ended(o)
	if err := u.Document(r); err != nil {
		u.Fail(fmt.Sprintf("standard output cannot be written: %v", err))
		return exitFailed
	}
	return code
}

// printed is the result of a command that has printed its document, or prints another one.
var printed result = new(outcome)
