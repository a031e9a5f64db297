package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/sfp"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// bootstrapFlags are what bootstrap and plan are told alike.
type bootstrapFlags struct {
	orgFlags    `embed:""`
	policyFlags `embed:""`
	callFlags   `embed:""`
	Headers     bool `help:"Also deploy the apps' headers, which sfp deploys by default, and create permission sets of their settings that grant nothing else. With --apply-policies, a refreshed sandbox has all its apps again."`
	kept        keptConsumers
	Path        string `arg:"" optional:"" default:"." help:"Project, package directory, or an artifact's source directory."`
}

type bootstrapCmd struct {
	bootstrapFlags `embed:""`
	ConsumersFrom  string `name:"consumers-from" placeholder:"FILE" help:"Give new consumers the keys and secrets in this output of eca credentials, for the time after a sandbox refresh. - reads standard input. The org may choose others; eca logs in and says so."`
}

func (bootstrapCmd) Help() string {
	return `Does what the hook does. eca bootstrap -o uat deploys the OAuth of all Local apps of the project in the working directory to the org uat. eca bootstrap -o uat src/eca-definition deploys that of one package.

With several orgs (-o a -o b, --orgs FILE, --all-scratch) each has a row in the table at the end, and the exit code is 1 if one of them failed. A failure on one org does not affect the others.`
}

func (c *bootstrapCmd) run(ctx context.Context, e *env) (result, error) {
	if c.ConsumersFrom != "" {
		var err error
		if c.kept, err = readKept(c.ConsumersFrom, e.Stdin); err != nil {
			return nil, err
		}
	}
	r, _, err := c.bootstrap(ctx, e, false)
	return r, err
}

type planCmd struct {
	bootstrapFlags `embed:""`
	ExitCode       bool `name:"exit-code" help:"Exit with 3 if something would change."`
}

func (planCmd) Help() string {
	return `Reads the org and compares it with the project, field by field. Makes the checks of eca bootstrap, and exits with 1 if the bootstrap would fail. With --exit-code, exits with 3 if the bootstrap would change something.

Always compares the environment's OAuth policies. If eca does not apply them, the plan names the tool that deploys them, and their changes are not pending.`
}

func (c *planCmd) run(ctx context.Context, e *env) (result, error) {
	r, pending, err := c.bootstrap(ctx, e, true)
	if err == nil && c.ExitCode && pending > 0 {
		err = errPending
	}
	return r, err
}

// fleetOfReports is what --json says of a bootstrap, or its plan, on several orgs.
type fleetOfReports struct {
	outcome
	*orgs.FleetResult[*bootstrap.Report]
}

// bootstrap does what both commands do, and returns how many changes are pending.
func (f *bootstrapFlags) bootstrap(ctx context.Context, e *env, planOnly bool) (r result, pending int, err error) {
	if err := f.callFlags.Check(); err != nil {
		return nil, 0, err
	}
	source, err := f.load(e)
	if err != nil {
		return nil, 0, err
	}
	job := newBootstrapJob(e, &f.callFlags, source, planOnly)
	job.options = bootstrap.Options{ApplyPolicies: f.ApplyPolicies, Headers: f.Headers}
	targets, err := e.Orgs(&f.orgFlags)
	if err != nil {
		return nil, 0, err
	}
	job.kept, job.several = f.kept, f.Several(targets)
	if !job.several {
		one := new(bootstrapResult)
		if err = one.execute(ctx, job, targets[0]); one.Report != nil {
			pending = one.Report.Pending
		}
		return one, pending, err
	}
	all, err := orgs.Fleet(ctx, e.Env, &f.orgFlags, &f.callFlags, targets, orgs.FleetWork[*bootstrap.Report]{
		Column: "CHANGES", Remarks: remarks,
		Exists: func(r *bootstrap.Report) bool { return r != nil },
		Cell:   func(r *bootstrap.Report) string { return fmt.Sprint(changesOf(r)) },
		Ended: func(r *bootstrap.Report) string {
			switch n := changesOf(r); {
			case n == 0:
				return ", nothing to change"
			case planOnly:
				return ", " + console.Plural(n, "change") + " pending"
			default:
				return ", " + console.Plural(n, "change")
			}
		},
		Do: func(ctx context.Context, org string, work *orgs.Work) (*bootstrap.Report, error) {
			return job.on(ctx, work, org)
		},
	})
	if all == nil {
		return nil, 0, err
	}
	for _, org := range all.Orgs {
		if org.Report != nil {
			pending += org.Report.Pending
		}
	}
	return &fleetOfReports{FleetResult: all}, pending, err
}

// load reads the project, package or artifact that the flags name.
func (f *bootstrapFlags) load(e *env) (*wanted.Source, error) {
	root, rel, err := findProject(f.Path)
	if _, missing := os.Stat(f.Path); missing != nil && !strings.ContainsAny(f.Path, `/\`) {
		return nil, usage.Errorf("%s is not a directory; if it is an org, write -o %s", f.Path, f.Path)
	}
	if err != nil {
		return nil, err
	}
	project, err := openDir(root)
	if err != nil {
		return nil, err
	}
	artifacts := ""
	if f.Artifacts != "" {
		if artifacts, err = f.artifacts(root); err != nil {
			return nil, err
		}
	}
	location := wanted.Location{
		Project: project, Dir: root, Policies: f.Policies, Artifacts: artifacts, NoArtifacts: "the source counts before artifacts",
		Sibling: project, Getenv: e.replacing,
	}
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(sfp.OriginalProjectFile))); err == nil {
		location.Sibling = siblingProject() // an artifact's source has no siblings of its own
	}
	if rel != "." {
		p, err := sfp.ReadProject(project, sfp.ProjectFile)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(p.Packages, func(p sfp.Package) bool {
			inside, err := filepath.Rel(filepath.FromSlash(p.Path), rel)
			return err == nil && filepath.IsLocal(inside)
		})
		if i < 0 {
			return nil, usage.Errorf("%s is in no package of %s; give the project or the directory of one of its packages", f.Path, filepath.Join(root, sfp.ProjectFile))
		}
		if location.Package = p.Packages[i].Name; location.Package == "" { // sf needs no name
			location.PackageDirectory = p.Packages[i].Path
		}
	}
	return wanted.Load(location)
}
