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

// checkUse checks for an app whose OAuth contradicts its use: the settings for an environment,
// together with the fields in the app's source.
func (l *linter) checkUse(app string, wanted map[string]metadata.Fields) {
	// get returns the text of a field and its place: a path in the project file, or a
	// component's file.
	type place struct{ file, at string }
	get := func(typ, field string) (text string, where place) {
		if values := wanted[typ][field]; len(values) > 0 {
			settings := l.project.Settings.Apps[app]
			return values[0].Text, place{sfp.ProjectFile, "plugins.eca.apps." + app + "." + settings.Key(typ) + "." + field}
		}
		for _, c := range l.of(typ) {
			if strings.EqualFold(eca.App(c.Component), app) {
				return strings.TrimSpace(c.Text(field)), place{c.file, field}
			}
		}
		return "", place{sfp.ProjectFile, "plugins.eca.apps." + app}
	}
	is := func(field, otherwise string) bool {
		text, _ := get(eca.GlobalOAuthSettings, field)
		if text == "" {
			text = otherwise
		}
		return text == "true"
	}
	note := func(rule string, level finding.Level, where place, problem, fix string) {
		l.note(finding.Finding{Rule: rule, Level: level, App: app, File: where.file, Line: l.line(where.file, where.at, problem), Problem: problem, Fix: fix}, nil)
	}
	scopes, at := get(eca.OAuthSettings, "commaSeparatedOauthScopes")
	if slices.Contains(metadata.Items(scopes), "MCP") && !is("isNamedUserJwtEnabled", "false") {
		note("mcp-without-jwt", finding.Warning, at, fmt.Sprintf("%s has the scope MCP, but issues no JWT-based tokens", app), "set globalOauthSettings.isNamedUserJwtEnabled to true")
	}
	if slices.Contains(metadata.Items(scopes), "Full") {
		note("full-scope", finding.Warning, at, fmt.Sprintf("%s has the scope Full, which is broader than any use", app), "name the scopes that the app needs, such as Api")
	}
	_, at = get(eca.GlobalOAuthSettings, "isConsumerSecretOptional")
	if is("isConsumerSecretOptional", "false") {
		if is("isSecretRequiredForRefreshToken", "true") && slices.Contains(metadata.Items(scopes), "RefreshToken") {
			note("public-client", finding.Warning, at, fmt.Sprintf("%s is a public client, but its refresh tokens require the secret", app), "set globalOauthSettings.isSecretRequiredForRefreshToken to false")
		}
		if !is("isPkceRequired", "true") {
			note("public-client", finding.Warning, at, fmt.Sprintf("%s is a public client, but does not require PKCE", app), "set globalOauthSettings.isPkceRequired to true")
		}
	}
	text, at := get(eca.GlobalOAuthSettings, "certificate")
	certificate, err := x509.ParseCertificate(metadata.CertificateDER(text))
	if text == "" || err != nil {
		return
	}
	switch left := time.Until(certificate.NotAfter); {
	case left <= 0:
		note("certificate-expires", finding.Error, at, fmt.Sprintf("the certificate of %s has expired on %s", app, certificate.NotAfter.Format(time.DateOnly)), "replace it, and run eca bootstrap")
	case left < expirySoon:
		note("certificate-expires", finding.Warning, at, fmt.Sprintf("the certificate of %s expires on %s", app, certificate.NotAfter.Format(time.DateOnly)), "replace it, and run eca bootstrap")
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
