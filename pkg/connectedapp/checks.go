package connectedapp

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/literal"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// checkPlaceholder reports a text that is carried with a placeholder.
func (a *App) checkPlaceholder(place, text string) {
	if name := literal.Placeholder(text); name != "" {
		a.find("placeholder", finding.Error, place, "has the placeholder "+name+", which nothing replaces in the new app",
			"write the value in the new app's source or in plugins.eca, for each environment if it differs")
	}
}

// expiry returns the day on which a certificate expires, zero for text that is not one.
func expiry(text string) time.Time {
	certificate, err := x509.ParseCertificate(metadata.CertificateDER(text))
	if err != nil {
		return time.Time{}
	}
	return certificate.NotAfter
}

// deviceCallback is the callback URL that Setup gives an app when the device flow is switched on.
const deviceCallback = "https://login.salesforce.com/services/oauth2/success"

func (a *App) checkCallback() {
	const field = "isDeviceFlowEnabled"
	global := a.Fields[eca.GlobalOAuthSettings]
	switch callback := strings.TrimSpace(global.Text("callbackUrl")); {
	case callback == "":
		a.find("no-callback", finding.Warning, "oauthConfig.callbackUrl",
			"the source states no callback URL, and an External Client App needs one; the new app gets one of the org's own domain",
			"name the clients' callback URL if users log in through a browser")
	case strings.EqualFold(callback, deviceCallback) && !global.Has(field):
		global.Set(field, "true")
		a.find("device-flow", finding.Warning, "oauthConfig.callbackUrl",
			"the callback URL is the one that Setup adds for the device flow, so "+field+" is set to true",
			"set it to false if no client uses the device flow")
	}
}

func (a *App) checkScopes() {
	if slices.Contains(metadata.Items(a.Fields[eca.OAuthSettings].Text("commaSeparatedOauthScopes")), "Full") {
		a.find("scope-full", finding.Warning, "oauthConfig.scopes", "the scope Full is broader than any use",
			"name the scopes that the clients need, such as Api")
	}
}

// checkProfiles reports an app that profiles grant. Of an app that everybody may authorise, they are
// without effect.
func (a *App) checkProfiles() {
	if len(a.Profiles) == 0 || a.Fields[eca.OAuthPolicies].Text("permittedUsersPolicyType") != "AdminApprovedPreAuthorized" {
		return
	}
	who := "the profiles " + strings.Join(a.Profiles, ", ")
	if len(a.Profiles) > 5 {
		who = fmt.Sprintf("%d profiles", len(a.Profiles))
	}
	if len(a.sets) > 0 {
		a.find("profile", finding.Warning, "profileName", who+" grant the app besides permission sets; "+eca.ProfilesDoubt,
			"assign one of the permission sets to the users of the profiles")
		return
	}
	a.find("profiles-only", finding.Warning, "profileName", "only "+who+" grant the app; "+eca.ProfilesDoubt,
		"assign the permission set "+a.ProposedPermissionSet()+", which is created for the app, to the users of the profiles")
}

// ProposedPermissionSet returns the name of a permission set that can grant the app in place of
// profiles, "" if permission sets grant it, or everybody may authorise it.
func (a *App) ProposedPermissionSet() string {
	if len(a.sets) > 0 || len(a.Profiles) == 0 || a.Fields[eca.OAuthPolicies].Text("permittedUsersPolicyType") != "AdminApprovedPreAuthorized" {
		return ""
	}
	const ending = "_Users"
	return strings.TrimRight(a.Name[:min(len(a.Name), 80-len(ending))], "_") + ending
}

// ForVersion leaves out what an API version does not have; 0 has everything. A feature that is lost by
// that is a finding.
func (a *App) ForVersion(v apiversion.Version) {
	if v == 0 {
		return
	}
	for name, fields := range a.Fields {
		typ := eca.Lookup(name)
		if len(fields) > 0 && typ.Since > v {
			a.Fields[name] = make(metadata.Fields)
			a.tooNew(name, name, typ.Since, v)
			continue
		}
		for field, values := range fields {
			// The start page has another place in older versions.
			ft := typ.Field(field)
			if ft == nil || ft.Since <= v || name == eca.PluginPolicies {
				continue
			}
			delete(fields, field)
			if !(ft.Kind == metadata.Boolean && values[0].Text == "false") {
				a.tooNew(name, field, ft.Since, v)
			}
		}
	}
	a.Findings = finding.Sort(a.Findings)
}

// tooNew reports a lost feature at the element that it comes from.
func (a *App) tooNew(typ, what string, needs, v apiversion.Version) {
	place := ""
	for at, rule := range rules {
		if slices.Contains(rule.to, target{typ, what}) {
			place = at
		}
	}
	switch typ {
	case eca.SAMLPolicies:
		place = "samlConfig"
	case eca.CanvasSettings:
		place = "canvasConfig"
	}
	a.find("newer-than-project", finding.Error, place, fmt.Sprintf("is left out, because %s needs API version %s, and the project has %s", what, needs, v),
		fmt.Sprintf("raise sourceApiVersion to %s, and migrate the app again", needs))
}

// Movable returns why "Migrate to External Client App" in Setup does not migrate the app, "" if it
// does as far as the source shows. Source: Salesforce's documentation of that button.
func (a *App) Movable() string {
	samlConfig := metadata.ByName(a.stated)["samlConfig"]
	switch {
	case a.has("plugin", ""):
		return "it has a custom handler"
	case a.has("canvasConfig", "") || a.has("canvas", ""):
		return "it is a canvas app"
	case len(samlConfig) > 0 && strings.EqualFold(metadata.ByName(samlConfig[0].Fields).Text("encryptionType"), "Triple_Des"):
		return "it encrypts with Triple DES"
	}
	return ""
}
