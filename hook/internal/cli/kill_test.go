package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// TestKilledAndInterrupted ends the hook at each request in turn, by each signal,
// before and after the org acted. The next run ends in the state of a run that was
// not disturbed, and a consumer that was made keeps its key.
func TestKilledAndInterrupted(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("eca") // this test's own binary, by testscript's arrangement
	if err != nil {
		t.Fatal(err)
	}
	// Without a directory for it, a binary built with -cover says so on standard error.
	s := sample{eca: binary, dir: t.TempDir(), coverage: t.TempDir()}
	if err := os.CopyFS(s.dir, ecakit.Sample); err != nil {
		t.Fatal(err)
	}
	undisturbed := s.start(t)
	if out, err := s.hook(t, undisturbed).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, requests := simorgtest.Picture(undisturbed), len(undisturbed.Requests())

	signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGHUP, syscall.SIGTERM}
	ignored := func(s syscall.Signal) bool { return signal.Ignored(s) } // as nohup does, which the hook inherits
	signals = slices.DeleteFunc(signals, ignored)
	if runtime.GOOS == "windows" {
		signals = signals[:1] // the one that Go can send there
	}
	for _, sent := range signals {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, after the org acted: %v", sent, after), func(t *testing.T) {
				t.Parallel()
				for n := range requests {
					s.end(t, n, sent, after, want)
				}
			})
		}
	}
}

// hung is a time after which a run is ended that never ends by itself.
const hung = 2 * time.Minute

// learning is the number of requests with which a run with a session from the environment asks whose
// it is, for the org's kind and for its API versions.
const learning = 3

// sample is the sample project on disk.
type sample struct{ eca, dir, coverage string }

const sampleAdmin = "admin@example.com"

// start starts an org with the header of the sample's app.
func (s sample) start(t *testing.T) *simorg.Server {
	t.Helper()
	org := simorg.Start(simorg.Config{Username: sampleAdmin, Users: []simorg.User{{Username: "integration@example.com.uat"}}})
	t.Cleanup(org.Close)
	if err := org.Deploy(ecakit.Sample, "testdata/"+demoDefinition); err != nil {
		t.Fatal(err)
	}
	return org
}

// hook returns the command that sfp runs after it has deployed the header.
func (s sample) hook(t *testing.T, org *simorg.Server) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, s.eca, "hook", demoDefinition, sampleAdmin, demoAlias, ".", "testdata/"+demoDefinition)
	cmd.Dir = s.dir
	cmd.Env = []string{
		"HOME=" + filepath.Join(s.dir, "home"), "SF_ACCESS_TOKEN=" + org.AccessToken(), "SF_ORG_INSTANCE_URL=" + org.URL,
		"ECA_APPLY_POLICIES=true", "GOCOVERDIR=" + s.coverage, "GORACE=" + noRaceSleep,
	}
	return cmd
}

// end ends a run at a request by a signal, and runs again.
func (s sample) end(t *testing.T, n int, sent syscall.Signal, after bool, want string) {
	t.Helper()
	name := fmt.Sprintf("at request %d", n+1)
	org := s.start(t)
	seen, reached := -1, make(chan bool, 1)
	org.Inject(simorg.Fault{Delay: time.Hour, After: after, Drop: !after, Fits: func(simorg.Request) bool {
		if seen++; seen == n {
			reached <- true
		}
		return seen == n
	}})
	cmd := s.hook(t, org)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-reached:
	case <-time.After(hung):
		t.Fatalf("%s: the hook has not sent it: %s", name, &stderr)
	}
	time.Sleep(2 * time.Millisecond) // for the org to act
	cmd.Process.Signal(sent)
	if sent == syscall.SIGTERM {
		time.Sleep(time.Millisecond)
		cmd.Process.Signal(sent) // as npx passes on what a pipeline sends to all
	}
	if err := cmd.Wait(); err == nil {
		t.Errorf("%s: the hook succeeded, want a failure", name)
	}
	ended := "interrupted; finished steps stay, and the next run completes the rest"
	if n < learning {
		ended = "interrupted"
	}
	if said := stderr.String(); sent != syscall.SIGKILL && (strings.Count(said, "\n") != 1 || !strings.Contains(said, ended)) {
		t.Errorf("%s: the hook said %q, want one line with %q", name, said, ended)
	}
	before := org.Components(eca.GlobalOAuthSettings)
	if out, err := s.hook(t, org).CombinedOutput(); err != nil {
		t.Errorf("%s: the second run: %v\n%s", name, err, out)
	}
	if got := simorgtest.Picture(org); got != want {
		t.Errorf("%s: after the second run the org has\n%swant\n%s", name, got, want)
	}
	now := org.Components(eca.GlobalOAuthSettings)
	if len(before) > 0 && !slices.EqualFunc(before, now, func(a, b simorg.Component) bool {
		return a.Fields["consumerKey"] == b.Fields["consumerKey"] && a.Secret == b.Secret
	}) {
		t.Errorf("%s: the consumer has changed, want the one that was there", name)
	}
}
