package bootstrap_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/wanted"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

const ns = `xmlns="http://soap.sforce.com/2006/04/metadata"`

// project is an sfp project in memory: files by path.
type project map[string]string

func (p project) fs() fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, content := range p {
		fsys[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return fsys
}

// with returns the project with more files, or other ones.
func (p project) with(files project) project {
	all := maps.Clone(p)
	maps.Copy(all, files)
	return all
}

func header(name string) project {
	return project{"src/def/externalClientApps/" + name + ".eca-meta.xml": `<ExternalClientApplication ` + ns + `><distributionState>Local</distributionState><label>` + name + ` label</label></ExternalClientApplication>`}
}

func policies(env, app, fields string) project {
	return project{"src/pol/" + env + "/extlClntAppOauthPolicies/" + app + "_oauthPlcy.ecaOauthPlcy-meta.xml": `<ExtlClntAppOauthConfigurablePolicies ` + ns + `><externalClientApplication>` + app + `</externalClientApplication>` + fields + `</ExtlClntAppOauthConfigurablePolicies>`}
}

func settings(apps string) project {
	return project{"sfdx-project.json": `{"packageDirectories": [
		{"path": "src/def", "package": "def", "type": "source"},
		{"path": "src/pol", "package": "pol", "type": "source", "aliasfy": true}
	], "sourceApiVersion": "67.0", "plugins": {"eca": {"apps": {` + apps + `}}}}`}
}

// set returns the project with more of plugins.eca.
func (p project) set(more string) project {
	return p.with(project{"sfdx-project.json": strings.Replace(p["sfdx-project.json"], `"eca": {`, `"eca": {`+more+`, `, 1)})
}

// simple is a project with one app and nothing said of it.
func simple() project { return settings("").with(header("MyApp")) }

const clientCredentials = `<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><clientCredentialsFlowUser>admin@example.com</clientCredentialsFlowUser>`

// org is a simulated org with a session and what a test asks of it.
type org struct {
	*simorg.Server
	t     testing.TB
	alias string
	kind  platform.Kind

	client *http.Client // nil for the usual one
	bare   bool         // runs bring the headers, and nobody else does
}

func startOrg(t testing.TB, config simorg.Config) *org {
	t.Helper()
	return &org{Server: simorgtest.Start(t, config), t: t, alias: "uat", kind: platform.Sandbox}
}

func (o *org) options(p project, pkg string) (*attempt, error) {
	o.t.Helper()
	source, err := wanted.Load(wanted.Location{Project: p.fs(), Dir: ".", Package: pkg, Sibling: p.fs()})
	if err != nil {
		return nil, err
	}
	conn := connection(o.Server)
	conn.HTTPClient = o.client
	return &attempt{
		Conn:    conn,
		Source:  source,
		Options: bootstrap.Options{Alias: o.alias, Kind: o.kind, Headers: o.bare},
	}, nil
}

// attempt is a run that is about to be made.
type attempt struct {
	bootstrap.Options
	PlanOnly bool
	Conn     *salesforce.Conn
	Source   *wanted.Source
}

func (a *attempt) run(ctx context.Context) (*bootstrap.Report, error) {
	if !a.PlanOnly {
		return bootstrap.Run(ctx, a.Conn, a.Source, a.Options)
	}
	resolved, err := bootstrap.Resolve(ctx, a.Conn, a.Source, a.Options)
	if err != nil {
		return nil, err
	}
	plan, err := resolved.Plan(ctx)
	if err != nil {
		return resolved.Report(), err
	}
	return plan.Report(), plan.Err()
}

// connection returns a connection to a simulated org with a session of it.
func connection(org *simorg.Server) *salesforce.Conn {
	return &salesforce.Conn{InstanceURL: org.URL, Version: apiversion.Latest, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
}

// run deploys the headers and bootstraps package def.
func (o *org) run(p project) (*bootstrap.Report, error) {
	o.t.Helper()
	options, err := o.options(p, "def")
	if err != nil {
		return nil, err
	}
	o.deployHeaders(p)
	o.ForgetRequests()
	return options.run(o.t.Context())
}

// deployHeaders does what sfp does before a run.
func (o *org) deployHeaders(p project) {
	o.t.Helper()
	if o.bare {
		return
	}
	if err := o.Deploy(p.fs(), "src/def"); err != nil {
		o.t.Fatal(err)
	}
}

func (o *org) mustRun(p project) *bootstrap.Report {
	o.t.Helper()
	report, err := o.run(p)
	if err != nil {
		o.t.Fatal(err)
	}
	return report
}

// writes returns the writing requests since the last run began.
func (o *org) writes() []simorg.Request {
	return slices.DeleteFunc(o.Requests(), func(r simorg.Request) bool { return !r.Writes() })
}

// one returns the only component of a type.
func (o *org) one(typ string) simorg.Component {
	o.t.Helper()
	all := o.Components(typ)
	if len(all) != 1 {
		o.t.Fatalf("the org has %d components of %s: %v", len(all), typ, all)
	}
	return all[0]
}

// touched returns how many components and grants a run has changed, or was to change.
func touched(r *bootstrap.Report) int { return r.Changed + r.Pending }

func actions(r *bootstrap.Report) string {
	var all []string
	for _, app := range r.Apps {
		for _, c := range app.Components {
			all = append(all, fmt.Sprintf("%s %s", c.FullName, c.Action))
		}
	}
	return strings.Join(all, ", ")
}

func Example() {
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	files := simple().fs()
	if err := org.Deploy(files, "src/def"); err != nil { // what sfp does before
		fmt.Println(err)
		return
	}
	source, err := wanted.Load(wanted.Location{Project: files, Package: "def"})
	if err != nil {
		fmt.Println(err)
		return
	}
	conn := &salesforce.Conn{
		InstanceURL: org.URL,
		Tokens:      oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()}),
	}
	for range 2 {
		report, err := bootstrap.Run(context.Background(), conn, source, bootstrap.Options{})
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, c := range report.Apps[0].Components {
			fmt.Println(c.FullName, c.Action)
		}
	}
	// Output:
	// MyApp_oauth create
	// MyApp_glbloauth create
	// MyApp_plcy create
	// MyApp_oauth unchanged
	// MyApp_glbloauth unchanged
	// MyApp_plcy unchanged
}

// facts are the answers of an org that creates policies by itself, or that lists no components.
func facts(auto, listNothing bool) platform.Answers {
	answers := platform.Answers{"policies-with-consumer": "none", "components-listed": "listed"}
	if auto {
		answers["policies-with-consumer"] = "created"
	}
	if listNothing {
		answers["components-listed"] = "empty"
	}
	return answers
}

