package project

import (
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Source is the source of an sfp project or an artifact: the names of its files and the components
// of apps among them. ReadSource reads everything; the methods read no files.
type Source struct {
	*sfp.Tree

	files   []SourceFile
	plugins []SourceFile // see Plugins
}

// SourceFile is a file whose name is that of a component of one of eca.Types.
type SourceFile struct {
	File      string              // its path
	Type      *metadata.Type      // according to the file's name
	Name      string              // the fullName according to the file's name
	Component *metadata.Component // its values are not checked; nil if it cannot be parsed
	Err       error               // a *metadata.SourceError if Component is nil

	// Unreplaced is why sf's replacements in the file cannot be made, see Replace. Component is the
	// file as it stands then.
	Unreplaced error
	// Literal reports that sfp deploys the file as it stands, although the project has replacements in it.
	Literal bool
}

// Strict returns the component, or an error if a value is not of its field's kind or is a secret.
func (f SourceFile) Strict() (*metadata.Component, error) {
	if f.Err != nil {
		return nil, f.Err
	}
	if field, err := f.Type.CheckValues(f.Component); err != nil {
		return nil, &metadata.SourceError{Path: f.File, Field: field, Err: err}
	}
	return f.Component, nil
}

// App returns the name of the component's app, "" if unknown.
func (f SourceFile) App() string {
	if f.Component == nil {
		return ""
	}
	return eca.App(f.Component)
}

// ReadSource reads the components in some directories of fsys.
func ReadSource(fsys fs.FS, dirs ...string) *Source {
	s := &Source{Tree: sfp.List(fsys, dirs...)}
	seen := make(map[string]bool)
	inSource := make(map[string]bool) // names of files in source format, without the ending
	for _, dir := range dirs {
		for _, file := range s.Tree.Files(dir) {
			if seen[file] {
				continue
			}
			typ, name := eca.Types().OfFile(file)
			if typ == nil {
				s.readPlugin(fsys, file)
				continue
			}
			seen[file] = true
			if name, ok := strings.CutSuffix(file, metadata.SourceEnding); ok {
				inSource[name] = true
			}
			c, err := eca.Types().ReadFile(fsys, file)
			s.files = append(s.files, SourceFile{File: file, Type: typ, Name: name, Component: c, Err: err})
		}
	}
	// Of a file in both formats, sf deploys the one in source format.
	s.files = slices.DeleteFunc(s.files, func(f SourceFile) bool { return inSource[f.File] })
	return s
}

func (s *Source) readPlugin(fsys fs.FS, file string) {
	typ, name := eca.SourceTypes().OfFile(file)
	if typ == nil || slices.ContainsFunc(s.plugins, func(f SourceFile) bool { return f.File == file }) {
		return
	}
	c, err := eca.SourceTypes().ReadFile(fsys, file)
	s.plugins = append(s.plugins, SourceFile{File: file, Type: typ, Name: name, Component: c, Err: err})
}

// Plugins returns the files in a directory and below it with components of an app's further plug-ins, of the types
// of eca.SourceTypes, which Components does not return.
func (s *Source) Plugins(dir string) (found []SourceFile) {
	for _, f := range s.plugins {
		if dir == "." && !isBelow(f.File, EnvironmentsDir) || isBelow(f.File, dir) {
			found = append(found, f)
		}
	}
	return found
}

// Replace reads the files again in which sf replaces texts on deployment, with the replacements of a
// project made.
func (s *Source) Replace(proj *sfp.Project, in Replacing) {
	for i := range s.files {
		f := &s.files[i]
		at := f.File
		if in.Dir != "" {
			at = path.Join(in.Dir, f.File)
		}
		if !proj.Replaces(at) {
			continue
		}
		content, err := fs.ReadFile(in.Files, f.File)
		if in.AsItStands != nil && in.AsItStands(f.File) {
			f.Literal = err == nil && proj.ReplacedBy(at, content) >= 0
			continue
		}
		if err == nil {
			content, err = proj.Replace(in.Project, at, content, in.Getenv)
		}
		c := f.Component
		if err == nil {
			c, err = eca.Types().ParseFile(f.File, bytes.NewReader(content))
		}
		if err != nil {
			f.Unreplaced = err
			continue
		}
		f.Component, f.Err = c, nil
	}
}

// Replacing says where Replace finds what it needs.
type Replacing struct {
	Files   fs.FS  // the files of the Source
	Dir     string // their directory in messages, "" if that is the project
	Project fs.FS  // the project, which has the files with new texts

	// Getenv returns the value of an environment variable, "" if it is not set.
	Getenv func(name string) string
	// AsItStands reports whether sfp deploys a file, which makes no replacements. nil means no file.
	AsItStands func(file string) bool
}

// Components returns the files of one type in a directory and below it, or of all types if typ is
// "". Files in EnvironmentsDir are not in the directories above it.
func (s *Source) Components(dir, typ string) (found []SourceFile) {
	inEnvironments := isBelow(dir+"/", EnvironmentsDir)
	for _, f := range s.files {
		if isBelow(f.File, EnvironmentsDir) && !inEnvironments {
			continue
		}
		if (typ == "" || f.Type.Name == typ) && (dir == "." || isBelow(f.File, dir)) {
			found = append(found, f)
		}
	}
	return found
}

// isBelow reports whether a file is in a directory or below it.
func isBelow(file, dir string) bool { return strings.HasPrefix(file, dir+"/") }

// Deployed returns the files of one type that a deployment of several folders includes: a file in
// one folder hides those of the same path in later ones, as in sfp's merge mode. Files in
// .forceignore are included.
func (s *Source) Deployed(folders []string, typ string) (found []SourceFile) {
	seen := make(map[string]bool) // by the path in their folder
	for _, folder := range folders {
		for _, f := range s.Components(folder, typ) {
			if at := strings.TrimPrefix(f.File, folder); !seen[at] {
				seen[at] = true
				found = append(found, f)
			}
		}
	}
	return found
}

// SourceLayout describes the files of External Client Apps in a project.
func SourceLayout() sfp.Layout {
	return sfp.Layout{
		IsComponent: func(file string) bool { t, _ := eca.Types().OfFile(file); return t != nil },
		IsFolder:    eca.Types().IsFolder,
	}
}
