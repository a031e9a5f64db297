package project

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/files"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Layout is how a project is deployed, which determines the place of the policies of environments.
type Layout string

// The layouts.
const (
	// LayoutSFP: sfp deploys packages. Policies are in an aliasfied package, of which sfp deploys one folder.
	LayoutSFP Layout = "sfp"
	// LayoutSF: sf deploys all package directories, with every folder in them. Policies of environments are
	// outside, in EnvironmentsDir, and only this module deploys them.
	LayoutSF Layout = "sf"
	// LayoutMetadata: a directory in metadata format, without a project file. Policies are as in LayoutSF.
	LayoutMetadata Layout = "metadata"
)

// EnvironmentsDir is the directory beside the project file with a directory of policies for each
// environment, of projects that sfp does not deploy.
const EnvironmentsDir = "eca/policies"

// Layout returns the layout of the project in fsys. The setting decides if there is one. If not, sfp
// deploys a project whose file has keys or settings of sfp, that is an artifact of sfp, or that has a
// directory of sfp, a release definition or a release configuration.
func (p *Project) Layout(fsys fs.FS) Layout {
	switch {
	case p.Settings.Layout != "":
		return p.Settings.Layout
	case p.File == sfp.ManifestFile:
		return LayoutMetadata
	case p.Keyed || hasSFP(fsys):
		return LayoutSFP
	}
	return LayoutSF
}

// hasSFP reports whether a directory has what only sfp reads or writes, beside the project file.
func hasSFP(fsys fs.FS) bool {
	for _, name := range []string{".sfp", ".sfpowerscripts", sfp.OriginalProjectFile} {
		if _, err := fs.Stat(fsys, name); err == nil {
			return true
		}
	}
	return hasRelease(fsys, ".", 2)
}

// release matches the keys that a release definition must have, and those of a release configuration.
// Source: their schemas in sfp 39.2.2.
var release = []*regexp.Regexp{
	regexp.MustCompile(`(?ms)^release:.*^artifacts:|^artifacts:.*^release:`),
	regexp.MustCompile(`(?ms)^releaseName:.*^` + configures + `|^` + configures + `.*^releaseName:`),
}

// configures are the keys of which a release configuration has one beside its name.
const configures = `(?:pool|exclude\w+|includeOnly\w+|dependencyOn|releasedefinitionProperties):`

// maxRelease is the maximum size in bytes of a file that may be a release definition.
const maxRelease = 256 << 10

// hasRelease reports whether a directory, or one below it up to a depth, has a release definition or a
// release configuration of sfp.
func hasRelease(fsys fs.FS, dir string, depth int) bool {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return false
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		switch ending := path.Ext(name); {
		case entry.IsDir():
			hidden := strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"
			if !hidden && depth > 0 && hasRelease(fsys, name, depth-1) {
				return true
			}
		case entry.Type().IsRegular() && (ending == ".yml" || ending == ".yaml"):
			data, err := files.ReadUpTo(fsys, name, maxRelease)
			for _, keys := range release {
				if err == nil && keys.Match(data) {
					return true
				}
			}
		}
	}
	return false
}

// Policies is the place of the policies of environments in a project.
type Policies struct {
	// Dir has one directory for each environment.
	Dir string
	// Package is the aliasfied package in Dir, the zero value if Dir is EnvironmentsDir.
	Package sfp.Package
	// Deployed reports that sfp deploys them. Otherwise this module does by default.
	Deployed bool
}

// Policies returns the place where the policies of environments go in a layout. In LayoutSFP, that is the
// first aliasfied package with policies of apps, or one that is not there yet: eca-policies beside the first
// package. Source lists the packages.
func (p *Project) Policies(layout Layout, source *Source) Policies {
	if layout != LayoutSFP {
		return Policies{Dir: EnvironmentsDir}
	}
	for _, pkg := range p.Packages {
		if !pkg.Aliasfy || pkg.Type == "data" {
			continue
		}
		for _, f := range source.Components(pkg.Path, "") {
			if IsPolicy(f.File) {
				return Policies{Dir: pkg.Path, Package: pkg, Deployed: true}
			}
		}
	}
	return Policies{Dir: p.Beside("eca-policies"), Deployed: true}
}

// Environment returns the directory with the policies of an environment: the one that exists, or the one to
// create. alias is the org's alias, or default for sandboxes and scratch orgs without a directory of their own.
func (at Policies) Environment(source *Source, alias string) string {
	var found []string
	if at.Deployed {
		for _, dir := range source.EnvironmentFolders(sfp.Package{Path: at.Dir, Aliasfy: true}, SourceLayout()) {
			if path.Base(dir) == alias {
				return dir
			}
			if dir != "" {
				found = append(found, path.Dir(dir))
			}
		}
	}
	if len(found) > 0 {
		return path.Join(slices.Min(found), alias)
	}
	return path.Join(at.Dir, alias)
}

// Beside returns a directory beside the project's first package.
func (p *Project) Beside(name string) string {
	if len(p.Packages) == 0 {
		return name
	}
	return path.Join(path.Dir(p.Packages[0].Path), name)
}

// EnvironmentsPackage describes EnvironmentsDir as sfp does an aliasfied package, because an environment is
// chosen by the same rule: the directory with the org's alias, or default unless the org is production.
func EnvironmentsPackage() sfp.Package { return sfp.Package{Path: EnvironmentsDir, Aliasfy: true} }

// IsEnvironments reports whether a package is EnvironmentsPackage.
func IsEnvironments(p sfp.Package) bool {
	return p.Path == EnvironmentsDir && p.Name == "" && p.Aliasfy
}

// EnvironmentError reports that EnvironmentsDir has no directory for an org.
type EnvironmentError struct {
	Alias   string // the username if the org has no alias
	Sandbox bool   // includes scratch orgs, which the directory default would serve
}

func (e *EnvironmentError) Error() string {
	if e.Sandbox {
		return fmt.Sprintf("%s has neither a directory %q nor a directory %s", EnvironmentsDir, e.Alias, sfp.DefaultFolder)
	}
	return fmt.Sprintf("%s has no directory %q, and the directory %s serves only sandboxes and scratch orgs", EnvironmentsDir, e.Alias, sfp.DefaultFolder)
}
