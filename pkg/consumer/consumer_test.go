package consumer

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

func init() {
	secretPolling = salesforce.Polling{Limit: 200 * time.Millisecond, First: time.Millisecond}
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

// start returns an org with the app App, whose consumer has the client credentials flow as robot.
func start(t *testing.T, config simorg.Config) *stage {
	t.Helper()
	config.Users = append(config.Users, simorg.User{Username: robot}, simorg.User{Username: gone, Inactive: true})
	config.PermissionSets = append(config.PermissionSets, "Integration", "Other")
	s := &stage{Server: simorgtest.Start(t, config), t: t}
	s.Client = &Client{Conn: s.conn()}
	if err := s.Deploy(os.DirFS("../login/testdata/app"), "."); err != nil {
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

func (s *stage) policies(fields ...string) {
	s.t.Helper()
	s.put(eca.OAuthPolicies, "App_oauthPlcy", append([]string{"externalClientApplication", "App", "label", "App"}, fields...)...)
}

func (s *stage) main() simorg.Pair { return s.Pairs("App")[0] }

func on(config simorg.Config) simorg.Config {
	config.SecretsInREST = true
	return config
}

func TestCredentialsAreReadInTwoRounds(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]simorg.Config{"": {}, "the secret comes later": {Facts: platform.Answers{"secret-after-setting": "later"}}, "no dates": {Facts: platform.Answers{"settings-created-date": "no"}}} {
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
			if found.Young(time.Now()) == config.Facts.Is("settings-created-date", "no") || found.Young(time.Now().Add(login.MaxPropagation)) {
				t.Errorf("made at %s, and young: %t", found.Created, found.Young(time.Now()))
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
		{"the setting is off, and keys are shown", simorg.Config{Facts: platform.Answers{"key-without-setting": "answered"}}, "App", nil, func(err error) bool {
			e, ok := errors.AsType[*AccessError](err)
			return ok && e.Setting
		}},
		{"no right, as 403", on(simorg.Config{Withdrawn: []string{"ViewClientSecret"}}), "App", nil, func(err error) bool {
			e, ok := errors.AsType[*AccessError](err)
			return ok && !e.Setting
		}},
		{"no right, as 400", on(simorg.Config{Withdrawn: []string{"ViewClientSecret"}, Facts: platform.Answers{"no-right-status": "400"}}), "App", nil, func(err error) bool {
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
		{"the secret never comes", simorg.Config{SecretDelay: 100, Facts: platform.Answers{"secret-after-setting": "later"}}, "App", func(s *stage) {
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
