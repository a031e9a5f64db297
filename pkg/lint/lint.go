// Package lint checks an sfp project against the requirements of External Client Apps on
// source, without an org: the constraints of flxbl's guide for both of its patterns, and those
// of the metadata types.
//
// Pattern 1 deploys a Packaged app with the link to its consumer. Pattern 2 deploys the header
// of a Local app, and each org creates its own consumer. RULES.md describes each rule.
package lint

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/files"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// NothingError reports that a directory has nothing that Run checks: no External Client App,
// Connected App, external or named credential, and no settings.
type NothingError struct{ Dir string }

func (e *NothingError) Error() string {
	return "nothing to check in " + e.Dir + ": it has no External Client App, Connected App, external or named credential, and no settings of plugins.eca"
}

// Run checks the project in fsys. It returns only findings within the directory under, or all
// for ".", sorted by file and line, and at most 2000. A directory outside the project's packages is
// checked like a package without a name, and so is any directory if fsys has neither a project file nor a
// manifest. It returns an error only if it cannot read the project file, or a *NothingError.
func Run(fsys fs.FS, under string) ([]finding.Finding, error) {
	_, findings, err := run(fsys, under)
	return findings, err
}

func run(fsys fs.FS, under string) (*linter, []finding.Finding, error) {
	l := &linter{
		fsys: fsys, lines: make(map[string]*lines), malformed: make(map[string]bool), platformMade: make(map[string][]string),
		inPackages: make(map[string]bool), guessed: make(map[string]map[string]string), unread: make(map[unread]bool),
	}
	proj, wrong, err := project.ReadLoosely(fsys, sfp.ProjectFile)
	if errors.Is(err, fs.ErrNotExist) {
		proj, err = &project.Project{Project: &sfp.Project{Packages: []sfp.Package{{Path: under}}}}, nil
	}
	for _, setting := range wrong {
		l.add("settings", finding.Error, sfp.ProjectFile, setting.Path, setting.Error(), "correct it; the rest was checked without it")
	}
	if err != nil {
		projectErr, ok := errors.AsType[*sfp.ProjectError](err)
		if !ok {
			return nil, nil, err
		}
		l.add("settings", finding.Error, sfp.ProjectFile, "", projectErr.Err.Error(), "correct it; nothing else was checked")
		return l, l.all("."), nil
	}
	l.project = proj
	l.under = under
	settings := proj.Settings
	l.checked = under == "." && len(settings.Apps)+len(settings.Connections)+len(settings.Audit.Rules)+len(settings.Audit.Accept) > 0
	outside := func(p sfp.Package) bool { return !isWithin(under, p.Path) && !isWithin(p.Path, under) }
	if !slices.ContainsFunc(proj.Packages, func(p sfp.Package) bool { return !outside(p) }) && under != "." {
		proj.Packages = append(proj.Packages, sfp.Package{Path: under})
	}
	l.layout = proj.Layout(fsys)
	if info, err := fs.Stat(fsys, project.EnvironmentsDir); err == nil && info.IsDir() {
		l.checkOutside()
		proj.Packages = append(proj.Packages, project.EnvironmentsPackage())
	}
	var dirs []string
	for _, p := range proj.Packages {
		if p.Type != "data" {
			dirs = append(dirs, p.Path)
		}
	}
	l.source = project.ReadSource(fsys, dirs...)
	for i := range proj.Packages {
		if p := &proj.Packages[i]; p.Type != "data" {
			l.read(i, p)
		}
	}
	for _, problem := range l.source.Problems() {
		file, what, _ := strings.Cut(problem, " ")
		l.add("unreadable", finding.Warning, file, "", what, "make it a file that sf can read")
	}
	l.checkFiles()
	l.checkIgnored()
	l.checkHeaders()
	l.checkLinks()
	l.checkEnvironments()
	l.checkBuild()
	l.checkPolicies()
	l.checkFolders()
	l.checkApps()
	l.checkHandOver()
	l.checkCredentials()
	for _, at := range proj.Settings.OldKeys() {
		l.add("settings", finding.Warning, sfp.ProjectFile, at, at+" is now called pluginPolicies", "rename it")
	}
	for _, w := range proj.Settings.Warnings {
		l.add("settings", finding.Warning, sfp.ProjectFile, w.Path, w.Path+": "+w.Problem, w.Fix)
	}
	if v := proj.SourceAPIVersion; v != 0 && v < eca.MinVersion && (len(settings.Apps) > 0 || len(l.components) > 0) {
		l.add("settings", finding.Error, sfp.ProjectFile, "sourceApiVersion", fmt.Sprintf("sourceApiVersion is %s, but External Client Apps with policies need %s", v, eca.MinVersion), "raise it")
	}
	l.checkSettings()
	l.checkSums()
	l.checkAlwaysDeploy()
	findings := l.all(under)
	if len(findings) == 0 && !l.checked {
		return nil, nil, &NothingError{under}
	}
	return l, findings, nil
}

