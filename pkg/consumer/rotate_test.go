package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// readings are all answers to the questions about staged credentials.
func readings() map[string]simorg.Config {
	all := make(map[string]simorg.Config)
	for i := range 32 {
		answers := make(platform.Answers)
		for bit, fact := range []string{"second-staging", "staging-over-rotated", "staged-id-after-swap", "nothing-staged", "staged-shape"} {
			answers[fact] = platform.Lookup(fact).Answers[i>>bit&1]
		}
		all[fmt.Sprint(answers)] = on(simorg.Config{Facts: answers})
	}
	return all
}

// user is somebody who logs in with the pair that was handed over last.
type user struct {
	pair login.Credentials
	got  int
}

func (u *user) receive(_ context.Context, pair login.Credentials) error {
	u.pair = pair
	u.got++
	return nil
}

func (u *user) logsIn(s *stage) bool {
	_, err := login.ClientCredentials(s.URL, u.pair).Verify(s.t.Context(), nil)
	return err == nil
}

// tokenOf returns a token that the org issues for credentials.
func (s *stage) tokenOf(c login.Credentials) *oauth2.Token {
	s.t.Helper()
	config := &clientcredentials.Config{ClientID: c.Key, ClientSecret: c.Secret.Reveal(), TokenURL: s.URL + "/services/oauth2/token"}
	token, err := config.Token(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

func (s *stage) pair() login.Credentials {
	return login.Credentials{Key: s.main().Key, Secret: salesforce.NewSecret(s.main().Secret)}
}

// TestPackagedAppsAreNotRotated: the platform stages credentials of Local apps only. What an app has is
// still read.
func TestPackagedAppsAreNotRotated(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{SecretsInREST: true})
	s.put(eca.Header, "App", "distributionState", "Packaged")
	status, err := s.Client.Status(t.Context(), "App")
	if err != nil || status.Beside != nil || status.Main.Key != s.main().Key {
		t.Errorf("the status is %+v, %v", status, err)
	}
	_, err = (&Rotation{Client: s.Client, HandOver: new(user).receive}).Run(t.Context(), "App")
	if _, ok := errors.AsType[*NotLocalError](err); !ok || len(s.Pairs("App")) != 1 {
		t.Errorf("the rotation ends with %v and %v", err, s.Pairs("App"))
	}
}

func TestRotationEndsWithTheNewPairEverywhere(t *testing.T) {
	t.Parallel()
	for name, config := range readings() {
		for _, revoke := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, revoke %t", name, revoke), func(t *testing.T) {
				t.Parallel()
				s := start(t, config)
				old := s.pair()
				u := &user{pair: old}
				r := &Rotation{Client: s.Client, HandOver: u.receive, RevokeOld: revoke}
				o, err := r.Run(t.Context(), "App")
				if err != nil {
					t.Fatal(err)
				}
				if !o.Rotated || !o.Verified || o.Key != s.main().Key || u.pair.Key != o.Key || u.got != 1 || old.Key == o.Key {
					t.Errorf("got %+v, handed over %s %d times; want the main pair %s", o, u.pair.Key, u.got, s.main().Key)
				}
				_, err = login.ClientCredentials(s.URL, old).Verify(t.Context(), nil)
				if (err == nil) == revoke {
					t.Errorf("the old pair: %v, want that it logs in: %t", err, !revoke)
				}
				if want := len(s.Pairs("App")); revoke && want != 1 || !revoke && want != 2 {
					t.Errorf("there are %d pairs", want)
				}

				// A second run changes nothing, unless it is to end the old pair.
				before := s.Pairs("App")
				again, err := (&Rotation{Client: s.Client, HandOver: u.receive}).Run(t.Context(), "App")
				if revoke {
					return // there is no trace of the rotation, so another one begins
				}
				if err != nil || again.Rotated || !again.Verified || again.OldKey != old.Key || time.Until(again.Expires) < 29*24*time.Hour || u.got != 2 || u.pair.Key != o.Key {
					t.Errorf("the second run gives %+v, %v, handed over %d times", again, err, u.got)
				}
				if after := s.Pairs("App"); fmt.Sprint(after) != fmt.Sprint(before) {
					t.Errorf("the second run left %v, want %v", after, before)
				}
				if ended, err := (&Rotation{Client: s.Client, HandOver: u.receive, RevokeOld: true}).Run(t.Context(), "App"); err != nil || ended.OldKey != "" || len(s.Pairs("App")) != 1 {
					t.Errorf("ending the old pair gives %+v, %v, and %v", ended, err, s.Pairs("App"))
				}
			})
		}
	}
}

