package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/diff"
	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/simorg"
)

var update = flag.Bool("update", false, "write the golden files")

// varying is what differs from run to run, and what stands for it in golden files.
var varying = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "http://ORG"},
	{regexp.MustCompile(`"seconds": [\d.e-]+`), `"seconds": 0`},
	{regexp.MustCompile(`"requests": [1-9]\d*`), `"requests": 1`},
	{regexp.MustCompile(`00D[A-Za-z0-9]{15}`), "00DORG"},
	{regexp.MustCompile(`00D[A-Za-z0-9]+!\S+"`), `TOKEN"`},
	{regexp.MustCompile(`"accessToken": "[^"]*"`), `"accessToken": "TOKEN"`},
	{regexp.MustCompile(`3MVG9…\w+`), "3MVG9…key"},
	{regexp.MustCompile(`"version": "(devel|v|unknown)[^"]*"`), `"version": "VERSION"`},
	{regexp.MustCompile(`"time": "[^"]*"`), `"time": "TIME"`},
	{regexp.MustCompile(`"consumerMade": "[^"]*"`), `"consumerMade": "DATE"`},
	{regexp.MustCompile(`"besideExpires": "[^"]*"`), `"besideExpires": "DATE"`},
	{regexp.MustCompile(`"(store|binary|keyStore)": "[^"]*"`), `"$1": "PATH"`},
	{regexp.MustCompile(`"(sf|sfp)": \{[^}]*\}`), `"$1": {}`},
	{regexp.MustCompile(`"platform": "[^"]*"`), `"platform": "X"`},
	{regexp.MustCompile(`"date": "[^"]*"`), `"date": "DATE"`},
	{regexp.MustCompile(`"sha256": "[0-9a-f]{64}"`), `"sha256": "DIGEST"`},
	{regexp.MustCompile(`"bytes": [1-9]\d*`), `"bytes": 1`},
	{regexp.MustCompile(`"(go|os|arch)": "[^"]*"`), `"$1": "X"`},
	{regexp.MustCompile(`[^" ]*eca-demo-\d+`), "DEMO"},
	{regexp.MustCompile(`in \d+ ms|in \d\.\d s`), "in 0 ms"},
}

