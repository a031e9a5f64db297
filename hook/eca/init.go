package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ecakit/ecakit/pkg/scaffold"
)

type initCmd struct {
	App         string   `placeholder:"NAME" help:"The app's API name."`
	Label       string   `help:"The app's label. Otherwise its name."`
	Email       string   `name:"contact-email" placeholder:"ADDRESS" help:"The app's contact, which Salesforce wants."`
	Env         []string `sep:"none" placeholder:"ALIAS[=USERNAME]" help:"An org with policies of its own, by its alias, and the user that client credentials run as there. Without a user that flow stays off. Can be repeated. Folders that are there already get the app's policies as well, with that flow off."`
	Scope       []string `placeholder:"SCOPE" help:"OAuth scopes. Otherwise Api and RefreshToken."`
	CallbackURL []string `sep:"none" name:"callback-url" placeholder:"URL" help:"Callback URLs. Otherwise the org's own success page."`
	Definition  string   `placeholder:"DIR" help:"Directory of the package with the header, whose name is its last element. Otherwise eca-definition beside the first package."`
	Policies    string   `placeholder:"DIR" help:"Directory of the package with the policies. Otherwise eca-policies beside the first package."`
	DryRun      bool     `name:"dry-run" help:"Say what would be written, and write nothing."`
	Path        string   `arg:"" optional:"" default:"." help:"The sfp project."`
}

func (initCmd) Help() string {
	return `Adds to an sfp project what Pattern 2 needs: the app's header in a package of its own, with the script that enables OAuth after its deployment; an aliasfied package with the policies of each environment and, for sandboxes without one, default with client credentials off; and both packages and the app's settings in sfdx-project.json, of which nothing else is changed.

Asks for what is not given where it runs on a terminal. Overwrites nothing.`
}

// initResult is what --json says of what init wrote.
type initResult struct {
	outcome
	App    string   `json:"app"`
	Files  []string `json:"files"`
	DryRun bool     `json:"dryRun"` // nothing was written
}

func (c *initCmd) run(ctx context.Context, e *env) (result, error) {
	root, rel, err := findProject(c.Path)
	if err != nil {
		return nil, err
	}
	if rel != "." {
		return nil, usageError{fmt.Errorf("%s is inside the project %s; give the project", c.Path, root)}
	}
	project, err := openDir(root)
	if err != nil {
		return nil, err
	}
	config := scaffold.Config{
		App: c.App, Label: c.Label, ContactEmail: c.Email, Definition: c.Definition, Policies: c.Policies, Scopes: c.Scope, CallbackURLs: c.CallbackURL,
	}
	for _, env := range c.Env {
		alias, user, _ := strings.Cut(env, "=")
		config.Environments = append(config.Environments, scaffold.Environment{Alias: alias, RunAsUser: user})
	}
	if config.App == "" || config.ContactEmail == "" {
		if !e.terminal || e.json {
			return nil, usageError{errors.New("--app and --contact-email are needed where there is no terminal to ask on")}
		}
		if err := c.ask(ctx, e, &config); err != nil {
			return nil, err
		}
	}
	if err := config.Check(); err != nil {
		return nil, usageError{err}
	}
	files, err := scaffold.New(project, config)
	if err != nil {
		return nil, err
	}
	if !c.DryRun {
		if err := scaffold.Write(root, files); err != nil {
			return nil, err
		}
	}
	r := &initResult{App: config.App, DryRun: c.DryRun}
	what := "wrote"
	if c.DryRun {
		what = "would write"
	}
	e.line("eca: %s for %s", what, config.App)
	for _, f := range files {
		r.Files = append(r.Files, f.Path)
		sign := "+"
		if f.Replaces {
			sign = "~"
		}
		e.line("  %s %s", sign, f.Path)
	}
	if !c.DryRun {
		e.line("eca: done. Look at the policies, commit, and run sfp build and sfp install; eca lint checks the project.")
	}
	return r, nil
}

// ask asks for what the configuration lacks.
func (c *initCmd) ask(ctx context.Context, e *env, config *scaffold.Config) error {
	lines := bufio.NewScanner(e.stdin)
	question := func(text string) (string, error) {
		e.print(clean(text) + ": ")
		answered := make(chan bool, 1)
		go func() { answered <- lines.Scan() }()
		select {
		case <-ctx.Done():
			return "", errors.New("interrupted; nothing was written")
		case ok := <-answered:
			if err := lines.Err(); err != nil {
				return "", err
			}
			if !ok {
				return "", fmt.Errorf("%w; nothing was written", io.ErrUnexpectedEOF)
			}
		}
		return strings.TrimSpace(lines.Text()), nil
	}
	fill := func(into *string, text, otherwise string) (err error) {
		if *into != "" {
			return nil
		}
		if otherwise != "" {
			text += " [" + otherwise + "]"
		}
		if *into, err = question(text); *into == "" {
			*into = otherwise
		}
		return err
	}
	if err := fill(&config.App, "API name of the app", ""); err != nil {
		return err
	}
	if err := fill(&config.Label, "Label", strings.ReplaceAll(config.App, "_", " ")); err != nil {
		return err
	}
	if err := fill(&config.ContactEmail, "Contact's e-mail address", ""); err != nil {
		return err
	}
	if len(config.Environments) > 0 {
		return nil
	}
	aliases, err := question("Aliases of the orgs with policies of their own, besides default (like uat prod)")
	if err != nil {
		return err
	}
	for _, alias := range strings.FieldsFunc(aliases, func(r rune) bool { return r == ' ' || r == ',' }) {
		user, err := question("User that client credentials run as on " + alias + " (empty leaves that flow off)")
		if err != nil {
			return err
		}
		config.Environments = append(config.Environments, scaffold.Environment{Alias: alias, RunAsUser: user})
	}
	return nil
}
