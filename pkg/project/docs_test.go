package project_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/ecakit/ecakit/pkg/project"
)

// TestDocumentedSettings: what SETTINGS.md shows can be written so.
func TestDocumentedSettings(t *testing.T) {
	data, err := os.ReadFile("SETTINGS.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```json\n(.*?)^```$").FindAllSubmatch(data, -1)
	if len(blocks) == 0 {
		t.Error("SETTINGS.md shows no settings")
	}
	for _, block := range blocks {
		p, err := project.Parse([]byte("{" + string(block[1]) + "}"))
		if err != nil {
			t.Errorf("%s: %v", block[1], err)
		} else if len(p.Settings.Apps) == 0 && len(p.Settings.Audit.Rules) == 0 {
			t.Errorf("%s states nothing", block[1])
		}
	}
}
