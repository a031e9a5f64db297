package project

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// policies is a file with OAuth policies of the app.
func policies(pairs ...string) []SourceFile {
	return []SourceFile{{File: "p.xml", Component: metadata.New(eca.OAuthPolicies, "P", metadata.Stated(pairs...))}}
}

func TestWanted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		settings string // of the app
		alias    string
		policies []SourceFile
		want     string // TYPE.FIELD=TEXT, or an error
	}{
		{`{"oauthSettings": {"label": "{alias} on {orgDomainUrl}"}}`, "uat", nil, "ExtlClntAppOauthSettings.label=uat on https://acme"},
		{`{"oauthSettings": {"future": {"a": ["{alias}"]}}}`, "uat", nil, "ExtlClntAppOauthSettings.future[{a uat []}]="},
		{`{"oauthSettings": {"label": "a"}, "environments": {"uat": {"oauthSettings": {"label": "b"}}}}`, "uat", nil, "ExtlClntAppOauthSettings.label=b"},
		{`{"globalOauthSettings": {"certificate": {"file": "a.crt"}}}`, "uat", nil, "ExtlClntAppGlobalOauthSettings.certificate=PEM of a.crt"},
		{`{}`, "uat", policies("isClientCredentialsFlowEnabled", "true"), "ExtlClntAppGlobalOauthSettings.isClientCredentialsFlowEnabled=true"},
		{`{}`, "uat", policies("isTokenExchangeFlowEnabled", "1"), "ExtlClntAppGlobalOauthSettings.isTokenExchangeEnabled=true"},
		{`{}`, "uat", policies("isGuestCodeCredFlowEnabled", "true"), "ExtlClntAppGlobalOauthSettings.isCodeCredFlowEnabled=trueExtlClntAppGlobalOauthSettings.isNamedUserJwtEnabled=true"},
		{`{}`, "uat", policies("namedUserJwtSessionTimeoutType", "Custom"), "ExtlClntAppGlobalOauthSettings.isNamedUserJwtEnabled=true"},
		{`{}`, "uat", policies("guestJwtTimeout", "5"), "ExtlClntAppGlobalOauthSettings.isNamedUserJwtEnabled=true"},
		{`{"globalOauthSettings": {"isNamedUserJwtEnabled": false}}`, "uat", policies("namedUserJwtTimeout", "5"),
			"plugins.eca.apps.App.globalOauthSettings.isNamedUserJwtEnabled: is false, but p.xml states namedUserJwtTimeout"},
		{`{}`, "uat", policies("isClientCredentialsFlowEnabled", "false"), ""},

		{`{"oauthSettings": {"label": "{orgUrl}"}}`, "uat", nil,
			"plugins.eca.apps.App.oauthSettings.label: there is no placeholder {orgUrl}, only {alias} and {orgDomainUrl}"},
		{`{"globalOauthSettings": {"certificate": {"file": "gone.crt"}}}`, "uat", nil, "plugins.eca.apps.App.globalOauthSettings.certificate: gone"},
		{`{"globalOauthSettings": {"isClientCredentialsFlowEnabled": false}}`, "uat", policies("isClientCredentialsFlowEnabled", "true"),
			"plugins.eca.apps.App.globalOauthSettings.isClientCredentialsFlowEnabled: is false, but p.xml turns isClientCredentialsFlowEnabled on"},
		{`{"environments": {"uat": {"policies": {"isEnabled": false}}}}`, "uat", policies(),
			"plugins.eca.apps.App.environments.uat.policies.isEnabled: is false, so the platform would refuse the OAuth policies in p.xml"},
		{`{"pluginPolicies": {"isEnabled": true}, "environments": {"uat": {"disabled": true}}}`, "uat", policies(),
			`plugins.eca.apps.App.pluginPolicies.isEnabled: is true, but "disabled" switches the app off`},
		{`{"pluginPolicies": {"isOauthPluginEnabled": false}, "environments": {"uat": {}}}`, "uat", policies(),
			"plugins.eca.apps.App.pluginPolicies.isOauthPluginEnabled: is false"},
		{`{"pluginPolicies": {"isAttestPluginEnabled": true}}`, "uat", nil,
			"plugins.eca.apps.App.pluginPolicies.isAttestPluginEnabled: needs API version 68.0 or later, and this run uses 67.0"},
		// All that is wrong, not only the first.
		{`{"oauthSettings": {"label": "{a}", "singleLogoutUrl": "{b}"}, "globalOauthSettings": {"certificate": {"file": "gone.crt"}, "isMtlsEnabled": true, "isClientCredentialsFlowEnabled": false},
			"pluginPolicies": {"isEnabled": false, "isOauthPluginEnabled": false, "isAttestPluginEnabled": true}}`, "uat", policies("isClientCredentialsFlowEnabled", "true"),
			"plugins.eca.apps.App.oauthSettings.label: there is no placeholder {a}, only {alias} and {orgDomainUrl}; " +
				"plugins.eca.apps.App.oauthSettings.singleLogoutUrl: there is no placeholder {b}, only {alias} and {orgDomainUrl}; " +
				"plugins.eca.apps.App.globalOauthSettings.certificate: gone; " +
				"plugins.eca.apps.App.pluginPolicies.isEnabled: is false, so the platform would refuse the OAuth policies in p.xml; " +
				"plugins.eca.apps.App.pluginPolicies.isOauthPluginEnabled: is false, so the platform would refuse the OAuth policies in p.xml; " +
				"plugins.eca.apps.App.globalOauthSettings.isClientCredentialsFlowEnabled: is false, but p.xml turns isClientCredentialsFlowEnabled on; " +
				"plugins.eca.apps.App.globalOauthSettings.isMtlsEnabled: needs API version 68.0 or later, and this run uses 67.0; " +
				"plugins.eca.apps.App.pluginPolicies.isAttestPluginEnabled: needs API version 68.0 or later, and this run uses 67.0"},
	} {
		p, err := Parse([]byte(file(`{"apps": {"App": ` + test.settings + `}}`)))
		if err != nil {
			t.Fatal(err)
		}
		certificate := func(file string) (string, error) {
			if file == "gone.crt" {
				return "", errors.New("gone")
			}
			return "PEM of " + file, nil
		}
		org := Org{Alias: test.alias, Name: test.alias, DomainURL: "https://acme", Version: 67}
		wanted, err := p.Settings.Wanted("App", org, test.policies, certificate)
		if strings.HasPrefix(test.want, settingsPath) {
			if _, ok := errors.AsType[*SettingError](err); !ok || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("%s: got %v, want %s", test.settings, err, test.want)
			}
			continue
		}
		got := ""
		for _, typ := range eca.Satellites() {
			for _, f := range metadata.New("", "", wanted[typ]).Fields {
				got += typ + "." + f.Name
				if f.Fields != nil {
					got += fmt.Sprint(f.Fields)
				}
				got += "=" + f.Text
			}
		}
		if err != nil || got != test.want {
			t.Errorf("%s: got %s, %v, want %s", test.settings, got, err, test.want)
		}
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	p, err := Parse([]byte(file(`{"apps": {"App": {
		"globalOauthSettings": {"certificate": {"file": "../a.crt"}},
		"environments": {"uat": {"globalOauthSettings": {"certificate": {"file": "b.crt"}}}, "sit": {"globalOauthSettings": {"certificate": {"file": "c.crt"}}},
			"dev": {"globalOauthSettings": {"certificate": {"file": "d.crt"}}}}
	}}}`)))
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{"src/b.crt": {Data: []byte("text")}, "src/c.crt": {Data: make([]byte, maxCertificate+1)}, "a.crt": {}}
	read := p.Settings.Certificates("App", fsys, "src")
	for name, want := range map[string]string{
		"../a.crt": "the file ../a.crt must be in the package directory src", "b.crt": "the file b.crt is not an X.509 certificate",
		"c.crt": "the file c.crt is too large", "d.crt": "the file d.crt does not exist in the package directory src",
	} {
		if text, err := read(name); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %q, %v, want %s", name, text, err, want)
		}
	}
}
