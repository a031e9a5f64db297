package simorg_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// client is a client of the app that ready brings to an org.
type client struct {
	*testing.T
	org *simorg.Server
}

// newClient brings the app to an org, with scopes and more global settings. Elements behind
// isClientCredentialsFlowEnabled keep the order.
func newClient(t *testing.T, org *simorg.Server, scopes, settings string) client {
	t.Helper()
	ready(t, org, eca.PluginPolicies)
	upsert(org, eca.OAuthSettings, `<fullName>App_oauth</fullName><commaSeparatedOauthScopes>`+scopes+`</commaSeparatedOauthScopes>`+link)
	if _, answer := upsert(org, eca.GlobalOAuthSettings, global+settings); !strings.Contains(answer, "<success>true</success>") {
		t.Fatal(answer)
	}
	upsert(org, eca.OAuthPolicies, `<fullName>App_oauthPlcy</fullName><clientCredentialsFlowUser>admin@example.com</clientCredentialsFlowUser>`+link+`<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>`)
	return client{t, org}
}

// post sends a form, and returns what is answered.
func (c client) post(path string, form url.Values) (status int, answer map[string]any) {
	c.Helper()
	main := c.org.Pairs("App")[0]
	form.Set("client_id", main.Key)
	form.Set("client_secret", main.Secret)
	resp, err := http.PostForm(c.org.URL+path, form)
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	json.NewDecoder(resp.Body).Decode(&answer)
	return resp.StatusCode, answer
}

const tokenPath = "/services/oauth2/token"

// authorize logs in as a user, and returns what the redirect says.
func (c client) authorize(scope string, more ...string) url.Values {
	c.Helper()
	q := url.Values{"client_id": {c.org.Pairs("App")[0].Key}, "response_type": {"code"}, "redirect_uri": {"https://a"}}
	if scope != "" {
		q.Set("scope", scope)
	}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.PostForm(c.org.URL+"/services/oauth2/authorize?"+q.Encode(), url.Values{"username": {"admin@example.com"}})
	if err != nil {
		c.Fatal(err)
	}
	resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		c.Fatal(resp.Status)
	}
	return to.Query()
}

// logIn exchanges the code of a login.
func (c client) logIn(scope string) map[string]any {
	c.Helper()
	_, answer := c.post(tokenPath, url.Values{"grant_type": {"authorization_code"}, "code": {c.authorize(scope).Get("code")}, "redirect_uri": {"https://a"}})
	if answer["access_token"] == nil {
		c.Fatal(answer)
	}
	return answer
}

func (c client) refresh(refreshToken any) map[string]any {
	c.Helper()
	_, answer := c.post(tokenPath, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {fmt.Sprint(refreshToken)}})
	return answer
}

// isAccepted reports whether REST accepts an access token.
func (c client) isAccepted(accessToken any) bool {
	c.Helper()
	req, err := http.NewRequest("GET", c.org.URL+"/services/data/v68.0", nil)
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+fmt.Sprint(accessToken))
	status, _ := do(req)
	return status == 200
}

const withoutPKCE = `<isPkceRequired>false</isPkceRequired>`

// TestScopesOfLogins requests scopes that the app has, and others.
func TestScopesOfLogins(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ app, requested, want string }{
		{"Api, Web, RefreshToken", "", "api web refresh_token"},
		{"Api, Web, RefreshToken", "api", "api"},
		{"Api, Web, RefreshToken", "refresh_token  api", "refresh_token api"},
		{"Api, RefreshToken", "api web", "invalid_scope: the requested scope is not allowed"},
		{"Full", "api chatter_api", "api chatter_api"},
		{"Full", "api refresh_token", "invalid_scope: the requested scope is not allowed"},
		{"MCP, RefreshToken", "mcp_api refresh_token", "mcp_api refresh_token"},
		{"MCP, RefreshToken", "api", "invalid_scope: the requested scope is not allowed"},
	} {
		t.Run(test.app+" for "+test.requested, func(t *testing.T) {
			t.Parallel()
			org := simorg.Start(simorg.Config{})
			defer org.Close()
			c := newClient(t, org, test.app, withoutPKCE)
			if said := c.authorize(test.requested); said.Has("error") {
				if got := said.Get("error") + ": " + said.Get("error_description"); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
				return
			}
			answer := c.logIn(test.requested)
			if answer["scope"] != test.want || (answer["refresh_token"] != nil) != strings.Contains(test.want, "refresh_token") {
				t.Errorf("got %v, want the scopes %s", answer, test.want)
			}
		})
	}
}

