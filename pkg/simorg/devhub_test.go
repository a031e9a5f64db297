package simorg_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ecakit/ecakit/pkg/simorg"
)

const (
	cli      = "PlatformCLI"
	callback = "http://localhost:1717/OauthRedirect"
	request  = `"OrgName": "e2e", "Edition": "Developer", "DurationDays": 2, "ConnectedAppConsumerKey": "` + cli + `", "ConnectedAppCallbackUrl": "` + callback + `"`
)

// rest sends a REST request, with its path below the version.
func rest(t *testing.T, org *simorg.Server, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, org.URL+"/services/data/v67.0/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+org.AccessToken())
	return do(req)
}

// signUp creates a ScratchOrgInfo, and returns what it holds then.
func signUp(t *testing.T, hub *simorg.Server, fields string) map[string]any {
	t.Helper()
	status, answer := rest(t, hub, "POST", "sobjects/ScratchOrgInfo", "{"+fields+"}")
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &made); err != nil || status != 201 {
		t.Fatalf("HTTP %d %s", status, answer)
	}
	_, answer = rest(t, hub, "GET", "sobjects/ScratchOrgInfo/"+made.ID, "")
	var info map[string]any
	if err := json.Unmarshal([]byte(answer), &info); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	return info
}

// token sends a form to a token endpoint.
func token(t *testing.T, base any, form url.Values) map[string]any {
	t.Helper()
	resp, err := http.PostForm(base.(string)+"/services/oauth2/token", form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func hub(t *testing.T, config simorg.Config) *simorg.Server {
	t.Helper()
	config.Kind, config.DevHub = simorg.Production, true
	org := simorg.Start(config)
	t.Cleanup(org.Close)
	return org
}

// TestSignUp goes the way of sf: it signs up a scratch org and exchanges the code for a session.
func TestSignUp(t *testing.T) {
	t.Parallel()
	var told []string
	org := hub(t, simorg.Config{SignUp: func(c *simorg.Config) {
		told = append(told, c.Username)
		c.PermissionSets = []string{"Extra"}
	}})
	info := signUp(t, org, request+`, "Username": "me@example.com", "AdminEmail": "a@example.com"`)
	for field, want := range map[string]any{
		"Status": "Active", "ErrorCode": nil, "SignupUsername": "me@example.com", "SignupEmail": "a@example.com", "OrgName": "e2e",
		"ExpirationDate": time.Now().UTC().AddDate(0, 0, 2).Format(time.DateOnly), "Pooltag__c": nil,
	} {
		if info[field] != want {
			t.Errorf("%s is %v, not %v", field, info[field], want)
		}
	}
	if len(told) != 1 || told[0] != "me@example.com" {
		t.Errorf("SignUp was told of %q", told)
	}
	exchange := func(code any, redirect string) map[string]any {
		return token(t, info["LoginUrl"], url.Values{"grant_type": {"authorization_code"}, "client_id": {cli}, "code": {code.(string)}, "redirect_uri": {redirect}})
	}
	if answer := exchange("aPrxNone", callback); answer["error_description"] != "invalid authorization code" {
		t.Errorf("a wrong code: %v", answer)
	}
	session := exchange(info["AuthCode"], callback)
	if !strings.HasPrefix(session["access_token"].(string), info["ScratchOrg"].(string)) || session["instance_url"] != info["LoginUrl"] {
		t.Fatalf("got %v", session)
	}
	if answer := exchange(info["AuthCode"], callback); answer["error_description"] != "invalid authorization code" {
		t.Errorf("a used code: %v", answer)
	}
	other := signUp(t, org, request)
	if answer := token(t, other["LoginUrl"], url.Values{"grant_type": {"authorization_code"}, "client_id": {cli}, "code": {other["AuthCode"].(string)}, "redirect_uri": {"http://localhost:1/x"}}); answer["error"] != "redirect_uri_mismatch" {
		t.Errorf("another redirect: %v", answer)
	}
	refresh := func(client, refreshToken, secret string) map[string]any {
		return token(t, info["LoginUrl"], url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "client_secret": {secret}, "refresh_token": {refreshToken}})
	}
	given := session["refresh_token"].(string)
	if answer := refresh(cli, given, ""); answer["access_token"] == nil || answer["refresh_token"] != nil {
		t.Errorf("a refresh: %v", answer)
	}
	for _, c := range []struct{ client, token, secret, want string }{
		{cli, "5AepNone", "", "expired access/refresh token"}, {"3MVGnone", given, "", "client identifier invalid"}, {cli, given, "guess", "invalid client credentials"},
	} {
		if answer := refresh(c.client, c.token, c.secret); answer["error_description"] != c.want {
			t.Errorf("a refresh as %s: %v, not %s", c.client, answer, c.want)
		}
	}

	orgs := org.ScratchOrgs()
	if len(orgs) != 2 || orgs[0].URL != info["LoginUrl"] || orgs[0].ID()[:15] != info["ScratchOrg"] {
		t.Fatalf("the scratch orgs are %v", orgs)
	}
	scratch := orgs[0]
	if answer := ask(t, scratch, "SELECT IsSandbox, TrialExpirationDate FROM Organization"); answer.Records[0]["IsSandbox"] != true || answer.Records[0]["TrialExpirationDate"] == nil {
		t.Errorf("the scratch org is %v", answer.Records)
	}
	if answer := ask(t, scratch, "SELECT Id FROM ScratchOrgInfo"); !strings.Contains(answer.Refused, "INVALID_TYPE") {
		t.Errorf("a scratch org is a Dev Hub: %v", answer)
	}
	if answer := ask(t, scratch, "SELECT name FROM PermissionSet"); answer.TotalSize != 1 || answer.Records[0]["Name"] != "Extra" {
		t.Errorf("SignUp changed nothing: %v", answer)
	}
}

// TestPool keeps what sfp keeps of a pool on its Dev Hub.
func TestPool(t *testing.T) {
	t.Parallel()
	org := hub(t, simorg.Config{MaxScratchOrgs: 2})
	one, two := signUp(t, org, request), signUp(t, org, request)
	id := func(info map[string]any) string { return info["Id"].(string) }
	contains := func(what string, status int, answer, want string) {
		t.Helper()
		if !strings.Contains(answer, want) {
			t.Errorf("%s: got HTTP %d %s, want %q", what, status, answer, want)
		}
	}
	status, answer := rest(t, org, "GET", "sobjects/ScratchOrgInfo/describe", "")
	contains("describe", status, answer, `"value":"In Progress"`)
	contains("describe", status, answer, `"name":"SfdxAuthUrl__c"`)
	status, answer = rest(t, org, "GET", "limits", "")
	contains("limits", status, answer, `"ActiveScratchOrgs":{"Max":2,"Remaining":0}`)
	status, answer = rest(t, org, "POST", "sobjects/ScratchOrgInfo", "{"+request+"}")
	contains("one too many", status, answer, "LIMIT_EXCEEDED")

	status, answer = rest(t, org, "PATCH", "composite/sobjects", `{"records": [
		{"attributes": {"type": "ScratchOrgInfo"}, "id": "`+id(one)+`", "Pooltag__c": "dev", "Allocation_status__c": "In Progress"},
		{"attributes": {"type": "ScratchOrgInfo"}, "Id": "`+id(two)+`", "Pooltag__c": "dev", "Status": "New"},
		{"attributes": {"type": "ScratchOrgInfo"}, "id": "2SR000000009999", "Pooltag__c": "dev"},
		{"attributes": {"type": "Account"}, "id": "`+id(two)+`"}, {"id": 1}]}`)
	contains("composite", status, answer, `{"errors":[],"id":"`+id(one)+`","success":true}`)
	contains("composite", status, answer, "INVALID_FIELD_FOR_INSERT_UPDATE")
	if n := strings.Count(answer, `"success":false`); n != 4 {
		t.Errorf("%d records failed: %s", n, answer)
	}
	if status, answer = rest(t, org, "PATCH", "sobjects/ScratchOrgInfo/"+id(one), `{"Allocation_status__c": "Available"}`); status != 204 || answer != "" {
		t.Errorf("HTTP %d %s", status, answer)
	}
	if answer := ask(t, org, "SELECT Id, SignupUsername FROM ScratchOrgInfo WHERE Pooltag__c = 'dev' AND Status = 'Active' AND Allocation_status__c = 'Available' AND createdby.username = 'admin@example.com' ORDER BY CreatedDate DESC"); answer.TotalSize != 1 || answer.Records[0]["Id"] != id(one) {
		t.Errorf("the pool holds %v", answer)
	}

	active := ask(t, org, "SELECT Id, SignupUsername FROM ActiveScratchOrg WHERE ScratchOrg = '"+one["ScratchOrg"].(string)+"'")
	if active.TotalSize != 1 || active.Records[0]["SignupUsername"] != one["SignupUsername"] {
		t.Fatalf("got %v", active)
	}
	deleted, first := active.Records[0]["Id"].(string), org.ScratchOrgs()[0]
	if status, _ := rest(t, first, "GET", "limits", ""); status != 200 {
		t.Errorf("a scratch org answers with HTTP %d", status)
	}
	status, answer = rest(t, org, "DELETE", "composite/sobjects?ids="+deleted+",09S000000009999", "")
	contains("delete", status, answer, `{"errors":[],"id":"`+deleted+`","success":true}`)
	contains("delete", status, answer, `"success":false`)
	if status, _ := rest(t, first, "GET", "limits", ""); status == 200 { // another org may have its port by now
		t.Error("a deleted scratch org answers")
	}
	if answer := ask(t, org, "SELECT Status FROM ScratchOrgInfo WHERE Id = '"+id(one)+"'"); answer.Records[0]["Status"] != "Deleted" {
		t.Errorf("got %v", answer)
	}
	if orgs := org.ScratchOrgs(); len(orgs) != 1 || orgs[0].URL != two["LoginUrl"] {
		t.Errorf("the scratch orgs are %v", orgs)
	}
	signUp(t, org, request) // there is room again
	if status, _ = rest(t, org, "DELETE", "sobjects/ActiveScratchOrg/09S"+id(two)[3:], ""); status != 204 {
		t.Errorf("HTTP %d", status)
	}
	last := org.ScratchOrgs()[0]
	org.Close()
	if status, _ := rest(t, last, "GET", "limits", ""); status == 200 {
		t.Error("a scratch org outlives its Dev Hub")
	}
}

func TestSignUpRefused(t *testing.T) {
	t.Parallel()
	org := hub(t, simorg.Config{WithoutFields: []string{"ScratchOrgInfo.SfdxAuthUrl__c"}})
	plain := simorg.Start(simorg.Config{Kind: simorg.Production})
	defer plain.Close()
	for _, c := range []struct {
		org                *simorg.Server
		method, path, body string
		status             int
		want               string
	}{
		{plain, "POST", "sobjects/ScratchOrgInfo", "{" + request + "}", 404, "NOT_FOUND"},
		{plain, "PATCH", "composite/sobjects", `{"records": []}`, 404, "NOT_FOUND"},
		{plain, "GET", "query?q=SELECT+Id+FROM+ActiveScratchOrg", "", 400, "INVALID_TYPE"},
		{plain, "GET", "limits", "", 200, "{}"},
		{org, "POST", "sobjects/ScratchOrgInfo", "no", 400, "JSON_PARSER_ERROR"},
		{org, "POST", "sobjects/ScratchOrgInfo", "{" + request + `, "Colour": "red"}`, 400, "No such column 'Colour' on sobject of type ScratchOrgInfo"},
		{org, "POST", "sobjects/ScratchOrgInfo", "{" + request + `, "SfdxAuthUrl__c": "x"}`, 400, "INVALID_FIELD"},
		{org, "POST", "sobjects/ScratchOrgInfo", "{" + request + `, "AuthCode": "mine"}`, 400, "INVALID_FIELD_FOR_INSERT_UPDATE"},
		{org, "POST", "sobjects/ScratchOrgInfo", "{" + request + `, "Description": {"a": 1}}`, 400, "JSON_PARSER_ERROR"},
		{org, "POST", "sobjects/ScratchOrgInfo", "{" + request + `, "Description": ["a"]}`, 400, "JSON_PARSER_ERROR"},
		{org, "PATCH", "sobjects/ScratchOrgInfo/2SR000000009999", `{"Pooltag__c": "x"}`, 404, "NOT_FOUND"},
		{org, "PATCH", "sobjects/ScratchOrgInfo/2SR000000009999", "no", 400, "JSON_PARSER_ERROR"},
		{org, "GET", "sobjects/ScratchOrgInfo/2SR000000009999", "", 404, "NOT_FOUND"},
		{org, "DELETE", "sobjects/ActiveScratchOrg/09S000000009999", "", 404, "NOT_FOUND"},
		{org, "DELETE", "sobjects/ScratchOrgInfo/2SR000000009999", "", 404, "NOT_FOUND"},
		{org, "PATCH", "composite/sobjects", "no", 400, "JSON_PARSER_ERROR"},
		{org, "GET", "composite/sobjects", "", 404, "NOT_FOUND"},
		{org, "POST", "tooling/sobjects/PackageInstallRequest", `{"SubscriberPackageVersionKey": "04t000000000001AAA"}`, 400, "INVALID_CROSS_REFERENCE_KEY"},
		{org, "POST", "tooling/sobjects/PackageInstallRequest", "no", 400, "JSON_PARSER_ERROR"},
		{org, "GET", "tooling/sobjects/PackageInstallRequest/0Hf000000009999", "", 404, "NOT_FOUND"},
		{org, "POST", "tooling/sobjects/ApexClass", "{}", 404, "NOT_FOUND"},
	} {
		if status, answer := rest(t, c.org, c.method, c.path, c.body); status != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("%s %s %s: HTTP %d %s, not %d %s", c.method, c.path, c.body, status, answer, c.status, c.want)
		}
	}
	if _, answer := rest(t, org, "GET", "sobjects/ScratchOrgInfo/describe", ""); strings.Contains(answer, "SfdxAuthUrl__c") {
		t.Errorf("a field that is not there is described: %s", answer)
	}
	signUp(t, org, request+`, "Username": "me@example.com"`)
	for fields, want := range map[string]string{
		strings.ReplaceAll(request, cli, "3MVGnone"):    "C-1016",
		request + `, "Username": "me@example.com"`:      "C-1007",
		request + `, "DurationDays": "x", "OrgName": 1`: "",
	} {
		info := signUp(t, org, fields)
		if code, _ := info["ErrorCode"].(string); code != want || (info["Status"] == "Error") != (want != "") {
			t.Errorf("%s: got %v, want %q", fields, info, want)
		}
	}
}

