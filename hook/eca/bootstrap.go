package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// job is what bootstrap and plan are told alike.
type job struct {
	TargetOrg *string `short:"o" placeholder:"ORG" help:"Alias or username of the org. Otherwise sf's default: SF_TARGET_ORG, then target-org of the project, then of the user."`
	places    `embed:""`
	Path      string `arg:"" optional:"" default:"." help:"Project, package directory, or an artifact's source directory."`
}

type bootstrapCmd struct {
	job `embed:""`
}

func (bootstrapCmd) Help() string {
	return `Does what the hook does, for a person: eca bootstrap -o uat brings all Local apps of the project in the working directory to the org uat; eca bootstrap -o uat src/eca-definition those of one package.`
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
	if err == nil && c.ExitCode && out.document.Report.Pending > 0 {
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
	var org string
	if j.TargetOrg != nil {
		org = *j.TargetOrg // which an unset variable of a pipeline leaves empty
	} else {
		here, _, _ := findProject(".") // sf goes by where it runs, too
		if org, err = orgauth.DefaultOrg(here, sys.home, sys.getenv); err != nil {
			return err
		}
	}
	if org == "" {
		return usageError{errors.New("no org is named: give its alias or username with -o")}
	}
	return execute(ctx, sys, out, all, org, bootstrap.Options{Source: source, ApplyPolicies: j.ApplyPolicies, PlanOnly: planOnly})
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
