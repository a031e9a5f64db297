package project

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/eca"

	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/sfp"
)

func file(settings string) string {
	return `{"packageDirectories": [], "plugins": {"other": [1], "eca": ` + settings + `}}`
}

func TestParseProject(t *testing.T) {
	t.Parallel()
	p, err := Parse([]byte(file(`{"apps": {
		"App": {"pluginPolicies": {"isEnabled": true}, "environments": {"uat": {"oauthSettings": {"label": "x"}}}},
		"Old": {"policies": {"isEnabled": true}, "environments": {"uat": {"policies": {}}}}
	}}`)))
	if err != nil {
		t.Fatal(err)
	}
	app, old := p.Settings.Apps["App"], p.Settings.Apps["Old"]
	if !app.PluginPolicies.Has("isEnabled") || !app.Environments["uat"].OAuthSettings.Has("label") || app.Key(eca.PluginPolicies) != "pluginPolicies" {
		t.Errorf("the settings are %+v", app)
	}
	if !old.PluginPolicies.Has("isEnabled") || old.Key(eca.PluginPolicies) != "policies" {
		t.Errorf("settings under the old key are %+v", old)
	}
	if got, want := strings.Join(p.Settings.OldKeys(), ", "), "plugins.eca.apps.Old.policies, plugins.eca.apps.Old.environments.uat.policies"; got != want {
		t.Errorf("the old keys are %s, want %s", got, want)
	}
	if p, err = Parse([]byte(`{}`)); err != nil || p.Settings.Preflight != PreflightFail {
		t.Errorf("a project that says nothing has the settings %+v, %v", p.Settings, err)
	}
}

