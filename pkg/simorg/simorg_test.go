package simorg_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// These tests speak to the org in plain text, without any of ecakit's clients.

func soap(org *simorg.Server, version, session, body string) (int, string) {
	envelope := `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Header><SessionHeader xmlns="http://soap.sforce.com/2006/04/metadata"><sessionId>` + session + `</sessionId></SessionHeader></e:Header><e:Body>` + body + `</e:Body></e:Envelope>`
	req, err := http.NewRequest("POST", org.URL+"/services/Soap/m/"+version, strings.NewReader(envelope))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("SOAPAction", `""`)
	req.Header.Set("Content-Type", "text/xml")
	return do(req)
}

func do(req *http.Request) (int, string) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, err.Error()
	}
	return resp.StatusCode, string(data)
}

func call(org *simorg.Server, operation, content string) (int, string) {
	return soap(org, "67.0", org.AccessToken(), `<`+operation+` xmlns="http://soap.sforce.com/2006/04/metadata">`+content+`</`+operation+`>`)
}

// upsert sends components: pairs of a type and its fields, fullName among them.
func upsert(org *simorg.Server, typesAndFields ...string) (int, string) {
	var b strings.Builder
	for i := 0; i < len(typesAndFields); i += 2 {
		fmt.Fprintf(&b, `<metadata xsi:type="%s">%s</metadata>`, typesAndFields[i], typesAndFields[i+1])
	}
	return call(org, "upsertMetadata", b.String())
}

const (
	header  = `<fullName>App</fullName><label>App</label>`
	link    = `<externalClientApplication>App</externalClientApplication>`
	oauth   = `<fullName>App_oauth</fullName><commaSeparatedOauthScopes>Api</commaSeparatedOauthScopes>` + link
	global  = `<fullName>App_glbloauth</fullName><callbackUrl>https://a</callbackUrl>` + link
	plugins = `<fullName>App_plcy</fullName>` + link + `<isEnabled>true</isEnabled>`
	policy  = `<fullName>App_oauthPlcy</fullName>` + link
)

// ready brings an app to the org, up to the given type.
func ready(t *testing.T, org *simorg.Server, upTo string) {
	t.Helper()
	for _, c := range [][2]string{{eca.Header, header}, {eca.OAuthSettings, oauth}, {eca.GlobalOAuthSettings, global}, {eca.PluginPolicies, plugins}} {
		if _, answer := upsert(org, c[0], c[1]); !strings.Contains(answer, "<success>true</success>") {
			t.Fatalf("got %s, want %q", answer, "<success>true</success>")
		}
		if c[0] == upTo {
			return
		}
	}
}

