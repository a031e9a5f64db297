package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

var update = flag.Bool("update", false, "write RULES.md")

// TestRulesAreDocumented holds RULES.md against the table.
func TestRulesAreDocumented(t *testing.T) {
	if *update {
		if err := os.WriteFile("RULES.md", []byte(audit.Document()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("RULES.md")
	if err != nil || string(got) != audit.Document() {
		t.Errorf("RULES.md is out of date (%v): go test ./pkg/audit -update", err)
	}
	for _, r := range audit.Rules() {
		if r.Summary == "" || r.Text == "" || r.Level == "" {
			t.Errorf("the rule %s says too little", r.ID)
		}
	}
}

const namespace = ` xmlns="` + metadata.Namespace + `"`

// now is when the tests look at orgs.
var now = time.Now().Truncate(time.Second)

func daysAgo(n int) string { return now.AddDate(0, 0, -n).UTC().Format("2006-01-02T15:04:05.000-0700") }

// certificate is one that ends in some days.
func certificate(t *testing.T, days int) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, 0, days)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// connected is the source of a Connected App.
func connected(label, oauth, policy, more string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("<ConnectedApp" + namespace + "><contactEmail>a@example.com</contactEmail><label>" + label + "</label>" + more +
		"<oauthConfig>" + oauth + "</oauthConfig><oauthPolicy>" + policy + "</oauthPolicy></ConnectedApp>")}
}

// external is the source of a whole External Client App.
func external(files fstest.MapFS, app, global, policy string) {
	in := func(typ, body string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("<" + typ + namespace + "><externalClientApplication>" + app + "</externalClientApplication><label>" + app + "</label>" + body + "</" + typ + ">")}
	}
	files[app+".eca-meta.xml"] = &fstest.MapFile{Data: []byte("<ExternalClientApplication" + namespace + "><contactEmail>a@example.com</contactEmail><label>" + app + "</label></ExternalClientApplication>")}
	files[app+"_oauth.ecaOauth-meta.xml"] = in("ExtlClntAppOauthSettings", "<commaSeparatedOauthScopes>Api</commaSeparatedOauthScopes>")
	files[app+"_odd.ecaGlblOauth-meta.xml"] = in("ExtlClntAppGlobalOauthSettings", global)
	files[app+"_plcy.ecaPlcy-meta.xml"] = in("ExtlClntAppConfigurablePolicies", "<isEnabled>true</isEnabled><isOauthPluginEnabled>true</isOauthPluginEnabled>")
	files[app+"_oauthPlcy.ecaOauthPlcy-meta.xml"] = in("ExtlClntAppOauthConfigurablePolicies", policy)
}

const (
	sound       = "<callbackUrl>https://a.example.com</callbackUrl><isAdminApproved>true</isAdminApproved><isPkceRequired>true</isPkceRequired><scopes>Api</scopes>"
	soundPolicy = "<ipRelaxation>ENFORCE</ipRelaxation><refreshTokenPolicy>specific_lifetime:30:DAYS</refreshTokenPolicy>"
	granted     = "<permissionSetName>Users</permissionSetName>"
)

