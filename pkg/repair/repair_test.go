package repair_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/repair"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

const namespace = ` xmlns="` + metadata.Namespace + `"`

func file(typ, body string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("<" + typ + namespace + ">" + body + "</" + typ + ">")}
}

func header(app, more string) fstest.MapFS {
	return fstest.MapFS{app + ".eca-meta.xml": file(eca.Header, "<contactEmail>a@example.com</contactEmail>"+more+"<label>"+app+"</label>")}
}

func settings(app, more string) fstest.MapFS {
	return fstest.MapFS{app + "_oauth.ecaOauth-meta.xml": file(eca.OAuthSettings, "<commaSeparatedOauthScopes>Api, RefreshToken, OpenID</commaSeparatedOauthScopes><externalClientApplication>"+app+"</externalClientApplication><label>"+app+"</label>"+more)}
}

func start(t *testing.T, config simorg.Config) (*simorg.Server, *salesforce.Conn) {
	t.Helper()
	org := simorgtest.Start(t, config)
	return org, &salesforce.Conn{InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
}

func deploy(t *testing.T, org *simorg.Server, files ...fstest.MapFS) {
	t.Helper()
	for _, f := range files {
		if err := org.Deploy(f, "."); err != nil {
			t.Fatal(err)
		}
	}
}

func upsert(t *testing.T, conn *salesforce.Conn, typ, name string, pairs ...string) {
	t.Helper()
	fields := make(metadata.Fields)
	for i := 0; i < len(pairs); i += 2 {
		fields.Set(pairs[i], pairs[i+1])
	}
	results, err := (&mdapi.Client{Conn: conn}).Upsert(context.Background(), []*metadata.Component{metadata.New(typ, name, fields)})
	if err != nil || !results[0].Success {
		t.Fatal(err, results)
	}
}

// answer makes the org answer the next read of a type with a file of testdata. ORG stands for its ID.
func answer(t *testing.T, org *simorg.Server, typ, file string) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file + ".xml")
	if err != nil {
		t.Fatal(err)
	}
	org.Inject(simorg.Fault{
		Fits:   func(r simorg.Request) bool { return r.Operation == "readMetadata" && r.Type == typ },
		Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/xml"}},
		Body: strings.ReplaceAll(string(data), "ORG", org.ID()),
	})
}

// TestNullLink breaks an app in the way of the platform, finds it and mends it.
func TestNullLink(t *testing.T) {
	t.Parallel()
	org, conn := start(t, simorg.Config{Latency: 200 * time.Millisecond})
	deploy(t, org, header("Broken", ""), header("Sound", ""), header("Fresh", ""), settings("Broken", ""))
	upsert(t, conn, eca.OAuthSettings, "Sound_oauth", "commaSeparatedOauthScopes", "Api", "externalClientApplication", "Sound", "label", "s")
	upsert(t, conn, eca.GlobalOAuthSettings, "Sound_glbl", "callbackUrl", "https://a", "externalClientApplication", "Sound", "label", "s")
	org.ForgetRequests()
	synctest.Test(t, func(t *testing.T) {
		inBubble := *conn
		inBubble.HTTPClient = &http.Client{Transport: simorgtest.InProcess(org.Org)}
		if _, err := repair.Find(t.Context(), &inBubble); err != nil {
			t.Error(err)
		}
	})
	if n := simorg.Sequential(org.Requests()); n > 4 {
		t.Errorf("looking took %d rounds", n)
	}
	found, err := repair.Find(t.Context(), conn)
	if err != nil || len(found) != 1 || found[0].App != "Broken" || found[0].Kind != repair.NullLink || !found[0].Repairable || found[0].Components[0] != "ExtlClntAppOauthSettings Broken_oauth" {
		t.Fatalf("found %+v, %v", found, err)
	}
	for _, r := range org.Requests() {
		if r.Writes() {
			t.Errorf("looking wrote %s %s", r.Method, r.Path)
		}
	}
	m, err := repair.Recreate(t.Context(), conn, "broken", repair.Options{CallbackURL: "https://callback.example.com"})
	if err != nil || !m.NewConsumer || !m.Defaults || m.ConsumerKey == "" || len(m.Deleted) != 1 || len(m.Created) != 3 {
		t.Fatalf("mended %+v, %v", m, err)
	}
	if found, err = repair.Find(t.Context(), conn, "Broken"); err != nil || len(found) != 0 {
		t.Errorf("afterwards: %+v, %v", found, err)
	}
	if c := org.Components(eca.OAuthSettings)[0]; c.Fields["commaSeparatedOauthScopes"] != "Api, RefreshToken, OpenID" || c.Fields["oauthLink"] == "" {
		t.Errorf("the settings are %+v", c)
	}
	if _, err := repair.Find(t.Context(), conn, "Nobody"); !errors.As(err, new(*apps.NotFoundError)) {
		t.Errorf("an app that is not there: %v", err)
	}
}

