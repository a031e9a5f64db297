//go:build unix

package cli

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// second is a variable with which this test's own binary sends itself two signals instead: the second one soon
// after the first, or later.
const second = "ECA_TEST_SECOND_SIGNAL"

// TestSecondInterrupt: a signal that is passed on within sameInterrupt does not end the process at
// once, because the run still cleans up; a later one does.
func TestSecondInterrupt(t *testing.T) {
	if when := os.Getenv(second); when != "" {
		interruptTwice(when)
	}
	t.Parallel()
	for when, want := range map[string]int{"soon": 7, "later": -1} {
		code := 0
		for range 5 { // on a machine that stops for a second, soon is later
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSecondInterrupt$")
			cmd.Env = append(os.Environ(), second+"="+when)
			cmd.Run()
			if code = cmd.ProcessState.ExitCode(); code == want {
				break
			}
		}
		if code != want {
			t.Errorf("a second signal %s ends with %d, want %d", when, code, want)
		}
	}
}

func interruptTwice(when string) {
	ctx := interruptible()
	self := os.Getpid()
	syscall.Kill(self, syscall.SIGTERM)
	<-ctx.Done()
	if when == "later" {
		time.Sleep(sameInterrupt)
		for range 600 { // until the signal is no longer caught
			syscall.Kill(self, syscall.SIGTERM)
			time.Sleep(sameInterrupt / 10)
		}
	}
	syscall.Kill(self, syscall.SIGTERM)
	time.Sleep(sameInterrupt / 20) // for the signal to arrive
	os.Exit(7)
}