func start(t testing.TB, config simorg.Config, files fstest.MapFS) (*simorg.Server, *salesforce.Conn) {
	t.Helper()
	config.PermissionSets = append(config.PermissionSets, "Users")
	org := simorg.Start(config)
	t.Cleanup(org.Close)
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

// TestRules: each app breaks what its name says, and nothing else.
func TestRules(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"Sound.connectedApp-meta.xml":    connected("Sound one", sound, soundPolicy, granted),
		"Open.connectedApp-meta.xml":     connected("Open one", strings.Replace(sound, "true</isAdmin", "false</isAdmin", 1), soundPolicy, ""),
		"Locked.connectedApp-meta.xml":   connected("Locked", sound, soundPolicy, ""),
		"Full.connectedApp-meta.xml":     connected("Full", strings.Replace(sound, ">Api<", ">Full<", 1), soundPolicy, granted),
		"Forever.connectedApp-meta.xml":  connected("Forever", sound+"<scopes>RefreshToken</scopes>", "<ipRelaxation>BYPASS</ipRelaxation><refreshTokenPolicy>infinite</refreshTokenPolicy>", granted),
		"Long.connectedApp-meta.xml":     connected("Long", sound+"<scopes>RefreshToken</scopes>", "<refreshTokenPolicy>specific_inactivity:4:MONTHS</refreshTokenPolicy>", granted),
		"NoPkce.connectedApp-meta.xml":   connected("NoPkce", strings.Replace(sound, "true</isPkce", "false</isPkce", 1), soundPolicy, granted),
		"Http.connectedApp-meta.xml":     connected("Http", strings.Replace(sound, "https://a.example.com", "http://a.example.com\nhttp://localhost:1717/cb", 1), soundPolicy, granted),
		"Admin.connectedApp-meta.xml":    connected("Admin", sound+"<isClientCredentialEnabled>true</isClientCredentialEnabled><isConsumerSecretOptional>true</isConsumerSecretOptional><oauthClientCredentialUser>admin2@example.com</oauthClientCredentialUser><scopes>Web</scopes>", soundPolicy, granted),
		"Password.connectedApp-meta.xml": connected("Password", sound, soundPolicy, granted+"<mobileStartUrl>https://m</mobileStartUrl>"),
		"Cert.connectedApp-meta.xml":     connected("Cert", sound+"<certificate>"+certificate(t, 10)+"</certificate>", soundPolicy, granted),
		"Expired.connectedApp-meta.xml":  connected("Expired", sound+"<certificate>"+certificate(t, -10)+"</certificate>", soundPolicy, granted),
		"GoodCert.connectedApp-meta.xml": connected("GoodCert", sound+"<certificate>"+certificate(t, 100)+"</certificate>", soundPolicy, granted),
		"Vendor.connectedApp-meta.xml":   connected("Vendor", sound, soundPolicy, granted),
		"records.json": {Data: []byte(`{
			"ConnectedApplication": [{"Id": "0H4000000000777AAA", "Name": "Old one", "CreatedDate": "` + daysAgo(500) + `", "OptionsAllowAdminApprovedUsersOnly": true}],
			"SetupEntityAccess": [{"SetupEntityId": "0H4000000000777", "SetupEntityType": "ConnectedApplication", "ParentId": "0PS000000000999AAA", "Parent": {"Name": "X", "IsOwnedByProfile": true, "Profile": {"Name": "Sales"}}}],
			"OauthToken": [{"AppName": "Sound one", "UserId": "005000000000001AAA", "LastUsedDate": "` + daysAgo(1) + `", "AppMenuItemId": "0DS000000000001AAA", "DeleteToken": "topsecret"},
				{"AppName": "Stranger", "UserId": "005000000000001AAA", "LastUsedDate": "` + daysAgo(2) + `"}, {"AppName": "Stranger", "UserId": "005000000000002AAA", "LastUsedDate": "` + daysAgo(3) + `"}],
			"AppMenuItem": [{"Id": "0DS000000000001AAA", "ApplicationId": "0H4000000014AAA"}],
			"LoginHistory": [{"Application": "Password", "LoginSubType": "OauthUsernamePassword", "LoginTime": "` + daysAgo(5) + `"}, {"Application": "Browser", "LoginSubType": "", "LoginTime": "` + daysAgo(1) + `"},
				{"Application": "Unknown client", "LoginSubType": "OauthUsernamePassword", "LoginTime": "` + daysAgo(5) + `"}]}`)},
	}
	flow := "<clientCredentialsFlowUser>%s</clientCredentialsFlowUser><commaSeparatedPermissionSet>Users</commaSeparatedPermissionSet><ipRelaxationPolicyType>Enforce</ipRelaxationPolicyType><isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType><refreshTokenPolicyType>Zero</refreshTokenPolicyType>"
	global := "<callbackUrl>https://a.example.com</callbackUrl><isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>"
	external(files, "EcaSound", global, fmt.Sprintf(flow, "user@example.com"))
	external(files, "EcaAdmin", global, fmt.Sprintf(flow, "admin3@example.com"))
	external(files, "EcaOpen", "<callbackUrl>https://a.example.com</callbackUrl><isPkceRequired>false</isPkceRequired>", "<permittedUsersPolicyType>AllSelfAuthorized</permittedUsersPolicyType><refreshTokenPolicyType>Infinite</refreshTokenPolicyType>")
	external(files, "EcaLocked", "<callbackUrl>https://a.example.com</callbackUrl>", "<permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType><refreshTokenPolicyType>Zero</refreshTokenPolicyType>")
	config := simorg.Config{Kind: simorg.Production, ModifyAllData: []string{"Almighty"}, UnreadableApps: []string{"Vendor"},
		Users: []simorg.User{{Username: "user@example.com"}, {Username: "admin2@example.com", Profile: "System Administrator"}, {Username: "admin3@example.com", Profile: "Almighty"}}}
	org, conn := start(t, config, files)
	r, err := run(t.Context(), conn, audit.Options{Now: now.Add(time.Minute), Declared: []string{"ecasound", "EcaAdmin", "EcaLocked"}, Drift: map[string][]audit.Change{"EcaSound": {{Field: "isPkceRequired", What: "true, and the project says false"}}}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"Sound": {}, "Open": {"open-to-all"}, "Locked": {"locked-out"}, "Full": {"scope-full"}, "Forever": {"ip-relaxed", "refresh-token-lives-long"}, "Long": {"refresh-token-lives-long"},
		"NoPkce": {"pkce-off"}, "Http": {"insecure-callback", "insecure-callback"}, "Admin": {"run-as-admin", "scope-broad", "secret-optional"}, "Password": {"username-password-flow"},
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
	if s := r.Sentence(); s != "1 of 15 Connected Apps lets any user in" {
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
		if request.Writes() || strings.Contains(request.Path, "DeleteToken") || strings.Contains(strings.ToLower(request.Path), "secret") {
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
	files := fstest.MapFS{"App.connectedApp-meta.xml": connected("App", sound, soundPolicy, granted)}
	external(files, "Eca", "<callbackUrl>https://a.example.com</callbackUrl>", "<commaSeparatedPermissionSet>Users</commaSeparatedPermissionSet><permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType><refreshTokenPolicyType>Zero</refreshTokenPolicyType>")
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

// TestAcceptance: a finding that somebody accepted, and one whose day is over.
func TestAcceptance(t *testing.T) {
	t.Parallel()
	_, conn := start(t, simorg.Config{}, fstest.MapFS{"App.connectedApp-meta.xml": connected("App", strings.Replace(sound, "true</isAdmin", "false</isAdmin", 1), soundPolicy, "")})
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
	files := fstest.MapFS{"App.connectedApp-meta.xml": connected("App", sound, soundPolicy, ""), "records.json": {Data: []byte(`{"OauthToken": [{"AppName": "Stranger", "UserId": "005000000000001AAA"}, {"AppName": "Other", "AppMenuItemId": "0DS000000000001AAA", "UserId": "005000000000001AAA"}]}`)}}
	external(files, "Eca", "<callbackUrl>https://a.example.com</callbackUrl>", "<permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType><refreshTokenPolicyType>Zero</refreshTokenPolicyType>")
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
	if r, err := run(t.Context(), conn, audit.Options{}); err != nil || len(r.Unseen) != 4 || fmt.Sprint(r.Apps[1].Scopes) != "[Api]" || r.Apps[1].Access != audit.PreAuthorised || r.Apps[0].Access != audit.PreAuthorised {
		t.Errorf("an older org: %+v, %v, %v", r.Apps[1], r.Unseen, err)
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
	jwt := "<certificate>" + certificate(t, 100) + "</certificate>"
	files := fstest.MapFS{
		"Profile.connectedApp-meta.xml": connected("Profile", sound, soundPolicy, "<profileName>Admin</profileName>"),
		"Twin1.connectedApp-meta.xml":   connected("Twin", sound, soundPolicy, ""),
		"Twin2.connectedApp-meta.xml":   connected("Twin", sound, soundPolicy, ""),
		"Ci.connectedApp-meta.xml":      connected("Ci", strings.Replace(sound, "true</isPkce", "false</isPkce", 1)+"<scopes>RefreshToken</scopes>"+jwt, soundPolicy, granted),
		"Local.connectedApp-meta.xml":   connected("Local", strings.Replace(sound, "https://a.example.com", "https://LOCALHOST:1717/cb\nhttp://localhost.evil.example.com/cb", 1), soundPolicy, granted),
		"Ghost.connectedApp-meta.xml":   connected("Ghost", sound+"<isClientCredentialEnabled>true</isClientCredentialEnabled><oauthClientCredentialUser>ghost@example.com</oauthClientCredentialUser>", soundPolicy, granted),
		"Saml.connectedApp-meta.xml":    {Data: []byte("<ConnectedApp" + namespace + "><contactEmail>a@example.com</contactEmail><label>Saml</label><samlConfig><acsUrl>https://a</acsUrl><entityUrl>e</entityUrl></samlConfig></ConnectedApp>")},
		"Both.connectedApp-meta.xml":    connected("Both", sound, soundPolicy, granted),
		"records.json": {Data: []byte(`{
			"ExternalClientApplication": [{"Id": "0xI000000000700AAA", "DeveloperName": "Managed", "MasterLabel": "Managed one", "NamespacePrefix": "ns", "DistributionState": "Managed"}],
			"ExtlClntAppOauthPlcyCnfg": [{"ExternalClientApplicationId": "0xI000000000700", "PermittedUsersPolicyType": "AllSelfAuthorized"}],
			"AppMenuItem": [{"Id": "0DS000000000001AAA", "ApplicationId": "0xI000000000700AAA"}, {"Id": "0DS000000000002AAA", "ApplicationId": "0H4000000009999AAA"}],
			"OauthToken": [{"AppName": "Managed one", "AppMenuItemId": "0DS000000000001", "UserId": "005000000000001AAA"}, {"AppName": "Renamed", "AppMenuItemId": "0DS000000000002", "UserId": "005000000000001AAA"},
				{"AppName": "Both", "UserId": "005000000000001AAA"}],
			"LoginHistory": [{"Application": "Both", "LoginSubType": "OauthUsernamePassword", "LoginTime": "` + daysAgo(5) + `"}]}`)},
	}
	admitted := "<permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType><refreshTokenPolicyType>SpecificLifetime</refreshTokenPolicyType><refreshTokenValidityPeriod>365</refreshTokenValidityPeriod><refreshTokenValidityUnit>Days</refreshTokenValidityUnit>"
	external(files, "Both", "<callbackUrl>https://a.example.com</callbackUrl>", admitted)
	external(files, "Odd", "<callbackUrl>https://a.example.com</callbackUrl>", "<commaSeparatedPermissionSet>Users</commaSeparatedPermissionSet>"+admitted)
	files["Somehow.ecaOauthPlcy-meta.xml"] = files["Odd_oauthPlcy.ecaOauthPlcy-meta.xml"]
	delete(files, "Odd_oauthPlcy.ecaOauthPlcy-meta.xml")
	external(files, "Profiled", "<callbackUrl>https://a.example.com</callbackUrl>", admitted)
	org, conn := start(t, simorg.Config{Kind: simorg.Production}, files)
	apps, _, err := apps.Apps(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range apps {
		if a.Name == "Profiled" {
			records := fmt.Appendf(nil, `{"SetupEntityAccess": [{"SetupEntityId": %q, "SetupEntityType": "ExternalClientApplication", "ParentId": "0PS000000000009AAA", "Parent": {"Name": "X", "IsOwnedByProfile": true, "Profile": {"Name": "Sales"}}}]}`, a.ID)
			if err := org.Fill(fstest.MapFS{"access.json": {Data: records}}, "."); err != nil {
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
	if want := "map[Connected App:8 External Client App:4 not shown:1]"; fmt.Sprint(kinds) != want {
		t.Errorf("got %v, want %s", kinds, want)
	}
	var got []string
	for _, f := range r.Findings {
		got = append(got, fmt.Sprintf("%s %s %s %s", f.Kind, f.App, f.Rule, f.Level))
	}
	slices.Sort(got)
	want := []string{
		"Connected App Both username-password-flow error", "Connected App Ghost run-as-inactive error", "Connected App Local insecure-callback warning", "Connected App Local insecure-callback warning",
		"Connected App Saml open-to-all warning", "External Client App Both locked-out error", "External Client App Profiled locked-out warning", "External Client App ns__Managed open-to-all warning",
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
		files[name+".connectedApp-meta.xml"] = connected(name, sound, soundPolicy, granted)
		if i%8 == 0 {
			unreadable = append(unreadable, name)
		}
	}
	for i := range 260 {
		access = append(access, fmt.Sprintf(`{"SetupEntityId": "0H4000000000001", "SetupEntityType": "ConnectedApplication", "ParentId": "0PS%012dAAA"}`, i+100))
	}
	files["records.json"] = &fstest.MapFile{Data: []byte(`{"SetupEntityAccess": [` + strings.Join(access, ",") + `]}`)}
	org, conn := start(t, simorg.Config{Latency: 150 * time.Millisecond, UnreadableApps: unreadable}, files)
	org.ForgetRequests()
	r, err := run(t.Context(), conn, audit.Options{})
	if n := simorg.Sequential(org.Requests()); err != nil || n > 4 || len(r.Unseen) != len(unreadable) {
		t.Errorf("it took %d rounds; %v, %v", n, r.Unseen, err)
	}
}

// TestConnectionsFail: what is no refusal of the org ends the audit.
func TestConnectionsFail(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"OauthToken", "LoginHistory", "ConnectedApplication", "SetupEntityAccess", "/Soap/"} {
		org, conn := start(t, simorg.Config{}, fstest.MapFS{"App.connectedApp-meta.xml": connected("App", sound, soundPolicy, "")})
		org.Inject(simorg.Fault{Fits: func(r simorg.Request) bool { return strings.Contains(r.Path, path) }, Status: http.StatusBadGateway, Body: "<html>"})
		if r, err := run(t.Context(), conn, audit.Options{}); err == nil {
			t.Errorf("%s: %+v", path, r)
		}
	}
	org, conn := start(t, simorg.Config{}, fstest.MapFS{})
	org.ExpireSessions()
	if _, err := run(t.Context(), conn, audit.Options{}); !salesforce.IsSessionExpired(err) {
		t.Errorf("an expired session: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := run(ctx, conn, audit.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted audit: %v", err)
	}
}

// many is an org with 500 apps and 2,500 tokens.
func many() fstest.MapFS {
	files := make(fstest.MapFS)
	var tokens []string
	for i := range 250 {
		label := fmt.Sprintf("Connected %03d", i)
		files[fmt.Sprintf("C%03d.connectedApp-meta.xml", i)] = connected(label, sound, soundPolicy, granted)
		external(files, fmt.Sprintf("E%03d", i), "<callbackUrl>https://a.example.com</callbackUrl>", "<permittedUsersPolicyType>AllSelfAuthorized</permittedUsersPolicyType><refreshTokenPolicyType>Zero</refreshTokenPolicyType>")
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
	org, conn := start(t, simorg.Config{Latency: 150 * time.Millisecond}, many())
	org.ForgetRequests()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := run(t.Context(), conn, audit.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if len(r.Apps) != 500 || r.Apps[3].Tokens != 10 || r.Apps[3].Users != 10 {
		t.Errorf("%d apps, the fourth %+v", len(r.Apps), r.Apps[3])
	}
	requests := org.Requests()
	if n := simorg.Sequential(requests); n > 4 {
		t.Errorf("it took %d rounds of %d requests", n, len(requests))
	}
	t.Logf("%d requests in %d rounds, %d MB allocated", len(requests), simorg.Sequential(requests), (after.TotalAlloc-before.TotalAlloc)>>20)
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
	if err := org.Fill(fstest.MapFS{"Loader.connectedApp-meta.xml": connected("Loader", "<isAdminApproved>false</isAdminApproved><isPkceRequired>true</isPkceRequired><scopes>Full</scopes>", soundPolicy, "")}, "."); err != nil {
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
		fmt.Println(f.Level, f.App, f.Rule)
	}
	// Output:
	// 1 of 1 Connected App lets any user in
	// error Loader scope-full
	// warning Loader open-to-all
	// warning Loader has-to-move
}
