package crash_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing/fstest"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

const emptyProject = "{\n  \"packageDirectories\": [\n    {\"path\": \"src/core\", \"package\": \"core\", \"type\": \"source\", \"versionNumber\": \"1.0.0.NEXT\", \"default\": true}\n  ],\n  \"sourceApiVersion\": \"66.0\"\n}\n"

// runs runs a command that the scene needs, and forgets its requests.
func (s *scene) runs(line string) {
	s.t.Helper()
	if out, err := s.command(strings.Fields(line)).CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	for _, org := range s.orgs {
		org.ForgetRequests()
	}
}

// bootstrapped prepares the sample project with the org uat, which has its app's header, or all of it.
func bootstrapped(all bool) func(s *scene) { return onOrg(all, func(*simorg.Config) {}) }

// onOrg is bootstrapped with another configuration of the org.
func onOrg(all bool, configure func(*simorg.Config)) func(s *scene) {
	return func(s *scene) {
		s.sample()
		config := simorg.Config{Username: "admin@example.com", SecretsInREST: true, Users: []simorg.User{{Username: "integration@example.com.uat"}}}
		configure(&config)
		org := s.add("uat", config)
		s.must(org.Deploy(ecakit.Sample, "testdata/eca-definition"))
		if all {
			s.runs("bootstrap -o uat --apply-policies")
		}
	}
}

// keeps prepares an org with the header of the sample's app, and kept credentials for that app.
func keeps(configure func(*simorg.Config)) func(s *scene) {
	return func(s *scene) {
		onOrg(false, configure)(s)
		s.must(os.WriteFile(filepath.Join(s.dir, "../kept.jsonl"), []byte(kept), 0o600))
	}
}

// ofUnkept describes the orgs after kept credentials were not honoured, and whether a run says so.
func ofUnkept(s *scene) string {
	out, err := s.command(strings.Fields("bootstrap -o uat --apply-policies --consumers-from ../kept.jsonl")).CombinedOutput()
	said := strings.Contains(string(out), "its clients need the new credentials: eca credentials -o uat --app ErpConnector")
	if !said {
		s.t.Errorf("no word of the clients' credentials: %v\n%s", err, out)
	}
	return ofOrgs(s) + s.received("../kept.jsonl") + fmt.Sprintln(said, err)
}

// made adds an org with the apps below a directory of testdata/adopt.
func (s *scene) made(alias, dir string, flags ...string) {
	kind := simorg.Sandbox
	if len(flags) > 0 {
		kind = simorg.Kind(flags[0])
	}
	org := s.add(alias, simorg.Config{
		Kind: kind, Username: "admin@" + alias + ".example.com", PermissionSets: []string{"Erp_Users"}, Users: []simorg.User{{Username: "integration@example.com.uat"}},
	}, flags...)
	s.must(org.Deploy(os.DirFS("testdata/adopt/"+dir), "."))
}

// storeCredentials is the shell command that receives credentials.
const storeCredentials = "cat >../creds.json.new && mv ../creds.json.new ../creds.json"

// handsOver makes the project export credentials to a file beside it, with further settings.
func (s *scene) handsOver(more string) {
	name := filepath.Join(s.dir, "sfdx-project.json")
	data, err := os.ReadFile(name)
	s.must(err)
	handOver := `"ErpConnector": {"handOver": {"command": ["sh", "-c", "` + storeCredentials + `"]` + more + "},"
	s.must(os.WriteFile(name, []byte(strings.Replace(string(data), `"ErpConnector": {`, handOver, 1)), 0o644))
}

func ofHandOver(s *scene) string { return ofOrgs(s) + s.received("../creds.json") }

// broken breaks the app of the sample, as a deployment of its OAuth settings without a link does.
func (s *scene) broken() {
	tokens := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: s.orgs[0].AccessToken()})
	client := &mdapi.Client{Conn: &salesforce.Conn{InstanceURL: s.orgs[0].URL, Tokens: tokens}}
	for _, typ := range []string{eca.GlobalOAuthSettings, eca.OAuthSettings} {
		for _, c := range s.orgs[0].Components(typ) {
			_, err := client.Delete(context.Background(), typ, c.FullName)
			s.must(err)
		}
	}
	s.orgs[0].ForgetRequests()
	s.must(s.orgs[0].Deploy(fstest.MapFS{"extlClntAppOauthSettings/ErpConnector_oauth.ecaOauth-meta.xml": {Data: []byte(`<ExtlClntAppOauthSettings xmlns="http://soap.sforce.com/2006/04/metadata">` +
		"<commaSeparatedOauthScopes>Api, RefreshToken</commaSeparatedOauthScopes><externalClientApplication>ErpConnector</externalClientApplication><label>ERP Connector</label></ExtlClntAppOauthSettings>")}}, "."))
}

