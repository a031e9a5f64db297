package bootstrap_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/platform"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/respond"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// people is an org with users, permission sets and profiles.
var people = simorg.Config{
	Users:          []simorg.User{{Username: "run@example.com"}, {Username: "gone@example.com", Inactive: true}},
	PermissionSets: []string{"Erp_Integration", "Erp_Admin"}, Profiles: []string{"Integration User"},
}

func runAs(user string) string {
	return strings.ReplaceAll(clientCredentials, "admin@example.com", user)
}

// TestFindings has one fault in the policies at a time. What is certain to be
// refused must be refused by the org in the words that the finding foretells; a
// warning must not keep the deployment from succeeding.
func TestFindings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		fields  string
		config  simorg.Config
		certain bool
		check   string // "" for no finding
		field   string
		words   []string
	}{
		{"sound", runAs("run@example.com") + "<commaSeparatedPermissionSet>Erp_Admin, Erp_Integration</commaSeparatedPermissionSet><commaSeparatedProfile>Integration User</commaSeparatedProfile>", people, false, "", "", nil},
		{"other case", runAs("RUN@example.com"), people, false, "", "", nil},
		{"record under another name", "", simorg.Config{Facts: facts(true, false)}, true, "record-name", "", []string{"under the name MyApp_defaultPolicy", "rename the file to MyApp_defaultPolicy.ecaOauthPlcy-meta.xml", `"applyPolicies": true`}},
		{"no run-as user", "<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>", people, true, "run-as-user", "clientCredentialsFlowUser", []string{"no user is named"}},
		{"unknown run-as user", runAs("nobody@example.com"), people, true, "run-as-user", "clientCredentialsFlowUser", []string{"there is no user nobody@example.com"}},
		{"inactive run-as user", runAs("gone@example.com"), people, true, "run-as-user", "clientCredentialsFlowUser", []string{"gone@example.com is inactive", "activate it"}},
		{"unfilled run-as user", runAs("{username}"), people, true, "run-as-user", "clientCredentialsFlowUser", []string{"{username} is not replaced", "applyPolicies"}},
		{"unknown permission set", "<commaSeparatedPermissionSet>Erp_Admin,Erp_Typo</commaSeparatedPermissionSet>", people, true, "permission-set", "commaSeparatedPermissionSet", []string{"called Erp_Typo"}},
		{"permission set by ID", "<commaSeparatedPermissionSet>0PS000000000001AAA</commaSeparatedPermissionSet>", people, true, "permission-set", "commaSeparatedPermissionSet", []string{"is an ID", "write the API name"}},
		{"unknown profile", "<commaSeparatedProfile>Nobody</commaSeparatedProfile>", people, true, "profile", "commaSeparatedProfile", []string{"no profiles called Nobody"}},
		{"profile by ID", "<commaSeparatedProfile>00e000000000001AAA</commaSeparatedProfile>", people, false, "profile", "commaSeparatedProfile", []string{"is an ID"}},
		{"unknown enum value", "<permittedUsersPolicyType>AdminApproved</permittedUsersPolicyType>", people, false, "unknown-value", "permittedUsersPolicyType", []string{"'AdminApproved' is not a valid value for the enum 'PermittedUsersPolicyType'", "did you mean AdminApprovedPreAuthorized?"}},
		{"unknown element", "<ipRelaxation>Enforce</ipRelaxation>", people, false, "unknown-element", "ipRelaxation", []string{"has no such element", "did you mean ipRelaxationPolicyType?"}},
		{"not a number", "<sessionTimeoutInMinutes>soon</sessionTimeoutInMinutes>", people, true, "wrong-value", "sessionTimeoutInMinutes", []string{`"soon" is not a whole number`}},
		{"JWT sessions, for which the run switches JWTs on", "<namedUserJwtSessionTimeoutType>UserSession</namedUserJwtSessionTimeoutType>", people, false, "", "", nil},
		{"nobody granted", "<permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType>", people, false, "locked-out", "permittedUsersPolicyType", []string{"nobody is"}},
		{"somebody granted", "<permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType><commaSeparatedPermissionSet>Erp_Admin</commaSeparatedPermissionSet>", people, false, "", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := startOrg(t, test.config)
			p := simple().with(policies("uat", "MyApp", test.fields))
			report, err := o.run(p)
			var refused *bootstrap.PreflightError
			if errors.As(err, &refused) != test.certain || !test.certain && err != nil {
				t.Fatalf("the run ends with %v", err)
			}
			if test.check == "" {
				if len(report.Findings) > 0 {
					t.Errorf("found %v", report.Findings)
				}
			} else if len(report.Findings) != 1 {
				t.Fatalf("found %v", report.Findings)
			} else {
				f := report.Findings[0]
				const file = "src/pol/uat/extlClntAppOauthPolicies/MyApp_oauthPlcy.ecaOauthPlcy-meta.xml"
				if f.Rule != test.check || f.Field != test.field || (f.Level == finding.Error) != test.certain || f.File != file || f.App != "MyApp" || f.Fix == "" {
					t.Errorf("found %+v", f)
				}
				for _, word := range append(test.words, file) {
					if !strings.Contains(f.String(), word) {
						t.Errorf("%q does not say %q", f, word)
					}
				}
			}

			// What the org says now, with the policies of the folder.
			if warned := o.mustRun(p.set(`"preflight": "warn"`)); len(warned.Findings) != len(report.Findings) {
				t.Errorf("with warn, found %v", warned.Findings)
			}
			if off := o.mustRun(p.set(`"preflight": "off"`)); len(off.Findings) > 0 {
				t.Errorf("with off, found %v", off.Findings)
			}
			err = o.Deploy(p.fs(), "src/pol/uat")
			// This org refuses what the tables lack, and treats profiles like permission sets.
			doubtful := slices.Contains([]string{"profile", "unknown-element", "unknown-value"}, test.check)
			if (err != nil) != test.certain && !doubtful {
				t.Errorf("the deployment ends with %v", err)
			}
			if err != nil && len(report.Findings) == 1 && report.Findings[0].Says != "" {
				if says := strings.TrimPrefix(report.Findings[0].Says, "DUPLICATE_VALUE: "); !strings.Contains(err.Error(), says) {
					t.Errorf("the deployment ends with %v, foretold was %q", err, says)
				}
			}
		})
	}
}

