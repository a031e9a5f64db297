package scaffold_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/lint"
	"github.com/ecakit/ecakit/pkg/metadata"
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
	return scaffold.Config{Layout: "sfp", App: app, ContactEmail: "a@example.com", Environments: []scaffold.Environment{{Alias: "uat", RunAsUser: "run@example.com"}}}
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
		"a new file exists": func(dir string) error {
			if err := os.MkdirAll(filepath.Join(dir, "scripts"), 0o700); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "scripts/bootstrap-eca-oauth.cmd"), nil, 0o600)
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

// TestNewRefuses has projects and configurations to which no app can be added.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	const packages = `{"packageDirectories": [{"path": "core", "package": "core", "default": true}%s]%s}`
	both := func(definition, policies string) string {
		return fmt.Sprintf(packages, `, {"path": "eca-definition", "package": "d"`+definition+`}, {"path": "eca-policies", "package": "p"`+policies+`}`, "")
	}
	const hook = `, "postDeploymentScript": "hook.sh"`
	for _, test := range []struct {
		name    string
		project string
		change  func(*scaffold.Config)
		want    string // "" if the app can be added
	}{
		{"a plain project", fmt.Sprintf(packages, "", ""), nil, ""},
		{"existing packages", both(hook, `, "aliasfy": true`), nil, ""},
		{"settings of the app", fmt.Sprintf(packages, "", `, "plugins": {"eca": {"apps": {"app": {}}}}`), nil, "already has settings of app"},
		{"an old API version", fmt.Sprintf(packages, "", `, "sourceApiVersion": "58.0"`), nil, "sourceApiVersion is 58.0"},
		{"a field of a later API version", fmt.Sprintf(packages, "", `, "sourceApiVersion": "64.0"`), func(c *scaffold.Config) {
			f := make(metadata.Fields)
			f.Set("namedUserJwtSessionTimeoutType", "Custom")
			c.Fields = map[string]metadata.Fields{eca.OAuthPolicies: f}
		}, "raise sourceApiVersion"},
		{"no JSON", "{", nil, "is not a project file"},
		{"a package of the whole project", `{"packageDirectories": [{"path": ".", "package": "all"}]}`, nil, "covers the whole project"},
		{"a package of the same name", fmt.Sprintf(packages, `, {"path": "x/y", "package": "eca-policies"}`, ""), nil, "the package eca-policies in x/y conflicts with eca-policies"},
		{"a directory in a package", fmt.Sprintf(packages, "", ""), func(c *scaffold.Config) { c.Policies = "core/policies" }, "the package core in core conflicts with core/policies"},
		{"a directory around a package", fmt.Sprintf(packages, `, {"path": "src/x", "package": "x"}`, ""), func(c *scaffold.Config) { c.Policies = "src" }, "the package x in src/x conflicts with src"},
		{"a directory without a package name", fmt.Sprintf(packages, `, {"path": "eca-policies", "aliasfy": true}`, ""), nil, "without a package name"},
		{"nested packages", fmt.Sprintf(packages, "", ""), func(c *scaffold.Config) { c.Policies = "eca-definition/policies" }, "cannot be the two packages"},
		{"packages of one name", fmt.Sprintf(packages, "", ""), func(c *scaffold.Config) { c.Definition, c.Policies = "a/x", "b/x" }, "cannot be the two packages"},
		{"policies that are not aliasfied", both(hook, ""), nil, "not an aliasfied package"},
		{"an aliasfied definition", both(hook+`, "aliasfy": true`, `, "aliasfy": true`), nil, "the package d already exists and is aliasfied"},
		{"a definition without the hook", both("", `, "aliasfy": true`), nil, "does not call eca"},
		{"policies alone", fmt.Sprintf(packages, `, {"path": "eca-policies", "package": "p", "aliasfy": true}`, ""), nil, "must come after the definition package"},
		{"policies before the definition", fmt.Sprintf(packages, `, {"path": "eca-policies", "package": "p", "aliasfy": true}, {"path": "eca-definition", "package": "d"`+hook+`}`, ""),
			nil, "must come after the definition package"},
		{"another script", fmt.Sprintf(packages, "", ""), func(c *scaffold.Config) { c.App = "Scripted" }, "scripts/bootstrap-eca-oauth.sh already exists but does not call eca"},
		{"an unknown scope", fmt.Sprintf(packages, "", ""), func(c *scaffold.Config) { c.Scopes = []string{"refresh_token"} }, "RefreshToken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fsys := fstest.MapFS{"sfdx-project.json": {Data: []byte(test.project), Mode: 0o644}, "hook.sh": {Data: []byte("eca hook")}}
			c := config("App")
			if test.change != nil {
				test.change(&c)
			}
			if c.App == "Scripted" {
				fsys["scripts/bootstrap-eca-oauth.sh"] = &fstest.MapFile{Data: []byte("echo")}
			}
			_, err := scaffold.New(fsys, c)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := scaffold.New(fstest.MapFS{"sfdx-project.json": {Data: []byte("{}"), Mode: 0o444}}, config("App")); err == nil || !strings.Contains(err.Error(), "write-protected") {
		t.Errorf("of a write-protected project file: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*scaffold.Config){
		"needs a name":               func(c *scaffold.Config) { c.App = "" },
		`"1App" is not a valid app`:  func(c *scaffold.Config) { c.App = "1App" },
		"is not a valid app name":    func(c *scaffold.Config) { c.App = strings.Repeat("a", 81) },
		"control characters":         func(c *scaffold.Config) { c.Label = "a\nb" },
		"is not an e-mail address":   func(c *scaffold.Config) { c.ContactEmail = "x" },
		"there is no preset servr":   func(c *scaffold.Config) { c.Preset = "servr" },
		"needs a callback URL":       func(c *scaffold.Config) { c.Preset = "web" },
		"not a valid permission set": func(c *scaffold.Config) { c.PermissionSets = []string{"a b"} },
		"the environment default is": func(c *scaffold.Config) { c.Environments[0].Alias = "Default" },
		"not a valid folder name":    func(c *scaffold.Config) { c.Environments[0].Alias = "extlClntAppOauthPolicies" },
		"is given twice": func(c *scaffold.Config) {
			c.Environments = append(c.Environments, scaffold.Environment{Alias: "UAT"})
		},
		"not a Salesforce username":   func(c *scaffold.Config) { c.Environments[0].RunAsUser = "x" },
		"unknown placeholder {x}":     func(c *scaffold.Config) { c.CallbackURLs = []string{"https://{x}", "https://{alias}"} },
		"not a valid package dir":     func(c *scaffold.Config) { c.Policies = "a b" },
		"the certificate ":            func(c *scaffold.Config) { c.Certificate = []byte("x") },
		"preset needs a certificate":  func(c *scaffold.Config) { c.Preset, c.PermissionSets = "ci", []string{"A"} },
		"is not a valid package dire": func(c *scaffold.Config) { c.Preset, c.PermissionSets, c.Definition = "ci", []string{"A"}, ".." },
	} {
		c := config("App")
		change(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestLinks writes through links inside the project, and through no others.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, link, target string
		want               string // an error
	}{
		{"a project file inside", "sfdx-project.json", "real.json", ""},
		{"a project file outside", "sfdx-project.json", "../outside.json", "escapes"},
		{"a directory inside", "eca-definition", "core", ""},
		{"a directory outside", "eca-definition", "../outside", "escapes"},
		{"a dangling file", "scripts/bootstrap-eca-oauth.cmd", "gone", "not a regular file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			dir, outside := filepath.Join(parent, "project"), filepath.Join(parent, "outside")
			if err := os.CopyFS(dir, os.DirFS(project(t))); err != nil {
				t.Fatal(err)
			}
			files, err := scaffold.New(os.DirFS(dir), config("App"))
			if err != nil {
				t.Fatal(err)
			}
			link := filepath.Join(dir, test.link)
			target := filepath.Join(dir, test.target)
			if test.link == "sfdx-project.json" {
				if err := os.Rename(link, target); err != nil {
					t.Fatal(err)
				}
			}
			for _, d := range []string{filepath.Dir(link), outside} {
				if err := os.MkdirAll(d, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink(test.target, link); err != nil {
				t.Skip(err)
			}
			err = scaffold.Write(dir, files)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
				data, _ := os.ReadFile(filepath.Join(parent, "outside.json"))
				if entries, _ := os.ReadDir(outside); len(entries) > 0 || strings.Contains(string(data), "App") {
					t.Errorf("Write changed files outside the project: %v, %s", entries, data)
				}
				if _, err := os.Stat(filepath.Join(dir, "eca-policies")); err == nil {
					t.Error("Write left files behind")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
				t.Errorf("the link is replaced: %v, %v", info, err)
			}
			if data, err := os.ReadFile(filepath.Join(dir, "sfdx-project.json")); err != nil || !strings.Contains(string(data), `"App"`) {
				t.Errorf("the project file has %s, %v", data, err)
			}
		})
	}
}

// TestWriteIsAtomic reads the project file by another name: Write replaces the file, last of all.
func TestWriteIsAtomic(t *testing.T) {
	t.Parallel()
	dir := project(t)
	files, err := scaffold.New(os.DirFS(dir), config("App"))
	if err != nil {
		t.Fatal(err)
	}
	if last := files[len(files)-1]; last.Path != "sfdx-project.json" || !last.Replaces {
		t.Errorf("the last file is %s, want the project file", last.Path)
	}
	other := filepath.Join(dir, "other")
	if err := os.Link(filepath.Join(dir, "sfdx-project.json"), other); err != nil {
		t.Skip(err)
	}
	if err := scaffold.Write(dir, files); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(other); err != nil || strings.Contains(string(data), "App") {
		t.Errorf("the project file was changed in place: %s, %v", data, err)
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
		"before default":     {[]string{"a/main/default", "b/main/default"}, "", nil, "eca-policies/a/main/default would be deployed to default"},
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

// TestAtOnce adds several apps at the same time: each is added as a whole, or not at all.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	dir := project(t)
	const apps = 8
	var added [apps]bool
	var wg sync.WaitGroup
	for i := range apps {
		wg.Go(func() {
			if files, err := scaffold.New(os.DirFS(dir), config(fmt.Sprint("App", i))); err == nil {
				added[i] = scaffold.Write(dir, files) == nil
			}
		})
	}
	wg.Wait()
	data, err := os.ReadFile(filepath.Join(dir, "sfdx-project.json"))
	if err != nil || !slices.Contains(added[:], true) || strings.Count(string(data), `"package":"eca-definition"`) != 1 {
		t.Errorf("%s, %v, added %v", data, err, added)
	}
	for i, ok := range added {
		_, err := os.Stat(filepath.Join(dir, fmt.Sprintf("eca-definition/externalClientApps/App%d.eca-meta.xml", i)))
		if has := strings.Contains(string(data), fmt.Sprintf(`"App%d"`, i)); has != ok || (err == nil) != ok {
			t.Errorf("App%d: added %v, in the project file %v, its header %v", i, ok, has, err)
		}
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
	files, err := scaffold.New(os.DirFS(dir), scaffold.Config{App: "Erp", ContactEmail: "erp@example.com", Layout: "sfp"})
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
	// eca-definition/permissionsets/Erp_Users.permissionset-meta.xml
	// scripts/bootstrap-eca-oauth.sh
	// scripts/bootstrap-eca-oauth.cmd
	// eca-definition/eca.sum
	// sfdx-project.json
}