// TestRules goes through what the platform enforces, in its words.
func TestRules(t *testing.T) {
	t.Parallel()
	config := simorg.Config{Users: []simorg.User{{Username: "gone@example.com", Inactive: true}}, PermissionSets: []string{"Erp"}}
	for _, test := range []struct {
		name          string
		upTo          string // what is there already
		typ, fields   string
		status        int // of the answer
		code, message string
	}{
		{"no such app", "", eca.OAuthSettings, oauth, 200, "INVALID_CROSS_REFERENCE_KEY", ""},
		{"global settings first", eca.Header, eca.GlobalOAuthSettings, global, 200, "", "The external client app configured in your global OAuth Settings doesn&#39;t have a valid OAuth settings configuration."},
		{"policies first", eca.Header, eca.OAuthPolicies, policy, 200, "", "The OAuth settings are missing for this external client app."},
		{"policies before the plugin is on", eca.GlobalOAuthSettings, eca.OAuthPolicies, policy, 200, "", "The OAuth settings are missing for this external client app."},
		{"no run-as user", eca.PluginPolicies, eca.OAuthPolicies, policy + `<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>`, 200, "", "Enter a valid execution user for the OAuth client credentials flow"},
		{"inactive run-as user", eca.PluginPolicies, eca.OAuthPolicies, `<fullName>App_oauthPlcy</fullName><clientCredentialsFlowUser>gone@example.com</clientCredentialsFlowUser>` + link + `<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>`, 200, "", "Enter a valid execution user"},
		{"permission set ID", eca.PluginPolicies, eca.OAuthPolicies, `<fullName>App_oauthPlcy</fullName><commaSeparatedPermissionSet>Erp, 0PS000000000001</commaSeparatedPermissionSet>` + link, 200, "INVALID_FIELD", "We couldn&#39;t find permission sets called 0PS000000000001"},
		{"session of JWT tokens that the app does not issue", eca.PluginPolicies, eca.OAuthPolicies, policy + `<namedUserJwtSessionTimeoutType>UserSession</namedUserJwtSessionTimeoutType>`, 200, "", "Invalid plugin settings"},
		{"second OAuth settings", eca.OAuthSettings, eca.OAuthSettings, strings.Replace(oauth, "App_oauth", "Second", 1), 200, "DUPLICATE_VALUE", "duplicates value on App_oauth"},
		{"unknown scope", eca.Header, eca.OAuthSettings, strings.Replace(oauth, ">Api<", ">Api, Nope<", 1), 200, "", "Nope. Valid scopes are: A2A, Address, Api"},
		{"foreign oauthLink", eca.Header, eca.OAuthSettings, oauth + `<oauthLink>00D1:8881</oauthLink>`, 200, "", "There was a problem with the OAuth link. The app either isn&#39;t available on this instance"},
		{"unknown enum value", eca.PluginPolicies, eca.OAuthPolicies, policy + `<permittedUsersPolicyType>AdminApproved</permittedUsersPolicyType>`, 500, "", "&#39;AdminApproved&#39; is not a valid value for the enum &#39;PermittedUsersPolicyType&#39;"},
		{"unknown field", eca.Header, eca.OAuthSettings, oauth + `<zzz>1</zzz>`, 500, "", "zzz invalid at this location in type ExtlClntAppOauthSettings"},
		{"wrong order", eca.Header, eca.OAuthSettings, oauth + `<commaSeparatedCustomScopes>a</commaSeparatedCustomScopes>`, 500, "", "commaSeparatedCustomScopes invalid at this location"},
		{"field twice", eca.Header, eca.OAuthSettings, oauth + link, 500, "", "externalClientApplication invalid at this location"},
		{"not a boolean", eca.OAuthSettings, eca.GlobalOAuthSettings, global + `<isPkceRequired>yes</isPkceRequired>`, 500, "", "&#39;yes&#39; is not a valid value"},
		{"nested field missing", eca.Header, eca.OAuthSettings, `<fullName>App_oauth</fullName><customAttributes><key>a</key></customAttributes>` + link, 500, "", "customAttributes.formula"},
		{"required field missing", eca.GlobalOAuthSettings, eca.PluginPolicies, `<fullName>App_plcy</fullName>` + link, 200, "REQUIRED_FIELD_MISSING", "isEnabled"},
		{"fullName in another namespace", eca.Header, eca.OAuthSettings, strings.Replace(oauth, "<fullName>", `<fullName xmlns="">`, 1), 500, "", "fullName invalid at this location"},
		{"element in a text field", eca.Header, eca.OAuthSettings, strings.Replace(oauth, ">Api<", "><b/><", 1), 500, "", "b invalid at this location in type commaSeparatedOauthScopes"},
		{"another app's component", eca.OAuthSettings, eca.OAuthSettings, strings.Replace(oauth, ">App<", ">Other<", 1), 200, "", "The external client app of App_oauth can&#39;t be changed"},
		{"text among the fields", eca.Header, eca.OAuthSettings, oauth + "text", 500, "", "character data"},
		{"bad name", "", eca.Header, `<fullName>A b</fullName>`, 200, "INVALID_FULL_NAME", "A b"},
		{"unknown type", "", "CustomObject", `<fullName>A</fullName>`, 500, "", "INVALID_TYPE"},
		{"no type", "", "", `<fullName>A</fullName>`, 500, "", "INVALID_TYPE"},
	} {
		t.Run(test.name, func(t *testing.T) {
			org := simorg.Start(config)
			defer org.Close()
			if test.upTo != "" {
				ready(t, org, test.upTo)
			}
			status, answer := upsert(org, test.typ, test.fields)
			if status != test.status || !strings.Contains(answer, test.message) || strings.Contains(answer, "<success>true</success>") ||
				test.code != "" && !strings.Contains(answer, "<statusCode>"+test.code+"</statusCode>") {
				t.Errorf("got HTTP %d %s, want %q", status, answer, test.message)
			}
		})
	}
}

