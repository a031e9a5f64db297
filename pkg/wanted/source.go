package wanted

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Location is the place of a run's files.
type Location struct {
	// Project is the directory with sfdx-project.json: an artifact's source directory or a
	// project.
	Project fs.FS

	// Dir is the path of Project. Messages prefix file names with it, unless it is ".".
	Dir string

	// Package is the one package whose apps to bootstrap. "" means the one at PackageDirectory and,
	// without that, all packages of the project.
	Package string

	// PackageDirectory is the package's directory below Project. "" takes it from the project
	// file. Without Package, it is the directory of a package without a name, which sf permits.
	PackageDirectory string

	// Policies is a directory with the environment's policies. "" searches for them.
	Policies string

	// Artifacts is a directory with artifacts of sfp build, to search for sibling packages. ""
	// searches none, and NoArtifacts says why.
	Artifacts, NoArtifacts string

	// Sibling is a project to search for sibling packages without an artifact, usually that of
	// the working directory. It may be nil.
	Sibling fs.FS

	// Getenv returns the value of an environment variable, "" if it is not set. sf replaces texts with
	// such values, see sfp.Replacement. nil has none.
	Getenv func(name string) string
}

// Source is the content of a run's files. Load reads all of them.
type Source struct {
	// Version is the project's sourceApiVersion, 0 if it has none.
	Version apiversion.Version
	// Layout is the project's layout. An artifact has that of sfp.
	Layout project.Layout

	location Location
	project  *project.Project
	original *project.Project // the whole project, before sfp build reduced it
	packages []sfp.Package

	own            place
	packaged       []searched // all packages of the project, in its order
	searched       []searched // those of packaged, or a given directory, which are searched for policies
	permissionSets map[string]string
	creatable      map[string]*metadata.Component               // permission sets that a run can create, by name, folded
	certificates   map[string]func(file string) (string, error) // by package directory and app, see certificatesOf
	warnings       []string
}

// place is a project, an artifact or a directory with files of a run.
type place struct {
	*project.Source
	name string // prefix of file names in messages
}

// place reads directories of a file system, with sf's replacements. name is the file system's path for
// messages, and dir its path in the project, "" if it is the project or an artifact.
func (s *Source) place(fsys fs.FS, name, dir string, dirs ...string) place {
	source := project.ReadSource(fsys, dirs...)
	getenv := s.location.Getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	source.Replace(s.original.Project, project.Replacing{
		Files: fsys, Dir: dir, Project: s.location.Project, Getenv: getenv,
		AsItStands: func(file string) bool {
			p := s.original.PackageOf(file)
			return dir == "" && p != nil && p.AsItStands() && !source.Ignore(p.Path).Ignores(file)
		},
	})
	return place{source, name}
}

// path returns a file's path for messages.
func (p place) path(file string) string { return path.Join(filepath.ToSlash(p.name), file) }

// unreadable returns an error for the first unreadable entry below a directory, or nil.
func (p place) unreadable(dir string) error {
	if pathErr, ok := errors.AsType[*fs.PathError](p.Err(dir)); ok {
		return fmt.Errorf("cannot read %s: %w", p.path(pathErr.Path), pathErr.Err)
	}
	return nil
}

// header is an app's header in the source.
type header struct {
	*metadata.Component
	File    string // for messages
	Package sfp.Package

	stated     map[string]sourceFile // components that the project states beside it, by type
	unreplaced error                 // see project.SourceFile
}

// sourceFile is a component in the source beside a header.
type sourceFile struct {
	*metadata.Component
	File       string // for messages
	own        bool   // of the packages of the run
	unreplaced error  // see project.SourceFile
}

// Local reports whether the app is Local, so that this org makes its consumer. A Packaged app
// gets its OAuth from its package.
func (h header) Local() bool { return h.distributionState() == "Local" }

// distributionState returns the header's distributionState. The platform treats a missing one
// as Local.
func (h header) distributionState() string { return cmp.Or(h.Text("distributionState"), "Local") }

