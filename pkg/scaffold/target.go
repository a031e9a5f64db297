package scaffold

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// target is the project that files are added to.
type target struct {
	*project.Project
	fsys fs.FS
	data []byte      // of its file, read once, because another run may change the file meanwhile
	mode fs.FileMode // of its file
	new  bool        // there is no file yet

	layout project.Layout // to be stated in the settings, "" for none
}

// minimal is the file of a new project.
const minimal = `{
  "packageDirectories": [],
  "namespace": ""
}
`

// readOrCreate is like readProject, but with create returns a new project if there is no file.
func readOrCreate(fsys fs.FS, create bool) (*target, error) {
	if _, err := fs.Stat(fsys, sfp.ProjectFile); !create || !errors.Is(err, fs.ErrNotExist) {
		return readProject(fsys)
	}
	proj, err := project.Parse([]byte(minimal))
	return &target{Project: proj, fsys: fsys, data: []byte(minimal), mode: 0o644, new: true}, err
}

func readProject(fsys fs.FS) (*target, error) {
	data, err := fs.ReadFile(fsys, sfp.ProjectFile)
	if errors.Is(err, fs.ErrNotExist) {
		if _, manifest := fs.Stat(fsys, sfp.ManifestFile); manifest == nil {
			return nil, ErrMetadataFormat
		}
	}
	if err != nil {
		return nil, err
	}
	proj, err := project.Parse(data)
	if err != nil {
		return nil, &sfp.ProjectError{File: sfp.ProjectFile, Err: err}
	}
	info, err := fs.Stat(fsys, sfp.ProjectFile)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o200 == 0 {
		return nil, fmt.Errorf("%s is not a regular file or is write-protected", sfp.ProjectFile)
	}
	return &target{Project: proj, fsys: fsys, data: data, mode: info.Mode().Perm()}, nil
}

// source reads the packages of the project and another directory.
func (t *target) source(dir string) *project.Source {
	dirs := []string{dir}
	for _, p := range t.Packages {
		dirs = append(dirs, p.Path)
	}
	return project.ReadSource(t.fsys, dirs...)
}

// header returns the project's header of an app outside a directory, "" if there is none.
func (t *target) header(source *project.Source, app, outside string) string {
	for _, p := range t.Packages {
		for _, f := range source.Components(p.Path, eca.Header) {
			if strings.EqualFold(f.Name, app) && (outside == "" || !inside(f.File, outside)) {
				return f.File
			}
		}
	}
	return ""
}

// find returns the position of a wanted package in packageDirectories, -1 if the project lacks it.
// accept decides whether an existing package can be extended. It is an error if other packages
// leave no room for the wanted one.
func (t *target) find(wanted *project.NewPackage, accept func(sfp.Package) error) (int, error) {
	wanted.Package, wanted.VersionNumber = path.Base(wanted.Path), "1.0.0.NEXT"
	if i := slices.IndexFunc(t.Packages, func(p sfp.Package) bool { return p.Path == wanted.Path }); i >= 0 {
		if t.Packages[i].Name == "" {
			return i, fmt.Errorf("the directory %s is listed in %s without a package name; add one, or choose another directory", wanted.Path, sfp.ProjectFile)
		}
		return i, accept(t.Packages[i])
	}
	for _, p := range t.Packages {
		name := cmp.Or(p.Name, p.Path)
		switch {
		case p.Path == ".":
			return -1, fmt.Errorf("the package %s covers the whole project; give it a directory first", name)
		case p.Name == wanted.Package || inside(wanted.Path, p.Path) || inside(p.Path, wanted.Path):
			return -1, fmt.Errorf("the package %s in %s conflicts with %s; choose another directory", name, p.Path, wanted.Path)
		}
	}
	return -1, nil
}

// lacksDefault reports whether sf does not know where to put new source.
func (t *target) lacksDefault() bool {
	return !slices.ContainsFunc(t.Packages, func(p sfp.Package) bool { return p.Default })
}

// inside reports whether a directory is below another one, or the same.
func inside(a, b string) bool { return strings.HasPrefix(a+"/", b+"/") }

// missing returns those of the new files that do not exist yet. A file with the same content is one
// that an earlier run wrote. It is an error if a file exists with another content or cannot be created.
func (t *target) missing(files []File) (missing []File, err error) {
	missing, other, err := t.compare(files)
	if len(other) > 0 && err == nil {
		return nil, fmt.Errorf("%s already exists and is not overwritten", strings.Join(other, ", "))
	}
	return missing, err
}

