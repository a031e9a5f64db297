package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/lint"
)

// home is the project's page.
const home = "https://github.com/ecakit/ecakit"

type lintCmd struct {
	Format  string `enum:"text,json,sarif" default:"text" help:"text, json, or sarif (2.1.0, for code scanning)."`
	Explain string `placeholder:"RULE" help:"Print what a rule is about, or with all the list of rules, and check nothing."`
	Path    string `arg:"" optional:"" default:"." help:"Project, or a directory in it to which the findings are confined."`
}

func (lintCmd) Help() string {
	return `Needs no org. Exits with 1 where there is an error; warnings alone exit with 0. Packages of data are passed over.

eca lint --explain all lists the rules, eca lint --explain RULE tells what one is about.`
}

// lintDocument is what --json says of a project.
type lintDocument struct {
	Findings []finding.Finding `json:"findings"`
	Errors   int               `json:"errors"`
	Warnings int               `json:"warnings"`
}

// Run checks a project.
func (c *lintCmd) Run(out *output, all *cli) error {
	out.json = out.json || c.Format != "text"
	out.printed = c.Format == "sarif" // which is the only document, or none
	if c.Explain != "" {
		return c.explain(out)
	}
	root, rel, err := findProject(c.Path)
	if err != nil {
		return err
	}
	project, err := openDir(root)
	if err != nil {
		return err
	}
	findings, err := lint.Run(project, filepath.ToSlash(rel))
	if err != nil {
		return err
	}
	document := &lintDocument{Findings: []finding.Finding{}}
	for i, f := range findings {
		if f.Level == finding.Error {
			document.Errors++
		} else {
			document.Warnings++
		}
		findings[i].File = filepath.ToSlash(filepath.Join(root, f.File)) // from the working directory
	}
	document.Findings = append(document.Findings, findings...)
	out.document.Lint = document
	if c.Format == "sarif" {
		var log strings.Builder
		if err := finding.WriteSARIF(&log, finding.Tool{Name: "eca lint", Version: version(), Home: home, Rules: home + "/blob/main/pkg/lint/RULES.md"}, lint.Rules(), document.Findings); err != nil {
			return err
		}
		if err := out.raw(log.String()); err != nil {
			return err
		}
	}
	for _, f := range findings {
		out.printf("%s\n", oneLine(f.String()))
	}
	summary := fmt.Sprintf("%s, %s", plural(document.Errors, "error"), plural(document.Warnings, "warning"))
	if document.Errors > 0 {
		return fmt.Errorf("%s; eca lint --explain RULE tells more", summary)
	}
	out.printf("eca: %s\n", summary)
	return nil
}

func (c *lintCmd) explain(out *output) error {
	var text strings.Builder
	for _, rule := range lint.Rules() {
		switch c.Explain {
		case "all":
			fmt.Fprintf(&text, "%s: %s\n", rule.ID, rule.Summary)
		case rule.ID:
			fmt.Fprintf(&text, "%s: %s", rule.ID, rule.Markdown())
		}
	}
	if text.Len() == 0 {
		return usageError{fmt.Errorf("there is no rule %s; eca lint --explain all lists them", c.Explain)}
	}
	out.document.Rule = text.String()
	out.printf("%s", &text)
	return nil
}
