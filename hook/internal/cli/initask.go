package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/secrets"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/scaffold"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// initDialogue is what the flags, and on a terminal the answers, say of an app.
type initDialogue struct {
	scaffold.Config
	layout  project.Layout
	clients []scaffold.Client
	extend  bool // the project has the app already
	asked   bool
}

// dialogue returns what the flags say of the app, and on a terminal the answers to what they lack.
func (c *initCmd) dialogue(ctx context.Context, e *env, fsys fs.FS) (*initDialogue, error) {
	d := &initDialogue{Config: scaffold.Config{
		App: c.App, Label: c.Label, ContactEmail: c.Email, Definition: c.Definition, Policies: c.Policies, Scopes: c.Scope, CallbackURLs: c.CallbackURL,
		Preset: c.Preset, PermissionSets: c.PermissionSet, Layout: project.Layout(c.Layout), NewProject: c.create,
	}}
	if err := c.use(d); err != nil {
		return nil, err
	}
	var err error
	if d.Environments, err = c.environments(); err != nil {
		return nil, err
	}
	if d.layout, err = c.layoutOf(fsys); err != nil {
		return nil, err
	}
	if len(c.Pipeline) > 0 && d.layout == project.LayoutSFP {
		return nil, usage.Errorf("--pipeline is for projects that sf deploys, and sfp deploys this one")
	}
	described := c.Label != "" || c.Email != "" || d.Preset != "" || len(d.Scopes)+len(d.CallbackURLs)+len(d.PermissionSets) > 0 || c.Certificate != "" || c.Key != ""
	d.extend = d.App != "" && !described && scaffold.Has(fsys, d.App)
	if d.extend || d.App != "" && d.ContactEmail != "" {
		return d, nil
	}
	if !e.terminal || e.JSON {
		return nil, usage.Errorf("--app and --contact-email are required without a terminal")
	}
	d.asked = true
	if err := c.ask(ctx, e, fsys, d); err != nil {
		if d.App != "" {
			e.Line("")
			e.Line("  the answers as a command: %s", d.command(c))
		}
		return nil, fmt.Errorf("%w; nothing was written", err)
	}
	return d, nil
}

// use sets the preset and the clients.
func (c *initCmd) use(d *initDialogue) error {
	if c.JWT {
		if c.Preset != "" && c.Preset != "ci" {
			return usage.Errorf("--jwt is --preset ci, and not %s", c.Preset)
		}
		d.Preset = "ci"
	}
	if len(c.Client) > 0 && d.Preset == "" {
		d.Preset = "mcp"
	}
	if len(c.Client) > 0 && d.Preset != "mcp" {
		return usage.Errorf("--client goes with --preset mcp")
	}
	for _, text := range c.Client {
		client, err := scaffold.ParseClient(text)
		if err != nil {
			return usage.Errorf("--client: %w", err)
		}
		d.clients = append(d.clients, client)
		for _, url := range client.Callbacks {
			if !slices.Contains(d.CallbackURLs, url) {
				d.CallbackURLs = append(d.CallbackURLs, url)
			}
		}
	}
	return nil
}

// environments returns the orgs of --env with the users of --run-as.
func (c *initCmd) environments() (all []scaffold.Environment, err error) {
	for _, env := range c.Env {
		alias, user, _ := strings.Cut(env, "=")
		all = append(all, scaffold.Environment{Alias: alias, RunAsUser: user})
	}
	for _, given := range c.RunAs {
		alias, user, named := strings.Cut(given, "=")
		if !named {
			if len(all) != 1 {
				return nil, usage.Errorf("--run-as %s: name the org, as in --run-as ALIAS=%s", given, given)
			}
			alias, user = all[0].Alias, given
		}
		i := slices.IndexFunc(all, func(e scaffold.Environment) bool { return e.Alias == alias })
		switch {
		case i < 0:
			all = append(all, scaffold.Environment{Alias: alias, RunAsUser: user})
		case all[i].RunAsUser != "" && all[i].RunAsUser != user:
			return nil, usage.Errorf("--run-as %s: --env names another user, %s", given, all[i].RunAsUser)
		default:
			all[i].RunAsUser = user
		}
	}
	return all, nil
}

// layoutOf returns the layout that is given, or that of the project.
func (c *initCmd) layoutOf(fsys fs.FS) (project.Layout, error) {
	switch {
	case c.Layout != "":
		return project.Layout(c.Layout), nil
	case c.create:
		return project.LayoutSF, nil
	}
	proj, err := project.Read(fsys, sfp.ProjectFile)
	if err != nil {
		return "", err
	}
	return proj.Layout(fsys), nil
}

// lines returns the lines of standard input, from which all questions of a command read.
func (e *env) lines() *bufio.Scanner {
	if e.input == nil {
		e.input = bufio.NewScanner(e.Stdin)
	}
	return e.input
}

// asker asks questions until their answers are right.
type asker struct {
	*env
	ctx context.Context
}

