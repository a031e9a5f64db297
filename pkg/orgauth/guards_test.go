package orgauth_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// loginHosts plays all login hosts: it notes who is asked, and answers for each.
type loginHosts struct {
	mu     sync.Mutex
	asked  []string // hosts, in the order in which they were asked first
	answer func(host string) (status int, body string)
}

func (l *loginHosts) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	if !slices.Contains(l.asked, r.URL.Host) {
		l.asked = append(l.asked, r.URL.Host)
	}
	l.mu.Unlock()
	status, body := l.answer(r.URL.Host)
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// renew renews an expired session of a JWT login at a login URL.
func renew(t *testing.T, loginURL string, hosts *loginHosts) (*orgauth.Session, error) {
	t.Helper()
	org, key := jwtOrg(t)
	login := fmt.Sprintf(`, "loginUrl": %q, "clientId": "CLIENT", "privateKey": %q`, loginURL, key)
	session, err := store(t, org, "00D!stale", login).Session(t.Context(), "uat")
	if err != nil {
		t.Fatal(err)
	}
	session.HTTPClient = &http.Client{Transport: hosts}
	_, err = session.Renew(t.Context(), &oauth2.Token{AccessToken: "00D!stale"})
	return session, err
}

const refusedJWT = `{"error": "invalid_grant", "error_description": "user hasn't approved this consumer"}`

// TestRenewedTokenOfAnotherInstance: an org that has moved, or a login host that answers for
// somebody else, must not have its token sent to the instance that the session calls.
func TestRenewedTokenOfAnotherInstance(t *testing.T) {
	t.Parallel()
	elsewhere := &loginHosts{answer: func(string) (int, string) {
		return 200, `{"access_token": "00D!fresh", "token_type": "Bearer", "instance_url": "https://elsewhere.my.salesforce.com"}`
	}}
	session, err := renew(t, "https://login.salesforce.com", elsewhere)
	if err == nil || !strings.Contains(err.Error(), "the org has moved to another instance") {
		t.Errorf("a token of another instance gives %v, want a refusal", err)
	}
	if token, _ := session.Token(); token.AccessToken != "00D!stale" {
		t.Errorf("the session took the token of another instance")
	}
}

// TestLoopbackLoginStaysThere: the JWT of a login on this machine is good for whoever gets
// it first, and none of Salesforce's hosts.
func TestLoopbackLoginStaysThere(t *testing.T) {
	t.Parallel()
	hosts := &loginHosts{answer: func(string) (int, string) { return 400, refusedJWT }}
	if _, err := renew(t, "http://127.0.0.1:9", hosts); err == nil {
		t.Error("got success, want an error")
	}
	if want := []string{"127.0.0.1:9"}; !slices.Equal(hosts.asked, want) {
		t.Errorf("a JWT of a login on the loopback went to %v, want %v", hosts.asked, want)
	}
	// One of Salesforce's is tried at all hosts that sf tries.
	hosts = &loginHosts{answer: hosts.answer}
	if _, err := renew(t, "https://acme.my.salesforce.com", hosts); err == nil {
		t.Error("got success, want an error")
	}
	if want := []string{"acme.my.salesforce.com", "test.salesforce.com", "login.salesforce.com"}; !slices.Equal(hosts.asked, want) {
		t.Errorf("a JWT was tried at %v, want %v", hosts.asked, want)
	}
}

// TestBusyLoginHost: a login host that is busy may be the one that accepts the login, so its
// answer counts more than the refusals of the others, and is transient: the session is
// renewed with the next attempt.
func TestBusyLoginHost(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"<html>busy</html>", `{"error": "server_error", "error_description": "busy"}`} {
		busy := true
		hosts := &loginHosts{answer: func(host string) (int, string) {
			if busy && host == "test.salesforce.com" {
				return 503, answer
			}
			if !busy {
				return 200, `{"access_token": "00D!fresh", "token_type": "Bearer"}`
			}
			return 400, refusedJWT
		}}
		session, err := renew(t, "https://login.salesforce.com", hosts)
		if !salesforce.IsTransient(err) || !strings.Contains(err.Error(), "test.salesforce.com answered HTTP 503") {
			t.Errorf("a login host that answers %s gives %v, want a transient error that names it", answer, err)
		}
		busy = false
		if token, err := session.Renew(t.Context(), &oauth2.Token{AccessToken: "00D!stale"}); err != nil || token.AccessToken != "00D!fresh" {
			t.Errorf("the next attempt gives %v, want a fresh token", err)
		}
	}
}

// TestAnswerWithoutAToken: a login host that grants nothing has not renewed the session.
func TestAnswerWithoutAToken(t *testing.T) {
	t.Parallel()
	session, err := renew(t, "https://login.salesforce.com", &loginHosts{answer: func(string) (int, string) { return 200, `{"access_token": "", "token_type": "Bearer"}` }})
	if err == nil || session.Renewed() != "" {
		t.Errorf("an answer without a token gives %v, renewed %q", err, session.Renewed())
	}
}

// TestRefusedLoginIsFinal: what all login hosts refuse is not asked again.
func TestRefusedLoginIsFinal(t *testing.T) {
	t.Parallel()
	asked := 0
	hosts := &loginHosts{answer: func(string) (int, string) { asked++; return 400, refusedJWT }}
	session, err := renew(t, "https://login.salesforce.com", hosts)
	before := asked
	_, again := session.Renew(t.Context(), &oauth2.Token{AccessToken: "00D!stale"})
	if salesforce.IsTransient(err) || again == nil || asked != before {
		t.Errorf("%v, and then %v after %d requests more", err, again, asked-before)
	}
}