func TestUpsertReplacesTheWholeRecord(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	ready(t, org, eca.GlobalOAuthSettings)
	before := org.Components(eca.GlobalOAuthSettings)[0]
	if _, answer := upsert(org, eca.GlobalOAuthSettings, `<fullName>App_glbloauth</fullName><certificate>C</certificate>`+link+`<isPkceRequired>false</isPkceRequired>`); !strings.Contains(answer, "<created>false</created>") {
		t.Fatalf("got %s, want %q", answer, "<created>false</created>")
	}
	if got := org.Components(eca.GlobalOAuthSettings)[0]; got.Fields["callbackUrl"] != "" || got.Fields["certificate"] != "C" || got.Fields["isPkceRequired"] != "false" || got.Fields["consumerKey"] != before.Fields["consumerKey"] || got.Secret != before.Secret {
		t.Errorf("got %v", got)
	}
	upsert(org, eca.GlobalOAuthSettings, global)
	if got := org.Components(eca.GlobalOAuthSettings)[0]; got.Fields["certificate"] != "" || got.Fields["isPkceRequired"] != "true" {
		t.Errorf("the fields that were left out are %v", got.Fields)
	}
	if _, answer := call(org, "readMetadata", `<type>ExtlClntAppGlobalOauthSettings</type><fullNames>App_glbloauth</fullNames><fullNames>None</fullNames>`); !strings.Contains(answer, before.Fields["consumerKey"]) || strings.Contains(answer, before.Secret) || strings.Contains(answer, "consumerSecret") || !strings.Contains(answer, `<records xsi:nil="true"/>`) {
		t.Errorf("got %s, want %q", answer, `<records xsi:nil="true"/>`)
	}
	upsert(org, eca.GlobalOAuthSettings, global+`<shouldRotateConsumerKey>true</shouldRotateConsumerKey>`)
	if got := org.Components(eca.GlobalOAuthSettings)[0]; got.Fields["consumerKey"] == before.Fields["consumerKey"] || got.Fields["shouldRotateConsumerKey"] != "false" {
		t.Error("the consumer key was not rotated")
	}
}

func TestAutoPolicies(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{Facts: platform.Answers{"policies-with-consumer": "created"}})
	defer org.Close()
	ready(t, org, eca.GlobalOAuthSettings)
	if got := org.Components(eca.OAuthPolicies); len(got) != 1 || got[0].FullName != "App_defaultPolicy" || got[0].Fields["refreshTokenValidityPeriod"] != "365" {
		t.Errorf("the OAuth policies are %v", got)
	}
	if _, answer := upsert(org, eca.OAuthPolicies, policy); !strings.Contains(answer, "ExtlClntAppOauthSettingsId duplicates value on App_defaultPolicy") {
		t.Errorf("got %s, want %q", answer, "ExtlClntAppOauthSettingsId duplicates value on App_defaultPolicy")
	}
}

