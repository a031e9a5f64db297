package cli

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/secrets"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/fleet"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

type credentialsCmd struct {
	appFlags    `embed:""`
	orgFlags    `embed:""`
	callFlags   `embed:""`
	accessFlags `embed:""`
	All         bool `help:"All Local apps of the project in the working directory; without a project, of each org. One document per app."`
	KeyOnly     bool `name:"key-only" help:"Export the key without the secret, as public clients need it. Works even if the org does not let secrets be read."`
	secretFlags `embed:""`
}

func (credentialsCmd) Help() string {
	return `Writes {"base_url", "client_id", "client_secret"} to a file, or to standard output with --output -. A command gets them on its standard input and in its environment. Several orgs give one document per line.

The user of the session needs the permissions External Client App Developer and View Client Secret, and the org the setting "Allow access to External Client App consumer secrets via REST API" (ExternalClientAppSettings.enableClientSecretInRestApiAccess).

  eca credentials -o uat -- vault kv put secret/erp @/dev/stdin`
}

// credentialsReport is what --json says of one org. It holds no secret.
type credentialsReport struct {
	App         string `json:"app,omitempty"`
	BaseURL     string `json:"baseUrl"`
	ConsumerKey string `json:"consumerKey,omitempty"` // shortened
	// AccessSwitched says that the org's setting was switched on for the reading, and off again.
	AccessSwitched bool `json:"accessSwitched,omitempty"`
	// Apps are the reports of all apps, of a run with --all.
	Apps []*credentialsReport `json:"apps,omitempty"`
}

// oneResult is what --json says of a command that has worked on one org.
type oneResult[T any] struct {
	outcome
	orgs.Calls
	Report T `json:"report,omitempty"`
}

// manyResult is what --json says of a command that has worked on several orgs.
type manyResult[T any] struct {
	outcome
	*orgs.FleetResult[T]
}

// onOrgs does something on the orgs that the flags name: on one, or on a fleet.
func onOrgs[T any](ctx context.Context, e *env, orgFlags *orgFlags, call *callFlags, targets []string, do orgs.FleetWork[*T]) (result, error) {
	e.Verbose = call.Verbose
	if !orgFlags.Several(targets) {
		console.OutliveReader()
		work := orgs.NewWork(e.Log(), call.Verbose)
		report, err := do.Do(ctx, targets[0], work)
		if err == nil && do.Last != nil {
			e.last(do.Last(report))
		}
		return &oneResult[*T]{Calls: work.Calls(), Report: report}, err
	}
	do.Exists = func(report *T) bool { return report != nil }
	if do.Remarks == nil {
		do.Remarks = func(*console.Console, []fleet.Outcome[*T]) {}
	}
	all, err := orgs.Fleet(ctx, e.Env, orgFlags, call, targets, do)
	if all == nil {
		return nil, err
	}
	return &manyResult[*T]{FleetResult: all}, err
}

// last prints the last line of a command that worked.
func (e *env) last(text string) {
	if text != "" {
		e.Line("eca: %s.", text)
	}
}

func (c *credentialsCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.callFlags.Check(); err != nil {
		return nil, err
	}
	if err := e.checkCommand(c.Command); err != nil {
		return nil, err
	}
	var app string
	if c.All {
		if c.App != "" {
			return nil, usage.Errorf("--all goes without --app")
		}
		if err := c.CheckApps(); err != nil {
			return nil, err
		}
	} else {
		var err error
		if app, err = c.app(); err != nil {
			return nil, err
		}
	}
	targets, err := e.Orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	sink, err := c.Sink(e.output(), targets, c.Several(targets), c.KeyOnly)
	if err != nil {
		return nil, err
	}
	sink.Apps = c.All
	r, err := onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*credentialsReport]{
		Column: "CONSUMER KEY", Cell: func(r *credentialsReport) string {
			if c.All {
				return console.Plural(len(r.Apps), "app")
			}
			return r.ConsumerKey
		},
		Ended: func(*credentialsReport) string { return "" },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*credentialsReport, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (*credentialsReport, error) {
				if c.All {
					return c.handOverAll(ctx, e, work, org, conn, sink)
				}
				return c.handOver(ctx, e, work, org, app, conn, sink)
			})
		},
	})
	// A file is written whole or not at all; on standard output each document is whole.
	if err == nil || c.Output == nil {
		if closeErr := sink.Close(); err == nil {
			err = closeErr
		}
	}
	if one, ok := r.(*oneResult[*credentialsReport]); ok && err == nil {
		what := "the credentials of " + one.Report.App
		if c.All {
			what = "the credentials of " + console.Plural(len(one.Report.Apps), "app")
		}
		e.last("exported " + what + " on " + targets[0])
	}
	return r, err
}

// handOverAll reads the credentials of all apps of an org and hands them over. Apps without a consumer have
// none.
func (c *credentialsCmd) handOverAll(ctx context.Context, e *env, work *orgs.Work, org string, conn *salesforce.Conn, sink *secrets.Sink) (*credentialsReport, error) {
	names, err := localOrOrgApps(ctx, conn)
	if err != nil {
		return nil, err
	}
	all := &credentialsReport{BaseURL: conn.InstanceURL}
	for _, name := range names {
		one, err := c.handOver(ctx, e, work, org, name, conn, sink)
		switch {
		case errors.As(err, new(*apps.NoOAuthError)), errors.As(err, new(*apps.NotFoundError)):
			work.Line("%s has no consumer on this org", name)
		case err != nil:
			return all, err
		default:
			all.Apps = append(all.Apps, one)
		}
	}
	return all, nil
}

// handOver reads the credentials of one org and hands them over.
func (c *credentialsCmd) handOver(ctx context.Context, e *env, work *orgs.Work, org, app string, conn *salesforce.Conn, sink *secrets.Sink) (*credentialsReport, error) {
	client := &consumer.Client{Conn: conn}
	r := &credentialsReport{App: app, BaseURL: conn.InstanceURL}
	var err error
	var pair login.Credentials
	found := new(consumer.Consumer)
	if c.KeyOnly {
		var group errgroup.Group
		group.Go(func() error {
			if known, err := client.Find(ctx, app); err == nil { // of which the key needs nothing
				found = known
			}
			return nil
		})
		group.Go(func() (err error) { pair.Key, err = client.Key(ctx, app); return err })
		err = group.Wait()
	} else {
		r.AccessSwitched, err = c.during(ctx, e, client, work, app, func(*access) error {
			found, err = client.Find(ctx, app)
			if err != nil {
				return err
			}
			r.App = found.App
			pair, err = client.Credentials(ctx, found)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	r.ConsumerKey = pair.ShortKey()
	if len(c.Command) > 0 {
		work.Await("the command " + c.Command[0])
	}
	if err := sink.Take(ctx, &secrets.Credentials{Org: org, App: r.App, BaseURL: conn.InstanceURL, AppID: found.AppID, ConsumerID: found.ID, Pair: pair, KeyOnly: c.KeyOnly}); err != nil {
		return r, err
	}
	work.Line("exported the credentials of %s, consumer key %s", r.App, r.ConsumerKey)
	return r, nil
}