// TestFindingsOfVersions has a field that the API version is too old for. That of the run counts.
func TestFindingsOfVersions(t *testing.T) {
	t.Parallel()
	p := settings(`"MyApp": {"globalOauthSettings": {"isNamedUserJwtEnabled": true}}`).with(header("MyApp")).with(policies("uat", "MyApp", "<namedUserJwtSessionTimeoutType>Custom</namedUserJwtSessionTimeoutType>")) // from 65.0
	for _, test := range []struct {
		project, run apiversion.Version
		findings     int
		certain      bool
	}{{67, 65, 0, false}, {64, 64, 1, true}, {64, 66, 0, false}, {66, 64, 1, false}} {
		o := startOrg(t, simorg.Config{})
		q := p.with(project{"sfdx-project.json": strings.Replace(p["sfdx-project.json"], "67.0", test.project.String(), 1)})
		options, err := o.options(q, "def")
		if err != nil {
			t.Fatal(err)
		}
		options.Conn.Version = test.run
		if err := o.Deploy(q.fs(), "src/def"); err != nil {
			t.Fatal(err)
		}
		report, err := options.run(t.Context())
		if len(report.Findings) != test.findings || (err != nil) != test.certain {
			t.Errorf("project %s, run %s: found %v and ended with %v", test.project, test.run, report.Findings, err)
		}
	}
}

// TestSourceFindingsSendNothing has policies that no org accepts.
func TestSourceFindingsSendNothing(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	_, err := o.run(simple().with(policies("uat", "MyApp", "<isClientCredentialsFlowEnabled>ja</isClientCredentialsFlowEnabled>")))
	if err == nil || len(o.Requests()) > 0 {
		t.Errorf("ended with %v after %d requests", err, len(o.Requests()))
	}
}

// TestOrgFindingsComeAfterTheBootstrap: what the org finds wrong with the policies
// does not keep the app from getting its consumer.
func TestOrgFindingsComeAfterTheBootstrap(t *testing.T) {
	t.Parallel()
	o := startOrg(t, people)
	_, err := o.run(simple().with(policies("uat", "MyApp", runAs("nobody@example.com"))))
	if err == nil {
		t.Fatal("no error")
	}
	o.one(eca.PluginPolicies)
}

// TestPluginOff has an app that somebody switched off.
func TestPluginOff(t *testing.T) {
	t.Parallel()
	o := startOrg(t, people)
	p := simple().with(policies("uat", "MyApp", ""))
	o.mustRun(p)
	o.upsert(satellite(eca.PluginPolicies, "MyApp_plcy", "MyApp", metadata.Field{Name: "isEnabled", Text: "true"}, metadata.Field{Name: "isOauthPluginEnabled", Text: "false"}))
	_, err := o.run(p)
	var refused *bootstrap.PreflightError
	if !errors.As(err, &refused) || refused.Findings[0].Rule != "oauth-off" {
		t.Fatalf("ended with %v", err)
	}
	if err := o.Deploy(p.fs(), "src/pol/uat"); err == nil || !strings.Contains(err.Error(), refused.Findings[0].Says) {
		t.Errorf("the deployment ends with %v", err)
	}
	o.mustRun(settings(`"MyApp": {"policies": {"isOauthPluginEnabled": true}}`).with(p).with(settings(`"MyApp": {"policies": {"isOauthPluginEnabled": true}}`)))
}

// TestDisabledStaysOff has an app that somebody switched off in an incident: no setting switches it on,
// and the run succeeds, also where policies are to be written, which the platform would refuse.
func TestDisabledStaysOff(t *testing.T) {
	t.Parallel()
	o := startOrg(t, people)
	p := applied(settings(`"MyApp": {"pluginPolicies": {"isEnabled": true, "isOauthPluginEnabled": true}}`).with(header("MyApp")).with(policies("uat", "MyApp", "")))
	o.mustRun(p)
	conn := connection(o.Server)
	if _, err := respond.Switch(t.Context(), conn, "MyApp", false, false); err != nil {
		t.Fatal(err)
	}
	changed := p.with(policies("uat", "MyApp", "<refreshTokenPolicyType>Zero</refreshTokenPolicyType>"))
	report := o.mustRun(changed)
	plugins := o.one(eca.PluginPolicies)
	if plugins.Fields["isEnabled"] != "false" || plugins.Fields["isOauthPluginEnabled"] != "false" {
		t.Errorf("the app is on: %v", plugins)
	}
	if got := report.Apps[0]; !got.Off || touched(report) > 0 || !strings.Contains(strings.Join(got.Warnings, "\n"), "stays off") || len(got.Warnings) != 2 {
		t.Errorf("the report is %+v", got)
	}
	if _, err := respond.Switch(t.Context(), conn, "MyApp", true, false); err != nil {
		t.Fatal(err)
	}
	report = o.mustRun(changed)
	if report.Apps[0].Off || o.one(eca.OAuthPolicies).Fields["refreshTokenPolicyType"] != "Zero" {
		t.Errorf("after switching it on, the report is %+v", report.Apps[0])
	}
}

