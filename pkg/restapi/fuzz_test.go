package restapi_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// answers is a transport that answers by itself.
type answers func(r *http.Request) *http.Response

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

// FuzzAnswer gives a client whatever may come back on a query, page after page: it
// ends with records or an error, in bounded time, and calls nobody else.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"done": true, "records": [{"Id": "00D", "IsSandbox": true}]}`), 200)
	f.Add([]byte(`[{"errorCode": "INVALID_SESSION_ID", "message": "x"}]`), 401)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		if status < 200 || status > 999 {
			return
		}
		client := &restapi.Client{Conn: &salesforce.Conn{
			InstanceURL: "https://example.my.salesforce.com", Version: 65, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "secret-token"}),
			HTTPClient: &http.Client{Transport: answers(func(r *http.Request) *http.Response {
				if r.URL.Host != "example.my.salesforce.com" {
					t.Errorf("%s is called", r.URL)
				}
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}
			})},
		}}
		started := time.Now()
		org, err := client.Organization(t.Context())
		if err == nil && org.ID == "" {
			t.Error("neither an organization nor an error")
		}
		if took := time.Since(started); took > time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}
