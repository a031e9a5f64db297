//go:build unix

package cli

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// waiting is a variable with which this test's own binary waits for signals instead.
const waiting = "ECA_TEST_WAIT_FOR_SIGNALS"

// TestSecondInterrupt: a signal that is passed on within sameInterrupt does not end the process at
// once, because the run still cleans up; a later one does.
func TestSecondInterrupt(t *testing.T) {
	if os.Getenv(waiting) != "" {
		ctx := interruptible()
		os.Stdout.WriteString("ready")
		<-ctx.Done()
		time.Sleep(2 * sameInterrupt)
		os.Exit(7)
	}
	t.Parallel()
	for _, test := range []struct {
		second time.Duration
		code   int
	}{{sameInterrupt / 20, 7}, {sameInterrupt + sameInterrupt/2, -1}} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSecondInterrupt$")
		cmd.Env = append(os.Environ(), waiting+"=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		cmd.Process.Signal(syscall.SIGTERM)
		time.Sleep(test.second)
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != test.code {
			t.Errorf("a second signal after %s ends with %d, want %d", test.second, code, test.code)
		}
	}
}
