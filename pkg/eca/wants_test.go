package eca

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/metadata"
)

func TestWants(t *testing.T) {
	t.Parallel()
	types := slices.Clone(Order())
	slices.Reverse(types) // the order of Desired.Types does not matter
	wants := Wants(Desired{
		App: "MyApp", Label: "My App", Types: types, ReadOnly: []string{OAuthPolicies}, DomainURL: "https://acme.my.salesforce.com",
		Fields:   map[string]metadata.Fields{OAuthSettings: metadata.Stated("label", "stated")},
		Defaults: map[string]metadata.Fields{OAuthSettings: metadata.Stated("label", "from source"), PluginPolicies: metadata.Stated("isEnabled", "false")},
		Names:    map[string][]string{PluginPolicies: {"Odd"}, RemoteSiteSetting: {"Site"}},
	})
	var got strings.Builder
	for _, want := range InOrder(wants) {
		var after, defaults []string
		for _, before := range want.After {
			after = append(after, before.Type.Name)
		}
		for _, f := range metadata.New("", "", want.Defaults).Fields {
			defaults = append(defaults, f.Name+"="+f.Text)
		}
		fmt.Fprintf(&got, "%s\n  named %v\n  after %v\n  defaults %v\n", want.Type.Name, want.Names, after, defaults)
	}
	golden(t, "wants.golden", got.String())

	for typ, want := range wants {
		auto := typ == PluginPolicies || typ == OAuthPolicies
		if want.AutoCreated != auto || want.Trusted != (typ == PluginPolicies) || want.ReadOnly != (typ == OAuthPolicies) || (want.Check != nil) != (typ == GlobalOAuthSettings) {
			t.Errorf("%s: AutoCreated %t, Trusted %t, ReadOnly %t, Check %t", typ, want.AutoCreated, want.Trusted, want.ReadOnly, want.Check != nil)
		}
		if typ == RemoteSiteSetting {
			if want.Is != nil || want.Fields["url"][0].Text != "https://acme.my.salesforce.com" || want.Fields["isActive"][0].Text != "true" {
				t.Errorf("the remote site is %+v", want)
			}
			continue
		}
		own := &metadata.Component{Type: typ, FullName: "myapp", Fields: []metadata.Field{{Name: "externalClientApplication", Text: " MYAPP "}}}
		other := &metadata.Component{Type: typ, FullName: "MyApp2", Fields: []metadata.Field{{Name: "externalClientApplication", Text: "MyApp2"}}}
		if !want.Is(own) || want.Is(other) {
			t.Errorf("%s: a component of the app: %t, of another: %t", typ, want.Is(own), want.Is(other))
		}
	}
	if fields := wants[OAuthSettings].Fields; fields["label"][0].Text != "stated" {
		t.Errorf("the stated fields are %v", fields)
	}
	check := wants[GlobalOAuthSettings].Check
	if check(&metadata.Component{}) == nil || check(&metadata.Component{Fields: []metadata.Field{{Name: "consumerKey", Text: "k"}}}) != nil {
		t.Error("global settings without a consumer key pass, or those with one do not")
	}
}

// TestWantsOfSomeTypes: a component that is not wanted is not waited for.
func TestWantsOfSomeTypes(t *testing.T) {
	t.Parallel()
	wants := Wants(Desired{App: "MyApp", Types: []string{OAuthPolicies, OAuthSettings}})
	if after := wants[OAuthPolicies].After; len(wants) != 2 || len(after) != 1 || after[0] != wants[OAuthSettings] || len(wants[OAuthSettings].After) > 0 {
		t.Errorf("got %+v", wants)
	}
	if all := InOrder(map[string]*metadata.Want{}); all != nil {
		t.Errorf("no wants are %v in order", all)
	}
	if got := Satellites(); !slices.Equal(got, []string{OAuthSettings, GlobalOAuthSettings, PluginPolicies}) {
		t.Errorf("the satellites are %v", got)
	}
	Satellites()[0], Order()[0], Scopes()[0] = "", "", ""
	if Satellites()[0] == "" || Order()[0] == "" || Scopes()[0] == "" {
		t.Error("a caller can change the tables")
	}
}

func TestApp(t *testing.T) {
	t.Parallel()
	fields := []metadata.Field{{Name: "externalClientApplication", Text: "\n MyApp "}}
	if got := App(&metadata.Component{Type: Header, FullName: "Header", Fields: fields}); got != "Header" {
		t.Errorf("the app of a header is %q", got)
	}
	if got := App(&metadata.Component{Type: PluginPolicies, FullName: "Odd", Fields: fields}); got != "MyApp" {
		t.Errorf("the app of policies is %q", got)
	}
}

func TestUsualNames(t *testing.T) {
	t.Parallel()
	for typ, want := range map[string]string{
		Header: "A", OAuthSettings: "A_oauth AOAuthSettings A", GlobalOAuthSettings: "A_glbloauth AGlblOAuth A",
		PluginPolicies: "A_plcy A_defaultPolicy A", OAuthPolicies: "A_oauthPlcy A_defaultPolicy A",
	} {
		if got := strings.Join(UsualNames("A", typ), " "); got != want {
			t.Errorf("the usual names of %s are %s, want %s", typ, got, want)
		}
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for name, valid := range map[string]bool{
		"A": true, "My_App2": true, strings.Repeat("a", 80): true,
		"": false, "2App": false, "_App": false, "My__App": false, "App_": false, "My App": false, "My-App": false, "Äpp": false, "A\n": false,
		strings.Repeat("a", 81): false,
	} {
		if err := CheckName(name); (err == nil) != valid {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestCheckScope(t *testing.T) {
	t.Parallel()
	for scope, want := range map[string]string{
		"Api": "", "api": "did you mean Api?", "refresh_token": "did you mean RefreshToken?", "mcp_api": "did you mean MCP?",
		"chatter_api": "did you mean Chatter?", "Apii": "did you mean Api?", "Nonsense": `there is no OAuth scope "Nonsense"`,
	} {
		err := CheckScope(scope)
		if (err == nil) != (want == "") || err != nil && !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", scope, err, want)
		}
	}
}

func TestCallbacks(t *testing.T) {
	t.Parallel()
	for callback, valid := range map[string]bool{
		"https://a.example.com/x": true, "myapp:done": true, "{orgDomainUrl}/x": true, "a.example.com": false, "https://a b": false,
	} {
		if err := Lookup(GlobalOAuthSettings).Field("callbackUrl").CheckItem(callback); (err == nil) != valid {
			t.Errorf("%s: %v", callback, err)
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, typ := range slices.Concat(Types(), SourceTypes()) {
		if Lookup(typ.Name) != typ {
			t.Errorf("%s is not found", typ.Name)
		}
	}
	if Lookup(OrgSettings) == nil || Lookup("Other") != nil || slices.Contains(SourceTypes(), Lookup(OrgSettings)) {
		t.Error("the org's settings are no part of an app, and other types are unknown")
	}
	c := &metadata.Component{Type: PluginPolicies, Fields: []metadata.Field{{Name: "isEnabled", Text: "0"}, {Name: "future", Text: "x"}}}
	if Bool(c, "isEnabled") || !Bool(c, "isOauthPluginEnabled") {
		t.Error("booleans have the platform's defaults")
	}
	if problems := Problems(c, 0); len(problems) != 2 { // an unknown element, and no app
		t.Errorf("the problems are %v", problems)
	}
	if !IsPermissionSetID("0PS000000000001AAA") || IsPermissionSetID("0PS00000000000") || IsPermissionSetID("0PSName") {
		t.Error("IDs of permission sets are not told from names")
	}
}
