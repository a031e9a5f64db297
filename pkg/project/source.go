package project

import (
	"io/fs"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"

	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Source is the source of an sfp project, or of an artifact, as one reading found it: its
// files listed, and the components of apps among them read. Nothing that is asked of it later
// reads a file.
type Source struct {
	*sfp.Tree

	files []SourceFile
}

// SourceFile is a file that by its name holds a component of one of Types.
type SourceFile struct {
	File      string              // its path
	Type      *metadata.Type      // by its name
	Name      string              // the fullName, by its name
	Component *metadata.Component // with whatever values its fields have; nil where it cannot be made out
	Err       error               // a *metadata.SourceError where Component is nil
}

// Strict returns the component, or as an error a field whose value its type does not allow,
// or that holds a secret.
func (f SourceFile) Strict() (*metadata.Component, error) {
	if f.Err != nil {
		return nil, f.Err
	}
	if field, err := f.Type.CheckValues(f.Component); err != nil {
		return nil, &metadata.SourceError{Path: f.File, Field: field, Err: err}
	}
	return f.Component, nil
}

// App returns the name of the app that the component belongs to, "" where that cannot be made
// out.
func (f SourceFile) App() string {
	if f.Component == nil {
		return ""
	}
	return eca.App(f.Component)
}

// ReadSource lists some directories of fsys and reads the components in them.
func ReadSource(fsys fs.FS, dirs ...string) *Source {
	s := &Source{Tree: sfp.List(fsys, dirs...)}
	seen := make(map[string]bool)
	for _, dir := range dirs {
		for _, file := range s.Tree.Files(dir) {
			typ, name := eca.Types().OfFile(file)
			if typ == nil || seen[file] {
				continue
			}
			seen[file] = true
			c, err := eca.Types().ReadFile(fsys, file)
			s.files = append(s.files, SourceFile{File: file, Type: typ, Name: name, Component: c, Err: err})
		}
	}
	return s
}

// Components returns the files of one type in a directory and below it; of all types where typ
// is "".
func (s *Source) Components(dir, typ string) (found []SourceFile) {
	for _, f := range s.files {
		if (typ == "" || f.Type.Name == typ) && (dir == "." || strings.HasPrefix(f.File, dir+"/")) {
			found = append(found, f)
		}
	}
	return found
}

// Deployed returns the files of one type that a deployment of several folders brings: a file
// of one folder hides those of the same path in later ones, as sfp's merge mode has it. What
// .forceignore leaves out is among them.
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

// Layout tells sfp which files of a project matter.
func Layout() sfp.Layout {
	return sfp.Layout{
		IsComponent: func(file string) bool { t, _ := eca.Types().OfFile(file); return t != nil },
		IsFolder:    eca.Types().IsFolder,
	}
}
