package scaffold

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/project"
)

// ConnectionConfig describes how orgs call another one, as source: an aliasfied package with the
// External and Named Credential of each environment. Neither contains the secret, which eca connect
// stores.
type ConnectionConfig struct {
	// Layout is the project's layout. "" means the one that the project has.
	Layout project.Layout

	// Connection has no ProviderURL, which differs by environment, and no Certificate, see
	// ErrJWTConnection.
	Connection connection.Connection

	App string // on the org that is called

	// Dir is the directory of the package, whose name is its last element. "" is
	// eca-connections beside the project's first package. An existing package is extended.
	Dir string

	// Environments are the orgs that call.
	Environments []Calls
}

// Calls is the org that one environment calls.
type Calls struct {
	Alias string // of the org that calls, used as the folder's name
	From  string // the alias of the org that is called
	URL   string // the own domain of the org that is called
}

// ErrPlainConnection reports a project that sfp does not deploy, so that each org would get the credentials of all.
var ErrPlainConnection = errors.New("the source of a connection differs by org, and sf deploys all of it to every org")

// ErrJWTConnection reports a connection with JWT bearer, whose source would contain the consumer key
// of one org.
var ErrJWTConnection = errors.New("the source of a connection with JWT bearer would contain the consumer key of one org")

func (c ConnectionConfig) check() error {
	switch {
	case c.Connection.Certificate != "":
		return cmp.Or(CheckApp(c.App), ErrJWTConnection)
	case len(c.Environments) == 0:
		return cmp.Or(CheckApp(c.App), errors.New("the connection needs an environment"))
	}
	seen := make(map[string]bool)
	for _, env := range c.Environments {
		switch {
		case !folderName.MatchString(env.Alias) || connection.Types().IsFolder(env.Alias):
			return fmt.Errorf("%q is not a valid folder name for an environment", env.Alias)
		case seen[env.Alias]:
			return fmt.Errorf("the environment %s is given twice", env.Alias)
		case env.From == "":
			return fmt.Errorf("the environment %s needs the alias of the org that it calls", env.Alias)
		}
		seen[env.Alias] = true
	}
	return cmp.Or(CheckApp(c.App), checkDir(c.Dir))
}

// NewConnection returns the files that add a connection to the project in fsys, for Write, except those that it
// already has with the same content. If the project has settings of the connection, the error is an
// *ExistsError.
func NewConnection(fsys fs.FS, config ConnectionConfig) ([]File, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	target, err := readProject(fsys)
	if err != nil {
		return nil, err
	}
	if cmp.Or(config.Layout, target.Project.Layout(fsys)) != project.LayoutSFP {
		return nil, ErrPlainConnection
	}
	name := config.Connection.NamedCredential
	var existing *ExistsError
	if _, ok := target.Settings.Connections[name]; ok {
		existing = &ExistsError{What: "the connection " + name}
	}
	wanted := project.NewPackage{
		Path: cmp.Or(config.Dir, target.Beside("eca-connections")), Type: "source", Aliasfy: true, Default: target.lacksDefault(),
	}
	at, err := target.find(&wanted, acceptAliasfied)
	if err != nil {
		return nil, err
	}
	settings := project.ConnectionSettings{
		App: config.App, From: make(map[string]string), ExternalCredential: config.Connection.ExternalCredential,
		Principal: config.Connection.Principal, PermissionSets: config.Connection.PermissionSets,
	}
	var files []File
	for _, env := range config.Environments {
		settings.From[env.Alias] = env.From
		own := config.Connection
		own.ProviderURL = env.URL
		components, err := own.Components()
		if err != nil {
			return nil, err
		}
		for _, c := range components {
			file, err := componentFile(path.Join(wanted.Path, env.Alias), connection.Lookup(c.Type), c)
			if err != nil {
				return nil, err
			}
			files = append(files, file)
		}
	}
	var packages []project.NewPackage
	if at < 0 {
		packages = append(packages, wanted)
	}
	if files, err = target.add(files, packages, []string{"eca", "connections", name}, settings, existing); err != nil {
		return nil, err
	}
	return target.addSums(files, target.source(wanted.Path))
}
