package wanted

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Policies is a place with policies of the environment.
type Policies struct {
	// Folder is the directory, relative to the package or as given.
	Folder string `json:"folder"`
	// Origin is the kind of place: "as given", "package NAME" for the package itself, "artifact
	// NAME VERSION" or "project".
	Origin string `json:"origin"`
	// Why explains the choice of this place and folder to people.
	Why string `json:"why"`
}

// foundPolicies are the policies in one place.
type foundPolicies struct {
	Policies
	given   bool // Location.Policies
	ours    bool // project.EnvironmentsDir
	used    bool // by one of the apps
	skipped bool // some policies of the apps cannot be compared, and .forceignore leaves them out
	oauth   []policiesFile
	plugins []*metadata.Component // plugin policies in the same deployment
}

// policiesFile is a file with one app's OAuth policies.
type policiesFile struct {
	*metadata.Component
	File    string // for messages
	Package string // package that deploys the file, "" for a given directory
	Ignored bool   // by .forceignore, so no deployment contains the file

	unreplaced error // see project.SourceFile
	found      *foundPolicies
}

// searched is a package of the project with the place to search for its policies.
type searched struct {
	sfp.Package
	place         // without a Source if there is nothing to search
	given    bool // Location.Policies: the whole directory counts, whatever .forceignore says
	deployed bool // the source's own package, which is deployed before a run without headers
	folders  bool // aliasfied: only the org's folder counts
	origin   string
	why      string
	artifact error    // why its artifact cannot be used
	stale    []string // files of components that its artifact has otherwise than the project
}

// search finds the places of the project's packages, and those to search for policies. In order of
// precedence: a given directory, the package itself if it is aliasfied, the sibling artifact, the project
// of the working directory.
func (s *Source) search() error {
	var artifacts map[string][]string // files, by package
	if dir := s.location.Artifacts; dir != "" {
		var err error
		if artifacts, err = sfp.FindArtifacts(dir, s.original.Packages); err != nil {
			return fmt.Errorf("cannot read the artifacts directory %s: %w", dir, err)
		}
	}
	var siblings []string
	for _, p := range s.original.Packages {
		found := s.searchPackage(p, artifacts[p.Name])
		if found.Source == nil && found.origin != "" {
			siblings = append(siblings, p.Path)
		}
		s.packaged = append(s.packaged, found)
	}
	if len(siblings) > 0 {
		sibling := s.place(s.location.Sibling, ".", "", siblings...)
		for i := range s.packaged {
			if p := &s.packaged[i]; p.Source == nil && p.origin != "" {
				p.place = sibling
			}
		}
	}
	s.searched = slices.Clone(s.packaged)
	if info, err := fs.Stat(s.location.Project, project.EnvironmentsDir); err == nil && info.IsDir() {
		s.searched = append(s.searched, searched{
			Package: project.EnvironmentsPackage(), place: s.place(s.location.Project, s.location.Dir, "", project.EnvironmentsDir),
			folders: true, origin: "project", why: "they are in no package",
		})
	}
	if dir := s.location.Policies; dir != "" {
		given, err := sfp.OpenDir(dir)
		if err != nil {
			return fmt.Errorf("cannot open the policies directory %s", dir)
		}
		in := s.place(given, dir, path.Clean(filepath.ToSlash(dir)), ".")
		s.searched = []searched{{Package: sfp.Package{Path: "."}, place: in, given: true, origin: "as given", why: "nothing else was searched"}}
	}
	return nil
}

