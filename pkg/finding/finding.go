// Package finding holds what a check has found: where, how bad it is, what the platform will
// say about it and how to mend it; and the rules by which it was found, of which documents are
// made.
package finding

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Level says how bad a finding is. The levels are those of SARIF.
type Level string

// The levels.
const (
	Error   Level = "error"   // it will fail, or a secret is out
	Warning Level = "warning" // it may fail, or does what is rarely intended
)

// Finding is one thing that a check has found.
type Finding struct {
	Rule    string `json:"rule"` // the ID of a Rule
	Level   Level  `json:"level"`
	App     string `json:"app,omitempty"`   // that it is about
	File    string `json:"file,omitempty"`  // with slashes
	Line    int    `json:"line,omitempty"`  // from 1 on; 0 for the file as a whole
	Field   string `json:"field,omitempty"` // the element or setting, with dots
	Problem string `json:"problem"`         // what is wrong
	// Says is what the platform says or will say, "" where it says nothing or its words are
	// not known.
	Says string `json:"says,omitempty"`
	Fix  string `json:"fix"` // what to do about it
}

// Place is the file with the line, "" where it is about no file.
func (f Finding) Place() string {
	if f.Line > 0 {
		return fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return f.File
}

// Message is what is wrong, what the platform says, and what to do, on one line.
func (f Finding) Message() string {
	message := f.Problem
	if f.Field != "" {
		message = f.Field + ": " + message
	}
	switch {
	case f.Says == "":
	case f.Level == Error:
		message += fmt.Sprintf("; the platform refuses this with %q", f.Says)
	default:
		message += fmt.Sprintf("; the platform may refuse this with %q", f.Says)
	}
	return message + "; " + f.Fix
}

// String writes the finding on one line, as compilers write theirs.
func (f Finding) String() string {
	place := f.Place()
	if place != "" {
		place += ": "
	}
	return fmt.Sprintf("%s%s: %s [%s]", place, f.Level, f.Message(), f.Rule)
}

// Sort orders findings by file and line, and drops those that are there twice.
func Sort(findings []Finding) []Finding {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Problem, b.Problem))
	})
	return slices.Compact(findings)
}

// Count returns how many findings are of a level.
func Count(findings []Finding, level Level) (n int) {
	for _, f := range findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// Rule is something that is checked.
type Rule struct {
	ID      string // in lower case, with hyphens
	Level   Level  // of most of its findings
	But     string // when a finding is of the other level, "" where it never is
	Summary string // what breaks it, in one sentence
	Text    string // why that matters and what to do, in Markdown; "" where the summary says it all
}

// Section is some rules that belong together.
type Section struct {
	Title string
	Intro string // "" for none
	Rules []Rule
}

// All returns the rules of several sections.
func All(sections []Section) (rules []Rule) {
	for _, s := range sections {
		rules = append(rules, s.Rules...)
	}
	return rules
}

// Markdown returns a rule's page.
func (r Rule) Markdown() string {
	level := strings.ToUpper(string(r.Level[:1])) + string(r.Level[1:])
	if r.But != "" {
		level += "; " + r.But
	}
	text := fmt.Sprintf("%s *%s.*\n", r.Summary, level)
	if r.Text != "" {
		text += "\n" + r.Text + "\n"
	}
	return text
}

// Document returns sections of rules as one Markdown document below its title and
// introduction.
func Document(title, intro string, sections []Section) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n", title, intro)
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n", s.Title)
		if s.Intro != "" {
			fmt.Fprintf(&b, "\n%s\n", s.Intro)
		}
		for _, r := range s.Rules {
			fmt.Fprintf(&b, "\n### `%s`\n\n%s", r.ID, r.Markdown())
		}
	}
	return b.String()
}
