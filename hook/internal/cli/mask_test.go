package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// TestMistypedSecrets: a secret in the place of something else on the command line, or in a variable,
// is in no error and in no document.
func TestMistypedSecrets(t *testing.T) {
	t.Parallel()
	const pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAsecretsecret\n-----END RSA PRIVATE KEY-----\n"
	const refresh = "5Aep861KIwKdekr90IDidO4EhfJiYo3fzEvTvsEgM9sfDpGX0"
	const authURL = "force://PlatformCLI::" + refresh + "@acme.my.salesforce.com"
	const session = "00Dxx0000001gPF!AQEAQsecretsecretsecret"
	const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzZWNyZXQifQ.c2VjcmV0c2VjcmV0"
	inBase64 := base64.StdEncoding.EncodeToString([]byte("-----BEGIN RSA PRIVATE KEY-----\n" + strings.Repeat("MIIEowIBAAKCAQEAsecretsecret\n", 40)))
	body := "MIIEowIB" + strings.Repeat("AAKCAQEAsecretsecret\n", 40)
	secrets := []string{pem, refresh, authURL, session, jwt, inBase64, body, `a"` + authURL + `"b`}
	leaks := func(text string) bool {
		for _, part := range []string{"MIIEowIB", "KIwKdekr90", "AQEAQsecret", "eyJzdWIiOiJzZWNyZXQifQ", inBase64[100:140], "AAKCAQEAsecret"} {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	for _, secret := range secrets {
		for _, args := range [][]string{
			{"verify", "-o", "uat", "--app", "A", "--username", "u", "--jwt-key", secret}, {"verify", "-o", secret, "--app", "A"},
			{"bootstrap", "--orgs", secret}, {"bootstrap", secret}, {"bootstrap", "-o", "uat", "--timeout", secret}, {"plan", "--shard", secret},
			{secret}, {"--" + secret}, {"lint", "--format", secret}, {"lint", secret}, {"lint", "--explain", secret}, {"credentials", "-o", "uat", "--app", "A", "--output", secret + "/x"},
			{"credentials", "-o", "uat", "--app", "A", "--", secret}, {"audit", "-o", "uat", "--baseline", secret}, {"init", "--app", secret, "--contact-email", "a@example.com"},
			{"migrate", secret}, {"package", "-o", secret, "--app", "A"}, {"help", secret}, {"bundle", "--binary", secret, "--output", "x"},
			{"hook", "def", secret, "uat", ".", "src"}, {"simulate", "--state", secret + "/x"}, {"rotate", "-o", "uat", "--app", "A", "--connect", secret},
		} {
			for _, more := range [][]string{nil, {"--json"}} {
				var out bytes.Buffer
				e := world(t.TempDir(), &out)
				run(t.Context(), append(args, more...), e)
				if leaks(out.String()) {
					t.Errorf("%.60q prints the secret: %.300s", args, &out)
				}
				if lines := strings.SplitAfter(out.String(), "}\n"); more != nil && !json.Valid([]byte(strings.Join(lines[:len(lines)-1], ""))) && strings.HasPrefix(out.String(), "{") {
					t.Errorf("%.60q prints an invalid document: %.300s", args, &out)
				}
			}
		}
		for _, variable := range []string{"SF_TARGET_ORG", "ECA_TIMEOUT", "ECA_ARTIFACTS", "SF_ORG_API_VERSION", "SF_ORG_INSTANCE_URL", "ECA_POLICIES"} {
			var out bytes.Buffer
			e := world(t.TempDir(), &out)
			e.Getenv = func(name string) string {
				switch name {
				case variable:
					return secret
				case "SF_ACCESS_TOKEN":
					return session
				}
				return ""
			}
			e.Env = &orgs.Env{Console: e.Console, Stdin: e.Stdin, Getenv: e.Getenv, Home: e.Home, Store: e.Store, Explain: explain}
			for _, args := range [][]string{{"bootstrap", "."}, {"audit"}, {"verify", "--app", "A"}} {
				if run(t.Context(), args, e); leaks(out.String()) {
					t.Errorf("%s with %s prints the secret: %s", args, variable, &out)
				}
			}
		}
	}
}

// TestSecretsInEveryFlag: a secret that is given to any flag or argument of any command, or in any variable of
// one, is printed neither as it is nor in another form.
func TestSecretsInEveryFlag(t *testing.T) {
	t.Chdir(t.TempDir())                                                    // where a command may write files of these names
	kinds := []string{"session", "refresh token", "JWT", "auth URL", "PEM"} // which can be told by their form
	next := func() (kind, secret string) {
		kind = kinds[0]
		kinds = append(kinds[1:], kind)
		return kind, simorgtest.Secrets[kind]
	}
	model := newParser(new(cli), world(t.TempDir(), io.Discard)).Model
	for _, command := range model.Leaves(false) {
		switch command.Name {
		case "simulate", "demo": // which run until they are interrupted
			continue
		}
		var lines [][]string
		for _, arg := range command.Positional {
			lines = append(lines, []string{command.Name, "SECRET"}, []string{command.Name, "--json", "SECRET", arg.Name, "--", "SECRET"})
		}
		for _, group := range command.AllFlags(false) {
			for _, flag := range group {
				lines = append(lines, []string{command.Name, "--" + flag.Name + "=SECRET"}, []string{command.Name, "--json", "--" + flag.Name + "=x/SECRET", "-o", "uat", "--app=A"})
			}
		}
		for _, line := range lines {
			var out bytes.Buffer
			var args []string
			kind, secret := next()
			for _, arg := range line {
				args = append(args, strings.ReplaceAll(arg, "SECRET", secret))
			}
			if run(t.Context(), args, world(t.TempDir(), &out)); simorgtest.Leaks(out.String(), secret) {
				t.Errorf("%q with a %s prints %.400q", line, kind, &out)
			}
		}
		for _, group := range command.AllFlags(false) {
			for _, flag := range group {
				variable := flag.Tag.Get("from")
				if variable == "" {
					continue
				}
				var out bytes.Buffer
				kind, secret := next()
				e := world(t.TempDir(), &out)
				e.Getenv = func(name string) string { return map[string]string{variable: secret}[name] }
				if run(t.Context(), []string{command.Name, "--app=A"}, e); simorgtest.Leaks(out.String(), secret) {
					t.Errorf("%s with a %s in %s prints %.400q", command.Name, kind, variable, &out)
				}
			}
		}
	}
}

// TestSecretsOfTheEnvironment: the value of a variable whose name says that it is a secret is masked in the wrong
// place of the command line, and other values are not.
func TestSecretsOfTheEnvironment(t *testing.T) {
	t.Parallel()
	eca, err := exec.LookPath("eca")
	if err != nil {
		t.Fatal(err)
	}
	const value = "Q7F2A19B64D0E8357F1C29A86B04D3E5"
	for variable, masked := range map[string]bool{
		"ERP_CLIENT_SECRET=" + value: true, "ERP_SECRET_UAT=" + value: true, "VAULT_TOKEN=" + value: true, "DB_PASSWORD=" + value: true, "CI_PRIVATE_KEY=" + value: true,
		"SECRET_NAME=" + value: false, "TOKEN_FILE=" + value: false, "ALIAS=" + value: false, "MY_TOKEN=/" + value: false, "TOKEN=https://" + value: false,
		"OTHER=force://a:" + value + ":5Aep861abcdefghijklmnop@acme.my.salesforce.com": true,
	} {
		for _, args := range [][]string{{"audit", "-o", value}, {"--json", "audit", "-o", base64.StdEncoding.EncodeToString([]byte(value))}} {
			cmd := exec.Command(eca, args...)
			cmd.Env = []string{variable, "HOME=" + t.TempDir(), "GOCOVERDIR=" + t.TempDir()}
			if out, err := cmd.CombinedOutput(); err == nil || simorgtest.Leaks(string(out), value) == masked {
				t.Errorf("%s: %v prints %s", variable, args, out)
			}
		}
	}
}
