package project

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// TestUnknownNamesAndValues: what the tables lack is sent as it is, with a warning.
func TestUnknownNamesAndValues(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ typ, settings, source, warning string }{
		{eca.GlobalOAuthSettings, `{"callbackURL": "https://a"}`, "<callbackURL>https://a</callbackURL>",
			"x.callbackURL: ExtlClntAppGlobalOauthSettings has no such element in API version 68.0; did you mean callbackUrl?"},
		{eca.GlobalOAuthSettings, `{"future": {"b": 1.50, "a": [true, {"c": "x"}]}}`, "<future><a>true</a><a><c>x</c></a><b>1.50</b></future>",
			"x.future: ExtlClntAppGlobalOauthSettings has no such element in API version 68.0; check its name"},
		{eca.GlobalOAuthSettings, `{"future": ["a", "b"]}`, "<future>a</future><future>b</future>", "x.future: "},
		{eca.GlobalOAuthSettings, `{"isDeviceFlowEnabled": true, "isDPopEnabled": true, "isDZ": false}`,
			"<isDPopEnabled>true</isDPopEnabled><isDZ>false</isDZ><isDeviceFlowEnabled>true</isDeviceFlowEnabled>", "x.isDZ: "},
		{eca.GlobalOAuthSettings, `{"idTokenConfig": {"idTokenValidity": 2}}`, "<idTokenConfig><idTokenValidity>2</idTokenValidity></idTokenConfig>",
			"x.idTokenConfig.idTokenValidity: idTokenConfig has no such element in API version 68.0; did you mean idTokenValidityInMinutes?"},
		{eca.PluginPolicies, `{"startPage": "Oauth"}`, "<startPage>Oauth</startPage>", `x.startPage: "Oauth" is not one of None, Custom, OAuth, SAML; did you mean OAuth?`},
		{eca.OAuthSettings, `{"commaSeparatedOauthScopes": ["api"]}`, "<commaSeparatedOauthScopes>api</commaSeparatedOauthScopes>",
			`x.commaSeparatedOauthScopes: there is no OAuth scope "api" in API version 68.0; did you mean Api?`},
		{eca.OAuthSettings, `{"commaSeparatedOauthScopes": "refresh_token"}`, "<commaSeparatedOauthScopes>refresh_token</commaSeparatedOauthScopes>", "; did you mean RefreshToken?"},
		{eca.OAuthSettings, `{"commaSeparatedOauthScopes": "mcp_api"}`, "<commaSeparatedOauthScopes>mcp_api</commaSeparatedOauthScopes>", "; did you mean MCP?"},
	} {
		stated, warnings, err := parseFields(eca.Lookup(test.typ), "x", jsontext.Value(test.settings))
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), test.warning) {
			t.Errorf("%s: %v, %v, want %q", test.settings, warnings, err, test.warning)
		}
		var encoded strings.Builder
		c, changes := eca.Lookup(test.typ).Overlay(&metadata.Component{Type: test.typ, FullName: "x"}, stated)
		if err := xml.NewEncoder(&encoded).Encode(c); err != nil || !strings.Contains(encoded.String(), "</fullName>"+test.source+"</") || len(changes) == 0 {
			t.Errorf("%s is sent as %s, %v", test.settings, &encoded, err)
		}
		if _, changes := eca.Lookup(test.typ).Overlay(c, stated); len(changes) > 0 {
			t.Errorf("%s differs from itself: %v", test.settings, changes)
		}
		again, err := json.Marshal(FieldSettings(eca.Lookup(test.typ), stated))
		if err != nil {
			t.Error(err)
		}
		restated, _, err := parseFields(eca.Lookup(test.typ), "x", jsontext.Value(again))
		if _, changes := eca.Lookup(test.typ).Overlay(c, restated); err != nil || len(restated) != len(stated) || len(changes) > 0 {
			t.Errorf("%s is written as %s, which differs: %v, %v", test.settings, again, changes, err)
		}
	}
}

func TestStateRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ typ, settings, want string }{
		{eca.GlobalOAuthSettings, `[]`, "x: must be an object with fields of ExtlClntAppGlobalOauthSettings, not an array"},
		{eca.GlobalOAuthSettings, `{"fullName": "a"}`, "x.fullName: cannot be set"},
		{eca.GlobalOAuthSettings, `{"consumerKey": "a"}`, "x.consumerKey: cannot be set"},
		{eca.GlobalOAuthSettings, `{"consumerSecret": "SECRET"}`, "x.consumerSecret: cannot be set"},
		{eca.GlobalOAuthSettings, `{"shouldRotateConsumerKey": true}`, "x.shouldRotateConsumerKey: cannot be set"},
		{eca.GlobalOAuthSettings, `{"shouldRotateConsumerSecret": false}`, "x.shouldRotateConsumerSecret: cannot be set"},
		{eca.OAuthSettings, `{"oauthLink": "00D:888"}`, "x.oauthLink: cannot be set"},
		{eca.OAuthSettings, `{"externalClientApplication": "Other"}`, "x.externalClientApplication: cannot be set"},
		{eca.GlobalOAuthSettings, `{"isPkceRequired": "true"}`, `x.isPkceRequired: must be true or false, not a string`},
		{eca.GlobalOAuthSettings, `{"isPkceRequired": null}`, "x.isPkceRequired: must be true or false, not null"},
		{eca.GlobalOAuthSettings, `{"callbackUrl": 7}`, "x.callbackUrl: must be a string or an array of strings, not the number 7"},
		{eca.GlobalOAuthSettings, `{"callbackUrl": ["https://a", 7]}`, "x.callbackUrl[1]: must be a string"},
		{eca.GlobalOAuthSettings, `{"callbackUrl": ["https://a\nhttps://b"]}`, "x.callbackUrl[0]: "},
		{eca.GlobalOAuthSettings, `{"label": "a\u0001b"}`, "x.label: contains the character U+0001"},
		{eca.GlobalOAuthSettings, `{"idTokenConfig": {"idTokenValidityInMinutes": 2.5}}`, `x.idTokenConfig.idTokenValidityInMinutes: "2.5" is not a whole number`},
		{eca.GlobalOAuthSettings, `{"certificate": {"path": "a"}}`, `x.certificate: must be a string, "none" or {"file"`},
		{eca.GlobalOAuthSettings, `{"certificate": {"file": ""}}`, `x.certificate: must be a string, "none" or {"file"`},
		{eca.GlobalOAuthSettings, `{"certificate": {"file": "a", "path": "b"}}`, `x.certificate: must be a string, "none" or {"file"`},
		{eca.GlobalOAuthSettings, `{"certificate": {"file": {"a": "b"}}}`, `x.certificate: must be a string, "none" or {"file"`},
		{eca.GlobalOAuthSettings, `{"certificate": "-----BEGIN RSA PRIVATE KEY-----abc"}`, "x.certificate: holds a private key"},
		{eca.GlobalOAuthSettings, `{"callbackUrl": ["-----BEGIN RSA PRIVATE KEY-----abc"]}`, "x.callbackUrl[0]: holds a private key"},
		{eca.GlobalOAuthSettings, `{"isPkceRequired": "-----BEGIN RSA PRIVATE KEY-----abc"}`, "x.isPkceRequired: holds a private key"},
		{eca.OAuthSettings, `{"clientAssertionCertificate": "-----BEGIN PRIVATE KEY-----abc"}`, "x.clientAssertionCertificate: holds a private key"},
		{eca.OAuthSettings, `{"future": {"key": "-----BEGIN PRIVATE KEY-----abc"}}`, "x.future.key: holds a private key"},
		{eca.OAuthSettings, `{"future": [["a"]]}`, "x.future[0]: must be one value, not an array"},
		{eca.OAuthSettings, `{"future><x": "a"}`, "x.future><x: is not a valid element name"},
		{eca.OAuthSettings, `{"trustedIpRanges": [{"startIpAddress": "1", "endIpAddress": "2"}, {"startIpAddress": {}}]}`, "x.trustedIpRanges[1].startIpAddress: must be a string, not an object"},
		{eca.GlobalOAuthSettings, `{"idTokenConfig": "a"}`, "x.idTokenConfig: must be an object, not a string"},
		{eca.OAuthSettings, `"abc"`, "x: must be an object with fields of ExtlClntAppOauthSettings, not a string"},
		{eca.GlobalOAuthSettings, `{"certificate": "certs/uat.crt"}`, `x.certificate: must be a certificate in PEM, "none" or {"file"`},
		{eca.GlobalOAuthSettings, `{"callbackUrl": "not a url"}`, `x.callbackUrl: "not a url" is not a URL`},
		{eca.OAuthSettings, `{"trustedIpRanges": {}}`, "x.trustedIpRanges: must be an array of objects, not an object"},
		{eca.OAuthSettings, `{"trustedIpRanges": [{"startIpAddress": "1.1.1.1"}]}`, "x.trustedIpRanges[0].endIpAddress: is missing"},
	} {
		t.Run(test.settings, func(t *testing.T) {
			_, _, err := parseFields(eca.Lookup(test.typ), "x", jsontext.Value(test.settings))
			var settingErr *SettingError
			if !errors.As(err, &settingErr) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "abc")) {
				t.Errorf("the message repeats a secret: %v", err)
			}
		})
	}
}

func TestStateJoinsLists(t *testing.T) {
	t.Parallel()
	global := settings(t, eca.GlobalOAuthSettings, `{"callbackUrl": ["https://a", "https://b"], "certificate": {"file": "certs/a.crt"}}`)
	if got := global["callbackUrl"][0].Text; got != "https://a\nhttps://b" {
		t.Errorf("callbackUrl is %q", got)
	}
	if got := global["certificate"][0].Fields; len(got) != 1 || got[0].Name != "file" || got[0].Text != "certs/a.crt" {
		t.Errorf("certificate is %v", got)
	}
	if got := settings(t, eca.OAuthSettings, `{"commaSeparatedOauthScopes": ["Api", "FutureScope"]}`)["commaSeparatedOauthScopes"][0].Text; got != "Api, FutureScope" {
		t.Errorf("scopes are %q", got)
	}
}

func TestCheckVersion(t *testing.T) {
	t.Parallel()
	stated := settings(t, eca.PluginPolicies, `{"isEnabled": true, "isCanvasPluginEnabled": true}`)
	if err := eca.Lookup(eca.PluginPolicies).CheckVersion(stated, 66); err != nil {
		t.Error(err)
	}
	if err := eca.Lookup(eca.PluginPolicies).CheckVersion(stated, 65); len(err) != 1 || err[0].Error() != "isCanvasPluginEnabled: needs API version 66.0 or later, and this run uses 65.0" {
		t.Errorf("got %v, want %q", err, "isCanvasPluginEnabled: needs API version 66.0 or later, and this run uses 65.0")
	}
}
