package bootstrap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Policies is a place where policies of the environment at hand were found.
type Policies struct {
	// Folder is the directory, as a path of the package or as it was given.
	Folder string `json:"folder"`
	// Origin says which of the places it is: "given", "this package", "artifact
	// NAME VERSION" or "project".
	Origin string `json:"origin"`

	oauth []policiesFile
}

// policiesFile is the file of one app's OAuth policies.
type policiesFile struct {
	*metadata.Component
	File string // for messages
}

// policies finds the OAuth policies that sfp is about to deploy for the apps, in
// this order of places: a directory given outright, the package itself where it
// is aliasfied, the sibling artifact, the project of the working directory. That
// there are none is no error; that an aliasfied package with policies for one of
// the apps has no folder for this org is.
func (s *Source) policies(headers []Header, target Target) ([]Policies, error) {
	if s.location.Policies != "" {
		root, err := os.OpenRoot(s.location.Policies)
		if err != nil {
			return nil, fmt.Errorf("the directory with policies %s cannot be opened", s.location.Policies)
		}
		defer root.Close()
		found, err := readPolicies(root.FS(), ".", s.location.Policies, "given")
		if err != nil {
			return nil, err
		}
		return []Policies{found}, nil
	}
	artifacts, err := sfp.FindArtifacts(s.location.Artifacts)
	if s.location.Artifacts == "" {
		artifacts, err = nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the artifacts directory %s cannot be read: %w", s.location.Artifacts, err)
	}
	var all []Policies
	for _, p := range s.original.Packages {
		found, err := s.policiesOf(p, headers, artifacts[p.Name], target)
		if err != nil {
			return nil, err
		}
		if len(found.oauth) > 0 {
			all = append(all, found)
		}
	}
	return all, nil
}

// policiesOf looks for OAuth policies in one package of the project.
func (s *Source) policiesOf(p sfp.Package, headers []Header, artifact string, target Target) (Policies, error) {
	own := slices.ContainsFunc(s.packages, func(mine sfp.Package) bool { return mine.Name == p.Name && mine.Path == p.Path })
	switch {
	case own && p.Aliasfy:
		return policiesIn(s.location.Project, p, headers, target, s.name("."), "this package")
	case own && s.location.Package != "":
		return Policies{}, nil // it was deployed before this run, so nothing in it is about to be
	case artifact != "" && p.Name != "":
		a, err := sfp.OpenArtifact(artifact)
		if err != nil {
			return Policies{}, err
		}
		defer a.Close()
		return policiesIn(a, p, headers, target, a.File, "artifact "+a.Package+" "+a.Version)
	case own:
		return policiesIn(s.location.Project, p, headers, target, s.name("."), "project")
	case s.location.Sibling != nil:
		return policiesIn(s.location.Sibling, p, headers, target, ".", "project")
	}
	return Policies{}, nil
}

// policiesIn reads the policies that a package has for the org at hand, where it
// has any for one of the apps. place names fsys in messages.
func policiesIn(fsys fs.FS, p sfp.Package, headers []Header, target Target, place, origin string) (Policies, error) {
	concerned := false
	err := eachFile(fsys, p.Path, metadata.OAuthPolicies, func(file string) error {
		// A broken file counts only in the folder that is deployed to this org.
		if c, err := metadata.ReadFile(fsys, file); err == nil && slices.ContainsFunc(headers, func(h Header) bool { return h.FullName == c.App() }) {
			concerned = true
			return fs.SkipAll
		}
		return nil
	})
	if err != nil || !concerned {
		return Policies{}, err
	}
	folder := p.Path
	if p.Aliasfy {
		if folder, err = target.folder(fsys, p); err != nil {
			return Policies{}, err
		}
	}
	return readPolicies(fsys, folder, place, origin)
}

func readPolicies(fsys fs.FS, folder, place, origin string) (Policies, error) {
	found := Policies{Folder: folder, Origin: origin}
	if folder == "." {
		found.Folder = place
	}
	err := eachFile(fsys, folder, metadata.OAuthPolicies, func(file string) error {
		c, err := metadata.ReadFile(fsys, file)
		if err != nil {
			var sourceErr *metadata.SourceError
			if errors.As(err, &sourceErr) {
				return &metadata.SourceError{Path: path.Join(place, sourceErr.Path), Field: sourceErr.Field, Err: sourceErr.Err}
			}
			return err
		}
		found.oauth = append(found.oauth, policiesFile{c, path.Join(place, file)})
		return nil
	})
	return found, err
}
