package consumer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// answers changes the org's answers. A nil result keeps an answer.
type answers func(r *http.Request, answer []byte) []byte

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if changed := a(r, data); changed != nil {
		data = changed
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	return resp, err
}

// change makes the client see changed answers. It calls a once at a time.
func (s *stage) change(a answers) {
	var mu sync.Mutex
	s.Conn.HTTPClient = &http.Client{Transport: answers(func(r *http.Request, answer []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		return a(r, answer)
	})}
}

func isStaged(r *http.Request) bool { return strings.Contains(r.URL.Path, "/staged") }

// sent returns the number of requests with a method, "" for any, whose path contains a text.
func (s *stage) sent(method, path string) (n int) {
	for _, r := range s.Requests() {
		if (method == "" || r.Method == method) && strings.Contains(r.Path, path) {
			n++
		}
	}
	return n
}

var errHandOver = errors.New("the vault is sealed")

func refuse(context.Context, login.Credentials) error { return errHandOver }

func TestRotationWithoutHandOver(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	s.ForgetRequests()
	if _, err := (&Rotation{Client: s.Client}).Run(t.Context(), "App"); err == nil || len(s.Requests()) > 0 {
		t.Errorf("got %v after %d requests, want an error before the first", err, len(s.Requests()))
	}
	for _, zero := range []*Rotation{nil, {}, {HandOver: refuse}, {HandOver: refuse, Client: new(Client)}} {
		if _, err := zero.Run(t.Context(), "App"); err == nil || errors.Is(err, errHandOver) {
			t.Errorf("%+v: %v, want an error", zero, err)
		}
	}
}

// TestOwnSession: the session may also come from the credentials beside the main ones.
func TestOwnSession(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	if _, err := (&Rotation{Client: s.Client, HandOver: refuse}).Run(t.Context(), "App"); !errors.Is(err, errHandOver) {
		t.Fatal(err)
	}
	beside := s.Pairs("App")[1]
	token := s.tokenOf(login.Credentials{Key: beside.Key, Secret: salesforce.NewSecret(beside.Secret)})
	s.Conn.Tokens = oauth2.StaticTokenSource(token)
	u := &user{}
	if _, err := (&Rotation{Client: s.Client, HandOver: u.receive}).Run(t.Context(), "App"); !errors.As(err, new(*OwnSessionError)) || u.got > 0 {
		t.Errorf("got %v and %d hand-overs, want an *OwnSessionError", err, u.got)
	}
}

// TestIntrospectionCut: a network failure does not prove that the session is another consumer's.
func TestIntrospectionCut(t *testing.T) {
	t.Parallel()
	isIntrospection := func(r simorg.Request) bool { return strings.HasSuffix(r.Path, "/introspect") }
	for name, fault := range map[string]simorg.Fault{"cut": {Drop: true}, "busy": {Status: 503, Body: "busy"}} {
		s := start(t, on(simorg.Config{}))
		fault.Fits = isIntrospection
		s.Inject(fault)
		if _, err := (&Rotation{Client: s.Client, HandOver: (&user{}).receive}).Run(t.Context(), "App"); err == nil || s.sent("POST", "/staged") > 0 {
			t.Errorf("%s: got %v and staged %d, want an error before that", name, err, s.sent("POST", "/staged"))
		}
	}
	s := start(t, on(simorg.Config{}))
	s.Conn.HTTPClient = &http.Client{Transport: untrusted("/introspect")}
	if _, err := (&Rotation{Client: s.Client, HandOver: (&user{}).receive}).Run(t.Context(), "App"); err == nil || s.sent("POST", "/staged") > 0 {
		t.Errorf("not trusted: got %v, want an error before anything is staged", err)
	}
	s = start(t, on(simorg.Config{}))
	s.Inject(simorg.Fault{Fits: isIntrospection, Status: 400, Body: `{"error":"unauthorized_client","error_description":"introspection is off"}`})
	if _, err := (&Rotation{Client: s.Client, HandOver: (&user{}).receive}).Run(t.Context(), "App"); err != nil {
		t.Errorf("after a refusal got %v, want a rotation", err)
	}
}

// untrusted fails requests whose URL contains the text, with an error that is not transient.
type untrusted string

