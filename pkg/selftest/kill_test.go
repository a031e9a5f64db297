package selftest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/selftest"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// dying ends a program at one of its requests: from then on, none reaches the org.
type dying struct {
	at    int64 // the number of the request, from 0
	after bool  // whether the org still gets that request
	sent  atomic.Int64
}

func (d *dying) RoundTrip(r *http.Request) (*http.Response, error) {
	n := d.sent.Add(1) - 1
	if n < d.at || n == d.at && d.after {
		resp, err := http.DefaultTransport.RoundTrip(r)
		if n < d.at || err != nil {
			return resp, err
		}
		resp.Body.Close()
	}
	return nil, errors.New("killed")
}

// picture returns what an org holds, without what every login adds.
func picture(t *testing.T, org *simorg.Server) string {
	t.Helper()
	var saved bytes.Buffer
	if err := org.Save(&saved); err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(saved.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	for _, name := range []string{"records", "broken", "access", "assignments", "objectPermissions", "stored", "principals"} {
		fmt.Fprintf(&shown, "%s %s\n", name, bytes.TrimSpace(all[name]))
	}
	return shown.String()
}

// TestKilled ends a run at each of its requests, before and after the org acts. The next run leaves the org
// as it was.
func TestKilled(t *testing.T) {
	t.Parallel()
	run := func(org *simorg.Server, d *dying) (*selftest.Report, error) {
		conn := connect(org)
		conn.HTTPClient = &http.Client{Transport: d}
		return selftest.Run(t.Context(), conn, selftest.Options{})
	}
	start := func(access bool) (*simorg.Server, string) {
		org := simorg.Start(simorg.Config{Kind: simorg.Scratch, SecretsInREST: access, PermissionSets: []string{"Own"}})
		t.Cleanup(org.Close)
		return org, picture(t, org)
	}
	org, _ := start(false)
	undisturbed := &dying{at: 1 << 30}
	if _, err := run(org, undisturbed); err != nil {
		t.Fatal(err)
	}
	step := int64(1)
	if testing.Short() {
		step = 11
	}
	for n := int64(0); n < undisturbed.sent.Load(); n += step {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("request %d, after the org acts: %t", n, after), func(t *testing.T) {
				t.Parallel()
				org, before := start(n%2 == 1)
				d := &dying{at: n, after: after}
				if _, err := run(org, d); err == nil && d.sent.Load() > n {
					t.Error("the killed run does not fail")
				}
				if _, err := run(org, &dying{at: 1 << 30}); err != nil {
					t.Error(err)
				}
				if got := picture(t, org); got != before {
					t.Errorf("after the next run the org has\n%s\nand had\n%s", got, before)
				}
			})
		}
	}
}

// TestOnlyOwnLeftovers: apps that are named alike stay.
func TestOnlyOwnLeftovers(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	for name, stays := range map[string]bool{
		"EcaSelftest_off_0123abcd_A": false, "EcaSelftest_on_0123abcd_B": false,
		"EcaSelftest": true, "EcaSelftest_off_0123abcd": true, "EcaSelftest_off_0123abcd_Ab": true, "My_EcaSelftest_off_0123abcd_A": true,
	} {
		createHeader(t, org, name)
		var deleted []string
		_, err := selftest.Run(t.Context(), connect(org), selftest.Options{Only: []string{"settings-created-date"}, Progress: func(e selftest.Event) {
			if e.Step == selftest.LeftoverDeleted {
				deleted = append(deleted, e.Name)
			}
		}})
		if err != nil || (len(deleted) == 0) != stays {
			t.Errorf("%s: deleted %v, %v", name, deleted, err)
		}
	}
}

// TestExpiredSession ends the run, with what it has found out until then.
func TestExpiredSession(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	report, err := selftest.Run(t.Context(), connect(org), selftest.Options{Progress: func(e selftest.Event) {
		if e.Step == selftest.Begun {
			org.ExpireSessions()
		}
	}})
	left, isLeftover := errors.AsType[*selftest.LeftoverError](err)
	if !salesforce.IsSessionExpired(err) || !isLeftover || left.App == "" || report.Count(selftest.Confirmed) == 0 {
		t.Errorf("got %+v, %v", report, err)
	}
}
