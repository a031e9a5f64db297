package scaffold

import (
	"bytes"
	"cmp"
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

// unpackageable are the suffixes of files with which the build of a package fails: global and
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
// Files of the app that differ are replaced; everything else stays. Without changes, it returns
// none. dir is the package's directory.
func NewPackage(fsys fs.FS, config PackageConfig) (files []File, dir string, err error) {
	target, err := readProject(fsys)
	if err != nil {
		return nil, "", err
	}
	if len(config.Components) == 0 || config.Components[0].Type != eca.Header {
		return nil, "", errors.New("the package needs an app's header")
	}
	app := config.Components[0].FullName
	wanted := project.NewPackage{
		Path: cmp.Or(config.Dir, target.Beside("eca-"+strings.ToLower(strings.ReplaceAll(app, "_", "-")))),
		Type: "unlocked", Default: target.lacksDefault(),
	}
	if err := checkDir(wanted.Path); err != nil {
		return nil, "", err
	}
	at, err := target.find(&wanted, acceptUnlocked)
	if err != nil {
		return nil, "", err
	}
	source := target.source(wanted.Path)
	if err := packageable(source, wanted.Path); err != nil {
		return nil, "", err
	}
	if file := target.header(source, app, wanted.Path); file != "" {
		return nil, "", fmt.Errorf("%s is already a header of %s, of an app that each org has for itself; "+
			"remove it with the app's settings in %s, or package an app of another name", file, app, sfp.ProjectFile)
	}
	if files, err = packageFiles(target, source, wanted.Path, config.Components); err != nil || at >= 0 {
		return files, wanted.Path, err
	}
	edited, err := target.edit([]project.NewPackage{wanted}, nil, nil)
	return append(files, edited), wanted.Path, err
}

// acceptUnlocked decides whether an existing package can have the app.
func acceptUnlocked(p sfp.Package) error {
	switch {
	case p.Aliasfy:
		return fmt.Errorf("the package %s is aliasfied; a packaged app is the same for all orgs, so give another directory", p.Name)
	case p.Type != "" && p.Type != "unlocked":
		return fmt.Errorf("the package %s is of type %s; give the directory of an unlocked one", p.Name, p.Type)
	}
	return nil
}

// packageable returns an error if a directory has files that cannot be packaged.
func packageable(source *project.Source, dir string) error {
	for _, file := range source.Files(dir) {
		for _, suffix := range unpackageable {
			if strings.HasSuffix(file, "."+suffix+"-meta.xml") {
				return fmt.Errorf("%s cannot be packaged, like all policies, global and security settings; move it to another package", file)
			}
		}
	}
	return nil
}

// packageFiles returns the files in a package's directory that differ from the project's, and
// .forceignore if it lacks lines.
func packageFiles(t *target, source *project.Source, dir string, components []*metadata.Component) (files []File, err error) {
	var all []File
	for _, c := range components {
		file, err := componentFile(dir, eca.Lookup(c.Type), c)
		if err != nil {
			return nil, err
		}
		for _, f := range source.Components(dir, c.Type) {
			if strings.EqualFold(f.App(), eca.App(c)) {
				file.Path = f.File
			}
		}
		all = append(all, file)
	}
	var lines []string
	for _, suffix := range unpackageable {
		lines = append(lines, dir+"/**/*."+suffix+"-meta.xml")
	}
	ignored, err := t.ignoring(lines, "What cannot be in the package "+path.Base(dir))
	if err != nil {
		return nil, err
	}
	for _, file := range append(all, ignored) {
		before, err := fs.ReadFile(t.fsys, file.Path)
		switch {
		case err == nil && bytes.Equal(before, file.Content):
			continue
		case err == nil:
			file.Replaces, file.before = true, before
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("cannot read %s", file.Path)
		}
		files = append(files, file)
	}
	return files, nil
}

// ignoring returns .forceignore with lines, below a comment.
func (t *target) ignoring(wanted []string, comment string) (File, error) {
	before, err := fs.ReadFile(t.fsys, ignoreFile)
	exists := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return File{}, fmt.Errorf("cannot read %s", ignoreFile)
	}
	lines := strings.Split(strings.ReplaceAll(string(before), "\r\n", "\n"), "\n")
	added := slices.DeleteFunc(slices.Clone(wanted), func(line string) bool { return slices.Contains(lines, line) })
	content := string(before)
	if len(added) > 0 {
		if content != "" && !strings.HasSuffix(content, "\n") {
			content += "\n"
		}
		content += "# " + comment + "\n" + strings.Join(added, "\n") + "\n"
	}
	return File{Path: ignoreFile, Content: []byte(content), Mode: 0o644, Replaces: exists, before: before}, nil
}