// TestJSONOfEachCommand holds what each command prints with --json, which programs rely on,
// against golden files.
func TestJSONOfEachCommand(t *testing.T) {
	dir := t.TempDir()
	project := filepath.Join(dir, "project")
	if err := os.CopyFS(project, ecakit.Sample); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(dir, "wrong")
	if err := os.CopyFS(wrong, ecakit.Sample); err != nil {
		t.Fatal(err)
	}
	policies := filepath.Join(wrong, "testdata/eca-policies/uat/extlClntAppOauthPolicies/ErpConnector_oauthPlcy.ecaOauthPlcy-meta.xml")
	data, err := os.ReadFile(policies)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(policies, bytes.ReplaceAll(data, []byte("integration@example.com.uat"), []byte("gone@example.com")), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken")
	if err := os.CopyFS(broken, ecakit.Sample); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "testdata/eca-policies/uat/extlClntAppOauthPolicies/ErpConnector_oauthPlcy.ecaOauthPlcy-meta.xml"), []byte(strings.NewReplacer("label>", "lable>", ">true<", ">yes<").Replace(string(data))), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "old/Old.connectedApp-meta.xml"), []byte(`<ConnectedApp><contactEmail>a@example.com</contactEmail><label>Old</label><mobileStartUrl>https://example.com</mobileStartUrl><oauthConfig><isPkceRequired>true</isPkceRequired><scopes>Api</scopes></oauthConfig></ConnectedApp>`), 0o600); err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(dir, "bare")
	if err := os.Mkdir(bare, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bare, "sfdx-project.json"), []byte(`{"packageDirectories": [{"path": "src", "package": "core", "type": "source", "default": true}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	sandbox := func(t *testing.T) *simorg.Server {
		org := simorg.Start(simorg.Config{Username: "admin@example.com.uat", Users: []simorg.User{{Username: "integration@example.com.uat"}}})
		t.Cleanup(org.Close)
		if err := org.Deploy(ecakit.Sample, "testdata/eca-definition"); err != nil {
			t.Fatal(err)
		}
		return org
	}
	seen := make(map[string]bool)
	for _, test := range []struct {
		golden   string
		args     string
		noOrg    bool
		consumer bool // the app has one
		hub      bool // the org is a Dev Hub
		times    int  // how often it runs before it counts
	}{
		{golden: "version", args: "version", noOrg: true},
		{golden: "describe", args: "describe lint", noOrg: true},
		{golden: "version-verbose", args: "version --verbose", noOrg: true},
		{golden: "help", args: "help", noOrg: true},
		{golden: "bundle", args: "bundle --output bundle.sh", noOrg: true},
		{golden: "completion", args: "completion fish", noOrg: true},
		{golden: "complete", args: "complete --word=--api -- plan", noOrg: true},
		{golden: "usage", args: "--no-such-flag", noOrg: true},
		{golden: "lint", args: "lint broken", noOrg: true},
		{golden: "lint-explain", args: "lint --explain wrong-folder", noOrg: true},
		{golden: "init", args: "init --app Other --contact-email a@example.com --definition testdata/other --policies testdata/other-policies --dry-run project", noOrg: true},
		{golden: "migrate", args: "migrate old --project project --definition testdata/old --policies testdata/old-policies --env uat", noOrg: true},
		{golden: "demo", args: "demo", noOrg: true},
		{golden: "hook", args: "hook eca-definition admin@example.com.uat uat project testdata/eca-definition"},
		{golden: "hook-skipped", args: "hook admin@example.com.uat hub@example.com failed", noOrg: true},
		{golden: "plan", args: "plan -o uat project"},
		{golden: "bootstrap", args: "bootstrap -o uat project"},
		{golden: "bootstrap-unchanged", args: "bootstrap -o uat project", times: 1},
		{golden: "bootstrap-refused", args: "bootstrap -o uat wrong"},
		{golden: "bootstrap-several", args: "bootstrap -o uat --all-scratch --jobs 1 project"},
		{golden: "credentials", args: "credentials -o uat --app ErpConnector --output creds.json", consumer: true},
		{golden: "credentials-several", args: "credentials -o uat --all-scratch --app ErpConnector --output creds.json", consumer: true},
		{golden: "connect", args: "connect --from uat -o scratch@example.com --app ErpConnector --named-credential Erp", consumer: true},
		{golden: "verify-connection", args: "verify --connection Erp -o uat", consumer: true},
		{golden: "migrate-status", args: "migrate --status -o uat", consumer: true},
		{golden: "package", args: "package -o hub --app Shared --create --contact-email a@example.com --dir testdata/shared project", hub: true},
		{golden: "adopt", args: "adopt -o uat --app ErpConnector --project bare", consumer: true},
		{golden: "list", args: "list -o uat --project project", consumer: true},
		{golden: "audit", args: "audit -o uat --project project --fail-on never", consumer: true},
		{golden: "repair", args: "repair -o uat", consumer: true},
		{golden: "revoke", args: "revoke -o uat --app ErpConnector --yes", consumer: true},
		{golden: "disable", args: "disable -o uat --app ErpConnector --yes", consumer: true},
		{golden: "enable", args: "enable -o uat --app ErpConnector", consumer: true},
		{golden: "verify", args: "verify -o uat --app ErpConnector", consumer: true},
		{golden: "verify-all", args: "verify --all -o uat", consumer: true},
		{golden: "verify-all-broken", args: "verify --all -o uat", consumer: true},
		{golden: "token", args: "token -o uat --app ErpConnector --output token.json", consumer: true},
		{golden: "rotate", args: "rotate -o uat --app ErpConnector --output creds.json", consumer: true},
		{golden: "selftest", args: "selftest -o uat --only pkce-forced --only foreign-org-scope --only packaged-after-refresh"},
		{golden: "simulate", args: "simulate --username admin@example.com", noOrg: true},
	} {
		t.Run(test.golden, func(t *testing.T) {
			if test.golden == "bundle" && testing.Short() {
				t.Skip("the tests' binary is large, and with the race detector slow")
			}
			home := t.TempDir()
			if test.hub {
				hub := simorg.Start(simorg.Config{Kind: simorg.Production, DevHub: true, Username: "admin@hub.example.com"})
				t.Cleanup(hub.Close)
				logIn(t, home, hub, "admin@hub.example.com", "hub", false)
			} else if test.consumer {
				var org *simorg.Server
				if org, home = bootstrapped(t, ""); strings.HasSuffix(test.golden, "-broken") {
					org.Deactivate("integration@example.com.uat")
				}
			} else if !test.noOrg {
				logIn(t, home, sandbox(t), "admin@example.com.uat", "uat", false)
			}
			if strings.HasSuffix(test.golden, "-several") || test.golden == "connect" {
				empty := simorg.Start(simorg.Config{Kind: simorg.Scratch, SecretsInREST: true, Username: "scratch@example.com"}) // without the app's header
				t.Cleanup(empty.Close)
				logIn(t, home, empty, "scratch@example.com", "", true)
			}
			got, stderr := "", ""
			for range test.times + 1 {
				_, got, stderr = execute(t, home, append([]string{"--json"}, strings.Fields(test.args)...)...)
			}
			for _, v := range varying {
				got = v.pattern.ReplaceAllString(got, v.with)
			}
			if !json.Valid([]byte(got)) {
				t.Fatalf("got no JSON document, but %s, and on standard error %s", got, stderr)
			}
			golden := filepath.Join(projectRoot, "hook/internal/cli/testdata/golden", test.golden+".json")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got and want differ at:\n%s\nIf that is meant, write it with: go test ./hook/internal/cli -run JSONOfEachCommand -update", diff.Diff("want", want, "got", []byte(got)))
			}
		})
		name, _, _ := strings.Cut(test.args, " ")
		seen[name] = true
	}
	for _, node := range kong.Must(new(cli), kong.Vars{"version": ""}).Model.Children {
		if !seen[node.Name] {
			t.Errorf("no golden file shows what %s prints with --json", node.Name)
		}
	}
}

// TestEveryCommandRuns: what kong parses can be run.
func TestEveryCommandRuns(t *testing.T) {
	for _, node := range kong.Must(new(cli), kong.Vars{"version": ""}).Model.Children {
		if _, ok := node.Target.Addr().Interface().(command); !ok {
			t.Errorf("%s is a %s, which is not a command", node.Name, reflect.TypeOf(node.Target.Interface()))
		}
	}
}

// projectRoot is the project's directory. Tests change the working directory.
var projectRoot = func() string {
	dir, err := filepath.Abs("../../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// logIn writes a login to an org into sf's store below home.
func logIn(t *testing.T, home string, org *simorg.Server, username, alias string, scratch bool) {
	t.Helper()
	store := filepath.Join(home, ".sfdx")
	login := map[string]any{"username": username, "orgId": org.ID(), "instanceUrl": org.URL, "accessToken": org.AccessToken(), "isSandbox": !scratch, "isScratch": scratch, "instanceApiVersion": apiversion.Latest.String()}
	if scratch {
		login["devHubUsername"], login["expirationDate"] = "hub@example.com", "2999-01-01"
	}
	aliases := struct {
		Orgs map[string]string `json:"orgs"`
	}{make(map[string]string)}
	if data, err := os.ReadFile(filepath.Join(store, "alias.json")); err == nil {
		if err := json.Unmarshal(data, &aliases); err != nil {
			t.Fatal(err)
		}
	}
	if alias != "" {
		aliases.Orgs[alias] = username
	}
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]any{username + ".json": login, "alias.json": aliases} {
		data, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(store, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tokens is the session of an org's administrator.
func tokens(org *simorg.Server) oauth2.TokenSource {
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})
}
