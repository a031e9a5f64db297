package bootstrap_test

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/simorg"
)

func permissionSet(name, fields string) project {
	return project{"src/def/permissionsets/" + name + ".permissionset-meta.xml": `<PermissionSet ` + ns + `><label>` + name + `</label>` + fields + `</PermissionSet>`}
}

// verdict is what a plan or a run says: the kinds of its errors, its findings, and how its components
// end. A plan's pending component ends as "will", like one that a run wrote.
type verdict struct{ Errors, Findings, Components []string }

func verdictOf(report *bootstrap.Report, err error) (v verdict) {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, one := range all {
		if one != nil {
			v.Errors = append(v.Errors, fmt.Sprintf("%T %v", one, one))
		}
	}
	slices.Sort(v.Errors)
	if report == nil {
		return v
	}
	for _, f := range report.Findings {
		v.Findings = append(v.Findings, f.String())
	}
	for _, app := range report.Apps {
		for _, c := range app.Components {
			end := "will"
			switch {
			case c.DeployedBy != "":
				continue // of plans alone
			case c.Error != "":
				end = c.Error
			case c.Refused:
				end = "refused"
			case c.Held:
				end = "held"
			case !report.PlanOnly && !c.Done:
				end = "pending"
			}
			v.Components = append(v.Components, fmt.Sprintf("%s %s %s %s: %s", app.Name, c.Type, c.FullName, c.Action, end))
		}
	}
	return v
}

// TestPlanAndRunAgree has projects that are broken in one way each. A plan and the run after it come to
// the same verdict, by errors of the same words, and nothing is written of an app that both refuse.
func TestPlanAndRunAgree(t *testing.T) {
	t.Parallel()
	const preAuthorised = "<permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType>"
	granted := settings(`"MyApp": {"permissionSets": ["Erp_New"]}`).with(header("MyApp"))
	for _, test := range []struct {
		name    string
		project project
		bare    bool // runs with headers
		fails   string
		writes  bool
		without bool // nobody deploys the headers
	}{
		{name: "sound", project: applied(simple().with(policies("uat", "MyApp", runAs("run@example.com")))), writes: true},
		{name: "no header", project: simple(), without: true, fails: "MyApp: its header is not on this org"},
		{name: "no header of one app", project: simple().with(header("Other")), without: true, fails: "Other: its header is not on this org"},
		{name: "permission set of the settings", project: settings(`"MyApp": {"permissionSets": ["Erp_Typo"]}`).with(header("MyApp")), writes: true, fails: "there is no permission set Erp_Typo"},
		{name: "permission set of policies", project: simple().with(policies("uat", "MyApp", "<commaSeparatedPermissionSet>Erp_Typo</commaSeparatedPermissionSet>")), writes: true, fails: "no permission sets called Erp_Typo"},
		{name: "permission set of applied policies", project: applied(simple().with(policies("uat", "MyApp", "<commaSeparatedPermissionSet>Erp_Typo</commaSeparatedPermissionSet>"))), fails: "no permission sets called Erp_Typo"},
		{name: "profile of applied policies", project: applied(simple().with(policies("uat", "MyApp", "<commaSeparatedProfile>Nobody</commaSeparatedProfile>"))), fails: "no profiles called Nobody"},
		{name: "inactive user", project: applied(simple().with(policies("uat", "MyApp", runAs("gone@example.com")))), fails: "gone@example.com is inactive"},
		{name: "no user", project: applied(simple().with(policies("uat", "MyApp", "<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>"))), fails: "no user is named"},
		{name: "no user, deployed by sfp", project: simple().with(policies("uat", "MyApp", "<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>")), fails: "no user is named"},
		{name: "wrong value", project: applied(simple().with(policies("uat", "MyApp", "<sessionTimeoutInMinutes>soon</sessionTimeoutInMinutes>"))), fails: `"soon" is not a whole number`},
		{name: "JWT sessions", project: applied(settings(`"MyApp": {"globalOauthSettings": {"isNamedUserJwtEnabled": false}}`).with(header("MyApp")).with(policies("uat", "MyApp", "<namedUserJwtSessionTimeoutType>UserSession</namedUserJwtSessionTimeoutType>"))), fails: "isNamedUserJwtEnabled"},
		{name: "flow off in the settings", project: settings(`"MyApp": {"globalOauthSettings": {"isClientCredentialsFlowEnabled": false}}`).with(header("MyApp")).with(policies("uat", "MyApp", runAs("run@example.com"))), fails: "isClientCredentialsFlowEnabled: is false"},
		{name: "nobody granted", project: applied(simple().with(policies("uat", "MyApp", preAuthorised))), writes: true},
		{name: "no policies to apply", project: applied(simple()), writes: true},
		{name: "permission set of the source", project: granted.with(permissionSet("Erp_New", "")), bare: true, writes: true},
		{name: "permission set of the source in applied policies", project: applied(granted.with(permissionSet("Erp_New", "")).with(policies("uat", "MyApp", preAuthorised+"<commaSeparatedPermissionSet>Erp_New</commaSeparatedPermissionSet>"))), bare: true, writes: true},
		{name: "permission set that grants more", project: granted.with(permissionSet("Erp_New", "<objectPermissions><object>Account</object></objectPermissions>")), bare: true, writes: true, fails: "there is no permission set Erp_New"},
		{name: "permission set without the headers", project: granted.with(permissionSet("Erp_New", "")), writes: true, fails: "there is no permission set Erp_New", without: false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := startOrg(t, people)
			o.bare = test.bare
			attempt, err := o.options(test.project, "def")
			if err == nil && !test.without {
				deployable := test.project.with(project{})
				for name := range deployable {
					if strings.Contains(name, "/permissionsets/") {
						delete(deployable, name)
					}
				}
				o.deployHeaders(deployable)
			} else if strings.Contains(test.name, "one app") {
				o.deployHeaders(simple())
			}
			if err != nil {
				t.Fatal(err)
			}
			o.ForgetRequests()
			attempt.PlanOnly = true
			planned := verdictOf(attempt.run(t.Context()))
			if len(o.writes()) > 0 {
				t.Error("the plan writes")
			}
			attempt.PlanOnly = false
			done := verdictOf(attempt.run(t.Context()))
			if done.Components == nil {
				planned.Components = nil // the source alone fails the run
			}
			if !reflect.DeepEqual(planned, done) {
				t.Errorf("the plan says\n%s\nand the run\n%s", show(planned), show(done))
			}
			if text := strings.Join(done.Errors, "\n"); (test.fails == "") != (text == "") || !strings.Contains(text, test.fails) {
				t.Errorf("the run ends with %q, want %q", text, test.fails)
			}
			if (len(o.writes()) > 0) != test.writes && !strings.Contains(test.name, "one app") {
				t.Errorf("the run has %d writes, want some: %v", len(o.writes()), test.writes)
			}
		})
	}
}

