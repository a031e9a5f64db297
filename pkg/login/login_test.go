package login

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

const (
	admin = "admin@example.com"
	robot = "robot@example.com"
	gone  = "gone@example.com"
)

// stage is an org with an app.
type stage struct {
	*simorg.Server
	t *testing.T
}

// start returns an org with the app App, whose consumer has the client credentials flow as robot.
func start(t *testing.T, config simorg.Config) *stage {
	t.Helper()
	config.Users = append(config.Users, simorg.User{Username: robot}, simorg.User{Username: gone, Inactive: true})
	config.PermissionSets = append(config.PermissionSets, "Integration", "Other")
	s := &stage{Server: simorgtest.Start(t, config), t: t}
	if err := s.Deploy(os.DirFS("testdata/app"), "."); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) conn() *salesforce.Conn {
	return &salesforce.Conn{InstanceURL: s.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: s.AccessToken()})}
}

// put upserts a component with fields given as names and values in turn.
func (s *stage) put(typ, name string, fields ...string) {
	s.t.Helper()
	stated := make(metadata.Fields)
	for i := 0; i < len(fields); i += 2 {
		stated.Set(fields[i], fields[i+1])
	}
	results, err := (&mdapi.Client{Conn: s.conn()}).Upsert(s.t.Context(), []*metadata.Component{metadata.New(typ, name, stated)})
	if err != nil || !results[0].Success {
		s.t.Fatalf("%s %s: %v, %+v", typ, name, err, results)
	}
}

func (s *stage) global(more ...string) {
	s.t.Helper()
	fields := []string{"externalClientApplication", "App", "label", "App", "callbackUrl", "https://app.example.com/callback", "isClientCredentialsFlowEnabled", "true"}
	s.put(eca.GlobalOAuthSettings, "App_glbloauth", append(fields, more...)...)
}

func (s *stage) policies(fields ...string) {
	s.t.Helper()
	s.put(eca.OAuthPolicies, "App_oauthPlcy", append([]string{"externalClientApplication", "App", "label", "App"}, fields...)...)
}

// preAuthorise lets only pre-authorised users in, and robot among them where granted says so.
func (s *stage) preAuthorise(granted bool) {
	s.t.Helper()
	s.policies("isClientCredentialsFlowEnabled", "true", "clientCredentialsFlowUser", robot, "permittedUsersPolicyType", "AdminApprovedPreAuthorized")
	if !granted {
		return
	}
	rest := &restapi.Client{Conn: s.conn()}
	facts, err := apps.LookUp(s.t.Context(), rest, preflight.Names{Apps: []string{"App"}, PermissionSets: []string{"Integration"}, Users: []string{robot}, Assignees: []string{robot}})
	if err != nil {
		s.t.Fatal(err)
	}
	grants := facts.Grants("App", []string{"Integration"}, robot)
	if err := apps.CreateGrants(s.t.Context(), rest, grants); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) credentials() Credentials {
	main := s.Pairs("App")[0]
	return Credentials{main.Key, salesforce.NewSecret(main.Secret)}
}

// front puts a proxy before the org and returns its URL.
func (s *stage) front(h func(w http.ResponseWriter, r *http.Request, body []byte, pass func())) string {
	u, _ := url.Parse(s.URL)
	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(b))
		r.ContentLength = int64(len(b))
		h(w, r, b, func() { p.ServeHTTP(w, r) })
	}))
	s.t.Cleanup(srv.Close)
	return srv.URL
}

