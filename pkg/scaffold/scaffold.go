// Package scaffold adds a new External Client App to an sfp project: the app's header in a
// source package with the bootstrap script, an aliasfied package with each environment's
// policies, and the packages and settings in sfdx-project.json.
package scaffold

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// script is the path of the script that sfp runs after deploying the definition.
const script = "scripts/bootstrap-eca-oauth.sh"

// windowsScript is its counterpart for cmd.exe, beside it.
const windowsScript = "scripts/bootstrap-eca-oauth.cmd"

// New returns the files that add the app to the project in fsys, in the order to write them.
// The project file comes last, so it never names files that do not exist. Existing files stay
// unchanged, except that the project file gets additions. New files that exist with the same content
// are left out, because an interrupted Write created them; with another content, they are an error.
// If the project already has everything, New returns none. If it has the app with the same settings, New
// returns what is missing, like the policies of another environment. If it has other settings of the app, or
// files with another content, the error is an *ExistsError.
func New(fsys fs.FS, config Config) ([]File, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	target, err := readOrCreate(fsys, config.NewProject)
	if err != nil {
		return nil, err
	}
	a := &addition{Config: config.withSets(), target: target}
	if err := a.place(); err != nil {
		return nil, err
	}
	a.source = target.source(a.Policies)
	a.hasUser = a.runsAlready()
	if a.preset, err = a.Config.preset(); err != nil {
		return nil, err
	}
	target.layout = a.statedLayout()
	a.Label = cmp.Or(a.Label, strings.ReplaceAll(a.App, "_", " "))
	if err := a.checkVersion(); err != nil {
		return nil, err
	}
	packages, err := a.packages()
	if err == nil {
		for _, add := range []func() error{a.addHeader, a.addPolicies, a.addCertificate, a.addPermissionSets, a.addScripts} {
			if err = add(); err != nil {
				break
			}
		}
	}
	switch {
	case err != nil && a.existing != nil:
		return nil, a.existing
	case err != nil:
		return nil, err
	}
	ignored, err := a.ignoreHidden()
	if err != nil {
		return nil, err
	}
	settings, err := a.settings()
	if err != nil {
		return nil, &sfp.ProjectError{File: sfp.ProjectFile, Err: err}
	}
	files, err := target.add(a.files, packages, []string{"eca", "apps", a.App}, settings, a.existing)
	if err != nil || a.layout != project.LayoutSFP {
		return files, err
	}
	files = append(ignored, files...)
	return a.target.addSums(files, a.source, a.Definition, a.Policies)
}

// addition is a new app in a project.
type addition struct {
	Config // with defaults
	preset Preset
	target *target
	source *project.Source
	files  []File // the new ones

	layout  project.Layout
	hidden  string // a line of .forceignore, "" for none
	sources string // the directory of the header's type folder

	existing *ExistsError // of settings of the app, nil if there are none
}

// runsAlready reports whether policies of the app in the project run client credentials as a user, like those of an
// earlier run for another environment.
func (a *addition) runsAlready() bool {
	return slices.ContainsFunc(a.source.Components(a.Policies, eca.OAuthPolicies), func(f project.SourceFile) bool {
		return strings.EqualFold(f.App(), a.App) && eca.Bool(f.Component, "isClientCredentialsFlowEnabled")
	})
}

func (a *addition) addFile(f File, err error) error {
	a.files = append(a.files, f)
	return err
}

// checkVersion checks the app against the project's settings and API version, and adapts its
// fields to the version.
func (a *addition) checkVersion() (err error) {
	for app := range a.target.Settings.Apps {
		if strings.EqualFold(app, a.App) {
			a.existing = &ExistsError{What: "settings of " + app}
		}
	}
	if err := a.target.checkVersion(); err != nil {
		return err
	}
	a.Fields, err = fieldsFor(a.Fields, a.target.SourceAPIVersion)
	return err
}

// checkVersion returns an error if the project's API version has no policies of apps.
func (t *target) checkVersion() error {
	if v := t.SourceAPIVersion; v != 0 && v < eca.MinVersion {
		return fmt.Errorf("%s: sourceApiVersion is %s, but External Client Apps with policies need %s", sfp.ProjectFile, v, eca.MinVersion)
	}
	return nil
}

