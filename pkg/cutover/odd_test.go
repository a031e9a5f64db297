package cutover

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/simorg"
)

// replaced is a transport that replaces text in the answers of queries of an object.
type replaced struct {
	object, with string
	member       *regexp.Regexp
}

func (t replaced) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || !strings.Contains(r.URL.Query().Get("q")+" ", " FROM "+t.object+" ") {
		return answer, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	changed := t.member.ReplaceAllString(string(body), t.with)
	answer.Body, answer.ContentLength = io.NopCloser(strings.NewReader(changed)), int64(len(changed))
	answer.Header.Del("Content-Length")
	return answer, err
}

// TestOddAnswers: a value of an unexpected type costs its own column. If the owners of tokens depend on it,
// no token is revoked.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	const records = `{"OauthToken": [{"AppName": "Erp", "UserId": "005000000000001AAA", "LastUsedDate": "2026-11-01T00:00:00.000+0000", "DeleteToken": "d1"}],
		"LoginHistory": [{"Application": "Erp", "UserId": "005000000000001AAA", "LoginTime": "2026-11-02T00:00:00.000+0000"}]}`
	_, c := filled(t, simorg.Config{}, map[string]string{"Erp": "Erp"}, records)
	external(t, c, "Erp", "Erp client")
	for _, test := range []struct {
		object, member string
		blind          bool
	}{
		{"ConnectedApplication", "Name", true}, {"ExtlClntAppOauthSettings", "OauthLink", true}, {"OauthToken", "AppMenuItemId", true},
		{"OauthToken", "n", true}, {"LoginHistory", "Application", false}, {"LoginHistory", "last", false}, {"User", "Username", false},
	} {
		for _, value := range []string{`{"a": 1}`, `[true]`, `false`} {
			member := regexp.MustCompile(`"` + test.member + `":("[^"]*"|[\w.]+)`)
			c.Conn.HTTPClient = &http.Client{Transport: replaced{test.object, `"` + test.member + `":` + value, member}}
			status, err := c.Status(t.Context())
			if err != nil || len(status.Replacements) != 1 {
				t.Errorf("%s.%s is %s: %+v, %v", test.object, test.member, value, status, err)
				continue
			}
			if status.Blind != test.blind {
				t.Errorf("%s.%s is %s: blind is %v", test.object, test.member, value, status.Blind)
			}
			if _, err := c.RevokeOld(t.Context(), "Erp", false); (err != nil) != test.blind {
				t.Errorf("%s.%s is %s: a revocation answers %v", test.object, test.member, value, err)
			}
		}
	}
}
