package bootstrap

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

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

// policies finds the OAuth policies that sfp is about to deploy for the apps, in
// this order of places: a directory given outright, the package itself where it
// is aliasfied, the sibling artifact, the project of the working directory. That
// there are none is no error, an artifact that cannot be opened is a warning;
// that an aliasfied package with policies for one of the apps has no folder for
// this org is one.
func (s *Source) policies(headers []Header, target Target) ([]Policies, error) {
	if s.location.Policies != "" {
		given, err := sfp.OpenDir(s.location.Policies)
		if err != nil {
			return nil, fmt.Errorf("the directory with policies %s cannot be opened", s.location.Policies)
		}
		found, err := readPolicies(given, []string{"."}, headers, nil, target.appliesAny, s.location.Policies, "as given", "nothing else was looked at", "")
		if err != nil {
			return nil, err
		}
		return []Policies{found}, nil
	}
	artifacts, err := s.findArtifacts()
	if err != nil {
		return nil, err
	}
	var all []Policies
	for _, p := range s.original.Packages {
		found, err := s.policiesOf(p, headers, artifacts[p.Name], target)
		if err != nil {
			return nil, err
		}
		if len(found.oauth) > 0 || found.left {
			all = append(all, found)
		}
	}
	return all, nil
}

// findArtifacts returns the files in the artifacts directory, by package.
func (s *Source) findArtifacts() (map[string][]string, error) {
	if s.location.Artifacts == "" {
		return nil, nil
	}
	artifacts, err := sfp.FindArtifacts(s.location.Artifacts, s.original.Packages)
	if err != nil {
		return nil, fmt.Errorf("the artifacts directory %s cannot be read: %w", s.location.Artifacts, err)
	}
	return artifacts, nil
}

