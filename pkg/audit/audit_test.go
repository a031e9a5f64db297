package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"text/template"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

var update = flag.Bool("update", false, "update the screenshot in the documentation")

// TestRulesHaveChecks holds RULES.md against the checks.
func TestRulesHaveChecks(t *testing.T) {
	t.Parallel()
	documented := make(map[string]bool)
	for _, r := range audit.Rules() {
		if documented[r.ID] || !audit.Exists(r.ID) || r.Text == "" {
			t.Errorf("the rule %s is there twice, or has no check or no text", r.ID)
		}
		documented[r.ID] = true
	}
	if audit.Checks != len(documented) {
		t.Errorf("RULES.md has %d rules, and there are %d checks", len(documented), audit.Checks)
	}
	document, err := os.ReadFile("RULES.md")
	if err != nil || bytes.Count(document, []byte("\nSource: ")) != len(documented) {
		t.Errorf("a rule has no source, or more than one (%v)", err)
	}
}

// now is when the tests look at orgs.
var now = time.Now().Truncate(time.Second)

func daysAgo(n int) string { return now.AddDate(0, 0, -n).UTC().Format("2006-01-02T15:04:05.000-0700") }

// certificate is one that ends in some days.
func certificate(t testing.TB, days int) string {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, 0, days)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// app is what the templates in testdata are filled with.
type app struct {
	Name, Label string
	Open        bool   // to all users
	Grant       string // the permission set that grants it
	RunAs       string // of an External Client App
}

