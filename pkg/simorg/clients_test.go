package simorg_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// These tests are about what sf and sfp ask of an org, in the forms they use.

// deployZip makes the zip of a deploy: files by path, components with the types'
// own root elements.
func deployZip(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range files {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func root(typ, content string) string {
	return `<` + typ + ` xmlns="http://soap.sforce.com/2006/04/metadata">` + content + `</` + typ + `>`
}

func TestDeployBySOAP(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	deploy := func(options string, files map[string]string) string {
		_, answer := call(org, "deploy", `<ZipFile>`+base64.StdEncoding.EncodeToString(deployZip(t, files))+`</ZipFile><DeployOptions>`+options+`</DeployOptions>`)
		_, after, _ := strings.Cut(answer, "<id>")
		id, _, found := strings.Cut(after, "</id>")
		if !found {
			t.Fatalf("got %s, want the id of a deploy", answer)
		}
		_, answer = call(org, "checkDeployStatus", `<asyncProcessId>`+id+`</asyncProcessId><includeDetails>true</includeDetails>`)
		return answer
	}
	app := map[string]string{"package.xml": root("Package", ""), "externalClientApps/App.eca": root(eca.Header, "")}
	if answer := deploy(`<checkOnly>true</checkOnly>`, app); !strings.Contains(answer, "<status>Succeeded</status>") || len(org.Components(eca.Header)) > 0 {
		t.Errorf("got %s, want %q", answer, "<status>Succeeded</status>")
	}
	if answer := deploy("", app); !strings.Contains(answer, "<status>Succeeded</status>") || !strings.Contains(answer, "<fileName>externalClientApps/App.eca</fileName>") || len(org.Components(eca.Header)) != 1 {
		t.Errorf("got %s, want %q", answer, "<status>Succeeded</status>")
	}
	answer := deploy("", map[string]string{
		"package.xml": root("Package", ""), "externalClientApps/Second.eca": root(eca.Header, ""), "extlClntAppOauthPolicies/P.ecaOauthPlcy": root(eca.OAuthPolicies, link),
	})
	if !strings.Contains(answer, "<problem>The OAuth settings are missing for this external client app.</problem>") || !strings.Contains(answer, "<success>false</success>") || len(org.Components(eca.Header)) != 1 {
		t.Errorf("got %s, want %q", answer, "<problem>The OAuth settings are missing for this external client app.</problem>")
	}
	destructive := `<types><members>App</members><name>ExternalClientApplication</name></types>`
	if answer := deploy("", map[string]string{"package.xml": root("Package", ""), "destructiveChangesPost.xml": root("Package", destructive)}); !strings.Contains(answer, "<status>Succeeded</status>") || len(org.Components(eca.Header)) > 0 {
		t.Errorf("got %s, want %q", answer, "<status>Succeeded</status>")
	}
	noManifest := "<ZipFile>" + base64.StdEncoding.EncodeToString(deployZip(t, map[string]string{"externalClientApps/App.eca": ""})) + "</ZipFile>"
	for content, want := range map[string]string{noManifest: "No package.xml", "<ZipFile>!</ZipFile>": "base64", "<ZipFile>AAAA</ZipFile>": "INVALID_ZIP_FILE"} {
		if status, answer := call(org, "deploy", content); status != 500 || !strings.Contains(answer, want) {
			t.Errorf("got HTTP %d %s, want HTTP 500 and %q", status, answer, want)
		}
	}
	if status, answer := call(org, "checkDeployStatus", `<asyncProcessId>0Af0</asyncProcessId>`); status != 500 {
		t.Errorf("got HTTP %d %s, want HTTP 500", status, answer)
	}
}

func TestRetrieve(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	upsert(org, eca.Header, header)
	types := func(member string) string {
		return "<unpackaged><types><members>" + member + "</members><name>ExternalClientApplication</name></types></unpackaged>"
	}
	between := func(text, before, after string) string {
		_, text, _ = strings.Cut(text, before)
		text, _, _ = strings.Cut(text, after)
		return text
	}
	for _, test := range []struct{ name, content, problem string }{
		{"by name", "<retrieveRequest>" + types("App") + "</retrieveRequest>", ""},
		{"all, as jsforce calls it", "<request>" + types("*") + "</request>", ""},
		{"what is not there", "<retrieveRequest>" + types("Other") + "</retrieveRequest>", "Entity of type &#39;ExternalClientApplication&#39; named &#39;Other&#39; cannot be found"},
	} {
		_, answer := call(org, "retrieve", test.content)
		poll := "<asyncProcessId>" + between(answer, "<id>", "</id>") + "</asyncProcessId>"
		_, answer = call(org, "checkRetrieveStatus", poll)
		if got := between(answer, "<problem>", "</problem>"); got != test.problem {
			t.Errorf("%s: got the problem %q, want %q", test.name, got, test.problem)
		}
		data, err := base64.StdEncoding.DecodeString(between(answer, "<zipFile>", "</zipFile>"))
		if err != nil {
			t.Fatal(err)
		}
		zipped, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatalf("%s: %v in %s", test.name, err, answer)
		}
		if _, err := fs.Stat(zipped, "unpackaged/package.xml"); err != nil {
			t.Error(test.name, err)
		}
		content, err := fs.ReadFile(zipped, "unpackaged/externalClientApps/App.eca")
		if is := err == nil; is != (test.problem == "") || is && !strings.Contains(string(content), "<label>App</label></ExternalClientApplication>") {
			t.Errorf("%s: got %s, %v", test.name, content, err)
		}
		if status, _ := call(org, "checkRetrieveStatus", poll); status != 500 {
			t.Errorf("%s: a result is given twice", test.name)
		}
	}
	unknown := "<retrieveRequest><unpackaged><types><members>*</members><name>None</name></types></unpackaged></retrieveRequest>"
	if status, answer := call(org, "retrieve", unknown); status != 200 {
		t.Errorf("an unknown type: got HTTP %d %s", status, answer)
	}
	if status, answer := call(org, "retrieve", "<retrieveRequest/>"); status != 500 || !strings.Contains(answer, "unpackaged") {
		t.Errorf("without a manifest got HTTP %d %s", status, answer)
	}
}

func TestDeployByREST(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="json"`}, "Content-Type": {"application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(part, `{"deployOptions": {"checkOnly": false}}`)
	part, err = w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="file"; filename="package.zip"`}, "Content-Type": {"application/zip"}})
	if err != nil {
		t.Fatal(err)
	}
	part.Write(deployZip(t, map[string]string{"package.xml": root("Package", ""), "externalClientApps/App.eca": root(eca.Header, "")}))
	w.Close()
	send := func(method, path, contentType string, body io.Reader) (int, string) {
		req, err := http.NewRequest(method, org.URL+"//services/data/v65.0/metadata/deployRequest"+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+org.AccessToken())
		req.Header.Set("Content-Type", contentType)
		return do(req)
	}
	// A body of unknown length goes out chunked.
	status, answer := send("POST", "", w.FormDataContentType(), io.MultiReader(bytes.NewReader(b.Bytes())))
	var taken struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(answer), &taken); err != nil || status != 201 {
		t.Fatalf("HTTP %d %s", status, answer)
	}
	if status, answer = send("GET", "/"+taken.ID+"?includeDetails=true", "", nil); status != 200 || !strings.Contains(answer, `"status":"Succeeded"`) || !strings.Contains(answer, `"fullName":"App"`) {
		t.Errorf("got HTTP %d %s, want HTTP 200 and %q", status, answer, `"status":"Succeeded"`)
	}
	if status, _ = send("POST", "", "text/plain", strings.NewReader("x")); status != 400 {
		t.Errorf("HTTP %d", status)
	}
	if status, _ = send("GET", "/none", "", nil); status != 404 {
		t.Errorf("HTTP %d", status)
	}
}

