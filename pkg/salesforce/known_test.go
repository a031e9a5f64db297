package salesforce

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"testing"
)

func TestMaskFindsKnownSecrets(t *testing.T) {
	t.Parallel()
	const secret = "Zx9!k/Q+w2.Lm==pT7" // with characters that encodings change
	NewSecret(secret)
	split := func(between string) string {
		return strings.Join(strings.Split(secret, ""), between)
	}
	for name, text := range map[string]string{
		"as it is": secret, "in a sentence": "the secret is " + secret + ", really",
		"query": url.QueryEscape(secret), "path": url.PathEscape(secret),
		"hex": hex.EncodeToString([]byte(secret)), "upper hex": strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"base64": base64.StdEncoding.EncodeToString([]byte(secret)), "base64url": base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"basic 1": base64.StdEncoding.EncodeToString([]byte("k:" + secret)), "basic 2": base64.StdEncoding.EncodeToString([]byte("ke:" + secret + ":more")),
		"basic 3": base64.URLEncoding.EncodeToString([]byte("key:" + secret + "\n")),
		"spaces":  split(" "), "lines": split("\r\n"), "zero width": split("\u200b"), "joiner": split("\u2060"), "replaced": split("\uFFFD"),
		"twice": secret + " and " + secret,
	} {
		got := Mask(text)
		for _, r := range []string{"Zx9", "Lm==pT7", hex.EncodeToString([]byte("Zx9!k")), "eDkhay"} {
			if strings.Contains(strip(got, false).text, r) {
				t.Errorf("%s: %q is masked as %q", name, text, got)
			}
		}
		if !strings.Contains(got, "(secret)") {
			t.Errorf("%s: %q has no mark", name, got)
		}
	}
	if got := Mask("before " + secret + " after\n"); got != "before (secret) after\n" {
		t.Errorf("the rest of the text became %q", got)
	}
	if got := Mask("nothing to hide here"); got != "nothing to hide here" {
		t.Errorf("a plain text became %q", got)
	}
}

func TestMaskFindsWhatLooksSecret(t *testing.T) {
	t.Parallel()
	pem := "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----"
	for text, want := range map[string]string{
		"x " + pem + " y":                                        "x (private key) y",
		strings.ReplaceAll(pem, "\n", " "):                       "(private key)",
		"-----BEGIN PRIVATE KEY-----MIIcut":                      "(private key)",
		"force://PlatformCLI::5Aep861abc@acme.my.salesforce.com": "(auth URL)",
		"-o https://user:hunter2@acme.my.salesforce.com/x":       "-o (password)@acme.my.salesforce.com/x",
		"http://localhost:8787/a@b":                              "http://localhost:8787/a@b",
		"-o 00Dxx0000001gPF!AQEAQabc.def":                        "-o (token)",
		"00Dxx0000001gPF%21AQEAQabc.def":                         "(token)",
		"5Aep861KIwKdekr90IDidO4EhfJiYo3fzEvTvsEgM9sfDpGX0":      "(token)",
		"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln":              "(token)",
		strings.Repeat("0aF4", 16):                               strings.Repeat("0aF4", 16), // it may be a digest
		"-----BEGIN CERTIFICATE-----MIIabc":                      "-----BEGIN CERTIFICATE-----MIIabc",
		"00Dxx0000001gPF":                                        "00Dxx0000001gPF",
	} {
		if got := Mask(text); got != want {
			t.Errorf("%q is masked as %q, want %q", text, got, want)
		}
	}
}

// TestMaskFindsCutSecrets: the beginning of a secret is enough for whoever guesses the rest.
func TestMaskFindsCutSecrets(t *testing.T) {
	t.Parallel()
	const secret = "C7F2A19B64D0E8357F1C29A86B04D3E5C7F2A19B64D0E8357F1C29A86B04D3E5"
	const session = "00D5g00000AbCdEEAV!AQ4AQLongSecretPartOfTheSession"
	NewSecret(secret)
	NewSecret(session)
	for text, want := range map[string]string{
		secret[:60]: "(secret)", secret[:24] + "-": "(secret)-", secret[:23]: secret[:23],
		"the org " + session[:18]: "the org " + session[:18],
	} {
		if got := Mask(text); got != want {
			t.Errorf("%s is masked as %q, want %q", text, got, want)
		}
	}
}

// TestShortSecretsMaskNothing: a secret of a few characters would mask ordinary words.
func TestShortSecretsMaskNothing(t *testing.T) {
	t.Parallel()
	NewSecret("production")
	if got := Mask("in production"); got != "in production" {
		t.Errorf("got %q", got)
	}
}

func BenchmarkMask(b *testing.B) {
	for i := range 1000 {
		NewSecret(strings.Repeat(string(rune('a'+i%26)), 40) + hex.EncodeToString([]byte{byte(i), byte(i >> 8)}))
	}
	text := strings.Repeat(`{"org": "uat", "state": "finished", "report": {"apps": ["ErpConnector"]}},`, 14_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Mask(text)
	}
}

// TestLearnArguments: a code in a redirected URL and a consumer secret are secrets, also in an argument of something else.
func TestLearnArguments(t *testing.T) {
	t.Parallel()
	const secret = "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEE"
	for argument, hidden := range map[string]string{
		"https://web.example.com/cb?state=s&code=aPrxCodeOne%3D%3D": "aPrxCodeOne==",
		"code=aPrxCodeTwo23": "aprxcodetwo23",
		"--field=" + secret:  secret,
	} {
		LearnSecrets(argument)
		if got := Mask("x " + hidden + " y"); got != "x (secret) y" {
			t.Errorf("%s: %q", argument, got)
		}
	}
	LearnSecrets("https://web.example.com/cb?state=onlyTheState")
	if got := Mask("onlyTheState"); got != "onlyTheState" {
		t.Errorf("a state is masked: %q", got)
	}
}
