package cli

import (
	"cmp"
	"context"
	"fmt"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/respond"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

type disableCmd struct {
	App          string `required:"" placeholder:"NAME" help:"API name of the External Client App, also of a package."`
	confirmFlags `embed:""`
	orgFlags     `embed:""`
	callFlags    `embed:""`
}

func (disableCmd) Help() string {
	return `Switches an External Client App and its OAuth plugin off in the plugin policies of the orgs. Nobody can log in or refresh a token until eca enable. Key, secret, policies and tokens stay. eca bootstrap leaves the app off.

Whether open access tokens end at once is not known, so revoke them afterwards: eca revoke.

  eca disable --app ErpConnector -o prod --yes`
}

type enableCmd struct {
	App       string `required:"" placeholder:"NAME" help:"API name of the External Client App, also of a package."`
	DryRun    bool   `name:"dry-run" help:"Show what would be done, and change nothing."`
	Yes       bool   `hidden:"" help:"Not needed, because enable asks no question; accepted beside disable --yes."`
	orgFlags  `embed:""`
	callFlags `embed:""`
}

func (enableCmd) Help() string {
	return `Switches an External Client App and its OAuth plugin on again in the plugin policies of the orgs.

  eca enable --app ErpConnector -o prod`
}

func (c *disableCmd) run(ctx context.Context, e *env) (result, error) {
	if err := cmp.Or(c.callFlags.Check(), c.confirmFlags.check()); err != nil {
		return nil, err
	}
	s := &switching{env: e, app: c.App, orgFlags: &c.orgFlags, callFlags: &c.callFlags}
	if c.Yes {
		return s.onAll(ctx, false)
	}
	all, err := s.onAll(ctx, true)
	if err != nil || c.DryRun || !s.pending {
		return all, err
	}
	if !c.asks(e) {
		return all, errUnconfirmed
	}
	if err := e.confirm(ctx, fmt.Sprintf("Switch %s off on %s?", c.App, console.Plural(len(s.targets), "org"))); err != nil {
		return all, err
	}
	return s.onAll(ctx, false)
}

func (c *enableCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.callFlags.Check(); err != nil {
		return nil, err
	}
	s := &switching{env: e, app: c.App, on: true, orgFlags: &c.orgFlags, callFlags: &c.callFlags}
	return s.onAll(ctx, c.DryRun)
}

// switching is a run of eca disable or enable.
type switching struct {
	env       *env
	app       string
	on        bool
	orgFlags  *orgFlags
	callFlags *callFlags
	targets   []string
	pending   bool // an app is to be switched
}

// onAll switches the app on all orgs, or only shows what it would do.
func (s *switching) onAll(ctx context.Context, dryRun bool) (_ result, err error) {
	if s.targets, err = s.env.Orgs(s.orgFlags); err != nil {
		return nil, err
	}
	state := map[bool]string{true: "on", false: "off"}[s.on]
	pending := make(chan bool, len(s.targets))
	all, err := onOrgs(ctx, s.env, s.orgFlags, s.callFlags, s.targets, orgs.FleetWork[*respond.Switched]{
		Column: "APP", Cell: func(*respond.Switched) string { return state },
		Ended: func(*respond.Switched) string { return "" },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*respond.Switched, error) {
			return orgs.On(ctx, s.env.Env, work, s.callFlags, org, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (*respond.Switched, error) {
				switched, err := respond.Switch(ctx, conn, s.app, s.on, dryRun)
				if err != nil {
					return switched, err
				}
				switch {
				case !switched.Changed:
					work.Line("%s is %s already", switched.App, state)
				case dryRun:
					pending <- true
					work.Line("%s would be switched %s (%s)", switched.App, state, switched.Component)
				default:
					work.Line("%s is %s (%s)", switched.App, state, switched.Component)
				}
				if !s.on && !dryRun {
					work.Line("open access tokens may live on: eca revoke -o %s --app %s --sessions", org, switched.App)
				}
				return switched, nil
			})
		},
	})
	s.pending = len(pending) > 0
	return all, err
}
