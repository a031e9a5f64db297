package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
)

type initCmd struct {
	App           string   `placeholder:"NAME" help:"The app's API name."`
	Label         string   `help:"The app's label. Default: its name."`
	Email         string   `name:"contact-email" placeholder:"ADDRESS" help:"The app's contact, which Salesforce requires."`
	Env           []string `sep:"none" placeholder:"ALIAS[=USERNAME]" help:"An org with policies of its own, by its alias, and the user that client credentials run as there. Without a user that flow stays off. Can be repeated. Folders that are there already get the app's policies as well, with that flow off."`
	Scope         []string `placeholder:"SCOPE" help:"OAuth scopes. Default: those of the preset. Without a preset: Api and RefreshToken, or Api alone if --env names a user and there is neither a callback URL nor a certificate."`
	CallbackURL   []string `sep:"none" name:"callback-url" aliases:"callback" placeholder:"URL" help:"Callback URLs. Default: the org's own success page."`
	Preset        string   `enum:",server,ci,web,spa,mcp" default:"" help:"What the app is for: server (client credentials), ci (JWT bearer, for sf org login jwt), web (authorization code), spa (public client), mcp (AI clients)."`
	JWT           bool     `name:"jwt" help:"The same as --preset ci."`
	Client        []string `placeholder:"CLIENT" help:"MCP clients whose callback URLs are added: claude, cursor, postman."`
	PermissionSet []string `name:"permission-set" sep:"none" placeholder:"NAME" help:"Permission set that grants the app; can be repeated. One that the project does not have is made, empty."`
	Certificate   string   `placeholder:"FILE" help:"Certificate, in PEM or DER, for JWT bearer. Default: the preset ci creates a key and a certificate."`
	Key           string   `placeholder:"FILE" help:"File for the private key that the preset ci creates, with mode 0600, outside the project. Default: ~/.config/eca/APP.key."`
	Days          int      `default:"365" help:"Number of days for which the certificate of the preset ci is valid."`
	Definition    string   `placeholder:"DIR" help:"Directory of the package with the header, whose name is its last element. Default: eca-definition beside the first package."`
	Policies      string   `placeholder:"DIR" help:"Directory of the package with the policies. Default: eca-policies beside the first package."`
	Connection    string   `placeholder:"NAME" help:"Write a named credential and its external credential instead, by which the orgs of --env call another: --env ALIAS=PROVIDER, both logged in to with sf. The secret is in neither; eca connect stores it."`
	DryRun        bool     `name:"dry-run" help:"Show what would be written, and write nothing."`
	Path          string   `arg:"" optional:"" default:"." help:"The sfp project."`
}

func (initCmd) Help() string {
	return `Adds the files of Pattern 2 to an sfp project: a package with the app's header and the script that enables OAuth after its deployment, an aliasfied package with the policies of each environment (and default, with client credentials off, for other sandboxes), and the packages and settings in sfdx-project.json. eca changes nothing else there.

On a terminal, eca asks for what is not given. eca overwrites nothing. The command can be run again: it completes what an interrupted run has written, and changes nothing if all files exist with the same content.

To export the app's key and secret to their receiver, add handOver with a command and a check to plugins.eca, see eca help settings: "handOver": {"command": ["COMMAND", …], "check": ["COMMAND", …]}.`
}

// initResult is what --json says of what init wrote.
type initResult struct {
	outcome
	App    string   `json:"app"`
	Files  []string `json:"files"`
	DryRun bool     `json:"dryRun"`        // nothing was written
	Key    string   `json:"key,omitempty"` // the file of the private key that was made

	Warnings []string `json:"warnings,omitempty"`
}

const openToAll = "every user of the org can authorise the app. To admit only some, set permittedUsersPolicyType to " +
	"AdminApprovedPreAuthorized in its policies, and name a permission set in permissionSets of the app in plugins.eca; " +
	"init does both with --permission-set"

