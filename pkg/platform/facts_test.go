package platform

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "write FACTS.md")

func TestTable(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, fact := range Facts() {
		switch {
		case !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(fact.ID) || seen[fact.ID]:
			t.Errorf("%q is not an ID, or is there twice", fact.ID)
		case len(fact.Answers) < 2 || !slices.Contains(fact.Answers, fact.Expected):
			t.Errorf("%s has the answers %q, and %q is expected", fact.ID, fact.Answers, fact.Expected)
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

func TestDocument(t *testing.T) {
	t.Parallel()
	if *update {
		if err := os.WriteFile("FACTS.md", []byte(Markdown()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("FACTS.md")
	if err != nil || string(data) != Markdown() {
		t.Errorf("FACTS.md is not what the table says (%v); write it with: go test ./pkg/platform -update", err)
	}
}