// TestIsBroken: what the org says to a bootstrap of a broken app.
func TestIsBroken(t *testing.T) {
	t.Parallel()
	org, conn := start(t, simorg.Config{})
	deploy(t, org, header("Broken", ""), settings("Broken", ""))
	for _, name := range []string{"Broken_oauth", "Broken_other"} {
		results, err := (&mdapi.Client{Conn: conn}).Upsert(t.Context(), []*metadata.Component{metadata.New(eca.OAuthSettings, name, metadata.Fields{"externalClientApplication": {{Name: "externalClientApplication", Text: "Broken"}}, "label": {{Name: "label", Text: "l"}}})})
		if err != nil || len(results[0].Errors) == 0 || !repair.IsBroken(fmt.Errorf("wrapped: %w", results[0].Errors[0])) {
			t.Errorf("%s: %v, %+v", name, err, results)
		}
	}
	if repair.IsBroken(errors.New("oauthLink")) {
		t.Error("any error counts as broken")
	}
}

// TestFieldsSurvive: what an app had, policies among it, is there again.
func TestFieldsSurvive(t *testing.T) {
	t.Parallel()
	for _, created := range platform.Lookup("policies-with-consumer").Answers {
		auto := created != "none"
		org, conn := start(t, simorg.Config{Facts: platform.Answers{"policies-with-consumer": created}, PermissionSets: []string{"Users"}})
		deploy(t, org, header("App", ""))
		upsert(t, conn, eca.OAuthSettings, "AppOAuthSettings", "commaSeparatedOauthScopes", "Api", "externalClientApplication", "App", "label", "s")
		upsert(t, conn, eca.GlobalOAuthSettings, "AppGlblOAuth", "callbackUrl", "https://a\nhttps://b", "externalClientApplication", "App", "isIntrospectAllTokens", "true", "label", "s")
		if !auto {
			upsert(t, conn, eca.PluginPolicies, "App_plcy", "externalClientApplication", "App", "isEnabled", "true", "isOauthPluginEnabled", "true", "isPushPluginEnabled", "false")
		}
		policies := "App_oauthPlcy"
		if auto {
			policies = org.Components(eca.OAuthPolicies)[0].FullName
		}
		upsert(t, conn, eca.OAuthPolicies, policies, "commaSeparatedPermissionSet", "Users", "externalClientApplication", "App", "ipRelaxationPolicyType", "Bypass", "permittedUsersPolicyType", "AdminApprovedPreAuthorized")
		before := org.Components(eca.GlobalOAuthSettings)[0]
		// Nothing is broken, so nothing is taken away.
		if m, err := repair.Recreate(t.Context(), conn, "App", repair.Options{}); err != nil || len(m.Deleted)+len(m.Created) != 0 || m.NewConsumer || org.Components(eca.GlobalOAuthSettings)[0].Fields["consumerKey"] != before.Fields["consumerKey"] {
			t.Fatalf("a sound app: %+v, %v", m, err)
		}
		// It is broken, and only a write tells.
		org.Inject(simorg.Fault{Refuse: "UNKNOWN_EXCEPTION", RefuseWith: `duplicate key value violates unique constraint "ak3tl_setup_entity_data"`, Fits: func(r simorg.Request) bool { return r.Operation == "upsertMetadata" }})
		var saved []*metadata.Component
		m, err := repair.Recreate(t.Context(), conn, "App", repair.Options{Save: func(c []*metadata.Component) error { saved = c; return nil }})
		if err != nil || m.Defaults || !m.NewConsumer || len(m.Deleted) != 3 || !m.NoCertificate || len(saved) != 4 {
			t.Fatalf("mended %+v, %v", m, err)
		}
		after := org.Components(eca.GlobalOAuthSettings)[0]
		if after.Fields["consumerKey"] == before.Fields["consumerKey"] || after.Fields["callbackUrl"] != "https://a\nhttps://b" || after.Fields["isIntrospectAllTokens"] != "true" || after.FullName != before.FullName {
			t.Errorf("global settings are %+v", after)
		}
		if p := org.Components(eca.OAuthPolicies); len(p) != 1 || p[0].Fields["ipRelaxationPolicyType"] != "Bypass" || p[0].Fields["commaSeparatedPermissionSet"] != "Users" || p[0].Fields["permittedUsersPolicyType"] != "AdminApprovedPreAuthorized" {
			t.Errorf("policies are %+v", p)
		}
		if !auto && org.Components(eca.PluginPolicies)[0].Fields["isPushPluginEnabled"] != "false" {
			t.Error("plugin policies were reset")
		}
	}
}

