package cli

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"
)

// failing is a standard output that takes nothing.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestUnwritten: output that is lost fails the command; a reader that has seen enough does not.
func TestUnwritten(t *testing.T) {
	for err, want := range map[error]int{syscall.ENOSPC: exitFailed, syscall.EPIPE: exitDone} {
		var stderr bytes.Buffer
		e := world(t.TempDir(), failing{&os.PathError{Op: "write", Path: "/dev/stdout", Err: err}})
		e.Stderr = &stderr
		if code := run(t.Context(), []string{"version"}, e); code != want || (want == exitFailed) != strings.Contains(stderr.String(), "standard output cannot be written") {
			t.Errorf("%v: exit code %d, %s", err, code, &stderr)
		}
	}
}