// Load reads the project at a location and its artifacts: everything that a run on any org
// needs. Errors name the file, the place in it and the cause.
func Load(location Location) (*Source, error) {
	s := &Source{location: location, certificates: make(map[string]func(string) (string, error))}
	proj, err := project.Read(location.Project, sfp.ProjectFile)
	if err != nil {
		return nil, s.inDir(err)
	}
	s.project, s.original, s.Version = proj, proj, proj.SourceAPIVersion
	if _, err := fs.Stat(location.Project, sfp.OriginalProjectFile); err == nil {
		if s.original, err = project.Read(location.Project, sfp.OriginalProjectFile); err != nil {
			return nil, s.inDir(err)
		}
	}
	s.Layout = s.original.Layout(location.Project)
	if s.packages, err = s.ownPackages(); err != nil {
		return nil, err
	}
	var dirs []string
	for _, p := range s.packages {
		dirs = append(dirs, p.Path)
	}
	s.own = s.place(location.Project, location.Dir, "", dirs...)
	s.warnings = append(s.warnings, s.own.Problems()...)
	if err := s.search(); err != nil {
		return nil, err
	}
	s.checkSums()
	s.permissionSets = s.findPermissionSets()
	s.creatable = s.findCreatable()
	for _, p := range s.packages {
		for _, header := range s.own.Components(p.Path, eca.Header) {
			s.certificates[certificatesOf(p, header.Name)] = proj.Settings.Certificates(header.Name, location.Project, p.Path)
		}
	}
	return s, nil
}

// checkSums warns if the artifact of the run carries something else than was committed with it.
func (s *Source) checkSums() {
	for _, p := range s.packages {
		file := s.name(path.Join(p.Path, project.SumFile))
		switch differ, err := s.project.CheckArtifact(s.location.Project, p); {
		case err != nil:
			s.warnings = append(s.warnings, fmt.Sprintf("%s cannot be used: %v", file, err))
		case len(differ) > 0:
			s.warnings = append(s.warnings, fmt.Sprintf("%s is stale: the artifact contains a different %s, so sfp build may have missed the change in other artifacts", file, strings.Join(differ, ", ")))
		}
	}
}

// ownPackages returns the packages whose apps to bootstrap.
func (s *Source) ownPackages() ([]sfp.Package, error) {
	location := s.location
	if location.Package == "" && location.PackageDirectory == "" {
		return slices.DeleteFunc(slices.Clone(s.project.Packages), func(p sfp.Package) bool { return p.Type == "data" }), nil
	}
	p := sfp.Package{Name: location.Package}
	is := func(known sfp.Package) bool {
		return known.Name == location.Package && (known.Name != "" || known.Path == location.PackageDirectory)
	}
	if i := slices.IndexFunc(s.project.Packages, is); i >= 0 {
		p = s.project.Packages[i]
	} else if location.PackageDirectory == "" {
		return nil, fmt.Errorf("%s has no package %q%s", s.name(sfp.ProjectFile), location.Package, words.DidYouMean(location.Package, packageNames(s.project.Project)))
	}
	if location.PackageDirectory != "" {
		p.Path = path.Clean(filepath.ToSlash(location.PackageDirectory))
	}
	if !fs.ValidPath(p.Path) {
		return nil, fmt.Errorf("the package directory %q is outside %s", location.PackageDirectory, s.name("."))
	}
	if info, err := fs.Stat(location.Project, p.Path); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("the directory %s of package %s does not exist", s.name(p.Path), p.Name)
	}
	return []sfp.Package{p}, nil
}

func packageNames(p *sfp.Project) []string {
	var names []string
	for _, pkg := range p.Packages {
		names = append(names, pkg.Name)
	}
	return names
}

// Settings returns what the project wants of its apps and connections.
func (s *Source) Settings() project.Settings { return s.project.Settings }

// Environments returns the names of the environments, other than the default one, that the settings or the policies
// of the project are for, sorted.
func (s *Source) Environments() []string {
	names := make(map[string]bool)
	for _, app := range s.project.Settings.Apps {
		for name := range app.Environments {
			names[name] = true
		}
	}
	for _, p := range s.searched {
		if !p.folders || p.Source == nil {
			continue
		}
		for _, dir := range p.EnvironmentFolders(p.Package, project.SourceLayout()) {
			if dir != "" {
				names[path.Base(dir)] = true
			}
		}
	}
	delete(names, sfp.DefaultFolder)
	return slices.Sorted(maps.Keys(names))
}

