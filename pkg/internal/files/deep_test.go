package files_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/internal/files"
)

// TestDeep reads files in an order that opens and leaves directories at many depths.
func TestDeep(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	var names []string
	for depth := range 100 {
		name := strings.Repeat("d/", depth) + "f"
		names = append(names, name)
		if err := os.MkdirAll(filepath.Join(top, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fsys, err := files.Dir(top)
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		for _, at := range []int{i, 99 - i, i / 2, (i * 37) % 100} {
			name := names[at]
			if data, err := fs.ReadFile(fsys, name); err != nil || string(data) != name {
				t.Fatalf("%s: %q, %v", name, data, err)
			}
			if data, err := files.ReadUpTo(fsys, name, int64(len(name))); err != nil || string(data) != name {
				t.Fatalf("%s up to its size: %q, %v", name, data, err)
			}
			if _, err := files.ReadUpTo(fsys, name, int64(len(name)-1)); !errors.Is(err, files.ErrTooLarge) {
				t.Fatalf("%s up to less than its size: %v", name, err)
			}
			missing := names[at] + "/none"
			if _, err := fs.Stat(fsys, missing); err == nil || !strings.Contains(err.Error(), missing) {
				t.Fatalf("%s: %v", missing, err)
			}
		}
	}
	if err := os.Symlink("../f", filepath.Join(top, "d", "link")); err != nil {
		t.Skip(err)
	}
	if data, err := fs.ReadFile(fsys, "d/link"); err != nil || string(data) != "f" {
		t.Errorf("a link in the directory gives %q, %v", data, err)
	}
	if err := os.Symlink("../../x", filepath.Join(top, "d", "out")); err != nil {
		t.Fatal(err)
	}
	if _, err := fs.ReadFile(fsys, "d/out"); err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("a link out of the directory gives %v", err)
	}
}
