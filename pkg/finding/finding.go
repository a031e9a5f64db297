// Package finding defines the findings of a check, with place, level and fix, and the rules that
// they break. It writes findings as SARIF and rules as Markdown.
package finding

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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
	return fmt.Sprintf("%s%s: %s [%s]", place, f.Level, f.Message(), f.Rule)
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

// Section is a group of rules.
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

// Document returns sections of rules as one Markdown document with a title and an introduction.
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
