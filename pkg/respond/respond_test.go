package respond

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// start returns an org with the users ann and bob, and the apps and tokens of testdata/org.
func start(t *testing.T, config simorg.Config) (*simorg.Server, *salesforce.Conn) {
	t.Helper()
	config.Users = []simorg.User{{Username: "ann@example.com", Profile: "Admins"}, {Username: "bob@example.com", Inactive: true}}
	config.ModifyAllData = []string{"Admins"}
	org := simorgtest.Start(t, config)
	files := os.DirFS("testdata/org")
	if err := errors.Join(org.Deploy(files, "."), org.Fill(files, ".")); err != nil {
		t.Fatal(err)
	}
	return org, &salesforce.Conn{InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
}

// counts returns the apps of an exposure with their tokens.
func counts(e *Exposure) (all []string) {
	for _, app := range e.Apps {
		text := fmt.Sprintf("%s %s %d", app.Kind, app.Name, app.Tokens)
		if app.Unclear > 0 {
			text += fmt.Sprintf(" unclear %d", app.Unclear)
		}
		all = append(all, text)
	}
	return all
}

// TestLook selects apps in each way.
func TestLook(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		Selection
		want []string
		err  string
	}{
		{"a Connected App by its label", Selection{App: "loader"}, []string{"Connected App Loader 2"}, ""},
		{"an External Client App by its name", Selection{App: "erp"}, []string{"External Client App Erp 2"}, ""},
		{"an External Client App by its label", Selection{App: "Erp Sync"}, []string{"External Client App Erp 2"}, ""},
		{"an app that is not installed", Selection{App: "Stranger"}, []string{"not installed Stranger 2"}, ""},
		{"all apps that are not installed", Selection{NotInstalled: true}, []string{"not installed Stranger 2", "not installed Loader 0 unclear 1", "not installed Twin 0 unclear 1"}, ""},
		{"one of them", Selection{NotInstalled: true, App: "stranger"}, []string{"not installed Stranger 2"}, ""},
		{"one that is installed", Selection{NotInstalled: true, App: "Erp"}, nil, "the org has no token of an app with the label Erp that is not installed"},
		{"of one user", Selection{App: "Stranger", User: "bob@example.com"}, []string{"not installed Stranger 1"}, ""},
		{"a label of two apps", Selection{App: "Twin"}, nil, "2 apps of the org have the label Twin: Connected App Twin, Connected App Twin"},
		{"no app", Selection{App: "Lader"}, nil, `the org has no app with the name or label Lader; did you mean Loader?`},
		{"nothing", Selection{}, nil, "the selection names no app"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, conn := start(t, simorg.Config{})
			e, err := Look(t.Context(), conn, test.Selection)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(counts(e), test.want) {
				t.Errorf("got %v, %v; want %v", counts(e), err, test.want)
			}
		})
	}
}

// TestTokensWithoutDates: an org that does not aggregate the dates of tokens still counts them.
func TestTokensWithoutDates(t *testing.T) {
	t.Parallel()
	_, conn := start(t, simorg.Config{Facts: platform.Answers{"token-dates-aggregate": "no"}})
	e, err := Look(t.Context(), conn, Selection{App: "Stranger"})
	if err != nil || fmt.Sprint(counts(e)) != "[not installed Stranger 2]" {
		t.Errorf("got %v, %v", e, err)
	}
}

// TestHolders shows who has access: the privileged first, with their logins through the app alone.
func TestHolders(t *testing.T) {
	t.Parallel()
	_, conn := start(t, simorg.Config{})
	e, err := Look(t.Context(), conn, Selection{App: "Stranger", Sessions: true})
	if err != nil {
		t.Fatal(err)
	}
	app := e.Apps[0]
	if app.Sessions != 1 || e.Users() != 2 || len(app.Holders) != 2 {
		t.Fatalf("got %+v", app)
	}
	ann, bob := app.Holders[0], app.Holders[1]
	if ann.Username != "ann@example.com" || !slices.Equal(ann.Privileges, []string{"ModifyAllData"}) || ann.Profile != "Admins" || ann.Inactive || ann.Tokens != 1 || ann.LastUsed.IsZero() {
		t.Errorf("ann is %+v", ann)
	}
	if len(ann.Logins) != 1 || ann.Logins[0].Count != 2 || ann.Logins[0].IP != "203.0.113.7" || ann.Logins[0].Subtype != "OauthWebServer" || ann.Logins[0].Last.Day() != 10 {
		t.Errorf("ann's logins are %+v", ann.Logins)
	}
	if bob.Username != "bob@example.com" || !bob.Inactive || len(bob.Privileges) > 0 {
		t.Errorf("bob is %+v", bob)
	}
}

