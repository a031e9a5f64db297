package scaffold_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/scaffold"
)

// TestWithoutPreset checks the scopes and switches of an app without a preset. An app that is migrated keeps
// its own.
func TestWithoutPreset(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*scaffold.Config)
		want   string
		open   bool
	}{
		"a server":              {func(c *scaffold.Config) {}, "[Api] pkce true rotation true", false},
		"people":                {func(c *scaffold.Config) { c.Environments = nil }, "[Api RefreshToken] pkce true rotation true", false},
		"both":                  {func(c *scaffold.Config) { c.CallbackURLs = []string{"https://a.example.com/cb"} }, "[Api RefreshToken] pkce true rotation true", false},
		"scopes":                {func(c *scaffold.Config) { c.Scopes = []string{"Web"} }, "[Web] pkce true rotation true", false},
		"pre-authorised":        {func(c *scaffold.Config) { c.PermissionSets = []string{"Users"} }, "[Api] pkce true rotation true", false},
		"pre-authorised preset": {func(c *scaffold.Config) { c.Preset, c.PermissionSets = "server", []string{"Users"} }, "[Api] pkce <nil> rotation <nil>", false},
		"migrated": {func(c *scaffold.Config) {
			c.Fields = map[string]metadata.Fields{eca.GlobalOAuthSettings: metadata.Stated("isPkceRequired", "false")}
		}, "[Api] pkce false rotation <nil>", true},
	} {
		c := config("App")
		test.change(&c)
		files, err := scaffold.New(os.DirFS(project(t)), c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var edited struct {
			Plugins struct {
				ECA struct {
					Apps map[string]struct{ OAuthSettings, GlobalOAuthSettings map[string]any }
				}
			}
		}
		if err := json.Unmarshal(files[len(files)-1].Content, &edited); err != nil {
			t.Fatal(err)
		}
		app := edited.Plugins.ECA.Apps["App"]
		got := fmt.Sprintf("%v pkce %v rotation %v", app.OAuthSettings["commaSeparatedOauthScopes"],
			app.GlobalOAuthSettings["isPkceRequired"], app.GlobalOAuthSettings["isRefreshTokenRotationEnabled"])
		if got != test.want || c.OpenToAll() != test.open {
			t.Errorf("%s: %s, open %t, want %s, %t", name, got, c.OpenToAll(), test.want, test.open)
		}
		for _, f := range files {
			if strings.Contains(f.Path, "oauthPlcy") && strings.Contains(string(f.Content), "AllSelfAuthorized") != test.open {
				t.Errorf("%s: %s", name, f.Content)
			}
		}
	}
}