// load returns the files of archives in testdata, which are templates.
func load(t testing.TB, data app, archives ...string) fstest.MapFS {
	t.Helper()
	files := make(fstest.MapFS)
	for _, archive := range archives {
		text, err := template.New(archive + ".txtar").Funcs(template.FuncMap{
			"daysAgo": daysAgo, "certificate": func(days int) string { return certificate(t, days) },
		}).ParseFiles(filepath.Join("testdata", archive+".txtar"))
		var b bytes.Buffer
		if err == nil {
			err = text.Execute(&b, data)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range txtar.Parse(b.Bytes()).Files {
			files[file.Name] = &fstest.MapFile{Data: file.Data}
		}
	}
	return files
}

// records is a file with records of an org, in JSON.
func records(format string, args ...any) fstest.MapFS {
	return fstest.MapFS{"more.json": {Data: fmt.Appendf(nil, format, args...)}}
}

func start(t testing.TB, config simorg.Config, files fstest.MapFS) (*simorg.Server, *salesforce.Conn) {
	t.Helper()
	config.PermissionSets = append(config.PermissionSets, "Users")
	if files["ConnectedApp.settings-meta.xml"] == nil && files != nil { // else API Access Control is off
		config.WithoutObjects = append(slices.Clone(config.WithoutObjects), "ConnectedAppSettings")
	}
	org := simorgtest.Start(t, config)
	if err := org.Fill(os.DirFS("testdata/settings"), "."); err != nil { // which block what the org rules find
		t.Fatal(err)
	}
	if err := org.Fill(files, "."); err != nil {
		t.Fatal(err)
	}
	eca := make(fstest.MapFS)
	for name, file := range files {
		if strings.Contains(name, ".eca") {
			eca[name] = file
		}
	}
	if err := org.Deploy(eca, "."); err != nil {
		t.Fatal(err)
	}
	return org, &salesforce.Conn{InstanceURL: org.URL, Version: 66, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
}

// run reads an org and applies the rules.
func run(ctx context.Context, conn *salesforce.Conn, o audit.Options) (*audit.Report, error) {
	snapshot, err := audit.Read(ctx, conn)
	if err != nil {
		return nil, err
	}
	return snapshot.Judge(o)
}

// found are the rules that found something, by app.
func found(r *audit.Report) map[string][]string {
	by := make(map[string][]string)
	for _, f := range r.Findings {
		by[f.App] = append(by[f.App], f.Rule)
	}
	for _, rules := range by {
		slices.Sort(rules)
	}
	return by
}

// named returns the app of a name, or an empty one.
func named(r *audit.Report, name string) *audit.App {
	if i := slices.IndexFunc(r.Apps, func(a *audit.App) bool { return a.Name == name }); i >= 0 {
		return r.Apps[i]
	}
	return new(audit.App)
}

// TestRules: each app breaks what its name says, and nothing else.
func TestRules(t *testing.T) {
	t.Parallel()
	files := load(t, app{}, "rules")
	config := simorg.Config{Kind: simorg.Production, ModifyAllData: []string{"Almighty"}, UnreadableApps: []string{"Vendor"},
		Users: []simorg.User{{Username: "user@example.com"}, {Username: "admin2@example.com", Profile: "System Administrator"}, {Username: "admin3@example.com", Profile: "Almighty"}}}
	org, conn := start(t, config, files)
	r, err := run(t.Context(), conn, audit.Options{Now: now.Add(time.Minute), Declared: []string{"ecasound", "EcaAdmin", "EcaLocked"}, Drift: map[string][]audit.Change{"EcaSound": {{Field: "isPkceRequired", What: "true, and false in the project"}}}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"Sound": {}, "Open": {"open-to-all"}, "Locked": {"locked-out"}, "Full": {"scope-full"}, "Forever": {"ip-relaxed", "refresh-token-lives-long", "rotation-off"}, "Long": {"refresh-token-lives-long", "rotation-off"},
		"NoPkce": {"pkce-off"}, "Http": {"insecure-callback"}, "Admin": {"run-as-admin", "scope-broad", "secret-optional"}, "Password": {"username-password-flow"},
		"Cert": {"certificate-expires"}, "Expired": {"certificate-expires"}, "GoodCert": {}, "Vendor": {"locked-out"}, "Old one": {"unused"},
		"EcaSound": {"drift"}, "EcaAdmin": {"run-as-admin"}, "EcaOpen": {"open-to-all", "pkce-off", "undeclared"}, "EcaLocked": {"locked-out"},
		"Stranger": {"not-installed"}, "Unknown client": {"username-password-flow"},
	}
	got := found(r)
	for _, a := range r.Apps {
		if _, expected := want[a.Name]; !expected {
			t.Errorf("the report has %+v", a)
		}
		rules := slices.DeleteFunc(slices.Clone(got[a.Name]), func(rule string) bool { return rule == "has-to-move" && a.Kind == audit.Connected })
		if fmt.Sprint(rules) != fmt.Sprint(want[a.Name]) {
			t.Errorf("%s: found %v, not %v; %+v", a.Name, rules, want[a.Name], a)
		}
		if moves := slices.Contains(got[a.Name], "has-to-move"); moves != (a.Kind == audit.Connected) {
			t.Errorf("%s: has to move is %v", a.Name, moves)
		}
	}
	if len(r.Apps) != len(want) {
		t.Errorf("the report has %d apps, not %d", len(r.Apps), len(want))
	}
	if s := r.Sentence(); s != "1 app not installed: 2 users with tokens; 2 of 19 apps let any user in: 1 of 15 Connected Apps, 1 of 4 External Client Apps" {
		t.Errorf("the sentence is %q", s)
	}
	for _, f := range r.Findings {
		if f.Fix == "" || f.Problem == "" || strings.Contains(f.String(), "topsecret") {
			t.Errorf("found %+v", f)
		}
		if f.App == "Password" && f.Rule == "has-to-move" && !strings.Contains(f.Problem, "no equivalent for mobileStartUrl") {
			t.Errorf("the finding lacks the lost element: %s", f.Problem)
		}
	}
	if len(r.Unseen) != 1 || !strings.Contains(r.Unseen[0], "Vendor is listed and cannot be read") {
		t.Errorf("unseen: %v", r.Unseen)
	}
	for _, request := range org.Requests() {
		if request.Writes() || strings.Contains(request.Path, "DeleteToken") || strings.Contains(strings.ToLower(request.Path), "part=") {
			t.Errorf("the audit sent %s %s", request.Method, request.Path)
		}
	}

	// On a sandbox a developer's machine is no finding, and plain http is.
	config.Kind, config.UnreadableApps = simorg.Sandbox, nil
	_, conn = start(t, config, files)
	if r, err = run(t.Context(), conn, audit.Options{Now: now}); err != nil || fmt.Sprint(found(r)["Http"]) != "[has-to-move insecure-callback]" {
		t.Errorf("on a sandbox: %v, %v", found(r)["Http"], err)
	}
	if rules := fmt.Sprint(found(r)); strings.Contains(rules, "undeclared") || strings.Contains(rules, "drift") {
		t.Errorf("without a project: %s", rules)
	}
}

// TestAges: what a year brings.
func TestAges(t *testing.T) {
	t.Parallel()
	files := load(t, app{Name: "App", Grant: "Users"}, "connected")
	maps.Copy(files, load(t, app{Name: "Eca", Grant: "Users"}, "external"))
	_, conn := start(t, simorg.Config{}, files)
	for _, test := range []struct {
		days int
		want string
	}{{80, "map[App:[has-to-move]]"}, {100, "map[App:[has-to-move unused] Eca:[unused]]"}, {370, "map[App:[has-to-move old-consumer unused] Eca:[old-consumer unused]]"}} {
		r, err := run(t.Context(), conn, audit.Options{Now: now.AddDate(0, 0, test.days)})
		if err != nil || fmt.Sprint(found(r)) != test.want {
			t.Errorf("after %d days: %v, %v", test.days, found(r), err)
		}
	}
}

// TestRotationsEndOldConsumer: a rotation that the org or the caller knows of ends old-consumer for a year.
func TestRotationsEndOldConsumer(t *testing.T) {
	t.Parallel()
	_, conn := start(t, simorg.Config{}, load(t, app{Name: "Eca", Grant: "Users"}, "external"))
	at := now.AddDate(0, 0, 500)
	for _, test := range []struct {
		rotated time.Time
		want    string
	}{
		{time.Time{}, "; whether it was rotated since is not known"},
		{at.AddDate(0, 0, -400), " and last rotated on " + at.AddDate(0, 0, -400).Format(time.DateOnly)},
		{at.AddDate(0, 0, -300), ""},
	} {
		var asked string
		r, err := run(t.Context(), conn, audit.Options{Now: at, Rotated: func(app, key string) time.Time {
			asked = app + " " + key
			return test.rotated
		}})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, f := range r.Findings {
			if f.Rule == "old-consumer" {
				_, got, _ = strings.Cut(f.Problem, now.UTC().Format(time.DateOnly))
			}
		}
		if got != test.want || !strings.HasPrefix(asked, "Eca ") {
			t.Errorf("rotated %v: %q, want %q; asked for %s", test.rotated, got, test.want, asked)
		}
	}
}

// TestModifiedConsumers: an org that shows a later modification of a consumer shows its rotation.
func TestModifiedConsumers(t *testing.T) {
	t.Parallel()
	config := simorg.Config{SecretsInREST: true, Facts: platform.Answers{"consumer-dates-move": "yes"}}
	org, conn := start(t, config, load(t, app{Name: "Eca", Grant: "Users"}, "external"))
	org.Age(48 * time.Hour)
	rotation := &consumer.Rotation{Client: &consumer.Client{Conn: conn},
		HandOver: func(context.Context, login.Credentials) error { return nil }}
	if _, err := rotation.Run(t.Context(), "Eca"); err != nil {
		t.Fatal(err)
	}
	snapshot, err := audit.Read(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	judge := func(at time.Time) (*audit.App, string) {
		r, err := snapshot.Judge(audit.Options{Now: at})
		if err != nil || len(r.Apps) != 1 {
			t.Fatal(r, err)
		}
		return r.Apps[0], fmt.Sprint(found(r))
	}
	app, _ := judge(now)
	year := app.ConsumerModified.Add(365 * 24 * time.Hour)
	if _, rules := judge(year.Add(23 * time.Hour)); strings.Contains(rules, "old-consumer") || !app.ConsumerModified.After(app.ConsumerCreated) {
		t.Errorf("rotated %v after %v: a year later %s", app.ConsumerModified, app.ConsumerCreated, rules)
	}
	if _, rules := judge(year.Add(24 * time.Hour)); !strings.Contains(rules, "old-consumer") {
		t.Errorf("more than a year after the rotation: %s", rules)
	}
}

// TestAcceptance: a finding that somebody accepted, and one whose day is over.
func TestAcceptance(t *testing.T) {
	t.Parallel()
	_, conn := start(t, simorg.Config{}, load(t, app{Name: "App", Open: true}, "connected"))
	day := now.UTC().Truncate(24 * time.Hour)
	o := audit.Options{Now: now, Rules: map[string]string{"has-to-move": "off"}, Accept: []audit.Acceptance{{App: "app", Rule: "open-to-all", Until: day, Why: "ticket 7"}}}
	r, err := run(t.Context(), conn, o)
	if err != nil || len(r.Findings) != 0 || len(r.Accepted) != 1 || r.Accepted[0].Why != "ticket 7" || len(r.Expired) != 0 {
		t.Fatalf("accepted: %+v, %v", r, err)
	}
	o.Now = now.AddDate(0, 0, 2)
	if r, err = run(t.Context(), conn, o); err != nil || len(r.Findings) != 1 || len(r.Accepted) != 0 || len(r.Expired) != 1 || !strings.Contains(r.Expired[0], "ticket 7") {
		t.Errorf("expired: %+v, %v", r, err)
	}
	o.Accept = append(o.Accept, audit.Acceptance{App: "*", Rule: "open-to-all", Until: day.AddDate(1, 0, 0), Why: "ticket 8"})
	if r, err = run(t.Context(), conn, o); err != nil || len(r.Findings) != 0 || len(r.Expired) != 0 || len(r.Accepted) != 1 || r.Accepted[0].Why != "ticket 8" {
		t.Errorf("one that ended and one that counts: %+v, %v", r, err)
	}
	if _, err := run(t.Context(), conn, audit.Options{Accept: []audit.Acceptance{{App: "*", Rule: "open-to-al"}}}); err == nil || !strings.Contains(err.Error(), "open-to-al") {
		t.Errorf("an acceptance of no rule: %v", err)
	}
	o = audit.Options{Now: now, Rules: map[string]string{"has-to-move": "off", "open-to-all": "error"}}
	if r, err = run(t.Context(), conn, o); err != nil || r.Count(finding.Error) != 1 || r.Count(finding.Warning) != 0 {
		t.Errorf("another level: %+v, %v", r, err)
	}
	for _, wrong := range []map[string]string{{"nonsense": "off"}, {"drift": "loud"}} {
		if _, err := run(t.Context(), conn, audit.Options{Rules: wrong}); err == nil {
			t.Errorf("%v is accepted", wrong)
		}
	}
}

// TestWhatCannotBeSeen: each source that an org refuses is said, and its rules are silent.
func TestWhatCannotBeSeen(t *testing.T) {
	t.Parallel()
	files := load(t, app{Name: "App"}, "connected")
	maps.Copy(files, load(t, app{Name: "Eca"}, "external"))
	maps.Copy(files, records(`{"OauthToken": [{"AppName": "Stranger", "UserId": "005000000000001AAA"},
		{"AppName": "Other", "AppMenuItemId": "0DS000000000001AAA", "UserId": "005000000000001AAA"}]}`))
	for object, want := range map[string]struct{ unseen, silent string }{
		"OauthToken":                {"tokens: INVALID_TYPE", "not-installed unused"},
		"LoginHistory":              {"logins: INVALID_TYPE", "unused"},
		"AppMenuItem":               {"the app menu: INVALID_TYPE", ""},
		"SetupEntityAccess":         {"who may use the apps: INVALID_TYPE", "locked-out"},
		"ConnectedApplication":      {"Connected Apps: INVALID_TYPE", "not-installed"},
		"ExternalClientApplication": {"External Client Apps: INVALID_TYPE", "not-installed"},
		"ExtlClntAppOauthPlcyCnfg":  {"their OAuth policies: INVALID_TYPE", "locked-out"},
		"ExtlClntAppPlcyCnfg":       {"their plugin policies: INVALID_TYPE", "plugin-off"},
		"ExtlClntAppOauthSettings":  {"their scopes: INVALID_TYPE", "scope-full"},
	} {
		_, conn := start(t, simorg.Config{WithoutObjects: []string{object}}, files)
		r, err := run(t.Context(), conn, audit.Options{Now: now.AddDate(0, 0, 100)})
		if err != nil || !slices.ContainsFunc(r.Unseen, func(u string) bool { return strings.HasPrefix(u, want.unseen) }) {
			t.Errorf("%s: %v, %v", object, r, err)
			continue
		}
		for _, rules := range found(r) {
			for _, rule := range rules {
				if slices.Contains(strings.Fields(want.silent), rule) {
					t.Errorf("without %s, %s finds something", object, rule)
				}
			}
		}
	}
	// An older org lacks columns, which hides no more than they say.
	_, conn := start(t, simorg.Config{WithoutFields: []string{"ExtlClntAppOauthSettings.OauthScopesMCP_API", "ExtlClntAppOauthSettings.CreatedDate", "ExternalClientApplication.OrgScopedExternalApp", "ConnectedApplication.OptionsAllowAdminApprovedUsersOnly", "ExtlClntAppOauthPlcyCnfg.IsGuestCodeCredFlowEnabled"}}, files)
	if r, err := run(t.Context(), conn, audit.Options{}); err != nil || len(r.Unseen) != 4 || fmt.Sprint(named(r, "Eca").Scopes) != "[Api]" || named(r, "Eca").Access != audit.PreAuthorised || named(r, "App").Access != audit.PreAuthorised {
		t.Errorf("an older org: %+v, %v", r, err)
	}
	// A session that may not call the Metadata API sees the apps, and takes none for another
	// vendor's.
	org, conn := start(t, simorg.Config{}, files)
	for range 20 {
		fault := simorg.SOAPFault("INSUFFICIENT_ACCESS", "insufficient access rights")
		fault.Fits = func(r simorg.Request) bool { return strings.Contains(r.Path, "/Soap/") }
		org.Inject(fault)
	}
	r, err := run(t.Context(), conn, audit.Options{})
	if err != nil || len(r.Apps) != 4 || !strings.Contains(strings.Join(r.Unseen, "; "), "settings of External Client Apps: listMetadata: INSUFFICIENT_ACCESS") {
		t.Fatalf("without the right: %+v, %v", r, err)
	}
	for _, f := range r.Findings {
		if strings.Contains(f.Problem, "another vendor") || f.Rule == "locked-out" {
			t.Errorf("without the right: %v", f)
		}
	}
}

// TestDoubtfulApps: what would be a false alarm is none.
func TestDoubtfulApps(t *testing.T) {
	t.Parallel()
	files := load(t, app{}, "doubtful")
	org, conn := start(t, simorg.Config{Kind: simorg.Production}, files)
	apps, _, err := apps.Apps(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range apps {
		if a.Name == "Profiled" {
			access := records(`{"SetupEntityAccess": [{"SetupEntityId": %q, "SetupEntityType": "ExternalClientApplication",
				"ParentId": "0PS000000000009AAA", "Parent": {"Name": "X", "IsOwnedByProfile": true, "Profile": {"Name": "Sales"}}}]}`, a.ID)
			if err := org.Fill(access, "."); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := run(t.Context(), conn, audit.Options{Rules: map[string]string{"has-to-move": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]int)
	for _, a := range r.Apps {
		kinds[string(a.Kind)]++
		if a.Name == "Both" && (a.Kind == audit.Connected) != (a.Tokens == 1) {
			t.Errorf("a token of one of two apps is counted as %+v", a)
		}
	}
	if want := "map[Connected App:8 External Client App:5 not shown:1]"; fmt.Sprint(kinds) != want {
		t.Errorf("got %v, want %s", kinds, want)
	}
	var got []string
	for _, f := range r.Findings {
		got = append(got, fmt.Sprintf("%s %s %s %s", f.Kind, f.App, f.Rule, f.Level))
	}
	slices.Sort(got)
	want := []string{
		"Connected App Both username-password-flow error", "Connected App Ghost run-as-user error", "Connected App Local insecure-callback warning",
		"External Client App Both locked-out warning", "External Client App Profiled profiles-only warning", "External Client App ns__Managed open-to-all warning",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestRounds: what makes an org large in other ways takes no more rounds.
func TestRounds(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short")
	}
	files := fstest.MapFS{}
	var unreadable, access []string
	for i := range 25 {
		name := fmt.Sprintf("C%02d", i)
		maps.Copy(files, load(t, app{Name: name, Grant: "Users"}, "connected"))
		if i%8 == 0 {
			unreadable = append(unreadable, name)
		}
	}
	for i := range 260 {
		access = append(access, fmt.Sprintf(`{"SetupEntityId": "0H4000000000001", "SetupEntityType": "ConnectedApplication", "ParentId": "0PS%012dAAA"}`, i+100))
	}
	files["records.json"] = &fstest.MapFile{Data: []byte(`{"SetupEntityAccess": [` + strings.Join(access, ",") + `]}`)}
	org, conn := start(t, simorg.Config{Latency: 150 * time.Millisecond, UnreadableApps: unreadable}, files)
	conn.HTTPClient = &http.Client{Transport: simorgtest.InProcess(org.Org)}
	synctest.Test(t, func(t *testing.T) {
		r, err := run(t.Context(), conn, audit.Options{})
		if n := simorg.Sequential(org.Requests()); err != nil || n > 4 || len(r.Unseen) != len(unreadable) {
			t.Errorf("it took %d rounds; %v, %v", n, r.Unseen, err)
		}
	})
}

// failures are answers that say nothing about a query, and a connection that is cut. They must not
// pass for a refusal.
var failures = map[string]simorg.Fault{
	"cut off":         {Drop: true},
	"a proxy's page":  {Status: http.StatusBadGateway, Body: "<html>"},
	"expired session": {Status: http.StatusUnauthorized, Body: `[{"errorCode": "INVALID_SESSION_ID", "message": "Session expired"}]`},
	"busy":            {Status: http.StatusServiceUnavailable, Body: `[{"errorCode": "SERVER_UNAVAILABLE", "message": "busy"}]`},
	"locked":          {Status: http.StatusBadRequest, Body: `[{"errorCode": "UNABLE_TO_LOCK_ROW", "message": "locked"}]`},
	"limit of calls":  {Status: http.StatusForbidden, Body: `[{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "limit"}]`},
}

// TestConnectionsFail: only a refusal of the org is noted, any other failure ends the audit.
func TestConnectionsFail(t *testing.T) {
	t.Parallel()
	files := load(t, app{Name: "Eca", Grant: "Users", RunAs: "user@example.com"}, "external")
	maps.Copy(files, load(t, app{Name: "App", Grant: "Users"}, "connected"))
	maps.Copy(files, records(`{"OauthToken": [{"AppName": "App", "AppMenuItemId": "0DS000000000001AAA", "UserId": "005000000000001AAA"}],
		"SetupEntityAccess": [{"SetupEntityId": "0H4000000000001", "SetupEntityType": "ConnectedApplication", "ParentId": "0PS000000000001AAA"}]}`))
	config := simorg.Config{Users: []simorg.User{{Username: "user@example.com"}}}
	_, conn := start(t, config, files)
	if r, err := run(t.Context(), conn, audit.Options{}); err != nil || len(r.Unseen) > 0 {
		t.Fatalf("without a fault: %+v, %v", r, err)
	}
	inject := func(name, place string, fault simorg.Fault, fits func(simorg.Request) bool) {
		org, conn := start(t, config, files)
		// On kept connections, net/http would repeat a GET that is cut off.
		conn.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		var fired atomic.Bool
		fault.Fits = func(r simorg.Request) bool {
			if fits(r) {
				fired.Store(true)
			}
			return fits(r)
		}
		org.Inject(fault)
		if r, err := run(t.Context(), conn, audit.Options{}); err == nil || !fired.Load() {
			t.Errorf("%s, %s: %v, fault used: %v", place, name, r, fired.Load())
		}
	}
	for name, fault := range failures {
		for _, object := range []string{"ExternalClientApplication", "ExtlClntAppOauthPlcyCnfg", "ExtlClntAppPlcyCnfg", "ExtlClntAppOauthSettings",
			"ConnectedApplication", "OauthToken", "AppMenuItem", "SetupEntityAccess", "PermissionSetAssignment", "LoginHistory", "User", "Organization"} {
			inject(name, object, fault, func(r simorg.Request) bool {
				return strings.HasSuffix(r.Path+"+", "+FROM+"+object+"+") || strings.Contains(r.Path, "+FROM+"+object+"+")
			})
		}
	}
	for name, fault := range map[string]simorg.Fault{
		"cut off": {Drop: true}, "busy": simorg.SOAPFault("SERVER_UNAVAILABLE", "busy"),
		"expired session": simorg.SOAPFault("INVALID_SESSION_ID", "expired"), "limit of calls": simorg.SOAPFault("REQUEST_LIMIT_EXCEEDED", "limit"),
	} {
		for _, typ := range []string{"ExtlClntAppGlobalOauthSettings", "ExtlClntAppOauthConfigurablePolicies", "ConnectedApp"} {
			inject(name, typ, fault, func(r simorg.Request) bool { return r.Operation == "readMetadata" && r.Type == typ })
		}
		inject(name, "listMetadata", fault, func(r simorg.Request) bool { return r.Operation == "listMetadata" })
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	org, conn := start(t, config, files)
	if _, err := run(ctx, conn, audit.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted audit: %v", err)
	}
	org.ExpireSessions()
	if _, err := run(t.Context(), conn, audit.Options{}); !salesforce.IsSessionExpired(err) {
		t.Errorf("an expired session: %v", err)
	}
}

// TestRunAs finds users that client credentials run as by username, and by ID.
func TestRunAs(t *testing.T) {
	t.Parallel()
	config := simorg.Config{Users: []simorg.User{{Username: "active@example.com"}, {Username: "inactive@example.com", Inactive: true}}}
	files := load(t, app{Name: "005000000000002AAA"}, "users")
	_, conn := start(t, config, files)
	r, err := run(t.Context(), conn, audit.Options{})
	if err != nil || len(r.Apps) != 5 {
		t.Fatalf("%+v, %v", r, err)
	}
	want := map[string]audit.User{
		"ns__Active":    {Username: "active@example.com", Profile: "Standard User"},
		"ns__Inactive":  {Username: "inactive@example.com", Profile: "Standard User", Inactive: true},
		"ns__Missing":   {Username: "missing@example.com", Missing: true},
		"ns__ById":      {Username: "active@example.com", Profile: "Standard User"},
		"ns__MissingId": {Username: "005000000000999AAA", Missing: true},
	}
	rules := found(r)
	for _, a := range r.Apps {
		if a.RunAs == nil || *a.RunAs != want[a.Name] {
			t.Errorf("%s runs as %+v, not %+v", a.Name, a.RunAs, want[a.Name])
		}
		if broken := slices.Contains(rules[a.Name], "run-as-user"); broken != (want[a.Name].Inactive || want[a.Name].Missing) {
			t.Errorf("%s: found %v", a.Name, rules[a.Name])
		}
	}

	// A user that the org hides is not missing.
	config.WithoutObjects = []string{"User"}
	_, conn = start(t, config, files)
	if r, err = run(t.Context(), conn, audit.Options{}); err != nil || !strings.Contains(strings.Join(r.Unseen, "; "), "users that client credentials run as: INVALID_TYPE") {
		t.Fatalf("hidden users: %+v, %v", r, err)
	}
	for _, a := range r.Apps {
		if a.RunAs == nil || a.RunAs.Missing || slices.Contains(found(r)[a.Name], "run-as-user") {
			t.Errorf("%s, of an org that hides users, runs as %+v; found %v", a.Name, a.RunAs, found(r)[a.Name])
		}
	}
}

// TestFlowThatIsOff: client credentials need the switch of the global settings, too.
func TestFlowThatIsOff(t *testing.T) {
	t.Parallel()
	files := load(t, app{Name: "Eca", Grant: "Users", RunAs: "user@example.com"}, "external")
	org, conn := start(t, simorg.Config{Users: []simorg.User{{Username: "user@example.com"}}}, files)
	for _, on := range []bool{true, false} {
		if !on {
			off := load(t, app{Name: "Eca"}, "external")
			global := fstest.MapFS{"Eca_odd.ecaGlblOauth-meta.xml": off["Eca_odd.ecaGlblOauth-meta.xml"]}
			if err := org.Deploy(global, "."); err != nil {
				t.Fatal(err)
			}
		}
		r, err := run(t.Context(), conn, audit.Options{})
		if err != nil || len(r.Apps) != 1 || (len(r.Apps[0].Flows) == 1) != on || (r.Apps[0].RunAs != nil) != on {
			t.Errorf("with the switch %v: %+v, %v", on, r.Apps[0], err)
		}
	}
}

// TestTwins: Connected Apps of one label that cannot be read are told apart by their IDs, if that is
// possible.
func TestTwins(t *testing.T) {
	t.Parallel()
	files := load(t, app{Name: "Twin1", Label: "Twin"}, "connected")
	maps.Copy(files, load(t, app{Name: "Twin2", Label: "Twin"}, "connected"))
	_, conn := start(t, simorg.Config{UnreadableApps: []string{"Twin2"}}, files)
	r, err := run(t.Context(), conn, audit.Options{})
	if twin := named(r, "Twin"); err != nil || len(r.Apps) != 2 || twin.ID != "" || twin.Access != "" {
		t.Fatalf("one unreadable twin: %+v, %v", r, err)
	}
	_, conn = start(t, simorg.Config{UnreadableApps: []string{"Twin1", "Twin2"}}, files)
	r, err = run(t.Context(), conn, audit.Options{})
	keys := make(map[string]bool)
	for _, f := range r.Findings {
		all := f.Keys()
		keys[all[len(all)-1]] = true
	}
	if err != nil || len(r.Apps) != 2 || len(keys) != len(r.Findings) {
		t.Errorf("two unreadable twins: %v, %d keys, %v", r.Findings, len(keys), err)
	}
}

// TestNamesakes: a token whose menu item belongs to an app that the org does not show is not counted
// for an app of the same label.
func TestNamesakes(t *testing.T) {
	t.Parallel()
	files := load(t, app{Name: "App", Grant: "Users"}, "connected")
	maps.Copy(files, records(`{"AppMenuItem": [{"Id": "0DS000000000002AAA", "ApplicationId": "0H4000000009999AAA"}],
		"OauthToken": [{"AppName": "App", "AppMenuItemId": "0DS000000000002", "UserId": "005000000000001AAA"}]}`))
	_, conn := start(t, simorg.Config{}, files)
	r, err := run(t.Context(), conn, audit.Options{})
	if err != nil || len(r.Apps) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if shown, hidden := r.Apps[0], r.Apps[1]; shown.Tokens != 0 || !shown.LastUsed.IsZero() || hidden.Kind != audit.NotShown || hidden.Tokens != 1 {
		t.Errorf("the app %+v and its namesake %+v", shown, hidden)
	}
}

// many is an org with 500 apps and 2,500 tokens.
func many(t testing.TB) fstest.MapFS {
	files := make(fstest.MapFS)
	var tokens []string
	for i := range 250 {
		label := fmt.Sprintf("Connected %03d", i)
		maps.Copy(files, load(t, app{Name: fmt.Sprintf("C%03d", i), Label: label, Grant: "Users"}, "connected"))
		maps.Copy(files, load(t, app{Name: fmt.Sprintf("E%03d", i), Open: true}, "external"))
		for u := range 10 {
			tokens = append(tokens, fmt.Sprintf(`{"AppName": %q, "UserId": "005%012dAAA", "LastUsedDate": %q}`, label, u, daysAgo(1)))
		}
	}
	files["records.json"] = &fstest.MapFile{Data: []byte(`{"OauthToken": [` + strings.Join(tokens, ",") + `]}`)}
	return files
}

// TestScale: a large org takes four rounds and 64 MB.
func TestScale(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short")
	}
	org, conn := start(t, simorg.Config{Latency: 150 * time.Millisecond}, many(t))
	conn.HTTPClient = &http.Client{Transport: simorgtest.InProcess(org.Org)}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var r *audit.Report
	synctest.Test(t, func(t *testing.T) {
		var err error
		if r, err = run(t.Context(), conn, audit.Options{Now: now}); err != nil {
			t.Fatal(err)
		}
	})
	runtime.ReadMemStats(&after)
	if len(r.Apps) != 500 || named(r, "C003").Tokens != 10 || named(r, "C003").Users != 10 {
		t.Errorf("%d apps, C003 is %+v", len(r.Apps), named(r, "C003"))
	}
	requests := org.Requests()
	if n := simorg.Sequential(requests); n > 4 {
		t.Errorf("it took %d rounds of %d requests", n, len(requests))
	}
	t.Logf("%d requests in %d rounds, %d MB allocated", len(requests), simorg.Sequential(requests), (after.TotalAlloc-before.TotalAlloc)>>20)
}

// TestAcceptedInHTML: the page shows accepted findings and does not count them.
func TestAcceptedInHTML(t *testing.T) {
	t.Parallel()
	_, conn := start(t, simorg.Config{}, load(t, app{Name: "App", Open: true}, "connected"))
	r, err := run(t.Context(), conn, audit.Options{
		Rules: map[string]string{"has-to-move": "off"}, Accept: []audit.Acceptance{{App: "App", Rule: "open-to-all", Why: "all may"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := audit.WriteHTML(&b, []audit.OrgReport{{Org: "uat", Report: r}}, now); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`data-rules="open-to-all" data-levels="accepted"`, `<td data-sort="0">0</td>`, `<td class="m" data-sort="1"><a class="accepted" href="#rule-open-to-all">`, "all may</li>"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func TestSentence(t *testing.T) {
	t.Parallel()
	open := func(kind audit.Kind) *audit.App { return &audit.App{Kind: kind, Access: audit.Everybody} }
	closed := func(kind audit.Kind) *audit.App { return &audit.App{Kind: kind, Access: audit.PreAuthorised} }
	unknown := func(kind audit.Kind) *audit.App { return &audit.App{Kind: kind} }
	for _, test := range []struct {
		apps []*audit.App
		want string
	}{
		{nil, "the org shows no app of its own"},
		{[]*audit.App{unknown(audit.NotInstalled)}, "the org shows no app of its own"},
		{[]*audit.App{{Kind: audit.NotInstalled, Tokens: 3, Users: 2}, open(audit.Connected)}, "1 app not installed: 2 users with tokens; 1 of 1 Connected App lets any user in"},
		{[]*audit.App{{Kind: audit.Connected, NoOAuth: true}, {Kind: audit.Connected, Salesforce: true, Access: audit.Everybody}, closed(audit.External)}, "0 of 1 app let any user in"},
		{[]*audit.App{unknown(audit.Connected), unknown(audit.External)}, "the org does not show who can use any of 2 apps"},
		{[]*audit.App{closed(audit.Connected)}, "0 of 1 app let any user in"},
		{[]*audit.App{closed(audit.Connected), closed(audit.External), unknown(audit.Connected)},
			"0 of 2 apps let any user in (not known for 1 more)"},
		{[]*audit.App{open(audit.Connected), open(audit.External), closed(audit.Connected)},
			"2 of 3 apps let any user in: 1 of 2 Connected Apps, 1 of 1 External Client App"},
		{[]*audit.App{open(audit.Connected), open(audit.External), open(audit.External), unknown(audit.External)},
			"3 of 3 apps let any user in: 1 of 1 Connected App, 2 of 2 External Client Apps (not known for 1 more)"},
	} {
		if got := (&audit.Report{Apps: test.apps}).Sentence(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// TestHTML writes a page about hostile names, which stay text.
func TestHTML(t *testing.T) {
	t.Parallel()
	name := `"><script>alert(1)</script>`
	r := &audit.Report{
		Apps:     []*audit.App{{Kind: audit.NotInstalled, Name: name, Label: name, Granted: []string{name}, Access: audit.PreAuthorised}},
		Findings: []audit.Finding{{Finding: finding.Finding{Rule: "not-installed", Level: finding.Warning, App: name, Problem: name, Fix: name, Field: name}, Kind: audit.NotInstalled}},
		Unseen:   []string{name},
	}
	var b bytes.Buffer
	if err := audit.WriteHTML(&b, []audit.OrgReport{{Org: name, Report: r}, {Org: "uat", Err: errors.New(name)}}, now); err != nil {
		t.Fatal(err)
	}
	if page := b.String(); strings.Contains(page, "<script>alert") || strings.Contains(page, `"><script`) || strings.Count(page, "<script") != 1 || strings.Contains(page, "http") && strings.Contains(page, "src=") {
		t.Errorf("the page has a name as markup")
	}
}

func Example() {
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	if err := org.Fill(os.DirFS("testdata/example"), "."); err != nil {
		fmt.Println(err)
		return
	}
	conn := &salesforce.Conn{InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
	snapshot, err := audit.Read(context.Background(), conn)
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := snapshot.Judge(audit.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Sentence())
	for _, f := range report.Findings {
		fmt.Println(f.Level, f.Name(), f.Rule)
	}
	// Output:
	// 1 of 1 Connected App lets any user in
	// warning Loader scope-full
	// warning Loader open-to-all
	// warning Loader has-to-move
	// warning org api-access-control-off
	// warning org password-flow-allowed
	// warning org user-agent-flow-allowed
}
