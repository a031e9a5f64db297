package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/adopt"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
)

type adoptCmd struct {
	TargetOrg  string   `short:"o" placeholder:"ORG" help:"Alias or username of the org. Default: that of sf, SF_TARGET_ORG, then target-org of the project, then of the user, then the org of SF_ACCESS_TOKEN and SF_ORG_INSTANCE_URL."`
	App        []string `sep:"none" placeholder:"NAME" help:"API name of an app of the org. Can be repeated."`
	All        bool     `help:"All apps of the org."`
	Env        string   `aliases:"alias" placeholder:"ALIAS" help:"Environment of the policies and settings. Default: the alias of the org."`
	DryRun     bool     `name:"dry-run" help:"Show the files, and write nothing."`
	Project    string   `placeholder:"DIR" default:"." help:"The project. Default: that of the working directory."`
	Definition string   `placeholder:"DIR" help:"Directory of the package with the headers. Default: the package that has such, or eca-definition beside the first package."`
	Policies   string   `placeholder:"DIR" help:"Directory of the package with the policies. Default: the package that has such, or eca-policies beside the first package."`
	callFlags  `embed:""`
}

func (adoptCmd) Help() string {
	return `Adds apps that exist on an org to the project: apps made in Setup, moved by "Migrate to External Client App" in Setup, or deployed as source. eca writes the header, the policies of the environment (and of default, with client credentials off), SAML policies and canvas settings, the certificate, and settings in plugins.eca that differ from the defaults. It writes no key, no secret, no ID of the org, and nothing to the org. Afterwards, eca plan -o ORG shows that nothing is to change.

Run the command again with another org to add the policies of its environment, and the settings that differ there. eca overwrites nothing. If the project has other policies or settings of the app for the environment, eca names the files that differ and exits with 1.

Of an app from a package, eca writes the policies alone. It lists apps of Salesforce and apps that a project cannot describe, changes nothing for them, and exits with 3.

  eca adopt -o uat --app ErpConnector`
}

// adoptResult is what --json says of an adoption.
type adoptResult struct {
	outcome
	Org         string       `json:"org"`
	Environment string       `json:"environment"`
	Apps        []adoptedApp `json:"apps"`
	DryRun      bool         `json:"dryRun"`           // nothing was written
	Unseen      []string     `json:"unseen,omitempty"` // types of components that the org does not show
}

// adoptedApp is what became of one app.
type adoptedApp struct {
	App   string            `json:"app"`
	State adoptionState     `json:"state"`
	Files []string          `json:"files,omitempty"` // that are written, or would be
	Notes []finding.Finding `json:"notes,omitempty"`
	Why   string            `json:"why,omitempty"`   // it is left
	Error string            `json:"error,omitempty"` // why it is not adopted

	err error
}

// adoptionState is what became of an app.
type adoptionState string

// The states, in the order of the summary.
const (
	adoptedNow      adoptionState = "adopted"
	alreadyDeclared adoptionState = "already declared"
	leftAsItIs      adoptionState = "left"
	notAdopted      adoptionState = "not adopted"
)

