package lint

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// expirySoon is the remaining validity at which a certificate is reported.
const expirySoon = 30 * 24 * time.Hour

// use is the OAuth of an app: the settings for an environment, together with the fields in the app's
// source.
type use struct {
	*linter
	app    string
	wanted map[string]metadata.Fields
}

// setting is a field with its place: a path in the project file, or an element of a component.
type setting struct{ text, file, at string }

func (u use) setting(typ, field string) setting {
	at := "plugins.eca.apps." + u.app
	if values := u.wanted[typ][field]; len(values) > 0 {
		settings := u.project.Settings.Apps[u.app]
		return setting{values[0].Text, sfp.ProjectFile, at + "." + settings.Key(typ) + "." + field}
	}
	for _, c := range u.of(typ) {
		if strings.EqualFold(eca.App(c.Component), u.app) {
			return setting{strings.TrimSpace(c.Text(field)), c.file, field}
		}
	}
	return setting{"", sfp.ProjectFile, at}
}

// isOn reports whether a switch of the global OAuth settings is on; byDefault applies if nothing
// sets it.
func (u use) isOn(field string, byDefault bool) bool {
	text := u.setting(eca.GlobalOAuthSettings, field).text
	return text == "true" || text == "" && byDefault
}

func (u use) report(rule string, level finding.Level, at setting, problem, fix string) {
	problem = u.app + " " + problem
	u.note(finding.Finding{
		Rule: rule, Level: level, App: u.app, File: at.file, Line: u.line(at.file, at.at, problem), Problem: problem, Fix: fix,
	}, nil)
}

// checkUse checks for an app whose OAuth contradicts its use in an environment.
func (l *linter) checkUse(app string, wanted map[string]metadata.Fields) {
	u := use{l, app, wanted}
	scopes := u.setting(eca.OAuthSettings, "commaSeparatedOauthScopes")
	has := func(scope string) bool { return slices.Contains(metadata.Items(scopes.text), scope) }
	if has("MCP") && !u.isOn("isNamedUserJwtEnabled", false) {
		u.report("mcp-without-jwt", finding.Warning, scopes, "has the scope MCP, but issues no JWT-based tokens",
			"set globalOauthSettings.isNamedUserJwtEnabled to true")
	}
	if has("Full") {
		u.report("scope-full", finding.Error, scopes, "has the scope Full, which is broader than any use",
			"name the scopes that the app needs, such as Api")
	}
	if public := "isConsumerSecretOptional"; u.isOn(public, false) {
		at := u.setting(eca.GlobalOAuthSettings, public)
		if u.isOn("isSecretRequiredForRefreshToken", true) && has("RefreshToken") {
			u.report("public-client", finding.Warning, at, "is a public client, but its refresh tokens require the secret",
				"set globalOauthSettings.isSecretRequiredForRefreshToken to false")
		}
		if !u.isOn("isPkceRequired", true) {
			u.report("public-client", finding.Warning, at, "is a public client, but does not require PKCE",
				"set globalOauthSettings.isPkceRequired to true")
		}
	}
	u.checkCertificate()
}

func (u use) checkCertificate() {
	at := u.setting(eca.GlobalOAuthSettings, "certificate")
	certificate, err := x509.ParseCertificate(metadata.CertificateDER(at.text))
	if at.text == "" || err != nil {
		return
	}
	day := certificate.NotAfter.Format(time.DateOnly)
	switch left := time.Until(certificate.NotAfter); {
	case left <= 0:
		u.report("certificate-expires", finding.Error, at, "has a certificate that expired on "+day, "replace it")
	case left < expirySoon:
		u.report("certificate-expires", finding.Warning, at, "has a certificate that expires on "+day, "replace it")
	}
}

// checkHandOver looks for source that keeps the org from showing the secrets that handOver needs.
func (l *linter) checkHandOver() {
	var apps []string
	for name, app := range l.project.Settings.Apps {
		stated := app.HandOver != nil
		for _, environment := range app.Environments {
			stated = stated || environment.HandOver != nil
		}
		if stated {
			apps = append(apps, name)
		}
	}
	if len(apps) == 0 {
		return
	}
	slices.Sort(apps)
	const field = "enableClientSecretInRestApiAccess"
	for _, p := range l.project.Packages {
		for _, file := range l.source.Files(p.Path) {
			if path.Base(file) != eca.OrgSettingsName+".settings-meta.xml" {
				continue
			}
			data, err := fs.ReadFile(l.fsys, file)
			if err != nil {
				continue
			}
			if c, err := metadata.Parse(bytes.NewReader(data)); err == nil && strings.TrimSpace(c.Text(field)) != "true" {
				l.add("hand-over-locked", finding.Warning, file, field, fmt.Sprintf("does not switch %s on, which handOver of %s needs", field, strings.Join(apps, ", ")), "set it to true")
			}
		}
	}
}
