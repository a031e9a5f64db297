package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
)

type initCmd struct {
	App           string   `placeholder:"NAME" help:"The app's API name. An app that the project has gets the environments of --env, and files that got lost."`
	Label         string   `help:"The app's label. Default: its name."`
	Email         string   `name:"contact-email" placeholder:"ADDRESS" help:"The app's contact, which Salesforce requires."`
	Env           []string `sep:"none" placeholder:"ALIAS[=USERNAME]" help:"An org with policies of its own, by its alias, and the user that client credentials run as there. Without a user, that flow stays off. Can be repeated. Existing folders get the app's policies as well, with that flow off."`
	RunAs         []string `sep:"none" name:"run-as" placeholder:"[ALIAS=]USERNAME" help:"The user that client credentials run as, on the org with the alias or on that of --env. Can be repeated."`
	Scope         []string `placeholder:"SCOPE" help:"OAuth scopes. Default: those of the preset. Without a preset: Api and RefreshToken, or Api alone if --env names a user and there is neither a callback URL nor a certificate."`
	CallbackURL   []string `sep:"none" name:"callback-url" aliases:"callback" placeholder:"URL" help:"Callback URLs. Default: the org's own success page."`
	Preset        string   `enum:",server,ci,web,spa,mcp,agent,models" default:"" help:"Purpose of the app: server (client credentials), ci (JWT bearer, for sf org login jwt), web (authorization code), spa (public client), mcp (AI clients), agent (Agent API), models (Models API)."`
	JWT           bool     `name:"jwt" help:"The same as --preset ci."`
	Client        []string `sep:"none" placeholder:"CLIENT[=VALUE]" help:"AI client whose callback URLs are added: claude, claude-code=PORT, chatgpt=URL, cursor, vscode, postman, gemini-cli, power-platform=URL. Can be repeated."`
	PermissionSet []string `name:"permission-set" sep:"none" placeholder:"NAME" help:"Permission set that grants the app. Can be repeated. A permission set that the project lacks is created, empty. Default: APP_Users."`
	Certificate   string   `placeholder:"FILE" help:"Certificate, in PEM or DER, for JWT bearer. Default: the preset ci creates a key and a certificate."`
	Key           string   `placeholder:"FILE" help:"File for the private key that the preset ci creates, with mode 0600, outside the project. Default: ~/.config/eca/APP.key."`
	Days          int      `default:"365" help:"Number of days for which the certificate of the preset ci is valid."`
	Layout        string   `enum:",sfp,sf" default:"" help:"Tool that deploys the project: sfp or sf. Default: sfp if the project has keys, directories or release definitions of sfp."`
	NewProject    bool     `name:"new-project" help:"Create a minimal sfdx-project.json if the directory is in no project."`
	Pipeline      []string `placeholder:"github|gitlab" help:"Write a job that logs in, deploys with sf and bootstraps with eca: .github/workflows/salesforce.yml or .gitlab-ci.yml. Default: print both. For projects that sf deploys. Can be repeated."`
	Definition    string   `placeholder:"DIR" help:"Directory of the package with the header, whose name is its last element. Default: eca-definition beside the first package, or the default package directory in a project that sf deploys."`
	Policies      string   `placeholder:"DIR" help:"Directory of the package with the policies. Default: eca-policies beside the first package. In a project that sf deploys, policies are in eca/policies."`
	Connection    string   `placeholder:"NAME" help:"Write a named credential and its external credential instead, by which the orgs of --env call another: --env ALIAS=PROVIDER, both logged in to with sf. The secret is in neither; eca connect stores it."`
	DryRun        bool     `name:"dry-run" help:"Show what would be written, and write nothing."`
	Path          string   `arg:"" optional:"" default:"." help:"The project."`

	create bool // a project file, because there is none
}

func (initCmd) Help() string {
	return `Adds an app to a project. eca recognises the tool that deploys the project, see --layout.

sfp: a package with the app's header and the script that enables OAuth after its deployment, an aliasfied package with the policies of each environment (and default, with client credentials off, for other sandboxes), and the packages and settings in sfdx-project.json.

sf: the header in the default package directory, the policies of each environment in eca/policies/ALIAS, which eca bootstrap deploys, and the settings in sfdx-project.json. eca prints the commands and complete jobs for GitHub Actions and GitLab.

On a terminal, eca asks for what is not given. eca overwrites nothing. The command can be run again: it completes what an interrupted run has written, adds environments to an app that exists, restores a lost script or eca.sum, and changes nothing if all files exist with the same content.

To export the app's key and secret to their receiver, add handOver with a command and a check to plugins.eca, see eca help settings: "handOver": {"command": ["COMMAND", …], "check": ["COMMAND", …]}.`
}

// initResult is what --json says of what init wrote.
type initResult struct {
	outcome
	App    string   `json:"app"`
	Files  []string `json:"files"`
	DryRun bool     `json:"dryRun"`        // nothing was written
	Key    string   `json:"key,omitempty"` // the file of the private key that was made

	Layout  project.Layout `json:"layout,omitempty"`
	Next    []string       `json:"next,omitempty"`    // commands that bring the app to the orgs
	Clients []string       `json:"clients,omitempty"` // what a person does in each AI client
}

