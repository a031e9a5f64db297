package packaged_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/packaged"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

func start(t testing.TB, config simorg.Config) (*simorg.Server, *salesforce.Conn) {
	t.Helper()
	org := simorgtest.Start(t, config)
	return org, connection(org)
}

func connection(org *simorg.Server) *salesforce.Conn {
	return &salesforce.Conn{InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
}

func header(more string) fstest.MapFS {
	return fstest.MapFS{"App.eca-meta.xml": {Data: []byte(`<ExternalClientApplication xmlns="` + metadata.Namespace + `"><contactEmail>a@example.com</contactEmail><label>App</label>` + more + `</ExternalClientApplication>`)}}
}

// TestReadAndCreate makes an app, reads it for its package, and makes it again.
func TestReadAndCreate(t *testing.T) {
	t.Parallel()
	hub, conn := start(t, simorg.Config{Kind: simorg.Production, DevHub: true})
	defer hub.Close()
	config := packaged.Config{Name: "App", ContactEmail: "a@example.com", OAuthSettings: metadata.Fields{"commaSeparatedOauthScopes": {{Name: "commaSeparatedOauthScopes", Text: "Api"}}}}
	for i := range 2 {
		outcomes, err := packaged.Create(t.Context(), conn, config)
		if err != nil || len(outcomes) != 3 || (outcomes[2].Action == reconcile.Create) != (i == 0) {
			t.Fatalf("run %d: %+v, %v", i, outcomes, err)
		}
	}
	app, err := packaged.Read(t.Context(), conn, "app")
	if err != nil || app.Name != "App" || app.OrgID != hub.ID() || len(app.Components()) != 2 {
		t.Fatalf("read %+v, %v", app, err)
	}
	if app.Settings.Text("oauthLink") == "" || app.Header.Text("distributionState") != "Packaged" || app.Header.Text("orgScopedExternalApp") != hub.ID()[:15]+":App" {
		t.Errorf("read %+v, %+v", app.Header, app.Settings)
	}
	if _, err := packaged.Create(t.Context(), conn, packaged.Config{Name: "Other"}); err == nil || !strings.Contains(err.Error(), "e-mail address") {
		t.Errorf("without a contact: %v", err)
	}
}

// TestLocal: an app that is Local on the Dev Hub has to become Packaged first.
func TestLocal(t *testing.T) {
	t.Parallel()
	hub, conn := start(t, simorg.Config{Kind: simorg.Production, DevHub: true})
	defer hub.Close()
	whole := header("")
	whole["App_oauth.ecaOauth-meta.xml"] = &fstest.MapFile{Data: []byte(`<ExtlClntAppOauthSettings xmlns="` + metadata.Namespace + `"><commaSeparatedOauthScopes>Api</commaSeparatedOauthScopes><externalClientApplication>App</externalClientApplication><label>l</label></ExtlClntAppOauthSettings>`)}
	whole["App_glbl.ecaGlblOauth-meta.xml"] = &fstest.MapFile{Data: []byte(`<ExtlClntAppGlobalOauthSettings xmlns="` + metadata.Namespace + `"><callbackUrl>https://a</callbackUrl><externalClientApplication>App</externalClientApplication><label>l</label></ExtlClntAppGlobalOauthSettings>`)}
	if err := hub.Deploy(whole, "."); err != nil {
		t.Fatal(err)
	}
	if _, err := packaged.Read(t.Context(), conn, "App"); !errors.As(err, new(*packaged.LocalError)) {
		t.Errorf("a Local app: %v", err)
	}
	key := hub.Components(eca.GlobalOAuthSettings)[0].Fields["consumerKey"]
	if _, err := packaged.Create(t.Context(), conn, packaged.Config{Name: "App"}); err != nil {
		t.Fatal(err)
	}
	app, err := packaged.Read(t.Context(), conn, "App")
	if err != nil || app.Header.Text("distributionState") != "Packaged" || hub.Components(eca.GlobalOAuthSettings)[0].Fields["consumerKey"] != key {
		t.Fatalf("read %+v, %v", app, err)
	}
}

// TestRefusals: orgs and apps of which no package is made.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		config simorg.Config
		want   string
	}{
		{simorg.Config{Kind: simorg.Sandbox, DevHub: true}, "this org is a sandbox, "},
		{simorg.Config{Kind: simorg.Scratch, DevHub: true}, "this org is a scratch org, "},
		{simorg.Config{Kind: simorg.Production}, "this org is not a Dev Hub"},
	} {
		org, conn := start(t, test.config)
		_, err := packaged.Read(t.Context(), conn, "App")
		if !errors.As(err, new(*packaged.NoSourceError)) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v", test.config, err)
		}
		if _, err := packaged.Create(t.Context(), conn, packaged.Config{Name: "App", ContactEmail: "a@example.com"}); !errors.As(err, new(*packaged.NoSourceError)) || len(org.Components(eca.Header)) > 0 {
			t.Errorf("%+v: create says %v", test.config, err)
		}
		org.Close()
	}
	hub, conn := start(t, simorg.Config{Kind: simorg.Production, DevHub: true, Facts: platform.Answers{"foreign-org-scope": "accepted"}})
	defer hub.Close()
	hub.Inject(simorg.Fault{Fits: func(r simorg.Request) bool { return strings.Contains(r.Path, "ScratchOrgInfo") }, Status: 503, Body: "busy"})
	if _, err := packaged.Read(t.Context(), conn, "App"); !salesforce.IsTransient(err) {
		t.Errorf("a busy Dev Hub: %v", err)
	}
	if _, err := packaged.Read(t.Context(), conn, "App"); err == nil || err.Error() != "there is no External Client App App on this org" {
		t.Errorf("no app: %v", err)
	}
	if err := hub.Deploy(header("<distributionState>Packaged</distributionState><orgScopedExternalApp>00D000000000001:App</orgScopedExternalApp>"), "."); err != nil {
		t.Fatal(err)
	}
	if _, err := packaged.Read(t.Context(), conn, "App"); err == nil || !strings.Contains(err.Error(), "has no OAuth settings with a link") {
		t.Errorf("no settings: %v", err)
	}
	if _, err := packaged.Create(t.Context(), conn, packaged.Config{Name: "App"}); err != nil {
		t.Fatal(err)
	}
	if _, err := packaged.Read(t.Context(), conn, "App"); !errors.As(err, new(*packaged.ForeignError)) || !strings.Contains(err.Error(), "orgScopedExternalApp of App is 00D000000000001:App, but this org is "+hub.ID()) {
		t.Errorf("another org's app: %v", err)
	}

	// An app whose consumer is another org's, which an installation brings.
	other, otherConn := start(t, simorg.Config{Kind: simorg.Production, DevHub: true})
	defer other.Close()
	if _, err := packaged.Create(t.Context(), otherConn, packaged.Config{Name: "Shared", ContactEmail: "a@example.com"}); err != nil {
		t.Fatal(err)
	}
	app, err := packaged.Read(t.Context(), otherConn, "Shared")
	if err != nil {
		t.Fatal(err)
	}
	files := make(fstest.MapFS)
	for _, c := range app.Components() {
		var content strings.Builder
		if err := metadata.WriteSource(&content, c); err != nil {
			t.Fatal(err)
		}
		files[c.FullName+"."+eca.Lookup(c.Type).Suffix+"-meta.xml"] = &fstest.MapFile{Data: []byte(content.String())}
	}
	if err := hub.Install(other.Org, files, "."); err != nil {
		t.Fatal(err)
	}
	if _, err := packaged.Read(t.Context(), conn, "Shared"); !errors.As(err, new(*packaged.ForeignError)) || !strings.Contains(err.Error(), "oauthLink of Shared") {
		t.Errorf("an installed app: %v", err)
	}
}

func Example() {
	hub := simorg.Start(simorg.Config{Kind: simorg.Production, DevHub: true})
	defer hub.Close()
	conn := connection(hub)
	if _, err := packaged.Create(context.Background(), conn, packaged.Config{Name: "Shared", ContactEmail: "you@example.com"}); err != nil {
		fmt.Println(err)
		return
	}
	app, err := packaged.Read(context.Background(), conn, "Shared")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range app.Components() {
		fmt.Println(c.Type, c.FullName)
	}
	// Output:
	// ExternalClientApplication Shared
	// ExtlClntAppOauthSettings Shared_oauth
}