// rsaPair returns a private key in PEM, and the certificate that belongs to it.
func rsaPair(t *testing.T, pkcs8 bool) (key salesforce.Secret, certificate string) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}
	if pkcs8 {
		data, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		block = &pem.Block{Type: "PRIVATE KEY", Bytes: data}
	}
	return salesforce.NewSecret(string(pem.EncodeToMemory(block))), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestVerifyTellsWhomTheTokenIsFor(t *testing.T) {
	t.Parallel()
	key1, certificate1 := rsaPair(t, false)
	key8, certificate8 := rsaPair(t, true)
	for _, test := range []struct {
		name, user, scopes string
		login              func(*stage) *Login
	}{
		{"client credentials", robot, "api", func(s *stage) *Login {
			return ClientCredentials(s.URL, s.credentials())
		}},
		{"client credentials of a pre-authorised user", robot, "api", func(s *stage) *Login {
			s.preAuthorise(true)
			return ClientCredentials(s.URL, s.credentials())
		}},
		{"JWT with a key in PKCS#1", robot, "api", func(s *stage) *Login {
			s.global("certificate", certificate1)
			s.preAuthorise(true)
			return JWT(s.URL, s.credentials().Key, key1, robot)
		}},
		{"JWT with a key in PKCS#8", robot, "api", func(s *stage) *Login {
			s.global("certificate", certificate8)
			s.preAuthorise(true)
			return JWT(s.URL+"/", s.credentials().Key, key8, robot)
		}},
		{"authorization code", admin, "api refresh_token", func(s *stage) *Login {
			verifier := oauth2.GenerateVerifier()
			code := authorize(s, AuthorizeURL(s.URL, s.credentials().Key, "https://app.example.com/callback", "state", verifier))
			return Code(s.URL, s.credentials(), "https://app.example.com/callback", code.Get("code"), verifier)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, simorg.Config{})
			login := test.login(s)
			proof, err := login.Verify(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if proof.Username != test.user || strings.Join(proof.Scopes, " ") != test.scopes || !proof.Revoked || proof.RevokeError != "" {
				t.Errorf("got %+v, want %s with %s, revoked", proof, test.user, test.scopes)
			}
		})
	}
}

// authorize lets an app in as the administrator, and returns what the redirect says.
func authorize(s *stage, page string) url.Values {
	s.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.PostForm(page, url.Values{"username": {admin}})
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		s.t.Fatal(err)
	}
	return to.Query()
}

