package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/lint"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// home is the project's page.
const home = "https://github.com/ecakit/ecakit"

type lintCmd struct {
	Format  string `enum:"text,json,sarif" default:"text" help:"text, json, or sarif (2.1.0, for code scanning)."`
	Fix     bool   `help:"First remove from the source what the platform fills in for each org: orgScopedExternalApp and oauthLink of Local apps, consumerKey. Also consumerSecret, which has to be rotated then, shouldRotateConsumerKey and shouldRotateConsumerSecret. Also update eca.sum."`
	Explain string `placeholder:"RULE" help:"Explain a rule, or list the rules with all, and check nothing."`
	Path    string `arg:"" optional:"" default:"." help:"Project, or a directory in it to which the findings are confined, or any directory with source."`
}

func (lintCmd) Help() string {
	return `Needs no org. Exits with 3 if there is an error, or nothing to check; warnings alone exit with 0. eca skips data packages.

To list the rules, run eca lint --explain all. To explain a rule, run eca lint --explain RULE.`
}

// lintResult is what --json says of a project.
type lintResult struct {
	outcome
	Fixed    []fixedFile       `json:"fixed,omitempty"` // by --fix
	Findings []finding.Finding `json:"findings"`
	Errors   int               `json:"errors"`
	Warnings int               `json:"warnings"`
}

// fixedFile is a file that lint --fix changed.
type fixedFile struct {
	File    string   `json:"file"`
	Removed []string `json:"removed,omitempty"` // elements; none of eca.sum, which is updated
}

// fix writes the files without what the platform fills in, and eca.sum.
func (c *lintCmd) fix(e *env, root string, proj fs.FS, under string) (fixed []fixedFile, err error) {
	edits, err := lint.Fixes(proj, under)
	if errors.As(err, new(*lint.NothingError)) {
		return nil, nil // which lint says
	}
	for _, edit := range edits {
		name := filepath.Join(root, filepath.FromSlash(edit.File))
		if err := atomicfile.Write(name, edit.Content, atomicfile.Options{Mode: 0o644}); err != nil {
			return nil, outputError(name, err)
		}
		done := "updated"
		if len(edit.Removed) > 0 {
			done = "removed " + strings.Join(edit.Removed, ", ")
		}
		e.Line("%s: %s", name, done)
		if slices.Contains(edit.Removed, "consumerSecret") {
			e.Line("%s: the secret stays in the history of the repository, so rotate it: eca rotate", name)
		}
		fixed = append(fixed, fixedFile{filepath.ToSlash(name), edit.Removed})
	}
	return fixed, err
}

// rulesResult is what --json says of rules.
type rulesResult struct {
	outcome
	Rules []ruleResult `json:"rules"`
}

type ruleResult struct {
	ID    string        `json:"id"`
	Level finding.Level `json:"level"`
	Text  string        `json:"text"` // in Markdown
}