// TestStatedDisabled has settings that state that an app is off.
func TestStatedDisabled(t *testing.T) {
	t.Parallel()
	o := startOrg(t, people)
	stated := func(disabled string) project {
		return applied(settings(`"MyApp": {"environments": {"uat": {"disabled": ` + disabled + `}}}`).with(header("MyApp")).with(policies("uat", "MyApp", "")))
	}
	for range 2 {
		report := o.mustRun(stated("true"))
		if plugins := o.one(eca.PluginPolicies); plugins.Fields["isEnabled"] != "false" || plugins.Fields["isOauthPluginEnabled"] != "false" {
			t.Errorf("the app is on: %v", plugins)
		}
		if len(report.Apps[0].Warnings) > 0 {
			t.Errorf("warns %v", report.Apps[0].Warnings)
		}
	}
	if report := o.mustRun(stated("false")); !report.Apps[0].Off {
		t.Errorf("a setting switched the app on: %+v", report.Apps[0])
	}
}

// TestUncheckable has an org that does not let itself be asked about users.
func TestUncheckable(t *testing.T) {
	t.Parallel()
	o := startOrg(t, people)
	p := simple().with(policies("uat", "MyApp", runAs("run@example.com")))
	o.Inject(simorg.Fault{Status: http.StatusForbidden, Body: `[{"errorCode":"INSUFFICIENT_ACCESS","message":"no"}]`, Fits: func(r simorg.Request) bool { return strings.Contains(r.Path, "FROM+User") }})
	report := o.mustRun(p)
	if len(report.Findings) != 1 || report.Findings[0].Level == finding.Error || !strings.Contains(report.Findings[0].Problem, "was not checked") {
		t.Errorf("found %v", report.Findings)
	}
}

func applied(p project) project { return p.set(`"applyPolicies": true`) }

// TestApplyPolicies brings the policies to an org under the name that it has them.
func TestApplyPolicies(t *testing.T) {
	t.Parallel()
	for _, auto := range []bool{false, true} {
		for _, listNothing := range []bool{false, true} {
			t.Run(fmt.Sprintf("auto %v, list nothing %v", auto, listNothing), func(t *testing.T) {
				config := people
				config.Facts = facts(auto, listNothing)
				o := startOrg(t, config)
				p := applied(simple().with(policies("uat", "MyApp", runAs("run@example.com")+"<refreshTokenPolicyType>Zero</refreshTokenPolicyType>")))
				report := o.mustRun(p)
				record := o.one(eca.OAuthPolicies)
				name := "MyApp_oauthPlcy"
				if auto {
					name = "MyApp_defaultPolicy"
				}
				if record.FullName != name || record.Fields["clientCredentialsFlowUser"] != "run@example.com" || record.Fields["refreshTokenPolicyType"] != "Zero" {
					t.Errorf("the policies are %v", record)
				}
				// What the file does not state stays as the org made it.
				if auto && (record.Fields["refreshTokenValidityUnit"] != "Days" || record.Fields["ipRelaxationPolicyType"] != "Enforce") {
					t.Errorf("the policies are %v", record)
				}
				if auto != (len(report.Findings) == 1) {
					t.Errorf("found %v", report.Findings)
				}
				if report = o.mustRun(p); touched(report) > 0 || len(o.writes()) > 0 {
					t.Errorf("the second run did %s", actions(report))
				}
				if o.one(eca.GlobalOAuthSettings).Fields["isClientCredentialsFlowEnabled"] != "true" {
					t.Error("the flow is off in the global settings")
				}
			})
		}
	}
}

// TestApplyPoliciesWhere has the setting in all of its places.
func TestApplyPoliciesWhere(t *testing.T) {
	t.Parallel()
	p := simple().with(policies("uat", "MyApp", ""))
	app := func(entry string) project {
		return settings(`"MyApp": ` + entry).with(header("MyApp")).with(policies("uat", "MyApp", ""))
	}
	for _, test := range []struct {
		name  string
		p     project
		flag  bool
		apply bool
	}{
		{"nowhere", p, false, false},
		{"flag", p, true, true},
		{"project", applied(p), false, true},
		{"app", app(`{"applyPolicies": true}`), false, true},
		{"app says no", applied(app(`{"applyPolicies": false}`)), false, false},
		{"app says no, and the flag yes", app(`{"applyPolicies": false}`), true, true},
		{"environment", app(`{"environments": {"uat": {"applyPolicies": true}}}`), false, true},
		{"environment says no", app(`{"applyPolicies": true, "environments": {"uat": {"applyPolicies": false}}}`), false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := startOrg(t, simorg.Config{})
			options, err := o.options(test.p, "def")
			if err != nil {
				t.Fatal(err)
			}
			options.ApplyPolicies = test.flag
			if err := o.Deploy(test.p.fs(), "src/def"); err != nil {
				t.Fatal(err)
			}
			if _, err := options.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := len(o.Components(eca.OAuthPolicies)) == 1; got != test.apply {
				t.Errorf("the policies are there: %v", got)
			}
		})
	}
}

