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
// none. Only the orgs' aliases determine the folders with certainty.
//
// An environment's folder is the folder above the source layout (main/default, the types'
// folders), or without such a layout the one at the depth of the folder default. It does not
// include the inner folders that several environments have, such as one folder per app: the folders
// inside default, or without files in default, the names that occur more than once. Everything in
// an environment's folder belongs to it, because sfp deploys the whole folder.
func (t *Tree) EnvironmentFolders(p Package, layout Layout) map[string]string {
	fallback := t.defaultFolder(p)
	depth := 1 // of environments' folders below the package
	if inside, ok := strings.CutPrefix(fallback, p.Path+"/"); ok {
		depth += strings.Count(inside, "/")
	}
	folders := make(map[string]string)
	for _, file := range t.Files(p.Path) {
		if layout.IsComponent(file) {
			folders[file] = layout.folderAbove(p, file, depth)
		}
	}
	inner := innerFolders(folders, fallback)
	for file, folder := range folders {
		for _, name := range inner {
			if above, ok := strings.CutSuffix(folder, "/"+name); ok && above != p.Path {
				folders[file] = above
				break
			}
		}
	}
	known := append(slices.Collect(maps.Values(folders)), fallback)
	slices.Sort(known) // outer folders first
	for file, folder := range folders {
		outer := slices.IndexFunc(known, func(above string) bool { return above != "" && strings.HasPrefix(folder, above+"/") })
		if outer >= 0 {
			folders[file] = known[outer]
		}
	}
	return folders
}

// defaultFolder returns the folder default nearest to the package's directory, "" if there is none.
// It ignores main/default, which is part of the source layout.
func (t *Tree) defaultFolder(p Package) (found string) {
	for _, dir := range t.Dirs(p.Path) {
		named := path.Base(dir) == DefaultFolder && path.Base(path.Dir(dir)) != "main"
		if named && (found == "" || strings.Count(dir, "/") < strings.Count(found, "/")) {
			found = dir
		}
	}
	return found
}

// innerFolders returns the folders that environments contain, longest first: paths in default, or
// names.
func innerFolders(folders map[string]string, fallback string) (inner []string) {
	inDefault := false
	times := make(map[string]int) // by name
	for _, folder := range slices.Compact(slices.Sorted(maps.Values(folders))) {
		rest, ok := strings.CutPrefix(folder, fallback+"/")
		if ok && fallback != "" {
			inner = append(inner, rest)
		}
		inDefault = inDefault || len(inner) > 0 || folder != "" && folder == fallback
		times[path.Base(folder)]++
	}
	if !inDefault {
		maps.DeleteFunc(times, func(_ string, n int) bool { return n == 1 })
		inner = slices.Collect(maps.Keys(times))
	}
	slices.SortFunc(inner, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return inner
}

// folderAbove returns the folder of the package above the usual source layout that contains the
// file, or without such a layout the folder at a depth. "" is the package's directory.
func (l Layout) folderAbove(p Package, file string, depth int) string {
	dir := strings.TrimSuffix(strings.TrimPrefix(path.Dir(file)+"/", p.Path+"/"), "/")
	elements := strings.Split(dir, "/")
	if i := slices.IndexFunc(elements, l.IsFolder); i >= 0 {
		elements = elements[:i]
		if n := len(elements); n > 2 && elements[n-2] == "main" && elements[n-1] == "default" {
			elements = elements[:n-2]
		}
		if n := len(elements); n > 1 && (elements[n-1] == "force-app" || elements[n-1] == "src") {
			elements = elements[:n-1]
		}
	} else {
		elements = elements[:min(len(elements), depth)]
	}
	if dir = path.Join(elements...); dir == "" {
		return ""
	}
	return path.Join(p.Path, dir)
}