func TestLimitsAndVersions(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{Version: 66})
	defer org.Close()
	var eleven []string
	for i := range 11 {
		eleven = append(eleven, eca.Header, fmt.Sprintf("<fullName>App%d</fullName>", i))
	}
	session := org.AccessToken()
	body := func(operation, content string) string {
		return `<` + operation + ` xmlns="http://soap.sforce.com/2006/04/metadata">` + content + `</` + operation + `>`
	}
	list := `<queries><type>ExternalClientApplication</type></queries>`
	for _, test := range []struct{ version, session, body, want string }{
		{"67.0", session, body("listMetadata", list+`<asOfVersion>67.0</asOfVersion>`), "UNSUPPORTED_API_VERSION"},
		{"latest", session, body("listMetadata", list), "UNSUPPORTED_API_VERSION"},
		{"66.0", "wrong", body("listMetadata", list+`<asOfVersion>66.0</asOfVersion>`), "<faultcode>sf:INVALID_SESSION_ID</faultcode>"},
		{"66.0", session, body("listMetadata", strings.Repeat(list, 4)+`<asOfVersion>66.0</asOfVersion>`), "No more than 3"},
		{"66.0", session, body("listMetadata", list), "asOfVersion"},
		{"66.0", session, body("readMetadata", `<type>ExternalClientApplication</type>`+strings.Repeat("<fullNames>a</fullNames>", 11)), "No more than 10"},
		{"66.0", session, body("readMetadata", `<fullNames>a</fullNames><type>ExternalClientApplication</type>`), "invalid at this location"},
		{"59.0", session, body("readMetadata", `<type>ExtlClntAppConfigurablePolicies</type><fullNames>a</fullNames>`), "INVALID_TYPE"},
		{"60.0", session, body("upsertMetadata", `<metadata xsi:type="ExtlClntAppConfigurablePolicies"><externalClientApplication>A</externalClientApplication><isCanvasPluginEnabled>true</isCanvasPluginEnabled></metadata>`), "isCanvasPluginEnabled invalid at this location"},
		{"66.0", session, body("upsertMetadata", `<metadata xsi:type="ExternalClientApplication"/><metadata xsi:type="RemoteSiteSetting"/>`), "of one type"},
		{"66.0", session, body("upsertMetadata", `<metadata xmlns:z="urn:z" xsi:type="z:ExternalClientApplication"/>`), "INVALID_TYPE"},
		{"66.0", session, body("dropDatabase", ""), "No operation available"},
		{"66.0", session, "", "No operation available"},
	} {
		if status, answer := soap(org, test.version, test.session, test.body); status != 500 || !strings.Contains(answer, test.want) {
			t.Errorf("%s: HTTP %d %s, want %s", test.body, status, answer, test.want)
		}
	}
	if status, answer := upsert(org, eleven...); status != 500 {
		t.Errorf("got HTTP %d %s, want HTTP 500", status, answer)
	}
}

func TestCreateUpdateDelete(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	component := `<metadata xsi:type="ExternalClientApplication">` + header + `</metadata>`
	for _, step := range []struct{ operation, content, want string }{
		{"updateMetadata", component, "INVALID_CROSS_REFERENCE_KEY"},
		{"createMetadata", component, "<success>true</success>"},
		{"createMetadata", component, "DUPLICATE_DEVELOPER_NAME"},
		{"updateMetadata", strings.ReplaceAll(component, "App<", "APP<"), "<success>true</success>"},
		{"upsertMetadata", `<metadata xsi:type="ExtlClntAppOauthSettings">` + oauth + `</metadata>`, "<created>true</created>"},
		{"listMetadata", `<queries><type>ExtlClntAppOauthSettings</type></queries><asOfVersion>67.0</asOfVersion>`, "<fileName>extlClntAppOauthSettings/App_oauth.ecaOauth</fileName>"},
		{"describeMetadata", `<asOfVersion>67.0</asOfVersion>`, "<suffix>ecaGlblOauth</suffix>"},
		{"deleteMetadata", `<type>ExternalClientApplication</type><fullNames>app</fullNames><fullNames>app</fullNames>`, "INVALID_CROSS_REFERENCE_KEY"},
	} {
		if _, answer := call(org, step.operation, step.content); !strings.Contains(answer, step.want) {
			t.Errorf("%s: %s", step.operation, answer)
		}
	}
	if left := org.Components(eca.OAuthSettings); len(left) > 0 {
		t.Errorf("the app's deletion left %v", left)
	}
}