// TestApplyPoliciesOddName has policies under a name that only the list, or the
// org's refusal, tells.
func TestApplyPoliciesOddName(t *testing.T) {
	t.Parallel()
	for _, listNothing := range []bool{false, true} {
		o := startOrg(t, simorg.Config{Facts: facts(false, listNothing)})
		o.mustRun(simple())
		o.upsert(satellite(eca.OAuthPolicies, "Odd", "MyApp", metadata.Field{Name: "startUrl", Text: "https://kept"}))
		o.mustRun(applied(simple().with(policies("uat", "MyApp", "<singleLogoutUrl>https://new</singleLogoutUrl>"))))
		if record := o.one(eca.OAuthPolicies); record.FullName != "Odd" || record.Fields["startUrl"] != "https://kept" || record.Fields["singleLogoutUrl"] != "https://new" {
			t.Errorf("the policies are %v", record)
		}
	}
}

// TestApplyPoliciesHeld: policies that are certain to be refused are not sent.
func TestApplyPoliciesHeld(t *testing.T) {
	t.Parallel()
	o := startOrg(t, people)
	p := applied(simple().with(policies("uat", "MyApp", runAs("gone@example.com"))))
	_, err := o.run(p)
	var refused *bootstrap.PreflightError
	if !errors.As(err, &refused) || len(o.Components(eca.OAuthPolicies)) > 0 {
		t.Errorf("ended with %v", err)
	}
	if slices.ContainsFunc(o.writes(), func(r simorg.Request) bool { return r.Type == eca.OAuthPolicies }) {
		t.Error("they were sent")
	}
	// With "warn" the org says it itself.
	_, err = o.run(p.set(`"preflight": "warn"`))
	var failure *bootstrap.ComponentFailure
	var component *mdapi.ComponentError
	if !errors.As(err, &failure) || !errors.As(err, &component) || failure.Type != eca.OAuthPolicies {
		t.Errorf("with warn, ended with %v", err)
	}
}

// TestScratchUser fills the scratch org's own user in.
func TestScratchUser(t *testing.T) {
	t.Parallel()
	p := applied(simple().with(policies("default", "MyApp", runAs("{username}"))))
	for _, kind := range []platform.Kind{platform.Scratch, platform.Unknown} {
		o := startOrg(t, simorg.Config{Kind: simorg.Scratch})
		o.alias, o.kind = "pool7", kind
		options, err := o.options(p, "def")
		if err != nil {
			t.Fatal(err)
		}
		options.Username = o.Username()
		if err := o.Deploy(p.fs(), "src/def"); err != nil {
			t.Fatal(err)
		}
		if _, err := options.run(t.Context()); err != nil {
			t.Fatalf("%q: %v", kind, err)
		}
		if record := o.one(eca.OAuthPolicies); record.Fields["clientCredentialsFlowUser"] != o.Username() {
			t.Errorf("the policies are %v", record)
		}
		options.Username = ""
		if _, err := options.run(t.Context()); err == nil || !strings.Contains(err.Error(), "the session's user is unknown") {
			t.Errorf("without a username: %v", err)
		}
	}
	o := startOrg(t, simorg.Config{})
	options, err := o.options(p, "def")
	if err != nil {
		t.Fatal(err)
	}
	options.Username = o.Username()
	if _, err := options.run(t.Context()); err == nil || !strings.Contains(err.Error(), "{username} is replaced on scratch orgs only") {
		t.Errorf("on a sandbox: %v", err)
	}
}

// TestJWTSession: a session with a JWT-based access token serves from API version 68.0 on.
func TestJWTSession(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	jwt := settings(`"MyApp": {"globalOauthSettings": {"isNamedUserJwtEnabled": true}}`).with(header("MyApp"))
	p := applied(jwt.with(policies("uat", "MyApp", clientCredentials)))
	o.mustRun(p)
	main := o.Pairs("MyApp")[0]
	client := clientcredentials.Config{ClientID: main.Key, ClientSecret: main.Secret, TokenURL: o.URL + "/services/oauth2/token", AuthStyle: oauth2.AuthStyleInParams}
	for version, works := range map[apiversion.Version]bool{67: false, 68: true} {
		attempt, err := o.options(p, "def")
		if err != nil {
			t.Fatal(err)
		}
		attempt.Conn.Version = version
		attempt.Conn.Tokens = client.TokenSource(t.Context())
		_, err = attempt.run(t.Context())
		if (err == nil) != works || err != nil && (salesforce.IsSessionExpired(err) || !strings.Contains(err.Error(), "not valid for use with the API")) {
			t.Errorf("API version %s: %v", version, err)
		}
	}
}

// TestPermissionSets grants the app and assigns the permission set, before the policies could
// lock anybody out.
func TestPermissionSets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, permissionSets)
}

