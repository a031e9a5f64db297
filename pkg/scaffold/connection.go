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

	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// ConnectionConfig describes how orgs call another one, as source: an aliasfied package with
// External and Named Credential of each environment. The secret is in neither; eca connect stores
// it.
type ConnectionConfig struct {
	// Connection is without what differs by environment: ProviderURL. It has no Certificate,
	// because the source of JWT bearer would hold a consumer key, which each org makes anew.
	Connection connection.Connection

	App string // on the org that is called

	// Dir is the directory of the package, whose name is its last element. "" is
	// eca-connections beside the project's first package. An existing package is extended.
	Dir string

	// Environments are the orgs that call.
	Environments []Calls
}

// Calls says which org one environment calls.
type Calls struct {
	Alias string // of the org that calls, used as the folder's name
	From  string // the alias of the org that is called
	URL   string // the own domain of the org that is called
}

// connectionSettings is an entry of connections in plugins.eca.
type connectionSettings struct {
	App                string            `json:"app"`
	From               map[string]string `json:"from"`
	ExternalCredential string            `json:"externalCredential,omitempty"`
	Principal          string            `json:"principal,omitempty"`
	PermissionSets     []string          `json:"permissionSets,omitempty"`
}

// NewConnection returns the files that add a connection to the project in fsys, for Write.
func NewConnection(fsys fs.FS, config ConnectionConfig) ([]File, error) {
	name := config.Connection.NamedCredential
	switch {
	case config.App == "" || len(config.App) > 80 || !developerName.MatchString(config.App):
		return nil, fmt.Errorf("%q is not a valid app name; use letters, digits and single underscores, starting with a letter", config.App)
	case config.Connection.Certificate != "":
		return nil, errors.New("the source of a connection by JWT bearer would hold the consumer key of one org; let eca connect make it")
	case len(config.Environments) == 0:
		return nil, errors.New("the connection needs an environment")
	case config.Dir != "" && (!packagePath.MatchString(config.Dir) || !fs.ValidPath(config.Dir) || config.Dir == "."):
		return nil, fmt.Errorf("%q is not a valid package directory; give a path inside the project, relative to it and without spaces", config.Dir)
	}
	target, err := readProject(fsys)
	if err != nil {
		return nil, err
	}
	if _, ok := target.Settings.Connections[name]; ok {
		return nil, fmt.Errorf("%s already has the connection %s; init overwrites nothing", sfp.ProjectFile, name)
	}
	if config.Dir == "" {
		config.Dir = target.beside("eca-connections")
	}
	packages, err := connectionPackage(target.Project, config.Dir)
	if err != nil {
		return nil, err
	}
	settings := connectionSettings{
		App: config.App, From: make(map[string]string), ExternalCredential: config.Connection.ExternalCredential,
		Principal: config.Connection.Principal, PermissionSets: config.Connection.PermissionSets,
	}
	var files []File
	for _, env := range config.Environments {
		switch {
		case !folderName.MatchString(env.Alias) || connection.Types().IsFolder(env.Alias):
			return nil, fmt.Errorf("%q is not a valid folder name for an environment", env.Alias)
		case settings.From[env.Alias] != "":
			return nil, fmt.Errorf("the environment %s is given twice", env.Alias)
		case env.From == "":
			return nil, fmt.Errorf("the environment %s needs the alias of the org that it calls", env.Alias)
		}
		settings.From[env.Alias] = env.From
		own := config.Connection
		own.ProviderURL = env.URL
		components, err := own.Components()
		if err != nil {
			return nil, err
		}
		for _, c := range components {
			typ := connection.Lookup(c.Type)
			file := File{Path: path.Join(config.Dir, env.Alias, typ.Folder, c.FullName+"."+typ.Suffix+"-meta.xml"), Mode: 0o644}
			if _, err := fs.Lstat(fsys, file.Path); err == nil {
				return nil, fmt.Errorf("%s already exists; init overwrites nothing", file.Path)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("cannot create %s: its path contains something other than a directory of the project", file.Path)
			}
			var content bytes.Buffer
			if err := metadata.WriteSource(&content, c); err != nil {
				return nil, err
			}
			file.Content = content.Bytes()
			files = append(files, file)
		}
	}
	edited, err := target.edit(packages, []string{"eca", "connections", name}, settings)
	if err != nil {
		return nil, err
	}
	return append(files, edited), nil
}

// connectionPackage returns the package of a connection where the project lacks it.
func connectionPackage(proj *project.Project, dir string) ([]project.NewPackage, error) {
	for _, p := range proj.Packages {
		switch {
		case p.Path == dir && (p.Name == "" || !p.Aliasfy):
			return nil, fmt.Errorf("%s is in %s, and not as an aliasfied package with a name; choose another directory", dir, sfp.ProjectFile)
		case p.Path == dir:
			return nil, nil
		case conflicts(p, dir):
			return nil, fmt.Errorf("the package %s in %s conflicts with %s; choose another directory", cmp.Or(p.Name, p.Path), p.Path, dir)
		}
	}
	return []project.NewPackage{{Path: dir, Package: path.Base(dir), VersionNumber: "1.0.0.NEXT", Type: "source", Aliasfy: true, Default: !hasDefault(proj)}}, nil
}

// conflicts reports whether a package leaves no room for another one in a directory.
func conflicts(p sfp.Package, dir string) bool {
	return p.Path == "." || p.Name == path.Base(dir) || inside(dir, p.Path) || inside(p.Path, dir)
}

// inside reports whether a directory is below another one, or the same.
func inside(a, b string) bool { return strings.HasPrefix(a+"/", b+"/") }

// hasDefault reports whether sf knows where to put new source.
func hasDefault(proj *project.Project) bool {
	return slices.ContainsFunc(proj.Packages, func(p sfp.Package) bool { return p.Default })
}
