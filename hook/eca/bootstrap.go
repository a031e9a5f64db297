package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// job is what bootstrap and plan are told alike.
type job struct {
	TargetOrg  []string `short:"o" sep:"none" placeholder:"ORG" help:"Alias or username of the org; can be repeated for several. Otherwise sf's default: SF_TARGET_ORG, then target-org of the project, then of the user."`
	Orgs       string   `placeholder:"FILE" help:"File with further orgs, one a line, or what sf org list --json prints. - reads standard input."`
	AllScratch bool     `name:"all-scratch" help:"All scratch orgs that sf is logged in to and that have not expired."`
	Jobs       int      `default:"16" help:"How many orgs are worked on at once."`
	FailFast   bool     `name:"fail-fast" help:"Begin no further org after one that failed."`
	places     `embed:""`
	Path       string `arg:"" optional:"" default:"." help:"Project, package directory, or an artifact's source directory."`
}

type bootstrapCmd struct {
	job `embed:""`
}

func (bootstrapCmd) Help() string {
	return `Does what the hook does, for a person: eca bootstrap -o uat brings all Local apps of the project in the working directory to the org uat; eca bootstrap -o uat src/eca-definition those of one package.

With several orgs (-o a -o b, --orgs FILE, --all-scratch) each has a row in the table at the end, and the exit code is 1 where one failed. What happens on one org touches no other.`
}

// Run bootstraps.
func (c *bootstrapCmd) Run(ctx context.Context, sys *system, out *output, all *cli) error {
	return c.run(ctx, sys, out, all, false)
}

type planCmd struct {
	job      `embed:""`
	ExitCode bool `name:"exit-code" help:"Exit with 3 where something would change."`
}

func (planCmd) Help() string {
	return `Reads the org and compares it with what the project wants, field by field. Exits with 0, or with --exit-code and changes pending with 3.`
}

// Run plans.
func (c *planCmd) Run(ctx context.Context, sys *system, out *output, all *cli) error {
	err := c.run(ctx, sys, out, all, true)
	if err == nil && c.ExitCode && out.document.pending() > 0 {
		return errPending
	}
	return err
}

func (j *job) run(ctx context.Context, sys *system, out *output, all *cli, planOnly bool) error {
	root, rel, err := findProject(j.Path)
	if err != nil {
		return err
	}
	project, err := openDir(root)
	if err != nil {
		return err
	}
	artifacts, err := j.artifacts(root)
	if err != nil {
		return err
	}
	location := bootstrap.Location{
		Project: project, Dir: root, Policies: j.Policies, Artifacts: artifacts, Sibling: project,
	}
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(sfp.OriginalProjectFile))); err == nil {
		location.Sibling = siblingProject() // an artifact's source has no siblings of its own
	}
	if rel != "." {
		p, err := sfp.ReadProject(project, sfp.ProjectFile)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(p.Packages, func(p sfp.Package) bool {
			inside, err := filepath.Rel(filepath.FromSlash(p.Path), rel)
			return err == nil && p.Name != "" && filepath.IsLocal(inside)
		})
		if i < 0 {
			return usageError{fmt.Errorf("%s is in no package of %s; give the project or the directory of one of its packages", j.Path, filepath.Join(root, sfp.ProjectFile))}
		}
		location.Package = p.Packages[i].Name
	}
	source, err := bootstrap.Load(location)
	if err != nil {
		return err
	}
	if j.Jobs < 1 {
		return usageError{errors.New("--jobs must be at least 1")}
	}
	options := bootstrap.Options{ApplyPolicies: j.ApplyPolicies, PlanOnly: planOnly}
	orgs, err := j.orgs(sys)
	if err != nil {
		return err
	}
	if len(orgs) > 1 || j.Orgs != "" || j.AllScratch {
		return executeAll(ctx, sys, out, all, orgs, source, options, j.Jobs, j.FailFast)
	}
	return execute(ctx, sys, out, all, orgs[0], source, options)
}

// findProject finds the project that a path is in, and the path relative to it.
func findProject(path string) (root, rel string, err error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return "", "", usageError{fmt.Errorf("%s is no directory", path)}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", "", err
	}
	for dir := abs; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, sfp.ProjectFile)); err == nil {
			if rel, err = filepath.Rel(dir, abs); err != nil {
				return "", "", err
			}
			return shortest(dir), rel, nil
		}
		if dir == filepath.Dir(dir) {
			return "", "", usageError{fmt.Errorf("%s is in no Salesforce project (there is no %s in it or above it); run this inside a project, or give its directory", path, sfp.ProjectFile)}
		}
	}
}

// shortest writes a directory relative to the working directory where it is
// below that.
func shortest(dir string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, dir); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return dir
}
