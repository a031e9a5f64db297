package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/scaffold"
)

type migrateCmd struct {
	Env        []string `sep:"none" placeholder:"ALIAS[=USERNAME]" help:"An org with policies of its own, by its alias, and the user that client credentials run as there. Without a user, that of the Connected App. Can be repeated."`
	Email      string   `name:"contact-email" placeholder:"ADDRESS" help:"The contact of apps whose source names none."`
	Write      bool     `help:"Write the files into the project. Otherwise they are only shown. Nothing is overwritten."`
	Project    string   `placeholder:"DIR" default:"." help:"The sfp project. Otherwise that of the working directory."`
	Definition string   `placeholder:"DIR" help:"Directory of the package with the headers. Otherwise eca-definition beside the first package."`
	Policies   string   `placeholder:"DIR" help:"Directory of the package with the policies. Otherwise eca-policies beside the first package."`
	Paths      []string `arg:"" name:"path" help:"Source files of Connected Apps, or directories that have some."`
}

func (migrateCmd) Help() string {
	return `Turns Connected Apps into what eca init writes: header, OAuth policies for default and each environment, and settings in plugins.eca of the project in the working directory. What cannot be carried is reported with its line and what to do instead.

Each org makes a new consumer, so everybody who logs in gets a new key and secret. Where both have to stay, use "Migrate to External Client App" in Setup first: it keeps them, on one org, and eca takes over from there.

Shows by default; --write writes.`
}

// migrateResult is what --json says of a migration.
type migrateResult struct {
	outcome
	Apps    []migratedApp `json:"apps"`
	Written bool          `json:"written"`
}

// migratedApp is what became of one Connected App.
type migratedApp struct {
	App      string            `json:"app"`
	File     string            `json:"file"`            // of the Connected App
	Files    []string          `json:"files,omitempty"` // that are written, or would be
	Findings []finding.Finding `json:"findings,omitempty"`
	Error    string            `json:"error,omitempty"` // why it is not written
}

func (c *migrateCmd) run(_ context.Context, e *env) (result, error) {
	files, err := connectedApps(c.Paths)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, usageError{fmt.Errorf("no Connected App is at %s: their files end in %s", strings.Join(c.Paths, ", "), connectedapp.Suffix)}
	}
	root, _, err := findProject(c.Project)
	if err != nil {
		return nil, err
	}
	e.line("eca: where key and secret have to stay, use Migrate to External Client App in Setup first; here, each org makes new ones")
	r := &migrateResult{Apps: []migratedApp{}, Written: c.Write}
	failed, first := 0, ""
	seen := make(map[string]string) // files by the app's name, folded
	for _, file := range files {
		name := strings.ToLower(filepath.Base(file))
		other := seen[name]
		seen[name] = file
		one := c.migrate(e, root, file, other)
		r.Apps = append(r.Apps, one)
		if one.Error != "" {
			if failed++; first == "" {
				first = one.Error
			}
		}
	}
	switch {
	case failed == 1:
		return r, errors.New(first)
	case failed > 1:
		return r, fmt.Errorf("%d of %s cannot be written; the first: %s", failed, plural(len(files), "app"), first)
	case c.Write:
		e.line("eca: done. Look at the findings and at the policies, then install; eca lint checks the project.")
	default:
		e.line("eca: nothing was written; --write writes")
	}
	return r, nil
}

// connectedApps returns the source files at some paths.
func connectedApps(paths []string) (files []string, err error) {
	for _, name := range paths {
		err := filepath.WalkDir(name, func(file string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil && file == name:
				return usageError{fmt.Errorf("%s cannot be read", name)}
			case err != nil:
				return nil
			case entry.IsDir() && file != name && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"):
				return fs.SkipDir
			case !entry.IsDir() && (strings.HasSuffix(file, connectedapp.Suffix) || file == name):
				files = append(files, file)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// migrate shows what becomes of one Connected App, and writes it where that is wanted.
// other is a file with an app of the same name, "" if there is none.
func (c *migrateCmd) migrate(e *env, root, file, other string) (one migratedApp) {
	one.File = filepath.ToSlash(file)
	fail := func(err error) migratedApp {
		one.Error = oneLine(fmt.Sprintf("%s: %v", one.File, err))
		e.line("  ! %s", one.Error)
		return one
	}
	if other != "" {
		return fail(fmt.Errorf("%s is of the same name, and names differ by more than case; leave one of them out", filepath.ToSlash(other)))
	}
	dir, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return fail(errors.New("cannot be read"))
	}
	defer dir.Close()
	app, err := connectedapp.Read(dir.FS(), filepath.Base(file))
	if err != nil {
		one.Error = oneLine(filepath.ToSlash(filepath.Join(filepath.Dir(file), err.Error())))
		e.line("  ! %s", one.Error)
		return one
	}
	one.App, one.Findings = app.Name, app.Findings
	config := app.Config()
	config.Definition, config.Policies = c.Definition, c.Policies
	if config.ContactEmail = cmp.Or(config.ContactEmail, c.Email); config.ContactEmail == "" {
		return fail(errors.New("the source names no contact, which an External Client App needs; give one with --contact-email"))
	}
	for _, env := range c.Env {
		alias, user, _ := strings.Cut(env, "=")
		if user == "" {
			user = app.RunAsUser
		}
		config.Environments = append(config.Environments, scaffold.Environment{Alias: alias, RunAsUser: user})
	}
	for i := range one.Findings {
		one.Findings[i].File = one.File
	}
	if wrong := app.Wrong(); wrong != nil {
		one.Error = oneLine(wrong.Place() + ": " + wrong.Message())
		e.line("  ! %s", one.Error)
		return one
	}
	project, err := openDir(root)
	if err != nil {
		return fail(err)
	}
	written, err := scaffold.New(project, config)
	if err == nil && c.Write {
		err = scaffold.Write(root, written)
	}
	if err != nil {
		return fail(err)
	}
	e.line("%s, from %s", app.Name, one.File)
	one.Files = listFiles(e, written)
	if len(app.PermissionSets) > 0 {
		e.line("  the orgs need the permission sets before: %s", strings.Join(app.PermissionSets, ", "))
	}
	if app.RunAsUser != "" && len(c.Env) == 0 {
		e.line("  client credentials run as %s: name the org with --env ALIAS, and its policies say so", app.RunAsUser)
	}
	e.together(func(u *ui) {
		for _, f := range one.Findings {
			u.line("  %s", oneLine(f.String()))
		}
	})
	return one
}
