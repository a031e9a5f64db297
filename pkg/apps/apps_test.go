package apps_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

func start(t testing.TB, config simorg.Config, files map[string]string) (*simorg.Server, *salesforce.Conn, error) {
	t.Helper()
	return deploy(simorgtest.Start(t, config), files)
}

func deploy(org *simorg.Server, files map[string]string) (*simorg.Server, *salesforce.Conn, error) {
	source := make(fstest.MapFS)
	for name, content := range files {
		source[name] = &fstest.MapFile{Data: []byte(content)}
	}
	err := org.Deploy(source, ".")
	return org, &salesforce.Conn{InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}, err
}

func component(typ, body string) string {
	return "<" + typ + ` xmlns="` + metadata.Namespace + `">` + body + "</" + typ + ">"
}

func header(app string) string {
	return component(eca.Header, "<contactEmail>a@example.com</contactEmail><label>"+app+"</label>")
}

func settings(app string) string {
	return component(eca.OAuthSettings, "<commaSeparatedOauthScopes>Api</commaSeparatedOauthScopes><externalClientApplication>"+app+"</externalClientApplication><label>l</label>")
}

func global(app string) string {
	return component(eca.GlobalOAuthSettings, "<callbackUrl>https://a</callbackUrl><externalClientApplication>"+app+"</externalClientApplication><label>l</label>")
}

// TestRead: components belong to the app that they name, whatever they are called, and are found
// also where the org lists nothing.
func TestRead(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"One.eca-meta.xml": header("One"), "Two.eca-meta.xml": header("Two"), "Bare.eca-meta.xml": header("Bare"),
		"Two_oauth.ecaOauth-meta.xml": settings("One"), "odd.ecaOauth-meta.xml": settings("Two"),
		"One_glbloauth.ecaGlblOauth-meta.xml": global("One"), "TwoGlblOAuth.ecaGlblOauth-meta.xml": global("Two"),
	}
	for _, listed := range platform.Lookup("components-listed").Answers {
		silent := listed == "empty"
		org, conn, err := start(t, simorg.Config{Facts: platform.Answers{"components-listed": listed}}, files)
		if err != nil {
			t.Fatal(err)
		}
		all, err := apps.Read(t.Context(), conn, []string{eca.OAuthSettings, eca.GlobalOAuthSettings})
		if err != nil || len(all) != 3 || all[0].Name != "Bare" || all[0].Component(eca.OAuthSettings) != nil {
			t.Fatalf("read %v, %v", all, err)
		}
		for _, a := range all[1:] {
			if c := a.Component(eca.GlobalOAuthSettings); c == nil || c.Text("consumerKey") == "" {
				t.Errorf("silent %v: %s has the global settings %v", silent, a.Name, c)
			}
		}
		if c := all[2].Component(eca.OAuthSettings); !silent && (c == nil || c.FullName != "odd") {
			t.Errorf("Two has the settings %v", c)
		}
		if some, err := apps.Read(t.Context(), conn, []string{eca.GlobalOAuthSettings}, "one"); err != nil || len(some) != 1 || some[0].Name != "One" || some[0].Packaged() {
			t.Errorf("by name: %v, %v", some, err)
		}
		missing, ok := errors.AsType[*apps.NotFoundError](notFound(apps.Find(t.Context(), conn, nil, "Bear")))
		if !ok || missing.Suggestion() != "Bare" || !strings.HasSuffix(missing.Error(), "there is no External Client App Bear on this org; did you mean Bare?") {
			t.Errorf("a name that the org lacks: %v", missing)
		}
		if c, err := apps.Component(t.Context(), conn, "two", eca.GlobalOAuthSettings); err != nil || c == nil || c.FullName != "TwoGlblOAuth" {
			t.Errorf("one component: %v, %v", c, err)
		}
		if c, err := apps.Component(t.Context(), conn, "Bare", eca.GlobalOAuthSettings); err != nil || c != nil {
			t.Errorf("a component of an app without one: %v, %v", c, err)
		}
		org.Close()
	}
}

func notFound(_ *apps.App, err error) error { return err }

// TestManagedApps: apps of managed packages are among all apps, and not among the org's own.
func TestManagedApps(t *testing.T) {
	t.Parallel()
	org, conn, err := start(t, simorg.Config{WithoutFields: []string{"ExternalClientApplication.OrgScopedExternalApp"}}, map[string]string{"Own.eca-meta.xml": header("Own")})
	if err != nil {
		t.Fatal(err)
	}
	defer org.Close()
	if err := org.Fill(fstest.MapFS{"a.json": {Data: []byte(`{"ExternalClientApplication": [{"Id": "0xI000000000700AAA", "DeveloperName": "App", "NamespacePrefix": "ns", "DistributionState": "Managed"}]}`)}}, "."); err != nil {
		t.Fatal(err)
	}
	all, missing, err := apps.Apps(t.Context(), conn)
	if err != nil || len(missing) != 1 || len(all) != 2 || all[1].FullName() != "ns__App" || !all[1].Packaged() {
		t.Errorf("all: %v, %v", all, err)
	}
	if own, err := apps.Read(t.Context(), conn, []string{eca.OAuthSettings}); err != nil || len(own) != 1 || own[0].FullName() != "Own" {
		t.Errorf("own: %v, %v", own, err)
	}
}

func Example() {
	org, conn, err := deploy(simorg.Start(simorg.Config{}), map[string]string{"App.eca-meta.xml": header("App"), "App_oauth.ecaOauth-meta.xml": settings("App"), "App_glbl.ecaGlblOauth-meta.xml": global("App")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer org.Close()
	all, err := apps.Read(context.Background(), conn, []string{eca.GlobalOAuthSettings})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, app := range all {
		fmt.Println(app.Name, app.Component(eca.GlobalOAuthSettings).FullName)
	}
	// Output:
	// App App_glbl
}

func TestOfOrg(t *testing.T) {
	t.Parallel()
	for value, own := range map[string]bool{
		"00Dxx0000000001:0x": true, "00Dxx0000000001EAA:0x": true, "00Dxx0000000002:0x": false, "00D:0x": false, "": false,
	} {
		if apps.OfOrg(value, "00Dxx0000000001EAA") != own || apps.OfOrg(value, "") {
			t.Errorf("%q: %v", value, !own)
		}
	}
}
