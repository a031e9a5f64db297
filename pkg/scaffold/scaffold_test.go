package scaffold_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ecakit/ecakit/pkg/lint"
	"github.com/ecakit/ecakit/pkg/scaffold"
)

func project(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sfdx-project.json"), []byte(`{"packageDirectories": [{"path": "core", "package": "core", "default": true}]}`), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "core"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func config(app string) scaffold.Config {
	return scaffold.Config{App: app, ContactEmail: "a@example.com", Environments: []scaffold.Environment{{Alias: "uat", RunAsUser: "run@example.com"}}}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := project(t)
	files, err := scaffold.New(os.DirFS(dir), config("App"))
	if err != nil {
		t.Fatal(err)
	}
	if err := scaffold.Write(dir, files); err != nil {
		t.Fatal(err)
	}
	if findings, err := lint.Run(os.DirFS(dir), "."); err != nil || len(findings) > 0 {
		t.Errorf("%v, %v", findings, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "sfdx-project.json")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the project file is %v, %v", info.Mode(), err)
	}
}

// TestWriteFails leaves nothing behind where something came in between.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"the project file has changed": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "sfdx-project.json"), []byte(`{}`), 0o600)
		},
		"a file is in the way": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "scripts"), nil, 0o600)
		},
	} {
		dir := project(t)
		files, err := scaffold.New(os.DirFS(dir), config("App"))
		if err != nil {
			t.Fatal(err)
		}
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if err := scaffold.Write(dir, files); err == nil {
			t.Errorf("%s: no error", name)
		}
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "eca-") || strings.HasPrefix(e.Name(), "sfdx-project.json.") {
				t.Errorf("%s: %s is left", name, e.Name())
			}
		}
	}
}

