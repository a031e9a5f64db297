// Package platform holds what this module believes about Salesforce as data.
//
// FACTS.md is the table of facts itself: it is embedded and parsed at run time, so there is one source, and
// instead of generating the page a test compares it with what is read from it.
package platform

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/ecakit/ecakit/pkg/internal/words"
)

//go:embed FACTS.md
var document string

// facts is the table of FACTS.md. An assumption of the product that is not in it is a mistake.
var facts = sync.OnceValue(func() (all []Fact) {
	_, topics, _ := strings.Cut(document, "\n## ")
	for topic := range strings.SplitSeq(topics, "\n## ") {
		all = append(all, parseFact(strings.Split(strings.TrimSpace(topic), "\n\n")))
	}
	return all
})

// parseFact reads a fact from its paragraphs: the ID, the question, the answers with the expected one
// in bold, and the sources.
func parseFact(paragraphs []string) Fact {
	answers, asked, _ := strings.Cut(paragraphs[2], "; ")
	_, answers, _ = strings.Cut(answers, ": ")
	_, expected, _ := strings.Cut(answers, "**")
	expected, _, _ = strings.Cut(expected, "**")
	_, sources, _ := strings.Cut(paragraphs[3], "\n- ")
	asked = strings.TrimSuffix(asked, ".")
	if asked == "a selftest asks it" {
		asked = ""
	}
	return Fact{
		ID: paragraphs[0], Question: paragraphs[1], Expected: expected,
		Answers: strings.Split(strings.ReplaceAll(answers, "**", ""), ", "),
		Sources: strings.Split(sources, "\n- "),
		Askable: asked == "", Limit: asked,
	}
}

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
	// Limit is a clause about why a selftest cannot ask it, or when it can. It is "" if Askable.
	Limit string
}

// Answers are the answers that hold for an org, by the fact's ID. Facts without an entry have the
// expected answer.
type Answers map[string]string

// Lookup returns the fact of an ID, or nil.
func Lookup(id string) *Fact {
	if i := slices.IndexFunc(facts(), func(f Fact) bool { return f.ID == id }); i >= 0 {
		return &facts()[i]
	}
	return nil
}

// UnknownFactError reports an ID that the table lacks.
type UnknownFactError struct{ ID string }

func (e *UnknownFactError) Error() string {
	var ids []string
	for _, fact := range facts() {
		ids = append(ids, fact.ID)
	}
	return fmt.Sprintf("there is no fact %q%s", e.ID, words.DidYouMean(e.ID, ids))
}

// Facts returns the table, in order of topic. It must not be changed.
func Facts() []Fact { return facts() }

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
			return &UnknownFactError{id}
		}
		if !slices.Contains(fact.Answers, a[id]) {
			return fmt.Errorf("%s: %q is not one of its answers: %s%s", id, a[id], strings.Join(fact.Answers, ", "), words.DidYouMean(a[id], fact.Answers))
		}
	}
	return nil
}

// Flipped returns, for each fact and each answer other than the expected one, the answers of an org
// that differs in it alone.
func Flipped() (all []Answers) {
	for _, fact := range facts() {
		for _, answer := range fact.Answers {
			if answer != fact.Expected {
				all = append(all, Answers{fact.ID: answer})
			}
		}
	}
	return all
}
