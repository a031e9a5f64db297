package finding_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
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

const document = `# Rules

Read them.

## Apps

About apps.

### ` + "`one`" + `

It is late. *Warning; an error at night.*

Go to bed.

And sleep.

### ` + "`two`" + `

It is later. *Error.*
`

func ExampleParseRules() {
	for _, rule := range finding.ParseRules(document) {
		fmt.Printf("%q\n", rule)
	}
	// Output:
	// {"one" "warning" "an error at night" "It is late." "Go to bed.\n\nAnd sleep."}
	// {"two" "error" "" "It is later." ""}
}

// TestDocumentsHoldRulesAlone: apart from headings and introductions, the documents are the rules that
// are read from them.
func TestDocumentsHoldRulesAlone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../audit/RULES.md", "../lint/RULES.md"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range strings.Split(string(data), "\n## ")[1:] {
			_, got, _ := strings.Cut(section, "\n### ")
			got = "\n### " + got
			want := ""
			for _, r := range finding.ParseRules(got) {
				want += fmt.Sprintf("\n### `%s`\n\n%s", r.ID, r.Markdown())
				if r.Summary == "" || r.Level != finding.Error && r.Level != finding.Warning {
					t.Errorf("%s has the rule %+v", name, r)
				}
			}
			if got != want {
				t.Errorf("%s has\n%s\nand its rules are\n%s", name, got, want)
			}
		}
	}
}

// TestRulesOfOneNameAgree: a rule that both checks have is the same rule at the same level.
func TestRulesOfOneNameAgree(t *testing.T) {
	t.Parallel()
	byID := make(map[string]finding.Rule)
	shared := 0
	for _, name := range []string{"../audit/RULES.md", "../lint/RULES.md"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range finding.ParseRules(string(data)) {
			other, both := byID[r.ID]
			if both {
				shared++
			}
			if both && (r.Level != other.Level || r.But != other.But || r.Summary != other.Summary) {
				t.Errorf("%s is %q, %s (%s) in one document and %q, %s (%s) in the other", r.ID, r.Summary, r.Level, r.But, other.Summary, other.Level, other.But)
			}
			byID[r.ID] = r
		}
	}
	if shared < 6 {
		t.Errorf("only %d rules are in both documents", shared)
	}
}

func TestSARIFPointsToPlaceAndRule(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	findings := []finding.Finding{{Rule: "two", Level: finding.Error, File: "src/a b.pem", Line: 1, Problem: "is bad", Fix: "mend it"}, {Rule: "one", Level: finding.Warning}}
	tool := finding.Tool{Name: "eca lint", Version: "v1", Rules: "https://example.com/RULES.md"}
	if err := finding.WriteSARIF(&b, tool, finding.ParseRules(document), findings); err != nil {
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