// isOnePackage reports whether one package is meant, and not the whole project.
func (s *Source) isOnePackage() bool {
	return s.location.Package != "" || s.location.PackageDirectory != ""
}

// Package returns the one package whose apps are meant, "" for all packages of the project.
func (s *Source) Package() string { return s.location.Package }

// File returns the path of the project file, for messages.
func (s *Source) File() string { return s.name(s.project.File) }

// name returns the path of one of the project's files for messages.
func (s *Source) name(file string) string {
	return path.Join(filepath.ToSlash(s.location.Dir), file)
}

// inDir adds the project's directory to the file name in an error.
func (s *Source) inDir(err error) error {
	if projectErr, ok := errors.AsType[*sfp.ProjectError](err); ok {
		return &sfp.ProjectError{File: s.name(projectErr.File), Err: projectErr.Err}
	}
	if sourceErr, ok := errors.AsType[*metadata.SourceError](err); ok {
		return &metadata.SourceError{Path: s.name(sourceErr.Path), Field: sourceErr.Field, Err: sourceErr.Err}
	}
	if replacementErr, ok := errors.AsType[*sfp.ReplacementError](err); ok {
		return &sfp.ReplacementError{File: s.name(replacementErr.File), Entry: replacementErr.Entry, Err: replacementErr.Err}
	}
	return err
}

// headers returns the headers of the source's packages: every *.eca-meta.xml that sfp deploys
// to the org. From an aliasfied package it takes only the org's folder. Headers in .forceignore
// are not deployed. In a pool they count, because the pool has its own ignore file; its orgs
// show what was deployed.
func (s *Source) headers(r *resolution) ([]header, error) {
	var headers []header
	ignored := "" // the first ignored file
	for _, p := range s.packages {
		dirs, err := s.headerFolders(p, r)
		if err != nil {
			r.fail(err)
			continue
		}
		if len(dirs) == 0 {
			continue
		}
		ignore := s.ignore(dirs[0], r.Target)
		s.checkSuffixes(dirs, ignore, r)
		for _, f := range s.own.Deployed(dirs, eca.Header) {
			if ignore.Ignores(f.File) {
				ignored = cmp.Or(ignored, s.name(f.File))
				continue
			}
			c, err := f.Strict()
			if err != nil {
				r.fail(s.inDir(err))
				continue
			}
			headers = append(headers, header{Component: c, File: s.name(f.File), Package: p, unreplaced: f.Unreplaced})
			r.warnLiteral(f, s.name(f.File))
		}
	}
	if len(headers) == 0 {
		if err := r.err(); err != nil {
			return nil, err
		}
		none := &NoAppsError{Place: "in the packages of " + s.name(sfp.ProjectFile), Ignored: ignored}
		if s.isOnePackage() {
			none.Place = "below " + s.name(s.packages[0].Path)
		}
		return nil, none
	}
	stated := s.stated(headers, r)
	for i := range headers {
		headers[i].stated = stated[strings.ToLower(headers[i].FullName)]
	}
	slices.SortStableFunc(headers, func(a, b header) int { return strings.Compare(a.FullName, b.FullName) })
	byName := make(map[string]header)
	for _, h := range headers {
		// Salesforce names are case-insensitive.
		key := strings.ToLower(h.FullName)
		if other, twice := byName[key]; twice {
			r.fail(fmt.Errorf("%s and %s are headers of the same name; remove one of them", other.File, h.File))
		}
		byName[key] = h
	}
	return headers, nil
}

// headerFolders returns the folders of a package that are searched for headers.
func (s *Source) headerFolders(p sfp.Package, r *resolution) ([]string, error) {
	if err := s.own.unreadable(p.Path); err != nil {
		return nil, err
	}
	if !p.Aliasfy {
		return []string{p.Path}, nil
	}
	if s.location.Package == "" && !s.hasHeaders(p, r.Target) {
		return nil, nil // without a given package, skip packages without apps
	}
	return r.folders(s.own, p)
}

// NoAppsError reports that the source has no External Client App to bootstrap.
type NoAppsError struct {
	Place   string // where headers are searched, like "below src/def"
	Ignored string // a header that .forceignore leaves out, "" if there is none
}

