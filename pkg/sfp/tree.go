package sfp

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/files"
)

// Tree is a listing of directories of a project or an artifact. After List it reads no more
// files, and any number of goroutines may use it.
type Tree struct {
	dirs, files []string // depth first, by name; the files of a directory before those below it
	spans       map[string]span
	ignores     map[string]*Ignore // by the .forceignore file's directory
	irregular   map[string]bool    // symlinks, pipes and the like among the files
	unreadable  []*fs.PathError
	problems    []string
}

// span is the range of a directory's contents in a Tree's lists.
type span struct{ dirs, endDirs, files, endFiles int }

// List lists directories of fsys recursively, without following symlinks. A directory that does
// not exist is empty. Err reports what could not be read.
func List(fsys fs.FS, dirs ...string) *Tree {
	t := &Tree{spans: make(map[string]span), ignores: make(map[string]*Ignore), irregular: make(map[string]bool)}
	for _, dir := range dirs {
		dir = path.Clean(dir)
		if _, listed := t.spans[dir]; !listed {
			t.list(fsys, dir, true)
		}
		// A .forceignore in a parent directory applies too.
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
		t.unreadable = append(t.unreadable, &fs.PathError{Op: "read", Path: dir, Err: files.Plain(err)})
	}
	at := func(name string) string {
		if dir == "." {
			return name
		}
		return dir + "/" + name
	}
	// Files come before directories, so that who reads them in this order opens each directory once.
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		name := at(entry.Name())
		t.files = append(t.files, name)
		if !entry.Type().IsRegular() {
			t.irregular[name] = true
		}
		if entry.Name() == IgnoreFile {
			t.readIgnore(fsys, dir)
		}
	}
	for _, entry := range entries {
		if entry.IsDir() {
			name := at(entry.Name())
			t.dirs = append(t.dirs, name)
			t.list(fsys, name, false)
		}
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
		t.problems = append(t.problems, path.Join(dir, IgnoreFile)+" "+problem+"; it is not applied, so nothing is left out of a deployment")
	}
}

// Dirs returns the directories below a listed directory, in the order in which sfp walks them.
func (t *Tree) Dirs(below string) []string {
	s := t.spans[below]
	return t.dirs[s.dirs:s.endDirs:s.endDirs]
}

// Files returns the files below a listed directory, including symlinks: those of each directory, by name,
// before those of the directories in it.
func (t *Tree) Files(below string) []string {
	s := t.spans[below]
	return t.files[s.files:s.endFiles:s.endFiles]
}

// IsRegular reports whether a listed file is neither a symlink nor a pipe or the like.
func (t *Tree) IsRegular(file string) bool { return !t.irregular[file] }

// Err returns the first error of listing a directory's contents, or nil.
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

// Problems returns the problems with .forceignore files, each as a sentence without its full
// stop.
func (t *Tree) Problems() []string { return t.problems }

// Ignore returns the rules that apply to the deployment of a directory: those of the first
// .forceignore in it or above it (source: sf's source-deploy-retrieve). Without a readable file
// it ignores nothing, as sf does.
func (t *Tree) Ignore(dir string) *Ignore {
	for {
		if ignore, exists := t.ignores[dir]; exists || dir == "." {
			return ignore
		}
		dir = path.Dir(dir)
	}
}
