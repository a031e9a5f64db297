package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/secrets"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/credential"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/respond"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

type rotateCmd struct {
	appFlags        `embed:""`
	orgFlags        `embed:""`
	callFlags       `embed:""`
	accessFlags     `embed:""`
	RevokeOld       bool `name:"revoke-old" help:"Revoke the old credentials as soon as the new ones are the main ones. Default: they work for another 30 days."`
	Now             bool `help:"For a leaked secret: rotate whatever the state of the last rotation is, revoke all other credentials at once, and revoke the tokens of the app."`
	Regardless      bool `name:"even-if-hand-over-fails" help:"With --now: end the old credentials even if the new ones cannot be exported."`
	confirmFlags    `embed:""`
	Connect         []string      `sep:"none" placeholder:"ORG" help:"Org that calls this one and gets the new credentials before they become the main ones. Can be repeated."`
	NamedCredential string        `name:"named-credential" placeholder:"NAME" help:"Named credential of the orgs of --connect. Default: the connections in plugins.eca."`
	Status          bool          `hidden:""`
	Abort           bool          `hidden:""`
	All             bool          `help:"All Local apps of the project in the working directory; without a project, of each org."`
	OlderThan       days          `name:"older-than" placeholder:"60d" help:"Only apps whose credentials are older. An app of unknown age is not rotated but listed, and eca exits with 3."`
	Ledger          string        `placeholder:"FILE" help:"File that gets a line of JSON per rotation, without secrets, and shows the age of credentials that the org does not show."`
	Consumer        string        `placeholder:"KEY" help:"Beginning of the key of one of several consumers of the app, or all."`
	Wait            time.Duration `default:"5m" help:"How long to retry until Salesforce accepts the new credentials."`
	secretFlags     `embed:""`
}

func (rotateCmd) Help() string {
	return `Stages new credentials beside the main ones, verifies them, exports them, makes them the main ones, and verifies them again. The new credentials work as soon as they are staged, and the old ones for another 30 days, so no login fails. The next run completes an interrupted one.

eca rotate status shows which credentials work and for how long. eca rotate abort discards staged ones and, with a command or --output, exports the main ones again. Neither reads a secret without one.

  eca rotate -o prod -- vault kv put secret/erp @/dev/stdin
  eca rotate --all --older-than 60d --ledger rotations.jsonl --orgs orgs.txt -- ./store.sh`
}

// rotateReport is what --json says of a rotation on one org. It holds no secret.
type rotateReport struct {
	App         string `json:"app"`
	Rotated     bool   `json:"rotated"`               // by this run
	Verified    bool   `json:"verified"`              // the main credentials logged in
	ConsumerKey string `json:"consumerKey,omitempty"` // of the main credentials, shortened
	// Beside is the state of the credentials beside the main ones: Active before a rotation,
	// Rotated after it. BesideKey is their key, shortened.
	Beside        consumer.State `json:"beside,omitempty"`
	BesideKey     string         `json:"besideKey,omitempty"`
	BesideExpires string         `json:"besideExpires,omitempty"` // in RFC 3339
	DaysLeft      int            `json:"daysLeft,omitempty"`      // of the credentials beside
	Hidden        bool           `json:"hidden,omitempty"`        // the org does not show whether there are others
	Aborted       bool           `json:"aborted,omitempty"`       // staged credentials were discarded
	// Revoked is what became of the tokens of the app, of a run with --now.
	Revoked *respond.Revocation `json:"revoked,omitempty"`
	// Skipped is why the credentials were not rotated: "younger", "age unknown", or an error.
	Skipped string `json:"skipped,omitempty"`
	// Apps are the reports of all apps, of a run with --all or --consumer all.
	Apps []*rotateReport `json:"apps,omitempty"`
}

