package consumer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// front puts a proxy before the org.
func (s *stage) front(h func(w http.ResponseWriter, r *http.Request, body []byte, pass func())) *Client {
	u, _ := url.Parse(s.URL)
	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(b))
		r.ContentLength = int64(len(b))
		h(w, r, b, func() { p.ServeHTTP(w, r) })
	}))
	s.t.Cleanup(srv.Close)
	return &Client{Conn: &salesforce.Conn{InstanceURL: srv.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: s.AccessToken()})}}
}

func TestAbortLeavesAPairThatAnotherRunMadeTheMainOne(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	u := &user{pair: s.pair()}
	r := &Rotation{Client: s.Client, HandOver: func(ctx context.Context, p login.Credentials) error {
		u.receive(ctx, p)
		return fmt.Errorf("killed")
	}}
	r.Run(t.Context(), "App") // p1 staged, handed over
	there, err := s.Client.Abort(t.Context(), "App", func(ctx context.Context, main login.Credentials) error {
		// meanwhile another run goes on to the end
		if _, err := (&Rotation{Client: s.Client, HandOver: u.receive}).Run(ctx, "App"); err != nil {
			t.Fatal(err)
		}
		return u.receive(ctx, main)
	})
	if there || err != nil {
		t.Errorf("abort says %t, %v, and nothing was forgotten", there, err)
	}
	if !u.logsIn(s) {
		t.Error("the pair that abort handed over logs in no more")
	}
	if len(s.Pairs("App")) != 2 {
		t.Error("abort deleted the Rotated pair")
	}
}

func TestAStateThatIsNotKnownIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"ROTATED", "", "Pending"} {
		s := start(t, on(simorg.Config{}))
		old := s.pair()
		if _, err := (&Rotation{Client: s.Client, HandOver: (&user{}).receive}).Run(t.Context(), "App"); err != nil {
			t.Fatal(err)
		}
		c := s.front(func(w http.ResponseWriter, r *http.Request, b []byte, pass func()) {
			if r.Method == "GET" && strings.HasSuffix(r.URL.Path, "/staged") {
				rec := httptest.NewRecorder()
				req, _ := http.NewRequest("GET", s.URL+r.URL.Path, nil)
				req.Header = r.Header
				resp, _ := http.DefaultClient.Do(req)
				d, _ := io.ReadAll(resp.Body)
				_ = rec
				w.Write(bytes.ReplaceAll(d, []byte(`"state":"Rotated"`), []byte(`"state":"`+state+`"`)))
				return
			}
			pass()
		})
		_, err := (&Rotation{Client: c, HandOver: (&user{}).receive}).Run(t.Context(), "App")
		_, dead := login.ClientCredentials(s.URL, old).Verify(t.Context(), nil)
		if dead != nil {
			t.Errorf("state %q: the old pair, which was Rotated, was ended without --revoke-old (run: %v; login: %v)", state, err, dead)
		}
	}
}

func TestAPairWithoutASecretIsNotHandedOver(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	u := &user{pair: s.pair()}
	(&Rotation{Client: s.Client, HandOver: func(context.Context, login.Credentials) error { return fmt.Errorf("no") }}).Run(t.Context(), "App")
	c := s.front(func(w http.ResponseWriter, r *http.Request, b []byte, pass func()) {
		if r.Method == "GET" && strings.HasSuffix(r.URL.Path, "/staged") {
			req, _ := http.NewRequest("GET", s.URL+r.URL.Path, nil)
			req.Header = r.Header
			resp, _ := http.DefaultClient.Do(req)
			var d map[string]any
			json.NewDecoder(resp.Body).Decode(&d)
			for _, one := range d["stagedCredentials"].([]any) {
				delete(one.(map[string]any), "secret")
			}
			json.NewEncoder(w).Encode(d)
			return
		}
		pass()
	})
	if _, err := (&Rotation{Client: c, HandOver: u.receive}).Run(t.Context(), "App"); !errors.As(err, new(*NoSecretError)) {
		t.Errorf("got %v, want a *NoSecretError", err)
	}
	if u.got > 0 && u.pair.Secret.IsZero() {
		t.Error("a pair without a secret was handed over")
	}
	if !u.logsIn(s) {
		t.Error("the user has a dead pair")
	}
}

