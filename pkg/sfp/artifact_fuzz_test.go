package sfp_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/sfp"
)

// FuzzOpenArtifact opens whatever may lie in an artifacts directory: the names in
// it lead nowhere else.
func FuzzOpenArtifact(f *testing.F) {
	f.Add([]byte("PK\x05\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "p_sfpowerscripts_artifact_1.0.0-1.zip")
		if bytes.HasPrefix(data, []byte("\x1f\x8b")) {
			file = strings.TrimSuffix(file, "zip") + "tgz"
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		artifact, err := sfp.OpenArtifact(file, func(string) bool { return true })
		if err != nil {
			return
		}
		defer artifact.Close()
		fs.WalkDir(artifact, ".", func(name string, entry fs.DirEntry, err error) error {
			if !fs.ValidPath(name) {
				t.Errorf("the artifact holds %q", name)
			}
			return nil
		})
	})
}
