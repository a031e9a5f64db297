package restapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

func client(url, token string) *restapi.Client {
	return &restapi.Client{Conn: &salesforce.Conn{InstanceURL: url, Version: 65, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})}}
}

func Example() {
	org := simorg.Start(simorg.Config{Kind: simorg.Scratch})
	defer org.Close()
	client := &restapi.Client{Conn: &salesforce.Conn{InstanceURL: org.URL, Version: 65, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}}
	facts, err := client.Organization(context.Background())
	fmt.Println(facts.Kind(), err)
	// Output:
	// scratch org <nil>
}

func TestOrganization(t *testing.T) {
	t.Parallel()
	for kind, want := range map[simorg.Kind]platform.Kind{simorg.Production: platform.Production, simorg.Sandbox: platform.Sandbox, simorg.Scratch: platform.Scratch} {
		org := simorgtest.Start(t, simorg.Config{Kind: kind})
		facts, err := client(org.URL, org.AccessToken()).Organization(t.Context())
		if err != nil || facts.Kind() != want || facts.ID != org.ID() {
			t.Errorf("%s: %+v, %v", kind, facts, err)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	_, err := client(org.URL, "stale").Organization(t.Context())
	var answer *salesforce.Error
	if !errors.As(err, &answer) || !answer.SessionExpired() || answer.Status != 401 {
		t.Errorf("got %v, want %T", err, answer)
	}
	if _, err := restapi.Query[struct{}](t.Context(), client(org.URL, org.AccessToken()), "SELECT Id FROM Nothing"); !errors.As(err, &answer) || answer.Code != "INVALID_TYPE" || answer.SessionExpired() {
		t.Errorf("got %v, want %T", err, answer)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/services/data/v65.0/query":
			io.WriteString(w, `{"done": false, "nextRecordsUrl": "/services/data/v65.0/query/next?page=2", "records": [{"Id": "1"}]}`)
		case r.URL.RawQuery == "page=2":
			io.WriteString(w, `{"done": true, "records": [{"Id": "2"}]}`)
		default:
			t.Errorf("unexpected request %s", r.URL)
		}
	}))
	defer server.Close()
	records, err := restapi.Query[struct{ Id string }](t.Context(), client(server.URL, "TOKEN"), "SELECT Id FROM X")
	if err != nil || len(records) != 2 || records[1].Id != "2" {
		t.Errorf("%v, %v", records, err)
	}
}

// TestOddAnswers checks that whatever else comes back is an error that holds
// nothing of the token, and that the token goes nowhere else.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status     int
		body, want string
	}{
		{200, "<html>TOKEN</html>", "not the JSON"},
		{200, `{"done": true, "records": []}`, "did not return exactly one complete record"},
		{200, `{"done": true, "records": [{"Id": "1"}]}`, "did not return exactly one complete record"},
		{200, `{"done": true, "records": [{"Id": "1", "IsSandbox": null}]}`, "did not return exactly one complete record"},
		{200, `{"done": false, "records": []}`, "is incomplete"},
		{200, `{"done": false, "records": [], "nextRecordsUrl": "https://elsewhere.example.com/TOKEN"}`, "is not a path"},
		{200, `{"done": false, "records": [], "nextRecordsUrl": "//elsewhere.example.com/x"}`, "is not a path"},
		{200, `{"done": false, "records": [], "nextRecordsUrl": "/again"}`, "without a URL of the next page"},
		{500, "oops TOKEN", "HTTP 500 Internal Server Error: not an answer of the REST API"},
		{401, "<html>", "HTTP 401"},
		{400, `[{"errorCode": "X", "message": "\u0054OKEN"}]`, "X: (token)"},
		{302, "", "redirect"},
		{200, `{"x": "` + strings.Repeat("x", 5<<20) + `"}`, "more than 4 MiB"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if test.status == 302 {
				w.Header().Set("Location", "https://elsewhere.example.com")
			}
			w.WriteHeader(test.status)
			io.WriteString(w, test.body)
		}))
		_, err := client(server.URL, "TOKEN").Organization(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "TOKEN") {
			t.Errorf("%d %.80s gives %v, want %q", test.status, test.body, err, test.want)
		}
		server.Close()
	}
}

