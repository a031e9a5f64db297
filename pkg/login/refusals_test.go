package login

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

const callback = "https://app.example.com/callback"

// post sends a form to the token endpoint and returns its refusal.
func (s *stage) post(form url.Values) error {
	s.t.Helper()
	resp, err := http.PostForm(s.URL+"/services/oauth2/token", form)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		s.t.Fatal(err)
	}
	return &salesforce.TokenRefusal{Host: "x", Code: answer.Code, Description: answer.Description}
}

// page opens the authorize page with other parameters than AuthorizeURL and returns the refusal in the address of
// the next page.
func (s *stage) page(key string, change url.Values) error {
	s.t.Helper()
	u, err := url.Parse(AuthorizeURL(s.URL, key, callback, "state", oauth2.GenerateVerifier()))
	if err != nil {
		s.t.Fatal(err)
	}
	q := u.Query()
	for name, values := range change {
		q[name] = values
	}
	u.RawQuery = q.Encode()
	got := authorize(s, u.String())
	return &salesforce.TokenRefusal{Host: "x", Code: got.Get("error"), Description: got.Get("error_description")}
}

// assert sends an assertion of the JWT bearer flow for an audience, with the time of its end.
func (s *stage) assert(key *rsa.PrivateKey, audience string, end time.Time) error {
	s.t.Helper()
	claims, err := json.Marshal(map[string]any{"iss": s.credentials().Key, "sub": robot, "aud": audience, "exp": end.Unix()})
	if err != nil {
		s.t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	assertion := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims)
	sum := sha256.Sum256([]byte(assertion))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		s.t.Fatal(err)
	}
	return s.post(url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion + "." + encode(signature)}})
}

// foreign returns an org that shares keys with one that has the app App, and the key of that.
func foreign(t *testing.T, packaged bool) (s *stage, key string) {
	keys := new(simorg.Keys)
	home := start(t, simorg.Config{Keys: keys})
	state := "Local"
	if packaged {
		state = "Packaged"
	}
	home.put(eca.Header, "App", "label", "App", "contactEmail", "a@example.com", "distributionState", state)
	return &stage{Server: simorgtest.Start(t, simorg.Config{Keys: keys}), t: t}, home.credentials().Key
}