// TestEveryRefusalIsExplained meets each refusal that the simulated org knows, and explains it.
func TestEveryRefusalIsExplained(t *testing.T) {
	t.Parallel()
	key, certificate := rsaPair(t, false)
	other, _ := rsaPair(t, false)
	credentials := func(s *stage) *Login {
		return ClientCredentials(s.URL, s.credentials())
	}
	jwt := func(s *stage) *Login {
		s.global("certificate", certificate)
		return JWT(s.URL, s.credentials().Key, key, robot)
	}
	for _, test := range []struct {
		name   string
		config simorg.Config
		login  func(*stage) *Login
		says   string
		cause  refusal.Cause
		user   string
	}{
		{"unknown key", simorg.Config{}, func(s *stage) *Login { return ClientCredentials(s.URL, Credentials{Key: "3MVG9nobody"}) }, "client identifier invalid", refusal.NewConsumer, ""},
		{"not known yet", simorg.Config{Propagation: time.Hour}, credentials, "client identifier invalid", refusal.NewConsumer, ""},
		{"wrong secret", simorg.Config{}, func(s *stage) *Login {
			return ClientCredentials(s.URL, Credentials{s.credentials().Key, salesforce.NewSecret("wrong")})
		}, "invalid client credentials", refusal.WrongSecret, ""},
		{"no run-as user", simorg.Config{}, func(s *stage) *Login {
			s.put(eca.OAuthPolicies, "App_oauthPlcy", "externalClientApplication", "App", "label", "App", "isClientCredentialsFlowEnabled", "true", "clientCredentialsFlowUser", robot)
			return credentials(s)
		}, "", refusal.OtherCause, ""},
		{"flow off", simorg.Config{}, func(s *stage) *Login { s.policies("isClientCredentialsFlowEnabled", "false"); return credentials(s) }, "client credentials flow not enabled", refusal.PoliciesFlowOff, ""},
		{"another domain", simorg.Config{}, func(s *stage) *Login {
			login := credentials(s)
			return ClientCredentials(strings.Replace(login.BaseURL, "127.0.0.1", "localhost", 1), s.credentials())
		}, "request not supported on this domain", refusal.WrongHost, ""},
		{"not pre-authorised", simorg.Config{}, func(s *stage) *Login { s.preAuthorise(false); return credentials(s) }, "user is not admin approved to access this app", refusal.NoGrant, ""},
		{"JWT, everybody may authorise himself", simorg.Config{}, jwt, "user hasn't approved this consumer", refusal.NotApproved, robot},
		{"JWT without the scope", simorg.Config{}, func(s *stage) *Login {
			s.put(eca.OAuthSettings, "App_oauth", "externalClientApplication", "App", "label", "App", "commaSeparatedOauthScopes", "Api")
			s.preAuthorise(true)
			return jwt(s)
		}, "refresh_token scope is required", refusal.NoRefreshScope, ""},
		{"JWT by another key", simorg.Config{}, func(s *stage) *Login {
			jwt(s)
			return JWT(s.URL, s.credentials().Key, other, robot)
		}, "invalid assertion", refusal.OtherCertificate, ""},
		{"JWT of an inactive user", simorg.Config{}, func(s *stage) *Login {
			s.preAuthorise(true)
			jwt(s)
			return JWT(s.URL, s.credentials().Key, key, gone)
		}, "user is inactive", refusal.InactiveUser, gone},
		{"address", simorg.Config{IPRestricted: true}, credentials, "ip restricted", refusal.IPRestricted, ""},
		{"locked org", simorg.Config{Locked: true}, credentials, "org is locked, closed, or suspended", refusal.InactiveOrg, ""},
		{"wrong verifier", simorg.Config{}, func(s *stage) *Login {
			got := authorize(s, AuthorizeURL(s.URL, s.credentials().Key, "https://app.example.com/callback", "state", oauth2.GenerateVerifier()))
			return Code(s.URL, s.credentials(), "https://app.example.com/callback", got.Get("code"), oauth2.GenerateVerifier())
		}, "invalid code verifier", refusal.WrongVerifier, ""},
		{"another redirect", simorg.Config{}, func(s *stage) *Login {
			verifier := oauth2.GenerateVerifier()
			got := authorize(s, AuthorizeURL(s.URL, s.credentials().Key, "https://app.example.com/callback", "state", verifier))
			return Code(s.URL, s.credentials(), "https://else.example.com/", got.Get("code"), verifier)
		}, "redirect_uri must match", refusal.WrongRedirect, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, test.config)
			proof, err := test.login(s).Verify(t.Context(), nil)
			if test.says == "" {
				if err != nil || !proof.Revoked {
					t.Errorf("got %v, want a login", err)
				}
				return
			}
			refused, ok := errors.AsType[*salesforce.TokenRefusal](err)
			if !ok || !strings.Contains(refused.Description, test.says) {
				t.Fatalf("got %v, want a refusal with %q", err, test.says)
			}
			attempt := Attempt{App: "App", Key: key, Username: test.user, Created: time.Now()}
			if test.cause == refusal.OtherCertificate {
				attempt.Key = other
			}
			if got := Look(t.Context(), s.conn(), attempt).Diagnose(err); got == nil || got.Cause != test.cause {
				t.Errorf("%v is explained as %+v, want %s", err, got, test.cause)
			}
		})
	}
	if _, ok := Explain(&salesforce.TokenRefusal{Code: "invalid_grant", Description: "something new"}); ok {
		t.Error("a refusal that is not known is explained")
	}
}

func TestWaitingBridgesPropagation(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{Propagation: 1500 * time.Millisecond})
	login := ClientCredentials(s.URL, s.credentials())
	if _, err := login.VerifyWaiting(t.Context(), nil, Patience{}); !IsNotYetKnown(err) {
		t.Errorf("without waiting got %v, want a refusal of what is not known yet", err)
	}
	waits := 0
	if _, err := login.VerifyWaiting(t.Context(), nil, Patience{Limit: time.Minute, Waiting: func(time.Duration, time.Duration, error) { waits++ }}); err != nil || waits != 1 {
		t.Errorf("got %v after %d waits, want a login after one", err, waits)
	}
	s.Inject(simorg.Fault{Fits: func(r simorg.Request) bool { return true }, Status: 400, Body: `{"error":"inactive_org","error_description":"org is locked, closed, or suspended"}`})
	waits = 0
	if _, err := login.VerifyWaiting(t.Context(), nil, Patience{Limit: time.Minute, Waiting: func(time.Duration, time.Duration, error) { waits++ }}); err == nil || waits != 0 {
		t.Errorf("got %v after %d waits, want another refusal at once", err, waits)
	}
}