// isWithin reports whether a path is a directory or in it.
func isWithin(name, dir string) bool {
	return dir == "." || name == dir || strings.HasPrefix(name, dir+"/")
}

// all returns the findings within a directory, sorted.
func (l *linter) all(under string) (findings []finding.Finding) {
	for _, f := range l.findings {
		if f.within(under) {
			findings = append(findings, f.Finding)
		}
	}
	return finding.Sort(findings)
}

// linter is one run over a project.
type linter struct {
	fsys        fs.FS
	project     *project.Project
	layout      project.Layout
	source      *project.Source
	components  []component
	credentials []component  // external and named ones
	ignored     []component  // components that .forceignore leaves out of the deployment
	broken      []brokenFile // ignored policies that cannot be parsed
	unread      map[unread]bool
	malformed   map[string]bool // apps whose header cannot be parsed or is not deployed, folded
	lines       map[string]*lines
	findings    []found
	under       string // the directory to check
	checked     bool   // there is something to check in it

	platformMade map[string][]string // elements to remove, by file

	inPackages map[string]bool              // files that checkEnvironments reports
	guessed    map[string]map[string]string // folders of environments by file, by package
}

// found is a finding with the package it concerns, if it is in the project file.
type found struct {
	finding.Finding
	pkg *sfp.Package
}

// within reports whether a finding concerns a directory or its contents, or a package that
// contains the directory.
func (f found) within(dir string) bool {
	return isWithin(f.File, dir) || f.pkg != nil && (isWithin(f.pkg.Path, dir) || isWithin(dir, f.pkg.Path))
}

// component is a component in the source.
type component struct {
	*metadata.Component
	file    string
	pkg     *sfp.Package
	index   int    // position of the package in the project
	environ string // the environment's folder, "" if the package is not aliasfied or the file is in none
	ignored bool   // sf and sfp do not deploy the file
}

// deployedIn returns the API version in which sf or sfp deploys the component, 0 if neither does: then it
// goes to an org in the newest version that the org has.
func (c component) deployedIn(proj *project.Project) apiversion.Version {
	if c.ignored || project.IsEnvironments(*c.pkg) {
		return 0
	}
	return proj.SourceAPIVersion
}

// environment returns the alias of the component's environment folder, or "".
func (c component) environment() string {
	if c.environ == "" {
		return ""
	}
	return path.Base(c.environ)
}

// add adds a finding in a file. at is the dotted path of an element or JSON value, like
// packageDirectories[0].path; "" means the whole file.
func (l *linter) add(rule string, level finding.Level, file, at, problem, fix string) {
	l.note(finding.Finding{Rule: rule, Level: level, File: file, Line: l.line(file, at, problem), Problem: problem, Fix: fix}, nil)
}

// addFinding adds a finding about a component.
func (l *linter) addFinding(c component, f finding.Finding) {
	at := f.Field
	if f.Rule == "run-as-user" && c.Text(at) == "" {
		at = "isClientCredentialsFlowEnabled" // the element that requires the missing one
	}
	f.File, f.Line = c.file, l.line(c.file, at, f.Problem)
	l.note(f, nil)
}

func (l *linter) note(f finding.Finding, p *sfp.Package) {
	if len(l.findings) < maxFindings {
		f.Problem, f.Fix = words.Clip(f.Problem), words.Clip(f.Fix)
		l.findings = append(l.findings, found{f, p})
	}
}

// maxFindings bounds the findings of a run; nobody reads more.
const maxFindings = 2000

// addPackage adds a finding about a package in the project file.
func (l *linter) addPackage(rule string, level finding.Level, p *sfp.Package, problem, fix string) {
	at := ""
	for i := range l.project.Packages {
		if &l.project.Packages[i] == p {
			at = fmt.Sprintf("packageDirectories[%d]", i)
		}
	}
	l.note(finding.Finding{Rule: rule, Level: level, File: sfp.ProjectFile, Line: l.line(sfp.ProjectFile, at, problem), Problem: problem, Fix: fix}, p)
}

// maxScanned is the maximum size in bytes of a file that is searched for keys.
const maxScanned = 1 << 20

