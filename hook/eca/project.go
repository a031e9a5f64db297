package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/project"
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

// openProject opens the project at path for a command that writes into all of it, and refuses a
// directory inside one.
func openProject(path string) (root string, proj fs.FS, err error) {
	root, rel, err := findProject(path)
	if err != nil {
		return "", nil, err
	}
	if rel != "." {
		return "", nil, usageError{fmt.Errorf("%s is inside the project %s; give the project", path, root)}
	}
	proj, err = openDir(root)
	return root, proj, err
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

// appFlags name the app that a command works on.
type appFlags struct {
	App string `placeholder:"NAME" help:"API name of the app. Otherwise the one Local app of the project in the working directory."`
}

// app returns the name of the app.
func (f *appFlags) app() (string, error) {
	if f.App != "" {
		return f.App, nil
	}
	root, _, err := findProject(".")
	if err != nil {
		return "", usageError{errors.New("name the app with --app: there is no project here that could tell it")}
	}
	fsys, err := openDir(root)
	if err != nil {
		return "", err
	}
	proj, err := project.Read(fsys, sfp.ProjectFile)
	if err != nil {
		return "", err
	}
	var dirs, local []string
	for _, p := range proj.Packages {
		dirs = append(dirs, p.Path)
	}
	source := project.ReadSource(fsys, dirs...)
	for _, file := range source.Components(".", eca.Header) {
		if file.Component == nil {
			continue
		}
		if state := file.Component.Text("distributionState"); state == "" || state == "Local" {
			local = append(local, file.Name)
		}
	}
	switch len(local) {
	case 0:
		return "", usageError{errors.New("name the app with --app: the project here has no Local app")}
	case 1:
		return local[0], nil
	}
	return "", usageError{fmt.Errorf("name the app with --app: the project here has %s", strings.Join(local, ", "))}
}
