package platform

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, fact := range Facts() {
		switch {
		case !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(fact.ID) || seen[fact.ID]:
			t.Errorf("%q is not an ID, or is there twice", fact.ID)
		case len(fact.Answers) < 2 || !slices.Contains(fact.Answers, fact.Expected):
			t.Errorf("%s has the answers %q, and %q is expected", fact.ID, fact.Answers, fact.Expected)
		case fact.Askable == strings.HasPrefix(fact.Limit, "a selftest "):
			t.Errorf("%s is askable: %t, with the limit %q", fact.ID, fact.Askable, fact.Limit)
		case fact.Question == "" || fact.Question[len(fact.Question)-1] != '?' || len(fact.Sources) == 0:
			t.Errorf("%s has the question %q and %d sources", fact.ID, fact.Question, len(fact.Sources))
		}
		seen[fact.ID] = true
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	a := Answers{"pkce-forced": "forced"}
	if !a.Is("pkce-forced", "forced") || !a.Is("certificate-shown", "shown") || a.Check() != nil {
		t.Errorf("%v", a)
	}
	for _, wrong := range []Answers{{"no-such-fact": "x"}, {"pkce-forced": "perhaps"}} {
		if wrong.Check() == nil {
			t.Errorf("%v passes", wrong)
		}
	}
	flipped := Flipped()
	if len(flipped) < len(Facts()) {
		t.Errorf("%d facts give %d flipped answers", len(Facts()), len(flipped))
	}
	for _, one := range flipped {
		if len(one) != 1 || one.Check() != nil {
			t.Errorf("%v", one)
		}
	}
}

// TestDocument: FACTS.md holds nothing but what is read from it, apart from its introduction.
func TestDocument(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	for _, fact := range Facts() {
		var answers []string
		for _, answer := range fact.Answers {
			if answer == fact.Expected {
				answer = "**" + answer + "**"
			}
			answers = append(answers, answer)
		}
		asked := cmp.Or(fact.Limit, "a selftest asks it")
		fmt.Fprintf(&want, "\n## %s\n\n%s\n\nAnswers (expected in bold): %s; %s.\n\nSources:\n",
			fact.ID, fact.Question, strings.Join(answers, ", "), asked)
		for _, source := range fact.Sources {
			fmt.Fprintf(&want, "- %s\n", source)
		}
	}
	_, got, _ := strings.Cut(document, "\n##")
	if "\n##"+got != want.String() {
		t.Errorf("FACTS.md is\n%s\nand holds the facts\n%s", document, want.String())
	}
}
