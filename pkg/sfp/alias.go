package sfp

import (
	"cmp"
	"fmt"
	"io/fs"
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
// org with that alias, as a path of fsys: the first directory, depth first and in
// directory order, anywhere below the package's own whose name is the alias, case
// and all; where there is none, the first one named default, if the org is a
// sandbox or the package is in merge mode. Links are not followed.
//
// sandbox says whether the org is one; scratch orgs are. Where no folder serves, the error
// is an *AliasError.
func ResolveAlias(fsys fs.FS, p Package, alias string, sandbox bool) (string, error) {
	dir, err := findFolder(fsys, p.Path, alias)
	if dir != "" || err != nil {
		return dir, err
	}
	fallback, err := findFolder(fsys, p.Path, DefaultFolder)
	if err != nil {
		return "", err
	}
	if fallback != "" && (sandbox || p.MergeMode) {
		return fallback, nil
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
func EnvironmentFolders(fsys fs.FS, p Package, layout Layout) map[string]string {
	folders := make(map[string]string)
	fallback := "" // the folder default
	depth := func(dir string) int { return strings.Count(dir, "/") }
	fs.WalkDir(fsys, p.Path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if entry.IsDir() && name != p.Path && path.Base(name) == DefaultFolder && path.Base(path.Dir(name)) != "main" && (fallback == "" || depth(name) < depth(fallback)) {
			fallback = name
		}
		if !entry.IsDir() && layout.IsComponent(name) {
			folders[name] = ""
		}
		return nil
	})
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
