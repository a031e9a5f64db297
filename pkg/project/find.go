package project

import (
	"fmt"
	"os"
	"path/filepath"

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
func Find(path string) (root, rel string, err error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return "", "", &NotDirectoryError{path}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", "", err
	}
	for dir := abs; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, sfp.ProjectFile)); err == nil {
			rel, err := filepath.Rel(dir, abs)
			return shortest(dir), rel, err
		}
		if dir == filepath.Dir(dir) {
			return "", "", &NoProjectError{path}
		}
	}
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
