package main

import (
	"fmt"
	"os"
	"os/exec"
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
)

// TestKilledAndInterrupted ends the hook at each request in turn, by each signal,
// before and after the org acted. The next run ends in the state of a run that was
// not disturbed, and a consumer that was made keeps its key.
func TestKilledAndInterrupted(t *testing.T) {
	binary, err := exec.LookPath("eca") // this test's own binary, by testscript's arrangement
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, ecakit.Sample); err != nil {
		t.Fatal(err)
	}
	const username = "admin@example.com"
	coverage := t.TempDir() // without it, a binary built with -cover says so on standard error
	hook := func(org *simorg.Server) *exec.Cmd {
		cmd := exec.Command(binary, "hook", demoDefinition, username, demoAlias, ".", "testdata/"+demoDefinition)
		cmd.Dir = dir
		cmd.Env = []string{"HOME=" + filepath.Join(dir, "home"), "SF_ACCESS_TOKEN=" + org.AccessToken(), "SF_ORG_INSTANCE_URL=" + org.URL, "ECA_APPLY_POLICIES=true", "GOCOVERDIR=" + coverage}
		return cmd
	}
	start := func() *simorg.Server {
		org := simorg.Start(simorg.Config{Username: username, Users: []simorg.User{{Username: "integration@example.com.uat"}}})
		t.Cleanup(org.Close)
		if err := org.Deploy(ecakit.Sample, "testdata/"+demoDefinition); err != nil {
			t.Fatal(err)
		}
		return org
	}
	picture := func(org *simorg.Server) string {
		var b strings.Builder
		for _, typ := range eca.Types() {
			for _, c := range org.Components(typ.Name) {
				delete(c.Fields, "consumerKey")
				delete(c.Fields, "oauthLink")
				fmt.Fprintln(&b, c.Type, c.FullName, strings.ReplaceAll(fmt.Sprint(c.Fields), org.URL, "(the org)"))
			}
		}
		return b.String()
	}
	undisturbed := start()
	if out, err := hook(undisturbed).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, requests := picture(undisturbed), len(undisturbed.Requests())

	signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM}
	if runtime.GOOS == "windows" {
		signals = signals[:1] // the one that Go can send there
	}
	for _, signal := range signals {
		for _, after := range []bool{false, true} {
			for n := range requests {
				name := fmt.Sprintf("%v at request %d, after the org acted: %v", signal, n+1, after)
				org := start()
				seen, reached := -1, make(chan bool, 1)
				org.Inject(simorg.Fault{Delay: time.Hour, After: after, Drop: !after, Fits: func(simorg.Request) bool {
					if seen++; seen == n {
						reached <- true
					}
					return seen == n
				}})
				cmd := hook(org)
				var stderr strings.Builder
				cmd.Stderr = &stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				<-reached
				time.Sleep(2 * time.Millisecond) // for the org to act
				cmd.Process.Signal(signal)
				err := cmd.Wait()
				if err == nil {
					t.Errorf("%s: the hook succeeded", name)
				}
				ended := "interrupted; what is done so far stays, and the next run does the rest"
				if n == 0 {
					ended = "interrupted" // while it was asking whose session it has
				}
				if said := stderr.String(); signal != syscall.SIGKILL && (strings.Count(said, "\n") != 1 || !strings.Contains(said, ended)) {
					t.Errorf("%s: the hook said %q", name, said)
				}
				before := org.Components(eca.GlobalOAuthSettings)
				if out, err := hook(org).CombinedOutput(); err != nil {
					t.Errorf("%s: the second run: %v\n%s", name, err, out)
				}
				if got := picture(org); got != want {
					t.Errorf("%s: after the second run the org has\n%swant\n%s", name, got, want)
				}
				now := org.Components(eca.GlobalOAuthSettings)
				if len(before) > 0 && !slices.EqualFunc(before, now, func(a, b simorg.Component) bool {
					return a.Fields["consumerKey"] == b.Fields["consumerKey"] && a.Secret == b.Secret
				}) {
					t.Errorf("%s: the consumer has changed", name)
				}
			}
		}
	}
}