// searchPackage returns the place to search for a package's policies. It has an origin and no
// Source if that is Location.Sibling, and neither if nothing is searched.
func (s *Source) searchPackage(p sfp.Package, artifacts []string) searched {
	found := searched{Package: p, folders: p.Aliasfy}
	own := slices.ContainsFunc(s.packages, func(mine sfp.Package) bool { return mine.Name == p.Name && mine.Path == p.Path })
	if own && p.Aliasfy {
		found.place, found.origin, found.why = s.own, "package "+cmp.Or(p.Name, p.Path), "the package itself is aliasfied"
		return found
	}
	if own && s.location.Package != "" {
		found.place, found.origin, found.why, found.deployed = s.own, "package "+p.Name, "the run deploys the package", true
		return found
	}
	artifact, err := openArtifact(p.Name, artifacts)
	found.artifact = err
	switch {
	case artifact != nil:
		found.place = s.place(artifact, artifact.File, "", p.Path)
		found.origin, found.why = "artifact "+artifact.Package+" "+artifact.Version, "the latest in "+s.location.Artifacts
		if s.location.Sibling != nil {
			found.stale = stale(found.Source, s.location.Sibling)
		}
		artifact.Close()
	case own:
		found.place, found.origin, found.why = s.own, "project", s.noArtifact(err)
	case s.location.Sibling != nil:
		found.origin, found.why = "project", s.noArtifact(err)
	}
	return found
}

// stale returns the files of components that an artifact has otherwise than the project, in the
// directories where the artifact has any.
func stale(artifact *project.Source, proj fs.FS) (files []string) {
	inArtifact, dirs := make(map[string]bool), make(map[string]bool)
	for _, f := range artifact.Components(".", "") {
		inArtifact[f.File], dirs[path.Dir(f.File)] = true, true
		c, err := eca.Types().ReadFile(proj, f.File)
		if err != nil || f.Err != nil || !reflect.DeepEqual(metadata.InOrder(c.Fields), metadata.InOrder(f.Component.Fields)) {
			files = append(files, f.File)
		}
	}
	for dir := range dirs {
		entries, _ := fs.ReadDir(proj, dir)
		for _, entry := range entries {
			file := path.Join(dir, entry.Name())
			if typ, _ := eca.Types().OfFile(file); typ != nil && !inArtifact[file] {
				files = append(files, file)
			}
		}
	}
	slices.Sort(files)
	return files
}

// ArtifactError reports that a package's artifact cannot be read, and that the policies of the project are not
// applied in its place: the artifact may have others.
type ArtifactError struct {
	Package string
	Err     error // names the artifact
}

func (e *ArtifactError) Error() string {
	return fmt.Sprintf("%v, so the policies of the package %s are not known", e.Err, e.Package)
}

// Unwrap returns e.Err.
func (e *ArtifactError) Unwrap() error { return e.Err }

// findPolicies finds the OAuth policies that sfp deploys next for the apps. Finding none is not
// an error. An artifact that cannot be opened is a warning, or an error if the policies of the project would be
// applied in its place. An aliasfied package with policies for one of the apps but no folder for this org is an
// error.
func (s *Source) findPolicies(r *resolution) {
	for _, p := range s.searched {
		if p.deployed && !r.Headers {
			continue // its files are not deployed next
		}
		if p.artifact != nil {
			// Most artifacts have no policies, so this must not end the run.
			r.warn(fmt.Sprintf("%v; it was not searched for policies", p.artifact))
		}
		found, err := p.policies(r)
		switch {
		case err != nil:
			r.fail(err)
			continue
		case found != nil && p.artifact != nil && r.applies && p.origin == "project":
			r.fail(&ArtifactError{cmp.Or(p.Name, p.Path), p.artifact})
			continue
		}
		if found != nil && (len(found.oauth) > 0 || found.skipped || p.given) {
			r.found = append(r.found, found)
		}
	}
}

// openArtifact opens the latest of a package's artifacts, or returns nil if there is none. The
// caller closes it. An error together with an artifact is about a later file whose package is
// unknown.
func openArtifact(pkg string, files []string) (found *sfp.Artifact, err error) {
	matters := func(name string) bool {
		typ, _ := eca.Types().OfFile(name)
		return typ != nil
	}
	for _, file := range files {
		a, openErr := sfp.OpenArtifact(file, matters)
		switch {
		case openErr == nil && a.Package == pkg:
			return a, err
		case openErr == nil:
			a.Close() // another package whose name ends the same way
		case strings.HasPrefix(path.Base(filepath.ToSlash(file)), pkg+"_"):
			return nil, openErr
		case err == nil:
			err = openErr
		}
	}
	return nil, err
}

