package consumer

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

func init() {
	for i := range secretWaits {
		secretWaits[i] = time.Millisecond
	}
}

const (
	admin = "admin@example.com"
	robot = "robot@example.com"
	gone  = "gone@example.com"
)

// stage is an org with an app, and a client of it.
type stage struct {
	*simorg.Server
	t *testing.T
	*Client
}

// start returns an org with the app App, whose consumer takes client credentials as robot.
func start(t *testing.T, config simorg.Config) *stage {
	t.Helper()
	config.Users = append(config.Users, simorg.User{Username: robot}, simorg.User{Username: gone, Inactive: true})
	config.PermissionSets = append(config.PermissionSets, "Integration", "Other")
	s := &stage{Server: simorg.Start(config), t: t}
	t.Cleanup(s.Close)
	s.Client = &Client{Conn: s.conn()}
	s.put(eca.Header, "App", "label", "App", "contactEmail", "a@example.com", "distributionState", "Local")
	s.put(eca.OAuthSettings, "App_oauth", "externalClientApplication", "App", "label", "App", "commaSeparatedOauthScopes", "Api, RefreshToken")
	s.global()
	s.put(eca.PluginPolicies, "App_plcy", "externalClientApplication", "App", "label", "App", "isEnabled", "true", "isOauthPluginEnabled", "true")
	s.policies("isClientCredentialsFlowEnabled", "true", "clientCredentialsFlowUser", robot)
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

func (s *stage) main() simorg.Pair { return s.Pairs("App")[0] }

func on(config simorg.Config) simorg.Config {
	config.SecretsInREST = true
	return config
}

func TestCredentialsAreReadInTwoRounds(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]simorg.Config{"": {}, "the secret comes later": {SecretDelay: 2}, "no dates": {NoCreatedDate: true}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, config)
			if err := s.SetAccess(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			found, err := s.Find(t.Context(), "app")
			if err != nil {
				t.Fatal(err)
			}
			pair, err := s.Credentials(t.Context(), found)
			if want := s.main(); err != nil || pair.Key != want.Key || pair.Secret.Reveal() != want.Secret || found.App != "App" {
				t.Errorf("got %+v of %+v, %v; want the key %s", pair, found, err, want.Key)
			}
			if found.Young(time.Now()) == config.NoCreatedDate || found.Young(time.Now().Add(MaxPropagation)) {
				t.Errorf("made at %s, and young: %t", found.Made, found.Young(time.Now()))
			}
			key, err := s.Key(t.Context(), "App")
			if err != nil || key != s.main().Key {
				t.Errorf("the key alone is %s, %v; want %s", key, err, s.main().Key)
			}
		})
	}
}

func TestWhatKeepsCredentialsFromBeingRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		config simorg.Config
		app    string
		before func(*stage)
		is     func(error) bool
	}{
		{"the setting is off", simorg.Config{}, "App", nil, func(err error) bool {
			e, ok := errors.AsType[*AccessError](err)
			return ok && e.Setting
		}},
		{"the setting is off, and keys are shown", simorg.Config{KeysAlways: true}, "App", nil, func(err error) bool {
			e, ok := errors.AsType[*AccessError](err)
			return ok && e.Setting
		}},
		{"no right, as 403", on(simorg.Config{NoSecretRight: 403}), "App", nil, func(err error) bool {
			e, ok := errors.AsType[*AccessError](err)
			return ok && !e.Setting
		}},
		{"no right, as 400", on(simorg.Config{NoSecretRight: 400}), "App", nil, func(err error) bool {
			e, ok := errors.AsType[*AccessError](err)
			return ok && !e.Setting
		}},
		{"no such app", on(simorg.Config{}), "Ap", nil, func(err error) bool {
			e, ok := errors.AsType[*apps.NotFoundError](err)
			return ok && strings.Join(e.Similar, "") == "App"
		}},
		{"no consumer", on(simorg.Config{}), "Bare", func(s *stage) {
			s.put(eca.Header, "Bare", "label", "Bare", "contactEmail", "a@example.com", "distributionState", "Local")
		}, func(err error) bool {
			return errors.As(err, new(*apps.NoOAuthError))
		}},
		{"the secret never comes", simorg.Config{SecretDelay: 100}, "App", func(s *stage) {
			if err := s.SetAccess(s.t.Context(), true); err != nil {
				s.t.Fatal(err)
			}
		}, func(err error) bool { return errors.As(err, new(*NoSecretError)) }},
		{"an API version before the resources", on(simorg.Config{}), "App", func(s *stage) { s.Conn.Version = 59 }, func(err error) bool {
			return err != nil && strings.Contains(err.Error(), "from API version 60.0")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, test.config)
			if test.before != nil {
				test.before(s)
			}
			found, err := s.Find(t.Context(), test.app)
			if err == nil {
				_, err = s.Credentials(t.Context(), found)
			}
			if !test.is(err) {
				t.Errorf("got %v (%T)", err, err)
			}
		})
	}
}

