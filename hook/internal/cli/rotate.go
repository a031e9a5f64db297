package cli

import (
	"cmp"
	"context"
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
	"github.com/ecakit/ecakit/pkg/salesforce"
)

type rotateCmd struct {
	appFlags        `embed:""`
	orgFlags        `embed:""`
	callFlags       `embed:""`
	accessFlags     `embed:""`
	RevokeOld       bool          `name:"revoke-old" help:"Revoke the old credentials as soon as the new ones are the main ones. Default: they work for another 30 days."`
	Connect         []string      `sep:"none" placeholder:"ORG" help:"Org that calls this one and gets the new credentials before they become the main ones. Can be repeated."`
	NamedCredential string        `name:"named-credential" placeholder:"NAME" help:"Named credential of the orgs of --connect. Default: the connections in plugins.eca."`
	Status          bool          `help:"Show the credentials of the app and how long they work, and change nothing."`
	Abort           bool          `help:"Discard staged credentials, and hand over the main ones to whoever has the staged ones."`
	Wait            time.Duration `default:"5m" help:"How long to ask again while the org does not know the new credentials yet."`
	secretFlags     `embed:""`
}

func (rotateCmd) Help() string {
	return `Stages new credentials beside the main ones, proves that they work, hands them over, makes them the main ones, and proves them again. The new credentials work as soon as they are staged and the old ones for another 30 days, so there is no gap. The next run completes an interrupted one.

eca rotate -o prod -- vault kv put secret/erp @/dev/stdin`
}

// rotateReport is what --json says of a rotation on one org. It holds no secret.
type rotateReport struct {
	App         string `json:"app"`
	Rotated     bool   `json:"rotated"`               // by this run
	Verified    bool   `json:"verified"`              // the main pair logged in
	ConsumerKey string `json:"consumerKey,omitempty"` // of the main pair, shortened
	// Beside is the pair beside the main one, its key shortened: Active before a rotation,
	// Rotated after it.
	Beside        consumer.State `json:"beside,omitempty"`
	BesideKey     string         `json:"besideKey,omitempty"`
	BesideExpires string         `json:"besideExpires,omitempty"` // in RFC 3339
	DaysLeft      int            `json:"daysLeft,omitempty"`      // of the pair beside
	Aborted       bool           `json:"aborted,omitempty"`       // a staged pair was forgotten
}

func (c *rotateCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.callFlags.Check(); err != nil {
		return nil, err
	}
	if c.Status && (c.Abort || c.RevokeOld) || c.Abort && c.RevokeOld {
		return nil, usage.Errorf("--status, --abort and --revoke-old exclude one another")
	}
	app, err := c.app()
	if err != nil {
		return nil, err
	}
	targets, err := e.Orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	several := c.Several(targets)
	if len(c.Connect) > 0 && (several || c.Status || c.Abort) {
		return nil, usage.Errorf("--connect goes with the rotation on one org")
	}
	if c.NamedCredential != "" && len(c.Connect) == 0 {
		return nil, usage.Errorf("--named-credential goes with --connect")
	}
	if several && !c.Status && len(c.Command) == 0 {
		return nil, usage.Errorf("a rotation on several orgs hands over the credentials of each: name a command after --")
	}
	given := len(c.Command) > 0 || c.Output != nil || c.Show || e.noCommand
	if c.Status && given {
		return nil, usage.Errorf("--status hands nothing over: leave out the command, --output and --show")
	}
	if c.RevokeOld && len(c.Command) == 0 && c.Output == nil && len(c.Connect) == 0 {
		return nil, usage.Errorf("--revoke-old revokes the old credentials at once, so their users need the new ones: name a command after --, --output or --connect")
	}
	var sink *secrets.Sink
	if !c.Status && (given || !c.Abort && len(c.Connect) == 0) {
		if sink, err = c.Sink(e.output(), targets, several, false); err != nil {
			return nil, err
		}
	}
	return onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*rotateReport]{
		Column: "CONSUMER KEY", Cell: func(r *rotateReport) string { return r.ConsumerKey },
		Ended: func(r *rotateReport) string {
			switch {
			case r.Rotated:
				return ", rotated"
			case r.Beside != "":
				return fmt.Sprintf(", beside them credentials in the state %s, %s left", r.Beside, console.Plural(r.DaysLeft, "day"))
			}
			return ""
		},
		Do: func(ctx context.Context, org string, work *orgs.Work) (*rotateReport, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (*rotateReport, error) {
				feeds, err := c.feeds(org, app)
				if err != nil {
					return nil, err
				}
				client := &consumer.Client{Conn: conn}
				handOver := func(ctx context.Context, pair login.Credentials) error {
					if err := c.feed(ctx, e, work, feeds, provided{conn.InstanceURL, pair}); err != nil || sink == nil {
						return err
					}
					err := sink.Take(ctx, &secrets.Credentials{Org: org, App: app, BaseURL: conn.InstanceURL, Pair: pair})
					if err == nil {
						err = sink.Close()
					}
					return err
				}
				if sink == nil && len(c.Connect) == 0 {
					handOver = nil
				}
				var r *rotateReport
				_, err = c.during(ctx, client, work, func() (err error) {
					if len(feeds) > 0 {
						// Before anything is staged.
						if err := c.lookAtCallers(ctx, e, work, feeds, client, app); err != nil {
							return err
						}
					}
					switch {
					case c.Status:
						r, err = c.status(ctx, work, app, conn)
					case c.Abort:
						r, err = c.abort(ctx, work, app, conn, handOver)
					default:
						r, err = c.rotate(ctx, work, app, conn, handOver)
					}
					return err
				})
				return r, err
			})
		},
	})
}