func permissionSets(t *testing.T) {
	o := clockedOrg(t, people)
	const locked = "<permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType>"
	p := applied(settings(`"MyApp": {"permissionSets": ["Erp_Integration", "erp_admin"], "assignToRunAsUser": true}`).
		with(header("MyApp")).with(policies("uat", "MyApp", runAs("run@example.com")+locked)))
	report := o.mustRun(p)
	if got := fmt.Sprint(o.Granted("MyApp"), o.Assigned("run@example.com")); got != "[Erp_Integration Erp_Admin] [Erp_Integration Erp_Admin]" {
		t.Errorf("granted and assigned are %s", got)
	}
	if touched(report) != 8 || len(report.Findings) > 0 {
		t.Errorf("%d changes, found %v", touched(report), report.Findings)
	}
	// Nobody was locked out on the way: the grants came before the policies.
	last := 0
	for i, r := range o.writes() {
		if strings.Contains(r.Path, "SetupEntityAccess") {
			last = i
		}
		if r.Type == eca.OAuthPolicies && i < last {
			t.Error("the policies came before a grant")
		}
	}
	if report = o.mustRun(p); touched(report) > 0 || len(o.writes()) > 0 || simorg.Sequential(o.Requests()) > 2 {
		t.Errorf("the second run has %d writes in %d rounds, want none in 2 at most", len(o.writes()), simorg.Sequential(o.Requests()))
	}
}

// TestPermissionSetsOfOneEnvironment: only the environment has them, and nothing is assigned
// where it is not asked for.
func TestPermissionSetsOfOneEnvironment(t *testing.T) {
	t.Parallel()
	o := startOrg(t, people)
	o.mustRun(settings(`"MyApp": {"environments": {"uat": {"permissionSets": ["Erp_Admin"]}}}`).with(header("MyApp")).with(policies("uat", "MyApp", runAs("run@example.com"))))
	if got := fmt.Sprint(o.Granted("MyApp"), o.Assigned("run@example.com")); got != "[Erp_Admin] []" {
		t.Errorf("granted and assigned are %s", got)
	}
}

// TestPermissionSetsWrong has permission sets that cannot be granted: the rest is
// done, the policies are held back.
func TestPermissionSetsWrong(t *testing.T) {
	t.Parallel()
	o := startOrg(t, people)
	p := applied(settings(`"MyApp": {"permissionSets": ["Erp_Typo"]}`).with(header("MyApp")).with(policies("uat", "MyApp", "<permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType>")))
	_, err := o.run(p)
	if err == nil || !strings.Contains(err.Error(), "there is no permission set Erp_Typo on this org") {
		t.Errorf("ended with %v", err)
	}
	o.one(eca.PluginPolicies)
	if len(o.Components(eca.OAuthPolicies)) > 0 {
		t.Error("the policies were not held back")
	}

	// Somebody else grants it at the same moment.
	o = startOrg(t, people)
	p = settings(`"MyApp": {"permissionSets": ["Erp_Admin"]}`).with(header("MyApp"))
	o.Inject(simorg.Fault{Status: http.StatusBadRequest, Body: `[{"errorCode":"DUPLICATE_VALUE","message":"duplicate value found"}]`, Fits: func(r simorg.Request) bool { return strings.Contains(r.Path, "SetupEntityAccess") && r.Writes() }})
	o.mustRun(p)
}

// TestPool is the form of sfp prepare: nobody deploys policies afterwards, and not
// every package need be there.
func TestPool(t *testing.T) {
	t.Parallel()
	p := simple().with(header("Other")).with(policies("default", "MyApp", runAs("nobody@example.com")))
	var wg sync.WaitGroup
	for i := range 4 { // several orgs at once
		wg.Go(func() {
			o := startOrg(t, simorg.Config{Kind: simorg.Scratch})
			o.alias, o.kind = fmt.Sprint("pool", i), platform.Scratch
			options, err := o.options(p, "")
			if err != nil {
				t.Error(err)
				return
			}
			options.Pool = true
			if err := o.Deploy(header("MyApp").fs(), "src/def"); err != nil {
				t.Error(err)
				return
			}
			report, err := options.run(t.Context())
			if err != nil || len(report.Findings) > 0 {
				t.Errorf("ended with %v, found %v", err, report.Findings)
				return
			}
			for _, app := range report.Apps {
				if app.Absent != (app.Name == "Other") || len(app.Components) == 3 != (app.Name == "MyApp") {
					t.Errorf("%+v", app)
				}
			}
		})
	}
	wg.Wait()
}

// secret is a private key as far as anybody can tell.
const secret = "-----BEGIN " + "PRIVATE KEY-----MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYw"

// run is one run with policies in the folder uat, and how it ends.
type run struct {
	name     string
	p        project
	before   func(o *org) // after a first run without policies
	err      string       // "" for none
	findings int
	silent   bool // nothing is sent
	deploys  bool // the org takes the folder after the run
}

// check runs it, and again where it succeeds: then nothing is left to do.
func (r run) check(t *testing.T) {
	o := startOrg(t, people)
	if r.before != nil {
		o.mustRun(simple())
		r.before(o)
	}
	report, err := o.run(r.p)
	switch {
	case r.err == "" && err != nil:
		t.Fatalf("ended with %v, want success", err)
	case r.err != "" && (err == nil || !strings.Contains(err.Error(), r.err)):
		t.Errorf("ended with %v, want %q", err, r.err)
	}
	if n := len(o.Requests()); r.silent != (n == 0) {
		t.Errorf("%d requests were sent, want none: %t", n, r.silent)
	}
	if report != nil && len(report.Findings) != r.findings {
		t.Errorf("found %v, want %d findings", report.Findings, r.findings)
	}
	if err != nil && strings.Contains(err.Error(), secret) || strings.Contains(fmt.Sprint(report), secret) {
		t.Error("the key is shown")
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			if strings.Contains(one.Error(), "\n") {
				t.Errorf("got several failures in one, %q, want each alone", one)
			}
		}
	}
	if r.deploys {
		if err := o.Deploy(r.p.fs(), "src/pol/uat"); err != nil {
			t.Errorf("the deployment ends with %v, want success", err)
		}
	}
	if r.err == "" {
		if again := o.mustRun(r.p); touched(again) > 0 {
			t.Errorf("the second run did %s, want nothing", actions(again))
		}
	}
}

