package wanted_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// project is one with an app, its settings, and policies for uat and other sandboxes.
var project = fstest.MapFS{
	"sfdx-project.json": {Data: []byte(`{"packageDirectories": [
		{"path": "src/def", "package": "def", "type": "source"}, {"path": "src/pol", "package": "pol", "type": "source", "aliasfy": true}
	], "sourceApiVersion": "66.0", "plugins": {"eca": {"apps": {"MyApp": {
		"globalOauthSettings": {"certificate": {"file": "app.crt"}},
		"environments": {"uat": {"oauthSettings": {"commaSeparatedOauthScopes": ["Api", "Web"]}}}
	}}}}}`)},
	"src/def/externalClientApps/MyApp.eca-meta.xml":                    {Data: []byte(`<ExternalClientApplication xmlns="http://soap.sforce.com/2006/04/metadata"><distributionState>Local</distributionState><label>My App</label></ExternalClientApplication>`)},
	"src/pol/uat/extlClntAppOauthPolicies/P.ecaOauthPlcy-meta.xml":     {Data: []byte(`<ExtlClntAppOauthConfigurablePolicies xmlns="http://soap.sforce.com/2006/04/metadata"><externalClientApplication>MyApp</externalClientApplication><isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><clientCredentialsFlowUser>a@example.com</clientCredentialsFlowUser></ExtlClntAppOauthConfigurablePolicies>`)},
	"src/pol/default/extlClntAppOauthPolicies/P.ecaOauthPlcy-meta.xml": {Data: []byte(`<ExtlClntAppOauthConfigurablePolicies xmlns="http://soap.sforce.com/2006/04/metadata"><externalClientApplication>MyApp</externalClientApplication></ExtlClntAppOauthConfigurablePolicies>`)},
}

func certificate(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func Example() {
	files := fstest.MapFS{"src/def/app.crt": {Data: certificate(new(testing.B))}}
	for name, file := range project {
		files[name] = file
	}
	source, err := wanted.Load(wanted.Location{Project: files, Package: "def", Sibling: files})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, alias := range []string{"uat", "sit"} {
		resolved, err := source.Resolve(wanted.Target{Alias: alias, Kind: platform.Sandbox, DomainURL: "https://example--" + alias + ".sandbox.my.salesforce.com", Version: 66})
		if err != nil {
			fmt.Println(err)
			return
		}
		app := resolved.Apps[0]
		fmt.Printf("%s: %s, policies from %s\n", alias, app.Name, resolved.Policies[0].Folder)
		fmt.Println("  scopes stated:", app.Wanted[eca.OAuthSettings].Has("commaSeparatedOauthScopes"))
		fmt.Println("  client credentials on:", app.Wanted[eca.GlobalOAuthSettings].Has("isClientCredentialsFlowEnabled"))
	}
	// Output:
	// uat: MyApp, policies from src/pol/uat
	//   scopes stated: true
	//   client credentials on: true
	// sit: MyApp, policies from src/pol/default
	//   scopes stated: false
	//   client credentials on: false
}

// counted counts what is opened in it.
type counted struct {
	fs.FS
	opened *int
}

func (c counted) Open(name string) (fs.File, error) {
	*c.opened++
	return c.FS.Open(name)
}

func TestResolveReadsNothing(t *testing.T) {
	t.Parallel()
	opened := 0
	files := fstest.MapFS{"src/def/app.crt": {Data: certificate(t)}, ".forceignore": {Data: []byte(strings.Repeat("a\n", 6000))}}
	for name, file := range project {
		files[name] = file
	}
	fsys := counted{files, &opened}
	for _, pkg := range []string{"", "def"} {
		source, err := wanted.Load(wanted.Location{Project: fsys, Package: pkg, Sibling: fsys})
		if err != nil {
			t.Fatal(err)
		}
		opened = 0
		for _, alias := range []string{"uat", "prod"} {
			resolved, err := source.Resolve(wanted.Target{Username: "a@example.com", Alias: alias, Kind: platform.Sandbox, DomainURL: "https://example.my.salesforce.com", Version: 65})
			if err != nil {
				t.Fatal(err)
			}
			if len(resolved.Policies) != 1 || len(resolved.Apps) != 1 {
				t.Errorf("%s: resolved %+v, want an app with policies", alias, resolved)
			}
			if want := ".forceignore has more than 5000 rules; it is not applied, so nothing is left out of a deployment"; !slices.Contains(resolved.Warnings, want) {
				t.Errorf("%s: warnings %q, want %q", alias, resolved.Warnings, want)
			}
		}
		if opened != 0 {
			t.Errorf("Resolve opened %d files or directories, want none", opened)
		}
	}
}

// TestUnknownNames: what the tables lack is wanted as stated, with a warning that concerns the org.
func TestUnknownNames(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for name, file := range project {
		files[name] = &fstest.MapFile{Data: []byte(strings.NewReplacer(
			`"globalOauthSettings": {"certificate": {"file": "app.crt"}}`, `"globalOauthSettings": {"future": true}`,
			`"Web"]`, `"web"]`, "<label>", "<lable/><label>", "<isClientCredentials", "<policyAction>block</policyAction><isClientCredentials",
		).Replace(string(file.Data)))}
	}
	source, err := wanted.Load(wanted.Location{Project: files, Package: "def", Sibling: files})
	if err != nil {
		t.Fatal(err)
	}
	header := "src/def/externalClientApps/MyApp.eca-meta.xml: lable: ExternalClientApplication has no such element in API version 68.0; did you mean label?"
	global := "sfdx-project.json: plugins.eca.apps.MyApp.globalOauthSettings.future: ExtlClntAppGlobalOauthSettings has no such element in API version 68.0; check its name"
	scope := "sfdx-project.json: plugins.eca.apps.MyApp.environments.uat.oauthSettings.commaSeparatedOauthScopes: there is no OAuth scope \"web\" in API version 68.0; did you mean Web?"
	policy := "src/pol/uat/extlClntAppOauthPolicies/P.ecaOauthPlcy-meta.xml: policyAction: \"block\" is not one of Block, RaiseSessionLevel, StepUpMFA; did you mean Block?"
	for alias, want := range map[string][]string{"uat": {header, global, scope, policy}, "sit": {header, global}} {
		resolved, err := source.Resolve(wanted.Target{Alias: alias, Kind: platform.Sandbox, DomainURL: "https://example.my.salesforce.com", Version: 66, ApplyPolicies: true})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(resolved.Warnings, want) {
			t.Errorf("%s: warnings\n%s\nwant\n%s", alias, strings.Join(resolved.Warnings, "\n"), strings.Join(want, "\n"))
		}
		app := resolved.Apps[0]
		if app.Wrong != nil || !app.Wanted[eca.GlobalOAuthSettings].Has("future") || app.Wanted[eca.OAuthPolicies].Has("policyAction") != (alias == "uat") {
			t.Errorf("%s: wanted %v, %v", alias, app.Wanted, app.Wrong)
		}
	}
}
