package lint_test

import (
	"io"
	"io/fs"
	"testing"

	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/lint"
)

// FuzzRun checks whatever a file and a project may hold. It ends, and every finding
// is of a rule.
func FuzzRun(fuzz *testing.F) {
	fuzz.Add(plcy, policies("App", flow), sound()["sfdx-project.json"])
	fuzz.Add("externalClientApps/App.eca-meta.xml", header(""), `{"packageDirectories": [{"path": "src"}]}`)
	fuzz.Fuzz(func(t *testing.T, name, content, project string) {
		if !fs.ValidPath("src/pol/uat/" + name) {
			t.Skip("no file is named so, and fstest.MapFS makes endless directories of it")
		}
		p := sound().with(files{"src/pol/uat/" + name: content, "sfdx-project.json": project})
		findings, err := lint.Run(p.fs(), ".")
		if err != nil {
			return
		}
		for _, f := range findings {
			known := false
			for _, rule := range lint.Rules() {
				known = known || rule.ID == f.Rule
			}
			if !known || f.Problem == "" || f.Line < 0 {
				t.Errorf("got %+v, want a known rule, a problem and a line", f)
			}
		}
		if err := finding.WriteSARIF(io.Discard, finding.Tool{}, lint.Rules(), findings); err != nil {
			t.Error(err)
		}
	})
}