func TestAPairIsHandedOverWhenItLogsIn(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	old := s.pair()
	u := &user{pair: old}
	c := s.front(func(w http.ResponseWriter, r *http.Request, b []byte, pass func()) {
		f, _ := url.ParseQuery(string(b))
		if id := f.Get("client_id"); id != "" && id != old.Key { // not propagated
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"invalid_client_id","error_description":"client identifier invalid"}`)
			return
		}
		pass()
	})
	if _, err := (&Rotation{Client: c, HandOver: u.receive, Wait: 3 * time.Second}).Run(t.Context(), "App"); !login.IsNotYetKnown(err) {
		t.Errorf("got %v, want a refusal of what is not known yet", err)
	}
	if _, err := login.ClientCredentials(c.Conn.InstanceURL, u.pair).Verify(t.Context(), nil); err != nil {
		t.Error("the pair that the user has got does not log in:", err)
	}
}

func TestTwoRunsThatStageAtOnceEndWithOnePair(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{Facts: platform.Answers{"second-staging": "replaces"}}))
	u := &user{pair: s.pair()}
	var mu sync.Mutex
	var posts atomic.Int32
	both := make(chan bool)
	c := s.front(func(w http.ResponseWriter, r *http.Request, b []byte, pass func()) {
		if r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/staged") {
			if posts.Add(1) == 2 {
				close(both)
			}
			<-both // both have found the slot empty
		}
		pass()
	})
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			_, errs[i] = (&Rotation{Client: c, HandOver: func(ctx context.Context, p login.Credentials) error {
				mu.Lock()
				defer mu.Unlock()
				return u.receive(ctx, p)
			}}).Run(t.Context(), "App")
		}()
	}
	wg.Wait()
	if !u.logsIn(s) {
		t.Error("the user has a pair that was replaced")
	}
}

func TestASwapThatDidNotHappenIsNoticed(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	u := &user{}
	c := s.front(func(w http.ResponseWriter, r *http.Request, b []byte, pass func()) {
		if r.Method == "PATCH" {
			io.WriteString(w, "{}")
			return
		}
		pass()
	})
	var steps []string
	o, err := (&Rotation{Client: c, HandOver: u.receive, RevokeOld: true, Progress: func(e Event) { steps = append(steps, string(e.Step)) }}).Run(t.Context(), "App")
	if err == nil && s.main().Key != o.Key {
		t.Errorf("reported %+v and %q, but the main pair is the old one, which still logs in", o, steps)
	}
}

func TestTheOldPairEndsOnlyAfterAHandOver(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	u := &user{pair: s.pair()}
	// Somebody has rotated in another way, as in Setup; the user was told nothing.
	if _, err := (&Rotation{Client: s.Client, HandOver: func(context.Context, login.Credentials) error { return nil }}).Run(t.Context(), "App"); err != nil {
		t.Fatal(err)
	}
	o, err := (&Rotation{Client: s.Client, HandOver: u.receive, RevokeOld: true}).Run(t.Context(), "App")
	if !u.logsIn(s) {
		t.Errorf("the user was handed nothing (%d times) and its pair was ended: %+v %v", u.got, o, err)
	}
}

func TestAccessIsSwitchedOffInSpiteOfAFailure(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{})
	n := 0
	c := s.front(func(w http.ResponseWriter, r *http.Request, b []byte, pass func()) {
		if bytes.Contains(b, []byte("updateMetadata")) && bytes.Contains(b, []byte(">false</enableClientSecretInRestApiAccess>")) {
			if n++; n == 1 {
				w.WriteHeader(503)
				return
			}
		}
		pass()
	})
	c.Conn.Retry = &salesforce.Retry{Budget: 10 * time.Second}
	if err := c.SetAccess(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	err := c.SetAccess(t.Context(), false)
	if on, _ := c.Access(t.Context()); on {
		t.Error("one 503, and the setting stays on in spite of a retry budget:", err)
	}
}
