package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/secrets"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/credential"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/sfp"
	"github.com/ecakit/ecakit/pkg/wanted"
)

type hookCmd struct {
	policyFlags `embed:""`
	callFlags   `embed:""`
	Args        []string `arg:"" optional:"" name:"args" help:"As sfp composes them: PACKAGE USERNAME ALIAS SOURCE PACKAGE_DIRECTORY after a package, SCRATCH_ORG_USERNAME HUB_USERNAME STATUS for a pool. Without any, the SFP_… variables that the script exports."`
}

func (hookCmd) Help() string {
	return `Name scripts/bootstrap-eca-oauth.sh as "postDeploymentScript" of the package that holds the apps' headers; it runs this command. Every Local app of the package gets its OAuth settings, its consumer, and its OAuth plugin switched on, as plugins.eca of sfdx-project.json wants it. What is there already stays, and only what differs is written.

The session is the one that sf has stored for the target org, or SF_ACCESS_TOKEN with SF_ORG_INSTANCE_URL. sfp hands over no flags; set their environment variables instead, such as ECA_ARTIFACTS where sfp install has another --artifactdir.`
}

// bootstrapResult is what --json says of a bootstrap, or its plan, on one org.
type bootstrapResult struct {
	outcome
	orgs.Calls
	Skipped string            `json:"skipped,omitempty"` // why there was nothing to do
	Report  *bootstrap.Report `json:"report,omitempty"`
}

// run does what sfp's post-deployment script is for.
func (c *hookCmd) run(ctx context.Context, e *env) (result, error) {
	r := new(bootstrapResult)
	return r, c.into(ctx, e, r)
}