// fieldsFor returns fields as an API version has them, 0 for the latest. Before 63.0, the start page
// is a field of the OAuth policies.
func fieldsFor(fields map[string]metadata.Fields, v apiversion.Version) (map[string]metadata.Fields, error) {
	if v == 0 {
		return fields, nil
	}
	fields = maps.Clone(fields)
	if plugin := fields[eca.PluginPolicies]; plugin.Has("startUrl") && v < eca.Lookup(eca.PluginPolicies).Field("startUrl").Since {
		policies := fields[eca.OAuthPolicies].Over(nil)
		policies["startUrl"] = plugin["startUrl"]
		plugin = plugin.Over(nil)
		delete(plugin, "startUrl")
		delete(plugin, "startPage")
		fields[eca.PluginPolicies], fields[eca.OAuthPolicies] = plugin, policies
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		typ := eca.Lookup(name)
		if len(fields[name]) > 0 && typ.Since > v {
			return nil, fmt.Errorf("%s needs API version %s: raise sourceApiVersion in %s, which is %s", name, typ.Since, sfp.ProjectFile, v)
		}
		if newer := typ.CheckVersion(fields[name], v); len(newer) > 0 {
			return nil, fmt.Errorf("%w; raise sourceApiVersion in %s", newer[0], sfp.ProjectFile)
		}
	}
	return fields, nil
}

// definitionPackage and policiesPackage return the two packages as an empty project would get them.
func (a *addition) definitionPackage() project.NewPackage {
	return project.NewPackage{Path: a.Definition, Type: "source", Default: a.target.lacksDefault(), AlwaysDeploy: true, PostDeploymentScript: script}
}

func (a *addition) policiesPackage() project.NewPackage {
	return project.NewPackage{Path: a.Policies, Type: "source", Aliasfy: true, AlwaysDeploy: true}
}

// checkOrder returns an error if the policies package, at the second position in packageDirectories, comes before
// the definition package at the first one. -1 is a new package.
func (a *addition) checkOrder(first, second int) error {
	if second >= 0 && (first < 0 || second < first) {
		return fmt.Errorf("the policies package %s must come after the definition package %s in %s; change their order, or choose another directory", a.Policies, a.Definition, sfp.ProjectFile)
	}
	return nil
}

// checkDirs returns an error if the two packages cannot be in their directories.
func (a *addition) checkDirs() error {
	if inside(a.Definition, a.Policies) || inside(a.Policies, a.Definition) || path.Base(a.Definition) == path.Base(a.Policies) {
		return fmt.Errorf("%s and %s cannot be the two packages; use different names, and do not nest them", a.Definition, a.Policies)
	}
	return nil
}

// packages returns those of the two packages that the project lacks.
func (a *addition) packages() (packages []project.NewPackage, err error) {
	if a.layout != project.LayoutSFP {
		return a.plainPackages()
	}
	if err := a.checkDirs(); err != nil {
		return nil, err
	}
	definition, policies := a.definitionPackage(), a.policiesPackage()
	first, err := a.target.find(&definition, a.acceptDefinition)
	if err != nil {
		return nil, err
	}
	second, err := a.target.find(&policies, acceptAliasfied)
	if err != nil {
		return nil, err
	}
	if err := a.checkOrder(first, second); err != nil {
		return nil, err
	}
	if first < 0 {
		packages = append(packages, definition)
	}
	if second < 0 {
		packages = append(packages, policies)
	}
	return packages, nil
}

// acceptDefinition decides whether an existing package can have the app's header.
func (a *addition) acceptDefinition(p sfp.Package) error {
	if p.Aliasfy {
		return fmt.Errorf("the package %s already exists and is aliasfied; the definition package must not be", p.Name)
	}
	if path.Clean(p.Script) == script {
		return nil
	}
	if calls, err := project.CallsHook(a.target.fsys, path.Clean(p.Script)); err != nil || !calls {
		return fmt.Errorf(`the package %s already exists, but its "postDeploymentScript" does not call eca`, p.Name)
	}
	return nil
}

// acceptAliasfied decides whether an existing package can have a folder for each environment.
func acceptAliasfied(p sfp.Package) error {
	if !p.Aliasfy {
		return fmt.Errorf("the package %s already exists, but it is not an aliasfied package; choose another directory", p.Name)
	}
	return nil
}

