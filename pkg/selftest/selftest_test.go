package selftest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/selftest"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// connect returns a connection to an org as its administrator.
func connect(org *simorg.Server) *salesforce.Conn {
	return &salesforce.Conn{InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
}

// dependent are the facts that cannot be asked of an org with certain answers.
var dependent = map[string]string{"certificate-form": "map[certificate-shown:withheld]"}

// asked reports whether answers hold one that a selftest asks.
func asked(answers platform.Answers) bool {
	for id := range answers {
		return platform.Lookup(id).Askable
	}
	return true
}

// TestEachAnswer runs a selftest against an org for each answer of each fact. Of the facts that can always
// be asked, exactly the flipped one is different.
func TestEachAnswer(t *testing.T) {
	t.Parallel()
	for _, answers := range append(platform.Flipped(), nil) {
		if testing.Short() && !asked(answers) {
			continue
		}
		t.Run(fmt.Sprint(answers), func(t *testing.T) {
			t.Parallel()
			org := simorg.Start(simorg.Config{Facts: answers})
			defer org.Close()
			report, err := selftest.Run(t.Context(), connect(org), selftest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, fact := range report.Facts {
				flipped, isFlipped := answers[fact.ID]
				want := selftest.Confirmed
				switch {
				case dependent[fact.ID] == fmt.Sprint(answers) && fact.Status == selftest.Unknown:
					continue
				case !platform.Lookup(fact.ID).Askable && (fact.Status == selftest.Unknown || fact.Status == want && !isFlipped):
					continue
				case isFlipped:
					want = selftest.Different
				}
				if fact.Status != want || isFlipped && fact.Seen != flipped {
					t.Errorf("%s is %q, %s, want %s: %s", fact.ID, fact.Seen, fact.Status, want, fact.Evidence)
				}
			}
		})
	}
}

// TestRequestsFollowTheWSDL runs a selftest without the facts about requests that do not.
func TestRequestsFollowTheWSDL(t *testing.T) {
	t.Parallel()
	var only []string
	for _, fact := range platform.Facts() {
		if fact.ID != "repeated-element" && fact.ID != "jwt-switch-in-policies" {
			only = append(only, fact.ID)
		}
	}
	org := simorgtest.Start(t, simorg.Config{})
	if _, err := selftest.Run(t.Context(), connect(org), selftest.Options{Only: only}); err != nil {
		t.Error(err)
	}
}

// TestScratchOrg asks what only scratch orgs can be asked.
func TestScratchOrg(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]selftest.Status{"accepted": selftest.Confirmed, "refused": selftest.Different} {
		org := simorg.Start(simorg.Config{Kind: simorg.Scratch, Facts: platform.Answers{"local-on-scratch-deploy": answer}})
		defer org.Close()
		report, err := selftest.Run(t.Context(), connect(org), selftest.Options{Only: []string{"local-on-scratch-deploy"}})
		if err != nil {
			t.Fatal(err)
		}
		if report.Org.Kind != "scratch org" || report.Facts[0].Status != want {
			t.Errorf("got %+v, want it %s", report, want)
		}
	}
}

// TestOtherKinds: a run refuses production, and orgs that do not show their kind, before it writes.
func TestOtherKinds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		config simorg.Config
		want   string
	}{
		{"production", simorg.Config{Kind: simorg.Production}, "production org"},
		{"production without an edition", simorg.Config{Kind: simorg.Production, WithoutFields: []string{"Organization.OrganizationType"}}, "production org"},
		{"no kind", simorg.Config{WithoutFields: []string{"Organization.IsSandbox"}}, "does not show its kind"},
		{"no object", simorg.Config{WithoutObjects: []string{"Organization"}}, "cannot be found"},
		{"Developer Edition", simorg.Config{Kind: simorg.Production, Edition: "Developer Edition"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			org := simorg.Start(test.config)
			defer org.Close()
			report, err := selftest.Run(t.Context(), connect(org), selftest.Options{Only: []string{"pkce-forced"}})
			if test.want == "" {
				if err != nil || report.Org.Kind != "Developer Edition" || report.Facts[0].Status != selftest.Confirmed {
					t.Errorf("got %+v, %v", report, err)
				}
				return
			}
			if _, ok := errors.AsType[*selftest.KindError](err); !ok || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			for _, r := range org.Requests() {
				if r.Writes() {
					t.Errorf("the run wrote %s %s", r.Operation, r.Path)
				}
			}
		})
	}
}

// createHeader creates an app without OAuth.
func createHeader(t *testing.T, org *simorg.Server, name string) {
	t.Helper()
	header := metadata.New(eca.Header, name, metadata.Stated("label", name, "contactEmail", "a@example.com"))
	if _, err := (&mdapi.Client{Conn: connect(org)}).Upsert(t.Context(), []*metadata.Component{header}); err != nil {
		t.Fatal(err)
	}
}

