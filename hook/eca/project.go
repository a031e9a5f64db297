package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ecakit/ecakit/pkg/sfp"
)

// findProject finds the project that a path is in, and the path relative to it.
func findProject(path string) (root, rel string, err error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return "", "", usageError{fmt.Errorf("%s is not a directory", path)}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", "", err
	}
	for dir := abs; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, sfp.ProjectFile)); err == nil {
			if rel, err = filepath.Rel(dir, abs); err != nil {
				return "", "", err
			}
			return shortest(dir), rel, nil
		}
		if dir == filepath.Dir(dir) {
			return "", "", usageError{fmt.Errorf("%s is in no Salesforce project (there is no %s in it or above it); run this inside a project, or give its directory", path, sfp.ProjectFile)}
		}
	}
}

// shortest writes a directory relative to the working directory where it is
// below that.
func shortest(dir string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, dir); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return dir
}

// openDir opens a directory as a file system that leads nowhere else, by no
// ".." and no link.
func openDir(dir string) (fs.FS, error) {
	fsys, err := sfp.OpenDir(dir)
	if err != nil {
		return nil, fmt.Errorf("the directory %s cannot be opened", dir)
	}
	return fsys, nil
}

// siblingProject returns the working directory where it holds a project, or nil.
func siblingProject() fs.FS {
	if _, err := os.Stat(sfp.ProjectFile); err != nil {
		return nil
	}
	fsys, err := openDir(".")
	if err != nil {
		return nil
	}
	return fsys
}