// TestRefreshTokenRotation refreshes logins, and uses an old refresh token again.
func TestRefreshTokenRotation(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	c := newClient(t, org, "Api, RefreshToken", withoutPKCE+`<isRefreshTokenRotationEnabled>true</isRefreshTokenRotationEnabled>`)
	other := c.logIn("")
	first := c.logIn("")
	second := c.refresh(first["refresh_token"])
	if second["refresh_token"] == nil || second["refresh_token"] == first["refresh_token"] {
		t.Fatalf("the refresh gives no other refresh token: %v", second)
	}
	if n := org.Count("OauthToken"); n != 2 {
		t.Errorf("a refresh makes a further approval: %d", n)
	}
	var state bytes.Buffer // which holds the old token too
	if err := org.Save(&state); err != nil {
		t.Fatal(err)
	}
	if err := org.Load(&state); err != nil {
		t.Fatal(err)
	}
	third := c.refresh(second["refresh_token"])
	if !c.isAccepted(third["access_token"]) {
		t.Fatalf("the new refresh token does not work: %v", third)
	}
	if again := c.refresh(first["refresh_token"]); again["error"] != "invalid_grant" {
		t.Errorf("the reuse is answered by %v", again)
	}
	if after := c.refresh(third["refresh_token"]); after["error"] != "invalid_grant" {
		t.Errorf("after the reuse, the newest refresh token is answered by %v", after)
	}
	for i, answer := range []map[string]any{first, second, third} {
		if c.isAccepted(answer["access_token"]) {
			t.Errorf("after the reuse, access token %d is still accepted", i)
		}
	}
	if !c.isAccepted(other["access_token"]) || c.refresh(other["refresh_token"])["access_token"] == nil || org.Count("OauthToken") != 1 {
		t.Error("the reuse ends another approval, or not its own")
	}
}

// TestRefreshWithoutRotation keeps the refresh token.
func TestRefreshWithoutRotation(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	c := newClient(t, org, "Api, RefreshToken", withoutPKCE)
	first := c.logIn("")
	for range 2 {
		if answer := c.refresh(first["refresh_token"]); answer["access_token"] == nil || answer["refresh_token"] != nil {
			t.Errorf("the refresh is answered by %v", answer)
		}
	}
	if rows := ask(t, org, "SELECT UseCount FROM OauthToken").Records; len(rows) != 1 || rows[0]["UseCount"] != 3.0 {
		t.Errorf("the tokens are %v", rows)
	}
	// Revoking the refresh token ends the access tokens, and with an access token only that one.
	second := c.refresh(first["refresh_token"])
	if status, _ := c.post("/services/oauth2/revoke", url.Values{"token": {fmt.Sprint(second["access_token"])}}); status != 200 || c.isAccepted(second["access_token"]) || !c.isAccepted(first["access_token"]) {
		t.Error("revoking an access token ends another one, or not itself")
	}
	if status, _ := c.post("/services/oauth2/revoke?token="+fmt.Sprint(first["refresh_token"]), url.Values{}); status != 200 || c.isAccepted(first["access_token"]) || org.Count("OauthToken") != 0 {
		t.Error("revoking the refresh token leaves tokens")
	}
}

// TestJWTAccessTokens sends JWT-based access tokens to REST and to the SOAP APIs.
func TestJWTAccessTokens(t *testing.T) {
	t.Parallel()
	for _, claim := range platform.Lookup("jwt-scope-claim").Answers {
		org := simorg.Start(simorg.Config{Facts: platform.Answers{"jwt-scope-claim": claim}})
		defer org.Close()
		c := newClient(t, org, "Api, RefreshToken", `<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><isNamedUserJwtEnabled>true</isNamedUserJwtEnabled>`+withoutPKCE)
		_, byClient := c.post(tokenPath, url.Values{"grant_type": {"client_credentials"}})
		for _, answer := range []map[string]any{c.logIn(""), byClient} {
			jwt := fmt.Sprint(answer["access_token"])
			parts := strings.Split(jwt, ".")
			if len(parts) != 3 || answer["token_format"] != "jwt" || answer["api_instance_url"] != org.URL {
				t.Fatalf("the answer is %v", answer)
			}
			claims, err := base64.RawURLEncoding.DecodeString(parts[1])
			if err != nil || !strings.Contains(string(claims), fmt.Sprintf("%q:%q", claim, answer["scope"])) {
				t.Errorf("the claims are %s, %v", claims, err)
			}
			if !c.isAccepted(jwt) {
				t.Error("REST refuses the token")
			}
			const describe = `<describeMetadata xmlns="http://soap.sforce.com/2006/04/metadata"/>`
			if status, said := soap(org, "67.0", jwt, describe); status != 500 || !strings.Contains(said, "<faultcode>sf:INVALID_SESSION_ID") || !strings.Contains(said, "This session is not valid for use with the API") {
				t.Errorf("SOAP 67.0 answers HTTP %d %s", status, said)
			}
			if status, said := soap(org, "68.0", jwt, describe); status != 200 {
				t.Errorf("SOAP 68.0 answers HTTP %d %s", status, said)
			}
		}
		if _, answer := rest(t, org, "GET", "apps/oauth/usage", ""); !strings.Contains(answer, `"accessTokenFormat":"JWT"`) {
			t.Errorf("the usage is %s", answer)
		}
	}
}

