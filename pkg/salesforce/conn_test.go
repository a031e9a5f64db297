package salesforce_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/apiversion"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

const instance = "https://acme.my.salesforce.com"

// org is a transport that plays an org.
type org func(r *http.Request) (*http.Response, error)

func (o org) RoundTrip(r *http.Request) (*http.Response, error) { return o(r) }

func answer(status int, header http.Header, body string) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func static(token string) oauth2.TokenSource {
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})
}

// conn returns a connection to an org that is played.
func conn(play org) *salesforce.Conn {
	return &salesforce.Conn{InstanceURL: instance, Tokens: static("TOKEN"), HTTPClient: &http.Client{Transport: play}}
}

var read = salesforce.Request{Method: http.MethodGet, Path: "/services/data", Authorize: true, Idempotent: true}

// accept takes any answer with status 200, and makes an error of any other.
func accept(r *salesforce.Response) error {
	if r.Status != http.StatusOK {
		return &salesforce.StatusError{Host: r.Host, Status: r.Status, What: r.Mask(string(r.Body))}
	}
	return nil
}

func TestZeroValuesWork(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }))
	defer server.Close()
	c := &salesforce.Conn{InstanceURL: server.URL + "/", Tokens: static("TOKEN")}
	if err := c.Do(t.Context(), read, accept); err != nil || c.APIVersion() != apiversion.Latest {
		t.Errorf("with an instance and a token alone: %v, version %s", err, c.APIVersion())
	}
	for name, c := range map[string]*salesforce.Conn{
		"no connection":          nil,
		"the zero connection":    {},
		"no tokens":              {InstanceURL: server.URL},
		"a source with none":     {InstanceURL: server.URL, Tokens: noTokens{}},
		"a token that is empty":  {InstanceURL: server.URL, Tokens: static("")},
		"a source with an error": {InstanceURL: server.URL, Tokens: noTokens{errors.New("x")}},
	} {
		if err := c.Do(t.Context(), read, accept); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type noTokens struct{ err error }

func (n noTokens) Token() (*oauth2.Token, error) { return nil, n.err }

// TestSilentServerIsTriedAgain: a server that takes the call and never answers is given up,
// and the call retried, until an attempt is answered.
func TestSilentServerIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		c := conn(func(r *http.Request) (*http.Response, error) {
			if attempts++; attempts < 3 {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return answer(200, nil, "")
		})
		var said []string
		c.Retry = &salesforce.Retry{Budget: time.Minute, Notify: func(err error, _ time.Duration) { said = append(said, err.Error()) }}
		started := time.Now()
		if err := c.Do(t.Context(), read, accept); err != nil || attempts != 3 {
			t.Errorf("ended with %v after %d attempts, want the third to be answered", err, attempts)
		}
		if took := time.Since(started); took < 2*salesforce.DefaultTimeout || took > 2*salesforce.DefaultTimeout+10*time.Second {
			t.Errorf("it took %s, want twice the %s of an attempt", took, salesforce.DefaultTimeout)
		}
		if len(said) != 2 || said[0] != "acme.my.salesforce.com did not answer: no answer within 2m0s" {
			t.Errorf("it said %q", said)
		}
	})
}

// TestCallerEndsACall: the end of the caller's own context is no failure that passes.
func TestCallerEndsACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		c := conn(func(r *http.Request) (*http.Response, error) {
			attempts++
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		c.Retry = &salesforce.Retry{Budget: time.Hour}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("the run is over"))
		defer cancel()
		err := c.Do(ctx, read, accept)
		if !errors.Is(err, context.DeadlineExceeded) || salesforce.IsTransient(err) || !salesforce.IsUncertain(err) || attempts != 1 {
			t.Errorf("%v after %d attempts is transient %t, uncertain %t", err, attempts, salesforce.IsTransient(err), salesforce.IsUncertain(err))
		}
		if err := c.Do(ctx, read, accept); !errors.Is(err, context.DeadlineExceeded) || attempts != 1 {
			t.Errorf("a call after the end gives %v, and is sent", err)
		}
	})
}