func source(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{"src/README.md": {Data: []byte("passed over")}}
	for name, content := range files {
		root := eca.Header
		for _, typ := range eca.Types() {
			if strings.HasSuffix(name, "."+typ.Suffix+"-meta.xml") {
				root = typ.Name
			}
		}
		fsys["src/"+name] = &fstest.MapFile{Data: []byte(`<` + root + ` xmlns="http://soap.sforce.com/2006/04/metadata">` + content + `</` + root + `>`)}
	}
	return fsys
}

func TestDeploy(t *testing.T) {
	t.Parallel()
	oauthFile := map[string]string{"App.eca-meta.xml": "", "App_oauth.ecaOauth-meta.xml": link}
	globalFile := map[string]string{"App_glbloauth.ecaGlblOauth-meta.xml": link}
	// A deploy on a scratch org refuses what an upsert accepts: of Packaged apps, and of Local
	// ones where the org is one that does.
	var failure simorg.DeployFailure
	for _, test := range []struct {
		state   string
		local   string
		refused bool
	}{{"Packaged", "accepted", true}, {"Packaged", "refused", true}, {"Local", "accepted", false}, {"Local", "refused", true}} {
		org := simorg.Start(simorg.Config{Kind: simorg.Scratch, Facts: platform.Answers{"local-on-scratch-deploy": test.local}})
		defer org.Close()
		ready(t, org, eca.OAuthSettings)
		if err := org.Deploy(source(map[string]string{"App.eca-meta.xml": "<distributionState>" + test.state + "</distributionState>"}), "src"); err != nil {
			t.Fatal(err)
		}
		err := org.Deploy(source(globalFile), "src")
		if said := errors.As(err, &failure) && failure.Problem == "Ephemeral orgs such as scratch orgs can't be used to deploy packaged ECAs" && failure.Type == eca.GlobalOAuthSettings; said != test.refused || !test.refused && err != nil {
			t.Errorf("%s on a scratch org with Local apps %s: got %v", test.state, test.local, err)
		}
	}
	// OAuth settings without an oauthLink break the app for good, where there are no global
	// settings of it.
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	if err := org.Deploy(source(oauthFile), "src"); err != nil {
		t.Fatal(err)
	}
	if _, answer := upsert(org, eca.GlobalOAuthSettings, global); !strings.Contains(answer, "&#34;oauthLink&#34; is null") {
		t.Errorf("got %s, want %q", answer, "&#34;oauthLink&#34; is null")
	}
	if _, answer := upsert(org, eca.OAuthSettings, strings.Replace(oauth, "App_oauth", "Second", 1)); !strings.Contains(answer, "duplicate key value violates unique constraint &#34;ak3tl_setup_entity_data&#34;") {
		t.Errorf("got %s, want %q", answer, "duplicate key value violates unique constraint &#34;ak3tl_setup_entity_data&#34;")
	}
	call(org, "deleteMetadata", `<type>ExtlClntAppOauthSettings</type><fullNames>App_oauth</fullNames>`)
	ready(t, org, eca.PluginPolicies)
	// Deploying the header again touches nothing, and a deploy is all or nothing.
	if err := org.Deploy(source(map[string]string{"App.eca-meta.xml": "<label>New</label>", "X.eca-meta.xml": "", "App_oauthPlcy.ecaOauthPlcy-meta.xml": link + "<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>"}), "src"); !errors.As(err, &failure) || len(org.Components(eca.Header)) != 1 {
		t.Errorf("got %v, want %T", err, failure)
	}
	if err := org.Deploy(source(map[string]string{"App.eca-meta.xml": "", "App_oauthPlcy.ecaOauthPlcy-meta.xml": link}), "src"); err != nil || len(org.Components(eca.GlobalOAuthSettings)) != 1 {
		t.Errorf("got %v", err)
	}
	if err := org.Deploy(source(map[string]string{"App.eca-meta.xml": "<nope/>"}), "src"); !errors.As(err, &failure) || !strings.Contains(failure.Problem, "nope invalid at this location") {
		t.Errorf("got %v, want %T", err, failure)
	}
}

