package scaffold

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Adoption is an app that exists on an org, for Adopt.
type Adoption struct {
	App        string                         // the header's fullName
	Components map[string]*metadata.Component // of the app on the org, by type, the header among them

	// PermissionSets grant the app on the org. Assigned reports that the user that client credentials run
	// as has all of them.
	PermissionSets []string
	Assigned       bool
	// CertificatesShown reports that the org shows certificates, so that an app without one has none.
	CertificatesShown bool

	// Org is the org. Its Alias is the environment that the app is adopted for.
	Org project.Org

	// Definition and Policies are as in Config. "" means where the project keeps those of the app, or of
	// other apps.
	Definition, Policies string

	// Beside are the names of other apps that are adopted from the same org. A new folder gets no copy of their
	// policies in default.
	Beside []string
}

// Packaged reports whether the app comes from a package, which has its header and OAuth settings.
func (a Adoption) Packaged() bool {
	header := a.Components[eca.Header]
	if header == nil {
		return false
	}
	state := header.Text("distributionState")
	return state != "" && state != "Local"
}

// Adopted is what Adopt adds to a project.
type Adopted struct {
	Files []File            // for Write; none if the project already declares the app for the environment
	Notes []finding.Finding // what a person should know
}

// DiffersError reports that a project declares an app for an environment, and that the app on the org differs.
type DiffersError struct {
	App, Environment string
	Differs          []string // files, with the fields that differ
}

func (e *DiffersError) Error() string {
	return fmt.Sprintf("the project already declares %s for %s, and the org differs from %s; nothing is overwritten",
		e.App, e.Environment, strings.Join(e.Differs, ", "))
}

// UnstatableError reports that settings and source have no way to state what an org has in a field of an app.
type UnstatableError struct {
	App, Field string
	Why        string
}

func (e *UnstatableError) Error() string {
	return fmt.Sprintf("the project cannot describe %s of %s: %s", e.Field, e.App, e.Why)
}

