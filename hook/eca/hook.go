package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/sfp"
)

type hookCmd struct {
	places `embed:""`
	Args   []string `arg:"" optional:"" name:"args" help:"As sfp composes them: PACKAGE USERNAME ALIAS SOURCE PACKAGE_DIRECTORY after a package, SCRATCH_ORG_USERNAME HUB_USERNAME STATUS for a pool. Without any, the SFP_… variables that the script exports."`
}

func (hookCmd) Help() string {
	return `Name scripts/bootstrap-eca-oauth.sh as "postDeploymentScript" of the package that holds the apps' headers; it runs this command. Every Local app of the package gets its OAuth settings, its consumer, and its OAuth plugin switched on, as plugins.eca of sfdx-project.json wants it. What is there already stays, and only what differs is written.

The session is the one that sf has stored for the target org, or SF_ACCESS_TOKEN with SF_ORG_INSTANCE_URL. sfp hands over no flags; set their environment variables instead, such as ECA_ARTIFACTS where sfp install has another --artifactdir.`
}

// Run does what sfp's post-deployment script is for.
func (c *hookCmd) Run(ctx context.Context, sys *system, out *output, all *cli) error {
	invocation, err := sfp.ParseInvocation(c.Args, sys.getenv)
	if err != nil {
		return usageError{err}
	}
	if invocation.Pool() && invocation.Status == sfp.StatusFailed {
		out.document.Skipped = "the deployment to the scratch org failed"
		out.printf("eca: the deployment to %s failed, so its apps are left alone\n", invocation.Username)
		return nil
	}
	dir := invocation.Source
	if invocation.Pool() {
		dir = "." // sfp prepare runs in the project
	}
	project, err := openDir(dir)
	if err != nil {
		return fmt.Errorf("the source directory that sfp handed over: %w", err)
	}
	artifacts, err := c.artifacts(".")
	if err != nil {
		return err
	}
	source, err := bootstrap.Load(bootstrap.Location{
		Project: project, Dir: dir,
		Package: invocation.Package, PackageDirectory: invocation.PackageDirectory,
		Policies: c.Policies, Artifacts: artifacts, Sibling: siblingProject(),
	})
	if err != nil {
		return err
	}
	return execute(ctx, sys, out, all, invocation.Username, source, bootstrap.Options{
		Alias: invocation.Alias, ApplyPolicies: c.ApplyPolicies, Pool: invocation.Pool(),
	})
}

// execute runs a bootstrap, or only its plan, on an org and prints it. The
// options are completed here.
func execute(ctx context.Context, sys *system, out *output, all *cli, org string, source *bootstrap.Source, options bootstrap.Options) error {
	outliveReader()
	out.traffic = newTraffic(out, func(line string) { out.printf("  %s\n", line) })
	session, report, err := runOn(ctx, sys, out.traffic, all, org, source, options, func(r *bootstrap.Report, session *orgauth.Session) {
		out.together(func(out *output) { out.header(r, session.TokenGiven) })
	})
	out.document.Report = report
	out.together(func(out *output) {
		if session != nil {
			if by := session.Renewed(); by != "" {
				out.printf("  the session had expired and was renewed %s\n", by)
			}
		}
		if report != nil {
			out.outcome(report, err != nil)
		}
	})
	return err
}

// runOn runs a bootstrap, or only its plan, on an org. The session is nil where
// there is none. started, where it is not nil, is told as by bootstrap.Options. The error
// names the org.
func runOn(ctx context.Context, sys *system, traffic *traffic, all *cli, org string, source *bootstrap.Source, options bootstrap.Options, started func(*bootstrap.Report, *orgauth.Session)) (*orgauth.Session, *bootstrap.Report, error) {
	timeout := fmt.Errorf("not done after %s (--timeout)", all.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, all.Timeout, timeout)
	defer cancel()
	defer traffic.close()
	session, conn, err := sys.connect(ctx, traffic, all, org, source)
	if ctx.Err() != nil {
		return nil, nil, &orgError{org, ended(ctx, timeout)}
	}
	if err != nil {
		return session, nil, err
	}
	options.Username, options.Alias = session.Username, cmp.Or(options.Alias, session.Alias)
	options.OrgID, options.Kind = session.OrgID, session.Kind
	if started != nil {
		options.Started = func(r *bootstrap.Report) { started(r, session) }
	}
	report, err := bootstrap.Run(ctx, conn, source, options)
	preflight, only := errors.AsType[*bootstrap.PreflightError](err)
	switch {
	case err == nil:
		return session, report, nil
	case ctx.Err() != nil:
		cause := ended(ctx, timeout)
		if !options.PlanOnly {
			cause = fmt.Errorf("%w; what is done so far stays, and the next run does the rest", cause)
		}
		err = &orgError{session.String(), cause}
	case only && err == error(preflight):
		// It names the file, and the output the org.
	case errors.As(err, new(*orgauth.Error)) || report == nil && !fromOrg(err):
		// It names the org itself, or is about the input.
	default:
		err = &orgError{session.String(), err}
	}
	return session, report, err
}

// fromOrg reports whether an error came up on the way to an org or from there.
func fromOrg(err error) bool {
	return errors.As(err, new(*salesforce.Error)) || errors.As(err, new(*salesforce.StatusError)) || errors.As(err, new(*salesforce.NetworkError))
}

// ended says why a run was over before its end.
func ended(ctx context.Context, timeout error) error {
	if cause := context.Cause(ctx); cause == timeout {
		return cause
	}
	return errors.New("interrupted")
}