// TestSignUpByJWT lets a client of the Dev Hub that logs in by JWT do so on the scratch org.
func TestSignUpByJWT(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	org := hub(t, simorg.Config{JWTClients: map[string]*rsa.PublicKey{"3MVGjwt": &key.PublicKey}})
	info := signUp(t, org, strings.ReplaceAll(request, cli, "3MVGjwt"))
	base := info["LoginUrl"].(string)
	answer := token(t, base, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion(t, key, "3MVGjwt", info["SignupUsername"].(string), base, time.Now().Add(time.Minute))}})
	if answer["access_token"] == nil {
		t.Errorf("got %v", answer)
	}
}

// TestCLI logs in as sf org login web does, without a browser.
func TestCLI(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	login := func(redirect string) *http.Response {
		resp, err := client.PostForm(org.URL+"/services/oauth2/authorize?"+url.Values{"client_id": {cli}, "response_type": {"code"}, "redirect_uri": {redirect}, "state": {"s"}}.Encode(), url.Values{"username": {"admin@example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	if resp := login("http://localhost:1718/OauthRedirect"); resp.StatusCode != 400 {
		t.Errorf("another redirect: HTTP %d", resp.StatusCode)
	}
	back, err := login(callback).Location()
	if err != nil {
		t.Fatal(err)
	}
	answer := token(t, org.URL, url.Values{"grant_type": {"authorization_code"}, "client_id": {cli}, "code": {back.Query().Get("code")}, "redirect_uri": {callback}})
	if answer["scope"] != "refresh_token api web" || answer["refresh_token"] == nil {
		t.Errorf("got %v", answer)
	}
}

func TestSetPassword(t *testing.T) {
	t.Parallel()
	const self, other, none = "005000000000001AAA", "005000000000002AAA", "005000000000009AAA"
	for _, c := range []struct{ features, session, user, want string }{
		{"EnableSetPasswordInApi", "", self, "<setPasswordResponse"},
		{"", "", self, "INSUFFICIENT_ACCESS: Cannot set password for self"},
		{"", "", other, "<setPasswordResponse"},
		{"EnableSetPasswordInApi", "", none, "INVALID_CROSS_REFERENCE_KEY"},
		{"EnableSetPasswordInApi", "00Dx!y", self, "INVALID_SESSION_ID"},
	} {
		org := simorg.Start(simorg.Config{Kind: simorg.Scratch, Features: strings.Fields(c.features), Users: []simorg.User{{Username: "b@example.com"}}})
		if c.session == "" {
			c.session = org.AccessToken()
		}
		const ns = `xmlns="urn:partner.soap.sforce.com"`
		resp, err := http.Post(org.URL+"/services/Soap/u/67.0", "text/xml", bytes.NewBufferString(`<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Header `+ns+`><SessionHeader><sessionId>`+c.session+`</sessionId></SessionHeader></e:Header><e:Body `+ns+`><setPassword><userId>`+c.user+`</userId><password>p</password></setPassword></e:Body></e:Envelope>`))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		b.ReadFrom(resp.Body)
		resp.Body.Close()
		if !strings.Contains(b.String(), c.want) {
			t.Errorf("%+v: %s", c, b.String())
		}
		if resp, err := http.Post(org.URL+"/services/Soap/u/67.0", "text/xml", strings.NewReader("<a/>")); err != nil || resp.StatusCode != 500 {
			t.Errorf("an unknown call: %v %v", resp, err)
		}
		org.Close()
	}
}

// TestInstallPackage installs the package that holds sfp's records.
func TestInstallPackage(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{Kind: simorg.Scratch})
	defer org.Close()
	const installed = "SELECT Id, SubscriberPackage.Name, SubscriberPackageVersion.Id FROM InstalledSubscriberPackage ORDER BY SubscriberPackageId"
	if answer := ask(t, org, installed); answer.TotalSize != 0 {
		t.Errorf("got %v", answer)
	}
	status, answer := rest(t, org, "POST", "tooling/sobjects/PackageInstallRequest", `{"SubscriberPackageVersionKey": "04t1P000000ka9mQAA"}`)
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &made); err != nil || status != 201 {
		t.Fatalf("HTTP %d %s", status, answer)
	}
	if _, answer := rest(t, org, "GET", "tooling/sobjects/PackageInstallRequest/"+made.ID, ""); !strings.Contains(answer, `"Status":"SUCCESS"`) {
		t.Errorf("got %s", answer)
	}
	if answer := ask(t, org, installed); answer.TotalSize != 1 || answer.Records[0]["SubscriberPackageVersion"].(map[string]any)["Id"] != "04t1P000000ka9mQAA" {
		t.Errorf("got %v", answer)
	}
}
