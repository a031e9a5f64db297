package scaffold_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/lint"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// TestEveryPreset: what New writes for each purpose, and for none, is sound, and after its bootstrap an audit finds
// nothing in the app, in each layout.
func TestEveryPreset(t *testing.T) {
	t.Parallel()
	names := []string{""}
	for _, p := range scaffold.Presets() {
		names = append(names, p.Name)
	}
	for _, name := range names {
		for _, layout := range []string{`, "type": "source"`, ""} {
			t.Run(name+layout, func(t *testing.T) {
				t.Parallel()
				checkPreset(t, name, layout)
			})
		}
	}
}

func checkPreset(t *testing.T, name, keys string) {
	dir := project(t)
	file := []byte(strings.Replace(`{"packageDirectories": [{"path": "core", "package": "core", "default": true}]}`, `"core", "default"`, `"core"`+keys+`, "default"`, 1))
	if err := os.WriteFile(filepath.Join(dir, "sfdx-project.json"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	c := scaffold.Config{App: "App", ContactEmail: "a@example.com", Preset: name}
	if preset, err := scaffold.FindPreset(name); err == nil {
		if preset.Callbacks {
			c.CallbackURLs = []string{"https://app.example.com/callback"}
		}
		if preset.Certificate {
			c.Certificate = selfSigned(t)
		}
		if preset.Global["isClientCredentialsFlowEnabled"] {
			c.Environments = []scaffold.Environment{{Alias: "uat", RunAsUser: "run@example.com"}}
		}
	}
	files, err := scaffold.New(os.DirFS(dir), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := scaffold.Write(dir, files); err != nil {
		t.Fatal(err)
	}
	if findings, err := lint.Run(os.DirFS(dir), "."); err != nil || len(findings) > 0 {
		t.Errorf("lint: %v, %v", findings, err)
	}
	org := simorgtest.Start(t, simorg.Config{Users: []simorg.User{{Username: "run@example.com"}}})
	conn := &salesforce.Conn{InstanceURL: org.URL, Version: 68, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
	source, err := wanted.Load(wanted.Location{Project: os.DirFS(dir), Sibling: os.DirFS(dir)})
	if err != nil {
		t.Fatal(err)
	}
	options := bootstrap.Options{Alias: "uat", Headers: true, ApplyPolicies: keys != ""}
	if _, err := bootstrap.Run(t.Context(), conn, source, options); err != nil {
		t.Fatal(err)
	}
	policies := org.Components(eca.OAuthPolicies)
	if len(policies) != 1 || policies[0].Fields["permittedUsersPolicyType"] != "AdminApprovedPreAuthorized" || policies[0].Fields["refreshTokenPolicyType"] == "Infinite" {
		t.Errorf("the policies are %v", policies)
	}
	snapshot, err := audit.Read(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	report, err := snapshot.Judge(audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.App == "App" {
			t.Errorf("audit: %s: %s", f.Rule, f.Problem)
		}
	}
	if !slices.ContainsFunc(report.Apps, func(a *audit.App) bool { return a.Name == "App" }) {
		t.Error("the audit has not seen the app")
	}
}

func selfSigned(t *testing.T) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestParseClient(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"claude":           "https://claude.ai/api/mcp/auth_callback https://claude.com/api/mcp/auth_callback",
		"claude-code":      "http://localhost:8080/callback",
		"claude-code=9000": "http://localhost:9000/callback",
		"chatgpt=https://chatgpt.com/connector/oauth/1": "https://chatgpt.com/connector/oauth/1",
		"gemini-cli":              "http://localhost:7777/oauth/callback",
		"claude-code=x":           `claude-code needs a port, not "x"`,
		"claude-code=70000":       `claude-code needs a port, not "70000"`,
		"chatgpt":                 "ChatGPT shows its callback URL when it is set up; give it as chatgpt=URL",
		"power-platform=http://a": `"http://a" is not the callback URL of Power Platform and Copilot Studio, which begins with https://`,
		"cursor=1":                `cursor takes no value, but "1" is given`,
		"curser":                  "the callback URLs of curser are not known, only those of claude, claude-code, chatgpt, cursor, vscode, postman, gemini-cli, power-platform; did you mean cursor?; give the URLs instead",
	} {
		client, err := scaffold.ParseClient(text)
		got := strings.Join(client.Callbacks, " ")
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s gives %s, want %s", text, got, want)
		}
		if err == nil && (client.Needs == "" || strings.Contains(client.Needs, "%")) {
			t.Errorf("%s needs %q", text, client.Needs)
		}
	}
}
