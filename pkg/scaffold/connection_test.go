package scaffold_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/lint"
	"github.com/ecakit/ecakit/pkg/scaffold"
)

func calls() scaffold.ConnectionConfig {
	return scaffold.ConnectionConfig{
		Layout: "sfp", App: "App", Connection: connection.Connection{NamedCredential: "Crm", PermissionSets: []string{"Callers"}},
		Environments: []scaffold.Calls{{Alias: "uat", From: "crm-uat", URL: "https://crm--uat.sandbox.my.salesforce.com"}, {Alias: "prod", From: "crm", URL: "https://crm.my.salesforce.com"}},
	}
}

func TestConnectionPassesLint(t *testing.T) {
	t.Parallel()
	dir := project(t)
	files, err := scaffold.NewConnection(os.DirFS(dir), calls())
	if err != nil {
		t.Fatal(err)
	}
	if err := scaffold.Write(dir, files); err != nil {
		t.Fatal(err)
	}
	if findings, err := lint.Run(os.DirFS(dir), "."); err != nil || len(findings) > 0 {
		t.Errorf("%v, %v", findings, err)
	}
	uat, err := os.ReadFile(filepath.Join(dir, "eca-connections/uat/externalCredentials/Crm.externalCredential-meta.xml"))
	if err != nil || !strings.Contains(string(uat), "https://crm--uat.sandbox.my.salesforce.com/services/oauth2/token") {
		t.Errorf("%s, %v", uat, err)
	}
	// The same connection again is nothing to do, one that differs is refused, and a second one joins the package.
	if files, err := scaffold.NewConnection(os.DirFS(dir), calls()); err != nil || len(files) > 0 {
		t.Errorf("again: %v, %v", files, err)
	}
	differs := calls()
	differs.App = "Other"
	if _, err := scaffold.NewConnection(os.DirFS(dir), differs); err == nil || !strings.Contains(err.Error(), "already has the connection Crm") {
		t.Errorf("got %v", err)
	}
	another := calls()
	another.Connection.NamedCredential = "Erp"
	if files, err := scaffold.NewConnection(os.DirFS(dir), another); err != nil || strings.Count(string(files[len(files)-1].Content), "eca-connections") != 2 { // path and package, once
		t.Errorf("%v", err)
	}
}

func TestConnectionRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*scaffold.ConnectionConfig)
		want   string
	}{
		{"no app", func(c *scaffold.ConnectionConfig) { c.App = "" }, "not a valid app name"},
		{"a consumer key in source", func(c *scaffold.ConnectionConfig) {
			c.Connection.Certificate, c.Connection.Username = "C", "a@example.com"
		}, "consumer key"},
		{"no environment", func(c *scaffold.ConnectionConfig) { c.Environments = nil }, "needs an environment"},
		{"a folder outside", func(c *scaffold.ConnectionConfig) { c.Environments[0].Alias = "../x" }, "not a valid folder name"},
		{"the folder of a type", func(c *scaffold.ConnectionConfig) { c.Environments[0].Alias = "namedCredentials" }, "not a valid folder name"},
		{"an environment twice", func(c *scaffold.ConnectionConfig) { c.Environments[1].Alias = "uat" }, "given twice"},
		{"a provider without an alias", func(c *scaffold.ConnectionConfig) { c.Environments[0].From = "" }, "needs the alias"},
		{"a provider that is no org", func(c *scaffold.ConnectionConfig) { c.Environments[0].URL = "http://crm.example.com" }, "crm.example.com"},
		{"a name that cannot be", func(c *scaffold.ConnectionConfig) { c.Connection.NamedCredential = "C__m" }, "C__m"},
		{"a directory outside", func(c *scaffold.ConnectionConfig) { c.Dir = "../connections" }, "not a valid package directory"},
		{"a package that is not aliasfied", func(c *scaffold.ConnectionConfig) { c.Dir = "core" }, "aliasfied package"},
		{"a directory inside a package", func(c *scaffold.ConnectionConfig) { c.Dir = "core/connections" }, "conflicts with"},
		{"a file in the way", func(c *scaffold.ConnectionConfig) { c.Dir = "there" }, "already exists"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := project(t)
			there := filepath.Join(dir, "there/uat/externalCredentials")
			if err := os.MkdirAll(there, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(there, "Crm.externalCredential-meta.xml"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			config := calls()
			test.change(&config)
			if _, err := scaffold.NewConnection(os.DirFS(dir), config); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