// TestReportAsFacts: an org with the answers of a report gives the same report.
func TestReportAsFacts(t *testing.T) {
	t.Parallel()
	different := platform.Answers{"pkce-forced": "forced", "certificate-form": "body", "nothing-staged": "not-found", "policies-with-consumer": "created"}
	run := func(answers platform.Answers) *selftest.Report {
		org := simorg.Start(simorg.Config{Facts: answers})
		defer org.Close()
		report, err := selftest.Run(t.Context(), connect(org), selftest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	first := run(different)
	data, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	answers, err := selftest.ReadAnswers(data)
	if err != nil {
		t.Fatal(err)
	}
	second := run(answers)
	if !maps.Equal(first.Answers(), second.Answers()) || first.Count(selftest.Different) != len(different) {
		t.Errorf("the first run saw\n%v\nthe second\n%v", first.Answers(), second.Answers())
	}
}

// TestReadAnswers refuses what the table lacks.
func TestReadAnswers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"pkce-forced": "forced"}`: "",
		`{}`:                        "",
		`{"facts": [{"id": "pkce-forced", "seen": "", "status": "unknown"}]}`: "",
		`{"pkce-forcd": "forced"}`: "did you mean pkce-forced?",
		`{"pkce-forced": "force"}`: "did you mean forced?",
		`{"facts": [{"id": "pkce-forcd", "seen": "", "status": "unknown"}]}`:           "did you mean pkce-forced?",
		`{"facts": [{"id": "pkce-forced", "seen": "perhaps", "status": "different"}]}`: "is not one of its answers",
		`{"facts": {"id": "pkce-forced"}}`:                                             "not the report of a selftest",
		`["pkce-forced"]`:                                                              "not the JSON of a selftest",
		`{"pkce-forced": true}`:                                                        "nor answers by ID",
		``:                                                                             "not the JSON of a selftest",
	} {
		_, err := selftest.ReadAnswers([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// TestNoNames: a report names neither the org nor its user, and holds no secret.
func TestNoNames(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{Username: "jane.doe@example.com", Facts: platform.Answers{"client-credentials-token-row": "yes"}})
	defer org.Close()
	report, err := selftest.Run(t.Context(), connect(org), selftest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(org.URL, "http://")
	for _, word := range []string{"jane.doe", host, org.ID(), org.ID()[:15], org.AccessToken(), "3MVG9", "BEGIN CERTIFICATE"} {
		if strings.Contains(string(data), word) {
			t.Errorf("the report contains %s:\n%s", word, data)
		}
	}
}

// TestWithoutRight: the refusal of consumers answers one fact, and the rest of the run goes on.
func TestWithoutRight(t *testing.T) {
	t.Parallel()
	for _, answer := range platform.Lookup("no-right-status").Answers {
		org := simorg.Start(simorg.Config{Withdrawn: []string{"ViewClientSecret"}, Facts: platform.Answers{"no-right-status": answer}})
		defer org.Close()
		report, err := selftest.Run(t.Context(), connect(org), selftest.Options{})
		if err != nil || report.Answers()["no-right-status"] != answer || report.Answers()["pkce-forced"] == "" {
			t.Errorf("with %s: %v, %v", answer, report.Answers(), err)
		}
	}
}

// TestSalesforceCLI asks an org that has installed the app.
func TestSalesforceCLI(t *testing.T) {
	t.Parallel()
	for _, answer := range platform.Lookup("cli-app-internal").Answers {
		org := simorg.Start(simorg.Config{Facts: platform.Answers{"cli-app-internal": answer}})
		defer org.Close()
		source := `<ConnectedApp xmlns="http://soap.sforce.com/2006/04/metadata"><label>Salesforce CLI</label></ConnectedApp>`
		if err := org.Fill(fstest.MapFS{"Cli.connectedApp-meta.xml": {Data: []byte(source)}}, "."); err != nil {
			t.Fatal(err)
		}
		report, err := selftest.Run(t.Context(), connect(org), selftest.Options{Only: []string{"cli-app-internal"}})
		if err != nil || report.Answers()["cli-app-internal"] != answer {
			t.Errorf("got %+v, %v, want %s", report, err, answer)
		}
	}
}

// TestPropagation waits for a new consumer. Without the time for that, the facts about logins stay unknown.
func TestPropagation(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		lasts, wait time.Duration
		logsIn      bool
	}{{time.Second, 30 * time.Second, true}, {time.Hour, 0, false}} {
		org := simorg.Start(simorg.Config{Propagation: test.lasts})
		defer org.Close()
		waits := 0
		report, err := selftest.Run(t.Context(), connect(org), selftest.Options{Wait: test.wait, Progress: func(e selftest.Event) {
			if e.Step == selftest.Waiting {
				waits++
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		seen := report.Answers()
		if seen["propagation"] != "later" || (seen["jwt-token-row"] != "") != test.logsIn || seen["staged-shape"] == "" || (waits > 0) != test.logsIn {
			t.Errorf("after %d waits: %v", waits, seen)
		}
	}
}