// addCaller adds the org crm, which calls others.
func (s *scene) addCaller() {
	org := s.add("crm", simorg.Config{Username: "admin@crm.example.com", PermissionSets: []string{"Callers"}, Users: []simorg.User{{Username: "caller@example.com"}}})
	s.must(assign(org, "caller@example.com", "Callers"))
}

func ofOrgs(s *scene) string {
	text := ""
	for _, org := range s.orgs {
		text += simorgtest.Picture(org)
	}
	return text
}

// ofCallout describes whether crm can call uat with its main credentials, and whether others are staged.
func ofCallout(s *scene) string {
	pairs := s.orgs[0].Pairs("ErpConnector")
	id, secret := s.orgs[1].Stored("Erp", "Integration")
	same := id == pairs[0].Key && secret == pairs[0].Secret
	return fmt.Sprintln(simorgtest.Picture(s.orgs[0]), len(pairs), same, s.orgs[1].Callout("Erp", "caller@example.com"))
}

// kept are credentials as eca credentials writes them.
const kept = `{"app":"ErpConnector","client_id":"3MVG9kept0123456789abcdefghijklmnopqrstuvwxyz","client_secret":"0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"}`

// received describes what a file has of the credentials of the sample's app.
func (s *scene) received(name string) string {
	pairs := s.orgs[0].Pairs("ErpConnector")
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	same := strings.Contains(string(data), pairs[0].Key) && strings.Contains(string(data), pairs[0].Secret)
	return fmt.Sprintln(len(pairs), "credentials, received:", same, err)
}

// assign gives a user of an org a permission set.
func assign(org *simorg.Server, user, set string) error {
	tokens := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})
	rest := &restapi.Client{Conn: &salesforce.Conn{InstanceURL: org.URL, Tokens: tokens}}
	var ids []string
	for _, soql := range []string{"SELECT Id FROM User WHERE Username = " + restapi.Quote(user), "SELECT Id FROM PermissionSet WHERE Name = " + restapi.Quote(set)} {
		found, err := restapi.Query[struct {
			ID string `json:"Id"`
		}](context.Background(), rest, soql)
		if err != nil {
			return err
		}
		ids = append(ids, found[0].ID)
	}
	_, err := rest.Create(context.Background(), "PermissionSetAssignment", map[string]any{"AssigneeId": ids[0], "PermissionSetId": ids[1]})
	return err
}

// consumerID matches the ID of a consumer, which differs from run to run.
var consumerID = regexp.MustCompile(`\b888\w+`)

