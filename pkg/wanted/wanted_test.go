package wanted_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	projectpkg "github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// project returns the project of testdata, with an app, its settings, and policies for uat and other
// sandboxes. changes are contents by path; "" removes a file.
func project(t testing.TB, changes map[string]string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{"src/def/app.crt": {Data: certificate(t)}}
	dir := os.DirFS("testdata/project")
	err := fs.WalkDir(dir, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(dir, name)
		files[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range changes {
		files[name] = &fstest.MapFile{Data: []byte(content)}
		if content == "" {
			delete(files, name)
		}
	}
	return files
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

// sandbox returns the target with an alias.
func sandbox(alias string) wanted.Target {
	return wanted.Target{
		Username: "a@example.com", Alias: alias, Kind: platform.Sandbox, DomainURL: "https://example.sandbox.my.salesforce.com", Version: 66,
	}
}

func resolve(t *testing.T, location wanted.Location, target wanted.Target) *wanted.Resolved {
	t.Helper()
	source, err := wanted.Load(location)
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := source.Resolve(target)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

func Example() {
	files := project(new(testing.B), nil)
	source, err := wanted.Load(wanted.Location{Project: files, Package: "def", Sibling: files})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, alias := range []string{"uat", "sit"} {
		resolved, err := source.Resolve(sandbox(alias))
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
	fsys := counted{project(t, map[string]string{".forceignore": strings.Repeat("a\n", 6000)}), &opened}
	for _, pkg := range []string{"", "def"} {
		source, err := wanted.Load(wanted.Location{Project: fsys, Package: pkg, Sibling: fsys})
		if err != nil {
			t.Fatal(err)
		}
		opened = 0
		for _, alias := range []string{"uat", "prod"} {
			resolved, err := source.Resolve(sandbox(alias))
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

const (
	uatPolicies = "src/pol/uat/extlClntAppOauthPolicies/P.ecaOauthPlcy-meta.xml"
	header      = "src/def/externalClientApps/MyApp.eca-meta.xml"
)

func policies(app string) string {
	return `<ExtlClntAppOauthConfigurablePolicies xmlns="http://soap.sforce.com/2006/04/metadata"><externalClientApplication>` + app +
		`</externalClientApplication></ExtlClntAppOauthConfigurablePolicies>`
}

// TestDeployedPackageIsNotSearched: the hook runs after the deployment of its package, so the
// package's files are not deployed next.
func TestDeployedPackageIsNotSearched(t *testing.T) {
	t.Parallel()
	files := project(t, map[string]string{"src/def/extlClntAppOauthPolicies/Q.ecaOauthPlcy-meta.xml": policies("MyApp")})
	resolved := resolve(t, wanted.Location{Project: files, Package: "def", Sibling: files}, sandbox("uat"))
	if len(resolved.Policies) != 1 || resolved.Policies[0].Folder != "src/pol/uat" {
		t.Errorf("the policies are %+v, want only those of src/pol/uat", resolved.Policies)
	}
	// Without a given package, the run precedes the deployment.
	if resolved := resolve(t, wanted.Location{Project: files}, sandbox("uat")); len(resolved.Policies) != 2 {
		t.Errorf("the policies are %+v, want those of two packages", resolved.Policies)
	}
}

// TestIgnoredPolicies has two apps of which one has its policies applied: ignored policies count
// for that one alone.
func TestIgnoredPolicies(t *testing.T) {
	t.Parallel()
	config, err := os.ReadFile("testdata/project/sfdx-project.json")
	if err != nil {
		t.Fatal(err)
	}
	files := project(t, map[string]string{
		".forceignore":      "src/pol/**",
		"sfdx-project.json": strings.Replace(string(config), `"apps": {`, `"apps": { "Other": { "applyPolicies": true },`, 1),
		strings.Replace(header, "MyApp", "Other", 1):      string(project(t, nil)[header].Data),
		strings.Replace(uatPolicies, "P.eca", "O.eca", 1): policies("Other"),
	})
	resolved := resolve(t, wanted.Location{Project: files}, sandbox("uat"))
	if len(resolved.Apps) != 2 {
		t.Fatalf("%d apps", len(resolved.Apps))
	}
	for _, app := range resolved.Apps {
		want := app.Name == "Other"
		if got := len(app.Preflights(false)) > 0; got != want || app.Applied() != want {
			t.Errorf("%s: policies checked %v, applied %v, want %v", app.Name, got, app.Applied(), want)
		}
		if want := app.Wants[eca.OAuthPolicies]; app.Name == "MyApp" && (app.Deployer != wanted.ByNobody || want == nil || !want.ReadOnly || app.File(eca.OAuthPolicies) != "") {
			t.Errorf("the policies of MyApp are not compared alone, but deployed by %q", app.Deployer)
		}
		if app.Name == "MyApp" && app.Wanted[eca.GlobalOAuthSettings].Has("isClientCredentialsFlowEnabled") {
			t.Error("ignored policies of MyApp switch a flow on")
		}
	}
	if why := resolved.Policies[0].Why; strings.Contains(why, "not deployed") {
		t.Errorf("the policies of Other are used, but Why is %q", why)
	}
	// Policies that are deployed have precedence over ignored ones.
	files[".forceignore"] = &fstest.MapFile{Data: []byte(uatPolicies)}
	files["src/pol/uat/extlClntAppOauthPolicies/B.ecaOauthPlcy-meta.xml"] = &fstest.MapFile{Data: []byte(policies("MyApp"))}
	target := sandbox("uat")
	target.ApplyPolicies = true
	for _, app := range resolve(t, wanted.Location{Project: files}, target).Apps {
		if all := app.Preflights(false); app.Name == "MyApp" && (len(all) != 1 || all[0].Component.FullName != "B" || app.Wrong != nil) {
			t.Errorf("the policies of MyApp are %+v, %v, want only the deployed file", all, app.Wrong)
		}
	}
}

// TestCompetingPolicies has an app with policies in two packages, of which none can be applied.
func TestCompetingPolicies(t *testing.T) {
	t.Parallel()
	other := "src/def/extlClntAppOauthPolicies/Q.ecaOauthPlcy-meta.xml"
	files := project(t, map[string]string{other: policies("MyApp")})
	target := sandbox("uat")
	target.ApplyPolicies = true
	app := resolve(t, wanted.Location{Project: files}, target).Apps[0]
	wrong, ok := errors.AsType[*wanted.PoliciesError](app.Wrong)
	if !ok || !slices.Equal(wrong.Files, []string{other, uatPolicies}) || app.Applied() {
		t.Errorf("applied %v, %v, want an error about both files", app.Applied(), app.Wrong)
	}
	if all := app.Preflights(false); len(all) != 2 || all[1].First != all[0] {
		t.Errorf("the preflight checks %+v, want both files", all)
	}
}

// TestNoApps has no header that is deployed.
func TestNoApps(t *testing.T) {
	t.Parallel()
	for ignored, files := range map[string]fstest.MapFS{
		"":     project(t, map[string]string{header: ""}),
		header: project(t, map[string]string{".forceignore": "*.eca-meta.xml"}),
	} {
		source, err := wanted.Load(wanted.Location{Project: files, Package: "def"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = source.Resolve(sandbox("uat"))
		if none, ok := errors.AsType[*wanted.NoAppsError](err); !ok || *none != (wanted.NoAppsError{Place: "below src/def", Ignored: ignored}) {
			t.Errorf("got %v, want that there is no app, and that %q is ignored", err, ignored)
		}
	}
}

// TestIgnoredFilesAreNotRead has ignored policies that nobody deploys or applies.
func TestIgnoredFilesAreNotRead(t *testing.T) {
	t.Parallel()
	files := project(t, map[string]string{".forceignore": "src/pol/**", strings.Replace(uatPolicies, "P.eca", "O.eca", 1): "<"})
	resolved := resolve(t, wanted.Location{Project: files}, sandbox("uat"))
	if len(resolved.Policies) != 1 || !strings.HasSuffix(resolved.Policies[0].Why, "; .forceignore leaves them out, so they are not deployed") {
		t.Errorf("the policies are %+v, want that .forceignore leaves them out", resolved.Policies)
	}
}

// TestNamesInSource has names that the platform refuses.
func TestNamesInSource(t *testing.T) {
	t.Parallel()
	settings := func(app string) string {
		return `<ExtlClntAppOauthSettings xmlns="http://soap.sforce.com/2006/04/metadata"><commaSeparatedOauthScopes>Api</commaSeparatedOauthScopes><externalClientApplication>` + app + `</externalClientApplication></ExtlClntAppOauthSettings>`
	}
	const dir = "src/def/extlClntAppOauthSettings/"
	for file, test := range map[string]struct{ app, want string }{
		"Os__Settings_":  {"MyApp", dir + `Os__Settings_.ecaOauth-meta.xml: the API name "Os__Settings_" is invalid`},
		"My-Settings":    {"MyApp", dir + `My-Settings.ecaOauth-meta.xml: the API name "My-Settings" is invalid`},
		"OsSettings":     {" MyApp ", dir + `OsSettings.ecaOauth-meta.xml: externalClientApplication: " MyApp " has white space around it`},
		"ns__OsSettings": {"MyApp", ""},
	} {
		files := project(t, map[string]string{dir + file + ".ecaOauth-meta.xml": settings(test.app)})
		errs := resolve(t, wanted.Location{Project: files, Package: "def", Sibling: files}, sandbox("uat")).Apps[0].CheckNames()
		if len(errs) > 1 || len(errs) == 1 != (test.want != "") || len(errs) == 1 && !strings.HasPrefix(errs[0].Error(), test.want) {
			t.Errorf("%s of %q: got %v, want %q", file, test.app, errs, test.want)
		}
	}
}

// TestTwoSettings: the platform refuses a second component of a type of an app.
func TestTwoSettings(t *testing.T) {
	t.Parallel()
	const one = `<ExtlClntAppOauthSettings xmlns="http://soap.sforce.com/2006/04/metadata"><externalClientApplication>MyApp</externalClientApplication></ExtlClntAppOauthSettings>`
	files := project(t, map[string]string{"src/def/extlClntAppOauthSettings/A.ecaOauth-meta.xml": one, "src/def/extlClntAppOauthSettings/B.ecaOauth-meta.xml": one})
	source, err := wanted.Load(wanted.Location{Project: files, Package: "def", Sibling: files})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = source.Resolve(sandbox("uat")); err == nil || !strings.Contains(err.Error(), "A.ecaOauth-meta.xml and src/def/extlClntAppOauthSettings/B.ecaOauth-meta.xml are both the ExtlClntAppOauthSettings of MyApp") {
		t.Errorf("got %v, want an error about both files", err)
	}
}

// TestSuffixes: a file that sf would stop at is an error, and not left out in silence.
func TestSuffixes(t *testing.T) {
	t.Parallel()
	for suffix, wrong := range map[string]bool{"ecaglbloauth": true, "ExtlClntAppGlobalOauthSettings": true, "extlClntAppGlobalOauthSettings": true, "ecaGlblOauth": false, "other": false} {
		name := "src/def/extlClntAppGlobalOauthSets/G." + suffix + "-meta.xml"
		files := project(t, map[string]string{name: `<ExtlClntAppGlobalOauthSettings xmlns="http://soap.sforce.com/2006/04/metadata"><callbackUrl>https://mine.example.com</callbackUrl><externalClientApplication>MyApp</externalClientApplication></ExtlClntAppGlobalOauthSettings>`})
		source, err := wanted.Load(wanted.Location{Project: files, Package: "def", Sibling: files})
		if err != nil {
			t.Fatal(err)
		}
		want := name + ": sf does not know the suffix ." + suffix + "-meta.xml; rename the file to G.ecaGlblOauth-meta.xml"
		if _, err = source.Resolve(sandbox("uat")); wrong != (err != nil) || wrong && err.Error() != want {
			t.Errorf("%s: got %v, want an error: %v", suffix, err, wrong)
		}
	}
}

// TestRotationInSource: a switch that rotates credentials is left out with a warning if it is on, and without one if
// it is off, because nothing happens then.
func TestRotationInSource(t *testing.T) {
	t.Parallel()
	global := func(rotates string) string {
		return `<ExtlClntAppGlobalOauthSettings xmlns="http://soap.sforce.com/2006/04/metadata"><externalClientApplication>MyApp</externalClientApplication><label>G</label><shouldRotateConsumerKey>` + rotates +
			`</shouldRotateConsumerKey></ExtlClntAppGlobalOauthSettings>`
	}
	for rotates, warned := range map[string]bool{"true": true, "false": false} {
		files := project(t, map[string]string{"src/def/extlClntAppGlobalOauthSets/G.ecaGlblOauth-meta.xml": global(rotates)})
		resolved := resolve(t, wanted.Location{Project: files, Package: "def", Sibling: files}, sandbox("uat"))
		if got := strings.Contains(strings.Join(resolved.Warnings, "\n"), "shouldRotateConsumerKey is left out, because it would rotate"); got != warned {
			t.Errorf("%s: warned %v: %q", rotates, got, resolved.Warnings)
		}
		if want := resolved.Apps[0].Wants[eca.GlobalOAuthSettings]; want.Source.Has("shouldRotateConsumerKey") || want.Fields.Has("shouldRotateConsumerKey") {
			t.Errorf("%s: it is sent", rotates)
		}
	}
}

// TestUnknownNames: what the tables lack is wanted as stated, with a warning that concerns the org.
func TestUnknownNames(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for name, file := range project(t, nil) {
		files[name] = &fstest.MapFile{Data: []byte(strings.NewReplacer(
			`"globalOauthSettings": { "certificate": { "file": "app.crt" } }`, `"globalOauthSettings": { "future": true }`,
			`"Web"]`, `"web"]`, "<label>", "<lable/><label>", "<isClientCredentials", "<policyAction>block</policyAction><isClientCredentials",
		).Replace(string(file.Data)))}
	}
	source, err := wanted.Load(wanted.Location{Project: files, Package: "def", Sibling: files})
	if err != nil {
		t.Fatal(err)
	}
	lable := "src/def/externalClientApps/MyApp.eca-meta.xml: lable: ExternalClientApplication has no such element in API version 68.0; did you mean label?"
	global := "sfdx-project.json: plugins.eca.apps.MyApp.globalOauthSettings.future: ExtlClntAppGlobalOauthSettings has no such element in API version 68.0; check its name"
	scope := "sfdx-project.json: plugins.eca.apps.MyApp.environments.uat.oauthSettings.commaSeparatedOauthScopes: there is no OAuth scope \"web\" in API version 68.0; did you mean Web?"
	policy := "src/pol/uat/extlClntAppOauthPolicies/P.ecaOauthPlcy-meta.xml: policyAction: \"block\" is not one of Block, RaiseSessionLevel, StepUpMFA; did you mean Block?"
	for alias, want := range map[string][]string{"uat": {lable, global, scope, policy}, "sit": {lable, global}} {
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

// TestPackageWithoutName: sf permits packages without a name, and their directory is one to bootstrap.
func TestPackageWithoutName(t *testing.T) {
	t.Parallel()
	files := project(t, nil)
	config := strings.Replace(string(files["sfdx-project.json"].Data), `, "package": "def"`, "", 1)
	files["sfdx-project.json"] = &fstest.MapFile{Data: []byte(config)}
	files["sfdx-project.json"].Data = []byte(strings.Replace(config, `"apps": {`, `"apps": { "Other": {},`, 1)) // which is in no directory that is meant
	files["src/other/externalClientApps/Other.eca-meta.xml"] = files[header]
	resolved := resolve(t, wanted.Location{Project: files, PackageDirectory: "src/def", Sibling: files}, sandbox("uat"))
	if len(resolved.Apps) != 1 || resolved.Apps[0].Name != "MyApp" || len(resolved.Policies) != 1 || len(resolved.Warnings) > 0 {
		t.Errorf("apps %v, policies %v, warnings %q, want those of src/def", resolved.Apps, resolved.Policies, resolved.Warnings)
	}
}

// TestSumsOfArtifact: a run in an artifact warns if its digests are not those of what it carries. A file with
// policies of another package is not in it.
func TestSumsOfArtifact(t *testing.T) {
	t.Parallel()
	const script = "eca hook\n"
	sum := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	files := project(t, nil)
	proj, err := sfp.ParseProject(files["sfdx-project.json"].Data)
	if err != nil {
		t.Fatal(err)
	}
	var settings any
	if err := json.Unmarshal(proj.Plugins["eca"], &settings); err != nil {
		t.Fatal(err)
	}
	canonical, _ := json.Marshal(settings)
	const elsewhere = "src/pol/uat/extlClntAppOauthPolicies/P.ecaOauthPlcy-meta.xml"
	delete(files, elsewhere)
	files["scripts/postDeployment"] = &fstest.MapFile{Data: []byte("eca hook\r\n")}
	for _, test := range []struct{ settings, script, want string }{
		{sum(string(canonical)), sum(script), ""},
		{sum("{}"), sum(script), "src/def/eca.sum is stale: the artifact contains a different plugins.eca"},
		{sum(string(canonical)), sum("eca hook"), "src/def/eca.sum is stale: the artifact contains a different scripts/bootstrap-eca-oauth.sh"},
		{"merge", "", "src/def/eca.sum cannot be used"},
	} {
		files["src/def/eca.sum"] = &fstest.MapFile{Data: fmt.Appendf(nil, "%s  plugins.eca\n%s  scripts/bootstrap-eca-oauth.sh\n%s  %s\n", test.settings, test.script, sum("x"), elsewhere)}
		warnings := strings.Join(resolve(t, wanted.Location{Project: files, Package: "def"}, sandbox("uat")).Warnings, "\n")
		if test.want == "" && strings.Contains(warnings, "eca.sum") || !strings.Contains(warnings, test.want) {
			t.Errorf("warnings %q, want %q", warnings, test.want)
		}
	}
}

// TestPlainSF: in a project that sf deploys, the policies of an environment are beside the project file, and
// are applied unless the settings say otherwise.
func TestPlainSF(t *testing.T) {
	t.Parallel()
	const policies = `<ExtlClntAppOauthConfigurablePolicies xmlns="http://soap.sforce.com/2006/04/metadata"><externalClientApplication>MyApp</externalClientApplication><label>%s</label></ExtlClntAppOauthConfigurablePolicies>`
	const header = `<ExternalClientApplication xmlns="http://soap.sforce.com/2006/04/metadata"><distributionState>Local</distributionState><label>A</label></ExternalClientApplication>`
	load := func(settings string) *wanted.Source {
		fsys := fstest.MapFS{
			"sfdx-project.json":                            {Data: []byte(`{"packageDirectories": [{"path": "force-app", "default": true}], "plugins": {"eca": {` + settings + `}}}`)},
			"force-app/MyApp.eca-meta.xml":                 {Data: []byte(header)},
			".forceignore":                                 {Data: []byte("eca/\n")},
			"eca/policies/default/P.ecaOauthPlcy-meta.xml": {Data: fmt.Appendf(nil, policies, "default")},
			"eca/policies/uat/P.ecaOauthPlcy-meta.xml":     {Data: fmt.Appendf(nil, policies, "uat")},
		}
		source, err := wanted.Load(wanted.Location{Project: fsys, Sibling: fsys})
		if err != nil {
			t.Fatal(err)
		}
		return source
	}
	source := load("")
	if got := source.Environments(); source.Layout != "sf" || !slices.Equal(got, []string{"uat"}) {
		t.Errorf("layout %s, environments %v", source.Layout, got)
	}
	for alias, want := range map[string]string{"uat": "uat", "sit": "default", "": "default"} {
		resolved, err := source.Resolve(sandbox(alias))
		if err != nil {
			t.Fatal(err)
		}
		app := resolved.Apps[0]
		if got := app.Wanted[eca.OAuthPolicies].Text("label"); got != want || app.Deployer != wanted.ByECA || resolved.Policies[0].Folder != "eca/policies/"+want {
			t.Errorf("%q gets %q by %s from %v", alias, got, app.Deployer, resolved.Policies)
		}
	}
	production := sandbox("prod")
	production.Kind = platform.Production
	_, err := source.Resolve(production)
	if none, ok := errors.AsType[*projectpkg.EnvironmentError](err); !ok || none.Alias != "prod" || none.Sandbox {
		t.Errorf("production without a directory: %v", err)
	}
	for _, settings := range []string{`"applyPolicies": false`, `"apps": {"MyApp": {"applyPolicies": false}}`} {
		resolved, err := load(settings).Resolve(sandbox("uat"))
		if err != nil {
			t.Fatal(err)
		}
		if app := resolved.Apps[0]; app.Applied() || app.Deployer != wanted.ByOthers {
			t.Errorf("%s: applied %t, by %s", settings, app.Applied(), app.Deployer)
		}
	}
}

// TestPlugins: components that sfp cannot build are deployed from the environment's directory in the package, and what
// is not deployed is named.
func TestPlugins(t *testing.T) {
	t.Parallel()
	const header = `<ExternalClientApplication xmlns="http://soap.sforce.com/2006/04/metadata"><distributionState>Local</distributionState><label>A</label></ExternalClientApplication>`
	canvas := func(fields string) string {
		return `<ExtlClntAppCanvasSettings xmlns="http://soap.sforce.com/2006/04/metadata"><canvasUrl>https://a</canvasUrl><externalClientApplication>MyApp</externalClientApplication>` + fields + `</ExtlClntAppCanvasSettings>`
	}
	const security = `<ExtlClntAppOauthSecuritySettings xmlns="http://soap.sforce.com/2006/04/metadata"><externalClientApplication>MyApp</externalClientApplication></ExtlClntAppOauthSecuritySettings>`
	for _, test := range []struct {
		name     string
		files    map[string]string
		settings string
		target   wanted.Target
		want     string // the file, or a part of a warning or error
	}{
		{"of the environment", map[string]string{"eca/policies/uat/C.ecaCanvas-meta.xml": canvas(""), "eca/policies/default/C.ecaCanvas-meta.xml": canvas("")}, "", sandbox("uat"), "def/eca/policies/uat/C.ecaCanvas-meta.xml"},
		{"of default", map[string]string{"eca/policies/uat/C.ecaCanvas-meta.xml": canvas(""), "eca/policies/default/C.ecaCanvas-meta.xml": canvas("")}, "", sandbox("sit"), "def/eca/policies/default/C.ecaCanvas-meta.xml"},
		{"of no environment", map[string]string{"eca/policies/uat/C.ecaCanvas-meta.xml": canvas("")}, "", sandbox("sit"), "ExtlClntAppCanvasSettings of MyApp is not deployed: def/eca/policies has no directory for sit"},
		{"switched off", map[string]string{"eca/policies/uat/C.ecaCanvas-meta.xml": canvas("")}, `"applyPolicies": false`, sandbox("uat"), "def/eca/policies/uat/C.ecaCanvas-meta.xml is not deployed"},
		{"elsewhere", map[string]string{"hidden/C.ecaCanvas-meta.xml": canvas("")}, "", sandbox("uat"), "def/hidden/C.ecaCanvas-meta.xml is not deployed"},
		{"elsewhere, applied", map[string]string{"hidden/C.ecaCanvas-meta.xml": canvas("")}, `"applyPolicies": true`, sandbox("uat"), "def/hidden/C.ecaCanvas-meta.xml"},
		{"twice", map[string]string{"hidden/C.ecaCanvas-meta.xml": canvas(""), "hidden/D.ecaCanvas-meta.xml": canvas("")}, `"applyPolicies": true`, sandbox("uat"), "only one of them can be applied"},
		{"broken", map[string]string{"eca/policies/uat/C.ecaCanvas-meta.xml": "<"}, "", sandbox("uat"), "def/eca/policies/uat/C.ecaCanvas-meta.xml: "},
		{"too new", map[string]string{"eca/policies/uat/C.ecaCanvas-meta.xml": canvas("")}, "", wanted.Target{Alias: "uat", Username: "a@example.com", Kind: platform.Sandbox, Version: 65}, "needs API version 66.0, and the run has 65.0"},
		{"not written here", map[string]string{"hidden/S.ecaOauthSecurity-meta.xml": security}, `"applyPolicies": true`, sandbox("uat"), "def/hidden/S.ecaOauthSecurity-meta.xml is not deployed, because no deployment contains it"},
	} {
		fsys := fstest.MapFS{
			"sfdx-project.json":      {Data: []byte(`{"packageDirectories": [{"path": "def", "package": "def", "type": "source"}], "plugins": {"eca": {` + test.settings + `}}}`)},
			"def/MyApp.eca-meta.xml": {Data: []byte(header)},
			".forceignore":           {Data: []byte("def/eca/\ndef/hidden/\n")},
		}
		for name, content := range test.files {
			fsys["def/"+name] = &fstest.MapFile{Data: []byte(content)}
		}
		source, err := wanted.Load(wanted.Location{Project: fsys, Sibling: fsys})
		if err != nil {
			t.Fatal(err)
		}
		resolved, err := source.Resolve(test.target)
		got := fmt.Sprint(err)
		if err == nil {
			got = strings.Join(resolved.Warnings, "\n")
			if want := resolved.Apps[0].Wants[eca.CanvasSettings]; want != nil {
				got = resolved.Apps[0].File(eca.CanvasSettings)
				if want.Fields.Text("canvasUrl") != "https://a" || want.Fields.Has("externalClientApplication") || want.Names[0] != "C" {
					t.Errorf("%s: %+v", test.name, want)
				}
			}
		}
		if exact := strings.HasPrefix(test.want, "def/") && strings.HasSuffix(test.want, ".xml"); exact && got != test.want || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