// TestTheTokenIsRevokedWhateverHappens: the org does not answer whom it is for, or the run is
// interrupted.
func TestTheTokenIsRevokedWhateverHappens(t *testing.T) {
	t.Parallel()
	for _, interrupted := range []bool{false, true} {
		s := start(t, simorg.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.Inject(simorg.Fault{Fits: func(r simorg.Request) bool {
			if !strings.HasSuffix(r.Path, "/userinfo") {
				return false
			}
			if interrupted {
				cancel()
			}
			return true
		}, Status: 500, Body: "oops"})
		proof, err := ClientCredentials(s.URL, s.credentials()).Verify(ctx, nil)
		if err == nil || proof == nil || !proof.Revoked {
			t.Errorf("got %+v, %v; want an error and a revoked token", proof, err)
		}
	}
}

func TestSecretsThatAnOrgRepeatsAreMasked(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{})
	org := s.front(func(w http.ResponseWriter, r *http.Request, b []byte, pass func()) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			f, _ := url.ParseQuery(string(b))
			w.WriteHeader(400)
			json.NewEncoder(w).Encode(map[string]string{"error": "invalid_client", "error_description": "invalid client credentials " + f.Get("client_id") + ":" + f.Get("client_secret")})
			return
		}
		pass()
	})
	_, err := ClientCredentials(org, s.credentials()).Verify(t.Context(), nil)
	if strings.Contains(err.Error(), s.credentials().Secret.Reveal()) {
		t.Error("leaked:", err)
	}
	// the token in scope, and in the user name as JSON escapes
	var token string
	org = s.front(func(w http.ResponseWriter, r *http.Request, b []byte, pass func()) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/token"):
			w.Header().Set("Content-Type", "application/json")
			token = "00Dxx!AQEAtoken"
			json.NewEncoder(w).Encode(map[string]string{"access_token": token, "token_type": "Bearer", "scope": "api " + token + " " + s.credentials().Secret.Reveal()})
		case strings.HasSuffix(r.URL.Path, "/userinfo"):
			io.WriteString(w, `{"preferred_username":"`+strings.ReplaceAll(token, "!", `\u0021`)+`","user_id":"u","organization_id":"00D"}`)
		default:
			w.WriteHeader(200)
		}
	})
	p, err := ClientCredentials(org, s.credentials()).Verify(t.Context(), nil)
	if text := fmt.Sprintf("%+v", p); strings.Contains(text, token) || strings.Contains(text, s.credentials().Secret.Reveal()) {
		t.Error("leaked:", text, err)
	}
}

func TestTheRefreshTokenIsRevokedToo(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{})
	var revoked []string
	org := s.front(func(w http.ResponseWriter, r *http.Request, b []byte, pass func()) {
		f, _ := url.ParseQuery(string(b))
		switch {
		case strings.HasSuffix(r.URL.Path, "/token"):
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"access_token":"00Dxx!A","token_type":"Bearer","refresh_token":"5AepREFRESH","scope":"api refresh_token"}`)
		case strings.HasSuffix(r.URL.Path, "/userinfo"):
			io.WriteString(w, `{"preferred_username":"a","user_id":"u","organization_id":"00D"}`)
		case strings.HasSuffix(r.URL.Path, "/revoke"):
			revoked = append(revoked, f.Get("token"))
		}
	})
	w := "http://localhost:1/cb"
	p, err := Code(org, s.credentials(), w, "code", "verifier").Verify(t.Context(), nil)
	if !strings.Contains(strings.Join(revoked, " "), "5AepREFRESH") {
		t.Errorf("revoked %q only, and says %+v %v: the refresh token lives on", revoked, p, err)
	}
}