func (c *hookCmd) into(ctx context.Context, e *env, r *bootstrapResult) error {
	if err := c.callFlags.Check(); err != nil {
		return err
	}
	invocation, err := sfp.ParseInvocation(c.Args, e.Getenv)
	if err != nil {
		return usage.Error{Err: err}
	}
	if invocation.Pool() && invocation.Status == sfp.StatusFailed {
		r.Skipped = "the deployment to the scratch org failed"
		e.Line("eca: the deployment to %s failed, so its apps are left alone", invocation.Username)
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
	source, err := wanted.Load(wanted.Location{
		Project: project, Dir: dir,
		Package: invocation.Package, PackageDirectory: invocation.PackageDirectory,
		Policies: c.Policies, Artifacts: artifacts, Sibling: siblingProject(),
	})
	if err != nil {
		return err
	}
	return r.execute(ctx, e, &c.callFlags, invocation.Username, source, bootstrap.Options{
		Alias: invocation.Alias, ApplyPolicies: c.ApplyPolicies, Pool: invocation.Pool(),
	})
}

// execute runs a bootstrap, or only its plan, on an org and prints it. The
// options are completed here.
func (r *bootstrapResult) execute(ctx context.Context, e *env, flags *callFlags, org string, source *wanted.Source, options bootstrap.Options) error {
	console.OutliveReader()
	e.Verbose = flags.Verbose
	work := orgs.NewWork(e.Log(), flags.Verbose)
	session, report, err := bootstrapOrg(ctx, e, work, flags, &providers{e: e, flags: flags, access: new(accessFlags)}, org, source, options, func(report *bootstrap.Report, session *orgauth.Session) {
		e.Together(func(u *console.Console) { printHeader(u, report, session.TokenGiven) })
	})
	r.Report, r.Requests, r.Retries = report, work.Requests(), work.Retries()
	e.Together(func(u *console.Console) {
		if session != nil {
			if by := session.Renewed(); by != "" {
				u.Line("  the session had expired and was renewed %s", by)
			}
		}
		if report != nil {
			printOutcome(u, report, r.Requests, err != nil)
		}
	})
	return err
}

// bootstrapOrg runs a bootstrap, or only its plan, on an org. The session is nil where
// there is none. started, where it is not nil, is told as by bootstrap.Options. called are
// the orgs that connections of plugins.eca lead to. The error names the org.
func bootstrapOrg(ctx context.Context, e *env, work *orgs.Work, flags *callFlags, called *providers, org string, source *wanted.Source, options bootstrap.Options, started func(*bootstrap.Report, *orgauth.Session)) (*orgauth.Session, *bootstrap.Report, error) {
	timeout := fmt.Errorf("not done after %s (--timeout)", flags.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, flags.Timeout, timeout)
	defer cancel()
	defer work.Close()
	session, conn, err := e.Connect(ctx, work, flags, org, source.Version, source.File())
	if ctx.Err() != nil {
		return nil, nil, &orgs.Error{Org: org, Err: orgs.Ended(ctx, timeout)}
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
	if err == nil {
		err = e.handOver(ctx, work, org, conn, report)
	}
	if links := linksOf(source.Settings(), options.Alias, true); err == nil && len(links) > 0 {
		// What logs the org in elsewhere comes last, and from another org.
		var connected *connectReport
		connected, err = called.connect(ctx, work, org, conn, links, credential.Options{PlanOnly: options.PlanOnly})
		for _, one := range connected.Connections {
			report.Changed += one.Changed
			report.Pending += one.Pending
		}
		if err != nil {
			err = &notConnectedError{org, err}
		}
	}
	preflight, only := errors.AsType[*bootstrap.PreflightError](err)
	switch {
	case err == nil:
		return session, report, nil
	case ctx.Err() != nil:
		cause := orgs.Ended(ctx, timeout)
		if !options.PlanOnly {
			cause = fmt.Errorf("%w; what is done so far stays, and the next run does the rest", cause)
		}
		err = &orgs.Error{Org: session.String(), Err: cause}
	case only && err == error(preflight):
		// It names the file, and the output the org.
	case errors.As(err, new(*orgauth.Error)) || report == nil && !fromOrg(err):
		// It names the org itself, or is about the input.
	default:
		err = &orgs.Error{Org: session.String(), Err: err}
	}
	return session, report, err
}

// notConnectedError says that a connection of plugins.eca was not made, after all else was done.
type notConnectedError struct {
	org string
	err error
}

func (e *notConnectedError) Error() string { return e.err.Error() }

func (e *notConnectedError) Unwrap() error { return e.err }

// handOver gives the credentials of apps to the commands of their settings, after everything else
// is done. Of a plan, it warns where they could not be read.
func (e *env) handOver(ctx context.Context, work *orgs.Work, org string, conn *salesforce.Conn, report *bootstrap.Report) error {
	client := &consumer.Client{Conn: conn}
	for i := range report.Apps {
		app := &report.Apps[i]
		if len(app.HandOver) == 0 {
			continue
		}
		if report.PlanOnly {
			if on, err := client.Access(ctx); err == nil && !on {
				app.Warnings = append(app.Warnings, "handOver of plugins.eca needs the org setting enableClientSecretInRestApiAccess of ExternalClientAppSettings, which is off")
			}
			continue
		}
		if err := e.handOverOne(ctx, work, client, org, app); err != nil {
			return &notHandedOverError{app.Name, org, app.HandOver, err}
		}
	}
	return nil
}

func (e *env) handOverOne(ctx context.Context, work *orgs.Work, client *consumer.Client, org string, app *bootstrap.AppReport) error {
	sink, err := (&secretFlags{Command: app.HandOver}).Sink(e.output(), []string{org}, true)
	if err != nil {
		return err
	}
	found, err := client.Find(ctx, app.Name)
	if err != nil {
		return err
	}
	pair, err := client.Credentials(ctx, found)
	if err != nil {
		return err
	}
	if err := sink.Take(ctx, &secrets.Credentials{Org: org, App: app.Name, BaseURL: client.Conn.InstanceURL, Pair: pair}); err != nil {
		return err
	}
	work.Line("handed over the credentials of %s to %s", app.Name, app.HandOver[0])
	return nil
}

// notHandedOverError says that everything is done but the hand-over.
type notHandedOverError struct {
	app, org string
	command  []string
	err      error
}

func (e *notHandedOverError) Error() string {
	return fmt.Sprintf("%s has its consumer, and its credentials were not handed over: %v", e.app, e.err)
}

// Unwrap returns the cause.
func (e *notHandedOverError) Unwrap() error { return e.err }

// byHand is the command line that hands over by hand.
func (e *notHandedOverError) byHand() string {
	line := fmt.Sprintf("eca credentials -o %s --app %s --", e.org, e.app)
	for _, word := range e.command {
		line += " " + secrets.QuoteEnv(word)
	}
	return line
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
