package cli

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// TestRoundsOfBootstraps bounds how many requests follow one another, like TestRoundsOfCredentials.
func TestRoundsOfBootstraps(t *testing.T) {
	withoutSignals(t)
	for name, test := range map[string]struct {
		headers       bool               // the org has no header yet, as a refreshed sandbox
		stored        string             // the API version in sf's store, "" for a session of the environment
		version       apiversion.Version // the org's newest, 0 for the newest of all
		policies      bool               // the run applies them
		first, second int
	}{
		"session of the environment":                   {false, "", 0, false, 6, 3},
		"session of the environment, with policies":    {false, "", 0, true, 8, 3},
		"session of the environment, an older org":     {false, "", 67, true, 8, 3},
		"session of sf's store":                        {false, "68.0", 0, false, 5, 2},
		"session of sf's store, with policies":         {false, "68.0", 0, true, 7, 2},
		"an older version in sf's store":               {false, "65.0", 0, false, 5, 2},
		"no version in sf's store":                     {false, "none", 0, false, 5, 2},
		"an older version in sf's store, an older org": {false, "65.0", 67, false, 6, 3},
		"refreshed sandbox":                            {true, "", 0, true, 9, 3},
		"refreshed sandbox, session of sf's store":     {true, "68.0", 0, true, 8, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := sampleOrg()
				config.Latency, config.Version = time.Second, test.version
				org := inMemory(t, config)
				project, home := filepath.Join(t.TempDir(), "project"), t.TempDir()
				if err := os.CopyFS(project, ecakit.Sample); err != nil {
					t.Fatal(err)
				}
				args := []string{"bootstrap", "-o", "uat", "--policies", filepath.Join(project, "testdata/eca-policies/uat"), project}
				if test.policies {
					args = append(args, "--apply-policies")
				}
				if test.headers {
					args = append(args, "--headers")
				} else if err := org.Deploy(ecakit.Sample, "testdata/eca-definition"); err != nil {
					t.Fatal(err)
				}
				var variables map[string]string
				if test.stored == "" {
					variables = map[string]string{"SF_ACCESS_TOKEN": org.AccessToken(), "SF_ORG_INSTANCE_URL": org.URL}
				} else {
					logIn(t, home, org, "admin@example.com.uat", "uat", false)
					storeVersion(t, home, "admin@example.com.uat", test.stored)
				}
				for _, run := range []struct {
					name  string
					bound int
				}{{"first", test.first}, {"second", test.second}} {
					org.ForgetRequests()
					if code, stdout, stderr := executeWith(t, home, variables, args...); code != exitDone {
						t.Fatalf("%s%s", stdout, stderr)
					} else if want := "API " + cmp.Or(test.version, apiversion.Latest).String(); strings.Count(stdout, want) != 1 {
						t.Errorf("the %s run does not say %s once:\n%s", run.name, want, stdout)
					}
					if n := simorg.Sequential(org.Requests()); n > run.bound {
						t.Errorf("the %s run takes %d rounds of requests, want %d at most", run.name, n, run.bound)
						for _, r := range org.Requests() {
							t.Log(r.Started.Format(time.TimeOnly), r.Method, r.Path, r.Operation, r.Type, r.FullNames)
						}
					}
				}
			})
		})
	}
}

// storeVersion changes the API version of a login in sf's store.
func storeVersion(t *testing.T, home, username, version string) {
	t.Helper()
	file := filepath.Join(home, ".sfdx", username+".json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var login map[string]any
	if err := json.Unmarshal(data, &login); err != nil {
		t.Fatal(err)
	}
	login["instanceApiVersion"] = version
	if version == "none" {
		delete(login, "instanceApiVersion")
	}
	if data, err = json.Marshal(login); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTimeout: a run that ends with --timeout names the answer that it was waiting for.
func TestTimeout(t *testing.T) {
	withoutSignals(t)
	synctest.Test(t, func(t *testing.T) {
		config := sampleOrg()
		config.Latency = 10 * time.Second
		org := inMemory(t, config)
		home := t.TempDir()
		logIn(t, home, org, "admin@example.com.uat", "uat", false)
		code, _, stderr := execute(t, home, "audit", "-o", "uat", "--timeout", "200ms")
		want := regexp.MustCompile(`^error: uat: not done after 200ms \(--timeout\) while waiting for the answer of 127\.0\.0\.1:1 to (GET|POST) /services/.*\n$`)
		if code != exitFailed || !want.MatchString(stderr) {
			t.Errorf("ended with %d and %q", code, stderr)
		}
	})
}
