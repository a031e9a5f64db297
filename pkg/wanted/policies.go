package wanted

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
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

	used    bool // one of the apps uses it
	left    bool // skipped policies of the apps because of .forceignore
	oauth   []policiesFile
	plugins []*metadata.Component // plugin policies in the same deployment
}

// policiesFile is a file with one app's OAuth policies.
type policiesFile struct {
	*metadata.Component
	File    string // for messages
	Package string // package that deploys the file, "" for a given directory
	Ignored bool   // by .forceignore, so no deployment brings the file

	place *Policies
}

// searched is a package of the project with the place to search for its policies.
type searched struct {
	sfp.Package
	place         // without a Source if there is nothing to search
	folders  bool // aliasfied: only the org's folder counts
	origin   string
	why      string
	artifact error // why its artifact cannot be used
}

// search returns the places to search for policies. In order of precedence: a given directory,
// the package itself if it is aliasfied, the sibling artifact, the project of the working
// directory.
func (s *Source) search() ([]searched, error) {
	if dir := s.location.Policies; dir != "" {
		given, err := sfp.OpenDir(dir)
		if err != nil {
			return nil, fmt.Errorf("cannot open the policies directory %s", dir)
		}
		return []searched{{Package: sfp.Package{Path: "."}, place: place{project.ReadSource(given, "."), dir}, origin: "as given", why: "nothing else was searched"}}, nil
	}
	var artifacts map[string][]string // files, by package
	if dir := s.location.Artifacts; dir != "" {
		var err error
		if artifacts, err = sfp.FindArtifacts(dir, s.original.Packages); err != nil {
			return nil, fmt.Errorf("cannot read the artifacts directory %s: %w", dir, err)
		}
	}
	var all []searched
	var siblings []string
	for _, p := range s.original.Packages {
		found := searched{Package: p, folders: p.Aliasfy}
		own := slices.ContainsFunc(s.packages, func(mine sfp.Package) bool { return mine.Name == p.Name && mine.Path == p.Path })
		switch {
		case own && p.Aliasfy:
			found.place, found.origin, found.why = s.own, "package "+p.Name, "the package itself is aliasfied"
		case own && s.location.Package != "":
			// The package is already deployed, so its files are not deployed next.
		default:
			artifact, err := openArtifact(p.Name, artifacts[p.Name])
			found.artifact = err
			switch {
			case artifact != nil:
				found.place, found.origin = place{project.ReadSource(artifact, p.Path), artifact.File}, "artifact "+artifact.Package+" "+artifact.Version
				found.why = "the latest in " + s.location.Artifacts
				artifact.Close()
			case own:
				found.place, found.origin, found.why = s.own, "project", s.noArtifact(err)
			case s.location.Sibling != nil:
				siblings = append(siblings, p.Path)
				found.origin, found.why = "project", s.noArtifact(err)
			}
		}
		all = append(all, found)
	}
	if len(siblings) > 0 {
		sibling := place{project.ReadSource(s.location.Sibling, siblings...), "."}
		for i := range all {
			if all[i].Source == nil && all[i].origin != "" {
				all[i].place = sibling
			}
		}
	}
	return all, nil
}

// policies returns the OAuth policies that sfp deploys next for the apps. Finding none is not
// an error. An artifact that cannot be opened is a warning. An aliasfied package with policies
// for one of the apps but no folder for this org is an error.
func (s *Source) policies(headers []header, target Target) ([]Policies, error) {
	var all []Policies
	for _, p := range s.searched {
		if p.artifact != nil {
			// Most artifacts have no policies, so this must not end the run.
			target.warn(fmt.Sprintf("%v; it was not searched for policies", p.artifact))
		}
		found, err := p.policies(headers, target)
		if err != nil {
			return nil, err
		}
		if len(found.oauth) > 0 || found.left || p.origin == "as given" {
			all = append(all, found)
		}
	}
	return all, nil
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
		return "there is no artifacts directory"
	case err != nil:
		return "its artifact in " + s.location.Artifacts + " cannot be opened"
	}
	return "there is no artifact of it in " + s.location.Artifacts
}