// check checks flags that exclude or need one another. several reports that there are several orgs.
func (c *rotateCmd) check(several, exports bool) error {
	switch {
	case c.Status && (c.Abort || c.RevokeOld || c.Now) || c.Abort && (c.RevokeOld || c.Now):
		return usage.Errorf("--status, --abort, --revoke-old and --now exclude one another")
	case c.Regardless && !c.Now:
		return usage.Errorf("--even-if-hand-over-fails goes with --now")
	case (c.Yes || c.DryRun) && !c.Now:
		return usage.Errorf("--yes and --dry-run go with --now")
	case c.Yes && c.DryRun:
		return c.confirmFlags.check()
	case (c.All || c.OlderThan > 0 || c.Consumer != "") && (c.Status || c.Abort):
		return usage.Errorf("--all, --older-than and --consumer are for a rotation")
	case c.All && (c.App != "" || c.Consumer != "" || len(c.Connect) > 0):
		return usage.Errorf("--all goes with neither --app, --consumer nor --connect")
	case c.OlderThan > 0 && c.Now:
		return usage.Errorf("--now rotates whatever the age; leave out --older-than")
	case len(c.Connect) > 0 && (several || c.Status || c.Abort):
		return usage.Errorf("--connect goes with the rotation on one org")
	case c.NamedCredential != "" && len(c.Connect) == 0:
		return usage.Errorf("--named-credential goes with --connect")
	case several && !c.Status && len(c.Command) == 0:
		return usage.Errorf("a rotation on several orgs exports the credentials of each: name a command after --")
	case c.Status && exports:
		return usage.Errorf("--status exports nothing: leave out the command, --output and --show")
	case c.RevokeOld && len(c.Command) == 0 && c.Output == nil && len(c.Connect) == 0:
		return usage.Errorf("--revoke-old revokes the old credentials at once, so their users need the new ones: name a command after --, --output or --connect")
	}
	return nil
}

func (c *rotateCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.callFlags.Check(); err != nil {
		return nil, err
	}
	if len(c.Command) > 0 && !e.dashes {
		if similar := nearest(c.Command[0], []string{"status", "abort"}); similar != "" {
			return nil, usage.Errorf("unexpected argument %s; %s", c.Command[0], didYouMean("rotate "+similar))
		}
	}
	if err := e.checkCommand(c.Command); err != nil {
		return nil, err
	}
	var app string
	if !c.All {
		var err error
		if app, err = c.app(); err != nil {
			return nil, err
		}
	}
	targets, err := e.Orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	several := c.Several(targets)
	exports := len(c.Command) > 0 || c.Output != nil || c.Show || e.noCommand
	if err := c.check(several, exports); err != nil {
		return nil, err
	}
	var sink *secrets.Sink
	if !c.Status && (exports || !c.Abort && len(c.Connect) == 0) {
		if err := c.CheckRotation(); err != nil {
			return nil, err
		}
		if sink, err = c.Sink(e.output(), targets, several, false); err != nil {
			return nil, err
		}
		sink.Apps = c.All
	}
	book, err := openLedger(c.Ledger)
	if err != nil {
		return nil, err
	}
	if c.Now {
		if really, err := c.confirmNow(ctx, e, app, targets); err != nil || !really {
			return nil, err
		}
	}
	return onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*rotateReport]{
		Last:   func(r *rotateReport) string { return c.last(r, targets[0]) },
		Column: "CONSUMER KEY", Cell: func(r *rotateReport) string { return r.ConsumerKey },
		Ended: func(r *rotateReport) string {
			switch {
			case len(r.Apps) > 0:
				return ", " + summary(r.Apps)
			case r.Rotated:
				return ", rotated"
			case r.Beside != "":
				return fmt.Sprintf(", beside them credentials in the state %s, %s left", r.Beside, console.Plural(r.DaysLeft, "day"))
			}
			return ""
		},
		Do: func(ctx context.Context, org string, work *orgs.Work) (*rotateReport, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (*rotateReport, error) {
				r := &rotation{rotateCmd: c, env: e, work: work, conn: conn, client: &consumer.Client{Conn: conn}, org: org, app: app, sink: sink, ledger: book}
				return r.run(ctx)
			})
		},
	})
}

