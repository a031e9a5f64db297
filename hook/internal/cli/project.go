package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// findProject finds the project that a path is in, and the path relative to it.
func findProject(path string) (root, rel string, err error) {
	root, rel, err = project.Find(path)
	if errors.As(err, new(*project.NoProjectError)) {
		err = fmt.Errorf("%w; run the command inside a project, or name the directory of one", err)
	}
	if err != nil {
		err = usage.Error{Err: err}
	}
	return root, rel, err
}

// openProject opens the project at path for a command that writes into all of it, and refuses a
// directory inside one.
func openProject(path string) (root string, proj fs.FS, err error) {
	root, rel, err := findProject(path)
	if err != nil {
		return "", nil, err
	}
	if rel != "." {
		return "", nil, usage.Errorf("%s is inside the project %s; name the project", path, root)
	}
	proj, err = openDir(root)
	return root, proj, err
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

// replacing returns the value of an environment variable that replacements of the project ask for. A
// repository gets no session.
func (e *env) replacing(name string) string {
	if orgauth.IsSession(name) {
		return ""
	}
	return e.Getenv(name)
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
	App string `placeholder:"NAME" help:"API name of the app. Default: the one Local app of the project in the working directory."`
}

// app returns the name of the app.
func (f *appFlags) app() (string, error) {
	if f.App != "" {
		return f.App, nil
	}
	local, found, err := localApps()
	switch {
	case err != nil:
		return "", err
	case !found:
		return "", usage.Errorf("name the app with --app: there is no project here")
	case len(local) == 0:
		return "", usage.Errorf("name the app with --app: the project here has no Local app")
	case len(local) == 1:
		return local[0], nil
	}
	return "", usage.Errorf("name the app with --app: the project here has %s", strings.Join(local, ", "))
}

// localApps returns the Local apps of the project in the working directory, and whether there is one.
func localApps() (local []string, found bool, err error) {
	root, _, err := findProject(".")
	if err != nil {
		return nil, false, nil
	}
	fsys, err := openDir(root)
	if err != nil {
		return nil, true, err
	}
	proj, err := project.Read(fsys, sfp.ProjectFile)
	if err != nil {
		return nil, true, err
	}
	var dirs []string
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
	return local, true, nil
}

// outputError says in one sentence why a file cannot be written.
func outputError(name string, err error) error {
	pathErr, ok := errors.AsType[*fs.PathError](err)
	switch {
	case errors.Is(err, atomicfile.ErrIrregular):
		return fmt.Errorf("%s is not a regular file", name)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot write %s: there is no directory %s", name, filepath.Dir(name))
	case ok:
		return fmt.Errorf("cannot write %s: %w", name, pathErr.Err)
	}
	return fmt.Errorf("cannot write %s: %w", name, err)
}
