package login

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// TestDiagnose: the org names the cause of a refusal, and nothing is concluded without an answer.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	key, certificate := rsaPair(t, false)
	other, _ := rsaPair(t, false)
	refused := func(code, description string) error {
		return &salesforce.TokenRefusal{Host: "x", Code: code, Description: description}
	}
	unknownKey := refused("invalid_client_id", "client identifier invalid")
	off := refused("invalid_grant", "client credentials flow not enabled")
	locked := refused("invalid_app_access", "user is not admin approved to access this app")
	assertion := refused("invalid_grant", "invalid assertion")
	approval := refused("invalid_grant", "user hasn't approved this consumer")
	young := time.Now().Add(-5 * time.Minute)
	for _, test := range []struct {
		name    string
		prepare func(*stage)
		refusal error
		attempt Attempt
		want    refusal.Cause
		found   bool
	}{
		{"new consumer", nil, unknownKey, Attempt{Created: young}, refusal.NewConsumer, true},
		{"old consumer", nil, unknownKey, Attempt{Created: time.Now().Add(-time.Hour)}, refusal.UnknownConsumer, false},
		{"unknown age", nil, unknownKey, Attempt{}, refusal.NewConsumer, false},
		{"app off", func(s *stage) {
			s.put(eca.PluginPolicies, "App_plcy", "externalClientApplication", "App", "label", "App", "isEnabled", "false", "isOauthPluginEnabled", "true")
		}, unknownKey, Attempt{Created: young}, refusal.AppOff, true},
		{"flow on", nil, off, Attempt{}, refusal.OtherCause, false},
		{"flow off in the policies", func(s *stage) { s.policies("isClientCredentialsFlowEnabled", "false") }, off, Attempt{}, refusal.PoliciesFlowOff, true},
		{"flow off in the settings", func(s *stage) { s.global("isClientCredentialsFlowEnabled", "false") }, off, Attempt{}, refusal.FlowOff, true},
		{"no grant", func(s *stage) { s.preAuthorise(false) }, locked, Attempt{}, refusal.NoGrant, true},
		{"grant without assignment", func(s *stage) { s.preAuthorise(true) }, locked, Attempt{Username: admin}, refusal.NotAssigned, true},
		{"a profile of the policies", func(s *stage) {
			s.policies("isClientCredentialsFlowEnabled", "true", "clientCredentialsFlowUser", robot, "permittedUsersPolicyType", "AdminApprovedPreAuthorized", "commaSeparatedProfile", "Standard User")
		}, locked, Attempt{Username: admin}, refusal.NoGrant, false},
		{"no such user, new consumer", func(s *stage) { s.preAuthorise(true) }, approval, Attempt{Username: "typo@example.com", Created: young}, refusal.UnknownUser, true},
		{"inactive user, new consumer", func(s *stage) { s.preAuthorise(true) }, approval, Attempt{Username: gone, Created: young}, refusal.InactiveUser, true},
		{"not pre-authorised, new consumer", func(s *stage) { s.preAuthorise(true) }, approval, Attempt{Username: admin, Created: young}, refusal.NotAssigned, true},
		{"everybody authorises, new consumer", nil, approval, Attempt{Username: robot, Created: young}, refusal.NotApproved, true},
		{"all in order, new consumer", func(s *stage) { s.preAuthorise(true) }, approval, Attempt{Username: robot, Created: young}, refusal.NewConsumer, true},
		{"all in order, old consumer", func(s *stage) { s.preAuthorise(true) }, approval, Attempt{Username: robot, Created: young.Add(-time.Hour)}, refusal.OtherCause, false},
		{"inactive run-as user", nil, refused("inactive_user", "user is inactive"), Attempt{Username: gone}, refusal.InactiveUser, true},
		{"no certificate", nil, assertion, Attempt{Key: key, Username: robot}, refusal.NoCertificate, true},
		{"right key", func(s *stage) { s.global("certificate", certificate) }, assertion, Attempt{Key: key, Username: robot}, refusal.WrongAssertion, false},
		{"wrong key", func(s *stage) { s.global("certificate", certificate) }, assertion, Attempt{Key: other, Username: robot}, refusal.OtherCertificate, true},
		{"anything else", nil, refused("invalid_grant", "ip restricted"), Attempt{}, refusal.IPRestricted, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, simorg.Config{})
			if test.prepare != nil {
				test.prepare(s)
			}
			test.attempt.App = "App"
			got := Look(t.Context(), s.conn(), test.attempt).Diagnose(test.refusal)
			if got == nil || got.Cause != test.want || got.Found != test.found || !errors.Is(got, test.refusal) {
				t.Errorf("got %+v, want %s", got, test.want)
			}
			s.Close()
			if got := Look(t.Context(), s.conn(), Attempt{App: "App", Username: test.attempt.Username}).Diagnose(test.refusal); got.Found {
				t.Errorf("without a network, the org shows %s", got.Cause)
			}
		})
	}
	if got := new(State).Diagnose(errors.New("else")); got != nil {
		t.Errorf("an error that is no refusal: %v", got)
	}
}

func TestNoPoliciesYet(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{})
	s.put(eca.Header, "Bare", "label", "Bare", "contactEmail", "a@example.com", "distributionState", "Local")
	off := &salesforce.TokenRefusal{Code: "invalid_grant", Description: "client credentials flow not enabled"}
	if got := Look(t.Context(), s.conn(), Attempt{App: "Bare"}).Diagnose(off); got.Cause != refusal.NoPolicies {
		t.Errorf("got %+v", got)
	}
}

// TestMadeFor: the settings show the flow of an app. The policies alone turn no public client into another.
func TestMadeFor(t *testing.T) {
	t.Parallel()
	global := func(fields ...string) *metadata.Component {
		stated := make(metadata.Fields)
		for i := 0; i < len(fields); i += 2 {
			stated.Set(fields[i], fields[i+1])
		}
		return metadata.New(eca.GlobalOAuthSettings, "App_glbloauth", stated)
	}
	stated := make(metadata.Fields)
	stated.Set("isClientCredentialsFlowEnabled", "true")
	on := metadata.New(eca.OAuthPolicies, "App_oauthPlcy", stated)
	for _, test := range []struct {
		name  string
		state State
		want  Flow
	}{
		{"nothing known", State{}, ByClientCredentials},
		{"server", State{Global: global("isClientCredentialsFlowEnabled", "true", "isPkceRequired", "true")}, ByClientCredentials},
		{"server, flow off by mistake", State{Global: global("isPkceRequired", "false")}, ByClientCredentials},
		{"ci", State{Global: global("certificate", "MII")}, ByJWT},
		{"web", State{Global: global("isPkceRequired", "true")}, ByCode},
		{"web, policies on", State{Global: global("isPkceRequired", "true"), Policies: on}, ByClientCredentials},
		{"spa, policies on", State{Global: global("isConsumerSecretOptional", "true"), Policies: on}, ByCode},
		{"mcp, policies on", State{Global: global("isNamedUserJwtEnabled", "true"), Policies: on}, ByCode},
	} {
		if got := test.state.MadeFor(); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
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