// last says what a run has done on one org.
func (c *rotateCmd) last(r *rotateReport, org string) string {
	switch {
	case c.Status && r.Beside == consumer.Rotated:
		return fmt.Sprintf("the old credentials of %s work on %s, too, for %s", r.App, org, console.Plural(r.DaysLeft, "day"))
	case c.Status && r.Beside == consumer.Active:
		return fmt.Sprintf("the staged credentials of %s work on %s, too", r.App, org)
	case c.Status && r.Hidden:
		return fmt.Sprintf("the main credentials of %s work on %s; %s does not show whether others do", r.App, org, org)
	case c.Status:
		return fmt.Sprintf("only the main credentials of %s work on %s", r.App, org)
	case r.Aborted:
		return fmt.Sprintf("the staged credentials of %s on %s are discarded", r.App, org)
	case c.Abort:
		return fmt.Sprintf("%s has no staged credentials on %s, so nothing changed", r.App, org)
	case len(r.Apps) > 0 || c.All:
		return org + ": " + summary(r.Apps)
	case r.Rotated:
		return fmt.Sprintf("the credentials of %s on %s are rotated", r.App, org)
	}
	return fmt.Sprintf("the credentials of %s on %s are not rotated again", r.App, org)
}

// confirmNow makes sure that somebody wants to end all credentials of an app.
func (c *rotateCmd) confirmNow(ctx context.Context, e *env, app string, targets []string) (bool, error) {
	if c.Yes {
		return true, nil
	}
	what := fmt.Sprintf("the key and secret of %s on %s get replaced, and its old credentials and all its tokens end at once", app, strings.Join(targets, ", "))
	e.Line("%s", what)
	if c.DryRun {
		return false, nil
	}
	if !c.asks(e) {
		return false, errUnconfirmed
	}
	return true, e.confirm(ctx, "Go on?")
}

// rotation is the work on one org.
type rotation struct {
	*rotateCmd
	env      *env
	work     *orgs.Work
	conn     *salesforce.Conn
	client   *consumer.Client
	org, app string
	sink     *secrets.Sink     // receives the credentials, nil for none
	access   *access           // lets the credentials be read
	callers  map[string][]link // the connections of each org of --connect
	ledger   *ledger
	consumer *consumer.Consumer // one of several, nil for the only one
}

func (r *rotation) run(ctx context.Context) (report *rotateReport, err error) {
	if r.callers, err = r.connections(); err != nil {
		return nil, err
	}
	_, err = r.during(ctx, r.env, r.client, r.work, r.app, func(access *access) (err error) {
		r.access = access
		if err := r.completeConnections(ctx); err != nil { // before anything is staged
			return err
		}
		switch {
		case r.Status:
			report, err = r.status(ctx)
		case r.Abort:
			report, err = r.abort(ctx)
		case r.All || r.Consumer != "" || r.OlderThan > 0:
			report, err = r.rotateEach(ctx)
		default:
			report, err = r.rotate(ctx)
		}
		return err
	})
	return report, err
}

// handOver returns what gives credentials to the orgs of --connect and the sink, nil if there are
// neither.
func (r *rotation) handOver() func(context.Context, login.Credentials) error {
	if r.sink == nil && len(r.Connect) == 0 {
		return nil
	}
	return func(ctx context.Context, pair login.Credentials) error {
		found := r.consumer
		if found == nil && r.sink != nil { // of an abort
			var err error
			if found, err = r.client.Find(ctx, r.app); err != nil {
				return err
			}
		}
		return r.access.outside(ctx, func() error {
			if err := r.updateCallers(ctx, pair); err != nil || r.sink == nil {
				return err
			}
			if len(r.Command) > 0 {
				r.work.Await("the command " + r.Command[0])
			}
			if err := r.sink.Take(ctx, &secrets.Credentials{
				Org: r.org, App: r.app, BaseURL: r.conn.InstanceURL, AppID: found.AppID, ConsumerID: found.ID, Pair: pair,
			}); err != nil {
				return err
			}
			return r.sink.Close()
		})
	}
}

