package sfp

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// Tree is what some directories of a project, or of an artifact, hold. It was listed once, so
// that what is asked of it later reads nothing: it serves any number of orgs, and goroutines.
type Tree struct {
	dirs, files []string // each in the order of a walk: depth first, by name
	spans       map[string]span
	ignores     map[string]*Ignore // by the directory that the file is in
	unreadable  []*fs.PathError
	problems    []string
}

// span is where the directories and files below a directory are in a Tree's lists.
type span struct{ dirs, endDirs, files, endFiles int }

// List lists directories of fsys and what is below them. Links are not followed. One that does
// not exist holds nothing; what cannot be read is told by Err.
func List(fsys fs.FS, dirs ...string) *Tree {
	t := &Tree{spans: make(map[string]span), ignores: make(map[string]*Ignore)}
	for _, dir := range dirs {
		dir = path.Clean(dir)
		if _, listed := t.spans[dir]; !listed {
			t.list(fsys, dir, true)
		}
		// A .forceignore above counts as well.
		for above := dir; above != "."; {
			above = path.Dir(above)
			t.readIgnore(fsys, above)
		}
	}
	return t
}

func (t *Tree) list(fsys fs.FS, dir string, top bool) {
	s := span{dirs: len(t.dirs), files: len(t.files)}
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil && !(top && errors.Is(err, fs.ErrNotExist)) {
		pathErr := new(fs.PathError)
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		t.unreadable = append(t.unreadable, &fs.PathError{Op: "read", Path: dir, Err: err})
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		if !entry.IsDir() {
			t.files = append(t.files, name)
			if entry.Name() == IgnoreFile {
				t.readIgnore(fsys, dir)
			}
			continue
		}
		t.dirs = append(t.dirs, name)
		t.list(fsys, name, false)
	}
	s.endDirs, s.endFiles = len(t.dirs), len(t.files)
	t.spans[dir] = s
}

func (t *Tree) readIgnore(fsys fs.FS, dir string) {
	if _, known := t.ignores[dir]; known {
		return
	}
	ignore, problem := readIgnore(fsys, dir)
	if ignore != nil || problem != "" {
		t.ignores[dir] = ignore
	}
	if problem != "" {
		t.problems = append(t.problems, path.Join(dir, IgnoreFile)+" "+problem+", so nothing is left out of a deployment")
	}
}

// Dirs returns the directories below one of those that were listed, in the order in which sfp
// walks them.
func (t *Tree) Dirs(below string) []string {
	s := t.spans[below]
	return t.dirs[s.dirs:s.endDirs:s.endDirs]
}

// Files returns the files below a directory, in the same order; links are among them.
func (t *Tree) Files(below string) []string {
	s := t.spans[below]
	return t.files[s.files:s.endFiles:s.endFiles]
}

// Err returns why something below a directory could not be listed, or nil.
func (t *Tree) Err(below string) error {
	for _, err := range t.unreadable {
		if below == "." || err.Path == below || strings.HasPrefix(err.Path, below+"/") {
			return err
		}
	}
	return nil
}

// Unreadable returns the directories that could not be listed.
func (t *Tree) Unreadable() (dirs []string) {
	for _, err := range t.unreadable {
		dirs = append(dirs, err.Path)
	}
	return dirs
}

// Problems returns what a person should know of the .forceignore files, each in one sentence
// without its full stop.
func (t *Tree) Problems() []string { return t.problems }

// Ignore returns what .forceignore leaves out of the deployment of a directory: the first one
// in it or above it counts, says sf's source-deploy-retrieve. Nothing is left out where there
// is none, or none that can be read, as sf has it.
func (t *Tree) Ignore(dir string) *Ignore {
	for {
		if ignore, there := t.ignores[dir]; there || dir == "." {
			return ignore
		}
		dir = path.Dir(dir)
	}
}