// myPolicies is the file that policies("uat", "MyApp", …) has.
const myPolicies = "src/pol/uat/extlClntAppOauthPolicies/MyApp_oauthPlcy.ecaOauthPlcy-meta.xml"

// uat returns a simple project with policies of MyApp for uat.
func uat(fields string) project { return simple().with(policies("uat", "MyApp", fields)) }

// replaced returns the project with another text in its project file.
func (p project) replaced(old, new string) project {
	return p.with(project{"sfdx-project.json": strings.Replace(p["sfdx-project.json"], old, new, 1)})
}

// TestPoliciesThatCannotBeRight: the project alone tells, and what is certain ends the run
// before anything is sent.
func TestPoliciesThatCannotBeRight(t *testing.T) {
	t.Parallel()
	twice := uat("")[myPolicies]
	for _, r := range []run{
		{name: "a private key", p: uat("<startUrl>" + secret + "</startUrl>").set(`"preflight": "off", "applyPolicies": true`), err: "holds a private key", silent: true},
		{name: "an element twice", p: uat("<startUrl>a</startUrl><startUrl>b</startUrl>"), err: "occurs more than once", findings: 1, silent: true},
		{name: "a wrong value to be applied", p: applied(uat("<sessionTimeoutInMinutes>soon</sessionTimeoutInMinutes>")).set(`"preflight": "warn"`),
			err: "so the policies cannot be applied; write a whole number", findings: 1, silent: true},
		{name: "policies in two packages", p: uat("").with(project{"src/more/uat/Q.ecaOauthPlcy-meta.xml": twice}).
			replaced(`"aliasfy": true}`, `"aliasfy": true}, {"path": "src/more", "package": "more", "aliasfy": true}`),
			err: "has policies in src/pol/uat/", findings: 1, silent: true},
		{name: "two files of another package's app", p: uat("").with(policies("uat", "Foreign", "")).
			with(project{"src/pol/uat/F2.ecaOauthPlcy-meta.xml": policies("uat", "Foreign", "")["src/pol/uat/extlClntAppOauthPolicies/Foreign_oauthPlcy.ecaOauthPlcy-meta.xml"]})},
	} {
		t.Run(r.name, r.check)
	}
}

// TestPoliciesAndWhatTheOrgHas: what the policies need is looked for in the folder and on the
// org.
func TestPoliciesAndWhatTheOrgHas(t *testing.T) {
	t.Parallel()
	const flowOn = "<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>"
	on := metadata.Field{Name: "isClientCredentialsFlowEnabled", Text: "true"}
	plugins := func(on string) project {
		return project{"src/pol/uat/extlClntAppPolicies/MyApp_plcy.ecaPlcy-meta.xml": `<ExtlClntAppConfigurablePolicies ` + ns + `><externalClientApplication>MyApp</externalClientApplication>` +
			`<isEnabled>true</isEnabled><isOauthPluginEnabled>` + on + `</isOauthPluginEnabled></ExtlClntAppConfigurablePolicies>`}
	}
	pluginOff := func(o *org) {
		o.upsert(satellite(eca.PluginPolicies, "MyApp_plcy", "MyApp", metadata.Field{Name: "isEnabled", Text: "true"}, metadata.Field{Name: "isOauthPluginEnabled", Text: "false"}))
	}
	runsAs := func(o *org) {
		o.upsert(satellite(eca.GlobalOAuthSettings, "MyApp_glbloauth", "MyApp", on),
			satellite(eca.OAuthPolicies, "MyApp_oauthPlcy", "MyApp", on, metadata.Field{Name: "clientCredentialsFlowUser", Text: "run@example.com"}))
	}
	spaced := strings.NewReplacer(">admin", ">\n Run", ".com<", ".COM\n<").Replace(clientCredentials) +
		"<permittedUsersPolicyType> AdminApprovedPreAuthorized</permittedUsersPolicyType>"
	for _, r := range []run{
		{name: "a permission set that the folder brings", p: uat("<commaSeparatedPermissionSet>New</commaSeparatedPermissionSet>").with(project{"src/pol/uat/permissionsets/New.permissionset-meta.xml": "x"}), findings: 1},
		{name: "a plugin that the folder switches on", p: uat("").with(plugins("true")), before: pluginOff, deploys: true},
		{name: "a plugin that the folder leaves off", p: uat("").with(plugins("false")), before: pluginOff, err: "isOauthPluginEnabled is false", findings: 1},
		{name: "a user that only the org has", p: applied(uat(flowOn)), before: runsAs},
		{name: "a user that nobody has", p: applied(uat(flowOn)), err: "no user is named", findings: 1},
		{name: "white space", p: applied(uat(spaced)), findings: 1},
		{name: "texts that sfp does not replace", p: uat(runAs("RUNAS")).replaced(`"plugins"`, `"replacements": [{"glob": "src/**"}], "plugins"`), err: "no user RUNAS", findings: 1},
		{name: "texts that sf replaces", p: uat(runAs("RUNAS")).replaced(`"plugins"`, `"replacements": [{"glob": "src/**"}], "plugins"`).replaced(`"package": "pol", `, ""), findings: 1},
		{name: "several failures at once", p: settings(`"MyApp": {"permissionSets": ["NoA", "NoB"]}`).with(header("MyApp")).with(policies("uat", "MyApp", runAs("nobody@example.com"))),
			err: "no permission set NoA", findings: 1},
	} {
		t.Run(r.name, r.check)
	}
}

