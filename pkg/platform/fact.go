package platform

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Fact is something that this module believes about Salesforce: a question with its possible
// answers. The product works with every answer; the simulated org can be given any; a selftest asks
// a real org.
type Fact struct {
	ID       string // lower case with hyphens
	Question string
	Answers  []string // the possible answers, at least two
	Expected string   // the one that documentation or most reports give
	Sources  []string // where the answers come from

	// Askable reports that a selftest can find the answer out on a scratch org, sandbox or Developer
	// Edition, without waiting and without anything that it cannot undo.
	Askable bool
}

// Answers are the answers that hold for an org, by the fact's ID. Facts without an entry have the
// expected answer.
type Answers map[string]string

// Lookup returns the fact of an ID, or nil.
func Lookup(id string) *Fact {
	for i := range facts {
		if facts[i].ID == id {
			return &facts[i]
		}
	}
	return nil
}

// Facts returns the table, in order of topic. It must not be changed.
func Facts() []Fact { return facts }

// Of returns the answer to a fact. It panics if there is no fact of that ID, which is a mistake of
// the program.
func (a Answers) Of(id string) string {
	if answer, ok := a[id]; ok {
		return answer
	}
	fact := Lookup(id)
	if fact == nil {
		panic("platform: there is no fact " + id)
	}
	return fact.Expected
}

// Is reports whether a fact has an answer. Like Of, it panics if the table lacks them.
func (a Answers) Is(id, answer string) bool {
	if fact := Lookup(id); fact == nil || !slices.Contains(fact.Answers, answer) {
		panic("platform: there is no fact " + id + " with the answer " + answer)
	}
	return a.Of(id) == answer
}

// Check returns an error for the first ID without a fact, or answer that its fact does not have.
func (a Answers) Check() error {
	for _, id := range slices.Sorted(maps.Keys(a)) {
		fact := Lookup(id)
		if fact == nil {
			return fmt.Errorf("there is no fact %q", id)
		}
		if !slices.Contains(fact.Answers, a[id]) {
			return fmt.Errorf("%s: %q is not one of its answers: %s", id, a[id], strings.Join(fact.Answers, ", "))
		}
	}
	return nil
}

// Flipped returns, for each fact and each answer other than the expected one, the answers of an org
// that differs in it alone.
func Flipped() (all []Answers) {
	for _, fact := range facts {
		for _, answer := range fact.Answers {
			if answer != fact.Expected {
				all = append(all, Answers{fact.ID: answer})
			}
		}
	}
	return all
}

// Markdown returns the table as a document.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Facts about Salesforce\n\n" +
		"What ecakit believes about the platform. No fact has been confirmed on a real org by this project yet: the answers\n" +
		"come from documentation and from other people's reports. ecakit works with every answer, and `eca simulate --fact\n" +
		"ID=ANSWER` serves an org that has another one than expected. Generated from\n" +
		"`pkg/platform/facts.go` by `go test ./pkg/platform -update`.\n")
	for _, fact := range facts {
		var answers []string
		for _, answer := range fact.Answers {
			if answer == fact.Expected {
				answer = "**" + answer + "**"
			}
			answers = append(answers, answer)
		}
		asked := "a selftest cannot ask it"
		if fact.Askable {
			asked = "a selftest asks it"
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\nAnswers (expected in bold): %s; %s.\n\nSources:\n", fact.ID, fact.Question, strings.Join(answers, ", "), asked)
		for _, source := range fact.Sources {
			fmt.Fprintf(&b, "- %s\n", source)
		}
	}
	return b.String()
}