// TestOpenIDConfiguration finds the endpoints without a login.
func TestOpenIDConfiguration(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	resp, err := http.Get(org.URL + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var said map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil || said["issuer"] != org.URL {
		t.Fatal(said, err)
	}
	for name, path := range map[string]string{"authorization": "authorize", "token": "token", "revocation": "revoke", "introspection": "introspect", "userinfo": "userinfo"} {
		if got, want := said[name+"_endpoint"], org.URL+"/services/oauth2/"+path; got != want {
			t.Errorf("%s: got %v, want %s", name, got, want)
		}
	}
}

// TestPKCEOfTheOrg: the org's setting counts over that of the app.
func TestPKCEOfTheOrg(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	c := newClient(t, org, "Api", withoutPKCE)
	if said := c.authorize(""); said.Get("code") == "" {
		t.Fatal(said)
	}
	call(org, "updateMetadata", `<metadata xsi:type="OauthOidcSettings"><fullName>OauthOidc</fullName><isPkceRequired>true</isPkceRequired></metadata>`)
	if said := c.authorize(""); said.Get("error_description") != "missing required code challenge" {
		t.Error(said)
	}
	if said := c.authorize("", "code_challenge", "c", "code_challenge_method", "S256"); said.Get("code") == "" {
		t.Error(said)
	}
}

// TestUsage lists who uses an app, and deletes tokens.
func TestUsage(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	c := newClient(t, org, "Api, RefreshToken", withoutPKCE)
	const root = "/services/data/v67.0/apps/oauth/usage"
	get := func(path string) map[string]any {
		t.Helper()
		status, answer := rest(t, org, "GET", strings.TrimPrefix(path, "/services/data/v67.0/"), "")
		var all map[string]any
		if err := json.Unmarshal([]byte(answer), &all); err != nil || status != 200 {
			t.Fatalf("%s: HTTP %d %s", path, status, answer)
		}
		return all
	}
	one := func(path, list string) map[string]any {
		t.Helper()
		all, _ := get(path)[list].([]any)
		if len(all) != 1 {
			t.Fatalf("%s has %v", path, all)
		}
		return all[0].(map[string]any)
	}
	if apps := get(root)["apps"]; fmt.Sprint(apps) != "[]" {
		t.Errorf("an app that nobody used is among %v", apps)
	}
	logins := []map[string]any{c.logIn(""), c.logIn("")}
	app := one(root, "apps")
	if app["developerName"] != "App" || app["accessTokenFormat"] != "Opaque" || app["isFromPackage"] != false {
		t.Errorf("the app is %v", app)
	}
	user := one(fmt.Sprint(app["usageDetailsUrl"]), "users")
	if user["username"] != "admin@example.com" || user["useCount"] != 2.0 || user["appIdentifier"] != app["identifier"] {
		t.Errorf("the user is %v", user)
	}
	tokens := fmt.Sprint(user["revocationUrl"])
	page := get(tokens + "?pageSize=1")
	listed, _ := page["tokens"].([]any)
	if len(listed) != 1 || page["nextPageUrl"] != tokens+"?page=1&pageSize=1" {
		t.Errorf("the first page is %v", page)
	}
	if last := get(tokens + "?page=1&pageSize=1"); last["nextPageUrl"] == nil || len(last["tokens"].([]any)) != 1 {
		t.Errorf("the last page is %v", last)
	}
	if beyond := get(tokens + "?page=2&pageSize=1"); len(beyond["tokens"].([]any)) != 0 {
		t.Errorf("behind the last page is %v", beyond)
	}
	revoke := func(path string) {
		t.Helper()
		if status, answer := rest(t, org, "DELETE", strings.TrimPrefix(path, "/services/data/v67.0/"), ""); status != 204 {
			t.Errorf("DELETE %s: HTTP %d %s", path, status, answer)
		}
	}
	revoke(fmt.Sprint(listed[0].(map[string]any)["revocationUrl"]))
	if c.refresh(logins[0]["refresh_token"])["error"] != "invalid_grant" || c.refresh(logins[1]["refresh_token"])["access_token"] == nil {
		t.Error("deleting one token ends the other, or not itself")
	}
	revoke(tokens)
	if c.refresh(logins[1]["refresh_token"])["error"] != "invalid_grant" || org.Count("OauthToken") != 0 {
		t.Error("deleting the user's tokens leaves one")
	}
	for _, path := range []string{root + "/0xI000000000000/users", tokens + "/more", root + "/" + fmt.Sprint(app["identifier"]) + "/005000000000099AAA/tokens"} {
		if status, _ := rest(t, org, "GET", strings.TrimPrefix(path, "/services/data/v67.0/"), ""); status != 404 {
			t.Errorf("GET %s: HTTP %d", path, status)
		}
	}
}