func (c *rotateCmd) rotate(ctx context.Context, work *orgs.Work, app string, conn *salesforce.Conn, handOver func(context.Context, login.Credentials) error) (*rotateReport, error) {
	rotation := &consumer.Rotation{Client: &consumer.Client{Conn: conn}, HandOver: handOver, Wait: c.Wait, RevokeOld: c.RevokeOld, Progress: rotationLine(work)}
	o, err := rotation.Run(ctx, app)
	if o == nil {
		return nil, err
	}
	r := &rotateReport{App: o.App, Rotated: o.Rotated, Verified: o.Verified, ConsumerKey: login.Credentials{Key: o.Key}.ShortKey()}
	if !o.Expires.IsZero() {
		r.beside(consumer.Rotated, o.OldKey, o.Expires)
	}
	if err == nil && !o.Rotated && !c.RevokeOld {
		work.Line("nothing to rotate: --revoke-old revokes the old credentials, and then another rotation can begin")
	}
	return r, err
}

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
			waitingLine(work)(event.Wait)
		case consumer.Proved:
			work.Line("the credentials work")
		case consumer.HandedOver:
			work.Line("handed over")
		case consumer.Swapped:
			work.Line("the new credentials are the main ones, and work")
		case consumer.OldRevoked:
			work.Line("the old credentials no longer work")
		}
	}
}

