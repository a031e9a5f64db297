package salesforce_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// TestAskSendsNoToken: neither the token nor a redirect leaves, and any answer is returned.
func TestAskSendsNoToken(t *testing.T) {
	t.Parallel()
	requests := 0
	c := conn(func(r *http.Request) (*http.Response, error) {
		requests++
		if r.Header.Get("Authorization") != "" || strings.Contains(r.URL.String(), "TOKEN") {
			t.Errorf("got %s with %v", r.URL, r.Header)
		}
		switch requests {
		case 1:
			return answer(503, nil, "")
		case 2:
			return answer(302, http.Header{"Location": {"https://elsewhere.example/x"}}, "")
		}
		return answer(401, nil, strings.Repeat("x", salesforce.MaxAnswer+1))
	})
	c.Retry = &salesforce.Retry{Budget: time.Minute, First: time.Millisecond}
	request := salesforce.Request{Method: http.MethodGet, Path: "/x", Authorize: true, Idempotent: true}
	if got, err := c.Ask(t.Context(), request); err != nil || got.Status != 503 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.Ask(t.Context(), request); err != nil || got.Status != 302 || got.Header.Get("Location") != "https://elsewhere.example/x" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.Ask(t.Context(), request); err == nil {
		t.Errorf("got %+v", got)
	}
	other := c.WithoutToken("https://api.salesforce.com")
	if err := other.Do(t.Context(), read, accept); err == nil || other.InstanceURL != "https://api.salesforce.com" || other.HTTPClient != c.HTTPClient {
		t.Errorf("%+v, %v", other, err)
	}
	if requests != 3 {
		t.Errorf("%d requests", requests)
	}
}
