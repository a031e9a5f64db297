package sfp_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/sfp"
)

// TestFilesBeforeDirectories holds the order in which a deep tree is read without opening its directories again.
func TestFilesBeforeDirectories(t *testing.T) {
	t.Parallel()
	file := new(fstest.MapFile)
	tree := sfp.List(fstest.MapFS{"p/d/d/f": file, "p/d/e": file, "p/d/f": file, "p/f": file, "p/e/a": file}, "p")
	if got, want := tree.Files("p"), []string{"p/f", "p/d/e", "p/d/f", "p/d/d/f", "p/e/a"}; !slices.Equal(got, want) {
		t.Errorf("the files are %v, want %v", got, want)
	}
	if got, want := tree.Files("p/d"), []string{"p/d/e", "p/d/f", "p/d/d/f"}; !slices.Equal(got, want) {
		t.Errorf("the files of p/d are %v, want %v", got, want)
	}
	if got, want := tree.Dirs("p"), []string{"p/d", "p/d/d", "p/e"}; !slices.Equal(got, want) {
		t.Errorf("the directories are %v, want %v", got, want)
	}
}