// TestTheOrgSaysEachRefusal takes each row of the table from the simulated org. A row that it never says fails.
func TestTheOrgSaysEachRefusal(t *testing.T) {
	t.Parallel()
	secret, certificate := rsaPair(t, false)
	key, err := ParseKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	login := func(change func(*stage)) func(*stage) error {
		return func(s *stage) error {
			if change != nil {
				change(s)
			}
			_, err := ClientCredentials(s.URL, s.credentials()).Verify(s.t.Context(), nil)
			return err
		}
	}
	jwt := func(change func(*stage)) func(*stage) error {
		return func(s *stage) error {
			s.global("certificate", certificate)
			s.preAuthorise(true)
			if change != nil {
				change(s)
			}
			_, err := JWT(s.URL, s.credentials().Key, secret, robot).Verify(s.t.Context(), nil)
			return err
		}
	}
	soap := func(s *stage, conn *salesforce.Conn) error {
		_, err := apps.List(s.t.Context(), conn, []string{eca.Header})
		return err
	}
	met := make(map[string]bool)
	row := func(r refusal.Refusal) string { return fmt.Sprintf("%s %q %q", r.Where, r.Code, r.Description) }
	for name, test := range map[string]struct {
		config simorg.Config
		take   func(*stage) error
	}{
		"unknown key": {take: func(s *stage) error {
			_, err := ClientCredentials(s.URL, Credentials{Key: "3MVG9nobody"}).Verify(s.t.Context(), nil)
			return err
		}},
		"wrong secret": {take: func(s *stage) error {
			wrong := Credentials{s.credentials().Key, salesforce.NewSecret("wrong")}
			_, err := ClientCredentials(s.URL, wrong).Verify(s.t.Context(), nil)
			return err
		}},
		"no such run-as user": {take: login(func(s *stage) {
			s.policies("isClientCredentialsFlowEnabled", "true", "clientCredentialsFlowUser", robot)
			s.Rename(robot, robot+".uat")
		})},
		"flow off": {take: login(func(s *stage) { s.policies("isClientCredentialsFlowEnabled", "false") })},
		"login host": {take: func(s *stage) error {
			_, err := ClientCredentials(strings.Replace(s.URL, "127.0.0.1", "localhost", 1), s.credentials()).Verify(s.t.Context(), nil)
			return err
		}},
		"a scope": {take: func(s *stage) error {
			return s.post(url.Values{"grant_type": {"client_credentials"}, "client_id": {s.credentials().Key}, "scope": {"api"}})
		}},
		"not pre-authorised": {take: login(func(s *stage) { s.preAuthorise(false) })},
		"JWT, not approved":  {take: jwt(func(s *stage) { s.policies("permittedUsersPolicyType", "AllSelfAuthorized") })},
		"JWT without the scope": {take: jwt(func(s *stage) {
			s.put(eca.OAuthSettings, "App_oauth", "externalClientApplication", "App", "label", "App", "commaSeparatedOauthScopes", "Api")
		})},
		"JWT for somebody else": {take: func(s *stage) error {
			s.global("certificate", certificate)
			return s.assert(key, "https://acme.example.com", time.Now().Add(time.Minute))
		}},
		"JWT without a certificate": {take: jwt(func(s *stage) { s.global() })},
		"old JWT": {take: func(s *stage) error {
			s.global("certificate", certificate)
			return s.assert(key, s.URL, time.Now().Add(-time.Hour))
		}},
		"JWT at the login host": {take: func(s *stage) error {
			s.global("certificate", certificate)
			_, err := JWT(strings.Replace(s.URL, "127.0.0.1", "localhost", 1), s.credentials().Key, secret, robot).Verify(s.t.Context(), nil)
			return err
		}},
		"IP address":    {simorg.Config{IPRestricted: true}, login(nil)},
		"locked org":    {simorg.Config{Locked: true}, login(nil)},
		"inactive user": {take: login(func(s *stage) { s.Deactivate(robot) })},
		"spent refresh token": {take: func(s *stage) error {
			form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"5Aep861none"}, "client_id": {s.credentials().Key}}
			form.Set("client_secret", s.credentials().Secret.Reveal())
			return s.post(form)
		}},
		"another verifier": {take: func(s *stage) error {
			got := authorize(s, AuthorizeURL(s.URL, s.credentials().Key, callback, "state", oauth2.GenerateVerifier()))
			_, err := Code(s.URL, s.credentials(), callback, got.Get("code"), oauth2.GenerateVerifier()).Verify(s.t.Context(), nil)
			return err
		}},
		"another flow": {take: func(s *stage) error { return s.post(url.Values{"grant_type": {"password"}}) }},
		"another redirect URL": {take: func(s *stage) error {
			got := authorize(s, AuthorizeURL(s.URL, s.credentials().Key, callback, "state", "verifier"))
			_, err := Code(s.URL, s.credentials(), "https://else.example.com/", got.Get("code"), "verifier").Verify(s.t.Context(), nil)
			return err
		}},
		"no challenge": {take: func(s *stage) error {
			s.global("isPkceRequired", "true")
			return s.page(s.credentials().Key, url.Values{"code_challenge": {""}})
		}},
		"a scope that the app lacks": {take: func(s *stage) error { return s.page(s.credentials().Key, url.Values{"scope": {"full"}}) }},
		"page, not pre-authorised": {take: func(s *stage) error {
			s.preAuthorise(true)
			return s.page(s.credentials().Key, nil)
		}},
		"page, not pre-authorised, generic": {simorg.Config{Facts: platform.Answers{"authorize-refusal": "generic"}}, func(s *stage) error {
			s.preAuthorise(true)
			return s.page(s.credentials().Key, nil)
		}},
		"blocked app": {simorg.Config{Blocked: []string{"App"}}, func(s *stage) error { return s.page(s.credentials().Key, nil) }},
		"Packaged app of another org": {take: func(s *stage) error {
			org, key := foreign(s.t, true)
			return org.page(key, nil)
		}},
		"Local app of another org": {take: func(s *stage) error {
			org, key := foreign(s.t, false)
			return org.page(key, nil)
		}},
		"JWT-based session in SOAP 67.0": {take: func(s *stage) error {
			s.global("isNamedUserJwtEnabled", "true")
			session, err := ClientCredentials(s.URL, s.credentials()).Open(s.t.Context(), nil)
			if err != nil {
				return err
			}
			conn := session.Conn()
			conn.Version = 67
			if err = soap(s, conn); DiagnoseSession(err).Cause != refusal.NotForSOAP {
				s.t.Errorf("%v has another cause", err)
			}
			return err
		}},
		"IP policy, SOAP": {simorg.Config{SessionsRefused: true}, func(s *stage) error {
			err := soap(s, s.conn())
			if DiagnoseSession(err).Cause != refusal.SessionRestricted {
				s.t.Errorf("%v has another cause", err)
			}
			return err
		}},
		"IP policy, REST": {simorg.Config{SessionsRefused: true}, func(s *stage) error {
			_, err := (&restapi.Client{Conn: s.conn()}).Organization(s.t.Context())
			return err
		}},
		"ended session, SOAP": {take: func(s *stage) error {
			conn := s.conn()
			s.ExpireSessions()
			return soap(s, conn)
		}},
		"ended session, userinfo": {take: func(s *stage) error {
			conn := s.conn()
			s.ExpireSessions()
			_, err := (&restapi.Client{Conn: conn}).UserInfo(s.t.Context())
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			config := test.config
			var s *stage
			if config.SessionsRefused { // nothing can be deployed then
				s = &stage{Server: simorgtest.Start(t, config), t: t}
			} else {
				s = start(t, config)
			}
			err := test.take(s)
			refused, isLogin := errors.AsType[*salesforce.TokenRefusal](err)
			answer, isSession := errors.AsType[*salesforce.Error](err)
			why, known := Explain(err)
			switch {
			case !isLogin && !isSession || !known:
				t.Fatalf("%v is not a known refusal", err)
			case isLogin && !strings.Contains(refused.Description, why.Description):
				t.Errorf("the answer is %q, and the table has %q", refused.Description, why.Description)
			case isSession && !strings.Contains(answer.Message, why.Description):
				t.Errorf("the answer is %q, and the table has %q", answer.Message, why.Description)
			}
			met[row(why)] = true
		})
	}
	for _, r := range refusal.Refusals() {
		if !met[row(r)] {
			t.Errorf("the simulated org never says %s", row(r))
		}
	}
	if _, ok := Explain(&salesforce.TokenRefusal{Code: "invalid_grant", Description: "something new"}); ok {
		t.Error("a refusal that is not known is explained")
	}
}

// TestMyDomain: the org shows that the host of a session is not its own.
func TestMyDomain(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{})
	conn := s.conn()
	conn.InstanceURL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	refused := &salesforce.TokenRefusal{Code: "invalid_grant", Description: "request not supported on this domain"}
	got := Look(t.Context(), conn, Attempt{App: "App"}).Diagnose(refused)
	if got.Cause != refusal.WrongHost || !got.Found || got.MyDomain != s.URL || got.Host == "" {
		t.Errorf("got %+v", got)
	}
	if got := Look(t.Context(), s.conn(), Attempt{App: "App"}).Diagnose(refused); got.Cause != refusal.OtherCause {
		t.Errorf("at the My Domain: %+v", got)
	}
}
