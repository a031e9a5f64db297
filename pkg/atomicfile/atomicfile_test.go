package atomicfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/ecakit/ecakit/pkg/internal/files"
)

func content(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func only(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if len(got) != len(names) {
		t.Errorf("the directory has %q, want %q", got, names)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "out.json")
	if err := Write(name, []byte("one"), Options{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(Temporary(name), []byte("what a killed run left, longer than the new text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(name, []byte("two"), Options{Mode: 0o644}); err != nil || content(t, name) != "two" {
		t.Errorf("%v, %q", err, content(t, name))
	}
	only(t, dir, "out.json")
	if info, err := os.Stat(name); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("an existing file has mode %v (%v) after a write, want 0600 as before", info.Mode(), err)
	}
	if err := Write(filepath.Join(dir, "script.sh"), nil, Options{Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(filepath.Join(dir, "script.sh")); runtime.GOOS != "windows" && info.Mode().Perm() != 0o755 {
		t.Errorf("a new file has mode %v", info.Mode())
	}
	if err := Write(name, nil, Options{Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(name); runtime.GOOS != "windows" && info.Mode().Perm() != 0o711 {
		t.Errorf("an existing file with mode 0600 has %v as a script", info.Mode())
	}
}

func TestRestrictsExistingFile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(name, []byte("x"), Options{}); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(name); runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("a secret has mode %v", info.Mode())
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", link); err != nil {
		t.Skip(err)
	}
	for _, name := range []string{dir, link, os.DevNull} {
		for op, err := range map[string]error{"Write": Write(name, []byte("x"), Options{}), "Check": Check(name, Options{})} {
			if !errors.Is(err, files.ErrIrregular) {
				t.Errorf("%s of %s: %v", op, name, err)
			}
		}
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 || content(t, target) != "kept" {
		t.Errorf("the link is %v (%v), its target has %q", info.Mode(), err, content(t, target))
	}
	if err := Write(link, []byte("new"), Options{FollowLinks: true}); err != nil || content(t, target) != "new" {
		t.Errorf("through a link: %v, the target has %q", err, content(t, target))
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v (%v)", info, err)
	}
	if err := Check(link, Options{FollowLinks: true}); err != nil {
		t.Error(err)
	}
	only(t, dir, "link", "target")
	missing := filepath.Join(dir, "no", "file")
	for op, err := range map[string]error{"Write": Write(missing, nil, Options{}), "Check": Check(missing, Options{})} {
		if pathErr, ok := errors.AsType[*fs.PathError](err); !ok || !errors.Is(err, fs.ErrNotExist) || pathErr.Path != missing {
			t.Errorf("%s keeps no cause: %v", op, err)
		}
	}
}

// TestLinkAsTemporary writes beside a link that somebody put where the temporary file goes.
func TestLinkAsTemporary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim, name := filepath.Join(dir, "victim"), filepath.Join(dir, "out")
	if err := os.WriteFile(victim, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("victim", Temporary(name)); err != nil {
		t.Skip(err)
	}
	if err := Write(name, []byte("x"), Options{}); !errors.Is(err, files.ErrIrregular) || content(t, victim) != "kept" {
		t.Errorf("%v, the link's target has %q", err, content(t, victim))
	}
}

// TestFIFO refuses a pipe without waiting for its reader.
func TestFIFO(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "pipe")
	if err := mkfifo(name); err != nil {
		t.Skip(err)
	}
	if err := Write(name, []byte("x"), Options{}); !errors.Is(err, files.ErrIrregular) {
		t.Error(err)
	}
}

// TestConcurrentWriters writes one file from many goroutines. Each content is written whole.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "out")
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			for range 10 {
				if err := Write(name, bytes.Repeat([]byte{byte('a' + i)}, 1000*(i+1)), Options{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	data := []byte(content(t, name))
	if len(data) == 0 || len(data) != 1000*int(data[0]-'a'+1) || !bytes.Equal(data, bytes.Repeat(data[:1], len(data))) {
		t.Errorf("the file has %d bytes of several writers", len(data))
	}
	only(t, dir, "out")
}

// TestGuard has many writers of one new file, of which one succeeds.
func TestGuard(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "out")
	isNew := func() error {
		if _, err := os.Lstat(name); err == nil {
			return fs.ErrExist
		}
		return nil
	}
	var group sync.WaitGroup
	var succeeded atomic.Int32
	for range 16 {
		group.Go(func() {
			switch err := Write(name, []byte("x"), Options{Guard: isNew}); {
			case err == nil:
				succeeded.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := succeeded.Load(); n != 1 {
		t.Errorf("%d writers created the file", n)
	}
	only(t, dir, "out")
}

// TestFailedWriteKeepsTheFile: an error while writing leaves neither a part nor a temporary file.
func TestFailedWriteKeepsTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "out")
	if err := os.MkdirAll(filepath.Join(name, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	written, err := write(name, []byte("x"), Options{}) // the rename fails
	if written || err == nil {
		t.Errorf("a directory was replaced: %v", err)
	}
	only(t, dir, "out")
	if errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
}
