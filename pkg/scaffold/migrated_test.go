package scaffold_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/lint"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// own are fields that the project or the platform decides, by type.
var own = map[string][]string{
	eca.OAuthSettings: {"label", "oauthLink"}, eca.GlobalOAuthSettings: {"label", "consumerKey", "shouldRotateConsumerKey", "shouldRotateConsumerSecret"}, eca.PluginPolicies: {"label"},
	eca.OAuthPolicies: {"label"}, eca.SAMLPolicies: {"label"}, eca.CanvasSettings: {"label"},
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestMigratedAppIsTheSame migrates Everything, a Connected App that uses all features, deploys it to
// an org as a release does, and compares the fields with those of Everything.txt. Other fields are
// the platform's own or have its defaults.
func TestMigratedAppIsTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sfdx-project.json", `{"packageDirectories": [], "sourceApiVersion": "68.0"}`)
	write("Everything.connectedApp-meta.xml", testdata(t, "Everything.connectedApp-meta.xml"))
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	app, err := connectedapp.Read(root.FS(), "Everything.connectedApp-meta.xml")
	if err != nil {
		t.Fatal(err)
	}
	app.NamePermissionSets([]connectedapp.PermissionSet{{Name: "Everybody", Label: "Everybody"}, {Name: "Integrations", Label: "Integrations"}})
	if app.Wrong() != nil {
		t.Fatal(app.Wrong())
	}
	var found []string
	for _, f := range app.Findings {
		found = append(found, f.Field)
	}
	if want := "mobileStartUrl oauthConfig.consumerKey oauthConfig.isPkceRequired plugin"; strings.Join(found, " ") != want {
		t.Errorf("found %v, want %s", found, want)
	}
	config := scaffold.Migrated(app)
	config.Layout = "sfp"
	config.Environments = []scaffold.Environment{{Alias: "uat", RunAsUser: app.RunAsUser}}
	files, err := scaffold.New(root.FS(), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := scaffold.Write(dir, files); err != nil {
		t.Fatal(err)
	}
	problems, err := lint.Run(root.FS(), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range problems {
		if f.Level == finding.Error {
			t.Errorf("lint: %v", f)
		}
	}

	org := simorgtest.Start(t, simorg.Config{Users: []simorg.User{{Username: "integration@example.com.uat"}}, PermissionSets: []string{"Everybody", "Integrations"}})
	defer org.Close()
	conn := &salesforce.Conn{InstanceURL: org.URL, Version: 68, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
	if err := org.Deploy(root.FS(), "eca-definition"); err != nil {
		t.Fatal(err)
	}
	source, err := wanted.Load(wanted.Location{Project: root.FS(), Package: "eca-definition"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bootstrap.Run(t.Context(), conn, source, bootstrap.Options{Alias: "uat"}); err != nil {
		t.Fatal(err)
	}
	if err := org.Deploy(root.FS(), "eca-policies/uat"); err != nil {
		t.Fatal(err)
	}
	client := &mdapi.Client{Conn: conn}
	for block := range strings.SplitSeq(testdata(t, "Everything.txt"), "\n\n") {
		typ, want, _ := strings.Cut(block, "\n")
		var names []string
		for _, c := range org.Components(typ) {
			names = append(names, c.FullName)
		}
		got, err := client.Read(t.Context(), typ, names...)
		if err != nil || len(got) != 1 {
			t.Errorf("%s: %v, %v", typ, got, err)
			continue
		}
		fields := slices.DeleteFunc(got[0].Fields, func(f metadata.Field) bool { return slices.Contains(own[typ], f.Name) })
		if text := written(fields); text != strings.Join(strings.Fields(want), " ") {
			t.Errorf("%s:\ngot  %s\nwant %s", typ, text, strings.Join(strings.Fields(want), " "))
		}
	}
}

func written(fields []metadata.Field) string {
	var parts []string
	for _, f := range fields {
		text := strings.ReplaceAll(f.Text, "\n", "|")
		if len(f.Fields) > 0 {
			text = "{" + written(f.Fields) + "}"
		}
		parts = append(parts, f.Name+"="+text)
	}
	return strings.Join(parts, " ")
}