// read reads the files of a package.
func (l *linter) read(index int, p *sfp.Package) {
	if info, err := fs.Stat(l.fsys, p.Path); err != nil || !info.IsDir() {
		problem := fmt.Sprintf("the directory %s of package %s does not exist", p.Path, p.Name)
		l.addPackage("settings", finding.Error, p, problem, "create it, or remove the package")
		return
	}
	for _, dir := range l.source.Unreadable() {
		if dir == p.Path || strings.HasPrefix(dir, p.Path+"/") {
			l.addUnreadable(dir)
		}
	}
	ignore := l.source.Ignore(p.Path)
	if project.IsEnvironments(*p) {
		ignore = nil // which is about deployments of sf and sfp
	}
	var folders map[string]string
	if p.Aliasfy {
		folders = l.source.EnvironmentFolders(*p, project.SourceLayout())
	}
	components := make(map[string]project.SourceFile)
	for _, f := range l.source.Components(p.Path, "") {
		components[f.File] = f
	}
	dir, passedOver := "", false
	for _, file := range l.source.Files(p.Path) {
		if at := file[:max(0, strings.LastIndexByte(file, '/'))]; at != dir {
			dir, passedOver = at, l.passedOver(p, at)
		}
		if passedOver {
			continue
		}
		f, isComponent := components[file]
		data, regular, err := l.content(file)
		if err != nil {
			l.addUnreadable(file)
			l.unknown(f)
		}
		if err != nil || !regular {
			continue
		}
		ignored := ignore.Ignores(file)
		l.checkContent(file, data)
		if !ignored {
			l.checkType(file)
			l.checkName(file, data, isComponent)
		}
		isCredential := l.readCredential(file, p, ignored)
		isConnected := connectedapp.NameOf(file) != ""
		if isConnected {
			l.readConnectedApp(file)
		}
		if isComponent || isCredential || isConnected {
			l.checked = l.checked || isWithin(file, l.under)
		}
		if isComponent {
			l.checkReplaced(p, file, data, ignored)
			l.readComponent(f, component{Component: f.Component, file: file, pkg: p, index: index, environ: folders[file], ignored: ignored})
		}
	}
}

// content returns the content of a regular file, nil if the file is too large to be searched. Like
// sfp, it does not follow links.
func (l *linter) content(file string) (data []byte, regular bool, err error) {
	if !l.source.IsRegular(file) {
		return nil, false, nil
	}
	if data, err = files.ReadUpTo(l.fsys, file, maxScanned); errors.Is(err, files.ErrTooLarge) {
		err = nil
	}
	return data, true, err
}

// readComponent adds a component to those that are checked.
func (l *linter) readComponent(f project.SourceFile, c component) {
	ignored := c.ignored
	if ignored || f.Err != nil {
		l.unknown(f)
	}
	switch {
	case ignored && f.Err == nil:
		l.ignored = append(l.ignored, c)
	case ignored && f.Type.Name == eca.OAuthPolicies:
		l.broken = append(l.broken, brokenFile{c, f.Err})
	case ignored:
	case f.Err != nil:
		l.addMalformed(c.file, f.Err)
		l.unread[unread{c.pkg, f.Type.Name}] = true
	default:
		l.components = append(l.components, c)
		if strings.TrimSpace(eca.App(c.Component)) == "" {
			l.unread[unread{c.pkg, f.Type.Name}] = true
		}
	}
}

// unread are the components of a type in a package of which one cannot be parsed or names no app, so that it may be
// that of any app.
type unread struct {
	pkg *sfp.Package
	typ string
}

func (l *linter) addUnreadable(file string) {
	l.add("unreadable", finding.Warning, file, "", "cannot be read, so it was not checked", "make it readable")
}

// passedOver reports whether to skip the files of a directory: those of other tools, and those of a nested
// package, which is read by itself.
func (l *linter) passedOver(p *sfp.Package, dir string) bool {
	below := strings.TrimPrefix(strings.TrimPrefix(dir, p.Path), "/")
	if hasElement(below, "node_modules") || strings.HasPrefix(below, ".") && below != "." || strings.Contains(below, "/.") {
		return true
	}
	return slices.ContainsFunc(l.project.Packages, func(other sfp.Package) bool {
		nested := p.Path == "." && other.Path != "." || strings.HasPrefix(other.Path, p.Path+"/")
		return nested && isWithin(dir, other.Path)
	})
}

// hasElement reports whether a path has an element.
func hasElement(name, element string) bool {
	return name == element || strings.HasPrefix(name, element+"/") || strings.HasSuffix(name, "/"+element) ||
		strings.Contains(name, "/"+element+"/")
}

func (l *linter) addMalformed(file string, err error) {
	if sourceErr, ok := errors.AsType[*metadata.SourceError](err); ok {
		err = sourceErr.Err
	}
	l.add("malformed", finding.Error, file, "", err.Error(), "correct the file")
}

// brokenFile is a file that cannot be parsed.
type brokenFile struct {
	component
	err error
}

// unknown records a header that cannot be parsed or is not deployed, so that the app's other
// components cause no findings about it.
func (l *linter) unknown(f project.SourceFile) {
	if f.Type != nil && f.Type.Name == eca.Header {
		l.malformed[strings.ToLower(f.Name)] = true
	}
}

