package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/internal/files"
	"github.com/ecakit/ecakit/pkg/sfp"
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
	// folder is a new directory that appears with all its files at once, because its existence decides
	// which files a later run adds; "" if the file is in none.
	folder string
}

// Write writes the files below a project's directory, in their order. Each file is written
// atomically. A file that is a link replaces the link's target, which must be inside the project.
//
// New files must not exist yet, except with the same content, and the others must be as they were for
// New. If a file cannot be written, Write removes the files that it created.
func Write(dir string, all []File) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	w := &writer{root: root}
	i := slices.IndexFunc(all, func(f File) bool { return f.Path == sfp.ProjectFile })
	if i < 0 {
		err = w.write(all)
	} else {
		// No other run writes to the project meanwhile, because each replaces the project file.
		err = all[i].replace(root, func() error { return w.write(all) })
	}
	if err != nil {
		w.undo()
	}
	return err
}

// writer writes files below a directory.
type writer struct {
	root    *os.Root
	created []string // files and directories, outer ones first
}

// write writes files, the project file excepted, after it has checked all.
func (w *writer) write(all []File) error {
	for _, f := range all {
		if err := f.check(w.root); err != nil {
			return err
		}
	}
	for group := range folders(all) {
		if group[0].Path == sfp.ProjectFile {
			continue
		}
		if err := writeFolder(w.root, group, &w.created); err != nil {
			return err
		}
	}
	return nil
}

// undo removes what was created.
func (w *writer) undo() {
	for _, name := range slices.Backward(w.created) {
		files.Changes("remove", name)
		w.root.Remove(name)
	}
}

// folders returns files in groups: those of a new folder together, and each other file alone.
func folders(all []File) iter.Seq[[]File] {
	return func(yield func([]File) bool) {
		for len(all) > 0 {
			n := 1
			for all[0].folder != "" && n < len(all) && all[n].folder == all[0].folder {
				n++
			}
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

// writeFolder writes files. Those of a new folder are written to another one, which is then renamed.
func writeFolder(root *os.Root, group []File, created *[]string) error {
	folder := group[0].folder
	_, err := root.Lstat(folder)
	if folder == "" || !errors.Is(err, fs.ErrNotExist) {
		for _, f := range group {
			if err := f.write(root, created); err != nil {
				return err
			}
		}
		return nil
	}
	staged := path.Join(path.Dir(folder), "."+path.Base(folder)+".eca-tmp")
	files.Changes("remove", staged)
	if err := root.RemoveAll(staged); err != nil { // of an interrupted run
		return err
	}
	for _, f := range group {
		f.Path = staged + strings.TrimPrefix(f.Path, folder)
		if err := f.write(root, created); err != nil {
			return err
		}
	}
	files.Changes("rename", folder)
	if err := root.Rename(filepath.FromSlash(staged), filepath.FromSlash(folder)); err != nil {
		return err
	}
	for i, name := range *created {
		if rest, ok := strings.CutPrefix(filepath.ToSlash(name), staged); ok {
			(*created)[i] = filepath.FromSlash(folder + rest)
		}
	}
	return nil
}

// errChanged reports that a file is no longer as it was for New.
var errChanged = errors.New("the file has changed meanwhile; try again")

// check returns an error if the file is not as it was for New and not as it is to be.
func (f File) check(root *os.Root) error {
	now, err := root.ReadFile(filepath.FromSlash(f.Path))
	switch {
	case !f.Replaces && errors.Is(err, fs.ErrNotExist), err == nil && bytes.Equal(now, f.Content):
		return nil
	case !f.Replaces && err == nil:
		err = fs.ErrExist
	case err == nil && !bytes.Equal(now, f.before):
		err = errChanged
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
		files.Changes("mkdir", dir)
		switch err := root.Mkdir(dir, 0o755); {
		case err == nil:
			*created = append(*created, dir)
		case !errors.Is(err, fs.ErrExist):
			return fmt.Errorf("cannot create %s: %w", dir, err)
		}
	}
	if now, err := root.ReadFile(filepath.FromSlash(f.Path)); err == nil && !f.Replaces && bytes.Equal(now, f.Content) {
		return nil
	}
	err := f.replace(root, func() error { return f.check(root) })
	if err == nil && !f.Replaces {
		*created = append(*created, filepath.FromSlash(f.Path))
	}
	return err
}

// replace writes the file if guard returns no error.
func (f File) replace(root *os.Root, guard func() error) error {
	// No link leads out of the project, because check uses root.
	options := atomicfile.Options{Mode: f.Mode, FollowLinks: f.Replaces, Guard: guard}
	return atomicfile.Write(filepath.Join(root.Name(), filepath.FromSlash(f.Path)), f.Content, options)
}

// ancestors returns the directories above a file, outermost first.
func ancestors(file string) (dirs []string) {
	for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
		dirs = append(dirs, dir)
	}
	slices.Reverse(dirs)
	return dirs
}