func TestCompressedRequests(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	fmt.Fprintf(z, `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Header><SessionHeader xmlns="http://soap.sforce.com/2006/04/metadata"><sessionId>%s</sessionId></SessionHeader></e:Header><e:Body><describeMetadata xmlns="http://soap.sforce.com/2006/04/metadata"><asOfVersion>65.0</asOfVersion></describeMetadata></e:Body></e:Envelope>`, org.AccessToken())
	z.Close()
	req, err := http.NewRequest("POST", org.URL+"/services/Soap/m/65.0", &b)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Encoding", "gzip")
	req.Header.Set("SOAPAction", `""`)
	if status, answer := do(req); status != 200 || !strings.Contains(answer, "ExtlClntAppOauthSettings") {
		t.Errorf("got HTTP %d %s, want HTTP 200 and %q", status, answer, "ExtlClntAppOauthSettings")
	}
}

func TestQueries(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{Users: []simorg.User{{Username: "b@example.com"}, {Username: "c@example.com", Inactive: true}}})
	defer org.Close()
	send := func(method, path, body string) (int, string) {
		req, err := http.NewRequest(method, org.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+org.AccessToken())
		return do(req)
	}
	for soql, want := range map[string]string{
		"SELECT Id FROM User": `"totalSize":3`,
		"SELECT Username FROM User WHERE Username = 'b@example.com'":                                     `"totalSize":1`,
		"SELECT Username FROM User WHERE Username IN ('b@example.com', 'x') AND IsActive = true LIMIT 5": `"totalSize":1`,
		"SELECT Username FROM User WHERE IsActive != false ORDER BY Username LIMIT 1":                    `"totalSize":1`,
		"SELECT Username FROM User WHERE Nope = 1":                                                       "INVALID_FIELD",
		"SELECT Username FROM User WHERE Username LIKE 'b%' OR Username = 'c@example.com'":               `"totalSize":2`,
		"SELECT Username FROM User HAVING Username = 'b'":                                                "MALFORMED_QUERY",
		"SELECT Id, MasterLabel FROM PermissionSetGroup WHERE Status IN ('Updating', 'Outdated')":        "",
		"SELECT Id FROM ScratchOrgInfo limit 1":                                                          "INVALID_TYPE",
	} {
		if _, answer := send("GET", "/services/data/v65.0/query?q="+url.QueryEscape(soql), ""); want != "" && !strings.Contains(answer, want) {
			t.Errorf("%s: %s", soql, answer)
		}
	}
	if _, answer := send("GET", "/services/oauth2/userinfo", ""); !strings.Contains(answer, `"preferred_username":"admin@example.com"`) || !strings.Contains(answer, org.ID()) {
		t.Errorf("got %s, want %q", answer, `"preferred_username":"admin@example.com"`)
	}
	if _, answer := send("GET", "/services/data/v65.0/sobjects/User/005000000000002AAA", ""); !strings.Contains(answer, `"Username":"b@example.com"`) {
		t.Errorf("got %s, want %q", answer, `"Username":"b@example.com"`)
	}
	// What sfp notes of its installs.
	status, answer := send("POST", "/services/data/v65.0/sobjects/SfpowerscriptsArtifact2__c", `{"Name": "eca", "Version__c": "1.0.0.1"}`)
	var made struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(answer), &made); err != nil || status != 201 {
		t.Fatalf("HTTP %d %s", status, answer)
	}
	if status, answer := send("PATCH", "/services/data/v65.0/sobjects/SfpowerscriptsArtifact2__c/none", `{}`); status != 404 {
		t.Errorf("an unknown record: got HTTP %d %s", status, answer)
	}
	send("PATCH", "/services/data/v65.0/sobjects/SfpowerscriptsArtifact2__c/"+made.ID, `{"Version__c": "1.0.0.2"}`)
	if _, answer := send("GET", "/services/data/v65.0/query?q="+url.QueryEscape("SELECT Id, Name, Version__c, Tag__c FROM SfpowerscriptsArtifact2__c ORDER BY CreatedDate ASC"), ""); !strings.Contains(answer, `"Version__c":"1.0.0.2"`) || !strings.Contains(answer, `"totalSize":1`) {
		t.Errorf("got %s, want %q", answer, `"Version__c":"1.0.0.2"`)
	}
}