func (r *rotation) rotate(ctx context.Context) (*rotateReport, error) {
	if r.consumer == nil {
		var err error
		if r.consumer, err = r.client.Find(ctx, r.app); err != nil {
			return nil, err
		}
	}
	run := &consumer.Rotation{Client: r.client, Consumer: r.consumer, HandOver: r.handOver(), Wait: r.Wait, RevokeOld: r.RevokeOld, Now: r.Now, EvenIfHandOverFails: r.Regardless, Progress: rotationLine(r.work)}
	o, err := run.Run(ctx, r.app)
	if _, lost := errors.AsType[*consumer.HandOverError](err); lost && r.Now && !r.Regardless {
		err = &leakError{app: r.app, org: r.org, err: err}
	}
	err = lookAtRefusal(ctx, r.conn, login.Attempt{App: r.consumer.App}, err, r.org)
	if o == nil {
		return nil, err
	}
	report := &rotateReport{App: o.App, Rotated: o.Rotated, Verified: o.Verified, ConsumerKey: login.Credentials{Key: o.Key}.ShortKey()}
	if !o.Expires.IsZero() {
		report.beside(consumer.Rotated, o.OldKey, o.Expires)
	}
	if o.Rotated {
		err = cmp.Or(err, r.ledger.add(r.conn.InstanceURL, r.org, report.App, report.ConsumerKey))
	}
	if r.Now && o.Rotated {
		var failed error
		report.Revoked, failed = r.revokeTokens(ctx)
		err = cmp.Or(err, failed)
	}
	r.alive(report)
	if err == nil && !o.Rotated && !r.RevokeOld {
		r.work.Line("nothing to rotate: --revoke-old revokes the old credentials, and then another rotation can begin")
	}
	return report, err
}

// alive says which credentials work after the run.
func (r *rotation) alive(report *rotateReport) {
	others := "no others do"
	if report.Beside != "" {
		others = fmt.Sprintf("so do the old ones %s, for %s", report.BesideKey, console.Plural(report.DaysLeft, "day"))
	}
	r.work.Line("the credentials %s work; %s", report.ConsumerKey, others)
	if !report.Rotated && r.RevokeOld {
		r.work.Line("this run has not replaced them; if they have leaked: eca rotate --now -o %s --app %s", r.org, report.App)
	}
}

// revokeTokens revokes the tokens that were issued with the old credentials.
func (r *rotation) revokeTokens(ctx context.Context) (*respond.Revocation, error) {
	exposure, err := respond.Look(ctx, r.conn, respond.Selection{App: r.app})
	if err == nil && exposure.Tokens() == 0 {
		r.work.Line("the app has no tokens to revoke")
		return &respond.Revocation{Before: exposure}, nil
	}
	var done *respond.Revocation
	if err == nil {
		done, err = exposure.Revoke(ctx)
	}
	if err != nil {
		return done, fmt.Errorf("the old credentials no longer work, but the tokens of the app may: %w", err)
	}
	r.work.Line("revoked %s", console.Plural(done.Tokens, "token"))
	return done, nil
}

// leakError reports that credentials that have leaked still work, because the new ones could not be
// exported.
type leakError struct {
	app, org string
	err      error
}

func (e *leakError) Error() string { return e.err.Error() + "; the old ones still work" }

func (e *leakError) Unwrap() error { return e.err }