// TestOwnTokens has a session that sees its own user's tokens only, which must not count as none.
func TestOwnTokens(t *testing.T) {
	t.Parallel()
	_, conn := start(t, simorg.Config{Withdrawn: []string{"CustomizeApplication"}})
	_, err := Look(t.Context(), conn, Selection{NotInstalled: true})
	if own, ok := errors.AsType[*OwnTokensError](err); !ok || own.Username != "admin@example.com" {
		t.Errorf("got %v, want an *OwnTokensError", err)
	}
}

// TestRevoke revokes the tokens of one app, of one user or of all, and no others.
func TestRevoke(t *testing.T) {
	t.Parallel()
	all := "d1 d2 d3 d4 d5 d6 d7 d8 d9"
	for _, test := range []struct {
		name string
		Selection
		left     string
		sessions int
	}{
		{"a Connected App", Selection{App: "Loader"}, "d3 d4 d5 d6 d7 d8 d9", 0},
		{"an External Client App", Selection{App: "Erp"}, "d1 d2 d3 d4 d5 d6 d7", 0},
		{"an External Client App, one user", Selection{App: "Erp", User: "ann@example.com"}, "d1 d2 d3 d4 d5 d6 d7 d9", 0},
		{"what is not installed", Selection{NotInstalled: true, Sessions: true}, "d1 d2 d5 d6 d7 d8 d9", 1},
		{"what is not installed, one user", Selection{NotInstalled: true, User: "bob@example.com", Sessions: true}, "d1 d2 d3 d5 d6 d7 d8 d9", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			org, conn := start(t, simorg.Config{})
			e, err := Look(t.Context(), conn, test.Selection)
			if err != nil {
				t.Fatal(err)
			}
			done, err := e.Revoke(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if left := tokens(t, conn); left != test.left || done.Tokens != strings.Count(all, " ")-strings.Count(left, " ") || done.Sessions != test.sessions {
				t.Errorf("%s are left, the result is %d tokens and %d sessions", left, done.Tokens, done.Sessions)
			}
			if n := org.Count(sessionObject); n != 3-test.sessions {
				t.Errorf("%d sessions are left", n)
			}
		})
	}
}

