package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/credential"
	"github.com/ecakit/ecakit/pkg/login"
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

The session is the one that sf has stored for the target org, or SF_ACCESS_TOKEN with SF_ORG_INSTANCE_URL. sfp passes no flags. Set their environment variables instead, such as ECA_ARTIFACTS if sfp install has another --artifactdir.`
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
		e.Line("eca: the deployment to %s failed, so its apps stay as they are", invocation.Username)
		return nil
	}
	dir := invocation.Source
	if invocation.Pool() {
		dir = "." // sfp prepare runs in the project
	}
	project, err := openDir(dir)
	if err != nil {
		return fmt.Errorf("the source directory from sfp: %w", err)
	}
	artifacts, err := c.artifacts(".")
	if err != nil {
		return err
	}
	source, err := wanted.Load(wanted.Location{
		Project: project, Dir: dir,
		Package: invocation.Package, PackageDirectory: invocation.PackageDirectory,
		Policies: c.Policies, Artifacts: artifacts, Sibling: siblingProject(), Getenv: e.replacing,
	})
	if err != nil {
		return err
	}
	job := newBootstrapJob(e, &c.callFlags, source, false)
	job.options = bootstrap.Options{Alias: invocation.Alias, ApplyPolicies: c.ApplyPolicies, Pool: invocation.Pool()}
	return r.execute(ctx, job, invocation.Username)
}

// bootstrapJob is a bootstrap, or only its plan, of a source on one or several orgs.
type bootstrapJob struct {
	e         *env
	flags     *callFlags
	source    *wanted.Source
	planOnly  bool
	providers *providers        // the orgs that connections of plugins.eca lead to
	options   bootstrap.Options // without what describes the org

	kept    keptConsumers
	several bool // orgs

	// started, if not nil, is called before the org is read.
	started func(*bootstrap.Report, *orgauth.Session)
}

func newBootstrapJob(e *env, flags *callFlags, source *wanted.Source, planOnly bool) *bootstrapJob {
	return &bootstrapJob{e: e, flags: flags, source: source, planOnly: planOnly, providers: &providers{e: e, flags: flags, access: new(accessFlags)}}
}

// execute does the job on one org and prints it.
func (r *bootstrapResult) execute(ctx context.Context, job *bootstrapJob, org string) error {
	e := job.e
	console.OutliveReader()
	e.Verbose = job.flags.Verbose
	work := orgs.NewWork(e.Log(), job.flags.Verbose)
	job.started = func(report *bootstrap.Report, session *orgauth.Session) {
		e.Together(func(u *console.Console) { printHeader(u, report, session.TokenGiven) })
	}
	report, err := job.on(ctx, work, org)
	r.Report, r.Requests, r.Retries = report, work.Requests(), work.Retries()
	if report != nil {
		e.Together(func(u *console.Console) { printOutcome(u, report, r.Requests, err != nil) })
	}
	return err
}

// on does the job on an org. The error names the org.
func (j *bootstrapJob) on(ctx context.Context, work *orgs.Work, org string) (*bootstrap.Report, error) {
	timeout := fmt.Errorf("not done after %s (--timeout)", j.flags.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, j.flags.Timeout, timeout)
	defer cancel()
	defer work.Close()
	defer work.Working(work.Waiting)()
	connected, err := j.e.ConnectAhead(ctx, work, j.flags, org)
	if ctx.Err() != nil {
		return nil, &orgs.Error{Org: org, Err: orgs.Ended(ctx, timeout, work)}
	}
	if err != nil {
		return nil, err
	}
	session := connected.Session
	kept := j.kept.of(org, session.Alias, connected.Conn.InstanceURL, j.several)
	report, err := j.report(ctx, connected, kept)
	if all, several := errors.AsType[wanted.Errors](err); several {
		for _, one := range all {
			work.Line("%s %s", console.Failure, console.OneLine(one.Error()))
		}
		err = errors.Join(all...)
	}
	if err == nil {
		j.proveKept(ctx, work, org, connected.Conn, report, kept)
		err = j.afterwards(ctx, work, org, connected.Conn, report)
	}
	if by := session.Renewed(); by != "" {
		work.Line("the session had expired and was renewed %s", by)
	}
	preflight, only := errors.AsType[*bootstrap.PreflightError](err)
	switch {
	case err == nil:
		return report, nil
	case ctx.Err() != nil:
		cause := orgs.Ended(ctx, timeout, work)
		if !j.planOnly {
			cause = fmt.Errorf("%w; finished steps stay, and the next run completes the rest", cause)
		}
		err = &orgs.Error{Org: session.String(), Err: cause}
	case only && err == error(preflight):
		// It names the file, and the output the org.
	case errors.As(err, new(*orgauth.Error)) || report == nil && !fromOrg(err):
		// It names the org itself, or is about the input.
	default:
		err = &orgs.Error{Org: session.String(), Err: err}
	}
	return report, err
}

// report plans the bootstrap on an org, and carries the plan out unless only that is wanted. If the
// org's API version is not known yet, the org is read in the newest version meanwhile.
func (j *bootstrapJob) report(ctx context.Context, connected *orgs.Ahead, kept map[string]login.Credentials) (*bootstrap.Report, error) {
	session, conn := connected.Session, connected.Conn
	options := j.options
	options.Consumers = kept
	options.Username, options.Alias = session.Username, cmp.Or(options.Alias, session.Alias)
	options.OrgID, options.Kind, options.ClientID = session.OrgID, session.Kind, session.ClientID
	if all := j.source.Environments(); session.TokenGiven && options.Alias == "" && !options.Kind.IsSandbox() && len(all) > 0 {
		return nil, usage.Errorf("the org of SF_ACCESS_TOKEN is production and has no alias, and the project has policies or settings for %s; choose the environment with --alias", strings.Join(all, ", "))
	}
	resolved, err := bootstrap.Resolve(ctx, conn, j.source, options)
	var reading *reading
	if connected.Pending() && err == nil && j.obstacle(resolved) == nil {
		reading = read(ctx, resolved)
	}
	changed, unsettled := connected.Settle()
	if changed || unsettled != nil {
		reading.stop()
		reading = nil
	}
	if unsettled != nil {
		return nil, unsettled
	}
	if changed {
		resolved, err = bootstrap.Resolve(ctx, conn, j.source, options)
	}
	if err != nil {
		return nil, err
	}
	report := resolved.Report()
	if similar := j.similarEnvironment(session, options.Alias); similar != "" {
		report.Warnings = append(report.Warnings, fmt.Sprintf("the project has no environment %s; if %s is meant, run the command with it", options.Alias, similar))
	}
	if j.started != nil {
		j.started(report, session)
	}
	if err := j.obstacle(resolved); err != nil {
		return report, err
	}
	if reading == nil {
		reading = read(ctx, resolved)
	}
	plan, err := reading.wait()
	if err != nil {
		return report, err
	}
	planned := plan.Report()
	if err := j.e.prepareHandOver(planned, j.planOnly); err != nil {
		return report, err
	}
	if j.planOnly {
		return planned, plan.Err()
	}
	return plan.Apply(ctx)
}

// similarEnvironment returns the environment that a mistyped alias may stand for, "" if there is none. Only the alias of a
// session from the environment can be mistyped: sf knows the others.
func (j *bootstrapJob) similarEnvironment(session *orgauth.Session, alias string) string {
	all := j.source.Environments()
	if !session.TokenGiven || alias == "" || slices.Contains(all, alias) {
		return ""
	}
	return nearest(alias, all)
}

// obstacle returns why the org is not read. A plan shows the rest as well.
func (j *bootstrapJob) obstacle(resolved *bootstrap.Resolved) error {
	if j.planOnly {
		return nil
	}
	return resolved.Err()
}

// reading is a plan for which the org is being read.
type reading struct {
	cancel context.CancelFunc
	ended  chan struct{}
	plan   *bootstrap.Plan
	err    error
}

// read reads the org for a plan, without waiting for the end.
func read(ctx context.Context, resolved *bootstrap.Resolved) *reading {
	r := &reading{ended: make(chan struct{})}
	ctx, r.cancel = context.WithCancel(ctx)
	go func() {
		defer close(r.ended)
		r.plan, r.err = resolved.Plan(ctx)
	}()
	return r
}

// wait returns the plan when the org is read.
func (r *reading) wait() (*bootstrap.Plan, error) {
	defer r.cancel()
	<-r.ended
	return r.plan, r.err
}

// stop ends the reading, if there is one.
func (r *reading) stop() {
	if r != nil {
		r.cancel()
		<-r.ended
	}
}

// afterwards does what comes after the bootstrap itself: it hands credentials over, and makes the
// connections of the project, which log the org in elsewhere.
func (j *bootstrapJob) afterwards(ctx context.Context, work *orgs.Work, org string, conn *salesforce.Conn, report *bootstrap.Report) error {
	if err := j.e.handOver(ctx, work, org, conn, report); err != nil {
		return err
	}
	links := linksOf(j.source.Settings(), report.Org.Alias, true)
	if len(links) == 0 {
		return nil
	}
	connected, err := j.providers.connect(ctx, work, org, conn, links, credential.Options{PlanOnly: j.planOnly})
	for _, one := range connected.Connections {
		report.Changed += one.Changed
		report.Pending += one.Pending
	}
	if err != nil {
		return &notConnectedError{org, err}
	}
	return nil
}

// notConnectedError says that a connection of plugins.eca was not made, after all else was done.
type notConnectedError struct {
	org string
	err error
}

func (e *notConnectedError) Error() string { return e.err.Error() }

func (e *notConnectedError) Unwrap() error { return e.err }

// fromOrg reports whether an error came up on the way to an org or from there.
func fromOrg(err error) bool {
	return errors.As(err, new(*salesforce.Error)) || errors.As(err, new(*salesforce.StatusError)) || errors.As(err, new(*salesforce.NetworkError))
}