func (a *addition) addHeader() error {
	fields := metadata.Stated("contactEmail", a.ContactEmail, "distributionState", "Local", "isProtected", "false",
		"label", a.Label).Over(a.Fields[eca.Header])
	header, err := newFile(a.sources, eca.Header, a.App, fields)
	if a.existing != nil {
		return a.addFile(header, err) // compared below
	}
	if file := a.target.header(a.source, a.App, ""); file != "" && (file != header.Path || !a.target.has(header)) {
		return fmt.Errorf("%s is already a header of %s; only a new app can be added", file, a.App)
	}
	return a.addFile(header, err)
}

// addPolicies adds the policies of each environment, with the components beside them.
func (a *addition) addPolicies() error {
	folders, copies, own, err := policyFolders(a.target.fsys, a.source, a.Config)
	if err != nil {
		return err
	}
	a.files = append(a.files, copies...)
	for _, f := range folders {
		if a.keeps(f, own) {
			continue
		}
		if err := a.addFile(policies(a.Config, a.preset, f)); err != nil {
			return err
		}
		for _, plugin := range plugins {
			if len(a.Fields[plugin.typ]) == 0 {
				continue
			}
			fields := metadata.Stated("externalClientApplication", a.App, "label", a.Label).Over(a.Fields[plugin.typ])
			dir := f.dir
			if a.layout == project.LayoutSFP {
				// sfp cannot build a package with them, so its deployment leaves them out.
				dir = path.Join(a.Definition, project.EnvironmentsDir, f.Alias)
				a.hidden = path.Join(a.Definition, project.EnvironmentsDir) + "/"
			}
			if err := a.addFile(newFile(dir, plugin.typ, a.App+plugin.ending, fields)); err != nil {
				return err
			}
		}
	}
	if a.existing != nil {
		return nil // compared below
	}
	for _, f := range own {
		i := slices.IndexFunc(a.files, func(new File) bool { return new.Path == f.File })
		if i < 0 || !a.target.has(a.files[i]) {
			return fmt.Errorf("%s already has policies of %s; only a new app can be added", f.File, f.App())
		}
	}
	return nil
}

// ignoreHidden returns .forceignore with the line for components that sfp cannot build, none if it has the line.
func (a *addition) ignoreHidden() ([]File, error) {
	if a.hidden == "" {
		return nil, nil
	}
	file, err := a.target.ignoring([]string{a.hidden}, "What sfp cannot build, and eca deploys")
	if err != nil || bytes.Equal(file.Content, file.before) {
		return nil, err
	}
	return []File{file}, nil
}

// keeps reports whether the policies that an existing app has in a folder stay as they are, because the
// configuration does not name the environment.
func (a *addition) keeps(f folder, own []project.SourceFile) bool {
	named := slices.ContainsFunc(a.Environments, func(e Environment) bool { return e.Alias == f.Alias })
	return a.existing != nil && f.Alias != sfp.DefaultFolder && !named &&
		slices.ContainsFunc(own, func(file project.SourceFile) bool { return inside(file.File, f.dir) })
}

// certificateFile is the path of the app's certificate below the definition's directory.
func certificateFile(app string) string { return "certs/" + app + ".crt" }

func (a *addition) addCertificate() error {
	if a.Certificate == nil {
		return nil
	}
	text, err := metadata.CertificatePEM(a.Certificate)
	return a.addFile(File{Path: path.Join(a.Definition, certificateFile(a.App)), Content: []byte(text + "\n"), Mode: 0o644}, err)
}