func (c *lintCmd) run(_ context.Context, e *env) (result, error) {
	e.JSON = e.JSON || c.Format != "text"
	if c.Explain != "" {
		return explainRules(e, "lint", c.Explain, lint.Rules())
	}
	root, rel, err := findProject(c.Path)
	bare := errors.As(err, new(*project.NoProjectError))
	if bare {
		root, rel, err = bareDirectory(c.Path)
	}
	if err != nil {
		return nil, err
	}
	proj, err := openDir(root)
	if err != nil {
		return nil, err
	}
	under := filepath.ToSlash(rel)
	var fixed []fixedFile
	if c.Fix {
		if fixed, err = c.fix(e, root, proj, under); err != nil {
			return nil, err
		}
	}
	findings, err := lint.Run(proj, under)
	if nothing, ok := errors.AsType[*lint.NothingError](err); ok {
		if nothing.Dir = c.Path; c.Path == "." {
			nothing.Dir = "this directory"
		}
		if bare {
			nothing.Dir += ", which is in no Salesforce project"
		}
		return nil, foundError{nothing}
	}
	if err != nil {
		return nil, err
	}
	if under == "." {
		findings = append(findings, auditFindings(proj)...)
	}
	for i := range findings {
		f := &findings[i]
		f.File = filepath.ToSlash(filepath.Join(root, f.File)) // from the working directory
		f.Fix = advice.FixOf(*f, "", f.App)
	}
	r := &lintResult{Fixed: fixed, Findings: append([]finding.Finding{}, findings...), Errors: finding.Count(findings, finding.Error), Warnings: finding.Count(findings, finding.Warning)}
	e.Together(func(u *console.Console) {
		for _, f := range findings {
			printFinding(u, "", f)
		}
	})
	var all result = r
	if c.Format == "sarif" {
		var log strings.Builder
		tool := finding.Tool{Name: "eca lint", Version: salesforce.Version(), Home: home, Rules: home + "/blob/main/pkg/lint/RULES.md"}
		if err := finding.WriteSARIF(&log, tool, lint.Rules(), r.Findings); err != nil {
			return nil, err
		}
		if err := e.RawJSON(log.String()); err != nil {
			return nil, err
		}
		all = printed
	}
	summary := fmt.Sprintf("%s, %s", console.Plural(r.Errors, "error"), console.Plural(r.Warnings, "warning"))
	if under != "." && !bare {
		summary += ", confined to " + under
	}
	if r.Errors > 0 {
		return all, foundError{fmt.Errorf("%s; run eca lint --explain RULE for details", summary)}
	}
	e.Line("eca: %s", summary)
	return all, nil
}

// bareDirectory returns the root from which a directory in no project is checked, and the directory below it. In
// metadata format, the folder's name belongs to what files are.
func bareDirectory(dir string) (root, rel string, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", "", err
	}
	for at := abs; at != filepath.Dir(at); at = filepath.Dir(at) {
		if eca.Types().IsFolder(filepath.Base(at)) {
			root, rel = filepath.Dir(at), filepath.Base(at)+filepath.ToSlash(strings.TrimPrefix(abs, at))
			if below, err := filepath.Rel(abs, root); err == nil {
				root = filepath.Join(dir, below)
			}
			return root, rel, nil
		}
	}
	return dir, ".", nil
}

// auditFindings are what is wrong with the settings of the audit in themselves.
func auditFindings(proj fs.FS) (all []finding.Finding) {
	p, err := project.Read(proj, sfp.ProjectFile)
	if err != nil {
		return nil // which lint says
	}
	unknown := func(place, rule string) {
		if !slices.ContainsFunc(audit.Rules(), func(r finding.Rule) bool { return r.ID == rule }) {
			all = append(all, finding.Finding{
				Rule: "settings", Level: finding.Error, File: sfp.ProjectFile, Line: 1, Field: "plugins.eca.audit." + place,
				Problem: "there is no rule " + rule, Fix: "correct it; eca audit --explain all lists the rules",
			})
		}
	}
	for _, rule := range slices.Sorted(maps.Keys(p.Settings.Audit.Rules)) {
		unknown("rules."+rule, rule)
	}
	for i, a := range p.Settings.Audit.Accept {
		unknown(fmt.Sprintf("accept[%d].rule", i), a.Rule)
	}
	return all
}

// explainRules tells what a rule is about, or lists all.
func explainRules(e *env, command, name string, rules []finding.Rule) (result, error) {
	r := new(rulesResult)
	for _, rule := range rules {
		if name == "all" || name == rule.ID {
			r.Rules = append(r.Rules, ruleResult{rule.ID, rule.Level, rule.Markdown()})
		}
	}
	if len(r.Rules) == 0 {
		return nil, usage.Errorf("there is no rule %s; eca %s --explain all lists them", name, command)
	}
	e.Together(func(u *console.Console) {
		for _, rule := range rules {
			switch name {
			case "all":
				u.Line("%s: %s", rule.ID, rule.Summary)
			case rule.ID:
				u.Page(rule.ID + ": " + rule.Markdown())
			}
		}
	})
	return r, nil
}