func (c *initCmd) run(ctx context.Context, e *env) (result, error) {
	root, fsys, err := c.open(ctx, e)
	if err != nil {
		return nil, err
	}
	if c.Connection != "" {
		return c.connection(ctx, e, root, fsys)
	}
	d, err := c.dialogue(ctx, e, fsys)
	if err != nil {
		return nil, err
	}
	r, err := c.add(e, root, fsys, d)
	if err != nil && d.asked {
		e.Line("  the answers as a command: %s", d.command(c))
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// open opens the project, or the directory in which it is to be created.
func (c *initCmd) open(ctx context.Context, e *env) (root string, fsys fs.FS, err error) {
	root, fsys, err = openProject(c.Path)
	switch {
	case errors.As(err, new(*project.NotDirectoryError)) && c.App == "" && !strings.ContainsAny(c.Path, `/\`):
		return "", nil, usage.Errorf("%s is not a directory; if it is an app, write --app %s", c.Path, c.Path)
	case !errors.As(err, new(*project.NoProjectError)) || c.Connection != "":
		return root, fsys, err
	case !c.NewProject && e.terminal && !e.JSON:
		answer, asked := e.question(ctx, e.lines(), c.Path+" is in no Salesforce project. Create a minimal one there? [y/N]")
		if answer = strings.ToLower(answer); asked != nil || answer != "y" && answer != "yes" {
			return "", nil, err
		}
	case !c.NewProject:
		return "", nil, usage.Error{Err: fmt.Errorf("%w; --new-project creates a minimal one", errors.Unwrap(err))}
	}
	c.create = true
	fsys, err = openDir(c.Path)
	return c.Path, fsys, err
}

// add adds what the dialogue is about to the project.
func (c *initCmd) add(e *env, root string, fsys fs.FS, d *initDialogue) (*initResult, error) {
	if d.extend {
		return c.extend(e, root, fsys, d)
	}
	config := &d.Config
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
	r := &initResult{App: config.App, DryRun: c.DryRun, Key: keyFile, Layout: d.layout}
	if files, err = c.withJobs(fsys, files, config.Environments); err != nil {
		return nil, err
	}
	if !c.DryRun {
		if err := writeWithKey(root, files, keyFile, key); err != nil {
			return nil, err
		}
	}
	r.wrote(e, config.App, files)
	if keyFile != "" {
		e.Line("  %s %s, the private key: keep it out of every repository", sign(key.IsZero()), keyFile)
	}
	for _, client := range d.clients {
		secret := ""
		if client.Secret {
			secret = " (this client needs the consumer secret)"
		}
		r.Clients = append(r.Clients, client.Product+": "+client.Needs+secret)
		e.Line("  %s", r.Clients[len(r.Clients)-1])
	}
	return r, c.finish(e, r, d, files)
}

// extend adds what the project lacks of an app that it has.
func (c *initCmd) extend(e *env, root string, fsys fs.FS, d *initDialogue) (*initResult, error) {
	files, err := scaffold.Extend(fsys, scaffold.Extension{App: d.App, Environments: d.Environments, Layout: d.Layout})
	if err != nil {
		return nil, err
	}
	if files, err = c.withJobs(fsys, files, d.Environments); err != nil {
		return nil, err
	}
	r := &initResult{App: d.App, DryRun: c.DryRun, Layout: d.layout}
	if !c.DryRun {
		if err := scaffold.Write(root, files); err != nil {
			return nil, err
		}
	}
	r.wrote(e, d.App, files)
	return r, c.finish(e, r, d, files)
}

// finish prints the last lines of a run.
func (c *initCmd) finish(e *env, r *initResult, d *initDialogue, files []scaffold.File) error {
	switch {
	case c.DryRun || len(files) == 0:
	case d.layout != project.LayoutSFP:
		return c.next(e, r, d.Environments, !d.extend)
	default:
		e.Line("eca: done. Look at the policies, commit, and run sfp build and sfp install; eca lint checks the project.")
	}
	return nil
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
func (c *initCmd) connection(ctx context.Context, e *env, root string, fsys fs.FS) (result, error) {
	if c.App == "" {
		return nil, usage.Errorf("--connection needs --app, the app on the org that is called")
	}
	if c.Email != "" || c.Label != "" || c.Preset != "" || c.JWT || c.Definition != "" || c.Policies != "" || len(c.Scope)+len(c.CallbackURL)+len(c.Client) > 0 || c.Certificate != "" || c.Key != "" {
		return nil, usage.Errorf("--connection writes no app: it goes with --app, --env, --permission-set and --dry-run alone")
	}
	config := scaffold.ConnectionConfig{Layout: project.Layout(c.Layout), App: c.App, Connection: connection.Connection{NamedCredential: c.Connection, PermissionSets: c.PermissionSet}}
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
	files, err := scaffold.NewConnection(fsys, config)
	if err != nil {
		return nil, err
	}
	if !c.DryRun {
		if err := scaffold.Write(root, files); err != nil {
			return nil, err
		}
	}
	r := &initResult{App: c.App, DryRun: c.DryRun, Layout: project.LayoutSFP}
	r.wrote(e, "the connection "+c.Connection, files)
	if !c.DryRun && len(files) > 0 {
		e.Line("eca: done. Commit, run sfp build and sfp install on these orgs, and then eca connect, which stores the secret. On other orgs sfp finds no folder in the package, and fails: leave it out there.")
	}
	return r, nil
}
