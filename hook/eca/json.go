package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"
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
	Message  string `json:"message"` // what standard error says
	ExitCode int    `json:"exitCode"`
}

// calls is what --json says of a command that calls orgs.
type calls struct {
	Requests int `json:"requests"`
	Retries  int `json:"retries"` // how often something was tried again
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond).Milliseconds()) / 1000
}

// finish prints how the command has ended, and returns the exit code.
func (u *ui) finish(command string, r result, err error) int {
	o := outcome{Command: command, OK: true, Seconds: seconds(time.Since(u.started))}
	code := exitDone
	switch {
	case err == nil:
	case errors.Is(err, errPending):
		code = exitPending
	default:
		code = exitFailed
		if errors.As(err, new(usageError)) {
			code = exitUsage
		}
		o.OK, o.Error = false, &failure{Message: oneLine(explain(err)), ExitCode: code}
		fmt.Fprintf(u.stderr, "%s %s\n", u.failing("eca:"), o.Error.Message)
	}
	if u.unwritten != nil && code == exitDone {
		// Whoever closes a pipe, like head, has seen enough.
		if err := u.unwritten.Load(); err != nil && !errors.Is(*err, syscall.EPIPE) {
			fmt.Fprintf(u.stderr, "eca: standard output cannot be written, so what it says is not complete: %v\n", *err)
			return exitFailed
		}
	}
	if !u.json || r == printed {
		return code
	}
	if r == nil {
		r = new(outcome)
	}
	r.ended(o)
	if err := u.document(r); err != nil {
		fmt.Fprintf(u.stderr, "eca: standard output cannot be written: %v\n", err)
		return exitFailed
	}
	return code
}

// printed is the result of a command that has printed its document, or prints another one.
var printed result = new(outcome)

// document prints a value as JSON.
func (u *ui) document(value any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return err
	}
	return u.rawJSON(b.String())
}

// rawJSON prints a JSON document. encoding/json escapes the control characters of ASCII alone,
// and a terminal acts on others as well.
func (u *ui) rawJSON(document string) error {
	var b strings.Builder
	for _, r := range document {
		if r >= 0x7f && r <= 0x9f {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	_, err := io.WriteString(u.stdout, b.String())
	return err
}