func TestFirstAndSecondRun(t *testing.T) {
	t.Parallel()
	for _, auto := range []bool{false, true} {
		t.Run(fmt.Sprintf("auto policies %v", auto), func(t *testing.T) {
			o := startOrg(t, simorg.Config{Facts: facts(auto, false)})
			report := o.mustRun(simple())
			global := o.one(eca.GlobalOAuthSettings)
			if global.Fields["callbackUrl"] != o.URL || global.Fields["label"] != "MyApp label" || global.Fields["consumerKey"] == "" {
				t.Errorf("the global settings are %v", global)
			}
			if oauth := o.one(eca.OAuthSettings); oauth.Fields["commaSeparatedOauthScopes"] != "Api, RefreshToken" {
				t.Errorf("the OAuth settings are %v", oauth)
			}
			if plugins := o.one(eca.PluginPolicies); plugins.Fields["isOauthPluginEnabled"] != "true" || plugins.Fields["isEnabled"] != "true" {
				t.Errorf("the policies are %v", plugins)
			}
			if key := report.Apps[0].ConsumerKey; len(key) > 20 || !strings.HasPrefix(key, "3MVG9") {
				t.Errorf("the report shows the consumer key as %s", key)
			}

			report = o.mustRun(simple())
			if touched(report) != 0 || o.one(eca.GlobalOAuthSettings).Fields["consumerKey"] != global.Fields["consumerKey"] {
				t.Errorf("the second run did %s", actions(report))
			}
			// The policies of the environment can be deployed now.
			if err := o.Deploy(policies("uat", "MyApp", "").fs(), "src/pol"); (err == nil) == auto {
				t.Errorf("deploying policies gives %v", err)
			}
		})
	}
}

func TestTwentyApps(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	p := settings("")
	for i := range 20 {
		p = p.with(header(fmt.Sprintf("App%02d", i)))
	}
	o.mustRun(p)
	calls := make(map[string]int)
	for _, r := range o.writes() {
		calls[r.Type]++
	}
	for _, typ := range []string{eca.OAuthSettings, eca.GlobalOAuthSettings, eca.PluginPolicies} {
		if calls[typ] != 2 || len(o.Components(typ)) != 20 {
			t.Errorf("%s: %d calls for %d components", typ, calls[typ], len(o.Components(typ)))
		}
	}
	if o.mustRun(p); len(o.writes()) > 0 {
		t.Error("the second run writes")
	}
}

// TestExistingComponents meets an org where everything exists under odd names,
// with fields that the project says nothing of.
func TestExistingComponents(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		listNothing bool // so that the names have to be usual enough to be found
		names       []string
	}{
		{false, []string{"odd_one", "AppGlobal2", "x"}},
		{true, []string{"MyApp", "MyAppGlblOAuth", "MyApp_defaultPolicy"}},
		{true, []string{"MyAppOAuthSettings", "MyApp_glbloauth", "MyApp_plcy"}},
		{true, []string{"MyApp", "MyApp", "MyApp"}},
	} {
		t.Run(fmt.Sprintf("list nothing %v, %s", test.listNothing, test.names), func(t *testing.T) {
			answers := facts(false, test.listNothing)
			answers["security-settings-with-consumer"] = "created"
			o := startOrg(t, simorg.Config{Facts: answers})
			names := test.names
			p := settings(`"MyApp": {"globalOauthSettings": {"isDeviceFlowEnabled": true}}`).with(header("MyApp"))
			if err := o.Deploy(p.fs(), "src/def"); err != nil {
				t.Fatal(err)
			}
			o.upsert(
				satellite(eca.OAuthSettings, names[0], "MyApp", metadata.Field{Name: "commaSeparatedOauthScopes", Text: "Web"}, metadata.Field{Name: "trustedIpRanges", Fields: []metadata.Field{{Name: "endIpAddress", Text: "10.0.0.9"}, {Name: "startIpAddress", Text: "10.0.0.1"}}}),
				satellite(eca.GlobalOAuthSettings, names[1], "MyApp", metadata.Field{Name: "callbackUrl", Text: "https://kept.example.com"}, metadata.Field{Name: "certificate", Text: "KEPT"}, metadata.Field{Name: "isPkceRequired", Text: "false"}),
				satellite(eca.PluginPolicies, names[2], "MyApp", metadata.Field{Name: "isEnabled", Text: "true"}, metadata.Field{Name: "isSamlPluginEnabled", Text: "false"}),
			)
			before := o.one(eca.GlobalOAuthSettings)

			report := o.mustRun(p)
			if want := names[0] + " unchanged, " + names[1] + " update, " + names[2] + " unchanged"; actions(report) != want {
				t.Errorf("did %s, want %s", actions(report), want)
			}
			after := o.one(eca.GlobalOAuthSettings)
			before.Fields["isDeviceFlowEnabled"] = "true"
			if !maps.Equal(before.Fields, after.Fields) || before.Secret != after.Secret {
				t.Errorf("before %v\nafter  %v", before.Fields, after.Fields)
			}
			if len(o.writes()) != 1 {
				t.Errorf("%d writes", len(o.writes()))
			}
			if oauth := o.one(eca.OAuthSettings); oauth.Fields["commaSeparatedOauthScopes"] != "Web" {
				t.Errorf("a default was laid over what exists: %v", oauth)
			}
			if o.mustRun(p); len(o.writes()) > 0 {
				t.Error("the next run writes again")
			}
		})
	}
}

// upsert brings components to the org as somebody else would.
func (o *org) upsert(components ...*metadata.Component) {
	o.t.Helper()
	client := &mdapi.Client{Conn: connection(o.Server)}
	results, err := client.Upsert(o.t.Context(), components)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, r := range results {
		if !r.Success {
			o.t.Fatal(r.Errors[0])
		}
	}
}

func satellite(typ, fullName, app string, fields ...metadata.Field) *metadata.Component {
	return &metadata.Component{Type: typ, FullName: fullName, Fields: append(fields, metadata.Field{Name: "externalClientApplication", Text: app})}
}