// TestLinks refuses to write through links.
func TestLinks(t *testing.T) {
	t.Parallel()
	dir := project(t)
	if err := os.Rename(filepath.Join(dir, "sfdx-project.json"), filepath.Join(dir, "real.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.json", filepath.Join(dir, "sfdx-project.json")); err != nil {
		t.Skip(err)
	}
	if _, err := scaffold.New(os.DirFS(dir), config("App")); err == nil || !strings.Contains(err.Error(), "is a link") {
		t.Errorf("got %v, want that it is a link", err)
	}
}

// TestProjectKeepsWhatItHad has a project that holds more than init would have made.
func TestProjectKeepsWhatItHad(t *testing.T) {
	t.Parallel()
	dir := project(t)
	for name, content := range map[string]string{
		"core/externalClientApps/Erp.eca-meta.xml":                                    "",
		"eca-policies/default/Old/extlClntAppOauthPolicies/Old.ecaOauthPlcy-meta.xml": "old",
		"eca-policies/uat/Old/extlClntAppOauthPolicies/Old.ecaOauthPlcy-meta.xml":     "old",
		"eca-policies/notes/README.md":                                                "",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := scaffold.New(os.DirFS(dir), config("ERP")); err == nil || !strings.Contains(err.Error(), "core/externalClientApps/Erp.eca-meta.xml is already a header of ERP") {
		t.Errorf("got %v, want that there is such a header", err)
	}
	c := config("App")
	c.Environments = []scaffold.Environment{{Alias: "sit"}}
	files, err := scaffold.New(os.DirFS(dir), c)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		if rest, policies := strings.CutPrefix(f.Path, "eca-policies/"); policies {
			got = append(got, rest)
		}
	}
	slices.Sort(got)
	want := []string{
		"default/extlClntAppOauthPolicies/App_oauthPlcy.ecaOauthPlcy-meta.xml", "sit/Old/extlClntAppOauthPolicies/Old.ecaOauthPlcy-meta.xml",
		"sit/extlClntAppOauthPolicies/App_oauthPlcy.ecaOauthPlcy-meta.xml", "uat/extlClntAppOauthPolicies/App_oauthPlcy.ecaOauthPlcy-meta.xml",
	}
	if !slices.Equal(got, want) {
		t.Errorf("it writes %q, want %q", got, want)
	}
}

// TestNewAppJoinsThePoliciesThatAreThere has layouts of policies that a new app has to fit into.
func TestNewAppJoinsThePoliciesThatAreThere(t *testing.T) {
	t.Parallel()
	const policies = `<ExtlClntAppOauthConfigurablePolicies xmlns="http://soap.sforce.com/2006/04/metadata"><externalClientApplication>Old</externalClientApplication></ExtlClntAppOauthConfigurablePolicies>`
	for name, test := range map[string]struct {
		dirs []string // with policies of another app
		env  string
		want []string // the directories of those of the new one
		err  string
	}{
		"nested":             {[]string{"default", "sandboxes/uat", "sandboxes/sit"}, "", []string{"default", "sandboxes/sit", "sandboxes/uat"}, ""},
		"no environments":    {[]string{""}, "", []string{"default"}, ""},
		"below the package":  {[]string{"env/default", "env/uat"}, "sit", []string{"env/default", "env/sit", "env/uat"}, ""},
		"another case":       {[]string{"default", "uat"}, "UAT", nil, "differs from eca-policies/uat by case alone"},
		"one nested":         {[]string{"default", "envs/uat"}, "uat", []string{"default", "envs/uat"}, ""},
		"apps":               {[]string{"uat/Erp", "prod/Erp"}, "sit", []string{"default", "prod", "sit", "uat"}, ""},
		"grouped by app":     {[]string{"Old/default", "Old/uat", "Crm/default", "Crm/uat"}, "", nil, "are both named"},
		"a name of folders":  {[]string{"default", "sandboxes/uat", "sandboxes/sit"}, "sandboxes", nil, "contains the folder of another environment"},
		"before default":     {[]string{"a/main/default", "b/main/default"}, "", nil, "sfp would deploy eca-policies/a/main/default to default"},
		"the app's own file": {[]string{"default"}, "", nil, "already has policies of Old"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.CopyFS(root, os.DirFS(project(t))); err != nil {
				t.Fatal(err)
			}
			for _, dir := range test.dirs {
				dir = filepath.Join(root, "eca-policies", dir, "extlClntAppOauthPolicies")
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "Old.ecaOauthPlcy-meta.xml"), []byte(policies), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := config("App")
			if c.Environments = nil; test.env != "" {
				c.Environments = []scaffold.Environment{{Alias: test.env}}
			}
			if strings.Contains(test.err, "Old") {
				c.App = "old"
			}
			files, err := scaffold.New(os.DirFS(root), c)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range files {
				if dir, is := strings.CutSuffix(f.Path, "/extlClntAppOauthPolicies/App_oauthPlcy.ecaOauthPlcy-meta.xml"); is {
					got = append(got, strings.TrimPrefix(dir, "eca-policies/"))
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("policies go to %q, want %q", got, test.want)
			}
		})
	}
}

// TestAtOnce has several apps set up at the same time: each is there whole, or not
// at all.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	dir := project(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if files, err := scaffold.New(os.DirFS(dir), config(fmt.Sprint("App", i))); err == nil {
				scaffold.Write(dir, files)
			}
		})
	}
	wg.Wait()
	data, err := os.ReadFile(filepath.Join(dir, "sfdx-project.json"))
	if err != nil || strings.Count(string(data), `"package":"eca-definition"`) != 1 {
		t.Errorf("%s, %v", data, err)
	}
}

func ExampleNew() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	os.WriteFile(filepath.Join(dir, "sfdx-project.json"), []byte(`{"packageDirectories": []}`), 0o600)
	files, err := scaffold.New(os.DirFS(dir), scaffold.Config{App: "Erp", ContactEmail: "erp@example.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range files {
		fmt.Println(f.Path)
	}
	// Output:
	// eca-definition/externalClientApps/Erp.eca-meta.xml
	// eca-policies/default/extlClntAppOauthPolicies/Erp_oauthPlcy.ecaOauthPlcy-meta.xml
	// scripts/bootstrap-eca-oauth.sh
	// scripts/bootstrap-eca-oauth.cmd
	// sfdx-project.json
}
