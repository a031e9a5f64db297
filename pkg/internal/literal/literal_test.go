package literal

import (
	"strings"
	"testing"
)

func TestPlaceholder(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a${X}b": "${X}", "https://__HOST__/a": "__HOST__", "__A_B__": "__A_B__", "{{ X }}": "{{ X }}", "{HOST_1}": "{HOST_1}", "{username}": "", "a{X}": "",
		// Names with a namespace, and parts of URLs, are no placeholders.
		"ns__Page__c": "", "/apex/ns__Page": "", "%2F__": "", "$X {X}": "", "____": "", "": "",
	} {
		if got := Placeholder(text); got != want {
			t.Errorf("%s has %q, want %q", text, got, want)
		}
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Certainty{
		"": No, " ": No, "${SECRET}": No, "{SECRET}": No, "<secret>": No, "[secret]": No, "%SECRET%": No, "xxxxxxxx": No, "*****": No,
		"REPLACE_ME": No, "change-me": No, "your_api_key_here": No, "ignored": No, "dummy": No,
		"Password": No, "scratch": Maybe, "topsecret": Likely, "x": Likely,
		"Sommer2026": Likely, "hunter2": Likely, "correct horse battery": Likely, "my-own-pass1": Likely, "9F8A7B": Likely,
	} {
		if got := Secret(text); got != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
}

// random are texts that look as generated.
var (
	randomHex    = strings.Repeat("9f86d081", 4)
	randomBase64 = "q7Zt1Rk" + "9LmXc4Vb8" + "NwYp2HsDfGj"
)

func TestNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, value string
		want        string
	}{
		{"client_secret", "s3cr3t-value", "by its name client_secret"}, {"X-API-Key", "abc-123-def", "by its name X-API-Key"}, {"Ocp-Apim-Subscription-Key", randomHex, "by its name Ocp-Apim-Subscription-Key"},
		{"Authorization", "Basic dXNlcjpwYXNz", "by its name Authorization"}, {"authorization", "Bearer " + randomBase64, "by its name authorization"}, {"Cookie", "sid=1a2b3c4d", "by its name Cookie"},
		{"access_token", "1//0abcDEF", "by its name access_token"}, {"x-functions-key", "k1-k2-k3", "by its name x-functions-key"}, {"Password", "hunter2", "by its name Password"},
		{"anything", randomHex, "by its form"}, {"X-Custom", randomBase64, "by its form"}, {"X-Custom", "{!'Bearer " + randomBase64 + "'}", "by its form"},
		{"Authorization", "{!'Bearer ' & $Credential.OAuthToken}", ""}, {"api-key", "{!$Credential.Some.API_Key}", ""},
		{"Authorization", "{!'Basic ' & BASE64ENCODE(BLOB($Credential.A.User & ':' & $Credential.A.Password))}", ""},
		{"Authorization", "Bearer ${TOKEN}", ""}, {"api-key", "__API_KEY__", ""}, {"Authorization", "Bearer", ""},
		{"Content-Type", "application/x-www-form-urlencoded", ""}, {"Accept", "application/vnd.company.api.v2+json", ""},
		{"Scope", "openid email profile https://www.googleapis.com/auth/drive", ""}, {"scope", "api://1a2b3c4d-0000-1111-2222-333344445555/.default", ""},
		{"client_id", randomHex, ""}, {"X-Tenant-Id", randomBase64, ""}, {"kid", randomHex, ""}, {"audience", "https://api.example.com", ""},
		{"client_secret_method", "post", ""}, {"token_type", "bearer", ""}, {"token_url", "https://a.example.com/oauth/token", ""}, {"grant_type", "client_credentials", ""},
		{"X-Correlation", "1a2b3c4d-0000-1111-2222-333344445555", ""}, {"X-Source", "salesforce-integration-production-emea", ""},
		{"useToken", "true", ""}, {"token", "1", ""}, {"api-key", "Password", ""}, {"api-key", "scratch", "by its name api-key"}, {"api-key", "x", "by its name api-key"},
	} {
		if got := Named(test.name, test.value); got != test.want {
			t.Errorf("%s: %s is a secret %q, want %q", test.name, test.value, got, test.want)
		}
	}
}

func TestInURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://a.example.com/v1": "", "https://user@a.example.com": "", "https://user:hunter2@a.example.com": "the password in the address",
		"https://user:${PASSWORD}@a.example.com": "", "https://a.example.com?api-key=abc-123-def": "by its name api-key in the address", "https://a.example.com?page=2&id=" + randomHex: "",
		"https://a.example.com?x=" + randomHex: "by its form in the address", "callout:Other": "", "": "",
	} {
		if got := InURL(text); got != want {
			t.Errorf("%s has %q, want %q", text, got, want)
		}
	}
}
