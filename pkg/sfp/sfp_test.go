package sfp

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestParseInvocation(t *testing.T) {
	t.Parallel()
	pkg := Invocation{Package: "eca-definition", Username: "a@example.com", Alias: "uat", Source: ".sfp/source", PackageDirectory: "src/eca"}
	noAlias := pkg
	noAlias.Alias = ""
	for _, test := range []struct {
		name string
		args []string
		env  map[string]string
		want Invocation
	}{
		{"package", []string{"eca-definition", "a@example.com", "uat", ".sfp/source", "src/eca"}, nil, pkg},
		{"no alias", []string{"eca-definition", "a@example.com", "a@example.com", ".sfp/source", "src/eca"}, nil, noAlias},
		{"environment", nil, map[string]string{envPackage: "eca-definition", envUsername: "a@example.com", envAlias: "uat", envSource: ".sfp/source", envPackageDirectory: "src/eca"}, pkg},
		{"environment without alias", nil, map[string]string{envPackage: "eca-definition", envUsername: "a@example.com", envSource: ".sfp/source", envPackageDirectory: "src/eca"}, noAlias},
		{"arguments win", []string{"s@example.com", "hub@example.com", "succeed"}, map[string]string{envPackage: "x", envUsername: "x@x", envSource: "x", envPackageDirectory: "x"}, Invocation{Username: "s@example.com", HubUsername: "hub@example.com", Status: StatusSucceeded}},
		{"pool failed", []string{"s@example.com", "hub@example.com", "failed"}, nil, Invocation{Username: "s@example.com", HubUsername: "hub@example.com", Status: StatusFailed}},
		{"pool without status", []string{"s@example.com", "hub@example.com"}, nil, Invocation{Username: "s@example.com", HubUsername: "hub@example.com"}},
		{"pool environment", nil, map[string]string{envUsername: "s@example.com", envHubUsername: "hub@example.com", envStatus: "succeed"}, Invocation{Username: "s@example.com", HubUsername: "hub@example.com", Status: StatusSucceeded}},
		{"package environment wins over a pool's", nil, map[string]string{envPackage: "eca-definition", envUsername: "a@example.com", envAlias: "uat", envSource: ".sfp/source", envPackageDirectory: "src/eca", envHubUsername: "hub@example.com"}, pkg},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseInvocation(test.args, func(name string) string { return test.env[name] })
			if test.want.Pool() && test.want.Alias == "" {
				got.Alias = ""
			}
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, test.want)
			}
		})
	}
}

func TestParseInvocationErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		env  map[string]string
		want string
	}{
		{nil, nil, "no arguments and no SFP_… variables"},
		{[]string{"a"}, nil, "this call has 1 arguments"},
		{[]string{"a", "b@x", "c", "d"}, nil, "this call has 4 arguments"},
		{[]string{"p", "a@x", "uat", "/my", "path/source", "src"}, nil, "sfp does not quote arguments"},
		{[]string{"p", "a@x", "uat", "", "src"}, nil, "the source directory is missing"},
		{[]string{"p", "uat", "uat", "s", "src"}, nil, `the username is "uat", which is not a Salesforce username`},
		{[]string{"a@x", "hub@x", "maybe"}, nil, `the deployment status is "maybe"`},
		{[]string{"p", "a@x", "u\nat", "s", "src"}, nil, "the alias contains a line break"},
		{nil, map[string]string{envPackage: "p", envSource: "s", envPackageDirectory: "d"}, envUsername + " is missing"},
		{nil, map[string]string{envPackage: "p", envUsername: "a@x", envPackageDirectory: "d"}, envSource + " is missing"},
	} {
		_, err := ParseInvocation(test.args, func(name string) string { return test.env[name] })
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q with %v gives %v, want %q", test.args, test.env, err, test.want)
		}
	}
}

func FuzzParseInvocation(f *testing.F) {
	f.Add("p\na@x\nuat\nsource\ndir", "")
	f.Add("a@x\nhub@x\nsucceed", "x")
	f.Add("", "p")
	f.Fuzz(func(t *testing.T, joined, env string) {
		var args []string
		if joined != "" {
			args = strings.Split(joined, "\n")
		}
		i, err := ParseInvocation(args, func(string) string { return env })
		if err != nil {
			return
		}
		if i.Username == "" || !i.Pool() && (i.Package == "" || i.Source == "" || i.PackageDirectory == "") {
			t.Errorf("%q is accepted as %+v", args, i)
		}
	})
}

