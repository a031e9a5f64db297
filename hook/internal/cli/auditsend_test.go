package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/finding"
)

// strange is an app whose name is markup everywhere.
const strange = "a <b> *c* [d](https://evil.example.com) `e` & f"

func output(t *testing.T, notify ...string) *auditOutput {
	t.Helper()
	r := &audit.Report{URL: "https://acme.example.com", Apps: []*audit.App{{Kind: audit.NotInstalled, Name: strange, Tokens: 2, Users: 1}}}
	r.Findings = []audit.Finding{{Kind: audit.NotInstalled, Setup: "/setup", Finding: finding.Finding{Rule: "not-installed", Level: finding.Error, App: strange, Problem: "it is not installed", Fix: "block it"}}}
	return &auditOutput{
		auditCmd: &auditCmd{Notify: notify}, targets: []string{"prod", "uat"}, failures: map[string]string{"uat": "no answer"},
		reports: map[string]*auditReport{"prod": {Org: "prod", Errors: 1, Report: r}},
	}
}

// TestNotify posts the summary in each format, and never prints the URL of a webhook.
func TestNotify(t *testing.T) {
	t.Parallel()
	var got []string
	status := http.StatusOK
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.URL.Path+" "+string(body))
		w.WriteHeader(status)
	}))
	defer hook.Close()
	summary := filepath.Join(t.TempDir(), "summary.md")
	variables := map[string]string{"ECA_SLACK_WEBHOOK": hook.URL + "/SECRET", "ECA_TEAMS_WEBHOOK": hook.URL + "/SECRET", "GITHUB_STEP_SUMMARY": summary}
	e := &env{Env: &orgs.Env{Console: new(console.Console).To(io.Discard, io.Discard), Getenv: func(name string) string { return variables[name] }}}
	a := output(t, "slack", "teams", "github")
	if err := a.send(t.Context(), e); err != nil || len(got) != 2 {
		t.Fatalf("posted %q, %v", got, err)
	}
	var slack struct{ Text string }
	_, body, _ := strings.Cut(got[0], " ")
	if err := json.Unmarshal([]byte(body), &slack); err != nil || !strings.Contains(slack.Text, "a &lt;b&gt; *c*") || !strings.Contains(slack.Text, "*uat was not audited*: no answer") {
		t.Errorf("slack gets %s (%v)", body, err)
	}
	if !strings.Contains(got[1], `"type":"AdaptiveCard"`) || !strings.Contains(got[1], `\\[d\\]`) {
		t.Errorf("teams gets %s", got[1])
	}
	written, err := os.ReadFile(summary)
	if err != nil || !strings.Contains(string(written), "## eca audit of 2 orgs\n") || strings.Contains(string(written), "[d](") {
		t.Errorf("the step summary is %s (%v)", written, err)
	}
	status = http.StatusForbidden
	if err := output(t, "slack").send(t.Context(), e); err == nil || err.Error() != "--notify slack: the webhook answered HTTP 403" {
		t.Errorf("a refusal: %v", err)
	}
	hook.Close()
	if err := output(t, "teams").send(t.Context(), e); err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("a webhook that cannot be reached: %v", err)
	}
	for _, wrong := range []struct{ notify, hook string }{{"slack", ""}, {"slack", "http://hooks.example.com/x"}, {"slack", "hooks"}, {"mail", "x"}} {
		variables["ECA_SLACK_WEBHOOK"] = wrong.hook
		if err := output(t, wrong.notify).check(e); err == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
}

// TestFixPlan writes a checklist in which names are text.
func TestFixPlan(t *testing.T) {
	t.Parallel()
	plan := output(t).plan()
	for _, want := range []string{"## 1. Users have tokens of an app that is not installed in the org.\n", "- [ ] a &lt;b&gt; \\*c\\* \\[d\\](https", "<https://acme.example.com/setup>", "**Not audited: uat**: no answer"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q:\n%s", want, plan)
		}
	}
}

// TestFileNames of pages stay in their directory.
func TestFileNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"Erp": "Erp", "../x": ".._x", "a/b\\c:d": "a_b_c_d", "ü": "_"} {
		if got := fileName(name); got != want {
			t.Errorf("%q becomes %q", name, got)
		}
	}
}