// TestRotationKilledAnywhereIsContinued breaks each request of a rotation in each way, ends the
// run there, and runs it again. In between, whoever got a pair can log in.
func TestRotationKilledAnywhereIsContinued(t *testing.T) {
	t.Parallel()
	faults := map[string]simorg.Fault{
		"before the org acts": {Drop: true}, "after the org acted": {Drop: true, After: true}, "busy": {Status: 503, Body: "busy"},
	}
	for name, config := range readings() {
		if testing.Short() && config.Facts.Is("staged-id-after-swap", "kept") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for kind, fault := range faults {
				for at := 0; ; at++ {
					s := start(t, config)
					u := &user{pair: s.pair()}
					var n atomic.Int64
					fault.Fits = func(simorg.Request) bool { return n.Add(1) == int64(at+1) }
					s.Inject(fault)
					staged := make(map[string]bool)
					run := func() error {
						r := &Rotation{Client: s.Client, HandOver: func(ctx context.Context, pair login.Credentials) error {
							staged[pair.Key] = true
							return u.receive(ctx, pair)
						}}
						_, err := r.Run(t.Context(), "App")
						return err
					}
					err := run()
					if n.Load() <= int64(at) {
						if err != nil {
							t.Fatalf("without a fault got %v", err)
						}
						break
					}
					if !u.logsIn(s) {
						t.Errorf("%s, request %d: after %v the pair that was handed over does not log in", kind, at, err)
					}
					if err := run(); err != nil {
						t.Errorf("%s, request %d: the next run gives %v", kind, at, err)
					}
					if !u.logsIn(s) || u.pair.Key != s.main().Key || len(s.Pairs("App")) != 2 || len(staged) != 1 {
						t.Errorf("%s, request %d: in the end the user has %s, the org %v, staged were %v", kind, at, u.pair.Key, s.Pairs("App"), staged)
					}
					s.Close()
				}
			}
		})
	}
}

func TestAHandOverThatFailsLeavesThePairStaged(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	down := errors.New("vault is sealed")
	_, err := (&Rotation{Client: s.Client, HandOver: func(context.Context, login.Credentials) error { return down }}).Run(t.Context(), "App")
	if failed, ok := errors.AsType[*HandOverError](err); !ok || !errors.Is(failed, down) {
		t.Errorf("got %v, want a *HandOverError", err)
	}
	pairs := s.Pairs("App")
	if len(pairs) != 2 || pairs[1].State != "Active" {
		t.Fatalf("the org has %v, want a staged pair", pairs)
	}
	u := &user{pair: s.pair()}
	if _, err := (&Rotation{Client: s.Client, HandOver: u.receive}).Run(t.Context(), "App"); err != nil || u.pair.Key != pairs[1].Key {
		t.Errorf("the next run gives %v and hands %s over, want the staged %s", err, u.pair.Key, pairs[1].Key)
	}
}

func TestAbortHandsTheMainPairBack(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	u := &user{pair: s.pair()}
	if there, err := s.Abort(t.Context(), "App", u.receive); there || err != nil || u.got != 0 {
		t.Errorf("with nothing staged got %t, %v", there, err)
	}
	found, err := s.Find(t.Context(), "App")
	if err != nil {
		t.Fatal(err)
	}
	staged, err := s.stage(t.Context(), found)
	if err != nil {
		t.Fatal(err)
	}
	u.pair = staged.Credentials
	if _, err := s.Abort(t.Context(), "App", func(context.Context, login.Credentials) error { return errors.New("no") }); err == nil || len(s.Pairs("App")) != 2 {
		t.Errorf("a hand-over that fails gives %v and leaves %v, want the staged pair to stay", err, s.Pairs("App"))
	}
	if there, err := s.Abort(t.Context(), "App", u.receive); !there || err != nil || len(s.Pairs("App")) != 1 || !u.logsIn(s) {
		t.Errorf("got %t, %v, %v, want the main pair with its user", there, err, s.Pairs("App"))
	}
}

func TestAConsumerDoesNotRotateItself(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	token := s.tokenOf(s.pair())
	s.Conn.Tokens = oauth2.StaticTokenSource(token)
	if _, err := (&Rotation{Client: s.Client, HandOver: (&user{}).receive}).Run(t.Context(), "App"); !errors.As(err, new(*OwnSessionError)) || len(s.Pairs("App")) != 1 {
		t.Errorf("got %v, and the org has %v; want a refusal before anything is staged", err, s.Pairs("App"))
	}
}

// TestAPairThatDoesNotLogInIsNotMadeTheMainOne: its secret is not what the endpoint knows.
func TestAPairThatDoesNotLogInIsNotMadeTheMainOne(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	s.Inject(simorg.Fault{Fits: func(r simorg.Request) bool { return strings.HasSuffix(r.Path, "/token") }, Status: 400, Body: `{"error":"invalid_client","error_description":"invalid client credentials"}`})
	before := s.main()
	if _, err := (&Rotation{Client: s.Client, HandOver: (&user{}).receive}).Run(t.Context(), "App"); err == nil || s.main() != before {
		t.Errorf("got %v, and the main pair %v, want %v", err, s.main(), before)
	}
}

// TestAnAppWithoutClientCredentialsRotates: the pair is proved in another way.
func TestAnAppWithoutClientCredentialsRotates(t *testing.T) {
	t.Parallel()
	s := start(t, on(simorg.Config{}))
	s.policies("isClientCredentialsFlowEnabled", "false")
	u := &user{pair: s.pair()}
	if o, err := (&Rotation{Client: s.Client, HandOver: u.receive}).Run(t.Context(), "App"); err != nil || !o.Rotated || u.pair.Key != s.main().Key {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestRotationTakesNineRounds(t *testing.T) {
	s := start(t, on(simorg.Config{Latency: 200 * time.Millisecond}))
	before := len(s.Requests())
	if _, err := (&Rotation{Client: s.Client, HandOver: (&user{}).receive}).Run(t.Context(), "App"); err != nil {
		t.Fatal(err)
	}
	if n := simorg.Sequential(s.Requests()[before:]); n > 9 {
		t.Errorf("the requests follow one another in %d rounds, want 9 at most", n)
	}
}