// Adopt returns the files that declare an app of an org in the project in fsys, for Write: the header, the policies of
// the environment and of default, source of other plug-ins, and the app's entry in plugins.eca, reduced to what a
// bootstrap does not write by default. A Packaged app gets its policies alone. Of an app that the project already
// has, it adds what is missing, and the settings that differ in the environment.
//
// Existing files stay as they are, except that the project file gets additions and eca.sum is updated. If they declare
// the app for the environment in another way, the error is a *DiffersError.
func Adopt(fsys fs.FS, app Adoption) (*Adopted, error) {
	target, err := readProject(fsys)
	if err != nil {
		return nil, err
	}
	if err := target.checkVersion(); err != nil {
		return nil, err
	}
	a := &adoption{Adoption: app, addition: &addition{target: target}}
	if err := a.locate(); err != nil {
		return nil, err
	}
	steps := []func() error{a.choosePolicies, a.addPolicies, a.addPackages}
	if !app.Packaged() {
		steps = []func() error{a.choosePolicies, a.adoptHeader, a.addPolicies, a.addEntry, a.addPackages}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if len(a.differs) > 0 {
		return nil, &DiffersError{a.Adoption.App, app.Org.Alias, a.differs}
	}
	files, err := a.result()
	return &Adopted{Files: files, Notes: a.notes}, err
}

// adoption is an app on its way into a project.
type adoption struct {
	Adoption
	*addition // with the app's name as the project spells it

	header    string             // the project's header of the app, "" if there is none
	own       project.SourceFile // OAuth policies of the app for the environment, without a File if there are none
	inDefault string             // the file in default with policies of the app, "" if there is none
	others    string             // a file with policies of the app for another environment, "" if there is none
	elsewhere bool               // other environments have policies or settings of the app

	folder   string // of the environment
	fallback string // the folder default

	policies *metadata.Component // the OAuth policies to deploy, nil if there are none
	packages []project.NewPackage
	entry    []string // of plugins, nil for none
	stated   map[string]any
	fields   map[string]metadata.Fields // that entry states, by type

	differs []string
	notes   []finding.Finding
}

func (a *adoption) note(rule, field, problem, fix string) {
	a.notes = append(a.notes, finding.Finding{Rule: rule, Level: finding.Warning, App: a.Adoption.App, Field: field, Problem: problem, Fix: fix})
}

// locate finds what the project has of the app, and where it keeps headers and policies.
func (a *adoption) locate() error {
	env := a.Org.Alias
	if env != sfp.DefaultFolder && (!folderName.MatchString(env) || eca.Types().IsFolder(env)) {
		return fmt.Errorf("%q is not a valid folder name for an environment", env)
	}
	t, given := a.target, a.Adoption
	a.Config = Config{App: given.App, Definition: given.Definition, Policies: given.Policies}
	for _, dir := range []string{given.Definition, given.Policies} {
		if err := checkDir(dir); err != nil {
			return err
		}
	}
	layout := t.Project.Layout(t.fsys)
	a.source = t.source(cmp.Or(a.Config.Policies, project.EnvironmentsDir))
	if a.header = t.header(a.source, a.Config.App, ""); a.header != "" {
		_, a.Config.App = eca.Types().OfFile(a.header)
		a.Config.Definition = t.PackageOf(a.header).Path
	} else if layout == project.LayoutSFP {
		a.Config.Definition = t.home(given.Definition, "eca-definition", func(p sfp.Package) bool { return !p.Aliasfy && project.HasHook(t.fsys, p) })
	}
	if layout == project.LayoutSFP {
		hasPolicies := func(p sfp.Package) bool {
			return p.Aliasfy && slices.ContainsFunc(a.source.Components(p.Path, eca.OAuthPolicies), a.isOfApp)
		}
		a.Config.Policies = cmp.Or(given.Policies, t.only(hasPolicies), t.Project.Policies(layout, a.source).Dir)
	}
	if err := a.place(); err != nil {
		return err
	}
	a.source = t.source(a.Config.Policies)
	a.findPolicies()
	for alias := range t.Settings.Apps[a.Config.App].Environments {
		a.elsewhere = a.elsewhere || alias != env && alias != sfp.DefaultFolder
	}
	return nil
}

// isOfApp reports whether a file belongs to the app.
func (a *adoption) isOfApp(f project.SourceFile) bool {
	return strings.EqualFold(f.App(), a.Config.App)
}

// home returns the directory that is given, or that of the package with the usual name, or of the only package that
// is holds for. A project without any gets the usual one.
func (t *target) home(given, usual string, is func(sfp.Package) bool) string {
	dir := t.Beside(usual)
	if slices.ContainsFunc(t.Packages, func(p sfp.Package) bool { return p.Path == dir }) {
		return cmp.Or(given, dir)
	}
	return cmp.Or(given, t.only(is), dir)
}

// only returns the directory of the only package that is holds for, "" if there is none or several.
func (t *target) only(is func(sfp.Package) bool) string {
	packages := slices.DeleteFunc(slices.Clone(t.Packages), func(p sfp.Package) bool { return !is(p) })
	if len(packages) != 1 {
		return ""
	}
	return packages[0].Path
}

// findPolicies finds the OAuth policies that the project has of the app. Those of a package that is not aliasfied are
// for every environment.
func (a *adoption) findPolicies() {
	packages := a.target.Packages
	if !slices.ContainsFunc(packages, func(p sfp.Package) bool { return p.Path == a.Config.Policies }) {
		packages = append(slices.Clone(packages), sfp.Package{Path: a.Config.Policies, Aliasfy: true}) // of an interrupted run, or EnvironmentsPackage
	}
	for _, p := range packages {
		folders := a.source.EnvironmentFolders(p, project.SourceLayout())
		for _, f := range a.source.Components(p.Path, eca.OAuthPolicies) {
			switch environment := path.Base(folders[f.File]); {
			case !a.isOfApp(f):
			case !p.Aliasfy || environment == a.Org.Alias:
				a.own = f
			case environment == sfp.DefaultFolder:
				a.inDefault = f.File
			case folders[f.File] != "":
				a.others, a.elsewhere = f.File, true
			}
		}
	}
}

// isDeclared reports whether the app's settings and header in the project are those of the environment.
func (a *adoption) isDeclared() bool {
	_, stated := a.target.Settings.Apps[a.Config.App].Environments[a.Org.Alias]
	return stated || a.own.File != "" && !a.elsewhere
}

// adoptHeader adds the header with the scripts, or compares the project's with the org's. What the platform makes for
// one org is left out.
func (a *adoption) adoptHeader() error {
	onOrg := a.Components[eca.Header]
	if a.header == "" {
		fields, err := a.deployable(onOrg)
		if err != nil {
			return err
		}
		if err := a.addFile(newFile(a.sources, eca.Header, onOrg.FullName, fields)); err != nil {
			return err
		}
		return a.addScripts()
	}
	for _, f := range a.source.Components(a.Config.Definition, eca.Header) {
		if f.File != a.header {
			continue
		}
		if f.Err != nil {
			return f.Err
		}
		fields := eca.Lookup(eca.Header).Sendable(f.Component, a.target.SourceAPIVersion)
		delete(fields, "orgScopedExternalApp")
		if _, changes := eca.Lookup(eca.Header).Overlay(onOrg, fields); len(changes) > 0 {
			what := a.header + " (" + namesOf(changes) + ")"
			if a.isDeclared() && !a.elsewhere {
				a.differs = append(a.differs, what)
				continue
			}
			a.note("header-differs", namesOf(changes), "the header on the org differs from "+a.header+", and its next deployment changes it", "change the header, if the org's is the right one")
		}
	}
	return nil
}

// namesOf returns the fields of changes.
func namesOf(changes []metadata.Change) string {
	var names []string
	for _, c := range changes {
		names = append(names, c.Field)
	}
	return strings.Join(names, ", ")
}

// deployable returns the fields of a component that source can have. A field that is newer than the project's API
// version is left out if it has its default, and is an error if it has another value.
func (a *adoption) deployable(c *metadata.Component) (metadata.Fields, error) {
	typ, v := eca.Lookup(c.Type), a.target.SourceAPIVersion
	if a.layout != project.LayoutSFP && c.Type != eca.Header || slices.Contains(eca.Plugins(), c.Type) {
		v = 0 // sf and sfp do not deploy it
	}
	fields := typ.Sendable(c, v)
	if c.Type == eca.Header && !a.Packaged() {
		delete(fields, "orgScopedExternalApp")
	}
	if v == 0 {
		return fields, nil
	}
	if typ.Since > v {
		return nil, fmt.Errorf("%s needs API version %s: raise sourceApiVersion in %s, which is %s", typ.Name, typ.Since, sfp.ProjectFile, v)
	}
	empty := &metadata.Component{Type: c.Type}
	for _, newer := range typ.CheckVersion(fields, v) {
		if _, changes := typ.Overlay(empty, metadata.Fields{newer.Path: fields[newer.Path]}); len(changes) > 0 {
			return nil, fmt.Errorf("%s: %w; raise sourceApiVersion in %s", c.FullName, newer, sfp.ProjectFile)
		}
		delete(fields, newer.Path)
	}
	return fields, nil
}

// addPolicies adds the policies of the environment, and those of default with client credentials off, or compares the
// project's with the org's.
func (a *adoption) addPolicies() error {
	if err := a.checkPolicies(); err != nil {
		return err
	}
	if a.Packaged() && a.layout != project.LayoutSFP {
		a.note("not-deployed", "", "sf deploys no file in "+project.EnvironmentsDir+", and a bootstrap deploys the policies of apps whose header the project has", "deploy the directory of the environment with sf")
	}
	if a.own.File != "" && a.policies != nil {
		a.comparePolicies()
	}
	own, err := a.ownComponents()
	if err != nil {
		return err
	}
	fallback := a.policies != nil && a.inDefault == "" && a.Org.Alias != sfp.DefaultFolder && (a.own.File == "" || a.target.aliasfied(a.own.File))
	if len(own) == 0 && !fallback {
		return nil
	}
	if err := a.findFolders(len(own) > 0); err != nil {
		return err
	}
	if fallback {
		all := []*metadata.Component{withoutUser(a.policies)}
		if a.Packaged() && a.Components[eca.PluginPolicies] != nil {
			all = append(all, own[slices.IndexFunc(own, func(c *metadata.Component) bool { return c.Type == eca.PluginPolicies })])
		}
		for _, c := range all {
			if err := a.addFile(componentFile(a.fallback, eca.Lookup(c.Type), c)); err != nil {
				return err
			}
		}
	}
	for _, c := range own {
		dir := a.folder
		if a.layout == project.LayoutSFP && slices.Contains(eca.Plugins(), c.Type) {
			// sfp cannot build a package with them, so its deployment leaves them out.
			dir = path.Join(a.Config.Definition, project.EnvironmentsDir, a.Org.Alias)
			a.hidden = path.Join(a.Config.Definition, project.EnvironmentsDir) + "/"
		}
		if err := a.addFile(componentFile(dir, eca.Lookup(c.Type), c)); err != nil {
			return err
		}
	}
	return nil
}

// ownComponents returns the components that the environment's folder gets.
func (a *adoption) ownComponents() (own []*metadata.Component, err error) {
	if a.own.File == "" && a.policies != nil {
		own = append(own, a.policies)
	}
	others := eca.Plugins()
	if a.Packaged() {
		others = append([]string{eca.PluginPolicies}, others...)
	}
	for _, typ := range others {
		c := a.Components[typ]
		switch {
		case c == nil:
			continue
		case a.Packaged() && a.layout == project.LayoutSFP && typ != eca.PluginPolicies:
			a.note("not-deployed", "", "sfp cannot build a package with "+typ+", and eca deploys it only with a header, so it is not adopted", "set it in Setup of each org")
			continue
		}
		fields, err := a.deployable(c)
		if err != nil {
			return nil, err
		}
		own = append(own, metadata.New(c.Type, c.FullName, fields))
	}
	return own, nil
}

// checkPolicies returns an error if a deployment would give the app policies on an org that has none, or on one of
// the project's environments with its OAuth plugin off.
func (a *adoption) checkPolicies() error {
	fail := func(why string) error { return &UnstatableError{a.Adoption.App, "the OAuth policies", why} }
	if a.policies == nil {
		if file := cmp.Or(a.own.File, a.inDefault, a.others); file != "" {
			return fail("the org has none, or its OAuth plugin is off, and the project has some in " + file)
		}
		return nil
	}
	app := a.target.Settings.Apps[a.Config.App]
	for alias, environment := range app.Environments {
		if environment.PluginPolicies.IsFalse("isOauthPluginEnabled") && a.own.File == "" {
			return fail("the project states that the OAuth plugin is off for " + alias + ", which a new file in default contradicts")
		}
	}
	return nil
}

// aliasfied reports whether a file is in an aliasfied package, or in a new one.
func (t *target) aliasfied(file string) bool {
	p := t.PackageOf(file)
	return p == nil || p.Aliasfy
}

// withoutUser returns OAuth policies for orgs of which nobody knows the user that client credentials run as.
func withoutUser(policies *metadata.Component) *metadata.Component {
	fields := metadata.ByName(policies.Fields)
	delete(fields, "clientCredentialsFlowUser")
	fields.Set("isClientCredentialsFlowEnabled", "false")
	return metadata.New(policies.Type, policies.FullName, fields)
}

// choosePolicies sets the OAuth policies that the project should have: those of the org, without flows that the global
// settings do not allow and a bootstrap would switch on. The platform refuses policies while the OAuth plugin is off.
func (a *adoption) choosePolicies() error {
	onOrg, plugins, global := a.Components[eca.OAuthPolicies], a.Components[eca.PluginPolicies], a.Components[eca.GlobalOAuthSettings]
	if onOrg == nil {
		return nil
	}
	if plugins != nil && eca.Bool(plugins, "isEnabled") && !eca.Bool(plugins, "isOauthPluginEnabled") {
		a.note("oauth-off", "isOauthPluginEnabled", "the OAuth plugin is off on the org, which refuses OAuth policies meanwhile, so they are not adopted", "switch the plugin on, and adopt the app again")
		return nil
	}
	fields, err := a.deployable(onOrg)
	if err != nil {
		return err
	}
	for _, need := range eca.Needs(onOrg) {
		if global != nil && !eca.Bool(global, need.Switch) && fields.Has(need.By) {
			delete(fields, need.By)
			a.note("flow-off", need.By, fmt.Sprintf("it has no effect on the org, because %s is off in the global OAuth settings, so it is left out of the policies", need.Switch), "state both, if the flow is to work")
		}
	}
	a.policies = metadata.New(onOrg.Type, onOrg.FullName, fields)
	if a.inDefault != "" {
		// Policies in default that came with those of this environment are not of another one.
		of := a.policies
		if a.own.File != "" {
			of = a.own.Component
		}
		own, err := componentFile(path.Dir(path.Dir(a.inDefault)), eca.Lookup(eca.OAuthPolicies), withoutUser(of))
		a.elsewhere = a.elsewhere || err != nil || own.Path != a.inDefault || !a.target.has(own)
	}
	return nil
}

// comparePolicies compares the project's OAuth policies of the environment with the org's.
func (a *adoption) comparePolicies() {
	typ, onOrg := eca.Lookup(eca.OAuthPolicies), a.Components[eca.OAuthPolicies]
	fields := typ.Sendable(a.own.Component, a.target.SourceAPIVersion)
	delete(fields, "externalClientApplication")
	if _, changes := typ.Overlay(onOrg, fields); len(changes) > 0 {
		a.differs = append(a.differs, fmt.Sprintf("%s (%s)", a.own.File, namesOf(changes)))
	} else if !strings.EqualFold(a.own.Name, onOrg.FullName) {
		a.differs = append(a.differs, fmt.Sprintf("%s (its name, which is %s on the org)", a.own.File, onOrg.FullName))
	}
}

// findFolders finds the folders of the environment and of default, and with add adds what the environment's folder
// needs if it is new: the policies of default that the org has got so far.
func (a *adoption) findFolders(add bool) error {
	config := a.Config
	config.leftOut = func(app string) bool {
		return !a.Org.Sandbox || slices.ContainsFunc(a.Beside, func(other string) bool { return strings.EqualFold(other, app) })
	}
	if a.Org.Alias != sfp.DefaultFolder {
		config.Environments = []Environment{{Alias: a.Org.Alias}}
	}
	folders, copies, _, err := policyFolders(a.target.fsys, a.source, config)
	if err != nil {
		return err
	}
	for _, f := range folders {
		if f.Alias == a.Org.Alias {
			a.folder = f.dir
		}
		if f.Alias == sfp.DefaultFolder {
			a.fallback = f.dir
		}
	}
	if add {
		a.files = append(a.files, copies...)
	}
	return nil
}

// addPackages adds those packages that the project lacks and new files are in.
func (a *adoption) addPackages() error {
	in := func(dir string) bool {
		return slices.ContainsFunc(a.files, func(f File) bool { return inside(f.Path, dir) })
	}
	if a.layout != project.LayoutSFP {
		if a.header != "" || a.Packaged() {
			return nil
		}
		packages, err := a.plainPackages()
		a.packages = packages
		return err
	}
	first := a.at()
	if a.header == "" && !a.Packaged() {
		definition := a.definitionPackage()
		at, err := a.target.find(&definition, a.acceptDefinition)
		if err != nil {
			return err
		}
		if first = at; first < 0 {
			a.packages = append(a.packages, definition)
		}
	}
	if !in(a.Config.Policies) {
		return nil
	}
	policies := a.policiesPackage()
	second, err := a.target.find(&policies, acceptAliasfied)
	if err == nil && !a.Packaged() {
		err = cmp.Or(a.checkDirs(), a.checkOrder(first, second))
	}
	if second < 0 {
		a.packages = append(a.packages, policies)
	}
	return err
}

// result returns the files to write.
func (a *adoption) result() ([]File, error) {
	t := a.target
	files, err := t.missing(a.files)
	if err != nil {
		return nil, err
	}
	edited, err := t.edit(a.packages, a.entry, a.stated)
	if err != nil {
		return nil, err
	}
	if !a.Packaged() {
		if err := a.check(edited.Content); err != nil {
			return nil, err
		}
	}
	if len(files) == 0 && bytes.Equal(edited.Content, t.data) {
		return nil, nil
	}
	if !bytes.Equal(edited.Content, t.data) {
		files = append(files, edited)
	}
	if a.layout != project.LayoutSFP {
		return files, nil
	}
	ignored, err := a.ignoreHidden()
	if err != nil {
		return nil, err
	}
	return t.addSums(append(ignored, files...), a.source, a.Config.Definition, a.Config.Policies)
}