func TestParseProjectErrors(t *testing.T) {
	t.Parallel()
	eca := file
	for _, test := range []struct{ text, want string }{
		{`{"plugins": {"ECA": {}}}`, "plugins.ECA: eca's settings are under plugins.eca"},
		{eca(`7`), "plugins.eca: must be an object"},
		{eca(`{"app": {}}`), "plugins.eca.app: there is no such setting; did you mean apps?"},
		{eca(`{"apps": []}`), "plugins.eca.apps: must be an object"},
		{eca(`{"apps": {"A": {"oAuthSettings": {}}}}`), "plugins.eca.apps.A.oAuthSettings: there is no such setting; did you mean oauthSettings?"},
		{eca(`{"apps": {"A": {"environments": {"uat": {"environments": {}}}}}}`), "plugins.eca.apps.A.environments.uat.environments: there is no such setting"},
		{eca(`{"apps": {"A": {"environments": {"uat": {"policies": {"isEnabled": "x"}}}}}}`), "plugins.eca.apps.A.environments.uat.policies.isEnabled: must be true or false"},
		{eca(`{"apps": {"A": {"policies": {"isEnabled": true, "isEnabled": false}}}}`), "plugins.eca.apps.A.policies.isEnabled: occurs twice"},
		{eca(`{"apps": {"A": {"assignToRunAsUser": true}}}`), "plugins.eca.apps.A.assignToRunAsUser: has nothing to assign"},
		{eca(`{"apps": {"A": {"environments": {"uat": {"assignToRunAsUser": true}, "sit": {"permissionSets": ["B"]}}}}}`), "plugins.eca.apps.A.environments.uat.assignToRunAsUser: has nothing to assign"},
		{eca(`{"apps": {"A": {}, "A": {}}}`), "plugins.eca.apps.A: occurs twice"},
		{eca(`{"apps": ` + strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat("}", 40) + `}`), "nested too deep"},
		{eca(`{"apps": {"A": {"policies": {}, "pluginPolicies": {}}}}`), "plugins.eca.apps.A.policies: is the old name of pluginPolicies"},
		{eca(`{"apps": {"A": {"c": 1, "a": 1, "b": 1}}}`), "plugins.eca.apps.A.c: there is no such setting"},
	} {
		for range 20 { // of several errors, always the same one
			_, err := Parse([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%s gives %v, want %q", test.text, err, test.want)
			}
		}
	}
	var projectErr *sfp.ProjectError
	var setting *SettingError
	fsys := fstest.MapFS{sfp.ProjectFile: {Data: []byte(eca(`{"apps": 1}`))}}
	if _, err := Read(fsys, sfp.ProjectFile); !errors.As(err, &projectErr) || !errors.As(err, &setting) || setting.Path != "plugins.eca.apps" {
		t.Errorf("a wrong setting gives %v", err)
	}
	for _, text := range []string{
		`{"apps": {"A": {"assignToRunAsUser": true, "environments": {"uat": {"permissionSets": ["B"]}}}}}`,
		`{"apps": {"A": {"assignToRunAsUser": true, "environments": {"uat": {"permissionSets": ["B"], "assignToRunAsUser": true}}}}}`,
		`{"apps": {"A": {"permissionSets": ["B"], "environments": {"uat": {"permissionSets": []}, "sit": {"assignToRunAsUser": true}}}}}`,
	} {
		if _, err := Parse([]byte(eca(text))); err != nil {
			t.Errorf("%s is refused: %v", text, err)
		}
	}
}

func FuzzParseProject(f *testing.F) {
	if data, err := os.ReadFile("../../sfdx-project.json"); err == nil {
		f.Add(data)
	}
	f.Add([]byte(file(`{"apps": {"A": {"oauthSettings": {"trustedIpRanges": [{"startIpAddress": "1", "endIpAddress": "2"}]}}}}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			return
		}
		for app := range p.Settings.Apps {
			p.Settings.For(app, "uat", true)
		}
		p.Settings.OldKeys()
	})
}

func TestEnvironments(t *testing.T) {
	t.Parallel()
	label := func(text string) AppSettings {
		s := AppSettings{OAuthSettings: metadata.Fields{}}
		s.OAuthSettings.Set("label", text)
		return s
	}
	app := label("base")
	app.OAuthSettings.Set("singleLogoutUrl", "https://kept")
	app.Environments = map[string]AppSettings{"uat": label("uat"), "default": label("default")}
	for _, test := range []struct {
		alias       string
		sandbox     bool
		environment string
		label       string
	}{
		{"uat", false, "uat", "uat"},
		{"UAT", true, "default", "default"},
		{"prod", false, "", "base"},
		{"", true, "default", "default"},
	} {
		got := Settings{Apps: map[string]AppSettings{"App": app}}.For("App", test.alias, test.sandbox)
		if got.Environment != test.environment || got.OAuthSettings["label"][0].Text != test.label || !got.OAuthSettings.Has("singleLogoutUrl") {
			t.Errorf("%q gives %+v", test.alias, got)
		}
	}
	if app.OAuthSettings["label"][0].Text != "base" {
		t.Error("the app's own settings were changed")
	}
}

// TestAuditSettings: what tunes an audit, and what is wrong with it.
func TestAuditSettings(t *testing.T) {
	t.Parallel()
	parse := func(text string) (AuditSettings, error) {
		p, err := Parse([]byte(`{"packageDirectories": [], "plugins": {"eca": {"audit": ` + text + `}}}`))
		if err != nil {
			return AuditSettings{}, err
		}
		return p.Settings.Audit, nil
	}
	audit, err := parse(`{"rules": {"drift": "off"}, "accept": [{"app": "*", "rule": "unused", "until": "2027-01-31", "why": "w"}]}`)
	if err != nil || audit.Rules["drift"] != "off" || len(audit.Accept) != 1 || audit.Accept[0].Until.Day() != 31 {
		t.Errorf("got %+v, %v", audit, err)
	}
	for text, want := range map[string]string{
		`[]`:                           "plugins.eca.audit",
		`{"rule": {}}`:                 "rule",
		`{"rules": {"drift": "loud"}}`: `plugins.eca.audit.rules.drift: must be "off", "warning" or "error"`,
		`{"accept": {}}`:               "plugins.eca.audit.accept: must be an array",
		`{"accept": [{"app": "a", "rule": "b", "until": "2027-01-31"}]}`:             "plugins.eca.audit.accept[0]: needs app, rule, until and why",
		`{"accept": [{"app": "a", "rule": "b", "until": "31.1.2027", "why": "c"}]}`:  "plugins.eca.audit.accept[0].until: must be a day",
		`{"accept": [{"app": "a", "rule": "b", "until": "2027-01-31", "who": "c"}]}`: "who",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, not %s", text, err, want)
		}
	}
}