// addPermissionSets adds the permission sets that the project lacks, empty. Those with a namespace belong
// to a package.
func (a *addition) addPermissionSets() error {
	for _, name := range a.PermissionSets {
		if !a.SetsElsewhere && !strings.Contains(name, "__") && !hasPermissionSet(a.source, a.target.Project, name) {
			if err := a.addFile(permissionSet(a.sources, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasPermissionSet reports whether the project has a permission set.
func hasPermissionSet(source *project.Source, proj *project.Project, name string) bool {
	file := strings.ToLower(name) + ".permissionset-meta.xml"
	for _, p := range proj.Packages {
		if slices.ContainsFunc(source.Files(p.Path), func(other string) bool { return strings.ToLower(path.Base(other)) == file }) {
			return true
		}
	}
	return false
}

// permissionSet returns the file of an empty permission set, which will grant the app.
func permissionSet(dir, name string) (File, error) {
	fields := metadata.Stated("hasActivationRequired", "false", "label", strings.ReplaceAll(name, "_", " "))
	return componentFile(dir, eca.Lookup(eca.PermissionSet), metadata.New(eca.PermissionSet, name, fields))
}

// addScripts adds the scripts, unless the project has one that calls eca.
func (a *addition) addScripts() error {
	if a.layout != project.LayoutSFP {
		return nil // sf runs none
	}
	first := File{Path: script}
	first.Content, _ = fs.ReadFile(ecakit.Sample, script)
	// Before the project has an app, an interrupted run may have written one of the two.
	unfinished := len(a.target.Settings.Apps) == 0 && a.target.has(first)
	if _, err := fs.Stat(a.target.fsys, script); !errors.Is(err, fs.ErrNotExist) && !unfinished && !a.lacksWindowsScript() {
		switch calls, err := project.CallsHook(a.target.fsys, script); {
		case err != nil:
			return notCreated(script)
		case !calls:
			return fmt.Errorf("%s already exists but does not call eca, and is not overwritten", script)
		}
		return nil
	}
	for _, name := range []string{script, windowsScript} {
		content, err := fs.ReadFile(ecakit.Sample, name)
		if err := a.addFile(File{Path: name, Content: content, Mode: 0o755}, err); err != nil {
			return err
		}
	}
	return nil
}

// lacksWindowsScript reports whether the project has the script as it is written here, without that for Windows.
func (a *addition) lacksWindowsScript() bool {
	content, _ := fs.ReadFile(ecakit.Sample, script)
	_, err := fs.Stat(a.target.fsys, windowsScript)
	return errors.Is(err, fs.ErrNotExist) && a.target.has(File{Path: script, Content: content})
}

// appSettings is the app's entry in plugins.eca.
type appSettings struct {
	OAuthSettings       map[string]any `json:"oauthSettings"`
	GlobalOAuthSettings map[string]any `json:"globalOauthSettings"`
	PluginPolicies      map[string]any `json:"pluginPolicies,omitempty"`
	PermissionSets      []string       `json:"permissionSets,omitempty"`
	AssignToRunAsUser   bool           `json:"assignToRunAsUser,omitempty"`
}

// settings returns the app's entry in plugins.eca.
func (a *addition) settings() (settings appSettings, err error) {
	scopes := a.Scopes
	if len(scopes) == 0 {
		scopes = a.preset.Scopes
	}
	for _, scope := range scopes {
		if err := eca.CheckScope(scope); err != nil {
			return settings, err
		}
	}
	callbacks := a.CallbackURLs
	if len(callbacks) == 0 {
		callbacks = []string{"{orgDomainUrl}/services/oauth2/success"}
	}
	settings = appSettings{
		OAuthSettings:       map[string]any{"commaSeparatedOauthScopes": scopes},
		GlobalOAuthSettings: map[string]any{"callbackUrl": callbacks},
		PluginPolicies:      project.FieldSettings(eca.Lookup(eca.PluginPolicies), a.Fields[eca.PluginPolicies]),
		PermissionSets:      a.PermissionSets,
	}
	for field, on := range a.preset.Global {
		settings.GlobalOAuthSettings[field] = on
	}
	maps.Copy(settings.OAuthSettings, project.FieldSettings(eca.Lookup(eca.OAuthSettings), a.Fields[eca.OAuthSettings]))
	maps.Copy(settings.GlobalOAuthSettings, project.FieldSettings(eca.Lookup(eca.GlobalOAuthSettings), a.Fields[eca.GlobalOAuthSettings]))
	settings.GlobalOAuthSettings["certificate"] = "none"
	if a.Certificate != nil {
		settings.GlobalOAuthSettings["certificate"] = map[string]string{"file": certificateFile(a.App)}
	}
	settings.AssignToRunAsUser = len(a.PermissionSets) > 0 && a.hasRunAsUser()
	return settings, nil
}