// compare returns those of the new files that do not exist yet, and the paths of those that exist with
// another content.
func (t *target) compare(files []File) (missing []File, other []string, err error) {
	for _, f := range files {
		info, err := fs.Lstat(t.fsys, f.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, f)
		case err != nil:
			return nil, nil, notCreated(f.Path)
		case !info.Mode().IsRegular() || !t.has(f):
			other = append(other, f.Path)
		}
	}
	return missing, other, nil
}

// has reports whether the project has a file with its content.
func (t *target) has(f File) bool {
	now, err := fs.ReadFile(t.fsys, f.Path)
	return err == nil && bytes.Equal(now, f.Content)
}

// ExistsError reports that the project already has settings of the app or connection.
type ExistsError struct {
	What string // like "settings of MyApp"
	// Differs are the files and settings that are not as they would be added, as far as they are known.
	Differs []string
}

func (e *ExistsError) Error() string {
	text := fmt.Sprintf("%s already has %s, and only a new one can be added", sfp.ProjectFile, e.What)
	if len(e.Differs) > 0 {
		text += "; different from what would be added: " + strings.Join(e.Differs, ", ")
	}
	return text
}

// add returns those of the new files that the project lacks, and the project file with packages and an
// entry of plugins added. existing, if not nil, is the error for a project that already has the entry with
// another value, or files with another content. If it has the same entry, the files that are missing are
// returned, with the project file only if packages are missing.
func (t *target) add(files []File, packages []project.NewPackage, entry []string, settings any, existing *ExistsError) ([]File, error) {
	if existing == nil {
		missing, err := t.missing(files)
		if err != nil {
			return nil, err
		}
		edited, err := t.edit(packages, entry, settings)
		return append(missing, edited), err
	}
	missing, other, err := t.compare(files)
	existing.Differs = other
	if !t.states(entry, settings) {
		existing.Differs = append(existing.Differs, "plugins."+strings.Join(entry, "."))
	}
	switch {
	case err != nil:
		return nil, err
	case len(existing.Differs) > 0:
		return nil, existing
	case len(packages) == 0:
		return missing, nil
	}
	edited, err := t.edit(packages, nil, nil)
	return append(missing, edited), err
}

// edit returns the project file with packages and an entry of plugins added.
func (t *target) edit(packages []project.NewPackage, entry []string, settings any) (File, error) {
	edited, err := project.AddToProject(t.data, packages, entry, settings)
	if err == nil && t.layout != "" {
		edited, err = project.AddToProject(edited, nil, []string{"eca", "layout"}, t.layout)
	}
	if err == nil {
		_, err = project.Parse(edited) // a project file with wrong settings serves no app
	}
	if err != nil {
		return File{}, &sfp.ProjectError{File: sfp.ProjectFile, Err: err}
	}
	file := File{Path: sfp.ProjectFile, Content: edited, Mode: t.mode, Replaces: !t.new}
	if !t.new {
		file.before = t.data
	}
	return file, nil
}

// states reports whether the project file has an entry of plugins.eca with these settings.
func (t *target) states(entry []string, settings any) bool {
	var has, wanted any
	data, err := json.Marshal(settings)
	if err != nil || json.Unmarshal(data, &wanted) != nil || json.Unmarshal(t.Plugins["eca"], &has) != nil {
		return false
	}
	for _, name := range entry[1:] {
		object, _ := has.(map[string]any)
		has = object[name]
	}
	return reflect.DeepEqual(has, wanted)
}

func notCreated(file string) error {
	return fmt.Errorf("cannot create %s: its path contains something other than a directory of the project", file)
}

// componentFile returns a component's file below a package directory.
func componentFile(dir string, typ *metadata.Type, c *metadata.Component) (File, error) {
	var b bytes.Buffer
	err := metadata.WriteSource(&b, c)
	name := path.Join(dir, typ.Folder, c.FullName+"."+typ.Suffix+"-meta.xml")
	return File{Path: name, Content: b.Bytes(), Mode: 0o644}, err
}

// newFile returns the file of a new component of an app.
func newFile(dir, typ, fullName string, fields metadata.Fields) (File, error) {
	return componentFile(dir, eca.Lookup(typ), metadata.New(typ, fullName, fields))
}