// waitingLine prints a wait for a consumer that the org does not know yet.
func waitingLine(work *orgs.Work) func(time.Duration) {
	return func(wait time.Duration) {
		work.Line("the org does not know the consumer yet; asking again in %s", wait)
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

func (c *rotateCmd) status(ctx context.Context, work *orgs.Work, app string, conn *salesforce.Conn) (*rotateReport, error) {
	s, err := (&consumer.Client{Conn: conn}).Status(ctx, app)
	if err != nil {
		return nil, err
	}
	r := &rotateReport{App: s.Consumer.App, ConsumerKey: s.Main.ShortKey()}
	work.Line("%s: main credentials %s", r.App, r.ConsumerKey)
	if s.Beside == nil {
		work.Line("no other credentials")
		return r, nil
	}
	r.beside(s.Beside.State, s.Beside.Key, s.Beside.Expires)
	work.Line("beside them %s, in the state %s, %s left", r.BesideKey, r.Beside, console.Plural(r.DaysLeft, "day"))
	return r, nil
}

func (c *rotateCmd) abort(ctx context.Context, work *orgs.Work, app string, conn *salesforce.Conn, handOver func(context.Context, login.Credentials) error) (*rotateReport, error) {
	there, err := (&consumer.Client{Conn: conn}).Abort(ctx, app, handOver)
	r := &rotateReport{App: app, Aborted: there}
	switch {
	case err != nil:
	case !there:
		work.Line("no credentials are staged")
	case handOver == nil:
		work.Line("discarded the staged credentials; whoever has them needs the main ones: eca credentials")
	default:
		work.Line("handed over the main credentials, and discarded the staged ones")
	}
	return r, err
}

// feeds returns the connections of each org of --connect to an app of an org.
func (c *rotateCmd) feeds(org, app string) (map[string][]link, error) {
	all := make(map[string][]link)
	for _, caller := range c.Connect {
		all[caller] = []link{{app: app, from: org, Connection: connection.Connection{NamedCredential: c.NamedCredential}}}
		if c.NamedCredential != "" {
			continue
		}
		settings, err := settingsHere()
		if err != nil {
			return nil, err
		}
		all[caller] = slices.DeleteFunc(linksOf(settings, caller, false), func(l link) bool { return l.from != org || !strings.EqualFold(l.app, app) })
		if len(all[caller]) == 0 {
			return nil, usage.Errorf("plugins.eca of the project here declares no connection from %s to %s of %s; name it with --named-credential", caller, app, org)
		}
	}
	return all, nil
}

// lookAtCallers looks at the orgs of --connect, and completes their connections: by what a named
// credential has that is only named, and by all principals that hold a pair of the app.
func (c *rotateCmd) lookAtCallers(ctx context.Context, e *env, work *orgs.Work, feeds map[string][]link, client *consumer.Client, app string) error {
	status, err := client.Status(ctx, app)
	if err != nil {
		return err
	}
	keys := []string{status.Main.Key}
	if status.Beside != nil {
		keys = append(keys, status.Beside.Key)
	}
	for _, caller := range c.Connect {
		line := orgs.NewWork(work.For(caller), c.Verbose)
		_, err := orgs.On(ctx, e.Env, line, &c.callFlags, caller, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (struct{}, error) {
			var more []link
			for i := range feeds[caller] {
				l := &feeds[caller][i]
				x, err := credential.Examine(ctx, conn, l.NamedCredential)
				if err != nil {
					return struct{}{}, err
				}
				if c.NamedCredential != "" {
					switch {
					case x.Principal == "":
						return struct{}{}, fmt.Errorf("it has no named credential %s that logs in as a named principal; make it with eca connect, or correct the name", c.NamedCredential)
					case x.Variant == "JwtBearer":
						return struct{}{}, fmt.Errorf("%s logs in by JWT bearer: declare it in connections of plugins.eca, with its certificate and user, and leave --named-credential out", c.NamedCredential)
					}
					l.ExternalCredential, l.Principal = x.ExternalCredential, x.Principal
				}
				holders, err := credential.Holders(ctx, conn, x.ExternalCredential, x.Principals, keys...)
				if err != nil {
					return struct{}{}, err
				}
				for _, principal := range holders {
					is := func(other link) bool {
						return strings.EqualFold(other.NamedCredential, l.NamedCredential) && strings.EqualFold(cmp.Or(other.Principal, connection.DefaultPrincipal), principal)
					}
					if l.Certificate == "" && !slices.ContainsFunc(feeds[caller], is) {
						another := *l
						another.Principal, another.PermissionSets = principal, nil
						more = append(more, another)
					}
				}
			}
			feeds[caller] = append(feeds[caller], more...)
			return struct{}{}, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// feed gives a pair to the orgs of --connect, which call this one.
func (c *rotateCmd) feed(ctx context.Context, e *env, work *orgs.Work, feeds map[string][]link, given provided) error {
	for _, caller := range c.Connect {
		line := orgs.NewWork(work.For(caller), c.Verbose)
		_, err := orgs.On(ctx, e.Env, line, &c.callFlags, caller, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (*connectReport, error) {
			p := &providers{e: e, given: &given}
			return p.connect(ctx, line, caller, conn, feeds[caller], credential.Options{})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