// rotationLine prints the events of a rotation.
func rotationLine(work *orgs.Work) func(consumer.Event) {
	return func(event consumer.Event) {
		switch event.Step {
		case consumer.FoundStaged:
			work.Line("new credentials are already staged")
		case consumer.FoundRotated:
			work.Line("%s", "rotated before; the old credentials work until "+event.Expires.Format(time.DateOnly))
		case consumer.NewStaged:
			work.Line("staged new credentials")
		case consumer.Waiting:
			waitingLine(work)(event.Wait, event.Left, event.Refusal)
		case consumer.Proved:
			work.Line("the credentials work")
		case consumer.HandedOver:
			work.Line("exported")
		case consumer.Swapped:
			work.Line("the new credentials are the main ones, and work")
		case consumer.EarlierEnded:
			work.Line("the credentials before the last rotation no longer work")
		case consumer.OldRevoked:
			work.Line("the old credentials no longer work")
		}
	}
}

// waitingLine prints a wait for a consumer that the org does not know yet.
func waitingLine(work *orgs.Work) func(wait, left time.Duration, refusal error) {
	return func(wait, left time.Duration, refusal error) {
		work.Line("%v: the consumer is new; asking again in %s, for up to %s", refusal, wait, left.Round(time.Second))
		work.Await("the org to know the consumer")
	}
}

func (r *rotateReport) beside(state consumer.State, key string, expires time.Time) {
	r.Beside = state
	if key != "" {
		r.BesideKey = login.Credentials{Key: key}.ShortKey()
	}
	if !expires.IsZero() {
		r.BesideExpires = expires.UTC().Format(time.RFC3339)
		r.DaysLeft = max(0, int((time.Until(expires)+24*time.Hour-1)/(24*time.Hour))) // of which the last may be a part
	}
}

func (r *rotation) status(ctx context.Context) (*rotateReport, error) {
	s, err := r.client.Keys(ctx, r.app)
	if err != nil {
		return nil, err
	}
	report := &rotateReport{App: s.Consumer.App, ConsumerKey: s.Main.ShortKey()}
	r.work.Line("%s: main credentials %s", report.App, report.ConsumerKey)
	if s.Hidden != nil {
		report.Hidden = true
		r.work.Warn("others are not shown: %v", s.Hidden)
		return report, nil
	}
	if s.Beside == nil {
		r.work.Line("no other credentials")
		return report, nil
	}
	report.beside(s.Beside.State, s.Beside.Key, s.Beside.Expires)
	r.work.Line("beside them %s, in the state %s, %s left", report.BesideKey, report.Beside, console.Plural(report.DaysLeft, "day"))
	return report, nil
}

func (r *rotation) abort(ctx context.Context) (*rotateReport, error) {
	handOver := r.handOver()
	staged, err := r.client.Abort(ctx, r.app, handOver)
	switch {
	case err != nil:
	case !staged:
		r.work.Line("no credentials are staged")
	case handOver == nil:
		r.work.Line("discarded the staged credentials; whoever has them needs the main ones: eca credentials")
	default:
		r.work.Line("exported the main credentials and discarded the staged ones")
	}
	return &rotateReport{App: r.app, Aborted: staged}, err
}

// connections returns the connections of each org of --connect to the app: the one of
// --named-credential, or those that plugins.eca declares.
func (r *rotation) connections() (map[string][]link, error) {
	all := make(map[string][]link)
	for _, caller := range r.Connect {
		all[caller] = []link{{app: r.app, from: r.org, Connection: connection.Connection{NamedCredential: r.NamedCredential}}}
		if r.NamedCredential != "" {
			continue
		}
		settings, err := settingsHere()
		if err != nil {
			return nil, err
		}
		all[caller] = slices.DeleteFunc(linksOf(settings, caller, false), func(l link) bool { return l.from != r.org || !strings.EqualFold(l.app, r.app) })
		if len(all[caller]) == 0 {
			return nil, usage.Errorf("plugins.eca of the project here declares no connection from %s to %s of %s; name it with --named-credential", caller, r.app, r.org)
		}
	}
	return all, nil
}