// TestWholeAppInOneDeploy: Salesforce documents a Local app as source, all components in one
// deploy; the platform makes link and consumer.
func TestWholeAppInOneDeploy(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{Kind: simorg.Scratch, Facts: platform.Answers{
		"security-settings-with-consumer": "created", "consumer-key-at-creation": "ignored",
	}})
	defer org.Close()
	whole := map[string]string{
		"App.eca-meta.xml": "", "App_oauth.ecaOauth-meta.xml": "<commaSeparatedOauthScopes>Api</commaSeparatedOauthScopes>" + link,
		"App_glbloauth.ecaGlblOauth-meta.xml": "<consumerKey>mine</consumerKey>" + link, "App_plcy.ecaPlcy-meta.xml": link + "<isEnabled>true</isEnabled>",
		"App_oauthPlcy.ecaOauthPlcy-meta.xml": link,
	}
	var key string
	for run := range 2 {
		if err := org.Deploy(source(whole), "src"); err != nil {
			t.Fatal(err)
		}
		global, settings := org.Components(eca.GlobalOAuthSettings)[0], org.Components(eca.OAuthSettings)[0]
		if !strings.HasPrefix(global.Fields["consumerKey"], "3MVG9") || !strings.HasPrefix(settings.Fields["oauthLink"], org.ID()+":888") {
			t.Errorf("the consumer is %s, the link %s", global.Fields["consumerKey"], settings.Fields["oauthLink"])
		}
		if run > 0 && global.Fields["consumerKey"] != key {
			t.Error("the second deploy changed the consumer")
		}
		key = global.Fields["consumerKey"]
	}
	if security := org.Components(eca.OAuthSecuritySettings); len(security) != 1 || security[0].Fields["externalClientApplication"] != "App" {
		t.Errorf("the security settings that the org makes are %v", security)
	}
	// They come back with a retrieve, so a deploy brings them.
	if err := org.Deploy(source(map[string]string{"App_oauthSecurity.ecaOauthSecurity-meta.xml": link}), "src"); err != nil {
		t.Error(err)
	}
}

func TestREST(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{Kind: simorg.Scratch})
	defer org.Close()
	ready(t, org, eca.Header)
	get := func(path, token string) (int, string) {
		req, err := http.NewRequest("GET", org.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		return do(req)
	}
	query := "/services/data/v65.0/query?q="
	for _, test := range []struct {
		path, token string
		status      int
		want        string
	}{
		{"/services/data", "", 200, `"version":"68.0"`},
		{query + "SELECT+Id,+IsSandbox,+TrialExpirationDate,+OrganizationType,+InstanceName+FROM+Organization", org.AccessToken(), 200, `"IsSandbox":true`},
		{query + "SELECT+Id,DeveloperName+FROM+ExternalClientApplication", org.AccessToken(), 200, `"DeveloperName":"App"`},
		{query + "SELECT+Nope+FROM+Organization", org.AccessToken(), 400, "INVALID_FIELD"},
		{query + "SELECT+Id+FROM+Nope", org.AccessToken(), 400, "INVALID_TYPE"},
		{query + "DROP", org.AccessToken(), 400, "MALFORMED_QUERY"},
		{query + "SELECT+Id+FROM+Organization", "wrong", 401, `"errorCode":"INVALID_SESSION_ID"`},
		{"/services/data/v69.0/query?q=x", org.AccessToken(), 404, "NOT_FOUND"},
	} {
		if status, answer := get(test.path, test.token); status != test.status || !strings.Contains(answer, test.want) {
			t.Errorf("%s: HTTP %d %s", test.path, status, answer)
		}
	}
}

