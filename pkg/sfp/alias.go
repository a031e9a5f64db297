package sfp

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
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
// org with that alias: the first directory, depth first and in directory order, anywhere below
// the package's own whose name is the alias, case and all; where there is none, the first one
// named default, if the org is a sandbox or the package is in merge mode.
//
// sandbox says whether the org is one; scratch orgs are. Where no folder serves, the error
// is an *AliasError.
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
// package's directory, or of an aliasfied package the folder that ResolveAlias finds. In merge
// mode default stands behind it: sfp build merges its files into each folder that does not have
// them.
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

// Layout tells what of a project's files matters to whoever asks for the folders of its
// environments.
type Layout struct {
	IsComponent func(file string) bool // a file that is deployed
	IsFolder    func(name string) bool // the usual name of a directory of such files
}

// EnvironmentFolders guesses which folders of an aliasfied package are named like the
// aliases of orgs: by each file of a component in the package, the folder that it is
// in, "" for none. Which folders those are, only the orgs' aliases tell for certain.
//
// Where there is a folder default, the others are taken to be those in which files lie
// as they lie in default. Elsewhere they are the ones above the usual layouts of
// source (main/default, and the types' folders), or the first ones below the package.
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
	var layouts []string // the directories of files in default, relative to it
	for file := range folders {
		if rest, inside := strings.CutPrefix(path.Dir(file)+"/", fallback+"/"); fallback != "" && inside {
			folders[file] = fallback
			layouts = append(layouts, rest)
		}
	}
	slices.SortFunc(layouts, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }) // the longest first
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
		named := make(map[string]int) // how many folders have a name
		for _, folder := range slices.Compact(slices.Sorted(maps.Values(folders))) {
			named[path.Base(folder)]++
		}
		for file, folder := range folders {
			if above := path.Dir(folder); named[path.Base(folder)] > 1 && above != p.Path && folder != "" {
				folders[file] = above // an app's folder, which several environments have
			}
		}
	}
	known := slices.Compact(slices.Sorted(maps.Values(folders)))
	for file, folder := range folders {
		for _, above := range known {
			if above != "" && strings.HasPrefix(folder, above+"/") {
				folders[file] = above // all of which is deployed
				break
			}
		}
	}
	return folders
}

// aboveLayout returns the folder above a usual layout of source that a file is in, or
// the first one below the package.
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