func show(v verdict) string {
	return strings.Join(slices.Concat(v.Errors, v.Findings, v.Components), "\n")
}

// TestCreatedPermissionSets: with headers, a run creates the permission sets of the settings once, grants
// the app to them, and never changes one that the org has.
func TestCreatedPermissionSets(t *testing.T) {
	t.Parallel()
	o := startOrg(t, people)
	o.bare = true
	p := settings(`"MyApp": {"permissionSets": ["erp_new"]}, "Other": {"permissionSets": ["Erp_New", "Erp_Admin"]}`).
		with(header("MyApp")).with(header("Other")).with(permissionSet("Erp_New", "<description>new</description>")).with(permissionSet("Erp_Admin", ""))
	report := o.mustRun(p)
	if got := fmt.Sprint(o.Granted("MyApp"), o.Granted("Other")); got != "[Erp_New] [Erp_Admin Erp_New]" || report.Pending > 0 {
		t.Errorf("granted %s, %d pending", got, report.Pending)
	}
	sets := o.Components(eca.PermissionSet)
	if set := sets[len(sets)-1]; len(sets) != 3 || set.FullName != "Erp_New" || set.Fields["description"] != "new" {
		t.Errorf("the org has the permission sets %+v, want Erp_New of the source with two others", sets)
	}
	p = p.with(permissionSet("Erp_New", "<description>newer</description>"))
	if report = o.mustRun(p); touched(report) > 0 || len(o.writes()) > 0 {
		t.Errorf("the second run has %d changes", touched(report))
	}

	// A permission set that the org refuses leaves the app without its grant, and the error says why.
	o = startOrg(t, people)
	o.bare = true
	o.Inject(simorg.Fault{Status: http.StatusInternalServerError, Body: soapFault, Fits: func(r simorg.Request) bool { return r.Writes() && r.Type == eca.PermissionSet }})
	_, err := o.run(settings(`"MyApp": {"permissionSets": ["Erp_New"]}`).with(header("MyApp")).with(permissionSet("Erp_New", "")))
	if err == nil || !strings.Contains(err.Error(), "INSUFFICIENT_ACCESS") {
		t.Errorf("got %v, want what the org says of the permission set", err)
	}
}

const soapFault = `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><soapenv:Fault><faultcode>sf:INSUFFICIENT_ACCESS</faultcode><faultstring>INSUFFICIENT_ACCESS: no</faultstring></soapenv:Fault></soapenv:Body></soapenv:Envelope>`

// TestPlanComparesPolicies: a plan compares policies, whoever deploys them, and says who does. They are no
// pending change of the run.
func TestPlanComparesPolicies(t *testing.T) {
	t.Parallel()
	plain := project{"sfdx-project.json": `{"packageDirectories": [{"path": "src/def"}, {"path": "src/pol"}]}`}
	for _, test := range []struct {
		name       string
		project    project
		deployedBy string
		pending    int
	}{
		{"sfp", simple(), "sfp", 0},
		{"preflight off", simple().set(`"preflight": "off"`), "sfp", 0},
		{"sf", simple().with(plain), "sf", 0},
		{"eca", applied(simple()), "", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := startOrg(t, people)
			p := test.project.with(policies("uat", "MyApp", "<startUrl>https://example.com</startUrl>"))
			attempt, err := o.options(p, map[bool]string{true: "def"}[test.deployedBy != "sf"])
			if err != nil {
				t.Fatal(err)
			}
			o.deployHeaders(p)
			without, err := o.options(simple(), "def")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := without.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			attempt.PlanOnly = true
			for _, action := range []string{"create", "update", "unchanged"} {
				report, err := attempt.run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				all := report.Apps[0].Components
				c := all[len(all)-1]
				if c.Type != eca.OAuthPolicies || string(c.Action) != action || string(c.DeployedBy) != test.deployedBy {
					t.Errorf("the plan says %+v, want %s by %q", c, action, test.deployedBy)
				}
				want := test.pending
				switch action {
				case "create":
					if err := o.Deploy(simple().with(policies("uat", "MyApp", "")).fs(), "src/pol/uat"); err != nil {
						t.Fatal(err)
					}
				case "update":
					if err := o.Deploy(p.fs(), "src/pol/uat"); err != nil {
						t.Fatal(err)
					}
				case "unchanged":
					want = 0
				}
				if report.Pending != want {
					t.Errorf("%s: %d changes pending, want %d", action, report.Pending, want)
				}
			}
		})
	}
}
