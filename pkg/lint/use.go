package lint

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// use is the OAuth of an app: the settings for an environment, together with the fields in the app's
// source.
type use struct {
	*linter
	app      string
	wanted   map[string]metadata.Fields
	policies []project.SourceFile // of the environment
	granted  bool                 // permission sets of the settings grant the app
}

// value returns a field with its place: a path in the project file, or an element of a component.
func (u use) value(typ, field string) preflight.Value {
	key := u.project.Settings.Apps[u.app].Key(typ) + "." + field
	setting := preflight.Value{File: sfp.ProjectFile, At: "plugins.eca.apps." + u.app, Setting: key}
	if values := u.wanted[typ][field]; len(values) > 0 {
		setting.Text, setting.At = values[0].Text, setting.At+"."+key
		return setting
	}
	for _, c := range u.of(typ) {
		if strings.EqualFold(eca.App(c.Component), u.app) {
			return preflight.Value{Text: strings.TrimSpace(c.Text(field)), File: c.file, At: field}
		}
	}
	return setting
}

func (u use) report(rule string, level finding.Level, at preflight.Value, problem, fix string) {
	u.reportProblem(preflight.Problem{Finding: finding.Finding{Rule: rule, Level: level, App: u.app, File: at.File, Problem: u.app + " " + problem, Fix: fix}, At: at.At})
}

func (u use) reportProblem(p preflight.Problem) {
	p.Line = u.line(p.File, p.At, p.Problem)
	u.note(p.Finding, nil)
}

// checkUse checks for an app whose OAuth contradicts its use in an environment.
func (l *linter) checkUse(u use) {
	u.linter = l
	var policies []*preflight.Policies
	for _, f := range u.policies {
		policies = append(policies, &preflight.Policies{App: u.app, Component: f.Component, File: f.File})
	}
	for _, p := range (preflight.Use{App: u.app, Value: u.value, Policies: policies, Off: u.off()}).Check() {
		u.reportProblem(p)
	}
	scopes := u.value(eca.OAuthSettings, "commaSeparatedOauthScopes")
	has := func(scope string) bool { return slices.Contains(metadata.Items(scopes.Text), scope) }
	if has("Full") {
		u.report("scope-full", finding.Warning, scopes, "has the scope Full, which is broader than any use", "name the scopes that the app needs, such as Api")
	}
	global := func(field, byDefault string) (preflight.Value, bool) {
		v := u.value(eca.GlobalOAuthSettings, field)
		return v, cmp.Or(v.Text, byDefault) == "true"
	}
	if public, on := global("isConsumerSecretOptional", "false"); on {
		if secret, on := global("isSecretRequiredForRefreshToken", "true"); on && eca.HasRefreshToken(metadata.Items(scopes.Text)) {
			u.report("public-client", finding.Warning, public, "is a public client, but its refresh tokens require the secret", secret.To("false"))
		}
		if pkce, on := global("isPkceRequired", "true"); !on {
			u.report("public-client", finding.Warning, public, "is a public client, but does not require PKCE", pkce.To("true"))
		}
	}
	// The settings are checked by themselves, see project.Settings.Wanted.
	if plugin := u.value(eca.PluginPolicies, "isOauthPluginEnabled"); len(u.policies) > 0 && plugin.Setting == "" && plugin.Text == "false" {
		u.report("oauth-off", finding.Error, plugin, "has OAuth policies, but its OAuth plugin is off, and the platform says "+eca.SaysNoOAuth, plugin.To("true"))
	}
	u.checkGrants()
}

// off returns the flows that no OAuth policies of the app switch on, in any environment.
func (u use) off() []eca.Flow {
	if len(u.broken) > 0 {
		return nil // which may be the policies
	}
	return slices.DeleteFunc(eca.Flows(), func(flow eca.Flow) bool {
		return slices.ContainsFunc(slices.Concat(u.components, u.ignored), func(c component) bool {
			return c.Type == eca.OAuthPolicies && strings.EqualFold(strings.TrimSpace(eca.App(c.Component)), u.app) && strings.TrimSpace(c.Text(flow.Policy)) != "false" && c.Text(flow.Policy) != ""
		})
	})
}

// checkGrants checks that somebody is authorised, if policies require it.
func (u use) checkGrants() {
	for _, f := range u.policies {
		listed := func(field string) bool { return len(metadata.Items(f.Component.Text(field))) > 0 }
		if !preflight.PreAuthorisedOnly(f.Component) || u.granted || listed("commaSeparatedPermissionSet") || listed("commaSeparatedProfile") {
			continue
		}
		const field = "permittedUsersPolicyType"
		u.report("locked-out", finding.Warning, preflight.Value{File: f.File, At: field}, "admits only pre-authorised users, but neither its policies nor its settings name permission sets or profiles",
			`name permission sets in "permissionSets" of the app in plugins.eca, or in commaSeparatedPermissionSet`)
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