// of returns the components of a type.
func (l *linter) of(typ string) (all []component) {
	for _, c := range l.components {
		if c.Type == typ {
			all = append(all, c)
		}
	}
	return all
}

// header returns the header of an app.
func (l *linter) header(app string) (component, bool) {
	for _, c := range l.of(eca.Header) {
		if strings.EqualFold(c.FullName, app) {
			return c, true
		}
	}
	return component{}, false
}

func isLocal(header component) bool {
	state := header.Text("distributionState")
	return state == "" || state == "Local"
}

// checkAlias checks for settings of an environment whose name differs from a folder's by case
// alone.
func (l *linter) checkAlias(alias string) {
	for name, app := range l.project.Settings.Apps {
		for environment := range app.Environments {
			if environment != alias && strings.EqualFold(environment, alias) {
				at := "plugins.eca.apps." + name + ".environments." + environment
				l.add("settings", finding.Warning, sfp.ProjectFile, at, fmt.Sprintf("%s is not used for %s, because names are case-sensitive", at, alias), "use the same spelling")
			}
		}
	}
}

// checkSettings checks, for each environment, for settings that contradict one another or the
// policies.
func (l *linter) checkSettings() {
	aliases := l.aliases()
	type wrong struct {
		path    string
		aliases []string
	}
	byMessage := make(map[string]*wrong)
	for _, h := range l.of(eca.Header) {
		if !isLocal(h) {
			continue
		}
		certificates := l.project.Settings.Certificates(h.FullName, l.fsys, h.pkg.Path)
		for _, alias := range aliases {
			org := project.Org{
				Alias: alias, Name: alias, Sandbox: true, DomainURL: "https://example.my.salesforce.com",
				Version: apiversion.Latest, // the org decides at last
			}
			policies := l.policiesOf(h.FullName, alias)
			wanted, err := l.project.Settings.Wanted(h.FullName, org, policies, certificates)
			granted := len(l.project.Settings.For(h.FullName, alias, true).PermissionSets) > 0
			l.checkUse(use{app: h.FullName, wanted: l.withoutImplied(h.FullName, alias, wanted), policies: policies, granted: granted})
			all, _ := errors.AsType[project.SettingErrors](err)
			for _, settingErr := range all {
				found := cmp.Or(byMessage[settingErr.Error()], &wrong{path: settingErr.Path})
				byMessage[settingErr.Error()] = found
				if !slices.Contains(found.aliases, alias) {
					found.aliases = append(found.aliases, alias)
				}
			}
		}
	}
	for _, alias := range aliases {
		l.checkAlias(alias)
	}
	for message, w := range byMessage {
		problem := fmt.Sprintf("%s (for %s)", message, strings.Join(w.aliases, ", "))
		l.add("settings", finding.Error, sfp.ProjectFile, w.path, problem, "correct it")
	}
}

// withoutImplied returns the wanted fields without those of a component in source that policies imply: a
// deployment of the source would reset them.
func (l *linter) withoutImplied(app, alias string, wanted map[string]metadata.Fields) map[string]metadata.Fields {
	settings := l.project.Settings.For(app, alias, true)
	for typ, fields := range wanted {
		if slices.ContainsFunc(l.of(typ), func(c component) bool { return strings.EqualFold(eca.App(c.Component), app) }) {
			maps.DeleteFunc(fields, func(name string, _ []metadata.Field) bool { return !settings.Of(typ).Has(name) })
		}
	}
	return wanted
}

// aliases returns the environments of the policies and settings, sorted, or a name for any org.
func (l *linter) aliases() []string {
	aliases := make(map[string]bool)
	for _, c := range slices.Concat(l.components, l.ignored) {
		if c.environ != "" {
			aliases[c.environment()] = true
		}
	}
	for _, app := range l.project.Settings.Apps {
		for alias := range app.Environments {
			aliases[alias] = true
		}
	}
	if len(aliases) == 0 {
		return []string{"any org"}
	}
	return slices.Sorted(maps.Keys(aliases))
}

// policiesOf returns the app's OAuth policies for orgs with an alias. Ignored files count only
// if eca applies policies and there are no others.
func (l *linter) policiesOf(app, alias string) (files []project.SourceFile) {
	var ignored []project.SourceFile
	for _, p := range l.project.Packages {
		folders, err := l.source.DeployedFolders(p, alias, true)
		if err != nil || p.Type == "data" {
			continue
		}
		ignore := l.source.Ignore(folders[0])
		if project.IsEnvironments(p) {
			ignore = nil
		}
		for _, f := range l.source.Deployed(folders, eca.OAuthPolicies) {
			switch {
			case !strings.EqualFold(f.App(), app):
			case ignore.Ignores(f.File):
				ignored = append(ignored, f)
			default:
				files = append(files, f)
			}
		}
	}
	if len(files) == 0 && l.applied(app, alias) {
		return ignored
	}
	return files
}