func (u untrusted) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.String(), string(u)) {
		return nil, errors.New("the certificate is not trusted")
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestLinksCut: a network failure is not an org that does not show the links.
func TestLinksCut(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	s.Conn.HTTPClient = &http.Client{Transport: untrusted("ExtlClntAppOauthSettings")}
	if found, err := s.Find(t.Context(), "App"); !errors.As(err, new(*salesforce.NetworkError)) {
		t.Errorf("got %+v, %v, want a network error", found, err)
	}
	s = start(t, on(simorg.Config{}))
	s.Inject(simorg.Fault{
		Fits:   func(r simorg.Request) bool { return strings.Contains(r.Path, "ExtlClntAppOauthSettings") },
		Status: 400, Body: `[{"errorCode":"INVALID_TYPE","message":"no such object"}]`,
	})
	if found, err := s.Find(t.Context(), "App"); err != nil || found.ID == "" {
		t.Errorf("after a refusal got %+v, %v, want the listed consumer", found, err)
	}
}

// TestRevokeOldSparesTheMain: the credentials beside the main ones are revoked only if they are the old
// ones.
func TestRevokeOldSparesTheMain(t *testing.T) {
	t.Parallel()
	for name, pattern := range map[string]struct{ find, put string }{
		"the key of the main ones": {`"key":"[^"]*"`, `"key":"MAIN"`},
		"staged by somebody else":  {`"state":"Rotated"`, `"state":"Active"`},
	} {
		s := start(t, on(simorg.Config{}))
		swapped := false
		s.change(func(r *http.Request, answer []byte) []byte {
			swapped = swapped || r.Method == http.MethodPatch
			if !swapped || r.Method != http.MethodGet || !isStaged(r) {
				return nil
			}
			return regexp.MustCompile(pattern.find).ReplaceAll(answer, []byte(strings.ReplaceAll(pattern.put, "MAIN", s.main().Key)))
		})
		_, err := (&Rotation{Client: s.Client, HandOver: (&user{}).receive, RevokeOld: true}).Run(t.Context(), "App")
		if !errors.As(err, new(*StateError)) || s.sent("DELETE", "/staged") > 0 {
			t.Errorf("%s: got %v and %d deletions, want a *StateError and none", name, err, s.sent("DELETE", "/staged"))
		}
	}
}

// TestAbortSparesAnotherRun: credentials that another run staged meanwhile stay.
func TestAbortSparesAnotherRun(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{Facts: platform.Answers{"second-staging": "replaces"}}))
	found, err := s.Find(t.Context(), "App")
	if err == nil {
		_, err = s.stage(t.Context(), found)
	}
	if err != nil {
		t.Fatal(err)
	}
	var another *Staged
	aborted, err := s.Abort(t.Context(), "App", func(ctx context.Context, _ login.Credentials) (err error) {
		another, err = s.stage(ctx, found)
		return err
	})
	if pairs := s.Pairs("App"); aborted || err != nil || len(pairs) != 2 || pairs[1].Key != another.Key {
		t.Errorf("got %t, %v and %v, want the other run's credentials to stay", aborted, err, pairs)
	}
}

// TestStagingRefused: only staged credentials may continue a rotation whose staging was refused, not
// the old ones of another run that has rotated meanwhile.
func TestStagingRefused(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	other := &user{}
	c := s.front(func(w http.ResponseWriter, r *http.Request, _ []byte, pass func()) {
		if r.Method != http.MethodPost || !isStaged(r) {
			pass()
			return
		}
		if _, err := (&Rotation{Client: s.Client, HandOver: other.receive}).Run(t.Context(), "App"); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `[{"errorCode":"ALREADY_STAGED","message":"no"}]`)
	})
	u := &user{}
	_, err := (&Rotation{Client: c, HandOver: u.receive}).Run(t.Context(), "App")
	if refused, ok := errors.AsType[*salesforce.Error](err); !ok || refused.Code != "ALREADY_STAGED" || u.got > 0 {
		t.Errorf("got %v and %d hand-overs, want the refusal", err, u.got)
	}
	if s.main().Key != other.pair.Key {
		t.Error("the other run's credentials are no longer the main ones")
	}
}

// TestSwapWithoutEffect: the org accepts the swap, but shows the previous credentials as the main ones.
func TestSwapWithoutEffect(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	c := s.front(func(w http.ResponseWriter, r *http.Request, _ []byte, pass func()) {
		if r.Method == http.MethodPatch {
			io.WriteString(w, "{}")
			return
		}
		pass()
	})
	result, err := (&Rotation{Client: c, HandOver: (&user{}).receive}).Run(t.Context(), "App")
	if !errors.As(err, new(*SwapError)) || result == nil || result.Verified || result.Rotated {
		t.Errorf("got %+v, %v, want a *SwapError", result, err)
	}
}

// TestProofWithoutFlow: an app whose client credentials flow does not work rotates too; wrong
// credentials do not.
func TestProofWithoutFlow(t *testing.T) {
	t.Parallel()
	for answer, rotates := range map[string]bool{
		`{"error":"inactive_user","error_description":"user is inactive"}`:                                       true,
		`{"error":"invalid_grant","error_description":"no client credentials user enabled"}`:                     true,
		`{"error":"invalid_grant","error_description":"client credentials flow not enabled"}`:                    true,
		`{"error":"invalid_app_access","error_description":"user is not admin approved to access this app"}`:     true,
		`{"error":"invalid_client","error_description":"invalid client credentials"}`:                            false,
		`{"error":"inactive_org","error_description":"org is locked, closed, or suspended"}`:                     false,
		`{"error":"invalid_grant","error_description":"ip restricted"}`:                                          false,
		`{"error":"unsupported_grant_type","error_description":"grant type not supported"}`:                      false,
		`{"error":"something_new","error_description":"that nobody has seen"}`:                                   false,
		`{"error":"invalid_client_id","error_description":"client identifier invalid, and Wait is zero"}`:        false,
		`{"error":"invalid_request","error_description":"scope parameter not supported, which nobody has sent"}`: false,
	} {
		s := start(t, on(simorg.Config{}))
		c := s.front(func(w http.ResponseWriter, r *http.Request, _ []byte, pass func()) {
			if !strings.HasSuffix(r.URL.Path, "/token") {
				pass()
				return
			}
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, answer)
		})
		u := &user{}
		if _, err := (&Rotation{Client: c, HandOver: u.receive}).Run(t.Context(), "App"); (err == nil) != rotates || (u.got > 0) != rotates {
			t.Errorf("%s: got %v and %d hand-overs, want a rotation: %t", answer, err, u.got, rotates)
		}
	}
}

