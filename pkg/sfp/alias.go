package sfp

import (
	"fmt"
	"io/fs"
)

// DefaultFolder is the folder of an aliasfied package that serves orgs without
// one of their own.
const DefaultFolder = "default"

// AliasError says that an aliasfied package has no folder for an org. sfp fails
// the package's deployment with the same words.
type AliasError struct {
	Package string
	Alias   string // or the username, where the org has no alias
}

func (e *AliasError) Error() string {
	return fmt.Sprintf("Aliasfied package '%s' does not have an alias with '%s' or 'default' directory", e.Package, e.Alias)
}

// ResolveAlias returns the folder of an aliasfied package that sfp deploys to the
// org with that alias, as a path of fsys: the first directory, depth first and in
// directory order, anywhere below the package's own whose name is the alias, case
// and all; where there is none, the first one named default, if the org is a
// sandbox or the package is in merge mode. Links are not followed.
//
// sandbox is called only where it decides. Its error is returned as it is. Where
// no folder serves, the error is an *AliasError.
func ResolveAlias(fsys fs.FS, p Package, alias string, sandbox func() (bool, error)) (string, error) {
	dir, err := findFolder(fsys, p.Path, alias)
	if dir != "" || err != nil {
		return dir, err
	}
	fallback, err := findFolder(fsys, p.Path, DefaultFolder)
	if err != nil {
		return "", err
	}
	if fallback != "" {
		served := p.MergeMode
		if !served {
			if served, err = sandbox(); err != nil {
				return "", err
			}
		}
		if served {
			return fallback, nil
		}
	}
	return "", &AliasError{Package: p.Name, Alias: alias}
}

func findFolder(fsys fs.FS, root, name string) (found string, err error) {
	err = fs.WalkDir(fsys, root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != root && entry.IsDir() && entry.Name() == name && name != "" {
			found = path
			return fs.SkipAll
		}
		return nil
	})
	return found, err
}
