package sfp

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

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/internal/files"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// ProjectFile is the name of a Salesforce DX project's file.
const ProjectFile = "sfdx-project.json"

// OriginalProjectFile is the artifact's copy of the project file it was built from. The
// artifact's ProjectFile holds only the one package.
const OriginalProjectFile = "manifests/sfdx-project.json.ori"

// Project is the part of a project file that sfp and this package use.
type Project struct {
	File             string // the file's path, for messages
	Packages         []Package
	SourceAPIVersion apiversion.Version // 0 if the file has none

	// Plugins are the settings of other tools, by the tool's name. sfp copies them to the
	// artifact.
	Plugins map[string]json.RawMessage

	// Replacements are the texts that sf, but not sfp, replaces on deployment.
	Replacements []Replacement

	// Keyed reports that an entry of packageDirectories has a key that only sfp knows, or that plugins has
	// settings of sfp.
	Keyed bool
}

// keys are the keys of an entry of packageDirectories that only sfp knows. Source: the schema of the project
// file in sfp 39.2.2, compared with that of sf.
var keys = []string{
	"aliasfy", "alwaysDeploy", "assignPermSetsPostDeployment", "assignPermSetsPreDeployment", "branch", "buildCollection",
	"checkpointForPrepare", "destructiveChangePath", "enableFHT", "enableFT", "enableFlowActivation", "enablePicklist",
	"ignoreOnStage", "isOptimizedDeployment", "postDeploymentScript", "preDeploymentScript", "reconcileProfiles",
	"skipCoverageValidation", "skipDeployOnOrgs", "skipInstallOnOrgs", "skipTesting", "tags", "testSynchronous", "type",
}

// isKeyed reports whether a project file has something that only sfp knows.
func isKeyed(packages []map[string]json.RawMessage, plugins map[string]json.RawMessage) bool {
	for _, name := range []string{"sfp", "sfpowerscripts"} {
		if _, ok := plugins[name]; ok {
			return true
		}
	}
	return slices.ContainsFunc(packages, func(entry map[string]json.RawMessage) bool {
		return slices.ContainsFunc(keys, func(key string) bool { _, ok := entry[key]; return ok })
	})
}

// Package is one entry of packageDirectories.
type Package struct {
	Name         string // "" for a directory that is not a package
	Path         string // cleaned, with slashes, relative to the project
	Type         string // sfp's type: source, unlocked, data, …; "" if the file has none
	Aliasfy      bool   // the org's alias selects a folder, see ResolveAlias
	MergeMode    bool   // merge mode of aliasfy, in sfp pro
	Default      bool   // sf puts new source here
	Script       string // postDeploymentScript, verbatim
	AlwaysDeploy bool   // sfp deploys the package also if the org has its version already
	Versioned    bool   // has an ID in packageAliases, so that sf creates versions of it
}

// AsItStands reports whether sfp deploys the package's files as they are. Of other packages, sf makes
// the project's replacements: when it deploys a directory without a name, and when it creates a version.
func (p Package) AsItStands() bool {
	return p.Name != "" && !(p.Versioned && (p.Type == "" || p.Type == "unlocked"))
}

// ProjectError reports an invalid or unreadable project file.
type ProjectError struct {
	File string
	Err  error
}

func (e *ProjectError) Error() string { return e.File + ": " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *ProjectError) Unwrap() error { return e.Err }

// PackageOf returns the package that a file of the project is in, or nil.
func (p *Project) PackageOf(file string) (found *Package) {
	for i := range p.Packages {
		pkg := &p.Packages[i]
		within := pkg.Path == "." || strings.HasPrefix(file, pkg.Path+"/")
		if within && (found == nil || found.Path == "." || len(pkg.Path) > len(found.Path)) {
			found = pkg
		}
	}
	return found
}

// Package returns the project's package of that name, or nil.
func (p *Project) Package(name string) *Package {
	for i := range p.Packages {
		if p.Packages[i].Name == name {
			return &p.Packages[i]
		}
	}
	return nil
}

// ManifestFile is the manifest of a directory in metadata format.
const ManifestFile = "package.xml"

// ReadProject reads the project file of that name. If there is no ProjectFile but a ManifestFile, the
// directory is in metadata format: a project whose one package is all of it. An error is a *ProjectError.
func ReadProject(fsys fs.FS, name string) (*Project, error) {
	data, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) && name == ProjectFile {
		if manifest, err := fs.ReadFile(fsys, ManifestFile); err == nil {
			return parseManifest(manifest)
		}
	}
	if err != nil {
		return nil, &ProjectError{name, fmt.Errorf("cannot be read: %w", files.Plain(err))}
	}
	p, err := ParseProject(data)
	if err != nil {
		return nil, &ProjectError{name, err}
	}
	p.File = name
	return p, nil
}

