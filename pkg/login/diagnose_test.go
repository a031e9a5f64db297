package login

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// TestDiagnose: the org names the cause of a refusal.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	key, certificate := rsaPair(t, false)
	other, _ := rsaPair(t, false)
	for _, test := range []struct {
		name    string
		prepare func(*stage)
		cause   Cause
		attempt Attempt
		want    string
	}{
		{"new consumer", nil, UnknownConsumer, Attempt{Created: time.Now().Add(-5 * time.Minute)}, "made 5m0s ago"},
		{"unknown age", nil, UnknownConsumer, Attempt{}, ""},
		{"flow on", nil, FlowOff, Attempt{}, ""},
		{"flow off in the policies", func(s *stage) { s.policies("isClientCredentialsFlowEnabled", "false") }, FlowOff, Attempt{}, "is false in the OAuth policies App_oauthPlcy"},
		{"flow off in the settings", func(s *stage) { s.global("isClientCredentialsFlowEnabled", "false") }, FlowOff, Attempt{}, "is false in the global OAuth settings App_glbloauth"},
		{"no grant", func(s *stage) { s.preAuthorise(false) }, NotAuthorised, Attempt{}, "no permission set grants the app"},
		{"grant without assignment", func(s *stage) { s.preAuthorise(true) }, NotApproved, Attempt{}, "Integration grants the app: assign it to " + robot},
		{"user of the attempt", func(s *stage) { s.preAuthorise(true) }, NotAuthorised, Attempt{Username: gone}, "assign it to " + gone},
		{"inactive run-as user", nil, InactiveUser, Attempt{}, "it is " + robot},
		{"no certificate", nil, WrongAssertion, Attempt{Key: key}, "the org shows no certificate"},
		{"right key", func(s *stage) { s.global("certificate", certificate) }, WrongAssertion, Attempt{Key: key}, ""},
		{"wrong key", func(s *stage) { s.global("certificate", certificate) }, WrongAssertion, Attempt{Key: other}, "belongs to another private key"},
		{"anything else", nil, OtherCause, Attempt{}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, simorg.Config{})
			if test.prepare != nil {
				test.prepare(s)
			}
			test.attempt.App = "App"
			got := Diagnose(t.Context(), s.conn(), Refusal{Cause: test.cause}, test.attempt)
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			// Without a network, nothing is concluded.
			s.Close()
			attempt := Attempt{App: "App", Username: test.attempt.Username, Key: test.attempt.Key}
			got = Diagnose(t.Context(), s.conn(), Refusal{Cause: test.cause}, attempt)
			if attempt.Username == "" && got != "" {
				t.Errorf("without a network got %q, want nothing", got)
			}
		})
	}
}

func TestNoPoliciesYet(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{})
	s.put(eca.Header, "Bare", "label", "Bare", "contactEmail", "a@example.com", "distributionState", "Local")
	got := Diagnose(t.Context(), s.conn(), Refusal{Cause: FlowOff}, Attempt{App: "Bare"})
	if !strings.Contains(got, "has no OAuth policies on this org yet") {
		t.Errorf("got %q", got)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		key, secret string
		valid       bool
	}{
		{"3MVG9abc_.DEF", "0123ABCDEF", true}, {"3MVG9abc", "", true}, {"3MVG9 abc", "x", false}, {"3MVG9", "a\nb", false},
		{"3MVG9\x00", "a", false}, {"3MVG9", "\u00e9", false}, {"3MVG9", "\x7f", false},
	} {
		if err := (Credentials{test.key, salesforce.NewSecret(test.secret)}).Check(); (err == nil) != test.valid {
			t.Errorf("%q %q: %v", test.key, test.secret, err)
		} else if err != nil && test.secret != "" && strings.Contains(err.Error(), test.secret) && test.secret != "a" && test.secret != "x" {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
}

// TestIntrospect: the answer tells for which consumer a token was issued. The org may repeat in a refusal
// what was sent.
func TestIntrospect(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{})
	session, err := ClientCredentials(s.URL, s.credentials()).Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := Introspect(t.Context(), s.conn(), s.credentials(), session.token)
	if err != nil || !answer.Active || answer.ClientID != s.credentials().Key {
		t.Errorf("a valid token: %+v, %v", answer, err)
	}
	if err := session.Revoke(t.Context()); err != nil {
		t.Fatal(err)
	}
	if answer, err = Introspect(t.Context(), s.conn(), s.credentials(), session.token); err != nil || answer.Active {
		t.Errorf("a revoked token: %+v, %v", answer, err)
	}
	wrong := Credentials{s.credentials().Key, salesforce.NewSecret("wrongSecret")}
	if _, err = Introspect(t.Context(), s.conn(), wrong, session.token); !errors.As(err, new(*salesforce.TokenRefusal)) {
		t.Errorf("wrong credentials: %v, want a refusal", err)
	}
	org := s.front(func(w http.ResponseWriter, r *http.Request, body []byte, _ func()) {
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error":"invalid_client","error_description":"` + string(body) + `"}`))
	})
	conn := s.conn()
	conn.InstanceURL = org
	if _, err = Introspect(t.Context(), conn, wrong, session.token); err == nil || strings.Contains(err.Error(), "wrongSecret") {
		t.Errorf("a refusal that repeats the secret: %v", err)
	}
	// A busy org is asked again.
	s.Inject(simorg.Fault{Fits: func(r simorg.Request) bool { return strings.HasSuffix(r.Path, "/introspect") }, Status: 503, Body: "busy"})
	conn = s.conn()
	conn.Retry = &salesforce.Retry{Budget: time.Second, First: time.Millisecond}
	if _, err = Introspect(t.Context(), conn, s.credentials(), session.token); err != nil {
		t.Errorf("a busy org: %v", err)
	}
}
