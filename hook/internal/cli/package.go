package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/packaged"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
)

type packageCmd struct {
	TargetOrg string `short:"o" placeholder:"DEVHUB" help:"Alias or username of the Dev Hub. Default: sf's default org."`
	App       string `placeholder:"NAME" required:"" help:"API name of the app on the Dev Hub."`
	Dir       string `placeholder:"DIR" help:"Directory of the unlocked package, whose name is its last element. Default: eca-NAME beside the first package."`
	Nonprod   string `placeholder:"NAME" help:"A second app with a consumer of its own, for sandboxes and scratch orgs, in a package of its own, so that production's key and secret stay out of them."`
	DryRun    bool   `name:"dry-run" help:"Show what would be written, and write nothing."`
	Path      string `arg:"" optional:"" default:"." help:"The sfp project."`

	Create      bool     `group:"A new app:" help:"Create the app with its consumer on the Dev Hub first, or complete it."`
	Label       string   `group:"A new app:" help:"Its label. Default: its name."`
	Email       string   `name:"contact-email" group:"A new app:" placeholder:"ADDRESS" help:"Its contact."`
	Preset      string   `enum:",server,web,spa,mcp" default:"" group:"A new app:" help:"What it is for: server (client credentials), web (authorization code), spa (public client), mcp (AI clients)."`
	Scope       []string `placeholder:"SCOPE" group:"A new app:" help:"OAuth scopes. Default: the preset's, or Api and RefreshToken."`
	CallbackURL []string `sep:"none" name:"callback-url" placeholder:"URL" group:"A new app:" help:"Callback URLs. Default: the Dev Hub's own domain."`

	callFlags `embed:""`
}

func (packageCmd) Help() string {
	return `Pattern 1 of flxbl's guide: orgs install an unlocked package and share the app's consumer on the Dev Hub. eca reads the header and the OAuth settings with their link from the Dev Hub, and writes them to the project as a package, with entries in sfdx-project.json and .forceignore. Then eca prints the remaining steps.

--create creates the app. --nonprod NAME adds a second app in its own package, for sandboxes and scratch orgs.`
}

// packageResult is what --json says of packages.
type packageResult struct {
	outcome
	orgs.Calls
	Packages []packageReport `json:"packages"`
	DryRun   bool            `json:"dryRun"`
	Steps    []string        `json:"steps"` // what is left to do, in order
}

// packageReport is one app in its package.
type packageReport struct {
	App     string   `json:"app"`
	Package string   `json:"package"`
	Dir     string   `json:"dir"`
	OrgID   string   `json:"orgId"` // that has the consumer
	Made    []string `json:"made,omitempty"`
	Files   []string `json:"files"`
}