// fill asks for a text that is not given yet. instead stands for an empty answer, and check returns what is wrong with
// an answer.
func (a asker) fill(into *string, text, instead string, check func(string) error) error {
	if *into != "" {
		return nil
	}
	if instead != "" {
		text += " [" + instead + "]"
	}
	for {
		answer, err := a.question(a.ctx, a.lines(), text)
		if err != nil {
			return err
		}
		if answer == "" {
			answer = instead
		}
		wrong := check(answer)
		if wrong == nil {
			*into = answer
			return nil
		}
		a.Line("  %s %s", console.Failure, console.OneLine(wrong.Error()))
	}
}

// ask asks for what the configuration lacks.
func (c *initCmd) ask(ctx context.Context, e *env, fsys fs.FS, d *initDialogue) error {
	a := asker{e, ctx}
	any := func(string) error { return nil }
	if err := a.fill(&d.App, "API name of the app", "", scaffold.CheckApp); err != nil {
		return err
	}
	if scaffold.Has(fsys, d.App) {
		e.Line("  the project has %s, so it only gets other environments", d.App)
		d.extend = true
		return a.environments(d)
	}
	if err := a.fill(&d.Label, "Label", strings.ReplaceAll(d.App, "_", " "), any); err != nil {
		return err
	}
	if err := a.fill(&d.ContactEmail, "Contact's e-mail address", "", scaffold.CheckEmail); err != nil {
		return err
	}
	if err := a.use(d); err != nil {
		return err
	}
	return a.environments(d)
}

// use asks for the purpose of the app.
func (a asker) use(d *initDialogue) error {
	var names []string
	for _, p := range scaffold.Presets() {
		names = append(names, p.Name)
	}
	err := a.fill(&d.Preset, "Purpose ("+strings.Join(names, ", ")+"; empty for none)", "", func(name string) error {
		if name == "" {
			return nil
		}
		_, err := scaffold.FindPreset(name)
		return err
	})
	if err != nil || d.Preset == "" {
		return err
	}
	preset, err := scaffold.FindPreset(d.Preset)
	if err != nil || !preset.Callbacks || len(d.CallbackURLs) > 0 {
		return err
	}
	text, urls := "Callback URLs", ""
	if d.Preset == "mcp" {
		text = "AI clients (like claude claude-code=8080) or callback URLs"
	}
	return a.fill(&urls, text, "", func(answer string) error {
		d.CallbackURLs, d.clients = nil, nil
		for _, one := range strings.Fields(answer) {
			if d.Preset == "mcp" && !strings.Contains(strings.SplitN(one, "=", 2)[0], ":") {
				client, err := scaffold.ParseClient(one)
				if err != nil {
					return err
				}
				d.clients, d.CallbackURLs = append(d.clients, client), append(d.CallbackURLs, client.Callbacks...)
				continue
			}
			if err := scaffold.CheckCallback(one); err != nil {
				return err
			}
			d.CallbackURLs = append(d.CallbackURLs, one)
		}
		if len(d.CallbackURLs) == 0 {
			return errors.New("the preset needs at least one")
		}
		return nil
	})
}

// environments asks for the orgs with policies of their own.
func (a asker) environments(d *initDialogue) error {
	if len(d.Environments) > 0 {
		return nil
	}
	aliases := ""
	split := func(text string) []string {
		return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
	}
	err := a.fill(&aliases, "Aliases of the orgs with policies of their own, besides default (like uat prod)", "", func(text string) error {
		for _, alias := range split(text) {
			if err := (scaffold.Environment{Alias: alias}).Check(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, alias := range split(aliases) {
		environment := scaffold.Environment{Alias: alias}
		err := a.fill(&environment.RunAsUser, "User that client credentials run as on "+alias+" (empty leaves that flow off)", "", func(user string) error {
			return scaffold.Environment{Alias: alias, RunAsUser: user}.Check()
		})
		if err != nil {
			return err
		}
		d.Environments = append(d.Environments, environment)
	}
	return nil
}

// command returns the command line that needs no answers.
func (d *initDialogue) command(c *initCmd) string {
	words := []string{"eca init --app " + secrets.QuoteEnv(d.App)}
	add := func(flag, value string) {
		if value != "" {
			words = append(words, flag+" "+secrets.QuoteEnv(value))
		}
	}
	if !d.extend {
		add("--label", d.Label)
		add("--contact-email", d.ContactEmail)
		add("--preset", d.Preset)
		for _, url := range d.CallbackURLs {
			add("--callback-url", url)
		}
		for _, set := range d.PermissionSets {
			add("--permission-set", set)
		}
	}
	for _, e := range d.Environments {
		if e.RunAsUser != "" {
			e.Alias += "=" + e.RunAsUser
		}
		add("--env", e.Alias)
	}
	add("--layout", c.Layout)
	if c.create {
		words = append(words, "--new-project")
	}
	if c.Path != "." {
		words = append(words, secrets.QuoteEnv(c.Path))
	}
	return strings.Join(words, " ")
}
