package project_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

const policiesSource = `<ExtlClntAppOauthConfigurablePolicies xmlns="http://soap.sforce.com/2006/04/metadata"><externalClientApplication>App</externalClientApplication></ExtlClntAppOauthConfigurablePolicies>`

// plain is the project file of a project that sf deploys; %s is for more.
const plain = `{"packageDirectories": [{"path": "force-app", "package": "app", "versionNumber": "1.0.0.NEXT", "default": true%s}], "packageAliases": {"app": "0Ho000000000000"}}`

func files(content map[string]string) fstest.MapFS {
	fsys := make(fstest.MapFS)
	for name, text := range content {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestLayout(t *testing.T) {
	t.Parallel()
	entry := func(more string) string { return strings.Replace(plain, "%s", more, 1) }
	const manifest = `<Package xmlns="http://soap.sforce.com/2006/04/metadata"><version>66.0</version></Package>`
	for _, test := range []struct {
		name  string
		files map[string]string
		want  project.Layout
	}{
		{"no keys of sfp", map[string]string{"sfdx-project.json": entry("")}, project.LayoutSF},
		{"type", map[string]string{"sfdx-project.json": entry(`, "type": "source"`)}, project.LayoutSFP},
		{"aliasfy", map[string]string{"sfdx-project.json": entry(`, "aliasfy": {"mergeMode": true}`)}, project.LayoutSFP},
		{"script before", map[string]string{"sfdx-project.json": entry(`, "preDeploymentScript": "a.sh"`)}, project.LayoutSFP},
		{"plugins.sfp", map[string]string{"sfdx-project.json": `{"packageDirectories": [{"path": "a"}], "plugins": {"sfp": {"ignoreFiles": {}}}}`}, project.LayoutSFP},
		{"directory", map[string]string{"sfdx-project.json": entry(""), ".sfp/project.json": "{}"}, project.LayoutSFP},
		{"artifact", map[string]string{"sfdx-project.json": entry(""), "manifests/sfdx-project.json.ori": "{}"}, project.LayoutSFP},
		{"release definition", map[string]string{"sfdx-project.json": entry(""), "releasedefinitions/core/r1.yml": "release: r1\nartifacts:\n  app: main\n"}, project.LayoutSFP},
		{"release configuration", map[string]string{"sfdx-project.json": entry(""), "config/core.yaml": "releaseName: core\nincludeOnlyArtifacts:\n  - app\n"}, project.LayoutSFP},
		{"other YAML", map[string]string{"sfdx-project.json": entry(""), "chart/values.yaml": "releaseName: web\nimage: x\n", ".gitlab-ci.yml": "deploy:\n  artifacts:\n  release:\n"}, project.LayoutSF},
		{"too deep", map[string]string{"sfdx-project.json": entry(""), "a/b/c/r1.yml": "release: r1\nartifacts:\n"}, project.LayoutSF},
		{"setting", map[string]string{"sfdx-project.json": `{"packageDirectories": [{"path": "a", "type": "source"}], "plugins": {"eca": {"layout": "sf"}}}`}, project.LayoutSF},
		{"other setting", map[string]string{"sfdx-project.json": `{"packageDirectories": [{"path": "a"}], "plugins": {"eca": {"layout": "sfp"}}}`}, project.LayoutSFP},
		{"metadata format", map[string]string{"package.xml": manifest}, project.LayoutMetadata},
	} {
		fsys := files(test.files)
		p, err := project.Read(fsys, sfp.ProjectFile)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if got := p.Layout(fsys); got != test.want {
			t.Errorf("%s: the layout is %s, want %s", test.name, got, test.want)
		}
	}
}

// TestPolicies: the place of an environment's policies in each layout.
func TestPolicies(t *testing.T) {
	t.Parallel()
	const inPackage = `{"packageDirectories": [{"path": "src/core"}, {"path": "src/labels", "package": "labels", "aliasfy": true}, {"path": "src/pol", "package": "pol", "aliasfy": true}]}`
	const file = "/extlClntAppOauthPolicies/A.ecaOauthPlcy-meta.xml"
	for _, test := range []struct {
		name, alias, want string
		files             map[string]string
	}{
		{"plain sf", "uat", "eca/policies/uat", map[string]string{"sfdx-project.json": strings.Replace(plain, "%s", "", 1)}},
		{"sfp, without policies", "uat", "src/eca-policies/uat", map[string]string{"sfdx-project.json": inPackage}},
		{"sfp", "uat", "src/pol/uat", map[string]string{"sfdx-project.json": inPackage, "src/pol/default" + file: policiesSource}},
		{"sfp, in a directory", "uat", "src/pol/orgs/uat", map[string]string{"sfdx-project.json": inPackage, "src/pol/orgs/default" + file: policiesSource}},
		{"sfp, existing", "uat", "src/pol/a/uat", map[string]string{"sfdx-project.json": inPackage, "src/pol/orgs/default" + file: policiesSource, "src/pol/a/uat" + file: policiesSource}},
	} {
		fsys := files(test.files)
		p, err := project.Read(fsys, sfp.ProjectFile)
		if err != nil {
			t.Fatal(err)
		}
		var dirs []string
		for _, pkg := range p.Packages {
			dirs = append(dirs, pkg.Path)
		}
		source := project.ReadSource(fsys, dirs...)
		if got := p.Policies(p.Layout(fsys), source).Environment(source, test.alias); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// TestEnvironmentsOutside: files of environments are in no directory above theirs.
func TestEnvironmentsOutside(t *testing.T) {
	t.Parallel()
	const file = project.EnvironmentsDir + "/uat/A.ecaOauthPlcy-meta.xml"
	source := project.ReadSource(files(map[string]string{file: policiesSource, "b/B.ecaOauthPlcy-meta.xml": policiesSource}), ".")
	if found := source.Components(".", ""); len(found) != 1 || found[0].Name != "B" {
		t.Errorf("the project has %v", found)
	}
	for _, dir := range []string{project.EnvironmentsDir, project.EnvironmentsDir + "/uat"} {
		if found := source.Components(dir, ""); len(found) != 1 || found[0].File != file {
			t.Errorf("%s has %v", dir, found)
		}
	}
}