func (c *packageCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	root, project, err := openProject(c.Path)
	if err != nil {
		return nil, err
	}
	// What is wrong with the project is said before anything is made on the Dev Hub.
	for _, app := range c.apps() {
		if _, _, err := scaffold.NewPackage(project, scaffold.PackageConfig{Components: []*metadata.Component{{Type: eca.Header, FullName: app}}, Dir: c.dir(app)}); err != nil {
			return nil, err
		}
		if _, err := c.config(app); err != nil {
			return nil, err
		}
	}
	org, err := e.org(c.TargetOrg)
	if err != nil {
		return nil, err
	}
	e.Verbose = c.Verbose
	work := orgs.NewWork(e.Log(), c.Verbose)
	r := &packageResult{Packages: []packageReport{}, DryRun: c.DryRun}
	_, err = orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (any, error) {
		for _, app := range c.apps() {
			if err := c.pack(ctx, e, conn, root, project, app, r); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	r.Calls = work.Calls()
	if err != nil {
		return r, err
	}
	r.Steps = c.steps(org, r.Packages)
	if c.DryRun {
		e.Line("eca: nothing was written (--dry-run)")
		return r, nil
	}
	e.Line("eca: done. Next steps:")
	for i, step := range r.Steps {
		e.Line("  %d. %s", i+1, step)
	}
	return r, nil
}

func (c *packageCmd) check() error {
	switch {
	case c.Create && c.DryRun:
		return usage.Errorf("--dry-run writes nothing, and --create makes an app: choose one")
	case !c.Create && (c.Label != "" || c.Email != "" || c.Preset != "" || len(c.Scope)+len(c.CallbackURL) > 0):
		return usage.Errorf("--label, --contact-email, --preset, --scope and --callback-url need --create")
	case strings.EqualFold(c.Nonprod, c.App):
		return usage.Errorf("--nonprod is a second app: give it another name")
	}
	return c.callFlags.Check()
}

// apps are the apps to package: production's first.
func (c *packageCmd) apps() []string {
	if c.Nonprod == "" {
		return []string{c.App}
	}
	return []string{c.App, c.Nonprod}
}

// pack makes one app where that is asked for, reads it, and writes its package.
func (c *packageCmd) pack(ctx context.Context, e *env, conn *salesforce.Conn, root string, project fs.FS, name string, r *packageResult) error {
	report := packageReport{App: name}
	if c.Create {
		config, err := c.config(name)
		if err != nil {
			return err
		}
		outcomes, err := packaged.Create(ctx, conn, config)
		for _, o := range outcomes {
			if o.OK() && o.Action != reconcile.Unchanged {
				report.Made = append(report.Made, o.Want.Type.Name+" "+o.FullName)
				e.Line("  + %s %s on the Dev Hub", o.Want.Type.Name, o.FullName)
			}
		}
		if errors.Is(err, packaged.ErrNoContact) {
			return usage.Errorf("%s: %w: give it with --contact-email", name, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	app, err := packaged.Read(ctx, conn, name)
	if err != nil {
		switch {
		case !c.Create && (errors.As(err, new(*apps.NotFoundError)) || errors.As(err, new(*apps.NoOAuthError))):
			return fmt.Errorf("%w; --create makes it", err)
		case errors.As(err, new(*packaged.LocalError)):
			return fmt.Errorf("%w; --create makes it Packaged, with the consumer that it has", err)
		}
		return err
	}
	files, dir, err := scaffold.NewPackage(project, scaffold.PackageConfig{Components: app.Components(), Dir: c.dir(name)})
	if err != nil {
		return err
	}
	if !c.DryRun {
		if err := scaffold.Write(root, files); err != nil {
			return err
		}
	}
	report.App, report.Package, report.Dir, report.OrgID, report.Files = app.Name, path.Base(dir), dir, app.OrgID, []string{}
	e.Line("%s, package %s", app.Name, report.Package)
	if len(files) == 0 {
		e.Line("  = nothing to change")
	}
	report.Files = append(report.Files, listFiles(e, files)...)
	r.Packages = append(r.Packages, report)
	return nil
}

// dir is the directory of an app's package, "" for the default.
func (c *packageCmd) dir(name string) string {
	if name != c.App && c.Dir != "" {
		return c.Dir + "-nonprod"
	}
	return c.Dir
}

// config is what a new app is.
func (c *packageCmd) config(name string) (packaged.Config, error) {
	config := packaged.Config{Name: name, Label: c.Label, ContactEmail: c.Email, OAuthSettings: make(metadata.Fields), GlobalOAuthSettings: make(metadata.Fields)}
	if name != c.App && c.Label != "" {
		config.Label += " (nonprod)"
	}
	scopes := c.Scope
	for _, preset := range scaffold.Presets() {
		if preset.Name == c.Preset {
			if len(scopes) == 0 {
				scopes = preset.Scopes
			}
			for field, on := range preset.Global {
				config.GlobalOAuthSettings.Set(field, fmt.Sprint(on))
			}
			if preset.Callbacks && len(c.CallbackURL) == 0 {
				return config, usage.Errorf("the preset %s needs a callback URL: give one with --callback-url", preset.Name)
			}
		}
	}
	for _, scope := range scopes {
		if err := eca.CheckScope(scope); err != nil {
			return config, usage.Errorf("--scope: %w", err)
		}
	}
	if len(scopes) > 0 {
		config.OAuthSettings.Set("commaSeparatedOauthScopes", strings.Join(scopes, ", "))
	}
	if len(c.CallbackURL) > 0 {
		config.GlobalOAuthSettings.Set("callbackUrl", strings.Join(c.CallbackURL, "\n"))
	}
	return config, nil
}

// steps are what the guide has people do next, with the names of this project.
func (c *packageCmd) steps(hub string, packages []packageReport) (steps []string) {
	prod := packages[0]
	steps = append(steps, "Look at the files and commit them. They contain no key and no secret. The link to the consumer belongs to them.")
	for _, p := range packages {
		steps = append(steps,
			fmt.Sprintf("Once: sf package create --name %s --package-type Unlocked --path %s --target-dev-hub %s", p.Package, p.Dir, hub),
			fmt.Sprintf("For each version: sf package version create --package %s --installation-key-bypass --wait 30 --target-dev-hub %s, or sfp build -v %s", p.Package, hub, hub))
	}
	steps = append(steps, fmt.Sprintf("Before %s is installed on %s itself for the first time: export its key and secret (eca credentials -o %s --app %s --enable-access --output FILE), and delete the app %s there, because the package contains it", prod.Package, hub, hub, prod.App, prod.App))
	if len(packages) > 1 {
		other := packages[1]
		steps = append(steps,
			fmt.Sprintf("Sandboxes and scratch orgs get %s, production gets %s: leave %s out of the release that goes to production, and %s out of all others", other.Package, prod.Package, other.Package, prod.Package),
			fmt.Sprintf(`Packages that are developed against the app depend on the second one: "dependencies": [{"package": %q, "versionNumber": "1.0.0.LATEST"}]`, other.Package))
	}
	for _, p := range packages {
		steps = append(steps,
			fmt.Sprintf("Install: sf package install --package %s@VERSION --target-org ORG --wait 20, or sfp install -o ORG", p.Package))
	}
	steps = append(steps, "In each org, say who may log in and as whom: OAuth policies of the app, retrieved from an org that has it (sf project retrieve start --metadata ExtlClntAppOauthConfigurablePolicies), in an aliasfied package of their own")
	for _, p := range packages {
		steps = append(steps, fmt.Sprintf("Prove a login, once the policies are there: eca verify -o ORG --app %s --from %s --enable-access", p.App, hub))
	}
	return steps
}