// TestPoliciesThatForceignoreLeavesOut: what sf does not deploy is not held against the
// project, unless eca is to apply it.
func TestPoliciesThatForceignoreLeavesOut(t *testing.T) {
	t.Parallel()
	ignoring := func(pattern string) project { return project{".forceignore": pattern} }
	policy := uat("")[myPolicies]
	for _, r := range []run{
		{name: "with an unknown user", p: uat(runAs("nobody@example.com")).with(ignoring("**/uat/"))},
		{name: "twice and broken", p: uat("").with(ignoring("**/uat/")).with(project{"src/pol/uat/Q.ecaOauthPlcy-meta.xml": policy, "src/pol/uat/R.ecaOauthPlcy-meta.xml": "<"})},
		{name: "by a file of the package's own", p: uat(runAs("nobody@example.com")).with(project{"src/pol/.forceignore": "uat/"})},
		{name: "applied and broken", p: applied(simple().with(ignoring("**/uat/")).with(project{"src/pol/uat/Q.ecaOauthPlcy-meta.xml": "<"})), err: "not well-formed XML", silent: true},
		{name: "and applied elsewhere", p: settings(`"MyApp": {"environments": {"prod": {"applyPolicies": true}}}`).with(header("MyApp")).with(policies("uat", "MyApp", "")).
			with(ignoring("**/Old*")).with(project{"src/pol/uat/Old.ecaOauthPlcy-meta.xml": "<"})},
		{name: "beside those that are applied", p: applied(uat("")).with(ignoring("**/Old*")).
			with(project{"src/pol/uat/Old1.ecaOauthPlcy-meta.xml": policy, "src/pol/uat/Old2.ecaOauthPlcy-meta.xml": policy})},
		{name: "a permission set", p: uat("<commaSeparatedPermissionSet>New</commaSeparatedPermissionSet>").with(ignoring("permissionsets/")).with(project{"src/pol/uat/permissionsets/New.permissionset-meta.xml": "x"}),
			err: "no permission sets called New", findings: 1},
	} {
		t.Run(r.name, r.check)
	}
}

// TestPoolWithoutFolder: nobody deploys the policies to a pool, so nobody fails of a
// folder that is missing; and an app that is not there does not keep others from
// their consumer.
func TestPoolWithoutFolder(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{Kind: simorg.Scratch})
	o.alias, o.kind = "SO1", platform.Scratch
	p := simple().with(header("Other")).with(policies("uat", "MyApp", ""))
	if err := o.Deploy(header("MyApp").fs(), "src/def"); err != nil {
		t.Fatal(err)
	}
	for _, p := range []project{p, applied(p), applied(p.with(policies("default", "Other", "<policyAction>Nonsense</policyAction>")))} {
		options, err := o.options(p, "")
		if err != nil {
			t.Fatal(err)
		}
		options.Pool = true
		if _, err := options.run(t.Context()); err != nil {
			t.Error(err)
		}
		o.one(eca.GlobalOAuthSettings)
	}
}

// TestLookupRefused: a query for advice alone that the org refuses does not end a run.
func TestLookupRefused(t *testing.T) {
	t.Parallel()
	o := startOrg(t, people)
	o.Inject(simorg.Fault{
		Status: 403, Body: `[{"errorCode": "INSUFFICIENT_ACCESS", "message": "no"}]`,
		Fits: func(r simorg.Request) bool { return strings.Contains(r.Path, "FROM+User") },
	})
	report := o.mustRun(simple().with(policies("uat", "MyApp", runAs("run@example.com"))))
	if len(report.Findings) != 1 || !strings.Contains(report.Findings[0].Problem, "was not checked") {
		t.Errorf("found %v", report.Findings)
	}
}

// TestLookupFails: an answer that is not the org's refusal says nothing about what the query asked
// for, so the run ends before it writes. With the query of User cut off, a run-as user that does
// not exist would pass.
func TestLookupFails(t *testing.T) {
	t.Parallel()
	for _, fault := range []simorg.Fault{{Status: 503}, {Status: 404, Body: "<html>"}, {Status: 403, Body: "x"}, {Drop: true}} {
		o := startOrg(t, people)
		fault.Fits = func(r simorg.Request) bool { return strings.Contains(r.Path, "FROM+User") }
		for range 50 { // net/http repeats a GET whose reused connection was closed
			o.Inject(fault)
		}
		if _, err := o.run(simple().with(policies("uat", "MyApp", runAs("nobody@example.com")))); err == nil {
			t.Errorf("%+v: the run succeeded", fault)
		}
		for _, c := range o.Components(eca.OAuthSettings) {
			t.Errorf("%+v: the run wrote %s", fault, c.FullName)
		}
	}
}