func (c *adoptCmd) run(ctx context.Context, e *env) (result, error) {
	if c.All == (len(c.App) > 0) {
		return nil, usage.Errorf("name the apps with --app, or give --all")
	}
	if err := c.callFlags.Check(); err != nil {
		return nil, err
	}
	root, fsys, err := openProject(c.Project)
	if errors.As(err, new(*project.NoProjectError)) {
		return nil, usage.Error{Err: fmt.Errorf("%w; create a project with sf project generate --name NAME, and run the command in it", errors.Unwrap(err))}
	}
	if err != nil {
		return nil, err
	}
	org, err := e.org(c.TargetOrg)
	if err != nil {
		return nil, err
	}
	r := &adoptResult{Org: org, Apps: []adoptedApp{}, DryRun: c.DryRun}
	work := orgs.NewWork(e.Log(), c.Verbose)
	all, err := orgs.On(ctx, e.Env, work, &c.callFlags, r.Org, func(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) ([]adopt.App, error) {
		defer stillReading(work, "apps", r.Org)()
		if r.Environment = c.Env; r.Environment == "" {
			r.Environment = session.Alias
		}
		if r.Environment == "" {
			return nil, usage.Errorf("the org has no alias: name the environment with --env")
		}
		org, err := adopt.Read(ctx, conn, r.Environment)
		if err != nil {
			return nil, err
		}
		r.Unseen = org.Unseen
		return org.Apps(c.App...)
	})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		e.Line("eca: %s has no External Client App", r.Org)
		return r, nil
	}
	seen := make(map[string]bool) // files of a dry run, which several apps would add
	for _, app := range all {
		one := adoptedApp{App: app.App, Notes: app.Notes()}
		adopted, err := new(scaffold.Adopted), error(nil)
		if one.Why = app.Left; one.Why == "" {
			adopted, err = scaffold.Adopt(fsys, app.Adoption)
		}
		if err == nil && !c.DryRun {
			err = scaffold.Write(root, adopted.Files)
		}
		if c.DryRun && err == nil {
			adopted.Files = slices.DeleteFunc(adopted.Files, func(f scaffold.File) bool { return seen[f.Path] && !f.Replaces })
			for _, f := range adopted.Files {
				seen[f.Path] = true
			}
		}
		one.end(e, adopted, err, len(all) > 1)
		r.Apps = append(r.Apps, one)
	}
	for _, unseen := range r.Unseen {
		e.Line("not shown by %s: %s", r.Org, unseen)
	}
	return r, r.summary(e)
}

// end sets and shows what became of an app. That of a single one is the error of the run if it is not adopted.
func (one *adoptedApp) end(e *env, adopted *scaffold.Adopted, err error, several bool) {
	switch {
	case one.Why != "":
		one.State, one.Notes = leftAsItIs, nil
		if several {
			e.Line("%s: %s: %s", one.App, leftAsItIs, console.OneLine(one.Why))
		}
	case err != nil:
		one.State, one.Notes, one.Error, one.err = notAdopted, nil, console.OneLine(err.Error()), err
		if several {
			e.Line("  %s %s", console.Failure, one.Error)
		}
	case len(adopted.Files) == 0:
		one.State, one.Notes = alreadyDeclared, nil
		e.Line("%s: the project already declares it; = nothing to change", one.App)
	default:
		one.State = adoptedNow
		e.Line("%s", one.App)
		one.Files = listFiles(e, adopted.Files)
		one.Notes = append(one.Notes, adopted.Notes...)
		for _, note := range one.Notes {
			printFinding(e.Console, "  ", note)
		}
	}
}

// summary prints the last line, or returns it as an error if an app is not adopted.
func (r *adoptResult) summary(e *env) error {
	count := make(map[adoptionState]int)
	var first adoptedApp
	for _, one := range r.Apps {
		count[one.State]++
		if first.App == "" && (one.State == notAdopted || one.State == leftAsItIs && count[notAdopted] == 0) {
			first = one
		}
		if one.State == notAdopted && first.State == leftAsItIs {
			first = one
		}
	}
	var parts []string
	for _, state := range []adoptionState{adoptedNow, alreadyDeclared, leftAsItIs, notAdopted} {
		if n := count[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	summary := fmt.Sprintf("%s of %s: %s", console.Plural(len(r.Apps), "app"), r.Org, strings.Join(parts, ", "))
	if r.DryRun {
		summary += "; nothing was written"
	}
	switch {
	case count[notAdopted] > 0 && len(r.Apps) == 1:
		return &orgs.Error{Org: r.Org, Err: first.err}
	case count[notAdopted] > 0:
		return fmt.Errorf("%s: %w", summary, first.err)
	case count[leftAsItIs] > 0 && len(r.Apps) == 1:
		return foundError{fmt.Errorf("%s: %s is left as it is: %s", r.Org, first.App, first.Why)}
	case count[leftAsItIs] > 0:
		return foundError{errors.New(summary)}
	}
	e.Line("eca: %s", summary)
	if count[adoptedNow] > 0 && !r.DryRun {
		compare := "-o " + r.Org
		if strings.Contains(r.Org, "://") { // that of SF_ORG_INSTANCE_URL
			compare = "--alias " + r.Environment
		}
		e.Line("eca: done. Look at the files, and commit them. To compare with the org: eca plan %s", compare)
	}
	return nil
}