// assertion makes a JWT as a client of the JWT bearer flow does.
func assertion(t *testing.T, key *rsa.PrivateKey, issuer, subject, audience string, expires time.Time) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	claims, err := json.Marshal(map[string]any{"iss": issuer, "sub": subject, "aud": audience, "exp": expires.Unix()})
	if err != nil {
		t.Fatal(err)
	}
	signed := encode([]byte(`{"alg":"RS256"}`)) + "." + encode(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + encode(signature)
}

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	org := simorg.Start(simorg.Config{JWTClients: map[string]*rsa.PublicKey{"CLIENT": &key.PublicKey}, SessionLifetime: time.Hour})
	defer org.Close()
	ready(t, org, eca.PluginPolicies)
	global := org.Components(eca.GlobalOAuthSettings)[0]
	later, user := time.Now().Add(time.Minute), org.Username()
	jwt := func(assertion string) url.Values {
		return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	}
	credentials := func(id, secret string) url.Values {
		return url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	}
	ask := func(form url.Values) (int, string) {
		resp, err := http.PostForm(org.URL+"/services/oauth2/token", form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(data)
	}
	for _, test := range []struct {
		name string
		form url.Values
		want string
	}{
		{"JWT", jwt(assertion(t, key, "CLIENT", user, org.URL, later)), `"access_token"`},
		{"JWT for the login host", jwt(assertion(t, key, "CLIENT", user, "https://test.salesforce.com", later)), `"access_token"`},
		{"JWT for production", jwt(assertion(t, key, "CLIENT", user, "https://login.salesforce.com", later)), "audience is invalid"},
		{"JWT of another key", jwt(assertion(t, other, "CLIENT", user, org.URL, later)), "invalid assertion"},
		{"JWT of nobody", jwt(assertion(t, key, "OTHER", user, org.URL, later)), "client identifier invalid"},
		{"JWT for another user", jwt(assertion(t, key, "CLIENT", "b@example.com", org.URL, later)), "hasn't approved"},
		{"old JWT", jwt(assertion(t, key, "CLIENT", user, org.URL, later.Add(-time.Hour))), "expired assertion"},
		{"no JWT", jwt("a.b"), "invalid assertion"},
		{"credentials, flow off", credentials(global.Fields["consumerKey"], global.Secret), "invalid_grant"},
		{"wrong secret", credentials(global.Fields["consumerKey"], "x"), "invalid_client"},
		{"nobody", credentials("x", "x"), "invalid_client_id"},
		{"other grant", url.Values{"grant_type": {"password"}}, "unsupported_grant_type"},
	} {
		if _, answer := ask(test.form); !strings.Contains(answer, test.want) {
			t.Errorf("%s: %s", test.name, answer)
		}
	}
	// With the flow on in both places and a run-as user, the consumer gets a token
	// that the org accepts.
	upsert(org, eca.GlobalOAuthSettings, `<fullName>App_glbloauth</fullName>`+link+`<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>`)
	upsert(org, eca.OAuthPolicies, `<fullName>App_oauthPlcy</fullName><clientCredentialsFlowUser>`+user+`</clientCredentialsFlowUser>`+link+`<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>`)
	_, answer := ask(credentials(global.Fields["consumerKey"], global.Secret))
	var token struct {
		AccessToken string `json:"access_token"`
		InstanceURL string `json:"instance_url"`
	}
	if err := json.Unmarshal([]byte(answer), &token); err != nil || token.InstanceURL != org.URL {
		t.Fatalf("got %s, want a token of %s", answer, org.URL)
	}
	list := `<listMetadata xmlns="http://soap.sforce.com/2006/04/metadata"><queries><type>ExternalClientApplication</type></queries><asOfVersion>67.0</asOfVersion></listMetadata>`
	if status, answer := soap(org, "67.0", token.AccessToken, list); status != 200 {
		t.Errorf("got HTTP %d %s, want HTTP 200", status, answer)
	}
	org.ExpireSessions()
	if status, _ := soap(org, "67.0", token.AccessToken, list); status != 500 {
		t.Error("an expired session is accepted")
	}
}