// TestNothingUnseenIsOverwritten has an org that lists nothing, and components
// that only a closer look finds.
func TestNothingUnseenIsOverwritten(t *testing.T) {
	t.Parallel()
	on, off := "true", "false"
	plugins := func(name string) *metadata.Component {
		return satellite(eca.PluginPolicies, name, "MyApp", metadata.Field{Name: "isEnabled", Text: on}, metadata.Field{Name: "isOauthPluginEnabled", Text: on}, metadata.Field{Name: "isSamlPluginEnabled", Text: off}, metadata.Field{Name: "startUrl", Text: "https://kept"})
	}
	global := func(name string) *metadata.Component {
		return satellite(eca.GlobalOAuthSettings, name, "MyApp", metadata.Field{Name: "callbackUrl", Text: "https://kept"}, metadata.Field{Name: "certificate", Text: "KEPT"}, metadata.Field{Name: "isDeviceFlowEnabled", Text: on})
	}
	for _, test := range []struct {
		name       string
		components []*metadata.Component
		settled    bool // the second run finds everything by its name
	}{
		{"only policies, of an app with SAML", []*metadata.Component{plugins("MyApp_plcy")}, true},
		{"OAuth settings under an odd name", []*metadata.Component{satellite(eca.OAuthSettings, "Odd", "MyApp", metadata.Field{Name: "commaSeparatedOauthScopes", Text: "Web"}), global("MyApp_glbloauth"), plugins("MyApp_plcy")}, false},
		{"all under odd names", []*metadata.Component{satellite(eca.OAuthSettings, "Odd1", "MyApp", metadata.Field{Name: "commaSeparatedOauthScopes", Text: "Web"}), global("Odd2"), plugins("Odd3")}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := startOrg(t, simorg.Config{Facts: facts(false, true)})
			p := settings(`"MyApp": {"policies": {"isMobilePluginEnabled": false}}`).with(header("MyApp"))
			if err := o.Deploy(p.fs(), "src/def"); err != nil {
				t.Fatal(err)
			}
			o.upsert(test.components...)
			report := o.mustRun(p)
			for _, c := range report.Apps[0].Components {
				if !c.Done {
					t.Errorf("%s %s is not done: %s", c.FullName, c.Action, c.Error)
				}
			}
			got := o.one(eca.PluginPolicies).Fields
			if got["startUrl"] != "https://kept" || got["isSamlPluginEnabled"] != off || got["isMobilePluginEnabled"] != off {
				t.Errorf("the policies are %v", got)
			}
			if len(test.components) > 1 {
				got := o.one(eca.GlobalOAuthSettings).Fields
				if got["callbackUrl"] != "https://kept" || got["certificate"] != "KEPT" || got["isDeviceFlowEnabled"] != on {
					t.Errorf("the global settings are %v", got)
				}
			}
			if report = o.mustRun(p); touched(report) > 0 || test.settled && len(o.writes()) > 0 {
				t.Errorf("the second run did %s with %d writes", actions(report), len(o.writes()))
			}
		})
	}
}

// TestOrderOfWrites makes sure that whatever exists already, an app's policies
// come after its consumer.
func TestOrderOfWrites(t *testing.T) {
	t.Parallel()
	for _, auto := range []bool{false, true} {
		o := startOrg(t, simorg.Config{Facts: facts(auto, true)})
		p := settings(`"MyApp": {"policies": {"isSamlPluginEnabled": false}}`).with(header("MyApp"))
		if err := o.Deploy(p.fs(), "src/def"); err != nil {
			t.Fatal(err)
		}
		o.upsert(satellite(eca.OAuthSettings, "an_odd_one", "MyApp"))
		o.mustRun(p)
		var order []string
		for _, r := range o.writes() {
			order = append(order, strings.TrimPrefix(r.Type, "ExtlClntApp"))
		}
		if want := "OauthSettings GlobalOauthSettings ConfigurablePolicies"; strings.Join(order, " ") != want {
			t.Errorf("the writes were %v, want %s", order, want)
		}
		if got := o.one(eca.PluginPolicies); got.Fields["isSamlPluginEnabled"] != "false" || strings.HasSuffix(got.FullName, "_defaultPolicy") != auto {
			t.Errorf("the policies are %v", got)
		}
	}
}

// clockedOrg returns an org without a network, for a bubble of synctest: every request takes
// a second, so that the rounds of requests can be counted however slow the machine is.
func clockedOrg(t *testing.T, config simorg.Config) *org {
	config.Latency = time.Second - simorgtest.Transit
	o := &org{Server: &simorg.Server{Org: simorg.New(config), URL: "https://acme.my.salesforce.com"}, t: t, alias: "uat", kind: platform.Sandbox}
	o.client = &http.Client{Transport: simorgtest.InProcess(o.Org)}
	return o
}

// checkBounds runs on a fresh org and checks that the rounds of requests of a first and of
// a second run are within their bounds.
func checkBounds(t *testing.T, p project, config simorg.Config, kind platform.Kind) {
	first, second := 5, 2
	if kind == platform.Unknown {
		first, second = first+1, second+1 // the org is asked before
	}
	o := clockedOrg(t, config)
	o.kind = kind
	o.mustRun(p)
	if rounds := simorg.Sequential(o.Requests()); rounds > first {
		t.Errorf("the first run took %d rounds, want %d at most", rounds, first)
	}
	o.mustRun(p)
	if n, rounds := len(o.writes()), simorg.Sequential(o.Requests()); n > 0 || rounds > second {
		t.Errorf("the second run took %d writes and %d rounds, want none and %d at most", n, rounds, second)
	}
}

// TestBounds holds the bounds on rounds of requests in all configurations: a first run
// takes 5, a second one writes nothing and takes 2. The preflight of policies adds none.
func TestBounds(t *testing.T) {
	t.Parallel()
	stated := settings(`"MyApp": {"policies": {"isSamlPluginEnabled": false}, "globalOauthSettings": {"isPkceRequired": false}}`).with(header("MyApp"))
	fallback := stated.with(policies("default", "MyApp", clientCredentials)).set(`"preflight": "warn"`)
	for _, auto := range []bool{false, true} {
		for _, listNothing := range []bool{false, true} {
			for name, p := range map[string]project{"simple": simple(), "stated": stated, "default folder": fallback} {
				for _, kind := range []platform.Kind{platform.Sandbox, platform.Unknown} {
					t.Run(fmt.Sprintf("%s, auto policies %t, list nothing %t, kind %q", name, auto, listNothing, kind), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							checkBounds(t, p, simorg.Config{Facts: facts(auto, listNothing)}, kind)
						})
					})
				}
			}
		}
	}
}

