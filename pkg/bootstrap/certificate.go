package bootstrap

import (
	"context"
	"fmt"
	"slices"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// HiddenCertificateError reports that an update of an app's global OAuth settings is refused, because
// it may clear a certificate that the org does not show, which ends logins with JWT bearer. Source:
// pkg/platform, certificate-shown.
type HiddenCertificateError struct{ App string }

func (e *HiddenCertificateError) Error() string {
	return fmt.Sprintf("the org shows no certificate of %s, and an update may clear one that it hides", e.App)
}

// OwnAppError reports that the session comes from a login with the app that would be switched off.
type OwnAppError struct{ App string }

func (e *OwnAppError) Error() string {
	return fmt.Sprintf("this session is a login with %s, and switching the app off would end it", e.App)
}

// guard refuses updates that may lose a certificate or the session's own login. It reads the global
// settings of all apps if only those can prove that the org shows certificates.
func (e *engine) guard(ctx context.Context) error {
	shown := slices.ContainsFunc(e.state.Components(eca.GlobalOAuthSettings), hasCertificate)
	read := shown
	for _, app := range e.apps {
		global := e.find(app, eca.GlobalOAuthSettings)
		if global == nil {
			continue // the run creates the consumer
		}
		own := e.clientID != "" && global.Text("consumerKey") == e.clientID
		if own {
			app.Wants[eca.PluginPolicies].Guard = func(changes []metadata.Change) error {
				if slices.ContainsFunc(changes, switchesOff) {
					return &OwnAppError{app.Name}
				}
				return nil
			}
		}
		if want := app.Wants[eca.GlobalOAuthSettings]; want.Fields.Has("certificate") || want.Source.Has("certificate") || hasCertificate(global) || !own && e.cannotUseJWT(app) {
			continue
		}
		if !read && !own && e.updates(app, global) {
			var err error
			if shown, err = showsCertificates(ctx, e); err != nil {
				return err
			}
			read = true
		}
		if own || !shown {
			app.Wants[eca.GlobalOAuthSettings].Guard = func([]metadata.Change) error { return &HiddenCertificateError{app.Name} }
		}
	}
	return nil
}

// updates reports whether the run would update an app's global settings.
func (e *engine) updates(app *wanted.App, global *metadata.Component) bool {
	want := app.Wants[eca.GlobalOAuthSettings]
	_, changes := want.Type.Overlay(global, want.Existing(global))
	return len(changes) > 0
}

// cannotUseJWT reports whether the app's scopes on the org exclude logins with JWT bearer, which need
// RefreshToken. Source: the token endpoint's error for such an app, see the refusals of pkg/login.
func (e *engine) cannotUseJWT(app *wanted.App) bool {
	settings := e.find(app, eca.OAuthSettings)
	return settings != nil && !eca.HasRefreshToken(metadata.Items(settings.Text("commaSeparatedOauthScopes")))
}

// showsCertificates reports whether an app of the org shows its certificate.
func showsCertificates(ctx context.Context, e *engine) (bool, error) {
	all, err := apps.Read(ctx, e.conn, []string{eca.GlobalOAuthSettings})
	return slices.ContainsFunc(all, func(app *apps.App) bool { return hasCertificate(app.Component(eca.GlobalOAuthSettings)) }), err
}

func hasCertificate(global *metadata.Component) bool {
	return global != nil && global.Text("certificate") != ""
}

// switchesOff reports whether a change of plugin policies ends logins.
func switchesOff(c metadata.Change) bool {
	return (c.Field == "isEnabled" || c.Field == "isOauthPluginEnabled") && c.To == "false"
}
