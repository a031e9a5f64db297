package bootstrap

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Policies is a place where policies of the environment at hand were found.
type Policies struct {
	// Folder is the directory, as a path of the package or as it was given.
	Folder string `json:"folder"`
	// Origin says which of the places it is: "as given", "package NAME" for the
	// package itself, "artifact NAME VERSION" or "project".
	Origin string `json:"origin"`
	// Why says for people why it is this place and this folder.
	Why string `json:"why"`

	used    bool // by one of the apps
	left    bool // policies of the apps that .forceignore leaves out were passed over
	oauth   []policiesFile
	plugins []*metadata.Component // the plugin policies that are deployed along with them
}

// policiesFile is the file of one app's OAuth policies.
type policiesFile struct {
	*metadata.Component
	File    string // for messages
	Package string // whose deployment brings the file, "" where it was given outright
	Ignored bool   // by .forceignore, so that no deployment brings the file

	place *Policies
}

// searched is a package of the project, and where policies in it are looked for.
type searched struct {
	sfp.Package
	place         // without a Source where there is nothing to look at
	folders  bool // the org's folder of an aliasfied package counts
	origin   string
	why      string
	artifact error // what is wrong with its artifact
}

// search finds where policies are looked for, in this order of places: a directory given
// outright, the package itself where it is aliasfied, the sibling artifact, the project of the
// working directory.
func (s *Source) search() ([]searched, error) {
	if dir := s.location.Policies; dir != "" {
		given, err := sfp.OpenDir(dir)
		if err != nil {
			return nil, fmt.Errorf("the directory with policies %s cannot be opened", dir)
		}
		return []searched{{Package: sfp.Package{Path: "."}, place: place{eca.ReadSource(given, "."), dir}, origin: "as given", why: "nothing else was looked at"}}, nil
	}
	var artifacts map[string][]string // files, by package
	if dir := s.location.Artifacts; dir != "" {
		var err error
		if artifacts, err = sfp.FindArtifacts(dir, s.original.Packages); err != nil {
			return nil, fmt.Errorf("the artifacts directory %s cannot be read: %w", dir, err)
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
			// It was deployed before this run, so nothing in it is about to be.
		default:
			artifact, err := openArtifact(p.Name, artifacts[p.Name])
			found.artifact = err
			switch {
			case artifact != nil:
				found.place, found.origin = place{eca.ReadSource(artifact, p.Path), artifact.File}, "artifact "+artifact.Package+" "+artifact.Version
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
		sibling := place{eca.ReadSource(s.location.Sibling, siblings...), "."}
		for i := range all {
			if all[i].Source == nil && all[i].origin != "" {
				all[i].place = sibling
			}
		}
	}
	return all, nil
}

// policies returns the OAuth policies that sfp is about to deploy for the apps. That there are
// none is not an error, an artifact that cannot be opened is a warning; that an aliasfied package
// with policies for one of the apps has no folder for this org is one.
func (s *Source) policies(headers []header, target Target) ([]Policies, error) {
	var all []Policies
	for _, p := range s.searched {
		if p.artifact != nil {
			// Most artifacts hold no policies, so this must not end the run.
			target.warn(fmt.Sprintf("%v, so policies are not looked for in it", p.artifact))
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

// openArtifact opens the latest of a package's artifacts, nil where there is none. The
// caller closes it. Beside an artifact the error is about a later file, whose package is not
// known.
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
			a.Close() // of another package, whose name ends in the same way
		case strings.HasPrefix(path.Base(filepath.ToSlash(file)), pkg+"_"):
			return nil, openErr
		case err == nil:
			err = openErr
		}
	}
	return nil, err
}

// noArtifact says why a project is looked at for policies. err is what is wrong with the
// package's artifact, nil where there is none.
func (s *Source) noArtifact(err error) string {
	switch {
	case s.location.Artifacts == "":
		return "there is no artifacts directory"
	case err != nil:
		return "its artifact in " + s.location.Artifacts + " cannot be opened"
	}
	return "there is no artifact of it in " + s.location.Artifacts
}

// policies returns the policies that the package has for the org at hand, where it has any for
// one of the apps.
func (p searched) policies(headers []header, target Target) (Policies, error) {
	if p.Source == nil {
		return Policies{}, nil
	}
	if err := p.unreadable(p.Path); err != nil {
		return Policies{}, err
	}
	concerned := slices.ContainsFunc(p.Components(p.Path, eca.OAuthPolicies), func(f eca.SourceFile) bool {
		// Of a broken file nobody can tell whose it is. It counts as an error only
		// in the folder that is deployed to this org.
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
			// Nobody deploys the package, so nobody fails of it.
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
func isOf(f eca.SourceFile, headers []header) bool {
	return slices.ContainsFunc(headers, func(h header) bool { return strings.EqualFold(h.FullName, f.App()) })
}

// applies reports whether eca brings the policies of any of the apps itself.
func (s *Source) applies(headers []header, target Target) bool {
	return target.ApplyPolicies || slices.ContainsFunc(headers, func(h header) bool {
		return s.project.Settings.For(h.FullName, target.Alias, target.Kind.IsSandbox()).ApplyPolicies
	})
}

// read returns the policies of the apps in some folders. Those of other apps are passed over,
// and what .forceignore leaves out as well, unless policies are applied here.
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
			return fail("externalClientApplication", errors.New("is missing, so that the policies belong to no app"))
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
				return fail("externalClientApplication", fmt.Errorf("%s has policies in %s already, and the platform allows one record for an app; %s", f.App(), other.File, advice))
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

// permissionSetFile returns the name of a file of the project, or of an artifact,
// that brings a permission set, "" where there is none.
func (s *Source) permissionSetFile(name string) string {
	return s.permissionSets[strings.ToLower(name)]
}

// findPermissionSets finds the files that bring permission sets, by their names.
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
