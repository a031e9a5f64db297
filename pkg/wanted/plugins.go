package wanted

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// findPlugins sets the components of an app's further plug-ins that the run deploys: those of the environment in
// project.EnvironmentsDir, of the project or of a package, unless the settings say otherwise, and with apply those
// that .forceignore leaves out of a package. It warns about those that nobody deploys.
func (s *Source) findPlugins(app *App, applies func(byDefault bool) bool, r *resolution) {
	environments := slices.DeleteFunc(slices.Clone(s.searched), func(p searched) bool { return !project.IsEnvironments(p.Package) })
	for _, p := range append(s.withOwn(), environments...) {
		if p.Source == nil || p.Type == "data" {
			continue
		}
		for _, f := range s.undeployed(p, app, r) {
			file := p.path(f.File)
			if !slices.Contains(eca.Plugins(), f.Type.Name) {
				r.warn(file + " is not deployed, because no deployment contains it")
				continue
			}
			if f.Err != nil {
				r.fail(s.inDir(f.Err))
				continue
			}
			other, twice := app.plugins[f.Type.Name]
			switch {
			case !applies(isOfEnvironment(p, f.File)):
				r.warn(file + " is not deployed: " + sfp.IgnoreFile + " leaves it out, and policies are not applied")
			case twice && other.File != file:
				r.fail(&PoliciesError{App: app.Name, Files: []string{other.File, file}})
			default:
				if app.plugins == nil {
					app.plugins = make(map[string]sourceFile)
				}
				app.plugins[f.Type.Name] = sourceFile{Component: f.Component, File: file}
			}
		}
	}
}

// isOfEnvironment reports whether a file is in the directory of an environment that only this module deploys.
func isOfEnvironment(p searched, file string) bool {
	return project.IsEnvironments(p.Package) || strings.HasPrefix(file, path.Join(p.Path, project.EnvironmentsDir)+"/")
}

// undeployed returns the files with components of an app's further plug-ins for the org that neither sf nor sfp
// deploys.
func (s *Source) undeployed(p searched, app *App, r *resolution) (files []project.SourceFile) {
	ignore := p.Ignore(p.Path)
	environments := path.Join(p.Path, project.EnvironmentsDir)
	if project.IsEnvironments(p.Package) {
		environments = p.Path
	}
	// Of an environment, one folder counts, as of an aliasfied package.
	chosen, _ := p.ResolveAlias(sfp.Package{Path: environments, Aliasfy: true}, r.Alias, r.Kind.IsSandbox())
	folders, err := p.DeployedFolders(p.Package, r.Alias, r.Kind.IsSandbox())
	all := p.Plugins(p.Path)
	if !r.Undeployed { // whose packages are deployed with another .forceignore
		all = append(all, settingsIn(p)...)
	}
	for _, f := range all {
		in := func(folder string) bool { return strings.HasPrefix(f.File, folder+"/") }
		switch {
		case f.Component != nil && !strings.EqualFold(f.App(), app.Name):
		case in(environments) && chosen == "":
			r.warn(fmt.Sprintf("%s of %s is not deployed: %s has no directory for %s", f.Type.Name, app.Name, p.path(environments), r.name()))
		case in(environments):
			if in(chosen) {
				files = append(files, f)
			}
		case err == nil && (p.Path == "." || slices.ContainsFunc(folders, in)) && ignore.Ignores(f.File):
			files = append(files, f)
		}
	}
	return files
}

// settingsIn returns the files of a package with components that a run writes from settings, and that sf or sfp deploy
// where .forceignore does not leave them out.
func settingsIn(p searched) (files []project.SourceFile) {
	for _, typ := range append(eca.Satellites(), eca.OAuthSecuritySettings) {
		for _, f := range p.Components(p.Path, typ) {
			if f.Component != nil {
				files = append(files, f)
			}
		}
	}
	return files
}

// addPlugins adds the components of further plug-ins to what an app should have.
func (a *App) addPlugins(d *eca.Desired) {
	for typ, file := range a.plugins {
		fields := eca.Lookup(typ).Sendable(file.Component, a.version)
		delete(fields, "externalClientApplication")
		d.Types = append(d.Types, typ)
		d.Fields[typ], d.Names[typ] = fields, []string{file.FullName}
	}
}

// checkPlugins returns an error if a component of a further plug-in cannot be sent.
func (a *App) checkPlugins() error {
	for _, typ := range eca.Plugins() {
		file, ok := a.plugins[typ]
		if !ok {
			continue
		}
		t := eca.Lookup(typ)
		if err := t.Secret(file.Component); err != nil {
			return &metadata.SourceError{Path: file.File, Err: err}
		}
		if t.Since > a.version && a.version != 0 {
			return &metadata.SourceError{Path: file.File, Err: fmt.Errorf("%s needs API version %s, and the run has %s", typ, t.Since, a.version)}
		}
	}
	return nil
}