// TestNoConsumer completes an app and takes nothing away; one that is associated with another
// org's consumer is sound.
func TestNoConsumer(t *testing.T) {
	t.Parallel()
	org, conn := start(t, simorg.Config{})
	deploy(t, org, header("Half", ""))
	upsert(t, conn, eca.OAuthSettings, "Half_oauth", "commaSeparatedOauthScopes", "Api", "externalClientApplication", "Half", "label", "s")
	link := org.Components(eca.OAuthSettings)[0].Fields["oauthLink"]
	found, err := repair.Find(t.Context(), conn)
	if err != nil || len(found) != 1 || found[0].Kind != repair.NoConsumer {
		t.Fatalf("found %+v, %v", found, err)
	}
	m, err := repair.Recreate(t.Context(), conn, "Half", repair.Options{CallbackURL: "https://callback.example.com"})
	if err != nil || len(m.Deleted) != 0 || !m.NewConsumer || !m.Defaults {
		t.Fatalf("mended %+v, %v", m, err)
	}
	if got := org.Components(eca.OAuthSettings)[0].Fields["oauthLink"]; got != link {
		t.Errorf("the link is %s, not %s", got, link)
	}
}

// TestPackaged: a refreshed sandbox whose packaged app has lost its OAuth, which only its package
// brings back.
func TestPackaged(t *testing.T) {
	t.Parallel()
	hub, _ := start(t, simorg.Config{Kind: simorg.Production, DevHub: true})
	hubConn := &salesforce.Conn{InstanceURL: hub.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: hub.AccessToken()})}
	deploy(t, hub, header("Shared", "<distributionState>Packaged</distributionState>"))
	upsert(t, hubConn, eca.OAuthSettings, "Shared_oauth", "commaSeparatedOauthScopes", "Api", "externalClientApplication", "Shared", "label", "s")
	upsert(t, hubConn, eca.GlobalOAuthSettings, "Shared_glbl", "callbackUrl", "https://a", "externalClientApplication", "Shared", "label", "s")
	scoped := hub.Components(eca.Header)[0].Fields["orgScopedExternalApp"]
	link := hub.Components(eca.OAuthSettings)[0].Fields["oauthLink"]
	pack := header("Shared", "<distributionState>Packaged</distributionState><orgScopedExternalApp>"+scoped+"</orgScopedExternalApp>")
	for name, content := range settings("Shared", "<oauthLink>"+link+"</oauthLink>") {
		pack[name] = content
	}
	for _, after := range platform.Lookup("packaged-after-refresh").Answers {
		breaks := after == "lost"
		org, conn := start(t, simorg.Config{Facts: platform.Answers{"packaged-after-refresh": after}})
		deploy(t, org, header("Local", ""))
		if err := org.Install(hub.Org, pack, "."); err != nil {
			t.Fatal(err)
		}
		if found, err := repair.Find(t.Context(), conn); err != nil || len(found) != 0 {
			t.Fatalf("before the refresh: %+v, %v", found, err)
		}
		org.Refresh()
		found, err := repair.Find(t.Context(), conn)
		if err != nil || (len(found) == 1) != breaks {
			t.Fatalf("after the refresh: %+v, %v", found, err)
		}
		if breaks && (found[0].Kind != repair.PackagedWithoutOAuth || found[0].Repairable || !strings.Contains(found[0].Fix, "install the package version again")) {
			t.Errorf("found %+v", found[0])
		}
		org.ForgetRequests()
		if m, err := repair.Recreate(t.Context(), conn, "Shared", repair.Options{CallbackURL: "https://a"}); err == nil || len(m.Deleted) > 0 {
			t.Errorf("mended %+v, %v", m, err)
		}
		for _, r := range org.Requests() {
			if r.Writes() {
				t.Errorf("mending a packaged app wrote %s", r.Operation)
			}
		}
	}
}

// TestDuplicates: two components of a type, which the org answers.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	org, conn := start(t, simorg.Config{})
	deploy(t, org, header("App", ""))
	answer(t, org, eca.OAuthSettings, "two-settings")
	found, err := repair.Find(t.Context(), conn)
	if err != nil || len(found) != 1 || found[0].Kind != repair.Duplicates || len(found[0].Components) != 2 || !found[0].Repairable {
		t.Fatalf("found %+v, %v", found, err)
	}
	// Of policies, a person decides.
	for range 2 {
		answer(t, org, eca.OAuthPolicies, "two-policies")
	}
	if found, err = repair.Find(t.Context(), conn); err != nil || len(found) != 1 || found[0].Repairable {
		t.Errorf("found %+v, %v", found, err)
	}
	org.ForgetRequests()
	if _, err := repair.Recreate(t.Context(), conn, "App", repair.Options{}); err == nil || !strings.Contains(err.Error(), "delete the wrong one") {
		t.Errorf("mended policies that a person has to choose from: %v", err)
	}
}