// TestUncertain tells a write of which no answer came from one that was refused.
func TestUncertain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		fault     simorg.Fault
		uncertain bool
	}{
		{"cut", simorg.Fault{Drop: true, After: true}, true},
		{"bad gateway", simorg.Fault{Status: 502}, true},
		{"gave up", simorg.SOAPFault("SERVER_UNAVAILABLE", "busy"), true},
		{"refused", simorg.SOAPFault("REQUEST_LIMIT_EXCEEDED", "limit"), false},
		{"redirect", simorg.Fault{Status: 302}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := startOrg(t, simorg.Config{})
			test.fault.Fits = func(r simorg.Request) bool { return r.Type == eca.GlobalOAuthSettings && r.Writes() }
			o.Inject(test.fault)
			report, err := o.run(simple())
			if err == nil {
				t.Fatal("there is no error")
			}
			got := report.Apps[0].Components
			if !got[0].Done || got[1].Done || got[1].Uncertain != test.uncertain || got[2].Uncertain {
				t.Errorf("the report is %+v", got)
			}
		})
	}
}

// TestTakenNames has other apps' components under all names that an app's own
// could have.
func TestTakenNames(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	p := settings("").with(header("MyApp")).with(header("Other")).with(header("Third")).with(header("Fourth"))
	if err := o.Deploy(p.fs(), "src/def"); err != nil {
		t.Fatal(err)
	}
	o.upsert(satellite(eca.OAuthSettings, "MYAPP_oauth", "Other"), satellite(eca.OAuthSettings, "MyApp", "Third"), satellite(eca.OAuthSettings, "MyAppOAuthSettings", "Fourth"))
	report, err := o.run(settings("").with(header("MyApp")))
	if err == nil || !strings.Contains(err.Error(), "all its possible names are taken") || report.Apps[0].Components[1].Done || len(o.writes()) > 0 {
		t.Errorf("got %v, want %q", err, "all its possible names are taken")
	}
	options, err := o.options(settings("").with(header("MyApp")), "def")
	if err != nil {
		t.Fatal(err)
	}
	options.PlanOnly = true
	if _, err := options.run(t.Context()); err == nil {
		t.Error("the plan says nothing")
	}
}