// several answers a list of consumers in the place of an org.
type several struct{ http.RoundTripper }

func (s several) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil && strings.Count(r.URL.Path, "/") == 7 && strings.Contains(r.URL.Path, "/credentials/") {
		resp.Body.Close()
		resp.Body = http.NoBody
		resp.ContentLength = -1
		resp.Body = body(`{"consumers":[{"id":"888000000000001AAA"},{"id":"888000000000002AAA"}]}`)
	}
	return resp, err
}

func body(text string) interface {
	Read([]byte) (int, error)
	Close() error
} {
	return struct {
		*strings.Reader
		closer
	}{strings.NewReader(text), closer{}}
}

type closer struct{}

func (closer) Close() error { return nil }

func TestSeveralConsumersAreNotGuessedAt(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	s.Conn.HTTPClient = &http.Client{Transport: several{http.DefaultTransport}}
	found, err := s.Find(t.Context(), "App")
	if err == nil {
		_, err = s.Credentials(t.Context(), found)
	}
	if !errors.As(err, new(*SeveralError)) {
		t.Errorf("got %v, want a *SeveralError", err)
	}
}

func TestAccessIsSwitchedOnAndOff(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{})
	for _, want := range []bool{true, false} {
		if err := s.SetAccess(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Access(t.Context()); err != nil || got != want {
			t.Errorf("the setting is %t, %v; want %t", got, err, want)
		}
	}
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
			return ClientCredentials(s.URL, Pair{s.main().Key, salesforce.NewSecret(s.main().Secret)})
		}},
		{"client credentials of a pre-authorised user", robot, "api", func(s *stage) *Login {
			s.preAuthorise(true)
			return ClientCredentials(s.URL, Pair{s.main().Key, salesforce.NewSecret(s.main().Secret)})
		}},
		{"JWT with a key in PKCS#1", robot, "api", func(s *stage) *Login {
			s.global("certificate", certificate1)
			s.preAuthorise(true)
			return JWT(s.URL, s.main().Key, key1, robot)
		}},
		{"JWT with a key in PKCS#8", robot, "api", func(s *stage) *Login {
			s.global("certificate", certificate8)
			s.preAuthorise(true)
			return JWT(s.URL+"/", s.main().Key, key8, robot)
		}},
		{"authorization code", admin, "api refresh_token", func(s *stage) *Login {
			verifier := oauth2.GenerateVerifier()
			code := authorize(s, AuthorizeURL(s.URL, s.main().Key, "https://app.example.com/callback", "state", verifier))
			return Code(s.URL, Pair{s.main().Key, salesforce.NewSecret(s.main().Secret)}, "https://app.example.com/callback", code.Get("code"), verifier)
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
		return ClientCredentials(s.URL, Pair{s.main().Key, salesforce.NewSecret(s.main().Secret)})
	}
	jwt := func(s *stage) *Login {
		s.global("certificate", certificate)
		return JWT(s.URL, s.main().Key, key, robot)
	}
	met := make(map[string]bool)
	for _, test := range []struct {
		name   string
		config simorg.Config
		login  func(*stage) *Login
		says   string
		cause  Cause
	}{
		{"unknown key", simorg.Config{}, func(s *stage) *Login { return ClientCredentials(s.URL, Pair{Key: "3MVG9nobody"}) }, "client identifier invalid", UnknownConsumer},
		{"not known yet", simorg.Config{Propagation: time.Hour}, credentials, "client identifier invalid", UnknownConsumer},
		{"wrong secret", simorg.Config{}, func(s *stage) *Login {
			return ClientCredentials(s.URL, Pair{s.main().Key, salesforce.NewSecret("wrong")})
		}, "invalid client credentials", OtherCause},
		{"no run-as user", simorg.Config{}, func(s *stage) *Login {
			s.put(eca.OAuthPolicies, "App_oauthPlcy", "externalClientApplication", "App", "label", "App", "isClientCredentialsFlowEnabled", "true", "clientCredentialsFlowUser", robot)
			return credentials(s)
		}, "", OtherCause},
		{"flow off", simorg.Config{}, func(s *stage) *Login { s.policies("isClientCredentialsFlowEnabled", "false"); return credentials(s) }, "client credentials flow not enabled", FlowOff},
		{"another domain", simorg.Config{}, func(s *stage) *Login {
			login := credentials(s)
			return ClientCredentials(strings.Replace(login.BaseURL, "127.0.0.1", "localhost", 1), Pair{s.main().Key, salesforce.NewSecret(s.main().Secret)})
		}, "request not supported on this domain", OtherCause},
		{"not pre-authorised", simorg.Config{}, func(s *stage) *Login { s.preAuthorise(false); return credentials(s) }, "user is not admin approved to access this app", NotAuthorised},
		{"JWT, everybody may authorise himself", simorg.Config{}, jwt, "user hasn't approved this consumer", NotApproved},
		{"JWT without the scope", simorg.Config{}, func(s *stage) *Login {
			s.put(eca.OAuthSettings, "App_oauth", "externalClientApplication", "App", "label", "App", "commaSeparatedOauthScopes", "Api")
			s.preAuthorise(true)
			return jwt(s)
		}, "refresh_token scope is required", NoRefreshScope},
		{"JWT by another key", simorg.Config{}, func(s *stage) *Login {
			jwt(s)
			return JWT(s.URL, s.main().Key, other, robot)
		}, "invalid assertion", WrongAssertion},
		{"JWT of an inactive user", simorg.Config{}, func(s *stage) *Login {
			s.preAuthorise(true)
			jwt(s)
			return JWT(s.URL, s.main().Key, key, gone)
		}, "user is inactive", InactiveUser},
		{"address", simorg.Config{IPRestricted: true}, credentials, "ip restricted", OtherCause},
		{"locked org", simorg.Config{Locked: true}, credentials, "org is locked, closed, or suspended", OtherCause},
		{"wrong verifier", simorg.Config{}, func(s *stage) *Login {
			got := authorize(s, AuthorizeURL(s.URL, s.main().Key, "https://app.example.com/callback", "state", oauth2.GenerateVerifier()))
			return Code(s.URL, Pair{s.main().Key, salesforce.NewSecret(s.main().Secret)}, "https://app.example.com/callback", got.Get("code"), oauth2.GenerateVerifier())
		}, "invalid code verifier", OtherCause},
		{"another redirect", simorg.Config{}, func(s *stage) *Login {
			verifier := oauth2.GenerateVerifier()
			got := authorize(s, AuthorizeURL(s.URL, s.main().Key, "https://app.example.com/callback", "state", verifier))
			return Code(s.URL, Pair{s.main().Key, salesforce.NewSecret(s.main().Secret)}, "https://else.example.com/", got.Get("code"), verifier)
		}, "redirect_uri must match", OtherCause},
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
			why, known := Explain(err)
			if !known || why.Cause != test.cause || why.Means == "" || why.Fix == "" {
				t.Errorf("%v is explained as %+v, want %s", err, why, test.cause)
			}
			met[why.Code+" "+why.Description] = true
		})
	}
	// What this org never says is explained all the same.
	for _, r := range Refusals() {
		err := &salesforce.TokenRefusal{Host: "x", Code: r.Code, Description: strings.ToUpper(r.Description[:min(1, len(r.Description))]) + r.Description[min(1, len(r.Description)):]}
		if got, ok := Explain(fmt.Errorf("wrapped: %w", err)); !ok || got.Means != r.Means {
			t.Errorf("%v is explained as %+v, want %s", err, got, r.Means)
		}
	}
	if _, ok := Explain(&salesforce.TokenRefusal{Code: "invalid_grant", Description: "something new"}); ok {
		t.Error("a refusal that is not known is explained")
	}
	if len(met) < 12 {
		t.Errorf("only %d refusals were met: %v", len(met), met)
	}
}

