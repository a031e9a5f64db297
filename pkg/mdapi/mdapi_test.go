package mdapi_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/salesforce"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

func client(org *simorg.Server) *mdapi.Client {
	return &mdapi.Client{Conn: &salesforce.Conn{InstanceURL: org.URL, Version: apiversion.Latest, Tokens: token(org.AccessToken())}}
}

func token(t string) oauth2.TokenSource {
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: t})
}

func header(name string) *metadata.Component {
	return &metadata.Component{Type: eca.Header, FullName: name, Fields: []metadata.Field{
		{Name: "label", Text: name}, {Name: "distributionState", Text: "Local"}, {Name: "description", Text: "a & b <c> \"d\"\nsecond line — ü"},
	}}
}

func oauthSettings(app string) *metadata.Component {
	return &metadata.Component{Type: eca.OAuthSettings, FullName: app + "_oauth", Fields: []metadata.Field{
		{Name: "externalClientApplication", Text: app}, {Name: "commaSeparatedOauthScopes", Text: "Api"},
	}}
}

func Example() {
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	client := &mdapi.Client{Conn: &salesforce.Conn{InstanceURL: org.URL, Version: 65, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}}
	ctx := context.Background()

	results, err := client.Upsert(ctx, []*metadata.Component{
		{Type: eca.Header, FullName: "MyApp", Fields: []metadata.Field{{Name: "label", Text: "My App"}}},
		{Type: eca.GlobalOAuthSettings, FullName: "MyApp_glbloauth", Fields: []metadata.Field{{Name: "externalClientApplication", Text: "MyApp"}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		fmt.Println(r.FullName, r.Success)
		for _, e := range r.Errors {
			fmt.Println(" ", e.Message)
		}
	}
	// Output:
	// MyApp true
	// MyApp_glbloauth false
	//   The external client app configured in your global OAuth Settings doesn't have a valid OAuth settings configuration.
}

func TestUpsertReadListDelete(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	c, ctx := client(org), t.Context()
	var components []*metadata.Component
	for i := range 23 {
		components = append(components, header(fmt.Sprintf("App%02d", i)))
	}
	// Types alternate: each type goes into calls of its own all the same.
	for i := range 23 {
		components = append(components, oauthSettings(fmt.Sprintf("App%02d", i)))
	}
	components[3].Fields = append(components[3].Fields, metadata.Field{Name: "managedType", Text: "Local"})
	results, err := c.Upsert(ctx, components)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if !r.Success || !r.Created || r.FullName != components[i].FullName || r.Type != components[i].Type {
			t.Errorf("result %d for %s: %+v", i, components[i].FullName, r)
		}
	}
	if len(results) != len(components) || len(org.Requests()) != 6 {
		t.Errorf("%d results for %d components in %d calls", len(results), len(components), len(org.Requests()))
	}
	if results, err = c.Upsert(ctx, components[:1]); err != nil || results[0].Created {
		t.Errorf("the second upsert gives %+v, %v", results, err)
	}

	var names []string
	for i := range 25 {
		names = append(names, fmt.Sprintf("App%02d", i))
	}
	read, err := c.Read(ctx, eca.Header, names...)
	if err != nil || len(read) != 23 {
		t.Fatalf("read %d components, %v", len(read), err)
	}
	for _, got := range read {
		if got.Text("description") != header("").Text("description") {
			t.Errorf("%s came back with the description %q", got.FullName, got.Text("description"))
		}
	}

	list, err := c.List(ctx, eca.Header, eca.OAuthSettings, eca.GlobalOAuthSettings, eca.PluginPolicies)
	if err != nil || len(list) != 46 {
		t.Errorf("listed %d components, %v", len(list), err)
	}

	deleted, err := c.Delete(ctx, eca.Header, names...)
	if err != nil || len(deleted) != 25 || !deleted[22].Success || deleted[24].Success || deleted[24].Errors[0].Code != "INVALID_CROSS_REFERENCE_KEY" {
		t.Errorf("deleted %+v, %v", deleted, err)
	}
}

func TestNothingToDoSendsNothing(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	c, ctx := client(org), t.Context()
	_, err1 := c.Upsert(ctx, nil)
	_, err2 := c.Read(ctx, eca.Header)
	_, err3 := c.List(ctx)
	_, err4 := c.Delete(ctx, eca.Header)
	if err := errors.Join(err1, err2, err3, err4); err != nil || len(org.Requests()) > 0 {
		t.Errorf("%d requests, %v", len(org.Requests()), err)
	}
}

func TestOneComponentFailsAndOthersSucceed(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	c, ctx := client(org), t.Context()
	if _, err := c.Upsert(ctx, []*metadata.Component{header("A"), header("B")}); err != nil {
		t.Fatal(err)
	}
	results, err := c.Upsert(ctx, []*metadata.Component{oauthSettings("A"), oauthSettings("Missing"), oauthSettings("B")})
	if err != nil || len(results) != 3 || !results[0].Success || results[1].Success || !results[2].Success {
		t.Fatalf("%+v, %v", results, err)
	}
	if got := results[1].Errors[0]; got.Code != "INVALID_CROSS_REFERENCE_KEY" || got.FullName != "Missing_oauth" {
		t.Errorf("the error is %+v", got)
	}
}

// TestResultsBeforeAnError makes sure that what was done before a call failed is
// known.
func TestResultsBeforeAnError(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	var components []*metadata.Component
	for i := range 12 {
		components = append(components, header(fmt.Sprintf("App%02d", i)))
	}
	calls := 0
	fault := simorg.SOAPFault("SERVER_UNAVAILABLE", "busy")
	fault.Fits = func(simorg.Request) bool { calls++; return calls == 2 }
	org.Inject(fault)
	results, err := client(org).Upsert(t.Context(), components)
	var answer *salesforce.Error
	if !errors.As(err, &answer) || !answer.Uncertain() || len(results) != 10 || !results[9].Success {
		t.Errorf("%d results, %v", len(results), err)
	}
}

// TestConnectionsAreReused makes sure that a run does not open a connection for
// each call.
func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	opened := 0
	server := httptest.NewUnstartedServer(simorg.New(simorg.Config{}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened++
		}
	}
	server.Start()
	defer server.Close()
	c := &mdapi.Client{Conn: &salesforce.Conn{InstanceURL: server.URL, Version: 65, Tokens: token("x"), HTTPClient: server.Client()}}
	for range 5 {
		c.List(t.Context(), eca.Header)
	}
	server.Close()
	if opened != 1 {
		t.Errorf("%d connections were opened", opened)
	}
}

func TestComponentErrorsAreMasked(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><upsertMetadataResponse><result><errors><message>TOKEN 3MVG9abcdefghijklmnopqrstuvwxyz0123</message><statusCode>X</statusCode></errors><fullName>A</fullName><success>0</success></result></upsertMetadataResponse></s:Body></s:Envelope>`)
	}))
	defer server.Close()
	c := &mdapi.Client{Conn: &salesforce.Conn{InstanceURL: server.URL, Version: 65, Tokens: token("TOKEN")}}
	results, err := c.Upsert(t.Context(), []*metadata.Component{header("A")})
	if err != nil || results[0].Errors[0].Message != "(token) 3MVG9…123" {
		t.Errorf("%v, %v", results, err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	c := client(org)
	unknown := header("A")
	unknown.Fields = append(unknown.Fields, metadata.Field{Name: "zzz", Text: "1"})
	_, err := c.Upsert(t.Context(), []*metadata.Component{unknown})
	var fault *salesforce.Error
	if !errors.As(err, &fault) || fault.Status != 500 || fault.Operation != "upsertMetadata" || !strings.Contains(fault.Message, "zzz invalid at this location in type ExternalClientApplication") {
		t.Errorf("an unknown field gives %v", err)
	}
	old := org.AccessToken()
	org.ExpireSessions()
	_, err = c.Read(t.Context(), eca.Header, "A")
	if !errors.As(err, &fault) || !fault.SessionExpired() || fault.Code != "INVALID_SESSION_ID" {
		t.Errorf("an expired session gives %v", err)
	}
	if strings.Contains(err.Error(), old) {
		t.Error("the message holds the token")
	}
}

func TestTextThatXMLCannotCarryIsNotSent(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	bad := header("A")
	bad.Fields[0].Text = "a\x00b"
	if _, err := client(org).Upsert(t.Context(), []*metadata.Component{header("B"), bad}); err == nil || len(org.Requests()) > 0 {
		t.Errorf("%d requests, %v", len(org.Requests()), err)
	}
}

func TestTokensGoNowhereElse(t *testing.T) {
	t.Parallel()
	sent := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sent++ }))
	defer elsewhere.Close()
	redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	defer redirecting.Close()
	for url, want := range map[string]string{
		redirecting.URL:                     "redirect",
		"http://example.com":                "must be https",
		"http://127.0.0.1.example.com":      "must be https",
		"ftp://127.0.0.1":                   "must be https",
		"https://user:pw@example.com":       "more than a scheme and the host",
		"https://example.com/services/Soap": "more than a scheme and the host",
		"example.com":                       "not a URL like",
		"":                                  "not a URL like",
	} {
		c := &mdapi.Client{Conn: &salesforce.Conn{InstanceURL: url, Version: 65, Tokens: token("TOKEN")}}
		if _, err := c.Read(t.Context(), eca.Header, "A"); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "TOKEN") || strings.Contains(err.Error(), "pw") {
			t.Errorf("%s gives %v", url, err)
		}
	}
	if sent > 0 {
		t.Error("the redirect was followed")
	}
}

// TestAnswersThatAreNoAnswers checks that whatever else comes back is an error
// that names host and status, and holds nothing of the token.
func TestAnswersThatAreNoAnswers(t *testing.T) {
	t.Parallel()
	envelope := func(body string) string {
		return `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>` + body + `</s:Body></s:Envelope>`
	}
	result := `<result><created>true</created><fullName>A</fullName><success>true</success></result>`
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"HTML", 200, "<html><body>Down for maintenance TOKEN</body></html>", "HTTP 200 OK: an HTML page, not a SOAP answer"},
		{"proxy error", 502, "<html>Bad Gateway TOKEN</html>", "HTTP 502 Bad Gateway: an HTML page, not a SOAP answer"},
		{"empty", 200, "", "not a SOAP answer"},
		{"JSON", 401, `[{"errorCode":"INVALID_SESSION_ID"}]`, "HTTP 401 Unauthorized"},
		{"cut off", 200, envelope("<upsertMetadataResponse>")[:90], "not a SOAP answer"},
		{"other operation", 200, envelope("<readMetadataResponse/>"), "not a SOAP answer"},
		{"success under failure", 503, envelope("<upsertMetadataResponse>" + result + "</upsertMetadataResponse>"), "a SOAP answer with an error status"},
		{"too few results", 200, envelope("<upsertMetadataResponse/>"), "0 results for 1 components"},
		{"too many results", 200, envelope("<upsertMetadataResponse>" + result + result + "</upsertMetadataResponse>"), "2 results for 1 components"},
		{"fault that repeats the token", 500, envelope("<s:Fault><faultcode>sf:X</faultcode><faultstring>X: session TOKEN is bad</faultstring></s:Fault>"), "X: session (token) is bad"},
		{"fault without anything", 500, envelope("<s:Fault/>"), "upsertMetadata: a SOAP fault without a message"},
		{"escaped token", 500, envelope("<s:Fault><faultstring>&#84;OKEN</faultstring></s:Fault>"), "(token)"},
		{"consumer key", 500, envelope("<s:Fault><faultstring>3MVG9abcdefghijklmnopqrstuvwxyz0123</faultstring></s:Fault>"), "3MVG9…123"},
		{"SOAP 1.2 fault", 500, envelope("<s:Fault><s:Code><s:Value>sf:X</s:Value></s:Code><s:Reason><s:Text>why</s:Text></s:Reason></s:Fault>"), "upsertMetadata: X: why"},
		{"code in the detail", 500, envelope("<s:Fault><faultcode>s:Server</faultcode><detail><f><exceptionCode>INVALID_SESSION_ID</exceptionCode></f></detail></s:Fault>"), "INVALID_SESSION_ID"},
		{"huge message", 500, envelope("<s:Fault><faultstring>" + strings.Repeat("x", 1<<20) + "</faultstring></s:Fault>"), "x…"},
		{"result of another component", 200, envelope("<upsertMetadataResponse><result><fullName>B</fullName><success>true</success></result></upsertMetadataResponse>"), "a result for ExternalClientApplication B instead of A"},
		{"too large", 200, envelope(strings.Repeat("x", 5<<20)), "more than 4 MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
			}))
			defer server.Close()
			c := &mdapi.Client{Conn: &salesforce.Conn{InstanceURL: server.URL, Version: 65, Tokens: token("TOKEN")}}
			_, err := c.Upsert(t.Context(), []*metadata.Component{header("A")})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "TOKEN") || len(err.Error()) > 3000 {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestReadNeedsARecordForEachName makes sure that what an answer lacks does not
// count as what does not exist.
func TestReadNeedsARecordForEachName(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		``: "0 records for 1 names",
		`<records xsi:nil="true"/><records xsi:nil="true"/>`:                     "2 records for 1 names",
		`<records><fullName>B</fullName></records>`:                              "which was not requested",
		`<records xsi:type="CustomObject"><fullName>A</fullName></records>`:      "which was not requested",
		`<records><fullName>A</fullName>TOKEN<label><a/>TOKEN</label></records>`: "invalid record",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><s:Body><readMetadataResponse><result>`+body+`</result></readMetadataResponse></s:Body></s:Envelope>`)
		}))
		c := &mdapi.Client{Conn: &salesforce.Conn{InstanceURL: server.URL, Version: 65, Tokens: token("TOKEN")}}
		if _, err := c.Read(t.Context(), eca.Header, "A"); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "TOKEN") {
			t.Errorf("%s gives %v", body, err)
		}
		server.Close()
	}
}

