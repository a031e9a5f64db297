package finding_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/ecakit/ecakit/pkg/finding"
)

func TestMessagesSayWhatThePlatformDoes(t *testing.T) {
	t.Parallel()
	f := finding.Finding{Rule: "run-as-user", Level: finding.Error, File: "src/a.xml", Line: 3, Field: "clientCredentialsFlowUser", Problem: "is missing", Says: "Enter a user", Fix: "name one"}
	for _, test := range []struct {
		change func(*finding.Finding)
		want   string
	}{
		{func(*finding.Finding) {}, `src/a.xml:3: error: clientCredentialsFlowUser: is missing; the platform refuses this with "Enter a user"; name one [run-as-user]`},
		{func(f *finding.Finding) { f.Level = finding.Warning }, `src/a.xml:3: warning: clientCredentialsFlowUser: is missing; the platform may refuse this with "Enter a user"; name one [run-as-user]`},
		{func(f *finding.Finding) { f.Says, f.Field, f.Line = "", "", 0 }, `src/a.xml: error: is missing; name one [run-as-user]`},
		{func(f *finding.Finding) { f.Says, f.Field, f.Line, f.File = "", "", 0, "" }, `error: is missing; name one [run-as-user]`},
	} {
		changed := f
		test.change(&changed)
		if got := changed.String(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

func TestSortDropsWhatIsThereTwice(t *testing.T) {
	t.Parallel()
	b2, b1, a := finding.Finding{File: "b", Line: 2}, finding.Finding{File: "b", Line: 1}, finding.Finding{File: "a", Line: 9, Level: finding.Error}
	got := finding.Sort([]finding.Finding{b2, b1, a, b2})
	if want := []finding.Finding{a, b1, b2}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := finding.Count(got, finding.Error); n != 1 {
		t.Errorf("got %d errors, want 1", n)
	}
}

var sections = []finding.Section{{Title: "Apps", Intro: "About apps.", Rules: []finding.Rule{
	{ID: "one", Level: finding.Warning, But: "an error at night", Summary: "It is late.", Text: "Go to bed."},
	{ID: "two", Level: finding.Error, Summary: "It is later."},
}}}

func ExampleDocument() {
	fmt.Print(finding.Document("Rules", "Read them.", sections))
	// Output:
	// # Rules
	//
	// Read them.
	//
	// ## Apps
	//
	// About apps.
	//
	// ### `one`
	//
	// It is late. *Warning; an error at night.*
	//
	// Go to bed.
	//
	// ### `two`
	//
	// It is later. *Error.*
}

func TestSARIFPointsToPlaceAndRule(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	findings := []finding.Finding{{Rule: "two", Level: finding.Error, File: "src/a b.pem", Line: 1, Problem: "is bad", Fix: "mend it"}, {Rule: "one", Level: finding.Warning}}
	if err := finding.WriteSARIF(&b, finding.Tool{Name: "eca lint", Version: "v1", Rules: "https://example.com/RULES.md"}, finding.All(sections), findings); err != nil {
		t.Fatal(err)
	}
	var log struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Rules []struct{ ID, HelpURI string }
				}
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   struct{ Text string }
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           *struct{ StartLine int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	rules, result, place := run.Tool.Driver.Rules, run.Results[0], run.Results[0].Locations[0].PhysicalLocation
	if log.Version != "2.1.0" || len(rules) != 2 || rules[1].HelpURI != "https://example.com/RULES.md#two" || len(run.Results) != 2 {
		t.Errorf("got the log %s", &b)
	}
	if result.Level != "error" || rules[result.RuleIndex].ID != result.RuleID || result.Message.Text != "is bad; mend it" || place.ArtifactLocation.URI != "src/a%20b.pem" || place.Region.StartLine != 1 {
		t.Errorf("got the result %+v", result)
	}
	if run.Results[1].Locations[0].PhysicalLocation.Region != nil {
		t.Errorf("a finding without a line has a region: %s", &b)
	}
}
