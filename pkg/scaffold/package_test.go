package scaffold_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/scaffold"
)

func shared() scaffold.PackageConfig {
	fields := func(name, value string) metadata.Fields {
		f := make(metadata.Fields)
		f.Set(name, value)
		return f
	}
	return scaffold.PackageConfig{Components: []*metadata.Component{
		metadata.New(eca.Header, "Shared_App", fields("distributionState", "Packaged")),
		metadata.New(eca.OAuthSettings, "Shared_App_oauth", fields("externalClientApplication", "Shared_App")),
	}}
}

// TestNewPackage adds a package, and changes nothing the second time.
func TestNewPackage(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"sfdx-project.json": {Data: []byte(`{"packageDirectories": [{"path": "src/core", "package": "core"}]}`), Mode: 0o644},
		".forceignore":      {Data: []byte("# ours\r\nsrc/eca-shared-app/**/*.ecaPlcy-meta.xml"), Mode: 0o644},
	}
	files, dir, err := scaffold.NewPackage(fsys, shared())
	if err != nil || dir != "src/eca-shared-app" || len(files) != 4 {
		t.Fatalf("%d files in %s, %v", len(files), dir, err)
	}
	for _, f := range files {
		if _, exists := fsys[f.Path]; f.Replaces != exists {
			t.Errorf("%s: Replaces is %v", f.Path, f.Replaces)
		}
		fsys[f.Path] = &fstest.MapFile{Data: f.Content, Mode: f.Mode}
	}
	if last := files[3]; last.Path != "sfdx-project.json" || !strings.Contains(string(last.Content), `"type":"unlocked"`) {
		t.Errorf("the last file is %s: %s", last.Path, last.Content)
	}
	ignored := string(fsys[".forceignore"].Data)
	if !strings.HasPrefix(ignored, "# ours\r\nsrc/eca-shared-app/**/*.ecaPlcy-meta.xml\n# ") || strings.Count(ignored, "ecaPlcy-meta.xml") != 1 ||
		!strings.Contains(ignored, "\nsrc/eca-shared-app/**/*.ecaGlblOauth-meta.xml\n") {
		t.Errorf(".forceignore has %q", ignored)
	}
	if files, _, err := scaffold.NewPackage(fsys, shared()); err != nil || len(files) != 0 {
		t.Errorf("a second run has %d files, %v", len(files), err)
	}
}

func TestNewPackageRefuses(t *testing.T) {
	t.Parallel()
	const header = `<ExternalClientApplication xmlns="http://soap.sforce.com/2006/04/metadata"/>`
	for _, test := range []struct{ name, pkg, file, want string }{
		{"an aliasfied package", `"aliasfy": true`, "", "is aliasfied"},
		{"a package of another type", `"type": "source"`, "", "is of type source"},
		{"global settings in the package", `"type": "unlocked"`, "shared/A.ecaGlblOauth-meta.xml", "cannot be packaged"},
		{"policies in the package", `"type": "unlocked"`, "shared/A.ecaOauthPlcy-meta.xml", "cannot be packaged"},
		{"a header elsewhere", `"type": "unlocked"`, "core/Shared_app.eca-meta.xml", "core/Shared_app.eca-meta.xml is already a header"},
		{"a header in the package", `"type": "unlocked"`, "shared/x/Shared_App.eca-meta.xml", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := shared()
			config.Dir = "shared"
			fsys := fstest.MapFS{"sfdx-project.json": {Mode: 0o644, Data: []byte(
				`{"packageDirectories": [{"path": "core", "package": "core"}, {"path": "shared", "package": "shared", ` + test.pkg + `}]}`)}}
			if test.file != "" {
				fsys[test.file] = &fstest.MapFile{Data: []byte(header)}
			}
			files, _, err := scaffold.NewPackage(fsys, config)
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if test.want == "" && (err != nil || files[0].Path != test.file || !files[0].Replaces) {
				t.Errorf("got %+v, %v, want %s replaced", files, err, test.file)
			}
		})
	}
	if _, _, err := scaffold.NewPackage(fstest.MapFS{"sfdx-project.json": {Data: []byte("{}"), Mode: 0o644}}, scaffold.PackageConfig{}); err == nil {
		t.Error("a package without a header is accepted")
	}
}
