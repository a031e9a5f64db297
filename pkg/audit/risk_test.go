package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// TestNoFalseAlarms: what looks dangerous in the configuration alone is no finding.
func TestNoFalseAlarms(t *testing.T) {
	t.Parallel()
	_, conn := start(t, simorg.Config{Kind: simorg.Production}, load(t, app{}, "alarms"))
	r, err := run(t.Context(), conn, audit.Options{Now: now.Add(time.Minute), Rules: map[string]string{"has-to-move": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	// A name proves nothing: an uninstalled app named like Salesforce's is a finding, and an installed one is checked.
	want := map[string]string{"Refused": "[locked-out]", "InBrowser": "[insecure-callback]", "Salesforce CLI": "[not-installed]", "Data Loader": "[open-to-all]", "sf_com_apps__Loader": "[open-to-all]"}
	got := found(r)
	for _, a := range r.Apps {
		expected := want[a.Name]
		if expected == "" {
			expected = "[]"
		}
		if fmt.Sprint(got[a.Name]) != expected {
			t.Errorf("%s: found %v, not %s; %+v", a.Name, got[a.Name], expected, a)
		}
	}
	for name, ours := range map[string]bool{"Internal": true, "Namespaced": true, "Data Loader": false, "sf_com_apps__Loader": false} {
		if named(r, name).Salesforce != ours {
			t.Errorf("%s is an app of Salesforce: %v", name, !ours)
		}
	}
	if link := named(r, "Link"); !link.NoOAuth || link.Access != "" || link.Who() != "no OAuth" {
		t.Errorf("an app without OAuth: %+v", link)
	}
	if s := audit.Summarize(r); s.Connected.All != 11 || s.Connected.Open != 2 || s.Salesforce != 2 || s.Strangers != 1 {
		t.Errorf("the summary counts %+v", s)
	}
	for _, f := range r.Findings {
		if f.App == "Refused" && !strings.Contains(f.Problem, "the org refused a login on "+now.AddDate(0, 0, -2).UTC().Format(time.DateOnly)+" (Failed: Not approved for access)") {
			t.Errorf("the finding does not name the refused login: %s", f.Problem)
		}
	}
	// An org that requires PKCE of all apps needs it in none.
	files := load(t, app{Name: "Open"}, "alarms")
	files["OauthOidc.settings-meta.xml"] = &fstest.MapFile{Data: []byte(`<OauthOidcSettings xmlns="http://soap.sforce.com/2006/04/metadata"><isPkceRequired>true</isPkceRequired></OauthOidcSettings>`)}
	rules := load(t, app{}, "rules")
	maps.Copy(files, rules)
	users := []simorg.User{{Username: "user@example.com"}, {Username: "admin2@example.com"}, {Username: "admin3@example.com"}}
	_, conn = start(t, simorg.Config{Kind: simorg.Production, Users: users}, files)
	if r, err = run(t.Context(), conn, audit.Options{Now: now}); err != nil || strings.Contains(fmt.Sprint(found(r)), "pkce-off") {
		t.Errorf("an org that requires PKCE: %v, %v", found(r), err)
	}
}

// org60 is an org with 60 apps of the kinds that real orgs have, and its report.
func org60(t testing.TB, o audit.Options) *audit.Report {
	t.Helper()
	org, conn := start(t, simorg.Config{Kind: simorg.Production, Username: "admin@acme.example.com", PermissionSets: []string{"Integration_Users"}}, nil)
	if err := org.Fill(os.DirFS("../../testdata/org60"), "."); err != nil {
		t.Fatal(err)
	}
	o.Now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	r, err := run(t.Context(), conn, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestFilledOrg: the first actions are those that an expert would take, and the report is in the order
// of the risk.
func TestFilledOrg(t *testing.T) {
	t.Parallel()
	r := org60(t, audit.Options{})
	if len(r.Apps) != 60 {
		t.Errorf("the org has %d apps", len(r.Apps))
	}
	const sentence = "4 apps not installed: 7 users with tokens, 2 administrators; 21 of 47 apps let any user in: 19 of 41 Connected Apps, 2 of 6 External Client Apps"
	if got := r.Sentence(); got != sentence {
		t.Errorf("the sentence is %q", got)
	}
	var first []string
	for _, g := range audit.Groups([]audit.OrgReport{{Org: "prod", Report: r}}, nil)[:audit.MaxActions] {
		first = append(first, fmt.Sprintf("%s %s %d", g.ID, g.Items[0].App, len(g.Items)))
	}
	want := "[not-installed Data Loader Pro 4 can-approve-apps  1 run-as-admin Erp_Orders 1 username-password-flow Legacy_ETL 1 run-as-user Billing 1]"
	if fmt.Sprint(first) != want {
		t.Errorf("the first actions are %v, not %s", first, want)
	}
	var names []string
	for _, a := range r.Apps {
		names = append(names, a.Name)
	}
	if got := fmt.Sprint(names[:5]); got != "[Data Loader Pro Lead Enricher Slide Helper Mailbox Sync 2019 Legacy_ETL]" {
		t.Errorf("the first apps are %s", got)
	}
	if slices.Index(names, "App_2") > slices.Index(names, "App_10") {
		t.Error("App_10 comes before App_2")
	}
	loader := named(r, "Data Loader Pro")
	if loader.Admins != 1 || len(loader.Holders) != 3 || !loader.Holders[0].Admin || loader.Holders[0].Username != "admin@acme.example.com" {
		t.Errorf("the holders of %s are %+v", loader.Name, loader.Holders)
	}
	if last := r.Findings[len(r.Findings)-1]; last.Level != finding.Warning || r.Findings[0].Rule != "not-installed" {
		t.Errorf("the findings begin with %v and end with %v", r.Findings[0], last)
	}
	// Counted over several orgs, nothing vanishes.
	if s := audit.Summarize(r, r).Sentence(); !strings.HasPrefix(s, "8 apps not installed: 14 users with tokens, 4 administrators; 42 of 94 apps") {
		t.Errorf("two orgs: %s", s)
	}
}

// TestOrgRules: settings of the org and holders of permissions.
func TestOrgRules(t *testing.T) {
	t.Parallel()
	r := org60(t, audit.Options{})
	got := make(map[string]string)
	for _, f := range r.Findings {
		if f.Kind == audit.OrgItself {
			got[f.Rule] = f.Problem
		}
	}
	for rule, problem := range map[string]string{
		"api-access-control-off": "API Access Control is off", "password-flow-allowed": "the org accepts the username-password flow",
		"can-approve-apps": "4 users have Approve Uninstalled Connected Apps, besides administrators: profile Sales Power User (anna@acme.example.com, ben@acme.example.com, carla@acme.example.com, david@acme.example.com); anna@acme.example.com, ben@acme.example.com, carla@acme.example.com, david@acme.example.com can authorise apps again",
		"can-manage-apps":  "2 users have Manage Connected Apps or External Client App Developer, besides administrators: permission set App management (eva@acme.example.com, frank@acme.example.com)",
		"can-read-secrets": "1 user has View Client Secret, besides administrators: permission set CI secrets (ci@acme.example.com)",
	} {
		if !strings.HasPrefix(got[rule], problem) {
			t.Errorf("%s: %q", rule, got[rule])
		}
		delete(got, rule)
	}
	if len(got) > 0 {
		t.Errorf("found as well: %v", got)
	}
	// What the org lacks is said, and no finding.
	config := simorg.Config{WithoutObjects: []string{"ConnectedAppSettings", "OauthOidcSettings"}, WithoutFields: []string{"PermissionSetAssignment.PermissionSet.PermissionsCanApproveUninstalledApps"}, SecretsInREST: true}
	for _, absent := range []string{"empty-record", "fault"} {
		config.Facts = map[string]string{"settings-absent": absent}
		_, conn := start(t, config, nil)
		r, err := run(t.Context(), conn, audit.Options{})
		if err != nil || fmt.Sprint(found(r)) != "map[:[secrets-over-rest]]" {
			t.Errorf("%s: %v, %v", absent, found(r), err)
		}
		all := strings.Join(append(r.Unseen, r.Lacks...), "; ")
		if !strings.Contains(all, "who has Approve Uninstalled Connected Apps") || !strings.Contains(all, "API Access Control") && !strings.Contains(all, "settings of the org") {
			t.Errorf("%s: the report says %s", absent, all)
		}
	}
	// A user who may approve apps is an error only with a token of an app that is not installed.
	for user, level := range map[string]finding.Level{"x@example.com": finding.Error, "y@example.com": finding.Warning} {
		_, conn := start(t, simorg.Config{}, fstest.MapFS{"records.json": {Data: []byte(`{
			"OauthToken": [{"AppName": "Stranger", "UserId": "005000000000009AAA", "User": {"Username": "` + user + `"}}],
			"PermissionSetAssignment": [{"AssigneeId": "005000000000008AAA", "Assignee": {"Username": "x@example.com", "IsActive": true},
				"PermissionSet": {"Label": "Approve", "PermissionsCanApproveUninstalledApps": true}}]}`)}})
		r, err := run(t.Context(), conn, audit.Options{})
		i := 0
		if err == nil {
			i = slices.IndexFunc(r.Findings, func(f audit.Finding) bool { return f.Rule == "can-approve-apps" })
		}
		if err != nil || i < 0 || r.Findings[i].Level != level {
			t.Errorf("%s: %v, %v", user, r, err)
		}
	}
	// With API Access Control, only those who get around it are a finding.
	files := fstest.MapFS{
		"ConnectedApp.settings-meta.xml": {Data: []byte(`<ConnectedAppSettings xmlns="http://soap.sforce.com/2006/04/metadata"><enableAdminApprovedAppsOnly>true</enableAdminApprovedAppsOnly></ConnectedAppSettings>`)},
		"records.json":                   {Data: []byte(`{"OauthToken": [{"AppName": "Stranger", "UserId": "005000000000001AAA"}]}`)},
	}
	_, conn := start(t, simorg.Config{}, files)
	if r, err := run(t.Context(), conn, audit.Options{}); err != nil || fmt.Sprint(found(r)) != "map[Stranger:[not-installed]]" || r.Count(finding.Error) != 0 {
		t.Errorf("with API Access Control: %v, %v", r.Findings, err)
	}
	files["more.json"] = &fstest.MapFile{Data: []byte(`{"PermissionSetAssignment": [{"AssigneeId": "005000000000009AAA", "Assignee": {"Username": "x@example.com", "IsActive": true}, "PermissionSet": {"Label": "Any client", "PermissionsUseAnyApiClient": true}}]}`)}
	_, conn = start(t, simorg.Config{}, files)
	if r, err := run(t.Context(), conn, audit.Options{}); err != nil || fmt.Sprint(found(r)) != "map[:[can-use-any-app] Stranger:[not-installed]]" || r.Count(finding.Error) != 1 {
		t.Errorf("with Use Any API Client: %v, %v", r.Findings, err)
	}
}

// TestBaseline: findings are known again after their app, or the alias of the org, got another name.
func TestBaseline(t *testing.T) {
	t.Parallel()
	files := load(t, app{Name: "App", Open: true}, "connected")
	org, conn := start(t, simorg.Config{}, files)
	r, err := run(t.Context(), conn, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(map[string]any{"orgs": []any{map[string]any{"report": struct {
		Org string `json:"org"`
		*audit.Report
	}{"uat", r}}}})
	if err != nil {
		t.Fatal(err)
	}
	known, err := audit.ReadBaseline(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		worse, renamed := f, f
		worse.Level, renamed.App = finding.Error, "Renamed"
		switch {
		case !known.Has("uat", "", f), !known.Has("other", org.ID(), f):
			t.Errorf("%v is not known", f)
		case known.Has("other", "00D000000000009AAA", f):
			t.Errorf("%v of another org is known", f)
		case f.Level == finding.Warning && known.Has("uat", "", worse):
			t.Errorf("%v has become worse and is known", f)
		case !known.Has("uat", "", renamed) != (f.ID == ""):
			t.Errorf("%v under another name: known is %v", f, known.Has("uat", "", renamed))
		}
	}
	for _, wrong := range []string{"", "[]", "{}", `{"orgs": [{}]}`, `{"report": 1}`, `{"report": {}}`} {
		if _, err := audit.ReadBaseline([]byte(wrong)); err == nil {
			t.Errorf("%q is a baseline", wrong)
		}
	}
}

// TestPartnerControls: the profile for partner apps, and the page for a security review.
func TestPartnerControls(t *testing.T) {
	t.Parallel()
	config := simorg.Config{Version: 68}
	files := load(t, app{}, "alarms")
	_, conn := start(t, config, files)
	r, err := run(t.Context(), conn, audit.Options{Now: now, ISV: true, Rules: map[string]string{"has-to-move": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"NativeClient": "[dpop-off no-idle-limit token-allowlist]", "IdleLimit": "[dpop-off token-allowlist]",
		"Pipeline": "[dpop-off]", "InUse": "[dpop-off]",
	}
	got := found(r)
	for name, rules := range want {
		if fmt.Sprint(got[name]) != rules {
			t.Errorf("%s: found %v, not %s", name, got[name], rules)
		}
	}
	for _, f := range r.Findings {
		if f.Rule == "no-idle-limit" && f.Level != finding.Error {
			t.Errorf("a missing control is a %s", f.Level)
		}
	}
	var b bytes.Buffer
	a := named(r, "NativeClient")
	if !audit.Reviewable(a) || audit.Reviewable(named(r, "Internal")) || audit.Reviewable(named(r, "Link")) {
		t.Error("the wrong apps have a page")
	}
	if err := audit.WriteReview(&b, audit.OrgReport{Org: "uat", Report: r, Username: "admin@example.com"}, a, now, "v1"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 of 4 controls in place", "isPkceRequired is true", "isRefreshTokenRotationEnabled is true", "isEnforceRefreshTokenTTL is false", "as admin@example.com"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// TestFixes: one fix for all apps that have it, with one command per org or app.
func TestFixes(t *testing.T) {
	t.Parallel()
	r := org60(t, audit.Options{})
	command := func(f audit.Finding, org string, apps []string) (string, bool) {
		if f.Case == audit.CaseConvert {
			return fmt.Sprintf("migrate %s %s", org, strings.Join(apps, " ")), true
		}
		if f.Rule == "scope-full" {
			return "narrow " + org + " " + apps[0], false
		}
		return "", false
	}
	cases := 0
	for _, g := range audit.Groups([]audit.OrgReport{{Org: "prod", Report: r}, {Org: "uat", Report: r}}, command) {
		for _, f := range g.Fixes {
			switch {
			case g.ID == "has-to-move" && g.Case == audit.CaseConvert:
				if cases++; len(f.Commands) != 2 || !strings.HasPrefix(f.Commands[0], "migrate prod App_10 App_2 ") {
					t.Errorf("has-to-move: %q", f.Commands)
				}
			case g.ID == "scope-full":
				if cases++; len(f.Commands) != 4 || len(f.Pages) > 3 {
					t.Errorf("scope-full: %q, %q", f.Commands, f.Pages)
				}
			case g.ID == "has-to-move" && g.Case == audit.CaseVendor && len(f.Pages) > 0:
				t.Errorf("an app of a vendor has a page: %q", f.Pages)
			}
		}
		if g.ID == "open-to-all" && len(g.Orgs()) != 2 {
			t.Errorf("open-to-all is in %v", g.Orgs())
		}
	}
	if cases != 2 {
		t.Errorf("%d groups were looked at", cases)
	}
}

// TestUndatedTokens: an org that aggregates no dates shows tokens without them.
func TestUndatedTokens(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"records.json": {Data: []byte(`{"OauthToken": [{"AppName": "Stranger", "UserId": "005000000000001AAA", "LastUsedDate": "2026-11-20T08:00:00.000+0000"}]}`)}}
	_, conn := start(t, simorg.Config{Facts: map[string]string{"token-dates-aggregate": "no"}}, files)
	r, err := run(t.Context(), conn, audit.Options{Now: now})
	if err != nil || fmt.Sprint(found(r)["Stranger"]) != "[not-installed]" || len(named(r, "Stranger").Holders) != 1 {
		t.Errorf("found %v, unseen %v, %v", found(r), r.Unseen, err)
	}
}
