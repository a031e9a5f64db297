package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// PackageConfig describes an unlocked package with an app of a Dev Hub: Pattern 1.
type PackageConfig struct {
	// Components are the app's header and OAuth settings, see packaged.App.
	Components []*metadata.Component

	// Dir is the directory of the package, whose name is its last element. "" is eca- and the
	// app's name in lower case, beside the project's first package. An existing package is
	// extended.
	Dir string
}

// unpackageable are what lets the build of a package fail, by the suffix of its files: global and
// security settings, and policies of all plugins. Source: Salesforce's documentation of packages
// with External Client Apps.
var unpackageable = []string{
	eca.Lookup(eca.GlobalOAuthSettings).Suffix, eca.Lookup(eca.OAuthSecuritySettings).Suffix, eca.Lookup(eca.PluginPolicies).Suffix,
	eca.Lookup(eca.OAuthPolicies).Suffix, eca.Lookup(eca.SAMLPolicies).Suffix, "ecaMobilePlcy", "ecaPushPlcy",
}

// ignoreFile tells sf and sfp what to leave out.
const ignoreFile = ".forceignore"

// NewPackage returns the files that add the package to the project in fsys, for Write: source, the
// package in the project file, and lines of .forceignore that keep out what cannot be packaged.
// The app's files are replaced where they differ; everything else stays. Without changes, it
// returns none.
func NewPackage(fsys fs.FS, config PackageConfig) (files []File, dir string, err error) {
	target, err := readProject(fsys)
	if err != nil {
		return nil, "", err
	}
	if len(config.Components) == 0 || config.Components[0].Type != eca.Header {
		return nil, "", errors.New("the package needs an app's header")
	}
	if config.Dir == "" {
		config.Dir = target.beside("eca-" + strings.ToLower(strings.ReplaceAll(config.Components[0].FullName, "_", "-")))
	}
	if !packagePath.MatchString(config.Dir) || !fs.ValidPath(config.Dir) || config.Dir == "." {
		return nil, "", fmt.Errorf("%q is not a valid package directory; give a path inside the project, relative to it and without spaces", config.Dir)
	}
	packages, err := unlockedPackage(target.Project, config.Dir)
	if err != nil {
		return nil, "", err
	}
	dirs := []string{config.Dir}
	for _, p := range target.Packages {
		dirs = append(dirs, p.Path)
	}
	source := project.ReadSource(fsys, dirs...)
	for _, file := range source.Files(config.Dir) {
		for _, suffix := range unpackageable {
			if strings.HasSuffix(file, "."+suffix+"-meta.xml") {
				return nil, "", fmt.Errorf("%s lets the build of the package fail, because policies, global and security settings cannot be packaged; move it to another package", file)
			}
		}
	}
	for _, p := range target.Packages {
		for _, f := range source.Components(p.Path, eca.Header) {
			if strings.EqualFold(f.Name, config.Components[0].FullName) && !inside(f.File, config.Dir) {
				return nil, "", fmt.Errorf("%s is already a header of %s, of an app that each org has for itself; remove it with the app's settings in %s, or package an app of another name", f.File, f.Name, sfp.ProjectFile)
			}
		}
	}
	for _, c := range config.Components {
		typ := eca.Lookup(c.Type)
		file := File{Path: path.Join(config.Dir, typ.Folder, c.FullName+"."+typ.Suffix+"-meta.xml"), Mode: 0o644}
		for _, f := range source.Components(config.Dir, c.Type) {
			if strings.EqualFold(f.App(), eca.App(c)) {
				file.Path = f.File
			}
		}
		var content bytes.Buffer
		if err := metadata.WriteSource(&content, c); err != nil {
			return nil, "", err
		}
		file.Content = content.Bytes()
		if files, err = replacing(fsys, files, file); err != nil {
			return nil, "", err
		}
	}
	ignored, err := ignoring(fsys, config.Dir)
	if err != nil {
		return nil, "", err
	}
	if files, err = replacing(fsys, files, ignored); err != nil {
		return nil, "", err
	}
	if len(packages) > 0 {
		edited, err := target.edit(packages, nil, nil)
		if err != nil {
			return nil, "", err
		}
		files = append(files, edited)
	}
	return files, config.Dir, nil
}

// replacing adds a file that differs from what is there.
func replacing(fsys fs.FS, files []File, file File) ([]File, error) {
	before, err := fs.ReadFile(fsys, file.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return append(files, file), nil
	case err != nil:
		return nil, fmt.Errorf("cannot read %s", file.Path)
	case bytes.Equal(before, file.Content):
		return files, nil
	}
	file.Replaces, file.before = true, before
	return append(files, file), nil
}

// ignoring returns .forceignore with the lines for a package.
func ignoring(fsys fs.FS, dir string) (File, error) {
	before, err := fs.ReadFile(fsys, ignoreFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return File{}, fmt.Errorf("cannot read %s", ignoreFile)
	}
	there := strings.Split(strings.ReplaceAll(string(before), "\r\n", "\n"), "\n")
	content := bytes.Clone(before)
	added := false
	for _, suffix := range unpackageable {
		line := dir + "/**/*." + suffix + "-meta.xml"
		if slices.Contains(there, line) {
			continue
		}
		if !added {
			if len(content) > 0 && content[len(content)-1] != '\n' {
				content = append(content, '\n')
			}
			content = append(content, "# What cannot be in the package "+path.Base(dir)+"\n"...)
			added = true
		}
		content = append(content, line+"\n"...)
	}
	return File{Path: ignoreFile, Content: content, Mode: 0o644}, nil
}

// unlockedPackage returns the package where the project lacks it.
func unlockedPackage(proj *project.Project, dir string) ([]project.NewPackage, error) {
	for _, p := range proj.Packages {
		switch {
		case p.Path == dir && p.Aliasfy:
			return nil, fmt.Errorf("the package %s is aliasfied; a packaged app is the same for all orgs, so give another directory", p.Name)
		case p.Path == dir && p.Type != "" && p.Type != "unlocked":
			return nil, fmt.Errorf("the package %s is of type %s; give the directory of an unlocked one", p.Name, p.Type)
		case p.Path == dir && p.Name == "":
			return nil, fmt.Errorf("the directory %s is listed in %s without a package name; add one, or choose another directory", dir, sfp.ProjectFile)
		case p.Path == dir:
			return nil, nil
		case conflicts(p, dir):
			return nil, fmt.Errorf("the package %s in %s conflicts with %s; choose another directory", p.Name, p.Path, dir)
		}
	}
	return []project.NewPackage{{Package: path.Base(dir), Path: dir, VersionNumber: "1.0.0.NEXT", Type: "unlocked", Default: !hasDefault(proj)}}, nil
}
