package scaffold

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// newSource is the directory of new source in a project without packages, as sf names it.
const newSource = "force-app"

// ErrMetadataFormat reports a directory in metadata format, which has no file for settings.
var ErrMetadataFormat = errors.New("a directory in metadata format has no project file, which the settings of an app need")

// place determines the layout, and where the app's files go.
func (a *addition) place() error {
	t := a.target
	a.layout = cmp.Or(a.Layout, t.Project.Layout(t.fsys))
	switch a.layout {
	case project.LayoutMetadata:
		return ErrMetadataFormat
	case project.LayoutSFP:
		a.Definition = cmp.Or(a.Definition, t.Beside("eca-definition"))
		a.Policies = cmp.Or(a.Policies, t.Beside("eca-policies"))
		a.sources = a.Definition
		return nil
	}
	if a.Policies != "" && a.Policies != project.EnvironmentsDir {
		return fmt.Errorf("in a project that sf deploys, policies are in %s, and not in %s", project.EnvironmentsDir, a.Policies)
	}
	a.Definition, a.Policies = cmp.Or(a.Definition, t.newSource()), project.EnvironmentsDir
	a.sources = a.Definition
	usual := path.Join(a.Definition, "main/default")
	if info, err := fs.Stat(t.fsys, usual); err == nil && info.IsDir() || a.at() < 0 {
		a.sources = usual
	}
	return nil
}

// at returns the position of the package directory for the header, -1 if the project lacks it.
func (a *addition) at() int {
	return slices.IndexFunc(a.target.Packages, func(p sfp.Package) bool { return p.Path == a.Definition })
}

// newSource returns the directory in which sf puts new source.
func (t *target) newSource() string {
	for _, p := range t.Packages {
		if p.Default {
			return p.Path
		}
	}
	if len(t.Packages) > 0 {
		return t.Packages[0].Path
	}
	return newSource
}

// plainPackages returns the package directory for the header if the project lacks it, in LayoutSF.
func (a *addition) plainPackages() ([]project.NewPackage, error) {
	if inside(project.EnvironmentsDir, a.Definition) || inside(a.Definition, project.EnvironmentsDir) {
		return nil, fmt.Errorf("%s and %s must not contain one another, because sf would deploy all policies to every org", a.Definition, project.EnvironmentsDir)
	}
	if i := a.at(); i >= 0 {
		if a.target.Packages[i].Aliasfy {
			return nil, fmt.Errorf("the package %s is aliasfied; the one with the header must not be", cmp.Or(a.target.Packages[i].Name, a.Definition))
		}
		return nil, nil
	}
	for _, p := range a.target.Packages {
		if inside(a.Definition, p.Path) || inside(p.Path, a.Definition) {
			return nil, fmt.Errorf("the package in %s conflicts with %s; choose another directory", p.Path, a.Definition)
		}
	}
	return []project.NewPackage{{Path: a.Definition, Default: a.target.lacksDefault()}}, nil
}

// statedLayout is the setting that the project needs, "" if the layout is recognised without it.
func (a *addition) statedLayout() project.Layout {
	if a.layout == project.LayoutSF && a.target.Project.Layout(a.target.fsys) != project.LayoutSF {
		return a.layout
	}
	return ""
}