// TestRevokedBefore: an app that is not installed is known from its logins after its last token is revoked, so
// that the next run of a killed one succeeds.
func TestRevokedBefore(t *testing.T) {
	t.Parallel()
	_, conn := start(t, simorg.Config{})
	for _, want := range []string{"[not installed Stranger 2]", "[not installed Stranger 0]"} {
		e, err := Look(t.Context(), conn, Selection{App: "stranger"})
		if err != nil || fmt.Sprint(counts(e)) != want {
			t.Fatalf("got %v, %v; want %s", e, err, want)
		}
		if _, err := e.Revoke(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRevokeBreaks breaks each request of a revocation in each way. The next run completes it.
func TestRevokeBreaks(t *testing.T) {
	t.Parallel()
	for kind, fault := range map[string]simorg.Fault{"before": {Drop: true}, "after": {Drop: true, After: true}} {
		for at := int64(1); ; at++ {
			org, conn := start(t, simorg.Config{})
			var n atomic.Int64
			fault.Fits = func(simorg.Request) bool { return n.Add(1) == at }
			org.Inject(fault)
			run := func() error {
				e, err := Look(t.Context(), conn, Selection{NotInstalled: true, Sessions: true})
				if err == nil {
					_, err = e.Revoke(t.Context())
				}
				return err
			}
			err := run()
			reached := n.Swap(1<<40) >= at
			if reached {
				err = run()
			}
			if left := tokens(t, conn); err != nil || left != "d1 d2 d5 d6 d7 d8 d9" || org.Count(sessionObject) != 2 {
				t.Errorf("%s, request %d: %v, left are %s and %d sessions", kind, at, err, left, org.Count(sessionObject))
			}
			org.Close()
			if !reached {
				break
			}
		}
	}
}

// TestRemain has an org on which users log in again at once.
func TestRemain(t *testing.T) {
	t.Parallel()
	org, conn := start(t, simorg.Config{})
	e, err := Look(t.Context(), conn, Selection{App: "Stranger"})
	if err != nil {
		t.Fatal(err)
	}
	org.Inject(simorg.Fault{Status: 200, Body: "", Fits: func(r simorg.Request) bool { return strings.HasSuffix(r.Path, "/revoke") }})
	_, err = e.Revoke(t.Context())
	if left, ok := errors.AsType[*RemainError](err); !ok || left.Tokens == 0 {
		t.Errorf("got %v, want a *RemainError", err)
	}
}

const sessionObject = "AuthSession"

// tokens returns the delete tokens of the org.
func tokens(t *testing.T, conn *salesforce.Conn) string {
	t.Helper()
	found, err := restapi.Query[struct{ DeleteToken string }](t.Context(), &restapi.Client{Conn: conn}, "SELECT DeleteToken FROM OauthToken")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, row := range found {
		all = append(all, row.DeleteToken)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// TestSwitch switches apps off and on, each with and without plugin policies of another name.
func TestSwitch(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "Erp_plcy", "Erp_defaultPolicy"} {
		org, conn := start(t, simorg.Config{})
		if name != "" {
			stated := metadata.Stated("externalClientApplication", "Erp", "isEnabled", "true", "isOauthPluginEnabled", "true", "isPushPluginEnabled", "false", "label", "x")
			if _, err := (&mdapi.Client{Conn: conn}).Upsert(t.Context(), []*metadata.Component{metadata.New(eca.PluginPolicies, name, stated)}); err != nil {
				t.Fatal(err)
			}
		}
		dry, err := Switch(t.Context(), conn, "erp", false, true)
		if err != nil || !dry.Changed || len(org.Components(eca.PluginPolicies)) > 0 && org.Components(eca.PluginPolicies)[0].Fields["isEnabled"] != "true" {
			t.Errorf("%q: a dry run gives %+v, %v", name, dry, err)
		}
		for _, on := range []bool{false, true} {
			for _, changed := range []bool{true, false} {
				got, err := Switch(t.Context(), conn, "Erp Sync", on, false)
				if err != nil || got.Changed != changed || got.App != "Erp" || got.On != on {
					t.Errorf("%q, on %t: got %+v, %v", name, on, got, err)
				}
				all := org.Components(eca.PluginPolicies)
				if len(all) != 1 || all[0].Fields["isEnabled"] != fmt.Sprint(on) || all[0].Fields["isOauthPluginEnabled"] != fmt.Sprint(on) || name != "" && (all[0].Fields["isPushPluginEnabled"] != "false" || all[0].FullName != name) {
					t.Errorf("%q, on %t: the org has %v", name, on, all)
				}
			}
		}
	}
	_, conn := start(t, simorg.Config{})
	if _, err := Switch(t.Context(), conn, "Loader", false, false); !errors.As(err, new(*ConnectedAppError)) {
		t.Errorf("a Connected App gives %v", err)
	}
	if _, err := Switch(t.Context(), conn, "Ero", false, false); !errors.As(err, new(*apps.NotFoundError)) || !strings.Contains(err.Error(), "Erp") {
		t.Errorf("a wrong name gives %v", err)
	}
}

// TestSwitchBreaks breaks each request with which an app is switched off, in each way. The next run completes
// it, and a third one finds nothing to do.
func TestSwitchBreaks(t *testing.T) {
	t.Parallel()
	for kind, fault := range map[string]simorg.Fault{"before": {Drop: true}, "after": {Drop: true, After: true}} {
		for at := int64(1); ; at++ {
			org, conn := start(t, simorg.Config{})
			var n atomic.Int64
			fault.Fits = func(simorg.Request) bool { return n.Add(1) == at }
			org.Inject(fault)
			_, err := Switch(t.Context(), conn, "Erp", false, false)
			reached := n.Swap(1<<40) >= at
			if reached {
				_, err = Switch(t.Context(), conn, "Erp", false, false)
			}
			again, errAgain := Switch(t.Context(), conn, "Erp", false, false)
			all := org.Components(eca.PluginPolicies)
			if err := errors.Join(err, errAgain); err != nil || again.Changed || len(all) != 1 || all[0].Fields["isEnabled"] != "false" || all[0].Fields["isOauthPluginEnabled"] != "false" {
				t.Errorf("%s, request %d: %v, a third run gives %+v, and the org has %v", kind, at, err, again, all)
			}
			org.Close()
			if !reached {
				break
			}
		}
	}
}