func TestTransportErrorsHoldNoToken(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		"HTTP/1.1 302 Found\r\nLocation: http://[::1/?sid=TOKEN\r\n\r\n",
		"HTTP/1.1 TOKEN\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTOKEN\r\n\r\n",
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				conn.Read(make([]byte, 4096))
				io.WriteString(conn, answer)
				conn.Close()
			}
		}()
		c := &mdapi.Client{Conn: &salesforce.Conn{InstanceURL: "http://" + listener.Addr().String(), Version: 65, Tokens: token("TOKEN")}}
		if _, err := c.Read(t.Context(), eca.Header, "A"); err == nil || strings.Contains(err.Error(), "TOKEN") {
			t.Errorf("%q gives %v", answer, err)
		}
		listener.Close()
	}
}

func TestAnswersAreAcceptedCompressed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Error("the client does not accept gzip")
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><listMetadataResponse><result><fullName>A</fullName><type>T</type></result></listMetadataResponse></s:Body></s:Envelope>`)
		z.Close()
	}))
	defer server.Close()
	c := &mdapi.Client{Conn: &salesforce.Conn{InstanceURL: server.URL, Version: 65, Tokens: token("TOKEN")}}
	list, err := c.List(t.Context(), eca.Header)
	if err != nil || len(list) != 1 || list[0] != (mdapi.FileProperties{Type: "T", FullName: "A"}) {
		t.Errorf("%v, %v", list, err)
	}
}

func TestContextEndsACall(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{Latency: time.Minute})
	defer org.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client(org).Read(ctx, eca.Header, "A"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
}

func TestReadsRunInParallel(t *testing.T) {
	org := simorgtest.Start(t, simorg.Config{Latency: 300 * time.Millisecond})
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprint("App", i))
	}
	inBubble := client(org)
	inBubble.Conn.HTTPClient = &http.Client{Transport: simorgtest.InProcess(org.Org)}
	synctest.Test(t, func(t *testing.T) {
		if _, err := inBubble.Read(t.Context(), eca.Header, names...); err != nil {
			t.Fatal(err)
		}
	})
	if n := simorg.Sequential(org.Requests()); n != 1 {
		t.Errorf("the calls took %d rounds", n)
	}
}

func TestDuplicateOf(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		"ExtlClntAppOauthSettingsId duplicates value on App_oauthPlcy":      "App_oauthPlcy",
		"X duplicates value on an odd one; and another reason":              "an odd one",
		"ExtlClntAppOauthSettingsId duplicates value on App_defaultPolicy.": "App_defaultPolicy",
		"something else": "",
	} {
		if got := (&mdapi.ComponentError{Code: "DUPLICATE_VALUE", Message: message}).DuplicateOf(); got != want {
			t.Errorf("%q names %q, want %q", message, got, want)
		}
	}
	if got := (&mdapi.ComponentError{Code: "OTHER", Message: "X duplicates value on Y"}).DuplicateOf(); got != "" {
		t.Errorf("another code names %q", got)
	}
}

// TestEveryOperation sends a request of each operation that the client knows, which simorgtest validates
// against the schema.
func TestEveryOperation(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("mdapi.go")
	if err != nil {
		t.Fatal(err)
	}
	org := simorgtest.Start(t, simorg.Config{})
	c, ctx := client(org), t.Context()
	app := header("App")
	_, upserted := c.Upsert(ctx, []*metadata.Component{app})
	_, updated := c.Update(ctx, []*metadata.Component{app})
	_, read := c.Read(ctx, eca.Header, "App")
	_, listed := c.List(ctx, eca.Header, eca.OAuthSettings)
	_, deleted := c.Delete(ctx, eca.Header, "App")
	if err := errors.Join(upserted, updated, read, listed, deleted); err != nil {
		t.Fatal(err)
	}
	sent := make(map[string]bool)
	for _, r := range org.Requests() {
		sent[r.Operation] = true
	}
	for _, operation := range regexp.MustCompile(`"(\w+Metadata)"`).FindAllStringSubmatch(string(source), -1) {
		if !sent[operation[1]] {
			t.Errorf("no request of %s is validated", operation[1])
		}
	}
}