// parseManifest returns the project that a directory with this manifest is.
func parseManifest(data []byte) (*Project, error) {
	p := &Project{File: ManifestFile, Packages: []Package{{Path: "."}}}
	manifest, err := metadata.Parse(bytes.NewReader(data))
	switch {
	case err != nil:
	case manifest.Type != "Package":
		err = errors.New("is no manifest")
	case strings.TrimSpace(manifest.Text("version")) != "":
		p.SourceAPIVersion, err = apiversion.Parse(strings.TrimSpace(manifest.Text("version")))
	}
	if err != nil {
		return nil, &ProjectError{ManifestFile, err}
	}
	return p, nil
}

// ParseProject reads the content of a project file.
func ParseProject(data []byte) (*Project, error) {
	var file struct {
		PackageDirectories []struct {
			Path    string  `json:"path"`
			Package string  `json:"package"`
			Type    string  `json:"type"`
			Aliasfy aliasfy `json:"aliasfy"`
			Default bool    `json:"default"`
			Script  string  `json:"postDeploymentScript"`
			Always  bool    `json:"alwaysDeploy"`
		} `json:"packageDirectories"`
		SourceAPIVersion string                     `json:"sourceApiVersion"`
		Plugins          map[string]json.RawMessage `json:"plugins"`
		Replacements     []Replacement              `json:"replacements"`
		PackageAliases   map[string]string          `json:"packageAliases"`
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, jsonError(data, err)
	}
	var entries struct {
		PackageDirectories []map[string]json.RawMessage `json:"packageDirectories"`
	}
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, jsonError(data, err)
	}
	p := &Project{Plugins: file.Plugins, Replacements: file.Replacements, Keyed: isKeyed(entries.PackageDirectories, file.Plugins)}
	for i, d := range file.PackageDirectories {
		dir := path.Clean(strings.ReplaceAll(d.Path, `\`, "/"))
		if !fs.ValidPath(dir) {
			return nil, fmt.Errorf("packageDirectories[%d].path: %q is outside the project", i, d.Path)
		}
		p.Packages = append(p.Packages, Package{
			Name: d.Package, Path: dir, Type: d.Type,
			Aliasfy: d.Aliasfy.on, MergeMode: d.Aliasfy.merge, Default: d.Default, Script: d.Script, AlwaysDeploy: d.Always,
			Versioned: strings.HasPrefix(file.PackageAliases[d.Package], "0Ho"),
		})
	}
	if file.SourceAPIVersion != "" {
		v, err := apiversion.Parse(file.SourceAPIVersion)
		if err != nil {
			return nil, fmt.Errorf("sourceApiVersion: %w", err)
		}
		p.SourceAPIVersion = v
	}
	return p, nil
}

// aliasfy is true, false, or an object for sfp pro's merge mode. An object turns the alias rule
// on too.
type aliasfy struct{ on, merge bool }

func (a *aliasfy) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &a.on); err == nil {
		return nil
	}
	var object struct {
		MergeMode bool `json:"mergeMode"`
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return errors.New("aliasfy must be true, false or an object")
	}
	a.on, a.merge = true, object.MergeMode
	return nil
}

// jsonError adds the line and column to an error of encoding/json.
func jsonError(data []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	offset := -1
	switch {
	case errors.As(err, &syntax):
		offset = int(syntax.Offset)
		if offset > 0 && offset <= len(data) && data[offset-1] == '/' {
			err = errors.New("JSON has no comments")
		}
	case errors.As(err, &kind):
		offset = int(kind.Offset)
		want := map[reflect.Kind]string{reflect.Slice: "an array", reflect.Struct: "an object", reflect.Map: "an object", reflect.Bool: "true or false", reflect.String: "a string"}[kind.Type.Kind()]
		err = fmt.Errorf("%s must be %s, not a JSON %s", cmp.Or(kind.Field, "it"), cmp.Or(want, kind.Type.String()), kind.Value)
	}
	if offset < 0 || offset > len(data) {
		return fmt.Errorf("is not a project file: %w", err)
	}
	before := data[:offset]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - 1 - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("is not a project file: line %d, column %d: %w", line, max(column, 1), err)
}
