//go:build unix

package files_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/internal/files"
)

func TestDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a", "x")
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("d/b", "y")
	fsys, err := files.Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(fsys, "a", "d/b"); err != nil {
		t.Error(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	write("big", "")
	if err := os.Truncate(filepath.Join(dir, "big"), files.MaxFile+1); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"pipe": "not a regular file", "out": "escapes", "big": "larger than 16 MiB", "d": "is a directory"} {
		if _, err := fs.ReadFile(fsys, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]error{"pipe": files.ErrIrregular, "none": fs.ErrNotExist} {
		if _, err := files.Read(filepath.Join(dir, name), 10); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if data, err := files.Read(filepath.Join(dir, "a"), 1); string(data) != "x" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := files.Read("/dev/zero", 10); err == nil {
		t.Error("a device is read")
	}
}