func TestSessionLifetime(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{SessionLifetime: time.Nanosecond})
	defer org.Close()
	first := org.AccessToken()
	time.Sleep(time.Millisecond)
	if org.AccessToken() == first {
		t.Error("the access token does not end")
	}
}

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	ready(t, org, eca.PluginPolicies)
	upsert(org, eca.OAuthSettings, `<fullName>App_oauth</fullName>`+link+`<trustedIpRanges><endIpAddress>10.0.0.9</endIpAddress><startIpAddress>10.0.0.1</startIpAddress></trustedIpRanges>`)
	var b bytes.Buffer
	if err := org.Save(&b); err != nil {
		t.Fatal(err)
	}
	again := simorg.Start(simorg.Config{})
	defer again.Close()
	if err := again.Load(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	if again.ID() != org.ID() || again.AccessToken() != org.AccessToken() || fmt.Sprint(again.Components(eca.GlobalOAuthSettings)) != fmt.Sprint(org.Components(eca.GlobalOAuthSettings)) {
		t.Error("the state is not the same")
	}
	read := `<type>ExtlClntAppOauthSettings</type><fullNames>app_oauth</fullNames>`
	_, before := call(org, "readMetadata", read)
	if _, after := call(again, "readMetadata", read); after != before || !strings.Contains(after, "10.0.0.9") {
		t.Errorf("%s\n%s", before, after)
	}
	for _, bad := range []string{"", "{}", "[]", "x", `{"org": "x", "token": "y"}`, b.String() + "x", strings.Replace(b.String(), `"sandbox"`, `"scratch"`, 1), strings.Replace(b.String(), `"ExternalClientApplication"`, `"Nope"`, 1)} {
		if err := again.Load(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestAnonymousApex(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	run := func(session string) string {
		body := `<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><env:Header><c:SessionHeader xmlns:c="http://soap.sforce.com/2006/08/apex"><c:sessionId>` + session + `</c:sessionId></c:SessionHeader></env:Header><env:Body><executeAnonymous xmlns="http://soap.sforce.com/2006/08/apex"><apexcode/></executeAnonymous></env:Body></env:Envelope>`
		resp, err := http.Post(org.URL+"/services/Soap/s/65.0/00D", "text/xml", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if answer := run(org.AccessToken()); !strings.Contains(answer, "<success>true</success>") {
		t.Errorf("got %s, want %q", answer, "<success>true</success>")
	}
	if answer := run("wrong"); !strings.Contains(answer, "INVALID_SESSION_ID") {
		t.Errorf("got %s, want %q", answer, "INVALID_SESSION_ID")
	}
}
