package simorg_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// observations are what a client sees of an org, by fact: a text that contains expected or other,
// depending on the answer.
var observations = map[string]struct {
	see             func(*testing.T, *simorg.Server) string
	expected, other string
}{
	"older-version-resets": {func(_ *testing.T, org *simorg.Server) string {
		upsert(org, eca.GlobalOAuthSettings, global+`<isDPopEnabled>true</isDPopEnabled>`)
		soap(org, "60.0", org.AccessToken(), `<upsertMetadata xmlns="http://soap.sforce.com/2006/04/metadata"><metadata xsi:type="`+eca.GlobalOAuthSettings+`">`+global+`</metadata></upsertMetadata>`)
		return org.Components(eca.GlobalOAuthSettings)[0].Fields["isDPopEnabled"]
	}, "true", "false"},
	"consumer-key-at-creation":    {created, "key taken", "key chosen"},
	"consumer-secret-at-creation": {created, "secret chosen", "secret taken"},
	"foreign-org-scope": {func(_ *testing.T, org *simorg.Server) string {
		_, answer := upsert(org, eca.Header, header+`<orgScopedExternalApp>00D000000000001:App</orgScopedExternalApp>`)
		return answer
	}, "must be in the format", "<success>true"},
	"repeated-element": {func(_ *testing.T, org *simorg.Server) string {
		_, answer := upsert(org, eca.Header, header+`<label>Twice</label>`)
		return answer
	}, "invalid at this location", "<success>true"},
	"disabled-app-policies": {func(_ *testing.T, org *simorg.Server) string {
		upsert(org, eca.PluginPolicies, `<fullName>App_plcy</fullName>`+link+`<isEnabled>false</isEnabled>`)
		_, answer := upsert(org, eca.OAuthPolicies, policy)
		return answer
	}, "<success>true", "OAuth settings are missing"},
	"permission-set-write": {func(t *testing.T, org *simorg.Server) string {
		one := func(from string) any { return ask(t, org, "SELECT Id FROM "+from).Records[0]["Id"] }
		rest(t, org, "POST", "sobjects/SetupEntityAccess", fmt.Sprintf(`{"ParentId": %q, "SetupEntityId": %q}`, one("PermissionSet"), one(eca.Header)))
		upsert(org, "PermissionSet", `<fullName>Users</fullName><label>Users</label>`)
		return fmt.Sprint("granted ", org.Granted("App"))
	}, "granted [Users]", "granted []"},
	"packaged-staging": {func(t *testing.T, org *simorg.Server) string {
		upsert(org, eca.Header, `<fullName>App</fullName><distributionState>Packaged</distributionState><label>App</label>`)
		app := ask(t, org, "SELECT Id FROM "+eca.Header).Records[0]["Id"]
		_, consumer, _ := strings.Cut(org.Components(eca.OAuthSettings)[0].Fields["oauthLink"], ":")
		_, answer := rest(t, org, "POST", fmt.Sprintf("apps/oauth/credentials/%s/%s/staged", app, consumer), "")
		return answer
	}, "local external client apps only", `"secret"`},
	"full-covers-scopes": {func(t *testing.T, org *simorg.Server) string {
		return fmt.Sprint(newClient(t, org, "Full", withoutPKCE).authorize("api"))
	}, "code:", "invalid_scope"},
	"authorize-refusal": {func(t *testing.T, org *simorg.Server) string {
		return fmt.Sprint(newClient(t, org, "Api", withoutPKCE).authorize("web"))
	}, "invalid_scope", "OAUTH_APPROVAL_ERROR_GENERIC"},
	"usage-page-size": {func(t *testing.T, org *simorg.Server) string {
		_, answer := rest(t, org, "GET", "apps/oauth/usage", "")
		return answer
	}, "pageSize=100", "pageSize=20"},
	"jwt-session-refusal": {func(t *testing.T, org *simorg.Server) string {
		c := newClient(t, org, "Api", `<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><isNamedUserJwtEnabled>true</isNamedUserJwtEnabled>`)
		_, token := c.post(tokenPath, url.Values{"grant_type": {"client_credentials"}})
		_, answer := soap(org, "67.0", fmt.Sprint(token["access_token"]), `<describeMetadata xmlns="http://soap.sforce.com/2006/04/metadata"/>`)
		return answer
	}, "sf:INVALID_SESSION_ID", "sf:UNKNOWN_EXCEPTION"},
	"ended-session-delete": {func(t *testing.T, org *simorg.Server) string {
		sessions(t, org)
		rest(t, org, "DELETE", "sobjects/AuthSession/0Ak000000000001AAA", "")
		_, answer := rest(t, org, "DELETE", "sobjects/AuthSession/0Ak000000000001AAA", "")
		return answer
	}, "NOT_FOUND", "ENTITY_IS_DELETED"},
	"parent-session-ends-children": {func(t *testing.T, org *simorg.Server) string {
		sessions(t, org)
		rest(t, org, "DELETE", "sobjects/AuthSession/0Ak000000000001AAA", "")
		return fmt.Sprint("sessions ", org.Count("AuthSession"))
	}, "sessions 0", "sessions 1"},
	"run-as-user-deactivation": {func(t *testing.T, org *simorg.Server) string {
		logIn(t, org, "Profile", "admin@example.com")
		user := ask(t, org, "SELECT Id FROM User WHERE Username = 'admin@example.com'").Records[0]["Id"]
		_, answer := rest(t, org, "PATCH", fmt.Sprintf("sobjects/User/%s", user), `{"IsActive": false}`)
		return fmt.Sprint(answer, ask(t, org, "SELECT IsActive FROM User").Records[0])
	}, "can't be deactivated", "IsActive:false"},
	"packaged-access-deletable": {func(t *testing.T, org *simorg.Server) string {
		fill(t, org, "Vendor.connectedApp-meta.xml", `<ConnectedApp xmlns="http://soap.sforce.com/2006/04/metadata"><label>Vendor</label></ConnectedApp>`)
		fill(t, org, "access.json", fmt.Sprintf(`{"SetupEntityAccess": [{"Id": "0J0000000000001AAA", "SetupEntityId": %q}]}`, ask(t, org, "SELECT Id FROM ConnectedApplication").Records[0]["Id"]))
		_, answer := rest(t, org, "DELETE", "sobjects/SetupEntityAccess/0J0000000000001AAA", "")
		return fmt.Sprint(answer, "records ", org.Count("SetupEntityAccess"))
	}, "records 0", "read only"},
	"jwt-switch-in-policies": {func(_ *testing.T, org *simorg.Server) string {
		_, answer := soap(org, "64.0", org.AccessToken(), `<upsertMetadata xmlns="http://soap.sforce.com/2006/04/metadata"><metadata xsi:type="`+eca.OAuthPolicies+`">`+policy+`<isNamedUserJwtEnabled>false</isNamedUserJwtEnabled></metadata></upsertMetadata>`)
		return answer
	}, "<success>true", "isNamedUserJwtEnabled invalid at this location"},
	"unknown-profile": {func(_ *testing.T, org *simorg.Server) string {
		_, answer := upsert(org, eca.OAuthPolicies, `<fullName>App_oauthPlcy</fullName><commaSeparatedProfile>None</commaSeparatedProfile>`+link)
		return answer
	}, "find profiles called None", "<success>true"},
	"settings-absent": {func(_ *testing.T, org *simorg.Server) string {
		_, answer := call(org, "readMetadata", `<type>ExternalClientAppSettings</type><fullNames>ExternalClientApp</fullNames>`)
		return answer
	}, "<fullName>ExternalClientApp</fullName></records>", "INVALID_TYPE"},
	"profiles-authorise": {func(t *testing.T, org *simorg.Server) string { return logIn(t, org, "Profile", "admin@example.com") }, "access_token", "not admin approved"},
	"policies-grant": {func(t *testing.T, org *simorg.Server) string {
		user := ask(t, org, "SELECT Id FROM User").Records[0]["Id"]
		set := ask(t, org, "SELECT Id FROM PermissionSet").Records[0]["Id"]
		rest(t, org, "POST", "sobjects/PermissionSetAssignment", fmt.Sprintf(`{"AssigneeId": %q, "PermissionSetId": %q}`, user, set))
		return logIn(t, org, "PermissionSet", "admin@example.com")
	}, "access_token", "not admin approved"},
	"jwt-unknown-user": {func(t *testing.T, org *simorg.Server) string { return logIn(t, org, "Profile", "x@example.com") }, "hasn't approved", "invalid assertion"},
	"jwt-expired-certificate": {func(t *testing.T, org *simorg.Server) string {
		return logIn(t, org, "Profile", "admin@example.com", "expired")
	}, "invalid assertion", "access_token"},
	"jwt-at-login-host": {func(t *testing.T, org *simorg.Server) string {
		return logIn(t, org, "Profile", "admin@example.com", "login host")
	}, "app_not_found", "access_token"},
	"propagation": {func(t *testing.T, org *simorg.Server) string { return logIn(t, org, "Profile", "admin@example.com") }, "invalid_client_id", "access_token"},
	"consumer-dates-move": {func(t *testing.T, org *simorg.Server) string {
		time.Sleep(1100 * time.Millisecond) // dates have seconds
		const staged = "apps/oauth/credentials/{app}/{consumer}/staged"
		walk(t, org, []step{{"POST", staged, "", 201, ""}, {"PATCH", staged + "/{pair}", `{"command":"rotate"}`, 200, ""}})
		dates := ask(t, org, "SELECT CreatedDate, LastModifiedDate FROM ExtlClntAppOauthConsumer").Records[0]
		return fmt.Sprint("same ", dates["CreatedDate"] == dates["LastModifiedDate"])
	}, "same true", "same false"},
	"unused-app-in-usage": {func(t *testing.T, org *simorg.Server) string {
		_, answer := rest(t, org, "GET", "apps/oauth/usage", "")
		return answer
	}, `"apps":[]`, `"developerName":"App"`},
	"usage-delete-status":             {usageDeleted, "HTTP 204", "HTTP 200"},
	"usage-delete-ends-access-tokens": {usageDeleted, "token true", "token false"},
	"disabling-ends-access-tokens": {func(t *testing.T, org *simorg.Server) string {
		token := tokenIn(logIn(t, org, "Profile", "admin@example.com"))
		upsert(org, eca.PluginPolicies, plugins+`<isOauthPluginEnabled>false</isOauthPluginEnabled>`)
		return accepted(org, token)
	}, "token true", "token false"},
	"revoke-without-session": {func(t *testing.T, org *simorg.Server) string {
		if err := org.Fill(fstest.MapFS{"r.json": {Data: []byte(`{"OauthToken": [{"AppName": "X", "DeleteToken": "d1"}]}`)}}, "."); err != nil {
			t.Fatal(err)
		}
		resp, err := http.PostForm(org.URL+"/services/oauth2/revoke", url.Values{"token": {"d1"}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.Status
	}, "200", "401"},
	"client-credentials-token-row": {func(t *testing.T, org *simorg.Server) string {
		logIn(t, org, "Profile", "admin@example.com", "client credentials")
		return fmt.Sprint("rows ", org.Count("OauthToken"))
	}, "rows 0", "rows 1"},
	"token-id":        {tokenRow, "Id:<nil>", "Id:0CQ"},
	"token-menu-item": {tokenRow, "AppMenuItemId:0DS", "AppMenuItemId:<nil>"},
	"unreadable-app-spoils-batch": {func(t *testing.T, org *simorg.Server) string {
		files := make(fstest.MapFS)
		for _, name := range []string{"Vendor", "Own"} {
			files[name+".connectedApp-meta.xml"] = &fstest.MapFile{Data: []byte(`<ConnectedApp xmlns="http://soap.sforce.com/2006/04/metadata"><label>L</label></ConnectedApp>`)}
		}
		if err := org.Fill(files, "."); err != nil {
			t.Fatal(err)
		}
		_, answer := call(org, "readMetadata", `<type>ConnectedApp</type><fullNames>Vendor</fullNames><fullNames>Own</fullNames>`)
		return answer
	}, "<fullName>Own</fullName>", "Load of metadata from db failed"},
}

// fill adds what a file describes to an org.
func fill(t *testing.T, org *simorg.Server, name, content string) {
	t.Helper()
	if err := org.Fill(fstest.MapFS{name: {Data: []byte(content)}}, "."); err != nil {
		t.Fatal(err)
	}
}

// sessions adds a session and one that was opened from it.
func sessions(t *testing.T, org *simorg.Server) {
	t.Helper()
	fill(t, org, "sessions.json", `{"AuthSession": [{"Id": "0Ak000000000001AAA"}, {"Id": "0Ak000000000002AAA", "ParentId": "0Ak000000000001AAA"}]}`)
}

// TestAnswers sees each fact of observations with both of its answers.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for id, o := range observations {
		for _, answer := range platform.Lookup(id).Answers {
			t.Run(id+", "+answer, func(t *testing.T) {
				t.Parallel()
				config := simorg.Config{
					Facts: platform.Answers{id: answer}, SecretsInREST: true, UnreadableApps: []string{"Vendor"},
					PermissionSets: []string{"Users"}, Profiles: []string{"Standard User"},
				}
				switch id {
				case "settings-absent":
					config.WithoutObjects = []string{eca.OrgSettings}
				case "token-id", "token-menu-item":
					config.Facts["client-credentials-token-row"] = "yes"
				case "propagation":
					config.Propagation = time.Hour
				}
				org := simorg.Start(config)
				defer org.Close()
				ready(t, org, eca.PluginPolicies)
				want := o.expected
				if answer != platform.Lookup(id).Expected {
					want = o.other
				}
				if got := o.see(t, org); !strings.Contains(got, want) {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		}
	}
}

// tokenRow logs in with client credentials and returns the record of the token.
func tokenRow(t *testing.T, org *simorg.Server) string {
	t.Helper()
	logIn(t, org, "Profile", "admin@example.com", "client credentials")
	return fmt.Sprint(ask(t, org, "SELECT Id, AppMenuItemId FROM OauthToken").Records[0])
}

// created sends a key and a secret with a new consumer.
func created(_ *testing.T, org *simorg.Server) string {
	call(org, "deleteMetadata", `<type>ExtlClntAppGlobalOauthSettings</type><fullNames>App_glbloauth</fullNames>`)
	upsert(org, eca.GlobalOAuthSettings, `<fullName>App_glbloauth</fullName><callbackUrl>https://a</callbackUrl><consumerKey>mine</consumerKey><consumerSecret>mine</consumerSecret>`+link)
	said := map[bool]string{true: "taken", false: "chosen"}
	main := org.Pairs("App")[0]
	return "key " + said[main.Key == "mine"] + ", secret " + said[main.Secret == "mine"]
}

var private = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// logIn gives the app a certificate, lets users in by a field of its policies, and logs a user in. how
// is "" for JWT bearer, or what differs from it.
func logIn(t *testing.T, org *simorg.Server, by, user string, how ...string) string {
	t.Helper()
	key := private()
	differs, end := strings.Join(how, ""), time.Now().Add(time.Hour)
	if differs == "expired" {
		end = time.Now().Add(-time.Minute)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-24 * time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"Profile": "Standard User", "PermissionSet": "Users"}
	upsert(org, eca.OAuthSettings, `<fullName>App_oauth</fullName><commaSeparatedOauthScopes>Api, RefreshToken</commaSeparatedOauthScopes>`+link)
	upsert(org, eca.GlobalOAuthSettings, `<fullName>App_glbloauth</fullName><certificate>`+base64.StdEncoding.EncodeToString(der)+`</certificate>`+link+`<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>`)
	_, answer := upsert(org, eca.OAuthPolicies, `<fullName>App_oauthPlcy</fullName><clientCredentialsFlowUser>admin@example.com</clientCredentialsFlowUser><commaSeparated`+by+`>`+names[by]+`</commaSeparated`+by+`>`+link+
		`<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType>`)
	if !strings.Contains(answer, "<success>true") {
		t.Fatal(answer)
	}
	main := org.Pairs("App")[0]
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion(t, key, main.Key, user, org.URL, time.Now().Add(time.Minute))}}
	if differs == "client credentials" {
		form = url.Values{"grant_type": {"client_credentials"}, "client_id": {main.Key}, "client_secret": {main.Secret}}
	}
	req, err := http.NewRequest("POST", org.URL+"/services/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if differs == "login host" {
		req.Host = "test.salesforce.com"
	}
	_, answer = do(req)
	return answer
}

// tokenIn returns the access token of an answer.
func tokenIn(answer string) string {
	_, after, _ := strings.Cut(answer, `"access_token":"`)
	token, _, _ := strings.Cut(after, `"`)
	return token
}

// accepted reports whether the org accepts an access token.
func accepted(org *simorg.Server, token string) string {
	status, _ := soap(org, "67.0", token, `<describeMetadata xmlns="http://soap.sforce.com/2006/04/metadata"/>`)
	return fmt.Sprint("token ", token != "" && status == 200)
}

// usageDeleted logs in and deletes the app's tokens.
func usageDeleted(t *testing.T, org *simorg.Server) string {
	t.Helper()
	token := tokenIn(logIn(t, org, "Profile", "admin@example.com"))
	app := ask(t, org, "SELECT Id FROM ExternalClientApplication").Records[0]["Id"]
	status, _ := rest(t, org, "DELETE", fmt.Sprintf("apps/oauth/usage/%s/tokens", app), "")
	return fmt.Sprintf("HTTP %d, %s", status, accepted(org, token))
}