func TestWaitingBridgesPropagation(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{Propagation: 1500 * time.Millisecond})
	login := ClientCredentials(s.URL, Pair{s.main().Key, salesforce.NewSecret(s.main().Secret)})
	if _, err := login.VerifyWaiting(t.Context(), nil, 0, nil); !IsNotYetKnown(err) {
		t.Errorf("without waiting got %v, want a refusal of what is not known yet", err)
	}
	waits := 0
	if _, err := login.VerifyWaiting(t.Context(), nil, time.Minute, func(string) { waits++ }); err != nil || waits != 1 {
		t.Errorf("got %v after %d waits, want a login after one", err, waits)
	}
	s.Inject(simorg.Fault{Fits: func(r simorg.Request) bool { return true }, Status: 400, Body: `{"error":"inactive_org","error_description":"org is locked, closed, or suspended"}`})
	waits = 0
	if _, err := login.VerifyWaiting(t.Context(), nil, time.Minute, func(string) { waits++ }); err == nil || waits != 0 {
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
		proof, err := ClientCredentials(s.URL, Pair{s.main().Key, salesforce.NewSecret(s.main().Secret)}).Verify(ctx, nil)
		if err == nil || proof == nil || !proof.Revoked {
			t.Errorf("got %+v, %v; want an error and a revoked token", proof, err)
		}
	}
}
