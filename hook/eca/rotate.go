package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	if err := c.callFlags.check(); err != nil {
		return nil, err
	}
	if c.Status && (c.Abort || c.RevokeOld) || c.Abort && c.RevokeOld {
		return nil, usageError{errors.New("--status, --abort and --revoke-old exclude one another")}
	}
	app, err := c.app()
	if err != nil {
		return nil, err
	}
	orgs, err := e.orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	several := c.several(orgs)
	if len(c.Connect) > 0 && (several || c.Status || c.Abort) {
		return nil, usageError{errors.New("--connect goes with the rotation on one org")}
	}
	if c.NamedCredential != "" && len(c.Connect) == 0 {
		return nil, usageError{errors.New("--named-credential goes with --connect")}
	}
	if several && !c.Status && len(c.Command) == 0 {
		return nil, usageError{errors.New("a rotation on several orgs hands over the credentials of each: name a command after --")}
	}
	given := len(c.Command) > 0 || c.Output != nil || c.Show || len(c.AgeRecipient) > 0 || e.noCommand
	if c.Status && given {
		return nil, usageError{errors.New("--status hands nothing over: leave out the command, --output, --show and --age-recipient")}
	}
	if c.RevokeOld && len(c.Command) == 0 && c.Output == nil && len(c.Connect) == 0 {
		return nil, usageError{errors.New("--revoke-old revokes the old credentials at once, so their users need the new ones: name a command after --, --output or --connect")}
	}
	var sink *sink
	if !c.Status && (given || !c.Abort && len(c.Connect) == 0) {
		if sink, err = c.sink(e, orgs, several); err != nil {
			return nil, err
		}
	}
	return onOrgs(ctx, e, &c.orgFlags, &c.callFlags, orgs, fleetWork[*rotateReport]{
		column: "CONSUMER KEY", cell: func(r *rotateReport) string { return r.ConsumerKey },
		ended: func(r *rotateReport) string {
			switch {
			case r.Rotated:
				return ", rotated"
			case r.Beside != "":
				return fmt.Sprintf(", beside them credentials in the state %s, %s left", r.Beside, plural(r.DaysLeft, "day"))
			}
			return ""
		},
		do: func(ctx context.Context, org string, traffic *traffic) (*rotateReport, error) {
			return onOrg(ctx, e, traffic, &c.callFlags, org, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (*rotateReport, error) {
				feeds, err := c.feeds(org, app)
				if err != nil {
					return nil, err
				}
				client := &consumer.Client{Conn: conn}
				handOver := func(ctx context.Context, pair login.Credentials) error {
					if err := c.feed(ctx, e, traffic, feeds, provided{conn.InstanceURL, pair}); err != nil || sink == nil {
						return err
					}
					err := sink.take(ctx, &credentials{org: org, app: app, baseURL: conn.InstanceURL, pair: pair})
					if err == nil {
						err = sink.close()
					}
					return err
				}
				if sink == nil && len(c.Connect) == 0 {
					handOver = nil
				}
				var r *rotateReport
				_, err = c.during(ctx, client, traffic, func() (err error) {
					if len(feeds) > 0 {
						// Before anything is staged.
						if err := c.lookAtCallers(ctx, e, traffic, feeds, client, app); err != nil {
							return err
						}
					}
					switch {
					case c.Status:
						r, err = c.status(ctx, traffic, app, conn)
					case c.Abort:
						r, err = c.abort(ctx, traffic, app, conn, handOver)
					default:
						r, err = c.rotate(ctx, traffic, app, conn, handOver)
					}
					return err
				})
				return r, err
			})
		},
	})
}

func (c *rotateCmd) rotate(ctx context.Context, traffic *traffic, app string, conn *salesforce.Conn, handOver func(context.Context, login.Credentials) error) (*rotateReport, error) {
	rotation := &consumer.Rotation{Client: &consumer.Client{Conn: conn}, HandOver: handOver, Wait: c.Wait, RevokeOld: c.RevokeOld, Progress: rotationLine(traffic)}
	o, err := rotation.Run(ctx, app)
	if o == nil {
		return nil, err
	}
	r := &rotateReport{App: o.App, Rotated: o.Rotated, Verified: o.Verified, ConsumerKey: login.Credentials{Key: o.Key}.ShortKey()}
	if !o.Expires.IsZero() {
		r.beside(consumer.Rotated, o.OldKey, o.Expires)
	}
	if err == nil && !o.Rotated && !c.RevokeOld {
		traffic.line("nothing to rotate: --revoke-old revokes the old credentials, and then another rotation can begin")
	}
	return r, err
}