// TestInjection: a key or secret that could break out of where it is written is refused.
func TestInjection(t *testing.T) {
	t.Parallel()
	for _, change := range []struct{ find, put string }{
		{`"secret":"`, `"secret":"a\nb`}, {`"key":"`, `"key":"a b`}, {`"secret":"`, `"secret":"é`},
	} {
		for _, staged := range []bool{false, true} {
			s := start(t, on(simorg.Config{}))
			s.change(func(r *http.Request, answer []byte) []byte {
				if isStaged(r) != staged || !strings.Contains(r.URL.Path, "/oauth/credentials/") {
					return nil
				}
				return bytes.ReplaceAll(answer, []byte(change.find), []byte(change.put))
			})
			u := &user{}
			_, err := (&Rotation{Client: s.Client, HandOver: u.receive}).Run(t.Context(), "App")
			if err == nil || !strings.Contains(err.Error(), "invalid characters") || u.got > 0 {
				t.Errorf("%s, staged %t: got %v and %d hand-overs, want a refusal", change.put, staged, err, u.got)
			}
		}
	}
}

// TestLinkToAnotherConsumer: the org's list counts, not the link, for the main and the staged credentials.
func TestLinkToAnotherConsumer(t *testing.T) {
	t.Parallel()
	const wrong = "888000000000999AAA"
	s := start(t, on(simorg.Config{}))
	if _, err := (&Rotation{Client: s.Client, HandOver: refuse}).Run(t.Context(), "App"); !errors.Is(err, errHandOver) {
		t.Fatal(err)
	}
	s.change(func(r *http.Request, answer []byte) []byte {
		switch {
		case strings.Contains(r.URL.RawQuery, "ExtlClntAppOauthSettings"):
			return regexp.MustCompile(`("OauthLink":"[^:]*):[^"]*`).ReplaceAll(answer, []byte("${1}:"+wrong))
		case strings.HasSuffix(r.URL.Path, wrong):
			return []byte(`{"key":"3MVG9another","secret":"another"}`)
		case strings.HasSuffix(r.URL.Path, wrong+"/staged"):
			return []byte(`{"stagedCredentials":[]}`)
		}
		return nil
	})
	// The org answers what is below the wrong ID with 404, so make that a success.
	changed := s.Conn.HTTPClient.Transport
	s.Conn.HTTPClient = &http.Client{Transport: ok{changed, wrong}}
	status, err := s.Status(t.Context(), "App")
	if err != nil || status.Main.Key != s.main().Key || status.Beside == nil || status.Beside.Key != s.Pairs("App")[1].Key {
		t.Errorf("got %+v, %v, want the credentials of the listed consumer", status, err)
	}
}

// ok turns the status of answers for paths that contain a text into 200.
type ok struct {
	http.RoundTripper
	path string
}

func (o ok) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := o.RoundTripper.RoundTrip(r)
	if err == nil && strings.Contains(r.URL.Path, o.path) {
		resp.StatusCode = http.StatusOK
	}
	return resp, err
}

// TestTokensOfProofsAreRevoked: every token of a proof is revoked, also if the hand-over fails.
func TestTokensOfProofsAreRevoked(t *testing.T) {
	t.Parallel()
	for name, handOver := range map[string]func(context.Context, login.Credentials) error{"hand-over fails": refuse, "success": (&user{}).receive} {
		s := start(t, on(simorg.Config{}))
		var issued, revoked []string
		s.change(func(r *http.Request, answer []byte) []byte {
			if token := regexp.MustCompile(`"access_token":"([^"]*)"`).FindSubmatch(answer); token != nil && strings.HasSuffix(r.URL.Path, "/token") {
				issued = append(issued, string(token[1]))
			}
			return nil
		})
		(&Rotation{Client: s.Client, HandOver: handOver}).Run(t.Context(), "App")
		for _, r := range s.Requests() {
			if form, err := url.ParseQuery(string(r.Body)); err == nil && strings.HasSuffix(r.Path, "/revoke") {
				revoked = append(revoked, form.Get("token"))
			}
		}
		if len(issued) == 0 || strings.Join(issued, " ") != strings.Join(revoked, " ") {
			t.Errorf("%s: issued %d tokens and revoked %d", name, len(issued), len(revoked))
		}
	}
}
