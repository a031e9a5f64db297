package main

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	KeyOnly     bool `name:"key-only" help:"Hand over the key without the secret, as public clients need it. Works where the org does not let secrets be read."`
	secretFlags `embed:""`
}

// accessFlags let a command read secrets where the org does not let them be read.
type accessFlags struct {
	EnableAccess bool `name:"enable-access" help:"Switch on, for the reading only, the org setting that lets secrets be read over REST."`
}

// during does something while the org's secrets can be read, and reports whether the setting was
// switched on for it. It is switched off again also where the run is interrupted.
func (f *accessFlags) during(ctx context.Context, client *consumer.Client, traffic *traffic, do func() error) (switched bool, err error) {
	if !f.EnableAccess {
		return false, do()
	}
	restore, err := enableAccess(ctx, client, traffic)
	if err != nil {
		return false, err
	}
	err = do()
	if locked, ok := errors.AsType[*consumer.AccessError](err); ok && locked.Setting && ctx.Err() == nil {
		// Another run has switched it off again meanwhile.
		if restore, err = enableAccess(ctx, client, traffic); err == nil {
			err = do()
		}
	}
	if restore == nil {
		return false, err
	}
	switch failed := restore(); {
	case failed == nil:
	case err == nil:
		err = failed
	default:
		err = fmt.Errorf("%w; and %w", err, failed)
	}
	return true, err
}

func (credentialsCmd) Help() string {
	return `Prints {"base_url", "client_id", "client_secret"} where standard output is not a terminal: eca credentials -o uat | my-vault-tool. For a command that wants them itself: eca credentials -o uat -- vault kv put secret/erp @/dev/stdin. Several orgs give one document a line.

The user of the session needs the permissions External Client App Developer and View Client Secret, and the org the setting "Allow access to External Client App consumer secrets via REST API" (ExternalClientAppSettings.enableClientSecretInRestApiAccess).`
}

// credentialsReport is what --json says of one org. It holds no secret.
type credentialsReport struct {
	App         string `json:"app"`
	BaseURL     string `json:"baseUrl"`
	ConsumerKey string `json:"consumerKey"` // shortened
	// AccessSwitched says that the org's setting was switched on for the reading, and off again.
	AccessSwitched bool `json:"accessSwitched,omitempty"`
}

// oneResult is what --json says of a command that has worked on one org.
type oneResult[T any] struct {
	outcome
	calls
	Report T `json:"report,omitempty"`
}

// manyResult is what --json says of a command that has worked on several orgs.
type manyResult[T any] struct {
	outcome
	*fleetResult[T]
}

// onOrgs does something on the orgs that the flags name: on one, or on a fleet.
func onOrgs[T any](ctx context.Context, e *env, orgFlags *orgFlags, call *callFlags, orgs []string, work fleetWork[*T]) (result, error) {
	e.verbose = call.Verbose
	if !orgFlags.several(orgs) {
		outliveReader()
		traffic := newTraffic(call.Verbose, func(line string) { e.line("  %s", line) })
		report, err := work.do(ctx, orgs[0], traffic)
		return &oneResult[*T]{calls: calls{traffic.count(), traffic.retried()}, Report: report}, err
	}
	work.there = func(report *T) bool { return report != nil }
	if work.remarks == nil {
		work.remarks = func(*ui, []fleet.Outcome[*T]) {}
	}
	all, err := onFleet(ctx, e, orgFlags, call, orgs, work)
	if all == nil {
		return nil, err
	}
	return &manyResult[*T]{fleetResult: all}, err
}

func (c *credentialsCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.callFlags.check(); err != nil {
		return nil, err
	}
	app, err := c.app()
	if err != nil {
		return nil, err
	}
	orgs, err := e.orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	sink, err := c.sink(e, orgs, c.several(orgs))
	if err != nil {
		return nil, err
	}
	r, err := onOrgs(ctx, e, &c.orgFlags, &c.callFlags, orgs, fleetWork[*credentialsReport]{
		column: "CONSUMER KEY", cell: func(r *credentialsReport) string { return r.ConsumerKey },
		ended: func(*credentialsReport) string { return "" },
		do: func(ctx context.Context, org string, traffic *traffic) (*credentialsReport, error) {
			return onOrg(ctx, e, traffic, &c.callFlags, org, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (*credentialsReport, error) {
				return c.handOver(ctx, traffic, org, app, conn, sink)
			})
		},
	})
	// A file is written whole or not at all; on standard output each document is whole.
	if err == nil || c.Output == nil {
		if closeErr := sink.close(); err == nil {
			err = closeErr
		}
	}
	return r, err
}

// handOver reads the credentials of one org and hands them over.
func (c *credentialsCmd) handOver(ctx context.Context, traffic *traffic, org, app string, conn *salesforce.Conn, sink *sink) (*credentialsReport, error) {
	client := &consumer.Client{Conn: conn}
	r := &credentialsReport{App: app, BaseURL: conn.InstanceURL}
	var err error
	var pair login.Credentials
	if c.KeyOnly {
		pair.Key, err = client.Key(ctx, app)
	} else {
		r.AccessSwitched, err = c.during(ctx, client, traffic, func() error {
			found, err := client.Find(ctx, app)
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
	if err := sink.take(ctx, &credentials{org: org, app: r.App, baseURL: conn.InstanceURL, pair: pair, keyOnly: c.KeyOnly}); err != nil {
		return r, err
	}
	traffic.line(fmt.Sprintf("handed over the credentials of %s, consumer key %s", r.App, r.ConsumerKey))
	return r, nil
}

// enableAccess switches the org's setting on where it is off, and returns how to switch it off
// again, nil where it was on. That is done also where the run is interrupted.
func enableAccess(ctx context.Context, client *consumer.Client, traffic *traffic) (restore func() error, err error) {
	on, err := client.Access(ctx)
	if err != nil || on {
		return nil, err
	}
	restore = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if err := client.SetAccess(ctx, false); err != nil {
			return fmt.Errorf("the setting enableClientSecretInRestApiAccess was switched on for the reading and could not be switched off again: %w", err)
		}
		traffic.line("switched the REST access to consumer secrets off again")
		return nil
	}
	if err := client.SetAccess(ctx, true); err != nil {
		if salesforce.IsUncertain(err) || ctx.Err() != nil {
			if failed := restore(); failed != nil { // it may be on
				err = fmt.Errorf("%w; and %w", err, failed)
			}
		}
		return nil, err
	}
	traffic.line("switched the REST access to consumer secrets on")
	return restore, nil
}
