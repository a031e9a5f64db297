package scaffold

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGuard has another run change a file after the check of all files.
func TestGuard(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, f := range []File{
		{Path: "changed", Content: []byte("new"), Replaces: true, before: []byte("old")},
		{Path: "changed", Content: []byte("new")},
	} {
		if err := os.WriteFile(filepath.Join(dir, f.Path), []byte("of another run"), 0o600); err != nil {
			t.Fatal(err)
		}
		var created []string
		if err := f.write(root, &created); err == nil || len(created) > 0 {
			t.Errorf("got %v, created %q", err, created)
		}
		if data, err := os.ReadFile(filepath.Join(dir, f.Path)); string(data) != "of another run" {
			t.Errorf("the file has %q, %v", data, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || strings.HasPrefix(entries[0].Name(), ".") {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}
