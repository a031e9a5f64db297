package project

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/eca"

	"github.com/ecakit/ecakit/pkg/apiversion"
)

func TestStateRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ typ, settings, want string }{
		{eca.GlobalOAuthSettings, `[]`, "x: must be an object with fields of ExtlClntAppGlobalOauthSettings, not an array"},
		{eca.GlobalOAuthSettings, `{"callbackURL": "https://a"}`, "x.callbackURL: ExtlClntAppGlobalOauthSettings has no such field; did you mean callbackUrl?"},
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
		{eca.GlobalOAuthSettings, `{"idTokenConfig": {"idTokenValidity": 2}}`, "x.idTokenConfig.idTokenValidity: idTokenConfig has no such field"},
		{eca.GlobalOAuthSettings, `{"idTokenConfig": {"idTokenValidityInMinutes": 2.5}}`, `x.idTokenConfig.idTokenValidityInMinutes: "2.5" is not a whole number`},
		{eca.GlobalOAuthSettings, `{"certificate": {"path": "a"}}`, `x.certificate: must be a string or {"file"`},
		{eca.GlobalOAuthSettings, `{"certificate": "-----BEGIN RSA PRIVATE KEY-----abc"}`, "x.certificate: holds a private key"},
		{eca.GlobalOAuthSettings, `{"callbackUrl": ["-----BEGIN RSA PRIVATE KEY-----abc"]}`, "x.callbackUrl[0]: holds a private key"},
		{eca.GlobalOAuthSettings, `{"isPkceRequired": "-----BEGIN RSA PRIVATE KEY-----abc"}`, "x.isPkceRequired: holds a private key"},
		{eca.OAuthSettings, `{"clientAssertionCertificate": "-----BEGIN PRIVATE KEY-----abc"}`, "x.clientAssertionCertificate: holds a private key"},
		{eca.OAuthSettings, `"abc"`, "x: must be an object with fields of ExtlClntAppOauthSettings, not a string"},
		{eca.GlobalOAuthSettings, `{"certificate": "certs/uat.crt"}`, `x.certificate: must be a certificate in PEM, or {"file"`},
		{eca.GlobalOAuthSettings, `{"callbackUrl": "not a url"}`, `x.callbackUrl: "not a url" is not a URL`},
		{eca.OAuthSettings, `{"trustedIpRanges": {}}`, "x.trustedIpRanges: must be an array of objects, not an object"},
		{eca.OAuthSettings, `{"trustedIpRanges": [{"startIpAddress": "1.1.1.1"}]}`, "x.trustedIpRanges[0]: has no endIpAddress"},
		{eca.OAuthSettings, `{"commaSeparatedOauthScopes": ["api"]}`, `x.commaSeparatedOauthScopes: the scope "api" is called Api in metadata`},
		{eca.OAuthSettings, `{"commaSeparatedOauthScopes": "refresh_token"}`, `the scope "refresh_token" is called RefreshToken in metadata`},
		{eca.OAuthSettings, `{"commaSeparatedOauthScopes": "mcp_api"}`, `the scope "mcp_api" is called MCP in metadata`},
		{eca.PluginPolicies, `{"startPage": "Oauth"}`, `x.startPage: "Oauth" is not one of None, Custom, OAuth, SAML; did you mean OAuth?`},
	} {
		t.Run(test.settings, func(t *testing.T) {
			d := json.NewDecoder(strings.NewReader(test.settings))
			d.UseNumber()
			var value any
			if err := d.Decode(&value); err != nil {
				t.Fatal(err)
			}
			_, err := parseFields(eca.Lookup(test.typ), "x", value)
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
	if err := eca.Lookup(eca.PluginPolicies).CheckVersion(stated, 65); err == nil || err.Error() != "isCanvasPluginEnabled: needs API version 66.0 or later, and this run uses 65.0" {
		t.Errorf("got %v, want %q", err, "isCanvasPluginEnabled: needs API version 66.0 or later, and this run uses 65.0")
	}
	scopes := settings(t, eca.OAuthSettings, `{"commaSeparatedOauthScopes": ["Api", "Apii"]}`)
	if err := eca.Lookup(eca.OAuthSettings).CheckVersion(scopes, apiversion.Latest+1); err != nil {
		t.Error(err)
	}
	if err := eca.Lookup(eca.OAuthSettings).CheckVersion(scopes, apiversion.Latest); err == nil || !strings.Contains(err.Error(), `commaSeparatedOauthScopes: there is no OAuth scope "Apii"; did you mean Api?; use one of A2A, Address, Api,`) {
		t.Errorf("got %v, want %q", err, `commaSeparatedOauthScopes: there is no OAuth scope "Apii"; did you mean Api?; use one of A2A, Address, Api,`)
	}
}