func TestFaultsAndRecord(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	org.Inject(simorg.SOAPFault("SERVER_UNAVAILABLE", "busy"))
	org.Inject(simorg.Fault{After: true, Drop: true})
	org.Inject(simorg.Fault{Truncate: 10})
	if status, answer := upsert(org, eca.Header, header); status != 500 || !strings.Contains(answer, "sf:SERVER_UNAVAILABLE") || len(org.Components(eca.Header)) > 0 {
		t.Errorf("got HTTP %d %s, want HTTP 500 and %q", status, answer, "sf:SERVER_UNAVAILABLE")
	}
	if status, _ := upsert(org, eca.Header, header); status != 0 || len(org.Components(eca.Header)) != 1 {
		t.Error("the org did not act, or the connection was not cut")
	}
	if _, answer := upsert(org, eca.Header, header); !strings.Contains(answer, "EOF") {
		t.Errorf("got %s, want %q", answer, "EOF")
	}
	requests := org.Requests()
	if len(requests) != 3 || requests[0].Operation != "upsertMetadata" || requests[0].Type != eca.Header || requests[0].FullNames[0] != "App" || !requests[0].Writes() || requests[0].Status != 500 || requests[1].Status != 0 {
		t.Errorf("the record is %+v", requests)
	}
	org.ForgetRequests()
	if len(org.Requests()) > 0 {
		t.Error("the record was not forgotten")
	}
}

func TestSequential(t *testing.T) {
	t.Parallel()
	at := func(from, to int) simorg.Request {
		return simorg.Request{Started: time.Unix(int64(from), 0), Ended: time.Unix(int64(to), 0)}
	}
	for _, test := range []struct {
		requests []simorg.Request
		want     int
	}{
		{nil, 0},
		{[]simorg.Request{at(1, 5)}, 1},
		{[]simorg.Request{at(1, 5), at(2, 6), at(3, 4)}, 1},
		{[]simorg.Request{at(1, 5), at(6, 9), at(2, 3), at(10, 12)}, 3},
	} {
		if got := simorg.Sequential(test.requests); got != test.want {
			t.Errorf("%v: %d, want %d", test.requests, got, test.want)
		}
	}
}

func Example() {
	org := simorg.Start(simorg.Config{Kind: simorg.Scratch})
	defer org.Close()
	app := fstest.MapFS{"externalClientApps/MyApp.eca-meta.xml": {Data: []byte(
		`<ExternalClientApplication xmlns="http://soap.sforce.com/2006/04/metadata"><label>My App</label></ExternalClientApplication>`)}}
	if err := org.Deploy(app, "."); err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range org.Components(eca.Header) {
		fmt.Println(c.FullName, c.Fields["distributionState"])
	}
	policies := fstest.MapFS{"MyApp_oauthPlcy.ecaOauthPlcy-meta.xml": {Data: []byte(
		`<ExtlClntAppOauthConfigurablePolicies xmlns="http://soap.sforce.com/2006/04/metadata"><externalClientApplication>MyApp</externalClientApplication></ExtlClntAppOauthConfigurablePolicies>`)}}
	fmt.Println(org.Deploy(policies, "."))
	// Output:
	// MyApp Local
	// MyApp_oauthPlcy.ecaOauthPlcy-meta.xml: The OAuth settings are missing for this external client app.
}

// TestLoadRefuses whatever Save cannot have written, and leaves the org as it was.
func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	org := simorg.New(simorg.Config{})
	id := org.ID()
	for _, state := range []string{
		``, `{}`, `{"org": "00D1", "token": "t", "kind": "sandbox"}`, `{"org": "00D1", "token": "t", "sessions": {}, "grants": null, "kind": "sandbox"}`,
		`{"org": "00D1", "token": "t", "sessions": {}, "kind": "production"}`, `{"org": "00D1", "token": "t", "sessions": {}, "kind": "sandbox"} {}`,
		`{"org": "00D1", "token": "t", "sessions": {}, "kind": "sandbox", "artifacts": [null]}`,
		`{"org": "00D1", "token": "t", "sessions": {}, "kind": "sandbox", "records": [{"type": "None"}]}`,
	} {
		if err := org.Load(strings.NewReader(state)); err == nil || org.ID() != id {
			t.Errorf("%s: got %v, and the org is %s", state, err, org.ID())
		}
	}
	if err := org.Load(strings.NewReader(`{"org": "00D1", "token": "t", "sessions": {}, "kind": "sandbox"}`)); err != nil || org.ID() != "00D1" {
		t.Errorf("got %v, and the org is %s", err, org.ID())
	}
}