// artifact opens the latest of a package's artifacts, nil where there is none. The
// caller closes it. A tgz file, which must be read from end to end, is opened once.
// Beside an artifact the error is about a later file, whose package is not known.
func (s *Source) artifact(pkg string, files []string) (found *sfp.Artifact, err error) {
	for _, file := range files {
		a, openErr := s.open(file)
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

// matters reports whether the content of a file in an artifact is ever looked at.
func matters(name string) bool {
	typ, _ := eca.Types().OfFile(name)
	return typ != nil
}

func (s *Source) open(file string) (*sfp.Artifact, error) {
	if !strings.HasSuffix(file, ".tgz") {
		return sfp.OpenArtifact(file, matters)
	}
	once, _ := s.tarballs.LoadOrStore(file, sync.OnceValues(func() (*sfp.Artifact, error) { return sfp.OpenArtifact(file, matters) }))
	return once.(func() (*sfp.Artifact, error))()
}

// policiesOf looks for OAuth policies in one package of the project.
func (s *Source) policiesOf(p sfp.Package, headers []Header, artifacts []string, target Target) (Policies, error) {
	own := slices.ContainsFunc(s.packages, func(mine sfp.Package) bool { return mine.Name == p.Name && mine.Path == p.Path })
	switch {
	case own && p.Aliasfy:
		return s.policiesIn(s.location.Project, p, headers, target, s.name("."), "package "+p.Name, "the package itself is aliasfied")
	case own && s.location.Package != "":
		return Policies{}, nil // it was deployed before this run, so nothing in it is about to be
	}
	artifact, err := s.artifact(p.Name, artifacts)
	if err != nil {
		// Most artifacts hold no policies, so this must not end the run.
		target.warn(fmt.Sprintf("%v, so policies are not looked for in it", err))
	}
	switch {
	case artifact != nil:
		defer artifact.Close()
		return s.policiesIn(artifact, p, headers, target, artifact.File, "artifact "+artifact.Package+" "+artifact.Version, "the latest in "+s.location.Artifacts)
	case own:
		return s.policiesIn(s.location.Project, p, headers, target, s.name("."), "project", s.noArtifact(err))
	case s.location.Sibling != nil:
		return s.policiesIn(s.location.Sibling, p, headers, target, ".", "project", s.noArtifact(err))
	}
	return Policies{}, nil
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

// policiesIn reads the policies that a package has for the org at hand, where it
// has any for one of the apps. place names fsys in messages.
func (s *Source) policiesIn(fsys fs.FS, p sfp.Package, headers []Header, target Target, place, origin, why string) (Policies, error) {
	concerned := false
	err := eachFile(fsys, []string{p.Path}, eca.OAuthPolicies, func(file string) error {
		c, err := eca.Types().ReadFileLenient(fsys, file)
		// Of a broken file nobody can tell whose it is. It counts as an error only
		// in the folder that is deployed to this org.
		if err != nil || eca.App(c) == "" || slices.ContainsFunc(headers, func(h Header) bool { return strings.EqualFold(h.FullName, eca.App(c)) }) {
			concerned = true
			return fs.SkipAll
		}
		return nil
	})
	if err != nil || !concerned {
		return Policies{}, err
	}
	folders := []string{p.Path}
	if p.Aliasfy {
		var none *sfp.AliasError
		folders, err = target.folders(fsys, p)
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
			why += "; " + target.Alias + " is the org's alias"
		case p.MergeMode:
			why += "; it has no folder for the org, and default stands in for it in merge mode"
		default:
			why += "; it has no folder for the org, and default serves sandboxes"
		}
	}
	return readPolicies(fsys, folders, headers, sfp.ReadIgnore(fsys, folders[0]), target.appliesAny, place, origin, why, p.Name)
}

// applies reports whether eca brings the policies of any of the apps itself.
func (s *Source) applies(headers []Header, target Target) bool {
	return target.ApplyPolicies || slices.ContainsFunc(headers, func(h Header) bool {
		return s.project.Settings.For(h.FullName, target.Alias, target.Kind.IsSandbox()).ApplyPolicies
	})
}

// readPolicies reads the policies of the apps in some folders. Those of other apps
// are passed over, and what .forceignore leaves out as well, unless policies are
// applied here.
func readPolicies(fsys fs.FS, folders []string, headers []Header, ignore *sfp.Ignore, applies bool, place, origin, why, pkg string) (Policies, error) {
	found := Policies{Folder: folders[0], Origin: origin, Why: why}
	if folders[0] == "." {
		found.Folder = place
	}
	ours := func(c *metadata.Component) bool {
		return slices.ContainsFunc(headers, func(h Header) bool { return strings.EqualFold(h.FullName, eca.App(c)) })
	}
	err := eachFile(fsys, folders, eca.OAuthPolicies, func(file string) error {
		fail := func(field string, err error) error {
			return &metadata.SourceError{Path: path.Join(place, file), Field: field, Err: err}
		}
		c, err := eca.Types().ReadFileLenient(fsys, file)
		ignored := ignore.Ignores(file)
		var sourceErr *metadata.SourceError
		switch {
		case ignored && !applies:
			found.left = found.left || err == nil && ours(c)
			return nil
		case errors.As(err, &sourceErr):
			return fail(sourceErr.Field, sourceErr.Err)
		case err != nil:
			return err
		case eca.App(c) == "":
			return fail("externalClientApplication", errors.New("is missing, so that the policies belong to no app"))
		case !ours(c):
			return nil
		}
		if err := eca.Lookup(c.Type).Secret(c); err != nil {
			return fail("", err)
		}
		for _, other := range found.oauth {
			if strings.EqualFold(eca.App(other.Component), eca.App(c)) && !other.Ignored && !ignored {
				advice := "remove one of them"
				if pkg == "" {
					advice = "give the folder of one environment"
				}
				return fail("externalClientApplication", fmt.Errorf("%s has policies in %s already, and the platform allows one record for an app; %s", eca.App(c), other.File, advice))
			}
		}
		found.oauth = append(found.oauth, policiesFile{Component: c, File: path.Join(place, file), Package: pkg, Ignored: ignored})
		return nil
	})
	if err != nil {
		return found, err
	}
	err = eachFile(fsys, folders, eca.PluginPolicies, func(file string) error {
		// A broken one is not this run's business.
		if c, err := eca.Types().ReadFile(fsys, file); err == nil && ours(c) && !ignore.Ignores(file) {
			found.plugins = append(found.plugins, c)
		}
		return nil
	})
	return found, err
}

// permissionSetFile returns the name of a file of the project, or of an artifact,
// that brings a permission set, "" where there is none.
func (s *Source) permissionSetFile(name string) string {
	return s.permissionSets()[strings.ToLower(name)]
}

// findPermissionSets finds the files that bring permission sets, by their names.
func (s *Source) findPermissionSets() map[string]string {
	found := make(map[string]string)
	look := func(fsys fs.FS, p sfp.Package, place string) {
		ignore := sfp.ReadIgnore(fsys, p.Path)
		fs.WalkDir(fsys, p.Path, func(file string, entry fs.DirEntry, err error) error {
			if err == nil {
				name, is := strings.CutSuffix(strings.ToLower(path.Base(file)), ".permissionset-meta.xml")
				if is && found[strings.ToLower(name)] == "" && !ignore.Ignores(file) {
					found[strings.ToLower(name)] = path.Join(place, file)
				}
			}
			return nil
		})
	}
	artifacts, _ := s.findArtifacts() // what cannot be read brings nothing
	for _, p := range s.original.Packages {
		look(s.location.Project, p, s.name("."))
		if s.location.Sibling != nil {
			look(s.location.Sibling, p, ".")
		}
		if artifact, _ := s.artifact(p.Name, artifacts[p.Name]); artifact != nil {
			look(artifact, p, artifact.File)
			artifact.Close()
		}
	}
	return found
}
