package project

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ecakit/ecakit/pkg/sfp"
)

// NoProjectError reports a path that is in no project.
type NoProjectError struct{ Path string }

func (e *NoProjectError) Error() string {
	return fmt.Sprintf("%s is in no Salesforce project: neither it nor a directory above it has %s", e.Path, sfp.ProjectFile)
}

// NotDirectoryError reports a path that should be a directory.
type NotDirectoryError struct{ Path string }

func (e *NotDirectoryError) Error() string { return e.Path + " is not a directory" }

// Find returns the root of the project that a directory is in, and the directory relative to the
// root. The root is relative to the working directory if it is below that. The error is a
// *NotDirectoryError or a *NoProjectError.
//
// For a directory in no package of a project, the root is a directory in metadata format: the one with the
// manifest at or above the directory, or its src, if there is one.
func Find(path string) (root, rel string, err error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return "", "", &NotDirectoryError{path}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", "", err
	}
	root, ok := above(abs, sfp.ProjectFile)
	if !ok || !isOfProject(root, abs) {
		if manifest, found := above(abs, sfp.ManifestFile); found && len(manifest) >= len(root) {
			root, ok = manifest, true
		} else if src := filepath.Join(abs, "src"); isFile(filepath.Join(src, sfp.ManifestFile)) {
			root, abs, ok = src, src, true
		}
	}
	if !ok {
		return "", "", &NoProjectError{path}
	}
	rel, err = filepath.Rel(root, abs)
	return shortest(root), rel, err
}

// above returns the first directory at or above another that has a file.
func above(dir, file string) (found string, ok bool) {
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			return dir, true
		}
		if dir == filepath.Dir(dir) {
			return "", false
		}
	}
}

// isOfProject reports whether a directory is the root of a project, or in one of its packages or above one.
func isOfProject(root, dir string) bool {
	fsys, err := sfp.OpenDir(root)
	if err != nil || dir == root {
		return true
	}
	proj, err := sfp.ReadProject(fsys, sfp.ProjectFile)
	return err != nil || slices.ContainsFunc(proj.Packages, func(p sfp.Package) bool {
		at := filepath.Join(root, filepath.FromSlash(p.Path))
		inside, err := filepath.Rel(at, dir)
		around, err2 := filepath.Rel(dir, at)
		return err == nil && filepath.IsLocal(inside) || err2 == nil && filepath.IsLocal(around)
	})
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// shortest returns a directory relative to the working directory if it is below that.
func shortest(dir string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, dir); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return dir
}
