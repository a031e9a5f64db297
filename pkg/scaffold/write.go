package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/ecakit/ecakit/pkg/atomicfile"
)

// File is a file for Write.
type File struct {
	Path    string // relative to the project, with slashes
	Content []byte
	Mode    fs.FileMode
	// Replaces reports that the file exists and is changed. It is true for the project file, and
	// for files of a package with an app of a Dev Hub.
	Replaces bool

	before []byte // its previous content
}

// Write writes the files below a project's directory, in their order. Each file is written
// atomically. A file that is a link replaces the link's target, which must be inside the project.
//
// New files must not exist yet, and the others must be as they were for New. If a file cannot be
// written, Write removes the files that it created.
func Write(dir string, files []File) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range files {
		if err := f.check(root); err != nil {
			return err
		}
	}
	var created []string // files and directories, outer ones first
	for _, f := range files {
		if err := f.write(root, &created); err != nil {
			for _, name := range slices.Backward(created) {
				root.Remove(name)
			}
			return err
		}
	}
	return nil
}

// check returns an error if the file is not as it was for New.
func (f File) check(root *os.Root) error {
	now, err := root.ReadFile(filepath.FromSlash(f.Path))
	switch {
	case !f.Replaces && errors.Is(err, fs.ErrNotExist):
		return nil
	case !f.Replaces && err == nil:
		err = fs.ErrExist
	case err == nil && !bytes.Equal(now, f.before):
		err = errors.New("the file has changed meanwhile; try again")
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", f.Path, err)
	}
	return nil
}

// write writes the file, with the directories above it. It adds what did not exist to created.
func (f File) write(root *os.Root, created *[]string) error {
	for _, dir := range ancestors(f.Path) {
		dir = filepath.FromSlash(dir)
		switch err := root.Mkdir(dir, 0o755); {
		case err == nil:
			*created = append(*created, dir)
		case !errors.Is(err, fs.ErrExist):
			return fmt.Errorf("cannot create %s: %w", dir, err)
		}
	}
	name := filepath.FromSlash(f.Path)
	// No link leads out of the project, because check uses root.
	options := atomicfile.Options{Mode: f.Mode, FollowLinks: f.Replaces, Guard: func() error { return f.check(root) }}
	err := atomicfile.Write(filepath.Join(root.Name(), name), f.Content, options)
	if err == nil && !f.Replaces {
		*created = append(*created, name)
	}
	return err
}

// ancestors returns the directories above a file, outermost first.
func ancestors(file string) (dirs []string) {
	for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
		dirs = append(dirs, dir)
	}
	slices.Reverse(dirs)
	return dirs
}