// TestLostComponent has an org that accepts global settings and does not have
// them, or has them without a consumer.
func TestLostComponent(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`<records xsi:nil="true"/>`: "does not have it",
		`<records><fullName>MyApp_glbloauth</fullName><callbackUrl>%s</callbackUrl><externalClientApplication>MyApp</externalClientApplication><label>MyApp label</label></records>`: "no consumer key",
	} {
		o := startOrg(t, simorg.Config{})
		o.Inject(simorg.Fault{
			Fits: func(r simorg.Request) bool {
				return r.Operation == "readMetadata" && r.Type == eca.GlobalOAuthSettings
			},
			Status: 200,
			Body:   `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><s:Body><readMetadataResponse><result>` + strings.ReplaceAll(body, "%s", o.URL) + `</result></readMetadataResponse></s:Body></s:Envelope>`,
		})
		if _, err := o.run(simple()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestNamesThatOthersHave has components of another app under the names that are
// usual for this one.
func TestNamesThatOthersHave(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	p := settings("").with(header("MyApp")).with(header("Other"))
	if err := o.Deploy(p.fs(), "src/def"); err != nil {
		t.Fatal(err)
	}
	o.upsert(
		satellite(eca.OAuthSettings, "MyApp_oauth", "Other"), satellite(eca.GlobalOAuthSettings, "MyApp_glbloauth", "Other"),
		satellite(eca.OAuthSettings, "Odd", "MyApp"), satellite(eca.GlobalOAuthSettings, "Odd2", "MyApp"),
		satellite(eca.PluginPolicies, "MyApp_plcy", "Other", metadata.Field{Name: "isEnabled", Text: "true"}),
	)
	report := o.mustRun(p)
	if want := "Odd unchanged, Odd2 unchanged, MyApp_defaultPolicy create, MyApp_oauth unchanged, MyApp_glbloauth unchanged, MyApp_plcy unchanged"; actions(report) != want {
		t.Errorf("did %s, want %s", actions(report), want)
	}
	if report = o.mustRun(p); touched(report) > 0 {
		t.Errorf("the second run did %s", actions(report))
	}
}

func TestNamesDifferByMoreThanCase(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	o.mustRun(simple())
	p := settings("").with(project{"src/def/externalClientApps/MYAPP.eca-meta.xml": header("MyApp")["src/def/externalClientApps/MyApp.eca-meta.xml"]})
	if report := o.mustRun(p); touched(report) > 0 {
		t.Errorf("did %s", actions(report))
	}
}

// TestDefaultsOfNewComponentsAreConfirmed has an org that keeps something else
// than the defaults that it was sent.
func TestDefaultsOfNewComponentsAreConfirmed(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	o.Inject(simorg.Fault{
		Fits: func(r simorg.Request) bool {
			return r.Operation == "readMetadata" && r.Type == eca.GlobalOAuthSettings
		},
		Status: 200,
		Body:   `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><readMetadataResponse><result><records><fullName>MyApp_glbloauth</fullName><callbackUrl>https://other</callbackUrl><consumerKey>k</consumerKey><externalClientApplication>MyApp</externalClientApplication><label>MyApp label</label></records></result></readMetadataResponse></s:Body></s:Envelope>`,
	})
	_, err := o.run(simple())
	var mismatch *reconcile.MismatchError
	if !errors.As(err, &mismatch) || len(mismatch.Changes) != 1 || mismatch.Changes[0].Field != "callbackUrl" {
		t.Errorf("got %v, want %T", err, mismatch)
	}
}

// TestNewOAuthSettingsAreConfirmed has an org that keeps other scopes than it was
// sent.
func TestNewOAuthSettingsAreConfirmed(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	reads := 0
	o.Inject(simorg.Fault{
		Fits: func(r simorg.Request) bool {
			if r.Operation == "readMetadata" && r.Type == eca.OAuthSettings {
				reads++
			}
			return reads == 2
		},
		Status: 200,
		Body:   `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><readMetadataResponse><result><records><fullName>MyApp_oauth</fullName><commaSeparatedOauthScopes>Api</commaSeparatedOauthScopes><externalClientApplication>MyApp</externalClientApplication><label>MyApp label</label></records></result></readMetadataResponse></s:Body></s:Envelope>`,
	})
	_, err := o.run(simple())
	var mismatch *reconcile.MismatchError
	if !errors.As(err, &mismatch) || mismatch.Changes[0].Field != "commaSeparatedOauthScopes" {
		t.Errorf("got %v, want %T", err, mismatch)
	}
}

func TestMergeMode(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	p := simple().with(project{"sfdx-project.json": strings.Replace(settings("")["sfdx-project.json"], `"aliasfy": true`, `"aliasfy": {"mergeMode": true}`, 1)}).
		with(policies("default", "MyApp", clientCredentials)).with(policies("uat", "Other", ""))
	o.mustRun(p)
	if o.one(eca.GlobalOAuthSettings).Fields["isClientCredentialsFlowEnabled"] != "true" {
		t.Error("the default folder does not count behind the environment's")
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pol_sfpowerscripts_artifact_1.0.0-1.zip"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := startOrg(t, simorg.Config{})
	p := settings(`"MyAp": {}`).with(header("MyApp"))
	options, err := o.options(p, "")
	if err != nil {
		t.Fatal(err)
	}
	if options.Source, err = wanted.Load(wanted.Location{Project: p.fs(), Package: "def", Artifacts: dir}); err != nil {
		t.Fatal(err)
	}
	options.PlanOnly = true
	if err := o.Deploy(header("MyApp").fs(), "src/def"); err != nil {
		t.Fatal(err)
	}
	report, err := options.run(t.Context())
	if err != nil || len(report.Warnings) != 2 || !strings.Contains(report.Warnings[0], "plugins.eca.apps.MyAp is for an app without a header here; did you mean MyApp?") || !strings.Contains(report.Warnings[1], "pol_sfpowerscripts_artifact_1.0.0-1.zip: zip: not a valid zip file") {
		t.Errorf("%v, %v", report, err)
	}
}

// TestNamesOfOtherApps makes sure that components are matched by their link.
func TestNamesOfOtherApps(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	p := settings("").with(header("A")).with(header("A_oauth")).with(header("A_glbloauth"))
	o.mustRun(p)
	for _, typ := range []string{eca.OAuthSettings, eca.GlobalOAuthSettings, eca.PluginPolicies} {
		for _, c := range o.Components(typ) {
			if app := c.Fields["externalClientApplication"]; !strings.HasPrefix(c.FullName, app+"_") {
				t.Errorf("%s %s belongs to %s", typ, c.FullName, app)
			}
		}
	}
	if report := o.mustRun(p); touched(report) > 0 {
		t.Errorf("the next run did %s", actions(report))
	}
}

func TestEnvironmentSettings(t *testing.T) {
	t.Parallel()
	p := settings(`"MyApp": {
		"globalOauthSettings": {"callbackUrl": ["https://base.example.com", "{orgDomainUrl}/x/{alias}"], "isPkceRequired": false},
		"environments": {"prod": {"globalOauthSettings": {"callbackUrl": "https://prod.example.com"}}, "default": {"globalOauthSettings": {"isPkceRequired": true}}}
	}`).with(header("MyApp"))
	for _, test := range []struct {
		alias             string
		kind              platform.Kind
		environment, pkce string
		callback          string
	}{
		{"uat", platform.Sandbox, "default", "true", "https://base.example.com\n%s/x/uat"},
		{"prod", platform.Production, "prod", "false", "https://prod.example.com"},
		{"other", platform.Production, "", "false", "https://base.example.com\n%s/x/other"},
	} {
		o := startOrg(t, simorg.Config{})
		o.alias, o.kind = test.alias, test.kind
		report := o.mustRun(p)
		global := o.one(eca.GlobalOAuthSettings).Fields
		want := strings.ReplaceAll(test.callback, "%s", o.URL)
		if report.Apps[0].Environment != test.environment || global["isPkceRequired"] != test.pkce || global["callbackUrl"] != want {
			t.Errorf("%s: environment %q, %v", test.alias, report.Apps[0].Environment, global)
		}
	}
}

func TestPoliciesImply(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{Users: []simorg.User{{Username: "run@example.com"}}})
	p := simple().with(policies("uat", "MyApp", strings.ReplaceAll(clientCredentials, "admin@", "run@"))).
		with(policies("prod", "MyApp", "<broken>").with(policies("default", "Other", "")))
	report := o.mustRun(p)
	if o.one(eca.GlobalOAuthSettings).Fields["isClientCredentialsFlowEnabled"] != "true" {
		t.Error("client credentials in the policies did not reach the global settings")
	}
	if len(report.Policies) != 1 || report.Policies[0].Folder != "src/pol/uat" || report.Policies[0].Origin != "project" {
		t.Errorf("the policies are %+v", report.Policies)
	}
	if err := o.Deploy(p.fs(), "src/pol/uat"); err != nil {
		t.Errorf("the policies cannot be deployed: %v", err)
	}
}

// TestBadInputSendsNothing lists input that must end a run before the org hears
// of it, and what the one message has to name.
func TestBadInputSendsNothing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		p     project
		alias string
		want  []string
	}{
		{"malformed header", simple().with(project{"src/def/externalClientApps/MyApp.eca-meta.xml": "<a"}), "uat", []string{"src/def/externalClientApps/MyApp.eca-meta.xml", "not well-formed"}},
		{"other root", simple().with(project{"src/def/externalClientApps/MyApp.eca-meta.xml": "<CustomObject " + ns + "/>"}), "uat", []string{"MyApp.eca-meta.xml", "the root element is CustomObject"}},
		{"two headers", simple().with(project{"src/def/more/myapp.eca-meta.xml": header("MyApp")["src/def/externalClientApps/MyApp.eca-meta.xml"]}), "uat", []string{"are headers of the same name", "src/def/externalClientApps/MyApp.eca-meta.xml", "src/def/more/myapp.eca-meta.xml"}},
		{"no header", settings("").with(project{"src/def/readme.md": ""}), "uat", []string{"no External Client App", "src/def"}},
		{"unknown setting", settings(`"MyApp": {"globalOAuthSettings": {}}`).with(header("MyApp")), "uat", []string{"sfdx-project.json", "plugins.eca.apps.MyApp.globalOAuthSettings", "globalOauthSettings"}},
		{"app in other case", settings(`"myapp": {}`).with(header("MyApp")), "uat", []string{"plugins.eca.apps.myapp", "is named MyApp"}},
		{"unknown placeholder", settings(`"MyApp": {"globalOauthSettings": {"callbackUrl": "{orgUrl}/x"}}`).with(header("MyApp")), "uat", []string{"plugins.eca.apps.MyApp.globalOauthSettings.callbackUrl", "{orgUrl}"}},
		{"only policies, broken", simple().with(project{"src/pol/uat/P.ecaOauthPlcy-meta.xml": "<ExtlClntAppOauth"}), "uat", []string{"src/pol/uat/P.ecaOauthPlcy-meta.xml", "not well-formed"}},
		{"policies of no app", simple().with(project{"src/pol/uat/P.ecaOauthPlcy-meta.xml": "<ExtlClntAppOauthConfigurablePolicies " + ns + "/>"}), "uat", []string{"src/pol/uat/P.ecaOauthPlcy-meta.xml", "externalClientApplication", "is missing"}},
		{"two policies", simple().with(policies("uat", "MyApp", "")).with(project{"src/pol/uat/P.ecaOauthPlcy-meta.xml": "<ExtlClntAppOauthConfigurablePolicies " + ns + "><externalClientApplication>MyApp</externalClientApplication></ExtlClntAppOauthConfigurablePolicies>"}), "uat", []string{"MyApp already has policies in", "one record per app"}},
		{"client credentials contradict", settings(`"MyApp": {"globalOauthSettings": {"isClientCredentialsFlowEnabled": false}}`).with(header("MyApp")).with(policies("uat", "MyApp", clientCredentials)), "uat", []string{"isClientCredentialsFlowEnabled", "is false", "src/pol/uat/extlClntAppOauthPolicies/MyApp_oauthPlcy.ecaOauthPlcy-meta.xml"}},
		{"plugin off contradicts", settings(`"MyApp": {"policies": {"isOauthPluginEnabled": false}}`).with(header("MyApp")).with(policies("uat", "MyApp", "")), "uat", []string{"policies.isOauthPluginEnabled", "is false", "MyApp_oauthPlcy"}},
		{"no folder for this org", simple().with(policies("prod", "MyApp", "")), "uat", []string{"Aliasfied package 'pol' does not have an alias with 'uat' or 'default' directory"}},
		{"broken policies", simple().with(policies("uat", "MyApp", "<isClientCredentialsFlowEnabled>ja</isClientCredentialsFlowEnabled>")).with(policies("uat", "MyApp2", "")).with(policies("prod", "MyApp", "")), "uat", []string{"src/pol/uat/extlClntAppOauthPolicies/MyApp_oauthPlcy.ecaOauthPlcy-meta.xml", "isClientCredentialsFlowEnabled", "ja"}},
		{"certificate missing", settings(`"MyApp": {"globalOauthSettings": {"certificate": {"file": "certs/a.crt"}}}`).with(header("MyApp")), "uat", []string{"plugins.eca.apps.MyApp.globalOauthSettings.certificate", "certs/a.crt", "package directory src/def"}},
		{"certificate elsewhere", settings(`"MyApp": {"globalOauthSettings": {"certificate": {"file": "../pol/a.crt"}}}`).with(header("MyApp")).with(project{"src/pol/a.crt": "x"}), "uat", []string{"globalOauthSettings.certificate", "../pol/a.crt must be in the package directory src/def"}},
		{"certificate is none", settings(`"MyApp": {"globalOauthSettings": {"certificate": {"file": "a.crt"}}}`).with(header("MyApp")).with(project{"src/def/a.crt": "x"}), "uat", []string{"globalOauthSettings.certificate", "a.crt is not an X.509 certificate"}},
		{"private key", settings(`"MyApp": {"globalOauthSettings": {"certificate": {"file": "a.key"}}}`).with(header("MyApp")).with(project{"src/def/a.key": "-----BEGIN PRIVATE KEY-----\nMIIsecret\n-----END PRIVATE KEY-----"}), "uat", []string{"globalOauthSettings.certificate", "a.key holds a private key"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := startOrg(t, simorg.Config{})
			o.alias = test.alias
			options, err := o.options(test.p, "def")
			if err == nil {
				_, err = options.run(t.Context())
			}
			if err == nil {
				t.Fatal("there is no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "MIIsecret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("the message is %q", err)
			}
			if n := len(o.Requests()); n > 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestFieldNewerThanTheVersion(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	options, err := o.options(settings(`"MyApp": {"policies": {"isCanvasPluginEnabled": true}}`).with(header("MyApp")), "def")
	if err != nil {
		t.Fatal(err)
	}
	options.Conn.Version = 65
	if _, err := options.run(t.Context()); err == nil || !strings.Contains(err.Error(), "isCanvasPluginEnabled: needs API version 66.0 or later") || len(o.Requests()) > 0 {
		t.Errorf("got %v after %d requests", err, len(o.Requests()))
	}
}

// TestUnknownKind has an org of which nobody knows whether it is a sandbox, and a
// default folder that hangs on it.
func TestUnknownKind(t *testing.T) {
	t.Parallel()
	p := settings(`"MyApp": {"environments": {"default": {"globalOauthSettings": {"isDeviceFlowEnabled": true}}}}`).
		with(header("MyApp")).with(policies("default", "MyApp", clientCredentials))
	o := startOrg(t, simorg.Config{Kind: simorg.Scratch})
	o.kind = platform.Unknown
	report := o.mustRun(p)
	if report.Org.Kind != platform.Scratch || o.one(eca.GlobalOAuthSettings).Fields["isDeviceFlowEnabled"] != "true" || o.one(eca.GlobalOAuthSettings).Fields["isClientCredentialsFlowEnabled"] != "true" {
		t.Errorf("got %+v", report)
	}

	o = startOrg(t, simorg.Config{Kind: simorg.Production})
	o.kind, o.alias = platform.Unknown, "prod"
	if _, err := o.run(p); err == nil || !strings.Contains(err.Error(), "does not have an alias with 'prod'") || len(o.writes()) > 0 {
		t.Errorf("got %v after %d writes", err, len(o.writes()))
	}
}

func TestPackagedAppsAreLeftAlone(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	p := simple().with(project{"src/def/externalClientApps/Sold.eca-meta.xml": `<ExternalClientApplication ` + ns + `><distributionState>Packaged</distributionState></ExternalClientApplication>`})
	report := o.mustRun(p)
	if len(report.Apps) != 2 || report.Apps[1].Name != "Sold" || report.Apps[1].DistributionState != "Packaged" {
		t.Errorf("got %+v", report.Apps)
	}
	if o.one(eca.OAuthSettings).Fields["externalClientApplication"] != "MyApp" {
		t.Error("the packaged app was bootstrapped")
	}
}

func TestOneAppIsRefusedAndOthersGoOn(t *testing.T) {
	t.Parallel()
	// Of versions that are newer than the table, scopes are the org's to judge.
	o := startOrg(t, simorg.Config{Version: apiversion.Latest + 1})
	p := settings(`"Bad": {"oauthSettings": {"commaSeparatedOauthScopes": "Nonsense"}}`).with(header("Bad")).with(header("Good"))
	options, err := o.options(p, "def")
	if err != nil {
		t.Fatal(err)
	}
	options.Conn.Version = apiversion.Latest + 1
	if err := o.Deploy(p.fs(), "src/def"); err != nil {
		t.Fatal(err)
	}
	report, err := options.run(t.Context())
	var failure *bootstrap.ComponentFailure
	if !errors.As(err, &failure) || failure.App != "Bad" || failure.Type != eca.OAuthSettings || !strings.Contains(err.Error(), "Valid scopes are") {
		t.Errorf("got %v, want %q", err, "Valid scopes are")
	}
	if o.one(eca.GlobalOAuthSettings).Fields["externalClientApplication"] != "Good" {
		t.Error("the other app was not bootstrapped")
	}
	for _, c := range report.Apps[0].Components {
		if c.Done {
			t.Errorf("%s of the refused app is reported as done", c.FullName)
		}
	}
	for _, c := range report.Apps[1].Components {
		if !c.Done {
			t.Errorf("%s of the other app is not reported as done", c.FullName)
		}
	}
}

// newCertificate returns a certificate in each of the forms in which it can be written.
func newCertificate(t *testing.T) (forms map[string]string, der []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	if der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key); err != nil {
		t.Fatal(err)
	}
	whole := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return map[string]string{
		"PEM": string(whole), "its body": base64.StdEncoding.EncodeToString(der), "base64 of PEM": base64.StdEncoding.EncodeToString(whole),
	}, der
}

// TestCertificateInAnyForm: whichever form a project has a certificate in, and an org shows,
// it is the same certificate.
func TestCertificateInAnyForm(t *testing.T) {
	t.Parallel()
	forms, der := newCertificate(t)
	other, _ := newCertificate(t)
	for _, shown := range platform.Lookup("certificate-form").Answers {
		for name, form := range forms {
			for _, where := range []string{"settings", "file", "DER file"} {
				t.Run(fmt.Sprintf("%s in the %s, shown as %q", name, where, shown), func(t *testing.T) {
					o := startOrg(t, simorg.Config{Facts: platform.Answers{"certificate-form": shown}})
					value, file := `{"file": "a.crt"}`, form
					switch where {
					case "settings":
						quoted, err := json.Marshal(form)
						if err != nil {
							t.Fatal(err)
						}
						value = string(quoted)
					case "DER file":
						file = string(der)
					}
					p := settings(`"MyApp": {"globalOauthSettings": {"certificate": ` + value + `}}`).with(header("MyApp")).with(project{"src/def/a.crt": file})
					o.mustRun(p)
					if report := o.mustRun(p); touched(report) > 0 || len(o.writes()) > 0 {
						t.Errorf("the second run did %s: %+v", actions(report), report.Apps[0].Components[1].Changes)
					}
					// Another certificate is another one, in whatever form.
					quoted, err := json.Marshal(other[name])
					if err != nil {
						t.Fatal(err)
					}
					if report := o.mustRun(settings(`"MyApp": {"globalOauthSettings": {"certificate": ` + string(quoted) + `}}`).with(header("MyApp"))); touched(report) != 1 {
						t.Errorf("another certificate is pending %d times, want once", touched(report))
					}
				})
			}
		}
	}
}

func TestHeaderIsMissing(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	options, err := o.options(simple(), "def")
	if err != nil {
		t.Fatal(err)
	}
	_, err = options.run(t.Context())
	var missing *bootstrap.NoHeaderError
	if !errors.As(err, &missing) || missing.App != "MyApp" || len(o.writes()) > 0 {
		t.Errorf("got %v after %d writes, want %T and none", err, len(o.writes()), missing)
	}
}

func TestForcedPKCE(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{Facts: platform.Answers{"pkce-forced": "forced"}})
	report := o.mustRun(settings(`"MyApp": {"globalOauthSettings": {"isPkceRequired": false}}`).with(header("MyApp")))
	if len(report.Apps[0].Warnings) != 1 || !strings.Contains(report.Apps[0].Warnings[0], "keeps isPkceRequired") {
		t.Errorf("the warnings are %v", report.Apps[0].Warnings)
	}
}

func TestWithheldCertificate(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{Facts: platform.Answers{"certificate-shown": "withheld"}})
	stated := settings(`"MyApp": {"globalOauthSettings": {"certificate": "-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----"}}`).with(header("MyApp"))
	o.mustRun(stated)
	report := o.mustRun(stated)
	if o.one(eca.GlobalOAuthSettings).Fields["certificate"] == "" || len(report.Apps[0].Warnings) != 1 {
		t.Errorf("the certificate is lost, or the warnings are %v", report.Apps[0].Warnings)
	}
}

func TestSwitchedOffStaysOff(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	o.mustRun(settings(`"MyApp": {"policies": {"isOauthPluginEnabled": false}}`).with(header("MyApp")))
	report := o.mustRun(simple())
	if len(o.writes()) > 0 || len(report.Apps[0].Warnings) != 1 || !strings.Contains(report.Apps[0].Warnings[0], "switched off") {
		t.Errorf("%d writes, warnings %v", len(o.writes()), report.Apps[0].Warnings)
	}
}

// TestAWriteThatTheOrgDidNotKeepIsAMismatch has an org that accepts a write and keeps
// something else.
func TestAWriteThatTheOrgDidNotKeepIsAMismatch(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	o.mustRun(simple())
	o.Inject(simorg.Fault{
		Fits:   func(r simorg.Request) bool { return r.Operation == "upsertMetadata" },
		Status: 200,
		Body:   `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><upsertMetadataResponse><result><created>false</created><fullName>MyApp_glbloauth</fullName><success>true</success></result></upsertMetadataResponse></s:Body></s:Envelope>`,
	})
	options, err := o.options(settings(`"MyApp": {"globalOauthSettings": {"isDeviceFlowEnabled": true, "certificate": "none"}}`).with(header("MyApp")), "def")
	if err != nil {
		t.Fatal(err)
	}
	report, err := options.run(t.Context())
	var mismatch *reconcile.MismatchError
	if !errors.As(err, &mismatch) || !strings.Contains(err.Error(), `isDeviceFlowEnabled is "false" instead of "true"`) || report.Apps[0].Components[1].Done {
		t.Errorf("got %v for %+v, want a mismatch of isDeviceFlowEnabled", err, report.Apps[0].Components[1])
	}
}

func TestExpiredSession(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	options, err := o.options(simple(), "def")
	if err != nil {
		t.Fatal(err)
	}
	o.ExpireSessions()
	if _, err := options.run(t.Context()); !salesforce.IsSessionExpired(err) {
		t.Errorf("got %v, want an expired session", err)
	}
}

// TestRunsFinishOneAnother breaks a run after each of its requests in turn. The
// next run ends where an undisturbed one does.
func TestRunsFinishOneAnother(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 8; n++ {
		for _, after := range []bool{false, true} {
			o := startOrg(t, simorg.Config{Facts: facts(n%2 == 0, false)})
			var left atomic.Int64
			left.Store(int64(n))
			o.Inject(simorg.Fault{Drop: true, After: after, Fits: func(simorg.Request) bool { return left.Add(-1) == 0 }})
			_, err := o.run(simple())
			if left.Load() > 0 {
				if n < 7 {
					t.Errorf("the run took less than %d requests", n)
				}
				continue
			}
			if err == nil {
				t.Errorf("request %d: no error", n)
			}
			key := ""
			if global := o.Components(eca.GlobalOAuthSettings); len(global) == 1 {
				key = global[0].Fields["consumerKey"]
			}
			o.mustRun(simple())
			if got := o.one(eca.GlobalOAuthSettings).Fields["consumerKey"]; key != "" && got != key {
				t.Errorf("request %d: the consumer key changed", n)
			}
			if o.one(eca.PluginPolicies).Fields["isOauthPluginEnabled"] != "true" {
				t.Errorf("request %d: the plugin is off", n)
			}
			if report := o.mustRun(simple()); touched(report) > 0 {
				t.Errorf("request %d: a third run did %s", n, actions(report))
			}
		}
	}
}

// TestKeptConsumersConverge breaks a run that gives new consumers their former keys and secrets after each of
// its requests in turn. The next run ends where an undisturbed one does, whatever the org makes of the keys.
func TestKeptConsumersConverge(t *testing.T) {
	t.Parallel()
	former := map[string]login.Credentials{"MyApp": {Key: "3MVG9formerKey", Secret: salesforce.NewSecret("formerSecret0123456789")}}
	for _, answer := range []string{"honoured", "ignored"} {
		for _, after := range []bool{false, true} {
			for n := int64(1); ; n++ {
				o := startOrg(t, simorg.Config{Facts: platform.Answers{"consumer-key-at-creation": answer, "consumer-secret-at-creation": answer}})
				o.bare = true
				run := func() (*bootstrap.Report, error) {
					options, err := o.options(simple(), "def")
					if err != nil {
						t.Fatal(err)
					}
					options.Consumers = former
					return options.run(t.Context())
				}
				var sent atomic.Int64
				o.Inject(simorg.Fault{Drop: true, After: after, Fits: func(simorg.Request) bool { return sent.Add(1) == n }})
				_, err := run()
				reached := sent.Swap(1<<40) >= n
				if reached != (err != nil) {
					t.Errorf("%s, request %d: got %v", answer, n, err)
				}
				report, err := run()
				if err != nil {
					t.Errorf("%s, request %d, after the org acted: %t: the next run: %v", answer, n, after, err)
					continue
				}
				key, app := o.one(eca.GlobalOAuthSettings), report.Apps[0]
				if honoured := key.Fields["consumerKey"] == former["MyApp"].Key && key.Secret == former["MyApp"].Secret.Reveal(); honoured != (answer == "honoured") || honoured != (app.Kept == bootstrap.KeptKey) {
					t.Errorf("%s, request %d, after the org acted: %t: the key is %s, and the report says %q", answer, n, after, key.Fields["consumerKey"], app.Kept)
				}
				if report, err := run(); err != nil || touched(report) > 0 {
					t.Errorf("%s, request %d: a third run did %s, %v", answer, n, actions(report), err)
				}
				if !reached {
					break
				}
			}
		}
	}
}

func TestTwoRunsAtOnce(t *testing.T) {
	t.Parallel()
	for i := range 10 {
		o := startOrg(t, simorg.Config{Latency: time.Duration(i%3) * time.Millisecond, Facts: facts(i%2 == 0, false)})
		p := simple().with(header("Other"))
		if err := o.Deploy(p.fs(), "src/def"); err != nil {
			t.Fatal(err)
		}
		options, err := o.options(p, "def")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if _, err := options.run(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, typ := range []string{eca.OAuthSettings, eca.GlobalOAuthSettings, eca.PluginPolicies} {
			if n := len(o.Components(typ)); n != 2 {
				t.Errorf("%d components of %s", n, typ)
			}
		}
		if report := o.mustRun(p); touched(report) > 0 {
			t.Errorf("the next run did %s", actions(report))
		}
	}
}

func TestPlanWritesNothing(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	options, err := o.options(simple(), "")
	if err != nil {
		t.Fatal(err)
	}
	options.PlanOnly = true
	report, err := options.run(t.Context())
	missing, _ := errors.AsType[*bootstrap.NoHeaderError](err) // as a run that writes would say
	if missing == nil || missing.App != "MyApp" || touched(report) != 3 || len(o.writes()) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if err := o.Deploy(header("MyApp").fs(), "src/def"); err != nil {
		t.Fatal(err)
	}
	if report, err := options.run(t.Context()); err != nil || touched(report) != 3 || len(o.writes()) > 0 {
		t.Errorf("with the header on the org: %+v, %v", report, err)
	}
}

// TestAliasfiedPackage has the header itself in an aliasfied package: only the
// folder of this org counts.
func TestAliasfiedPackage(t *testing.T) {
	t.Parallel()
	p := project{
		"sfdx-project.json": `{"packageDirectories": [{"path": "src/def", "package": "def", "aliasfy": true}], "sourceApiVersion": "67.0"}`,
	}.with(project{
		"src/def/uat/externalClientApps/MyApp.eca-meta.xml":  header("MyApp")["src/def/externalClientApps/MyApp.eca-meta.xml"],
		"src/def/prod/externalClientApps/MyApp.eca-meta.xml": "<broken",
	})
	o := startOrg(t, simorg.Config{})
	if err := o.Deploy(p.fs(), "src/def/uat"); err != nil {
		t.Fatal(err)
	}
	options, err := o.options(p, "def")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := options.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.one(eca.GlobalOAuthSettings)
}

// TestComponentIsGoneAfterAnUpdate: somebody deletes what the run has just changed.
func TestComponentIsGoneAfterAnUpdate(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	o.mustRun(simple())
	options, err := o.options(settings(`"MyApp": {"globalOauthSettings": {"isDeviceFlowEnabled": true, "certificate": "none"}}`).with(header("MyApp")), "def")
	if err != nil {
		t.Fatal(err)
	}
	written := false
	o.Inject(simorg.Fault{
		Fits: func(r simorg.Request) bool {
			written = written || r.Operation == "upsertMetadata"
			return written && r.Operation == "readMetadata" && r.Type == eca.GlobalOAuthSettings
		},
		Status: 200,
		Body:   `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><s:Body><readMetadataResponse><result><records xsi:nil="true"/></result></readMetadataResponse></s:Body></s:Envelope>`,
	})
	report, err := options.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "does not have it") || report.Apps[0].Components[1].Done {
		t.Errorf("got %v, %+v, want that the org does not have it", err, report.Apps[0].Components[1])
	}
}
