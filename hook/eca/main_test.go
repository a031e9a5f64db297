package main

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestLean: a command line is parsed with its command alone, and with all where it names none.
func TestLean(t *testing.T) {
	commands := func(c any) (names []string) {
		typ := reflect.TypeOf(c).Elem()
		for i := range typ.NumField() {
			if _, ok := typ.Field(i).Tag.Lookup("cmd"); ok {
				names = append(names, typ.Field(i).Name)
			}
		}
		return names
	}
	all := commands(new(cli))
	for line, want := range map[string]string{
		"plan -o uat": "Plan", "--json plan": "Plan", "version": "Ver", "--version": "", "plan version": "Plan",
		"": strings.Join(all, " "), "--help": strings.Join(all, " "), "--json": strings.Join(all, " "), "nonsense plan": strings.Join(all, " "),
	} {
		if got := strings.Join(commands(lean(strings.Fields(line))), " "); got != want {
			t.Errorf("%q has the commands %q, not %q", line, got, want)
		}
	}
}

// failing is a standard output that takes nothing.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestUnwritten: output that is lost fails the command; a reader that has seen enough does not.
func TestUnwritten(t *testing.T) {
	for err, want := range map[error]int{syscall.ENOSPC: exitFailed, syscall.EPIPE: exitDone} {
		var stderr bytes.Buffer
		e := world(t.TempDir(), failing{&os.PathError{Op: "write", Path: "/dev/stdout", Err: err}})
		e.stderr, e.unwritten = &stderr, new(atomic.Pointer[error])
		if code := run(t.Context(), []string{"version"}, e); code != want || (want == exitFailed) != strings.Contains(stderr.String(), "standard output cannot be written") {
			t.Errorf("%v: exit code %d, %s", err, code, &stderr)
		}
	}
}