// noArtifact explains why the project is searched for policies. err is the problem with the
// package's artifact, nil if there is none.
func (s *Source) noArtifact(err error) string {
	switch {
	case s.location.Artifacts == "":
		return cmp.Or(s.location.NoArtifacts, "there is no artifacts directory")
	case err != nil:
		return "its artifact in " + s.location.Artifacts + " cannot be opened"
	}
	return "there is no artifact of it in " + s.location.Artifacts
}

// policies returns the package's policies for the org, nil if it has none for the apps.
func (p searched) policies(r *resolution) (*foundPolicies, error) {
	if p.Source == nil {
		return nil, nil
	}
	if err := p.unreadable(p.Path); err != nil {
		return nil, err
	}
	concerned := slices.ContainsFunc(p.Components(p.Path, eca.OAuthPolicies), func(f project.SourceFile) bool {
		// A broken file may belong to any app. It is an error only in the folder that is
		// deployed to this org.
		return f.Err != nil || f.App() == "" || r.has(f)
	})
	if !concerned && !p.given {
		return nil, nil
	}
	folders := []string{p.Path}
	if p.folders {
		var err error
		folders, err = r.folders(p.place, p.Package)
		none := errors.As(err, new(*sfp.AliasError)) || errors.As(err, new(*project.EnvironmentError))
		if none && r.Undeployed {
			// Nobody deploys the package, so no deployment fails.
			if r.applying {
				r.warn(fmt.Sprintf("%s, so the org gets no policies", err))
			}
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		switch {
		case path.Base(folders[0]) == r.Alias:
			p.why += "; " + r.Alias + " is the org's alias"
		case p.MergeMode:
			p.why += "; it has no folder for the org, and default replaces it in merge mode"
		default:
			p.why += "; it has no folder for the org, and default serves sandboxes"
		}
	}
	return p.read(folders, r), nil
}

// has reports whether a file belongs to one of the apps.
func (r *resolution) has(f project.SourceFile) bool {
	return slices.ContainsFunc(r.headers, func(h header) bool { return strings.EqualFold(h.FullName, f.App()) })
}

// read returns the policies of the apps in some folders. It skips those of other apps. Problems with those that
// .forceignore leaves out count only if policies are applied here.
func (p searched) read(folders []string, r *resolution) *foundPolicies {
	found := &foundPolicies{Policies: Policies{Folder: folders[0], Origin: p.origin, Why: p.why}, given: p.given, ours: project.IsEnvironments(p.Package)}
	ignore := p.Ignore(folders[0])
	switch {
	case p.given:
		found.Folder, ignore = p.name, nil
	case found.ours:
		ignore = nil // which is about deployments of sf and sfp
	}
	for _, f := range p.Deployed(folders, eca.OAuthPolicies) {
		ignored := ignore.Ignores(f.File)
		if f.Err == nil && f.App() != "" && !r.has(f) {
			continue
		}
		switch err := p.check(f, ignored, found.oauth); {
		case ignored && !r.applies && (err != nil || f.Unreplaced != nil):
			found.skipped = true
			continue
		case err != nil:
			r.fail(err)
			continue
		}
		found.oauth = append(found.oauth, policiesFile{
			Component: f.Component, File: p.path(f.File), Package: p.Name, Ignored: ignored, found: found, unreplaced: f.Unreplaced,
		})
		r.warnLiteral(f, p.path(f.File))
	}
	for _, file := range p.stale {
		if slices.ContainsFunc(folders, func(folder string) bool { return strings.HasPrefix(file, folder+"/") }) {
			r.warn(fmt.Sprintf("the %s differs from the source in %s, and the run uses the artifact", p.origin, file))
		}
	}
	for _, f := range p.Deployed(folders, eca.PluginPolicies) {
		// A broken one does not matter here.
		if c, err := f.Strict(); err == nil && r.has(f) && !ignore.Ignores(f.File) {
			found.plugins = append(found.plugins, c)
		}
	}
	return found
}

// check returns an error if a file cannot be the policies of its app beside others.
func (p searched) check(f project.SourceFile, ignored bool, others []policiesFile) error {
	fail := func(field string, err error) error {
		return &metadata.SourceError{Path: p.path(f.File), Field: field, Err: err}
	}
	const owner = "externalClientApplication"
	if sourceErr, ok := errors.AsType[*metadata.SourceError](f.Err); ok {
		return fail(sourceErr.Field, sourceErr.Err)
	}
	if f.App() == "" {
		return fail(owner, errors.New("is missing, so the policies belong to no app"))
	}
	if err := f.Type.Secret(f.Component); err != nil {
		return fail("", err)
	}
	fix := "remove one of them"
	if p.Name == "" && !p.folders {
		fix = "give the folder of one environment"
	}
	for _, other := range others {
		if strings.EqualFold(eca.App(other.Component), f.App()) && !other.Ignored && !ignored {
			return fail(owner, fmt.Errorf("%s already has policies in %s, and the platform allows one record per app; %s", f.App(), other.File, fix))
		}
	}
	return nil
}

// PermissionSetFile returns the file of the project or of an artifact with a permission set, ""
// if none.
func (s *Source) PermissionSetFile(name string) string {
	return s.permissionSets[strings.ToLower(name)]
}

// findCreatable returns the permission sets of the source's packages that settings or policies name and
// that refer to nothing else, like those that package scaffold writes.
func (s *Source) findCreatable() map[string]*metadata.Component {
	named := make(map[string]bool)
	add := func(names []string) {
		for _, name := range names {
			named[strings.ToLower(name)] = true
		}
	}
	for _, app := range s.project.Settings.Apps {
		add(app.PermissionSets)
		for _, environment := range app.Environments {
			add(environment.PermissionSets)
		}
	}
	for _, p := range s.searched {
		if p.Source == nil {
			continue
		}
		for _, f := range p.Components(p.Path, eca.OAuthPolicies) {
			if f.Component != nil {
				add(metadata.Items(f.Component.Text("commaSeparatedPermissionSet")))
			}
		}
	}
	typ, found := metadata.Schema{eca.Lookup(eca.PermissionSet)}, make(map[string]*metadata.Component)
	for _, p := range s.packages {
		ignore := s.own.Ignore(p.Path)
		for _, file := range s.own.Files(p.Path) {
			is, name := typ.OfFile(file)
			if key := strings.ToLower(name); is == nil || !named[key] || ignore.Ignores(file) {
				continue
			}
			c, err := typ.ReadFile(s.location.Project, file)
			refers := func(f metadata.Field) bool { return is.Field(f.Name) == nil }
			if err == nil && !slices.ContainsFunc(c.Fields, refers) && !s.project.Replaces(file) {
				found[strings.ToLower(name)] = c
			}
		}
	}
	return found
}

// findPermissionSets returns the permission set files by lower-case name.
func (s *Source) findPermissionSets() map[string]string {
	found := make(map[string]string)
	look := func(in place, p sfp.Package) {
		ignore := in.Ignore(p.Path)
		for _, file := range in.Files(p.Path) {
			name, is := strings.CutSuffix(strings.ToLower(path.Base(file)), ".permissionset-meta.xml")
			if is && found[name] == "" && !ignore.Ignores(file) {
				found[name] = in.path(file)
			}
		}
	}
	for _, p := range s.packages {
		look(s.own, p)
	}
	for _, p := range s.searched {
		if p.Source != nil {
			look(p.place, p.Package)
		}
	}
	return found
}