func TestRetryAfterIsHonouredWithinTheBudget(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 503} {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			c := conn(func(*http.Request) (*http.Response, error) {
				if attempts++; attempts == 1 {
					return answer(status, http.Header{"Retry-After": {"40"}}, "")
				}
				return answer(200, nil, "")
			})
			c.Retry = &salesforce.Retry{Budget: time.Minute}
			started := time.Now()
			if err := c.Do(t.Context(), read, accept); err != nil {
				t.Errorf("HTTP %d: %v", status, err)
			}
			if took := time.Since(started); took != 40*time.Second {
				t.Errorf("HTTP %d: waited %s, want the 40s that it asks for", status, took)
			}
			// 20 of 60 seconds are left: it is no use to come back before the time.
			attempts, started = 0, time.Now()
			if err := c.Do(t.Context(), read, accept); !salesforce.IsTransient(err) || attempts != 1 || time.Since(started) != 0 {
				t.Errorf("HTTP %d: beyond the budget, ended with %v after %d attempts and %s", status, err, attempts, time.Since(started))
			}
		})
	}
}

func TestOnlyIdempotentCallsAreRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		c := conn(func(*http.Request) (*http.Response, error) { attempts++; return answer(503, nil, "") })
		c.Retry = &salesforce.Retry{Budget: time.Minute}
		write := read
		write.Method, write.Idempotent = http.MethodPost, false
		if err := c.Do(t.Context(), write, accept); !salesforce.IsUncertain(err) || attempts != 1 {
			t.Errorf("a write ended with %v after %d attempts, want one", err, attempts)
		}
	})
}

// renewing is a source of tokens that can renew them.
type renewing struct {
	mu     sync.Mutex
	token  string
	fresh  string
	asked  int
	refuse error
}

func (r *renewing) Token() (*oauth2.Token, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &oauth2.Token{AccessToken: r.token}, nil
}

func (r *renewing) Renew(_ context.Context, stale *oauth2.Token) (*oauth2.Token, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if r.refuse != nil {
		return nil, r.refuse
	}
	r.token = r.fresh
	return &oauth2.Token{AccessToken: r.token}, nil
}

func TestExpiredSessionIsRenewedOnce(t *testing.T) {
	t.Parallel()
	var sent []string
	c := conn(func(r *http.Request) (*http.Response, error) {
		sent = append(sent, r.Header.Get("Authorization"))
		if r.Header.Get("Authorization") != "Bearer fresh" {
			return answer(401, nil, "")
		}
		return answer(200, nil, "")
	})
	write := read
	write.Method, write.Idempotent = http.MethodPost, false // the org has not acted on a session that it refuses
	tokens := &renewing{token: "stale", fresh: "fresh"}
	c.Tokens = tokens
	if err := c.Do(t.Context(), write, accept); err != nil || tokens.asked != 1 || strings.Join(sent, ", ") != "Bearer stale, Bearer fresh" {
		t.Errorf("%v after %d renewals, sent %s", err, tokens.asked, sent)
	}
	tokens = &renewing{token: "stale", fresh: "stale as well"}
	c.Tokens = tokens
	if err := c.Do(t.Context(), write, accept); !salesforce.IsSessionExpired(err) || tokens.asked != 1 {
		t.Errorf("%v after %d renewals, want one and the org's refusal", err, tokens.asked)
	}
	c.Tokens = &renewing{token: "stale", refuse: errors.New("log in again")}
	if err := c.Do(t.Context(), write, accept); err == nil || err.Error() != "log in again" {
		t.Errorf("a renewal that fails gives %v, want why", err)
	}
}

func TestTokensStayWithTheInstance(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer thief.Close()
	redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
	}))
	defer redirecting.Close()
	c := &salesforce.Conn{InstanceURL: redirecting.URL, Tokens: static("TOKEN")}
	if err := c.Do(t.Context(), read, accept); err == nil || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("a redirect gives %v", err)
	}
	for _, path := range []string{thief.URL, "//" + thief.Listener.Addr().String() + "/x", "https://user@" + thief.Listener.Addr().String()} {
		request := read
		request.Path = path
		if err := c.Do(t.Context(), request, accept); err == nil || strings.Contains(err.Error(), "TOKEN") {
			t.Errorf("the path %s gives %v", path, err)
		}
	}
	for url, want := range map[string]string{
		"http://example.com":           "must be https",
		"http://127.0.0.1.example.com": "must be https",
		"ftp://127.0.0.1":              "must be https",
		"https://a:b@example.com":      "more than a scheme and the host",
		"https://example.com/x":        "more than a scheme and the host",
		"https://example.com:99999":    "an invalid port",
		"":                             "not a URL",
	} {
		c.InstanceURL = url
		if err := c.Do(t.Context(), read, accept); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, want %q", url, err, want)
		}
	}
	if elsewhere.Load() > 0 {
		t.Error("somebody else was called")
	}
}

