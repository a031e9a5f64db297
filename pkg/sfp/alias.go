package sfp

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// DefaultFolder is the folder of an aliasfied package for orgs that have no folder of their
// own.
const DefaultFolder = "default"

// AliasError reports an aliasfied package without a folder for an org. sfp fails the package's
// deployment with the same words.
type AliasError struct {
	Package string
	Alias   string // the username if the org has no alias
}

func (e *AliasError) Error() string {
	return fmt.Sprintf("Aliasfied package '%s' does not have an alias with '%s' or 'default' directory", e.Package, e.Alias)
}

// ResolveAlias returns the folder of an aliasfied package that sfp deploys to the org with that
// alias. It searches all directories below the package, depth first in directory order, for one
// whose name equals the alias, including case. If there is none, and the org is a sandbox or
// the package is in merge mode, it takes the first directory named default.
//
// sandbox must be true for scratch orgs too. If no folder is found, the error is an
// *AliasError.
func (t *Tree) ResolveAlias(p Package, alias string, sandbox bool) (string, error) {
	if err := t.Err(p.Path); err != nil {
		return "", err
	}
	dir := t.folder(p.Path, alias)
	if dir == "" && (sandbox || p.MergeMode) {
		dir = t.folder(p.Path, DefaultFolder)
	}
	if dir == "" {
		return "", &AliasError{Package: p.Name, Alias: alias}
	}
	return dir, nil
}

// DeployedFolders returns the folders of a package whose files sfp deploys to an org: the
// package's directory, or for an aliasfied package the folder from ResolveAlias. In merge mode
// it adds the folder default, because sfp build copies into each folder the files of default
// that the folder lacks.
func (t *Tree) DeployedFolders(p Package, alias string, sandbox bool) ([]string, error) {
	if !p.Aliasfy {
		return []string{p.Path}, nil
	}
	dir, err := t.ResolveAlias(p, alias, sandbox)
	if err != nil {
		return nil, err
	}
	folders := []string{dir}
	if fallback := t.folder(p.Path, DefaultFolder); p.MergeMode && fallback != "" && fallback != dir {
		folders = append(folders, fallback)
	}
	return folders, nil
}

func (t *Tree) folder(root, name string) string {
	for _, dir := range t.Dirs(root) {
		if path.Base(dir) == name {
			return dir
		}
	}
	return ""
}

// Layout says which files and directories of a project EnvironmentFolders looks at.
type Layout struct {
	IsComponent func(file string) bool // whether the file is deployed
	IsFolder    func(name string) bool // whether source usually keeps such files in a directory of that name
}

// EnvironmentFolders guesses which folders of an aliasfied package are named after org aliases.
// It maps each component file of the package to its environment's folder, or to "" if it has
// none. Only the orgs' aliases could tell for certain.
//
// If the package has a folder default, the other environments are the folders with the same
// layout as default. Otherwise they are the folders above a usual source layout (main/default,
// the types' folders), or the top-level folders of the package.
func (t *Tree) EnvironmentFolders(p Package, layout Layout) map[string]string {
	folders := make(map[string]string)
	fallback := "" // the folder default
	depth := func(dir string) int { return strings.Count(dir, "/") }
	for _, dir := range t.Dirs(p.Path) {
		if path.Base(dir) == DefaultFolder && path.Base(path.Dir(dir)) != "main" && (fallback == "" || depth(dir) < depth(fallback)) {
			fallback = dir
		}
	}
	for _, file := range t.Files(p.Path) {
		if layout.IsComponent(file) {
			folders[file] = ""
		}
	}
	var layouts []string // directories of component files, relative to default
	for file := range folders {
		if rest, inside := strings.CutPrefix(path.Dir(file)+"/", fallback+"/"); fallback != "" && inside {
			folders[file] = fallback
			layouts = append(layouts, rest)
		}
	}
	slices.SortFunc(layouts, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }) // longest first
	layouts = slices.Compact(layouts)
	for file, folder := range folders {
		if folder != "" {
			continue
		}
		dir := path.Dir(file) + "/"
		for _, layout := range layouts {
			if above, laidOut := strings.CutSuffix(dir, "/"+layout); laidOut && strings.HasPrefix(above, p.Path+"/") {
				folders[file] = above
				break
			}
		}
	}
	for file, folder := range folders {
		if folder == "" {
			folders[file] = aboveLayout(p, file, layout)
		}
	}
	if len(layouts) == 0 {
		named := make(map[string]int) // number of folders by name
		for _, folder := range slices.Compact(slices.Sorted(maps.Values(folders))) {
			named[path.Base(folder)]++
		}
		for file, folder := range folders {
			if above := path.Dir(folder); named[path.Base(folder)] > 1 && above != p.Path && folder != "" {
				folders[file] = above // several environments have it: an app's folder
			}
		}
	}
	known := slices.Compact(slices.Sorted(maps.Values(folders)))
	for file, folder := range folders {
		for _, above := range known {
			if above != "" && strings.HasPrefix(folder, above+"/") {
				folders[file] = above // sfp deploys the whole outer folder
				break
			}
		}
	}
	return folders
}

// aboveLayout returns the folder above the usual source layout that contains the file, or the
// package's top-level folder that contains it.
func aboveLayout(p Package, file string, layout Layout) string {
	elements := strings.Split(strings.TrimPrefix(path.Dir(file)+"/", p.Path+"/"), "/")
	elements = elements[:len(elements)-1]
	if i := slices.IndexFunc(elements, layout.IsFolder); i >= 0 {
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
