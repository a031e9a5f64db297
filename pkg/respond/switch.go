package respond

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// ConnectedAppError reports that an app to be switched is a Connected App. No API switches one off;
// Setup blocks it.
type ConnectedAppError struct{ App string }

func (e *ConnectedAppError) Error() string {
	return fmt.Sprintf("%s is a Connected App, which no API switches off", e.App)
}

// Switched is the result of Switch.
type Switched struct {
	App       string `json:"app"` // the name as the org has it, with the namespace of a package
	Component string `json:"component"`
	On        bool   `json:"on"`
	Changed   bool   `json:"changed"` // this run wrote it
}

// Switch switches an External Client App and its OAuth plugin on or off in the plugin policies of this
// org, which the apps of packages have as well. An app that is off admits no new logins and refreshes;
// whether its open access tokens end is not known, see the fact disabling-ends-access-tokens of
// pkg/platform. Key, secret, policies and tokens stay. With dryRun, Switch writes nothing.
//
// The error is an *apps.NotFoundError, a *ConnectedAppError or the org's refusal, an
// *mdapi.ComponentError, if the org answers. A second Switch changes nothing.
func Switch(ctx context.Context, conn *salesforce.Conn, name string, on, dryRun bool) (*Switched, error) {
	app, err := findApp(ctx, conn, name)
	if err != nil {
		return nil, err
	}
	value := fmt.Sprint(on)
	want := eca.Wants(eca.Desired{
		App: app.FullName(), Label: app.Label, Types: []string{eca.PluginPolicies},
		Fields: map[string]metadata.Fields{eca.PluginPolicies: metadata.Stated("isEnabled", value, "isOauthPluginEnabled", value)},
	})[eca.PluginPolicies]
	state, err := reconcile.Read(ctx, &mdapi.Client{Conn: conn}, []*metadata.Want{want})
	if err != nil {
		return nil, err
	}
	plan := state.Plan(nil)
	result := &Switched{App: app.FullName(), On: on, Component: plan.Steps[0].FullName, Changed: plan.Pending() > 0}
	if dryRun {
		return result, nil
	}
	run := plan.Start()
	err = run.Apply(ctx, nil)
	outcome := run.Of(want)
	result.Component, result.Changed = outcome.FullName, outcome.Applied
	if err == nil {
		err = outcome.Err
	}
	return result, err
}

// findApp returns an External Client App of the org by its name, with or without the namespace of its
// package, or by its label if only one has it.
func findApp(ctx context.Context, conn *salesforce.Conn, name string) (*apps.App, error) {
	var all []*apps.App
	var connected []mdapi.FileProperties
	var labels []restapi.Loose[connectedRow]
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { all, _, err = apps.Apps(groupCtx, conn); return err })
	group.Go(func() (err error) {
		connected, err = (&mdapi.Client{Conn: conn}).List(groupCtx, connectedapp.TypeName)
		return unlessRefused(err)
	})
	group.Go(func() (err error) {
		labels, err = restapi.Query[restapi.Loose[connectedRow]](groupCtx, &restapi.Client{Conn: conn}, "SELECT Id, Name FROM ConnectedApplication")
		return unlessRefused(err)
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, is := range []func(*apps.App) bool{
		func(a *apps.App) bool { return strings.EqualFold(a.FullName(), name) },
		func(a *apps.App) bool { return strings.EqualFold(a.Name, name) },
		func(a *apps.App) bool { return strings.EqualFold(a.Label, name) },
	} {
		found := slices.DeleteFunc(slices.Clone(all), func(a *apps.App) bool { return !is(a) })
		if len(found) == 1 {
			return found[0], nil
		}
		if len(found) > 1 {
			several := &AmbiguousError{App: name}
			for _, a := range found {
				several.Apps = append(several.Apps, a.FullName())
			}
			return nil, several
		}
	}
	if slices.ContainsFunc(connected, func(f mdapi.FileProperties) bool { return strings.EqualFold(f.FullName, name) }) ||
		slices.ContainsFunc(labels, func(row restapi.Loose[connectedRow]) bool { return strings.EqualFold(row.Record.Name, name) }) {
		return nil, &ConnectedAppError{name}
	}
	missing := &apps.NotFoundError{App: name}
	for _, a := range all {
		missing.Similar = append(missing.Similar, a.FullName())
	}
	return nil, missing
}