// TestResolveAlias follows sfp's rule: the first directory, depth first and in
// directory order, anywhere below, whose name is the alias.
func TestResolveAlias(t *testing.T) {
	t.Parallel()
	tree := func(files ...string) fs.FS {
		fsys := fstest.MapFS{}
		for _, f := range files {
			fsys[f] = &fstest.MapFile{}
		}
		return fsys
	}
	for _, test := range []struct {
		name    string
		fsys    fs.FS
		alias   string
		sandbox bool
		merge   bool
		want    string // "" for an AliasError
	}{
		{name: "top", fsys: tree("p/uat/x", "p/default/x"), alias: "uat", want: "p/uat"},
		{name: "nested", fsys: tree("p/a/b/uat/x"), alias: "uat", want: "p/a/b/uat"},
		{name: "depth first", fsys: tree("p/a/z/uat/x", "p/uat/x"), alias: "uat", want: "p/a/z/uat"},
		{name: "directory order", fsys: tree("p/b/uat/x", "p/a/uat/x", "p/B/uat/x"), alias: "uat", want: "p/B/uat"},
		{name: "case counts", fsys: tree("p/UAT/x", "p/default/x"), alias: "uat", sandbox: true, want: "p/default"},
		{name: "a file is no folder", fsys: tree("p/uat", "p/default/x"), alias: "uat", sandbox: true, want: "p/default"},
		{name: "nested default", fsys: tree("p/a/default/x"), alias: "uat", sandbox: true, want: "p/a/default"},
		{name: "default is not for production", fsys: tree("p/default/x"), alias: "prod"},
		{name: "unless merged", fsys: tree("p/default/x"), alias: "prod", merge: true, want: "p/default"},
		{name: "nothing", fsys: tree("p/other/x"), alias: "uat", sandbox: true},
		{name: "no alias", fsys: tree("p/default/x", "p/uat/x"), alias: "", sandbox: true, want: "p/default"},
		{name: "the package's own name does not count", fsys: tree("p/x/y"), alias: "p"},
		{name: "elsewhere does not count", fsys: tree("q/uat/x", "p/x/y"), alias: "uat"},
		{name: "alias default", fsys: tree("p/default/x"), alias: "default", want: "p/default"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := List(test.fsys, "p").ResolveAlias(Package{Name: "pkg", Path: "p", Aliasfy: true, MergeMode: test.merge}, test.alias, test.sandbox)
			var aliasErr *AliasError
			if got != test.want || (test.want == "") != errors.As(err, &aliasErr) {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
	_, err := List(tree("p/x/y"), "p").ResolveAlias(Package{Name: "pkg", Path: "p"}, "uat", false)
	if want := "Aliasfied package 'pkg' does not have an alias with 'uat' or 'default' directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want sfp's words", err)
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "p", "other"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("other", filepath.Join(dir, "p", "uat")); err != nil {
		t.Skip("no links here: ", err)
	}
	if got, err := List(os.DirFS(dir), "p").ResolveAlias(Package{Name: "p", Path: "p"}, "uat", false); err == nil {
		t.Errorf("got %q", got)
	}
}

func TestParseProject(t *testing.T) {
	t.Parallel()
	p, err := ParseProject([]byte("\xef\xbb\xbf" + `{
		"packageDirectories": [
			{"path": "./src\\eca/", "package": "eca", "type": "source", "unknown": 1},
			{"path": "src/policies", "package": "policies", "aliasfy": true},
			{"path": "src/merged", "package": "merged", "aliasfy": {"mergeMode": true}},
			{"path": "src/plain", "aliasfy": false}
		],
		"sourceApiVersion": "65.0",
		"plugins": {"other": [1], "eca": {"apps": {
			"App": {"policies": {"isEnabled": true}, "environments": {"uat": {"oauthSettings": {"label": "x"}}}}
		}}}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Package{
		{Name: "eca", Path: "src/eca", Type: "source"},
		{Name: "policies", Path: "src/policies", Aliasfy: true},
		{Name: "merged", Path: "src/merged", Aliasfy: true, MergeMode: true},
		{Path: "src/plain"},
	}
	for i, pkg := range p.Packages {
		if pkg != want[i] {
			t.Errorf("package %d is %+v, want %+v", i, pkg, want[i])
		}
	}
	if p.SourceAPIVersion != 65 || p.Package("policies") == nil || p.Package("nobody") != nil {
		t.Errorf("got %+v", p)
	}
	if string(p.Plugins["other"]) != "[1]" || len(p.Plugins) != 2 {
		t.Errorf("the plugins' settings are %s", p.Plugins)
	}
}

func TestParseProjectErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"", "is not a project file"},
		{"[]", "is not a project file"},
		{"{\n  \"packageDirectories\": [,]\n}", "line 2, column"},
		{`{"packageDirectories": 7}`, "packageDirectories must be a"},
		{`{"packageDirectories": [{"path": "../elsewhere"}]}`, "is outside the project"},
		{`{"packageDirectories": [{"path": "/etc"}]}`, "is outside the project"},
		{`{"sourceApiVersion": "latest"}`, `sourceApiVersion: "latest" is not an API version`},
		{`{"packageDirectories": [{"path": "a", "aliasfy": "yes"}]}`, "aliasfy must be"},
		{"{\n// a comment\n}", "line 2, column 1: JSON has no comments"},
	} {
		_, err := ParseProject([]byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s gives %v, want %q", test.text, err, test.want)
		}
	}
	var projectErr *ProjectError
	if _, err := ReadProject(fstest.MapFS{}, ProjectFile); !errors.As(err, &projectErr) || !strings.HasPrefix(err.Error(), "sfdx-project.json: cannot be read") {
		t.Errorf("a missing project gives %v", err)
	}
}

func FuzzParseProject(f *testing.F) {
	if data, err := os.ReadFile("../../sfdx-project.json"); err == nil {
		f.Add(data)
	}
	f.Add([]byte(`{"packageDirectories": [{"path": "a", "aliasfy": {"mergeMode": true}}], "plugins": {"eca": {"apps": {"A": {"oauthSettings": {"trustedIpRanges": [{"startIpAddress": "1", "endIpAddress": "2"}]}}}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseProject(data)
		if err != nil {
			return
		}
		for _, pkg := range p.Packages {
			if !fs.ValidPath(pkg.Path) {
				t.Errorf("the path %q leads out of the project", pkg.Path)
			}
		}
	})
}

// nothing matters to whoever reads an artifact's names only.
func nothing(string) bool { return false }

const policies = ".ecaOauthPlcy-meta.xml"

func isPolicies(name string) bool { return strings.HasSuffix(name, policies) }

// writeZip writes a zip file with these entries.
func writeZip(t *testing.T, file string, entries map[string]string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	for name, content := range entries {
		e, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestArtifacts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"p_sfpowerscripts_artifact_1.0.0-9.zip", "sub/p_sfpowerscripts_artifact_1.0.0-10.zip", "other-p_sfpowerscripts_artifact_9.0.0-1.zip"} {
		writeZip(t, filepath.Join(dir, name), map[string]string{
			strings.SplitN(filepath.Base(name), "_sfp", 2)[0] + "_sfpowerscripts_artifact/source/src/uat/x": "content",
			"../escape": "x",
		})
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.zip"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := FindArtifacts(dir, []Package{{Name: "p"}, {Name: "other-p"}, {Path: "nameless"}})
	if err != nil || len(found) != 2 || len(found["p"]) != 2 || filepath.Base(found["p"][0]) != "p_sfpowerscripts_artifact_1.0.0-10.zip" {
		t.Fatalf("found %v, %v", found, err)
	}
	a, err := OpenArtifact(found["p"][0], nothing)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if a.Package != "p" || a.Version != "1.0.0-10" {
		t.Errorf("got %+v", a)
	}
	if got, err := List(a, "src").ResolveAlias(Package{Name: "p", Path: "src", Aliasfy: true}, "uat", false); got != "src/uat" || err != nil {
		t.Errorf("the folder in the artifact is %q, %v", got, err)
	}
	if _, err := fs.Stat(a, "../../escape"); err == nil {
		t.Error("a path leads out of the artifact")
	}
	if found, err := FindArtifacts(filepath.Join(dir, "none"), []Package{{Name: "p"}}); err != nil || len(found) > 0 {
		t.Errorf("a missing directory gives %v, %v", found, err)
	}
}

func TestEnvironmentFolders(t *testing.T) {
	t.Parallel()
	const file = "X.ecaOauthPlcy-meta.xml"
	whole := List(fstest.MapFS{".uat/" + file: {}, file: {}}, ".").EnvironmentFolders(Package{Path: ".", Aliasfy: true}, Layout{
		IsComponent: isPolicies, IsFolder: func(string) bool { return false },
	})
	if whole[".uat/"+file] != ".uat" || whole[file] != "" {
		t.Errorf("of a package that is the whole project: %v", whole)
	}
	for name, want := range map[string]map[string]string{
		"flat":                         {"default/T": "default", "uat/T": "uat"},
		"without default":              {"prod/T": "prod", "uat/T": "uat"},
		"layouts of source":            {"default/main/default/T": "default", "uat/main/default/T": "uat"},
		"nested":                       {"default/T": "default", "envs/uat/T": "envs/uat", "a/b/sit/T": "a/b/sit"},
		"apps below environments":      {"default/Erp/T": "default", "uat/Erp/T": "uat", "uat/Crm/T": "uat"},
		"the same without default":     {"prod/Erp/T": "prod", "uat/Erp/T": "uat"},
		"more in one environment":      {"default/T": "default", "uat/T": "uat", "uat/more/T": "uat"},
		"environments in default":      {"default/uat/T": "default", "default/sit/T": "default"},
		"below a folder":               {"envs/default/T": "envs/default", "envs/uat/T": "envs/uat"},
		"without folders of types":     {"envs/default": "envs/default", "envs/uat": "envs/uat"},
		"in none":                      {"": "", "T": "", "default/T": "default"},
		"layouts of source, undivided": {"main/default/T": "main/default"},
		"a layout that default lacks":  {"default/T": "default", "uat/force-app/main/default/T": "uat", "sit/src/T": "sit"},
		"grouped by app":               {"Erp/default/T": "Erp/default", "Erp/uat/T": "Erp/uat", "Crm/default/T": "Crm/default", "Crm/uat/T": "Crm/uat"},
		"an app in default is inside":  {"default/uat/T": "default", "uat/T": "uat", "sit/uat/T": "sit"},
		"hidden":                       {".uat/T": ".uat"},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			at := func(dir string) string {
				return path.Join("src/pol", strings.ReplaceAll(dir, "T", "extlClntAppOauthPolicies"), file)
			}
			for dir := range want {
				fsys[at(dir)] = &fstest.MapFile{}
			}
			got := List(fsys, "src/pol").EnvironmentFolders(Package{Path: "src/pol", Aliasfy: true}, Layout{
				IsComponent: isPolicies, IsFolder: func(name string) bool { return name == "extlClntAppOauthPolicies" },
			})
			for dir, folder := range want {
				if folder != "" {
					folder = "src/pol/" + folder
				}
				if got[at(dir)] != folder {
					t.Errorf("%s is in %q, not in %q", dir, got[at(dir)], folder)
				}
			}
		})
	}
}

// writeTarball writes a tgz file as npm pack does.
func writeTarball(t *testing.T, file string, entries ...tar.Header) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	compressed := gzip.NewWriter(f)
	w := tar.NewWriter(compressed)
	for _, e := range entries {
		content := e.Linkname // of a file, which has no link
		if e.Typeflag == tar.TypeReg {
			e.Linkname, e.Size, e.Mode = "", int64(len(content)), 0o644
		}
		if err := w.WriteHeader(&e); err != nil {
			t.Fatal(err)
		}
		if e.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(w, content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), compressed.Close()); err != nil {
		t.Fatal(err)
	}
}

// npm publishes an artifact under a scope and in lower case, and packs it in a
// directory of its own name.
func TestArtifactsOfNPM(t *testing.T) {
	t.Parallel()
	regular := func(name, content string) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content}
	}
	metadata := regular("package/artifact_metadata.json", `{"package_name":"Eca-Policies","package_version_number":"1.0.0-10"}`)
	dir := t.TempDir()
	writeTarball(t, filepath.Join(dir, "acme-eca-policies_sfpowerscripts_artifact-1.0.0-10.tgz"), metadata,
		regular("package/source/src/uat/x", "not kept"), regular("package/source/src/uat/x"+policies, "first"), regular("package/source/src/uat/x"+policies, "content"), regular("package/../../escape", "x"), regular("/etc/absolute", "x"),
		tar.Header{Typeflag: tar.TypeSymlink, Name: "package/source/link", Linkname: "/etc/passwd"},
		tar.Header{Typeflag: tar.TypeLink, Name: "package/source/hard", Linkname: "/etc/passwd"})
	writeTarball(t, filepath.Join(dir, "acme-eca-policies_sfpowerscripts_artifact-1.0.0-9.tgz"), metadata, regular("package/source/src/prod/x", "older"))
	packages := []Package{{Name: "policies"}, {Name: "Eca-Policies"}, {Name: "a-policies"}}
	found, err := FindArtifacts(dir, packages)
	if err != nil || len(found["Eca-Policies"]) != 2 || len(found["policies"]) != 2 || len(found["a-policies"]) != 0 {
		t.Fatalf("found %v, %v", found, err)
	}
	a, err := OpenArtifact(found["Eca-Policies"][0], isPolicies)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if a.Package != "Eca-Policies" || a.Version != "1.0.0-10" {
		t.Errorf("got %+v", a)
	}
	if got, err := List(a, "src").ResolveAlias(Package{Name: "Eca-Policies", Path: "src", Aliasfy: true}, "uat", false); got != "src/uat" || err != nil {
		t.Errorf("the folder in the artifact is %q, %v", got, err)
	}
	if content, err := fs.ReadFile(a, "src/uat/x"+policies); string(content) != "content" || err != nil {
		t.Errorf("the file holds %q, %v", content, err)
	}
	if content, err := fs.ReadFile(a, "src/uat/x"); len(content) > 0 || err != nil {
		t.Errorf("what does not matter is kept: %q, %v", content, err)
	}
	for _, name := range []string{"link", "hard", "../../escape", "/etc/absolute"} {
		if _, err := fs.Stat(a, name); err == nil {
			t.Errorf("the artifact holds %s", name)
		}
	}

	file := filepath.Join(dir, "p_sfpowerscripts_artifact-1.0.0-1.tgz")
	writeTarball(t, file, regular("package/source/x", ""))
	if _, err := OpenArtifact(file, nothing); err == nil || !strings.Contains(err.Error(), "has no package_name in package/artifact_metadata.json") {
		t.Errorf("got %v, want %q", err, "has no package_name in package/artifact_metadata.json")
	}
	writeTarball(t, file, metadata)
	if _, err := OpenArtifact(file, nothing); err == nil || !strings.Contains(err.Error(), "has no directory package/source") {
		t.Errorf("got %v, want %q", err, "has no directory package/source")
	}
	if err := os.WriteFile(file, []byte("no gzip"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenArtifact(file, nothing); err == nil || !strings.Contains(err.Error(), "cannot open the artifact") {
		t.Errorf("got %v, want %q", err, "cannot open the artifact")
	}
	const max, maxKept = 4 << 20, 2 << 20
	zeros := strings.Repeat("\x00", max/4)
	for want, entries := range map[string][]tar.Header{
		"it has more than 4 MiB":                              {metadata, regular("1", zeros), regular("2", zeros), regular("3", zeros), regular("4", zeros), regular("5", "")},
		"or more than 2 MiB of relevant files":                {metadata, regular("package/1"+policies, zeros), regular("package/2"+policies, zeros+"x")},
		"it has more than 200000 entries, a path deeper than": {metadata, regular(strings.Repeat("x/", maxDepth+1)+"x", "")},
		"it has a file and a directory of the same name":      {metadata, regular("package/x", ""), regular("package/x/y", "")},
	} {
		writeTarball(t, file, entries...)
		if _, err := unpack(file, isPolicies, max, maxKept); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestArtifactErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "p_sfpowerscripts_artifact_1.0.0-1.zip")
	if err := os.WriteFile(file, []byte("no zip"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenArtifact(file, nothing); err == nil || !strings.Contains(err.Error(), "cannot open the artifact") {
		t.Errorf("got %v, want %q", err, "cannot open the artifact")
	}
	writeZip(t, file, map[string]string{"elsewhere/x": ""})
	if _, err := OpenArtifact(file, nothing); err == nil || !strings.Contains(err.Error(), "has no directory p_sfpowerscripts_artifact/source") {
		t.Errorf("got %v, want %q", err, "has no directory p_sfpowerscripts_artifact/source")
	}
	writeZip(t, file, map[string]string{"p_sfpowerscripts_artifact/source/" + strings.Repeat("x/", maxDepth) + "x": ""})
	if _, err := OpenArtifact(file, nothing); err == nil || !strings.Contains(err.Error(), "it has more than 200000 entries") {
		t.Errorf("of a path that is too deep: %v", err)
	}
	if _, err := OpenArtifact(filepath.Join(dir, "x.zip"), nothing); err == nil || !strings.Contains(err.Error(), "not named like an artifact") {
		t.Errorf("got %v, want %q", err, "not named like an artifact")
	}
}