// completeConnections reads the connections of the orgs of --connect. It completes the one of
// --named-credential, and adds all principals that hold credentials of the app.
func (r *rotation) completeConnections(ctx context.Context) error {
	if len(r.callers) == 0 {
		return nil
	}
	status, err := r.client.Status(ctx, r.app)
	if err != nil {
		return err
	}
	keys := []string{status.Main.Key}
	if status.Beside != nil {
		keys = append(keys, status.Beside.Key)
	}
	return r.eachCaller(ctx, func(ctx context.Context, work *orgs.Work, caller string, conn *salesforce.Conn) error {
		declared := r.callers[caller]
		for i := range declared {
			x, err := credential.Examine(ctx, conn, declared[i].NamedCredential)
			if err != nil {
				return err
			}
			if r.NamedCredential != "" {
				if declared[i].ExternalCredential, declared[i].Principal, err = r.named(x); err != nil {
					return err
				}
			}
			holders, err := credential.Holders(ctx, conn, x.ExternalCredential, x.Principals, keys...)
			if err != nil {
				return err
			}
			r.callers[caller] = withHolders(r.callers[caller], declared[i], holders)
		}
		return r.checkCaller(ctx, conn, r.callers[caller], status.Main)
	})
}

// checkCaller makes sure that an org can get new credentials, as far as that can be known before they exist.
func (r *rotation) checkCaller(ctx context.Context, conn *salesforce.Conn, links []link, now login.Credentials) error {
	for _, l := range links {
		l.ProviderURL = r.conn.InstanceURL
		if _, err := credential.Connect(ctx, conn, l.Connection, now, credential.Options{PlanOnly: true}); err != nil {
			return fmt.Errorf("connection %s: %w", l.NamedCredential, err)
		}
	}
	return nil
}

// named returns the external credential and the principal of --named-credential.
func (r *rotation) named(x *credential.Examination) (external, principal string, err error) {
	switch {
	case x.Principal == "":
		return "", "", fmt.Errorf("it has no named credential %s that logs in as a named principal; create it with eca connect, or correct the name", r.NamedCredential)
	case x.Variant == "JwtBearer":
		return "", "", fmt.Errorf("%s logs in by JWT bearer: declare it in connections of plugins.eca, with its certificate and user, and leave --named-credential out", r.NamedCredential)
	}
	return x.ExternalCredential, x.Principal, nil
}

// withHolders adds connections like one that has a secret, for the principals that are not among
// them yet.
func withHolders(all []link, l link, principals []string) []link {
	if l.Certificate != "" {
		return all
	}
	for _, principal := range principals {
		is := func(other link) bool {
			return strings.EqualFold(other.NamedCredential, l.NamedCredential) && strings.EqualFold(cmp.Or(other.Principal, connection.DefaultPrincipal), principal)
		}
		if !slices.ContainsFunc(all, is) {
			another := l
			another.Principal, another.PermissionSets = principal, nil
			all = append(all, another)
		}
	}
	return all
}

// updateCallers stores credentials on the orgs of --connect.
func (r *rotation) updateCallers(ctx context.Context, pair login.Credentials) error {
	p := &providers{e: r.env, given: &provided{baseURL: r.conn.InstanceURL, pair: pair}}
	return r.eachCaller(ctx, func(ctx context.Context, work *orgs.Work, caller string, conn *salesforce.Conn) error {
		_, err := p.connect(ctx, work, caller, conn, r.callers[caller], credential.Options{})
		return err
	})
}

// eachCaller calls do for each org of --connect.
func (r *rotation) eachCaller(ctx context.Context, do func(ctx context.Context, work *orgs.Work, caller string, conn *salesforce.Conn) error) error {
	for _, caller := range r.Connect {
		work := orgs.NewWork(r.work.For(caller), r.Verbose)
		_, err := orgs.On(ctx, r.env.Env, work, &r.callFlags, caller, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (struct{}, error) {
			return struct{}{}, do(ctx, work, caller, conn)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
