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
		{eca(`{"apps": null}`), "plugins.eca.apps: must not be null"},
		{eca(`{"apps": {"A": {"permissionSets": ["B", null]}}}`), "plugins.eca.apps.A.permissionSets[1]: must not be null"},
		{eca(`{"apps": {"A": {"permissionSets": ["B", "b"]}}}`), "plugins.eca.apps.A.permissionSets[1]: b occurs twice"},
		{eca(`{"apps": {"A": {"permissionSets": ["0PS000000000001AAA"]}}}`), "plugins.eca.apps.A.permissionSets[0]: 0PS000000000001AAA is an ID"},
		{eca(`{"apps": {"A": {"environments": {"uat": {"permissionSets": [""]}}}}}`), "plugins.eca.apps.A.environments.uat.permissionSets[0]: must be the API name"},
		{eca(`{"apps": {"A": {"permissionSets": "B"}}}`), "plugins.eca.apps.A.permissionSets: must be an array"},
		{eca(`{"apps": {"A": {"applyPolicies": "true"}}}`), "plugins.eca.apps.A.applyPolicies: must be true or false"},
		{eca(`{"apps": {"A": {"oauthSettings": {"trustedIpRanges": [{"startIpAddress": null}]}}}}`), "plugins.eca.apps.A.oauthSettings.trustedIpRanges[0].startIpAddress: must not be null"},
		{eca(`{"apps": {"A": {"oauthSettings": {"future": {"a": 1, "a": 2}}}}}`), "plugins.eca.apps.A.oauthSettings.future.a: occurs twice"},
		{eca(`{"apps": {"A": {"handOver": {"comand": []}}}}`), "plugins.eca.apps.A.handOver.comand: there is no such setting; did you mean command?"},
		{eca(`{"apps": {"A": {"handOver": {"command": []}}}}`), "plugins.eca.apps.A.handOver.command: must be the command and its arguments"},
		{eca(`{"apps": {"A": {"handOver": {"command": ["a", 1]}}}}`), "plugins.eca.apps.A.handOver.command[1]: must be a string"},
		{eca(`{"apps": {"A": {"handOver": {"command": ["a"], "check": []}}}}`), "plugins.eca.apps.A.handOver.check: must be the command and its arguments"},
		{eca(`{"apps": {"A": {"handOver": {"command": ["a"], "check": ["b"], "when": "always"}}}}`), "plugins.eca.apps.A.handOver.when: contradicts check"},
		{eca(`{"apps": {"A": {"handOver": {"command": ["a"], "when": "never"}}}}`), `plugins.eca.apps.A.handOver.when: must be "created" or "always"`},
		{eca(`{"preflight": ""}`), `plugins.eca.preflight: must be "fail", "warn" or "off"`},
		{eca(`{"layout": "metadata"}`), `plugins.eca.layout: must be "sfp" or "sf"`},
		{eca(`{"preflight": 1}`), "plugins.eca.preflight: must be a string"},
		{eca(`{"connections": {"C": {"from": {"uat": "b"}}}}`), "plugins.eca.connections.C.app: is missing"},
		{eca(`{"connections": {"C": {"app": "A"}}}`), "plugins.eca.connections.C.from: must be an object: the org that is called"},
		{eca(`{"connections": {"C": {"app": "A", "from": {"uat": ""}}}}`), "plugins.eca.connections.C.from.uat: must be the alias of an org"},
		{eca(`{"connections": {"C": {"app": "A", "from": {"uat": "b"}, "username": "u"}}}`), "plugins.eca.connections.C.certificate: goes with username"},
		{eca(`{"connections": {"C": {"app": "A", "from": {"uat": "b"}, "user": "u"}}}`), "plugins.eca.connections.C.user: there is no such setting; did you mean username?"},
		{eca(`{"connections": {"C": {"app": "A", "from": {"uat": "b"}, "permissionSets": ["a b"]}}}`), "plugins.eca.connections.C.permissionSets[0]: must be the API name"},
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

func TestWarningsFor(t *testing.T) {
	t.Parallel()
	p, err := Parse([]byte(file(`{"apps": {
		"App": {"oauthSettings": {"a": 1}, "environments": {"uat": {"pluginPolicies": {"b": 1}}, "prod": {"policies": {"c": 1}}}},
		"App2": {"oauthSettings": {"d": 1}}
	}}`)))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Settings.Warnings) != 4 {
		t.Errorf("the warnings are %v", p.Settings.Warnings)
	}
	for environment, want := range map[string]string{"uat": "a b", "prod": "a c", "": "a"} {
		var fields []string
		for _, w := range p.Settings.WarningsFor("App", environment) {
			fields = append(fields, w.Path[strings.LastIndex(w.Path, ".")+1:])
		}
		if got := strings.Join(fields, " "); got != want {
			t.Errorf("%q has warnings about %s, want %s", environment, got, want)
		}
	}
}

func TestHandOver(t *testing.T) {
	t.Parallel()
	for text, always := range map[string]bool{`{"command": ["a", "b"]}`: false, `{"command": ["a", "b"], "when": "created"}`: false, `{"command": ["a", "b"], "when": "always"}`: true} {
		p, err := Parse([]byte(file(`{"apps": {"A": {"handOver": ` + text + `}}}`)))
		if err != nil {
			t.Fatal(err)
		}
		if h := p.Settings.Apps["A"].HandOver; h == nil || h.Always != always || strings.Join(h.Command, " ") != "a b" {
			t.Errorf("%s gives %+v", text, h)
		}
	}
	p, err := Parse([]byte(file(`{"apps": {"A": {"handOver": {"command": ["a"], "check": ["b", "c"]}}}}`)))
	if err != nil || strings.Join(p.Settings.Apps["A"].HandOver.Check, " ") != "b c" {
		t.Errorf("the check is %+v, %v", p, err)
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