func (c *initCmd) run(ctx context.Context, e *env) (result, error) {
	root, fsys, err := openProject(c.Path)
	if errors.As(err, new(*project.NotDirectoryError)) && c.App == "" && !strings.ContainsAny(c.Path, `/\`) {
		return nil, usage.Errorf("%s is not a directory; if it is an app, write --app %s", c.Path, c.Path)
	}
	if err != nil {
		return nil, err
	}
	if c.Connection != "" {
		return c.connection(ctx, e, root, fsys)
	}
	config, err := c.config(ctx, e)
	if err != nil {
		return nil, err
	}
	if err := config.Check(); err != nil && !errors.Is(err, scaffold.ErrNoCertificate) {
		return nil, usage.Error{Err: err}
	}
	keyFile, key, err := c.keyPair(e, root, config)
	if err != nil {
		return nil, usage.Error{Err: err}
	}
	if err := config.Check(); err != nil {
		return nil, usage.Error{Err: err}
	}
	files, err := scaffold.New(fsys, *config)
	if err != nil {
		return nil, err
	}
	r := &initResult{App: config.App, DryRun: c.DryRun, Key: keyFile}
	if !c.DryRun {
		if err := writeWithKey(root, files, keyFile, key); err != nil {
			return nil, err
		}
	}
	r.wrote(e, config.App, files)
	if keyFile != "" {
		e.Line("  %s %s, the private key: keep it out of every repository", sign(key.IsZero()), keyFile)
	}
	if config.OpenToAll() && len(files) > 0 {
		r.Warnings = append(r.Warnings, openToAll)
		e.Line("  %s %s", console.Warning, openToAll)
	}
	if !c.DryRun && len(files) > 0 {
		e.Line("eca: done. Look at the policies, commit, and run sfp build and sfp install; eca lint checks the project.")
	}
	return r, nil
}

// config returns what the flags say of the app, and on a terminal the answers to what they lack.
func (c *initCmd) config(ctx context.Context, e *env) (*scaffold.Config, error) {
	config := &scaffold.Config{
		App: c.App, Label: c.Label, ContactEmail: c.Email, Definition: c.Definition, Policies: c.Policies, Scopes: c.Scope, CallbackURLs: c.CallbackURL,
		Preset: c.Preset, PermissionSets: c.PermissionSet,
	}
	if c.JWT {
		if c.Preset != "" && c.Preset != "ci" {
			return nil, usage.Errorf("--jwt is --preset ci, and not %s", c.Preset)
		}
		config.Preset = "ci"
	}
	if len(c.Client) > 0 && config.Preset != "mcp" {
		return nil, usage.Errorf("--client goes with --preset mcp")
	}
	for _, client := range c.Client {
		urls, err := scaffold.ClientCallbacks(client)
		if err != nil {
			return nil, usage.Errorf("--client: %w", err)
		}
		config.CallbackURLs = append(config.CallbackURLs, urls...)
	}
	for _, env := range c.Env {
		alias, user, _ := strings.Cut(env, "=")
		config.Environments = append(config.Environments, scaffold.Environment{Alias: alias, RunAsUser: user})
	}
	if config.App != "" && config.ContactEmail != "" {
		return config, nil
	}
	if !e.terminal || e.JSON {
		return nil, usage.Errorf("--app and --contact-email are required without a terminal")
	}
	return config, c.ask(ctx, e, config)
}

// writeWithKey writes the files, and the private key that belongs to them. A key without its files
// is removed.
func writeWithKey(root string, files []scaffold.File, keyFile string, key salesforce.Secret) error {
	if !key.IsZero() {
		if err := writeKey(keyFile, key); err != nil {
			return err
		}
	}
	err := scaffold.Write(root, files)
	if err != nil && !key.IsZero() {
		os.Remove(keyFile)
	}
	return err
}

// sign marks a file in a list: new, or as an earlier run wrote it.
func sign(exists bool) string {
	if exists {
		return "="
	}
	return "+"
}

// wrote tells which files were written, or would be.
func (r *initResult) wrote(e *env, what string, files []scaffold.File) {
	switch {
	case len(files) == 0:
		e.Line("eca: nothing to change for %s: the project has all its files", what)
	case r.DryRun:
		e.Line("eca: would write for %s", what)
	default:
		e.Line("eca: wrote for %s", what)
	}
	r.Files = listFiles(e, files)
}

// listFiles prints files, new ones and changed ones, and returns their paths.
func listFiles(e *env, files []scaffold.File) (paths []string) {
	paths = []string{}
	for _, f := range files {
		mark := sign(false)
		if f.Replaces {
			mark = "~"
		}
		e.Line("  %s %s", mark, f.Path)
		paths = append(paths, f.Path)
	}
	return paths
}

// connection writes the source of a connection.
func (c *initCmd) connection(ctx context.Context, e *env, root string, project fs.FS) (result, error) {
	if c.App == "" {
		return nil, usage.Errorf("--connection needs --app, the app on the org that is called")
	}
	if c.Email != "" || c.Label != "" || c.Preset != "" || c.JWT || c.Definition != "" || c.Policies != "" || len(c.Scope)+len(c.CallbackURL)+len(c.Client) > 0 || c.Certificate != "" || c.Key != "" {
		return nil, usage.Errorf("--connection writes no app: it goes with --app, --env, --permission-set and --dry-run alone")
	}
	config := scaffold.ConnectionConfig{App: c.App, Connection: connection.Connection{NamedCredential: c.Connection, PermissionSets: c.PermissionSet}}
	for _, env := range c.Env {
		alias, from, _ := strings.Cut(env, "=")
		if from == "" {
			return nil, usage.Errorf("--env %s: name the org that it calls, as in --env %s=PROVIDER", env, alias)
		}
		if strings.EqualFold(alias, from) {
			return nil, usage.Errorf("--env %s: an org does not call itself by a connection", env)
		}
		session, err := e.Store().Session(ctx, from)
		if err != nil {
			return nil, err
		}
		config.Environments = append(config.Environments, scaffold.Calls{Alias: alias, From: from, URL: session.InstanceURL})
	}
	if len(config.Environments) == 0 {
		return nil, usage.Errorf("--connection needs --env ALIAS=PROVIDER: the org that calls, and the one that it calls")
	}
	files, err := scaffold.NewConnection(project, config)
	if exists, ok := errors.AsType[*scaffold.ExistsError](err); ok && exists.Same {
		files, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !c.DryRun {
		if err := scaffold.Write(root, files); err != nil {
			return nil, err
		}
	}
	r := &initResult{App: c.App, DryRun: c.DryRun}
	r.wrote(e, "the connection "+c.Connection, files)
	if !c.DryRun && len(files) > 0 {
		e.Line("eca: done. Commit, run sfp build and sfp install on these orgs, and then eca connect, which stores the secret. On other orgs sfp finds no folder in the package, and fails: leave it out there.")
	}
	return r, nil
}

// ask asks for what the configuration lacks.
func (c *initCmd) ask(ctx context.Context, e *env, config *scaffold.Config) error {
	lines := bufio.NewScanner(e.Stdin)
	question := func(text string) (string, error) {
		e.Print(console.Clean(text) + ": ")
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
