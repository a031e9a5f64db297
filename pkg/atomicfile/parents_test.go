package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

// TestParents creates the directories above a file, and removes the file with what a killed Write has left.
func TestParents(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "a", "b", "c")
	if err := Write(name, []byte("x"), Options{}); err == nil {
		t.Error("Write has created directories")
	}
	if err := Write(name, []byte("x"), Options{Parents: 0o700}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(Temporary(name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds nothing
		if err := Remove(name); err != nil {
			t.Error(err)
		}
		if entries, err := os.ReadDir(filepath.Dir(name)); err != nil || len(entries) > 0 {
			t.Errorf("left are %v, %v", entries, err)
		}
	}
}