// rotationLine prints the events of a rotation.
func rotationLine(traffic *traffic) func(consumer.Event) {
	return func(event consumer.Event) {
		switch event.Step {
		case consumer.FoundStaged:
			traffic.line("new credentials are already staged")
		case consumer.FoundRotated:
			traffic.line("rotated before; the old credentials work until " + event.Expires.Format(time.DateOnly))
		case consumer.NewStaged:
			traffic.line("staged new credentials")
		case consumer.Waiting:
			waitingLine(traffic)(event.Wait)
		case consumer.Proved:
			traffic.line("the credentials work")
		case consumer.HandedOver:
			traffic.line("handed over")
		case consumer.Swapped:
			traffic.line("the new credentials are the main ones, and work")
		case consumer.OldRevoked:
			traffic.line("the old credentials no longer work")
		}
	}
}

// waitingLine prints a wait for a consumer that the org does not know yet.
func waitingLine(traffic *traffic) func(time.Duration) {
	return func(wait time.Duration) {
		traffic.line(fmt.Sprintf("the org does not know the consumer yet; asking again in %s", wait))
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

func (c *rotateCmd) status(ctx context.Context, traffic *traffic, app string, conn *salesforce.Conn) (*rotateReport, error) {
	s, err := (&consumer.Client{Conn: conn}).Status(ctx, app)
	if err != nil {
		return nil, err
	}
	r := &rotateReport{App: s.Consumer.App, ConsumerKey: s.Main.ShortKey()}
	traffic.line(fmt.Sprintf("%s: main credentials %s", r.App, r.ConsumerKey))
	if s.Beside == nil {
		traffic.line("no other credentials")
		return r, nil
	}
	r.beside(s.Beside.State, s.Beside.Key, s.Beside.Expires)
	traffic.line(fmt.Sprintf("beside them %s, in the state %s, %s left", r.BesideKey, r.Beside, plural(r.DaysLeft, "day")))
	return r, nil
}

func (c *rotateCmd) abort(ctx context.Context, traffic *traffic, app string, conn *salesforce.Conn, handOver func(context.Context, login.Credentials) error) (*rotateReport, error) {
	there, err := (&consumer.Client{Conn: conn}).Abort(ctx, app, handOver)
	r := &rotateReport{App: app, Aborted: there}
	switch {
	case err != nil:
	case !there:
		traffic.line("no credentials are staged")
	case handOver == nil:
		traffic.line("discarded the staged credentials; whoever has them needs the main ones: eca credentials")
	default:
		traffic.line("handed over the main credentials, and discarded the staged ones")
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
			return nil, usageError{fmt.Errorf("plugins.eca of the project here declares no connection from %s to %s of %s; name it with --named-credential", caller, app, org)}
		}
	}
	return all, nil
}

// lookAtCallers looks at the orgs of --connect, and completes their connections: by what a named
// credential has that is only named, and by all principals that hold a pair of the app.
func (c *rotateCmd) lookAtCallers(ctx context.Context, e *env, traffic *traffic, feeds map[string][]link, client *consumer.Client, app string) error {
	status, err := client.Status(ctx, app)
	if err != nil {
		return err
	}
	keys := []string{status.Main.Key}
	if status.Beside != nil {
		keys = append(keys, status.Beside.Key)
	}
	for _, caller := range c.Connect {
		line := newTraffic(c.Verbose, func(text string) { traffic.line(caller + ": " + text) })
		_, err := onOrg(ctx, e, line, &c.callFlags, caller, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (struct{}, error) {
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
func (c *rotateCmd) feed(ctx context.Context, e *env, traffic *traffic, feeds map[string][]link, given provided) error {
	for _, caller := range c.Connect {
		line := newTraffic(c.Verbose, func(text string) { traffic.line(caller + ": " + text) })
		_, err := onOrg(ctx, e, line, &c.callFlags, caller, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (*connectReport, error) {
			p := &providers{e: e, given: &given}
			return p.connect(ctx, line, caller, conn, feeds[caller], credential.Options{})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