func TestUserInfo(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{Username: "me@example.com"})
	info, err := client(org.URL, org.AccessToken()).UserInfo(t.Context())
	if err != nil || info.Username != "me@example.com" || info.OrgID != org.ID() || !strings.HasPrefix(info.UserID, "005") {
		t.Errorf("whose session it is: %+v, %v", info, err)
	}
	if _, err := client(org.URL, "stale").UserInfo(t.Context()); !salesforce.IsSessionExpired(err) {
		t.Errorf("a token that the org does not take gives %v, want an expired session", err)
	}
	mute := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") }))
	defer mute.Close()
	if info, err := client(mute.URL, "TOKEN").UserInfo(t.Context()); err == nil {
		t.Errorf("an org that does not say whose session it is gives %+v, want an error", info)
	}
}

// TestDo calls resources by verb and path.
func TestDo(t *testing.T) {
	t.Parallel()
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = fmt.Sprintf("%s %s %q %s", r.Method, r.URL.RequestURI(), body, r.Header.Get("Content-Type"))
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		io.WriteString(w, `{"a": 1}`)
	}))
	defer server.Close()
	c := client(server.URL, "TOKEN")
	var out struct{ A int }
	for _, test := range []struct {
		method, path string
		in           any
		want         string
	}{
		{"GET", "apps/oauth/usage?page=0", nil, `GET /services/data/v65.0/apps/oauth/usage?page=0 "" `},
		{"GET", "/services/data", nil, `GET /services/data "" `},
		{"PATCH", "x", map[string]string{"command": "rotate"}, `PATCH /services/data/v65.0/x "{\"command\":\"rotate\"}" application/json`},
		{"DELETE", "x", nil, `DELETE /services/data/v65.0/x "" `},
	} {
		out.A = 0
		if err := c.Do(t.Context(), test.method, test.path, test.in, &out); err != nil || got != test.want {
			t.Errorf("%s %s sends %s, %v, want %s", test.method, test.path, got, err, test.want)
		}
		if want := map[bool]int{true: 0, false: 1}[test.method == "DELETE"]; out.A != want {
			t.Errorf("%s %s decodes %d, want %d", test.method, test.path, out.A, want)
		}
	}
	if err := c.Do(t.Context(), "GET", "x", func() {}, nil); err == nil {
		t.Error("what cannot be JSON is sent")
	}
}

// TestBounds bounds what an answer may hold: pages of a query, and objects and members.
func TestBounds(t *testing.T) {
	t.Parallel()
	pages := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("q") == "marks" {
			io.WriteString(w, `{"done": true, "records": [`+strings.Repeat("{},", salesforce.MaxMarks)+`{}]}`)
			return
		}
		pages++
		fmt.Fprintf(w, `{"done": false, "records": [{}], "nextRecordsUrl": "/next/%d"}`, pages)
	}))
	defer server.Close()
	c := client(server.URL, "TOKEN")
	if _, err := restapi.Query[struct{}](t.Context(), c, "endless"); err == nil || !strings.Contains(err.Error(), "more than 100 pages") || pages != 100 {
		t.Errorf("an answer without an end gives %v after %d pages, want an error after 100", err, pages)
	}
	if _, err := restapi.Query[struct{}](t.Context(), c, "marks"); err == nil || !strings.Contains(err.Error(), "JSON objects and members") {
		t.Errorf("an answer of too many objects gives %v", err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"no object":        {&salesforce.Error{Code: "INVALID_TYPE", Status: 400}, true},
		"no right":         {&salesforce.Error{Code: "INSUFFICIENT_ACCESS", Status: 403}, true},
		"wrapped":          {fmt.Errorf("query: %w", &salesforce.Error{Code: "INVALID_FIELD", Status: 400}), true},
		"nothing":          {nil, false},
		"network":          {salesforce.NewNetworkError("acme", io.EOF), false},
		"proxy":            {&salesforce.StatusError{Status: 403}, false},
		"expired session":  {&salesforce.Error{Code: "INVALID_SESSION_ID", Status: 401}, false},
		"busy":             {&salesforce.Error{Code: "SERVER_UNAVAILABLE", Status: 503}, false},
		"server error":     {&salesforce.Error{Code: "UNKNOWN_EXCEPTION", Status: 500, Acted: true}, false},
		"locked":           {&salesforce.Error{Code: "UNABLE_TO_LOCK_ROW", Status: 400}, false},
		"limit of calls":   {&salesforce.Error{Code: "REQUEST_LIMIT_EXCEEDED", Status: 403}, false},
		"ended by context": {context.Canceled, false},
	} {
		if got := restapi.Refused(test.err); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}