// TestTokenIsTakenOut: no error and no answer holds the session's token, in whatever form
// it comes back.
func TestTokenIsTakenOut(t *testing.T) {
	t.Parallel()
	const token = "00Dx!AQE token/+"
	for _, echo := range []string{token, "00Dx%21AQE+token%2F%2B", "00Dx%21AQE%20token%2F+"} {
		c := conn(func(*http.Request) (*http.Response, error) { return answer(400, nil, "you sent "+echo) })
		c.Tokens = static(token)
		err := c.Do(t.Context(), read, accept)
		if err == nil || !strings.Contains(err.Error(), "you sent (token)") {
			t.Errorf("an org that repeats %s gives %v", echo, err)
		}
		c = conn(func(*http.Request) (*http.Response, error) { return nil, errors.New("cannot send " + echo) })
		c.Tokens = static(token)
		if err := c.Do(t.Context(), read, accept); err == nil || strings.Contains(err.Error(), echo) {
			t.Errorf("a transport that repeats %s gives %v", echo, err)
		}
	}
	mask := func(message string) string {
		var masked string
		c := conn(func(*http.Request) (*http.Response, error) { return answer(200, nil, "") })
		c.Do(t.Context(), read, func(r *salesforce.Response) error { masked = r.Mask(message); return nil })
		return masked
	}
	for message, want := range map[string]string{
		"key 3MVG9abcdefghijklmnopqrstuvwxyz0123":                "key 3MVG9…123",
		"secret " + strings.Repeat("0F", 32):                     "secret (secret)",
		"-----BEGIN RSA PRIVATE KEY-----\nMII\nand no end to it": "(private key)",
	} {
		if got := mask(message); got != want {
			t.Errorf("%q is masked as %q, want %q", message, got, want)
		}
	}
	if got := mask(strings.Repeat("x", 5000)); len(got) > 2010 {
		t.Errorf("a message of 5000 bytes is passed on with %d", len(got))
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", salesforce.MaxAnswer+1)
	c := conn(func(*http.Request) (*http.Response, error) { return answer(200, nil, body) })
	if err := c.Do(t.Context(), read, accept); err == nil || !strings.Contains(err.Error(), "more than 4 MiB") {
		t.Errorf("an answer over the bound gives %v", err)
	}
	for n, refused := range map[int]bool{salesforce.MaxMarks: false, salesforce.MaxMarks + 1: true} {
		body = strings.Repeat("<", n)
		err := c.Do(t.Context(), read, func(r *salesforce.Response) error { return r.CheckMarks("<=", "XML tags and attributes") })
		if (err != nil) != refused {
			t.Errorf("%d marks give %v, want an error: %t", n, err, refused)
		}
	}
}

// Example calls an org with a token source of one's own.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"path": %q, "authorization": %q}`, r.URL.Path, r.Header.Get("Authorization"))
	}))
	defer server.Close()
	tokens := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "TOKEN"}) // or any other source
	conn := &salesforce.Conn{InstanceURL: server.URL, Tokens: tokens, Retry: &salesforce.Retry{Budget: time.Minute}}
	err := conn.Do(context.Background(), salesforce.Request{Method: "GET", Path: "/services/data", Authorize: true, Idempotent: true}, func(r *salesforce.Response) error {
		fmt.Println(r.Status, string(r.Body)) // without the token, which no answer needs
		return nil
	})
	fmt.Println(err)
	// Output:
	// 200 {"path": "/services/data", "authorization": "Bearer (token)"}
	// <nil>
}

// TestUserAgent: every request identifies the program, also those of other packages.
func TestUserAgent(t *testing.T) {
	t.Parallel()
	var seen atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen.Store(r.Header.Get("User-Agent")) }))
	defer server.Close()
	c := &salesforce.Conn{InstanceURL: server.URL, Tokens: static("TOKEN")}
	check := func(want string) {
		t.Helper()
		if got, _ := seen.Load().(string); got != want {
			t.Errorf("the User-Agent is %q, want %q", got, want)
		}
	}
	if err := c.Do(t.Context(), read, accept); err != nil {
		t.Fatal(err)
	}
	check(salesforce.DefaultUserAgent())
	c.UserAgent = "other/1"
	if err := c.Do(t.Context(), read, accept); err != nil {
		t.Fatal(err)
	}
	check("other/1")
	resp, err := salesforce.WithoutRedirects(http.DefaultClient).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	check(salesforce.DefaultUserAgent())
	if !regexp.MustCompile(`^eca/\S+ \(\+https://\S+\)$`).MatchString(salesforce.DefaultUserAgent()) {
		t.Errorf("the default is %q", salesforce.DefaultUserAgent())
	}
}