func (e *NoAppsError) Error() string {
	if e.Ignored != "" {
		return fmt.Sprintf("no External Client App to bootstrap %s: %s leaves out %s", e.Place, sfp.IgnoreFile, e.Ignored)
	}
	return "no External Client App to bootstrap: no externalClientApps/*.eca-meta.xml " + e.Place
}

// stated returns the components that the packages of the project state beside the headers, by app and type.
// Of several, that of the last package remains on the org. It skips packages without a folder for the
// org. OAuth policies count only in a package with headers: others are deployed after the run.
//
// A file that cannot be parsed is an error in a package of the run. In others, it may belong to any app.
func (s *Source) stated(headers []header, r *resolution) map[string]map[string]sourceFile {
	stated := make(map[string]map[string]sourceFile)
	for _, p := range s.withOwn() {
		for _, f := range s.statedIn(p, headers, r) {
			app := strings.ToLower(f.App())
			own := p.Source == s.own.Source
			switch {
			case own && f.Err != nil:
				r.fail(s.inDir(f.Err))
				continue
			case own && app == "":
				r.fail(&metadata.SourceError{Path: p.path(f.File), Field: "externalClientApplication", Err: errors.New("is missing, so the component belongs to no app")})
				continue
			case f.Err != nil:
				continue
			}
			if stated[app] == nil {
				stated[app] = make(map[string]sourceFile)
			}
			if other, twice := stated[app][f.Type.Name]; twice && !strings.EqualFold(other.FullName, f.Name) && own && other.own && isHeader(headers, app) {
				r.fail(fmt.Errorf("%s and %s are both the %s of %s, and the platform allows one; remove one of them", other.File, p.path(f.File), f.Type.Name, f.App()))
			}
			stated[app][f.Type.Name] = sourceFile{f.Component, p.path(f.File), own, f.Unreplaced}
			if isHeader(headers, app) {
				r.warnLiteral(f, p.path(f.File))
			}
		}
	}
	return stated
}

// isHeader reports whether an app has one of the headers.
func isHeader(headers []header, app string) bool {
	return slices.ContainsFunc(headers, func(h header) bool { return strings.EqualFold(h.FullName, app) })
}

// statedIn returns the files with components of apps in a package, as far as they are deployed to the org.
func (s *Source) statedIn(p searched, headers []header, r *resolution) (files []project.SourceFile) {
	if p.Source == nil || p.Type == "data" {
		return nil
	}
	dirs, err := p.DeployedFolders(p.Package, r.Alias, r.Kind.IsSandbox())
	if err != nil {
		return nil
	}
	ignore := p.Ignore(dirs[0])
	if r.Undeployed {
		ignore = nil
	}
	types := eca.Satellites()
	if slices.ContainsFunc(headers, func(h header) bool { return h.Package.Path == p.Path }) {
		types = append(types, eca.OAuthPolicies)
	}
	for _, typ := range types {
		for _, f := range p.Deployed(dirs, typ) {
			if !ignore.Ignores(f.File) {
				files = append(files, f)
			}
		}
	}
	return files
}

// withOwn returns the packages of the project with the places of their source. Those of the run are at
// their own place, also if the project file does not have them.
func (s *Source) withOwn() []searched {
	all := slices.Clone(s.packaged)
	for _, mine := range s.packages {
		i := slices.IndexFunc(all, func(p searched) bool { return p.Path == mine.Path })
		if i < 0 {
			i, all = len(all), append(all, searched{})
		}
		all[i] = searched{Package: mine, place: s.own}
	}
	return all
}

// hasHeaders reports whether a package has headers that are not ignored.
func (s *Source) hasHeaders(p sfp.Package, target Target) bool {
	ignore := s.ignore(p.Path, target)
	return slices.ContainsFunc(s.own.Components(p.Path, eca.Header), func(f project.SourceFile) bool { return !ignore.Ignores(f.File) })
}

// ignore returns the ignore rules for the deployment of a directory, nil in a pool.
func (s *Source) ignore(dir string, target Target) *sfp.Ignore {
	if target.Undeployed {
		return nil
	}
	return s.own.Ignore(dir)
}

// certificatesOf is the key of Source.certificates.
func certificatesOf(p sfp.Package, app string) string { return p.Path + "\x00" + app }
