package sfp

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/metadata"
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

// EnvironmentFolders guesses which folders of an aliasfied package are named like the
// aliases of orgs: by each file of a component in the package, the folder that it is
// in, "" for none. Which folders those are, only the orgs' aliases tell for certain.
//
// They are taken to be where default is, one level deeper where a folder beside it
// holds the same file several times. Elsewhere they are the ones above the usual
// layouts of source (main/default, and the types' folders), or the first ones below
// the package.
func EnvironmentFolders(fsys fs.FS, p Package) map[string]string {
	folders := make(map[string]string)
	level := "" // the directory that default is in
	depth := func(dir string) int { return strings.Count(dir, "/") }
	fs.WalkDir(fsys, p.Path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if dir := path.Dir(name); entry.IsDir() && name != p.Path && path.Base(name) == DefaultFolder && path.Base(dir) != "main" && (level == "" || depth(dir) < depth(level)) {
			level = dir
		}
		if typ, _ := metadata.TypeOfFile(name); typ != nil && !entry.IsDir() {
			folders[name] = ""
		}
		return nil
	})
	below := func(file, dir string) string { // the first directory on the way, "" for none
		rest, inside := strings.CutPrefix(file, dir+"/")
		first, _, deeper := strings.Cut(rest, "/")
		if !inside && dir != "." || !deeper || isTypeFolder(first) || first == "main" {
			return ""
		}
		return path.Join(dir, first)
	}
	deeper := make(map[string]map[string]string) // by folder and name of a file, the folder below it
	several := make(map[string]bool)
	for file := range folders {
		if level != "" {
			folders[file] = below(file, level)
		}
		if folders[file] == "" {
			folders[file] = aboveLayout(p, file)
			continue
		}
		if in, sub, name := folders[file], below(file, folders[file]), path.Base(file); sub != "" {
			if deeper[in] == nil {
				deeper[in] = make(map[string]string)
			}
			if other, twice := deeper[in][name]; twice && other != sub {
				several[in] = true
			}
			deeper[in][name] = sub
		}
	}
	for file, folder := range folders {
		if several[folder] && below(file, folder) != "" {
			folders[file] = below(file, folder)
		}
	}
	return folders
}

// aboveLayout returns the folder above a usual layout of source that a file is in, or
// the first one below the package.
func aboveLayout(p Package, file string) string {
	elements := strings.Split(strings.TrimPrefix(path.Dir(file)+"/", p.Path+"/"), "/")
	elements = elements[:len(elements)-1]
	if i := slices.IndexFunc(elements, isTypeFolder); i >= 0 {
		elements = elements[:i]
		if n := len(elements); n > 2 && elements[n-2] == "main" && elements[n-1] == "default" {
			elements = elements[:n-2]
		}
		if n := len(elements); n > 1 && (elements[n-1] == "force-app" || elements[n-1] == "src") {
			elements = elements[:n-1]
		}
	} else if len(elements) > 1 {
		elements = elements[:1]
	}
	if len(elements) == 0 {
		return ""
	}
	return path.Join(append([]string{p.Path}, elements...)...)
}

func isTypeFolder(name string) bool {
	return slices.ContainsFunc(metadata.Types(), func(t *metadata.Type) bool { return t.Folder == name })
}