// TestInterrupted: once components are gone, the run goes on to make them anew; and where that
// fails, it says what is gone.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	org, conn := start(t, simorg.Config{})
	deploy(t, org, header("App", ""), settings("App", ""))
	ctx, cancel := context.WithCancel(t.Context())
	org.Inject(simorg.Fault{Fits: func(r simorg.Request) bool {
		if r.Operation == "upsertMetadata" {
			cancel() // the interrupt comes while things are made anew
		}
		return false
	}})
	m, err := repair.Recreate(ctx, conn, "App", repair.Options{CallbackURL: "https://a"})
	if err != nil || !m.NewConsumer || ctx.Err() == nil {
		t.Errorf("interrupted: %+v, %v, %v", m, err, ctx.Err())
	}

	org, conn = start(t, simorg.Config{})
	deploy(t, org, header("App", ""), settings("App", ""))
	org.Inject(simorg.Fault{Refuse: "FIELD_INTEGRITY_EXCEPTION", Fits: func(r simorg.Request) bool { return r.Operation == "upsertMetadata" }})
	m, err = repair.Recreate(t.Context(), conn, "App", repair.Options{CallbackURL: "https://a"})
	if err == nil || len(m.Deleted) != 1 || !strings.Contains(err.Error(), "ExtlClntAppOauthSettings App_oauth was deleted and could not be recreated") {
		t.Errorf("refused: %+v, %v", m, err)
	}
}

// TestSaved: what is about to be taken away is kept before, and a run that died is finished with
// it.
func TestSaved(t *testing.T) {
	t.Parallel()
	org, conn := start(t, simorg.Config{})
	deploy(t, org, header("App", ""), settings("App", ""))
	if m, err := repair.Recreate(t.Context(), conn, "App", repair.Options{Save: func([]*metadata.Component) error { return errors.New("disk full") }}); err == nil || !strings.Contains(err.Error(), "nothing was changed") || len(m.Deleted) > 0 {
		t.Errorf("what cannot be kept: %+v, %v", m, err)
	}
	var saved []*metadata.Component
	save := func(c []*metadata.Component) error {
		for _, one := range c {
			if one.Text("consumerKey")+one.Text("oauthLink") != "" {
				t.Errorf("kept %+v", one)
			}
		}
		saved = c
		return nil
	}
	// The run dies between taking away and making anew.
	org.Inject(simorg.Fault{Status: http.StatusBadGateway, Body: "<html>", Fits: func(r simorg.Request) bool { return r.Operation == "upsertMetadata" }})
	if _, err := repair.Recreate(t.Context(), conn, "App", repair.Options{Save: save}); err == nil || len(org.Components(eca.OAuthSettings)) != 0 || len(saved) != 1 {
		t.Fatalf("a run that died: %v, kept %v", err, saved)
	}
	if m, err := repair.Recreate(t.Context(), conn, "App", repair.Options{}); err != nil || len(m.Created) != 0 {
		t.Errorf("without what was kept: %+v, %v", m, err)
	}
	m, err := repair.Recreate(t.Context(), conn, "App", repair.Options{CallbackURL: "https://a", Saved: saved})
	if err != nil || !m.NewConsumer || org.Components(eca.OAuthSettings)[0].Fields["commaSeparatedOauthScopes"] != "Api, RefreshToken, OpenID" {
		t.Errorf("the next run: %+v, %v", m, err)
	}
}

// TestTwoAtOnce: the second run does not take away what the first has made.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	org, conn := start(t, simorg.Config{})
	deploy(t, org, header("App", ""), settings("App", ""))
	first, err := repair.Recreate(t.Context(), conn, "App", repair.Options{CallbackURL: "https://a"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := repair.Recreate(t.Context(), conn, "App", repair.Options{CallbackURL: "https://a"})
	if err != nil || second.NewConsumer || org.Components(eca.GlobalOAuthSettings)[0].Fields["consumerKey"] != first.ConsumerKey {
		t.Errorf("the second run: %+v, %v", second, err)
	}
}

func Example() {
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	for _, files := range []fstest.MapFS{header("App", ""), settings("App", "")} {
		if err := org.Deploy(files, "."); err != nil {
			fmt.Println(err)
			return
		}
	}
	conn := &salesforce.Conn{InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
	found, err := repair.Find(context.Background(), conn)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range found {
		fmt.Println(d.App, d.Kind)
		mended, err := repair.Recreate(context.Background(), conn, d.App, repair.Options{CallbackURL: "https://app.example.com/callback"})
		fmt.Println(mended.NewConsumer, err)
	}
	// Output:
	// App null-link
	// true <nil>
}