// TestNoneOfTwoAppsOfOneNameIsGranted: one of them may be managed.
func TestNoneOfTwoAppsOfOneNameIsGranted(t *testing.T) {
	t.Parallel()
	o := startOrg(t, people)
	o.Inject(simorg.Fault{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"done": true, "records": [{"Id": "0xI1", "DeveloperName": "MyApp"}, {"Id": "0xI2", "DeveloperName": "MyApp"}]}`,
		Fits: func(r simorg.Request) bool { return strings.Contains(r.Path, "FROM+ExternalClientApplication") }})
	_, err := o.run(settings(`"MyApp": {"permissionSets": ["Erp_Admin"]}`).with(header("MyApp")))
	if err == nil || !strings.Contains(err.Error(), "several apps called MyApp") {
		t.Errorf("ended with %v, want several apps called MyApp", err)
	}
}

// TestGrantsComeLate: nobody is granted an app, or assigned its permission sets,
// before the app has its consumer.
func TestGrantsComeLate(t *testing.T) {
	t.Parallel()
	o := startOrg(t, people)
	p := settings(`"MyApp": {"permissionSets": ["Erp_Admin", "Nope"], "assignToRunAsUser": true}`).with(header("MyApp")).with(policies("uat", "MyApp", runAs("run@example.com")))
	options, err := o.options(p, "def")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := options.run(t.Context()); err == nil || len(o.Assigned("run@example.com")) > 0 {
		t.Errorf("without a header, assigned are %v, and it ended with %v", o.Assigned("run@example.com"), err)
	}
	if _, err := o.run(p); err == nil {
		t.Error("got success, want an error")
	}
	if got := fmt.Sprint(o.Granted("MyApp"), o.Assigned("run@example.com")); got != "[Erp_Admin] [Erp_Admin]" {
		t.Errorf("granted and assigned are %s", got)
	}
	consumer, grant := 0, 0
	for i, r := range o.Requests() {
		if r.Writes() && r.Type == eca.PluginPolicies {
			consumer = i
		}
		if r.Writes() && strings.Contains(r.Path, "SetupEntityAccess") {
			grant = i
		}
	}
	if grant < consumer {
		t.Error("the grant came before the consumer")
	}

	// A busy org does not keep the app from its consumer.
	o = startOrg(t, people)
	o.Inject(simorg.Fault{Status: 503, Fits: func(r simorg.Request) bool { return r.Writes() && strings.Contains(r.Path, "SetupEntityAccess") }})
	if _, err := o.run(p); err == nil {
		t.Error("got success, want an error")
	}
	o.one(eca.PluginPolicies)
}

// TestSourceOfAnotherPackage: on a refreshed sandbox, the app gets what the project states, under the
// names of the source, wherever in the project that is and whatever sf replaces in other files.
func TestSourceOfAnotherPackage(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	p := simple().with(project{
		"sfdx-project.json": `{"packageDirectories": [{"path": "src/def", "package": "def"}, {"path": "src/oauth", "package": "oauth"}],
			"replacements": [{"glob": "**/namedCredentials/*", "stringToReplace": "X", "replaceWithEnv": "X"}]}`,
		"src/def/externalClientApps/MyApp.eca-meta.xml": strings.Replace(header("MyApp")["src/def/externalClientApps/MyApp.eca-meta.xml"],
			"</label>", "</label><orgScopedExternalApp>00Dbm000004ELiDEAW:MyApp</orgScopedExternalApp>", 1),
		"src/oauth/extlClntAppOauthSettings/OsSettings.ecaOauth-meta.xml": `<ExtlClntAppOauthSettings ` + ns + `><commaSeparatedOauthScopes>Api, OpenID, Web</commaSeparatedOauthScopes>
			<externalClientApplication>MyApp</externalClientApplication><label>MyApp</label><oauthLink>00Dbm000004ELiD:888bm000002gH3J</oauthLink></ExtlClntAppOauthSettings>`,
		"src/oauth/extlClntAppGlobalOauthSets/OsGlobal.ecaGlblOauth-meta.xml": `<ExtlClntAppGlobalOauthSettings ` + ns + `><callbackUrl>https://mine.example.com/cb</callbackUrl>
			<externalClientApplication>MyApp</externalClientApplication><label>MyApp</label><isConsumerSecretOptional>true</isConsumerSecretOptional></ExtlClntAppGlobalOauthSettings>`,
	})
	options, err := o.options(p, "")
	if err != nil {
		t.Fatal(err)
	}
	options.Headers = true
	report, err := options.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	settings, global := o.one(eca.OAuthSettings), o.one(eca.GlobalOAuthSettings)
	if settings.FullName != "OsSettings" || settings.Fields["commaSeparatedOauthScopes"] != "Api, OpenID, Web" {
		t.Errorf("the settings are %s, %v", settings.FullName, settings.Fields)
	}
	if global.FullName != "OsGlobal" || global.Fields["callbackUrl"] != "https://mine.example.com/cb" || global.Fields["isConsumerSecretOptional"] != "true" {
		t.Errorf("the global settings are %s, %v", global.FullName, global.Fields)
	}
	if len(report.Warnings) != 2 || !strings.Contains(report.Warnings[0], "orgScopedExternalApp is left out") || !strings.Contains(report.Warnings[1], "oauthLink is left out") {
		t.Errorf("warnings %q, want that orgScopedExternalApp and oauthLink are left out", report.Warnings)
	}
	if report, err := options.run(t.Context()); err != nil || touched(report) > 0 {
		t.Errorf("the second run did %s, %v", actions(report), err)
	}
}