// policies returns the package's policies for the org, if it has any for one of the apps.
func (p searched) policies(headers []header, target Target) (Policies, error) {
	if p.Source == nil {
		return Policies{}, nil
	}
	if err := p.unreadable(p.Path); err != nil {
		return Policies{}, err
	}
	concerned := slices.ContainsFunc(p.Components(p.Path, eca.OAuthPolicies), func(f project.SourceFile) bool {
		// A broken file may belong to any app. It is an error only in the folder that is
		// deployed to this org.
		return f.Err != nil || f.App() == "" || isOf(f, headers)
	})
	if !concerned && p.origin != "as given" {
		return Policies{}, nil
	}
	folders := []string{p.Path}
	if p.folders {
		var none *sfp.AliasError
		var err error
		folders, err = target.folders(p.place, p.Package)
		if errors.As(err, &none) && target.Undeployed {
			// Nobody deploys the package, so no deployment fails.
			if target.applying {
				target.warn(fmt.Sprintf("the package %s has no folder for %s, so there are no policies for it", p.Name, target.name()))
			}
			return Policies{}, nil
		}
		if err != nil {
			return Policies{}, err
		}
		switch {
		case path.Base(folders[0]) == target.Alias:
			p.why += "; " + target.Alias + " is the org's alias"
		case p.MergeMode:
			p.why += "; it has no folder for the org, and default stands in for it in merge mode"
		default:
			p.why += "; it has no folder for the org, and default serves sandboxes"
		}
	}
	return p.read(folders, headers, target.appliesAny)
}

// isOf reports whether a file belongs to one of the apps.
func isOf(f project.SourceFile, headers []header) bool {
	return slices.ContainsFunc(headers, func(h header) bool { return strings.EqualFold(h.FullName, f.App()) })
}

// applies reports whether eca applies the policies of any of the apps.
func (s *Source) applies(headers []header, target Target) bool {
	return target.ApplyPolicies || slices.ContainsFunc(headers, func(h header) bool {
		return s.project.Settings.For(h.FullName, target.Alias, target.Kind.IsSandbox()).ApplyPolicies
	})
}

// read returns the policies of the apps in some folders. It skips those of other apps, and
// those that .forceignore leaves out unless policies are applied here.
func (p searched) read(folders []string, headers []header, applies bool) (Policies, error) {
	found := Policies{Folder: folders[0], Origin: p.origin, Why: p.why}
	ignore := p.Ignore(folders[0])
	if p.origin == "as given" {
		found.Folder, ignore = p.name, nil
	}
	for _, f := range p.Deployed(folders, eca.OAuthPolicies) {
		fail := func(field string, err error) (Policies, error) {
			return found, &metadata.SourceError{Path: p.path(f.File), Field: field, Err: err}
		}
		ignored := ignore.Ignores(f.File)
		var sourceErr *metadata.SourceError
		switch {
		case ignored && !applies:
			found.left = found.left || isOf(f, headers)
			continue
		case errors.As(f.Err, &sourceErr):
			return fail(sourceErr.Field, sourceErr.Err)
		case f.App() == "":
			return fail("externalClientApplication", errors.New("is missing, so the policies belong to no app"))
		case !isOf(f, headers):
			continue
		}
		if err := f.Type.Secret(f.Component); err != nil {
			return fail("", err)
		}
		for _, other := range found.oauth {
			if strings.EqualFold(eca.App(other.Component), f.App()) && !other.Ignored && !ignored {
				advice := "remove one of them"
				if p.Name == "" {
					advice = "give the folder of one environment"
				}
				return fail("externalClientApplication", fmt.Errorf("%s already has policies in %s, and the platform allows one record per app; %s", f.App(), other.File, advice))
			}
		}
		found.oauth = append(found.oauth, policiesFile{Component: f.Component, File: p.path(f.File), Package: p.Name, Ignored: ignored})
	}
	for _, f := range p.Deployed(folders, eca.PluginPolicies) {
		// A broken one does not matter here.
		if c, err := f.Strict(); err == nil && isOf(f, headers) && !ignore.Ignores(f.File) {
			found.plugins = append(found.plugins, c)
		}
	}
	return found, nil
}

// PermissionSetFile returns the file of the project or of an artifact with a permission set, ""
// if none.
func (s *Source) PermissionSetFile(name string) string {
	return s.permissionSets[strings.ToLower(name)]
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