// crashes are the commands that TestCrashes ends.
func crashes() []*crash {
	inFiles := func(s *scene) string { return tree(s.dir) }
	project := func(s *scene) { s.files(map[string]string{"sfdx-project.json": emptyProject}) }
	anApp := func(s *scene) {
		project(s)
		s.runs("init --app First --contact-email a@example.com --env uat=i@example.com")
	}
	return []*crash{
		{
			name: "init", set: project, result: inFiles,
			args: strings.Fields("init --app Erp --contact-email a@example.com --env uat=i@example.com --permission-set Erp_Users"),
		},
		{
			// A new folder gets the policies that the app of default has.
			name: "init of a second app", set: func(s *scene) {
				anApp(s)
				policies := filepath.Join(s.dir, "src/eca-policies/default/extlClntAppOauthPolicies")
				data, err := os.ReadFile(filepath.Join(policies, "First_oauthPlcy.ecaOauthPlcy-meta.xml"))
				s.must(err)
				s.must(os.WriteFile(filepath.Join(policies, "Other_oauthPlcy.ecaOauthPlcy-meta.xml"),
					[]byte(strings.ReplaceAll(string(data), ">First<", ">Other<")), 0o644))
			}, result: inFiles,
			args: strings.Fields("init --app Second --contact-email a@example.com --env sit"),
		},
		{
			// The policies of a project that sf deploys are outside of its packages.
			name: "init for sf", set: func(s *scene) {
				s.files(map[string]string{"sfdx-project.json": `{"packageDirectories": [{"path": "force-app", "default": true}]}`})
			}, result: inFiles,
			args: strings.Fields("init --app Erp --contact-email a@example.com --env uat=i@example.com --pipeline github"),
		},
		{
			name: "init of another environment", set: anApp, result: inFiles,
			args: strings.Fields("init --app First --env sit=i@example.com"),
		},
		{
			name: "init with a key", set: project, result: func(s *scene) string {
				key, _ := os.ReadFile(filepath.Join(s.home, ".config/eca/Ci.key"))
				stored, _ := os.ReadFile(filepath.Join(s.dir, "src/eca-definition/certs/Ci.crt"))
				_, err := tls.X509KeyPair(stored, key)
				return fmt.Sprintln("the key is that of the certificate:", err) + tree(s.dir, "Ci.crt")
			},
			args: strings.Fields("init --app Ci --contact-email a@example.com --preset ci --permission-set Ci_Users"),
		},
		{
			name: "migrate", set: func(s *scene) {
				project(s)
				for _, app := range []string{"Data_Loader", "Warehouse"} {
					name := app + ".connectedApp-meta.xml"
					data, err := os.ReadFile(filepath.Join("../../../../testdata/audit/connectedApps", name))
					s.must(err)
					s.files(map[string]string{"old/" + name: string(data)})
				}
			}, result: inFiles,
			args: strings.Fields("migrate old --env prod --env uat=i@example.com --write"),
		},
		{
			name: "adopt", set: func(s *scene) { project(s); s.made("uat", "made") }, result: inFiles,
			args: strings.Fields("adopt -o uat --all"),
		},
		{
			name: "adopt from another org", set: func(s *scene) {
				project(s)
				s.made("uat", "made")
				s.made("prod", "prod", "production")
				s.runs("adopt -o uat --all")
			}, result: inFiles,
			args: strings.Fields("adopt -o prod --all"),
		},
		{
			name: "adopt into a project that init began", set: func(s *scene) {
				anApp(s)
				s.made("sit", "made")
			}, result: inFiles,
			args: strings.Fields("adopt -o sit --all"),
		},
		{
			name: "package", set: func(s *scene) {
				project(s)
				s.add("hub", simorg.Config{Kind: simorg.Production, DevHub: true, SecretsInREST: true}, "production")
			}, result: func(s *scene) string {
				return strings.ReplaceAll(simorgtest.Picture(s.orgs[0])+consumerID.ReplaceAllString(tree(s.dir), "888"), s.orgs[0].ID()[:15], "(the org)")
			},
			args: strings.Fields("package -o hub --app Shared --create --contact-email a@example.com --preset server"),
		},
		{
			name: "bundle", set: func(s *scene) {}, result: inFiles,
			args: strings.Fields("bundle --output hook.sh"),
		},
		{
			name: "bootstrap", set: bootstrapped(false), result: ofOrgs,
			args: strings.Fields("bootstrap -o uat --apply-policies"),
		},
		{
			name: "bootstrap with a hand-over", set: func(s *scene) { bootstrapped(false)(s); s.handsOver("") }, result: ofHandOver,
			args: strings.Fields("bootstrap -o uat --apply-policies"),
		},
		{
			name: "bootstrap with a hand-over, then on another machine", set: func(s *scene) { bootstrapped(false)(s); s.handsOver("") }, result: ofHandOver,
			args: strings.Fields("bootstrap -o uat --apply-policies"), elsewhere: true, left: regexp.MustCompile("the hand-over is unverified: .* run: eca credentials -o uat --app ErpConnector -- sh -c"),
			rest: []string{"credentials", "-o", "uat", "--app", "ErpConnector", "--", "sh", "-c", storeCredentials},
		},
		{
			name: "bootstrap with a hand-over and a check, then on another machine", set: func(s *scene) {
				bootstrapped(false)(s)
				s.handsOver(`, "check": ["sh", "-c", "if test -f ../creds.json; then sed 's/.*client_id.:.\\([^,]*\\).,.*/\\1/' ../creds.json; fi"]`)
			}, result: ofHandOver,
			args: strings.Fields("bootstrap -o uat --apply-policies"), elsewhere: true,
		},
		{
			name: "repair in a project", set: func(s *scene) { bootstrapped(true)(s); s.broken() }, result: ofOrgs,
			args: strings.Fields("repair -o uat --app ErpConnector --yes"),
		},
		{
			name: "repair in a project, then on another machine", set: func(s *scene) { bootstrapped(true)(s); s.broken() }, result: ofOrgs,
			args: strings.Fields("repair -o uat --app ErpConnector --yes"), elsewhere: true, left: regexp.MustCompile("--restore FILE"),
			rest: strings.Fields("repair -o uat --restore ../printed"),
		},
		{
			name: "repair without a project", set: func(s *scene) {
				bootstrapped(true)(s)
				s.broken()
				s.must(os.RemoveAll(s.dir))
				s.must(os.Mkdir(s.dir, 0o700))
			},
			result: ofOrgs, args: strings.Fields("repair -o uat --app ErpConnector --yes"), left: regexp.MustCompile("--restore FILE"),
			rest: strings.Fields("repair -o uat --restore ../printed"),
		},
		{
			name: "rotate", set: bootstrapped(true), result: func(s *scene) string {
				return simorgtest.Picture(s.orgs[0]) + s.received("creds.json")
			},
			args: []string{"rotate", "-o", "uat", "--app", "ErpConnector", "--revoke-old", "--", "sh", "-c", "cat >creds.json.new && mv creds.json.new creds.json"},
		},
		{
			name: "connect", set: func(s *scene) { bootstrapped(true)(s); s.addCaller() }, result: ofCallout,
			args: strings.Fields("connect --from uat -o crm --app ErpConnector --named-credential Erp --permission-set Callers"),
		},
		{
			name: "rotate --connect", set: func(s *scene) {
				bootstrapped(true)(s)
				s.addCaller()
				s.runs("connect --from uat -o crm --app ErpConnector --named-credential Erp --permission-set Callers")
			}, result: ofCallout,
			args: strings.Fields("rotate -o uat --app ErpConnector --revoke-old --connect crm --named-credential Erp"),
		},
		{
			name: "rotate --now", set: bootstrapped(true), result: func(s *scene) string {
				return simorgtest.Picture(s.orgs[0]) + s.received("creds.json")
			},
			args: []string{"rotate", "-o", "uat", "--app", "ErpConnector", "--now", "--yes", "--", "sh", "-c", "cat >creds.json.new && mv creds.json.new creds.json"},
		},
		{
			name: "bootstrap --consumers-from", set: keeps(func(*simorg.Config) {}), result: func(s *scene) string { return ofOrgs(s) + s.received("../kept.jsonl") },
			args: strings.Fields("bootstrap -o uat --apply-policies --consumers-from ../kept.jsonl"),
		},
		{
			// Another org has the key: the app gets a consumer without it.
			name: "bootstrap --consumers-from with a key of another org", set: func(s *scene) {
				keys := new(simorg.Keys)
				keeps(func(c *simorg.Config) { c.Keys = keys })(s)
				old := s.add("old", simorg.Config{Username: "admin@example.com.old", Keys: keys, Users: []simorg.User{{Username: "integration@example.com.uat"}}})
				s.must(old.Deploy(ecakit.Sample, "testdata/eca-definition"))
				s.runs("bootstrap -o old --consumers-from ../kept.jsonl")
			},
			result: ofUnkept, args: strings.Fields("bootstrap -o uat --apply-policies --consumers-from ../kept.jsonl"),
		},
		{
			name: "bootstrap --consumers-from on an org that chooses its own", set: keeps(func(c *simorg.Config) {
				c.Facts = platform.Answers{"consumer-key-at-creation": "ignored", "consumer-secret-at-creation": "ignored"}
			}), result: ofUnkept, args: strings.Fields("bootstrap -o uat --apply-policies --consumers-from ../kept.jsonl"),
		},
		{
			name: "credentials to keep", set: bootstrapped(true), result: func(s *scene) string { return ofOrgs(s) + s.received("../kept.jsonl") },
			args: strings.Fields("credentials --all -o uat --output ../kept.jsonl"),
		},
		{
			name: "disable", set: bootstrapped(true), result: ofOrgs,
			args: strings.Fields("disable -o uat --app ErpConnector --yes"),
		},
		{
			name: "revoke", set: func(s *scene) {
				org := s.add("uat", simorg.Config{Username: "admin@example.com"})
				s.must(org.Fill(os.DirFS("testdata/tokens"), "."))
			}, result: func(s *scene) string {
				out, err := s.command(strings.Fields("revoke -o uat --not-installed --dry-run")).CombinedOutput()
				none := strings.Contains(string(out), "no app that is not installed has a token")
				if !none {
					s.t.Errorf("%v\n%s", err, out)
				}
				return fmt.Sprintln(none, err)
			},
			args: strings.Fields("revoke -o uat --not-installed --yes"),
		},
	}
}
