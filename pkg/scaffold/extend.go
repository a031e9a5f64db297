package scaffold

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Extension is what Extend adds to an app that a project has.
type Extension struct {
	App          string
	Environments []Environment // new ones; with a user, client credentials are on
	Layout       project.Layout
}

// NoAppError reports that a project does not have an app.
type NoAppError struct{ App string }

func (e *NoAppError) Error() string { return "the project has no header of " + e.App }

// Has reports whether the project in fsys has the header of an app.
func Has(fsys fs.FS, app string) bool {
	t, err := readProject(fsys)
	return err == nil && t.header(t.source(project.EnvironmentsDir), app, "") != ""
}

// UserError reports an environment whose policies already name another user, or none.
type UserError struct{ File, Has, Wants string }

func (e *UserError) Error() string {
	return fmt.Sprintf("%s already exists and runs client credentials as %s, not as %s", e.File, cmp.Or(e.Has, "nobody"), cmp.Or(e.Wants, "nobody"))
}

// Extend returns the files that an app of the project lacks, for Write: the policies of new environments, with the
// content of those in default, and the scripts and digests of its package if they got lost. Existing files stay
// unchanged. If nothing is missing, Extend returns none. The error is a *NoAppError if the project lacks the app, and
// a *UserError if an environment has other policies.
func Extend(fsys fs.FS, extension Extension) ([]File, error) {
	config := Config{App: extension.App, Environments: extension.Environments, Layout: extension.Layout}
	if err := cmp.Or(CheckApp(config.App), config.checkEnvironments()); err != nil {
		return nil, err
	}
	t, err := readProject(fsys)
	if err != nil {
		return nil, err
	}
	a := &addition{Config: config, target: t}
	if err := a.findApp(); err != nil {
		return nil, err
	}
	for _, add := range []func() error{a.extendPolicies, a.restoreScripts} {
		if err := add(); err != nil {
			return nil, err
		}
	}
	files, err := t.missing(a.files)
	if err != nil {
		return nil, err
	}
	edited, err := a.assign()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(edited.Content, t.data) {
		files = append(files, edited)
	}
	if a.layout != project.LayoutSFP {
		return files, nil
	}
	return t.addSums(files, a.source, a.Definition, a.Policies)
}

// findApp finds the app's header and the place of its policies.
func (a *addition) findApp() error {
	t := a.target
	a.layout = cmp.Or(a.Layout, t.Project.Layout(t.fsys))
	a.source = t.source(project.EnvironmentsDir)
	header := t.header(a.source, a.App, "")
	if header == "" {
		return &NoAppError{a.App}
	}
	_, a.App = eca.Types().OfFile(header)
	a.Definition = t.PackageOf(header).Path
	at := t.Project.Policies(a.layout, a.source)
	for _, p := range append(slices.Clone(t.Packages), project.EnvironmentsPackage()) {
		if p.Aliasfy && slices.ContainsFunc(a.source.Components(p.Path, eca.OAuthPolicies), a.owns) {
			at = project.Policies{Dir: p.Path, Package: p, Deployed: !project.IsEnvironments(p)}
		}
	}
	if a.Policies = at.Dir; at.Deployed && at.Package.Path == "" {
		return fmt.Errorf("the project has no policies of %s, and no aliasfied package for them", a.App)
	}
	return nil
}

func (a *addition) owns(f project.SourceFile) bool { return strings.EqualFold(f.App(), a.App) }

// extendPolicies adds the policies of environments that lack them, with the content of default.
func (a *addition) extendPolicies() error {
	if len(a.Environments) == 0 {
		return nil
	}
	folders, copies, own, err := policyFolders(a.target.fsys, a.source, a.Config)
	if err != nil {
		return err
	}
	a.files = append(a.files, copies...)
	for _, f := range folders {
		has := slices.IndexFunc(own, func(file project.SourceFile) bool { return inside(file.File, f.dir) })
		named := slices.ContainsFunc(a.Environments, func(e Environment) bool { return e.Alias == f.Alias })
		switch {
		case has < 0:
			err = a.copyDefault(folders[0], f)
		case named:
			err = checkUser(own[has], f.Environment)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkUser returns an error if existing policies do not run client credentials as the user that is given.
func checkUser(f project.SourceFile, e Environment) error {
	if f.Component == nil {
		return f.Err
	}
	user := ""
	if eca.Bool(f.Component, "isClientCredentialsFlowEnabled") {
		user = strings.TrimSpace(f.Component.Text("clientCredentialsFlowUser"))
	}
	if e.RunAsUser == "" || user == e.RunAsUser {
		return nil
	}
	return &UserError{File: f.File, Has: user, Wants: e.RunAsUser}
}

// copyDefault adds the app's files of the folder default to another folder, with its user.
func (a *addition) copyDefault(from, to folder) error {
	found := false
	for _, f := range a.source.Components(from.dir, "") {
		if !a.owns(f) {
			continue
		}
		if f.Err != nil {
			return f.Err
		}
		fields := metadata.ByName(f.Component.Fields)
		if f.Type.Name == eca.OAuthPolicies {
			found = true
			delete(fields, "clientCredentialsFlowUser")
			fields.Set("isClientCredentialsFlowEnabled", fmt.Sprint(to.RunAsUser != ""))
			if to.RunAsUser != "" {
				fields.Set("clientCredentialsFlowUser", to.RunAsUser)
			}
		}
		if err := a.addFile(newFile(to.dir, f.Type.Name, f.Name, fields)); err != nil {
			return err
		}
	}
	if !found {
		a.preset = a.plain()
		a.Label = strings.ReplaceAll(a.App, "_", " ")
		a.PermissionSets = a.target.Settings.Apps[a.App].PermissionSets
		return a.addFile(policies(a.Config, a.preset, to))
	}
	return nil
}

// restoreScripts adds the script of the app's package, with that for Windows, if it got lost.
func (a *addition) restoreScripts() error {
	i := a.at()
	if a.layout != project.LayoutSFP || i < 0 || a.target.Packages[i].Script == "" {
		return nil
	}
	at := path.Clean(a.target.Packages[i].Script)
	if at == script {
		return a.addScripts()
	}
	if _, err := fs.Stat(a.target.fsys, at); !errors.Is(err, fs.ErrNotExist) || path.Base(at) != path.Base(script) {
		return nil // somebody's own
	}
	content, err := fs.ReadFile(ecakit.Sample, script)
	return a.addFile(File{Path: at, Content: content, Mode: 0o755}, err)
}

// assign returns the project file in which the users of new environments get the app's permission sets, as those of
// the first ones do.
func (a *addition) assign() (File, error) {
	t := a.target
	settings := t.Settings.Apps[a.App]
	edited := File{Path: sfp.ProjectFile, Content: t.data, Mode: t.mode, Replaces: true, before: t.data}
	for _, e := range a.Environments {
		effective := t.Settings.For(a.App, e.Alias, false)
		if e.RunAsUser == "" || len(effective.PermissionSets) == 0 || effective.AssignToRunAsUser != nil || settings.Environments[e.Alias].AssignToRunAsUser != nil {
			continue
		}
		content, err := project.AddToProject(edited.Content, nil, []string{"eca", "apps", a.App, "environments", e.Alias, "assignToRunAsUser"}, true)
		if err != nil {
			return edited, &sfp.ProjectError{File: sfp.ProjectFile, Err: err}
		}
		edited.Content = content
	}
	return edited, nil
}
