package bootstrap_test

import (
	"encoding/xml"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/lint"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// layoutFile is a component of testdata/layouts in the projects of TestLayouts.
type layoutFile struct{ source, folder, suffix string }

var layoutFiles = []layoutFile{
	{"header.xml", "externalClientApps", "eca"},
	{"oauth.xml", "extlClntAppOauthSettings", "ecaOauth"},
	{"global.xml", "extlClntAppGlobalOauthSets", "ecaGlblOauth"},
	{"plugins.xml", "extlClntAppPolicies", "ecaPlcy"},
	{"policies.xml", "extlClntAppOauthPolicies", "ecaOauthPlcy"},
}

// namings are the names of the components of Orders, in the order of layoutFiles: those of Setup, of Trailhead's
// project, of sfdx-hardis, and of other generators.
var namings = map[string][]string{
	"Setup":     {"Orders", "Orders_oauth", "Orders_glbloauth", "Orders_plcy", "Orders_oauthPlcy"},
	"Trailhead": {"Orders", "OrdersSettings", "OrdersGlblOAuth", "Orders_defaultPolicy", "OrdersSettings_defaultPolicy"},
	"hardis":    {"Orders", "OrdersOAuthSettings", "OrdersGlblOAuth", "OrdersPolicies", "OrdersOAuthPolicies"},
	"bare":      {"Orders", "Orders", "Orders", "Orders", "Orders"},
	"others":    {"Orders", "OsSettings", "Orders_global", "OrdersPolicy", "Orders_policy"},
}

// layout is a directory with an app's source.
type layout struct {
	root    string // what is meant, below the repository
	base    string // of the app's folders, below the root
	flat    bool   // all files are in one folder
	ending  string // of the files
	project string // sfdx-project.json of the root, "" if it has package.xml
}

const oneDirectory = `{"packageDirectories": [{"path": "force-app", "default": true}], "sourceApiVersion": "66.0"}`

var layouts = map[string]layout{
	"sf":                        {".", "force-app/main/default", false, "-meta.xml", oneDirectory},
	"sf, one folder":            {".", "force-app", true, "-meta.xml", oneDirectory},
	"sf, metadata format in it": {".", "force-app/main/default", false, "", oneDirectory},
	"CumulusCI, a bundle that is a package directory": {".", "unpackaged/post/eca", false, "-meta.xml",
		`{"packageDirectories": [{"path": "force-app", "default": true}, {"path": "unpackaged/post/eca"}], "sourceApiVersion": "66.0"}`},
	"CumulusCI, a bundle":             {"unpackaged/post/eca", ".", false, "", ""},
	"CumulusCI, src":                  {"src", ".", false, "", ""},
	"metadata format":                 {".", ".", false, "", ""},
	"metadata format, as sf unpacks":  {"unpackaged/unpackaged", ".", false, "", ""},
	"a package without a name or app": {".", "eca", false, "-meta.xml", `{"packageDirectories": [{"path": "force-app", "default": true}, {"path": "eca"}]}`},
}

// files returns the root with the app's source under the names of a naming.
func (l layout) files(t *testing.T, names []string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{"cumulusci.yml": {Data: []byte("project:\n    name: Orders\n")}, "force-app/.keep": {}}
	if l.project != "" {
		files["sfdx-project.json"] = &fstest.MapFile{Data: []byte(l.project)}
	} else {
		files["package.xml"] = &fstest.MapFile{Data: []byte(`<Package xmlns="http://soap.sforce.com/2006/04/metadata"><version>66.0</version></Package>`)}
	}
	for i, f := range layoutFiles {
		data, err := os.ReadFile(filepath.Join("testdata/layouts", f.source))
		if err != nil {
			t.Fatal(err)
		}
		folder := path.Join(l.base, f.folder)
		if l.flat {
			folder = l.base
		}
		files[path.Join(folder, names[i]+"."+f.suffix+l.ending)] = &fstest.MapFile{Data: data}
	}
	return files
}

// element is a component as this test reads it, without the product's readers.
type element struct {
	XMLName xml.Name
	Fields  []struct {
		XMLName xml.Name
		Text    string `xml:",chardata"`
	} `xml:",any"`
}

// ofThePlatform are the elements that each org fills in, or that only act.
var ofThePlatform = []string{"orgScopedExternalApp", "oauthLink", "consumerKey", "shouldRotateConsumerKey", "shouldRotateConsumerSecret"}

// TestLayouts: whatever the layout and the names of source, exactly the source arrives, the plan names it, lint finds
// nothing that the platform refuses, and a second run changes nothing.
func TestLayouts(t *testing.T) {
	t.Parallel()
	for layoutName, l := range layouts {
		for naming, names := range namings {
			for kind, simulated := range map[platform.Kind]simorg.Kind{platform.Scratch: simorg.Scratch, platform.Sandbox: simorg.Sandbox} {
				t.Run(layoutName+", names of "+naming+", "+string(kind), func(t *testing.T) {
					t.Parallel()
					checkLayout(t, l, names, kind, simulated)
				})
			}
		}
	}
}

func checkLayout(t *testing.T, l layout, names []string, kind platform.Kind, simulated simorg.Kind) {
	files := l.files(t, names)
	findings, err := lint.Run(files, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		// The source is that of another org, as a retrieve leaves it.
		if f.Level == finding.Error && f.Rule != "org-scoped" && f.Rule != "secret-in-source" {
			t.Errorf("lint: %s: %s", f.Place(), f.Message())
		}
	}
	o := startOrg(t, simorg.Config{Kind: simulated, Users: []simorg.User{{Username: "integration@example.com"}}})
	run := func() *bootstrap.Report {
		source, err := wanted.Load(wanted.Location{Project: files, Dir: l.root, Sibling: files})
		if err != nil {
			t.Fatal(err)
		}
		resolved, err := bootstrap.Resolve(t.Context(), connection(o.Server), source, bootstrap.Options{Kind: kind, Headers: true, ApplyPolicies: true})
		if err != nil {
			t.Fatal(err)
		}
		plan, err := resolved.Plan(t.Context())
		if err != nil || plan.Err() != nil {
			t.Fatal(err, plan.Err())
		}
		for i, name := range names {
			if typ := plan.Report().Apps[0].Components[i]; typ.FullName != name {
				t.Errorf("the plan names %s %s, the source %s", typ.Type, typ.FullName, name)
			}
		}
		report, err := plan.Apply(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if first := run(); first.Changed != len(layoutFiles) {
		t.Errorf("the first run changed %d components", first.Changed)
	}
	for i, f := range layoutFiles {
		checkArrived(t, o, f, names[i])
	}
	if second := run(); touched(second) != 0 {
		t.Errorf("the second run: %s", actions(second))
	}
}

// checkArrived compares a component of the org with its file, element by element.
func checkArrived(t *testing.T, o *org, f layoutFile, name string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata/layouts", f.source))
	if err != nil {
		t.Fatal(err)
	}
	var want element
	if err := xml.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	c := o.one(want.XMLName.Local)
	if c.FullName != name {
		t.Errorf("the org has %s %s, the source %s", c.Type, c.FullName, name)
	}
	for _, field := range want.Fields {
		if !slices.Contains(ofThePlatform, field.XMLName.Local) && c.Fields[field.XMLName.Local] != strings.TrimSpace(field.Text) {
			t.Errorf("%s of %s is %q, and the source states %q", field.XMLName.Local, name, c.Fields[field.XMLName.Local], field.Text)
		}
	}
}
