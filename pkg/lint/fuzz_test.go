package lint_test

import (
	"io"
	"testing"

	"github.com/ecakit/ecakit/pkg/lint"
)

// FuzzRun checks whatever a file and a project may hold. It ends, and every finding
// is of a rule.
func FuzzRun(f *testing.F) {
	f.Add(plcy, policies("App", flow), sound()["sfdx-project.json"])
	f.Add("externalClientApps/App.eca-meta.xml", header(""), `{"packageDirectories": [{"path": "src"}]}`)
	f.Fuzz(func(t *testing.T, name, content, project string) {
		p := sound().with(files{"src/pol/uat/" + name: content, "sfdx-project.json": project})
		findings, err := lint.Run(p.fs(), ".")
		if err != nil {
			return
		}
		for _, finding := range findings {
			known := false
			for _, rule := range lint.Rules() {
				known = known || rule.ID == finding.Rule
			}
			if !known || finding.Message == "" || finding.Line < 0 {
				t.Errorf("%+v", finding)
			}
		}
		if err := lint.WriteSARIF(io.Discard, findings, ""); err != nil {
			t.Error(err)
		}
	})
}
