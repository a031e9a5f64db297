// Package finding defines the findings of a check, with place, level and fix, and the rules that
// they break. It reads rules from Markdown and writes findings as SARIF.
package finding

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/refusal"
)

// Level is the level of a finding, as in SARIF.
type Level string

// The levels.
const (
	Error   Level = "error"   // it will fail, or exposes a secret
	Warning Level = "warning" // it may fail, or is rarely intended
)

// Finding is one problem that a check has found.
type Finding struct {
	Rule    string `json:"rule"` // the ID of a Rule
	Level   Level  `json:"level"`
	App     string `json:"app,omitempty"`   // the app that it is about
	File    string `json:"file,omitempty"`  // with slashes
	Line    int    `json:"line,omitempty"`  // starting at 1; 0 for the file as a whole
	Field   string `json:"field,omitempty"` // the element or setting, with dots
	Problem string `json:"problem"`         // what is wrong
	// Says is the platform's message, "" if there is none or it is not known.
	Says string `json:"says,omitempty"`
	Fix  string `json:"fix"` // names settings of the project or in Setup, no commands
	// Cause is the cause of the logins that the org refuses because of the problem, "" if it refuses none.
	Cause refusal.Cause `json:"cause,omitempty"`
}

// Tag returns the rule, and the cause if there is one.
func (f Finding) Tag() string {
	if f.Cause == "" || string(f.Cause) == f.Rule {
		return f.Rule
	}
	return f.Rule + ": " + string(f.Cause)
}

// Place returns the file with the line, "" without a file.
func (f Finding) Place() string {
	if f.Line > 0 {
		return fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return f.File
}

// Message returns the problem, the platform's message and the fix, on one line.
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

// String returns the finding on one line, in the format of a compiler's.
func (f Finding) String() string {
	place := f.Place()
	if place != "" {
		place += ": "
	}
	return fmt.Sprintf("%s%s: %s [%s]", place, f.Level, f.Message(), f.Tag())
}

// Sort sorts findings by file and line, and removes duplicates.
func Sort(findings []Finding) []Finding {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Problem, b.Problem))
	})
	return slices.Compact(findings)
}

// Count returns the number of findings of a level.
func Count(findings []Finding, level Level) (n int) {
	for _, f := range findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// Rule describes what a check looks for.
type Rule struct {
	ID      string // in lower case, with hyphens
	Level   Level  // of most of its findings
	But     string // when a finding has the other level, "" for never
	Summary string // what breaks the rule, in one sentence
	Text    string // why that matters and what to do, in Markdown; "" if the summary is enough
}

// Markdown returns the description of a rule.
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

// ParseRules reads the rules of a Markdown document, in its order. A rule is a heading of the third level
// with its ID, and what Markdown returns.
func ParseRules(document string) (rules []Rule) {
	_, document, _ = strings.Cut(document, headOfRule)
	for page := range strings.SplitSeq(document, headOfRule) {
		page, _, _ = strings.Cut(page, "\n## ") // the next section
		id, page, _ := strings.Cut(page, "`\n\n")
		summary, text, _ := strings.Cut(page, "\n")
		summary, level, _ := strings.Cut(strings.TrimSuffix(summary, ".*"), " *")
		level, but, _ := strings.Cut(level, "; ")
		rules = append(rules, Rule{
			ID: id, Level: Level(strings.ToLower(level)), But: but, Summary: summary, Text: strings.TrimSpace(text),
		})
	}
	return rules
}

const headOfRule = "\n### `"
