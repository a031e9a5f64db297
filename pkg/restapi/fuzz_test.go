package restapi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/restapi"
)

// FuzzAnswer gives a client whatever may come back on a query, page after page: it
// ends with records or an error, in bounded time, and calls nobody else.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"done": true, "records": [{"Id": "00D", "IsSandbox": true}]}`), 200)
	f.Add([]byte(`[{"errorCode": "INVALID_SESSION_ID", "message": "x"}]`), 401)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		if status < 200 || status > 999 {
			return
		}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			w.Write(body)
		}))
		defer server.Close()
		client := &restapi.Client{InstanceURL: server.URL, Version: 65, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "secret-token"})}
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
