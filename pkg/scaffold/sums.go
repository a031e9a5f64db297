package scaffold

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// addSums adds the digests of what sfp build --diffcheck does not look at to new files, before the project file
// if that is among them. Digests are added for the packages in dirs, and updated for others with the hook.
func (t *target) addSums(files []File, source *project.Source, dirs ...string) ([]File, error) {
	last, content := len(files), t.data
	if last > 0 && files[last-1].Path == sfp.ProjectFile {
		last, content = last-1, files[last-1].Content
	}
	written := project.Overlay{FS: t.fsys, Files: make(map[string][]byte)}
	for _, f := range files {
		written.Files[f.Path] = f.Content
	}
	proj, err := project.Parse(content)
	if err != nil {
		return nil, err
	}
	hidden := make(map[string][]string) // by package
	var all []string
	for _, p := range proj.Packages {
		of := project.HiddenPolicies(source, p)
		ignore := sfp.List(written, p.Path).Ignore(p.Path) // with lines that are written now
		for _, f := range files {
			if strings.HasPrefix(f.Path, p.Path+"/") && project.IsPolicy(f.Path) && ignore.Ignores(f.Path) && !slices.Contains(of, f.Path) {
				of = append(of, f.Path)
			}
		}
		hidden[p.Path] = of
		all = append(all, of...)
	}
	var sums []File
	for _, p := range proj.Packages {
		of, hook := hidden[p.Path], project.HasHook(written, p)
		if hook {
			of = all
		}
		file, err := t.sumFile(written, proj, p, hook, of)
		if err != nil {
			return nil, err
		}
		if file != nil && (file.Replaces || slices.Contains(dirs, p.Path)) {
			sums = append(sums, *file)
		}
	}
	return slices.Insert(files, last, sums...), nil
}

// sumFile returns the file with a package's digests, nil if it needs none or the project has it.
func (t *target) sumFile(written fs.FS, proj *project.Project, p sfp.Package, hook bool, hidden []string) (*File, error) {
	sums, err := proj.Sums(written, p, hook, hidden)
	if err != nil || len(sums) == 0 {
		return nil, err
	}
	file := &File{Path: path.Join(p.Path, project.SumFile), Content: sums.Format(), Mode: 0o644}
	switch before, err := fs.ReadFile(t.fsys, file.Path); {
	case err == nil && bytes.Equal(before, file.Content):
		return nil, nil
	case err == nil:
		file.Replaces, file.before = true, before
	case !errors.Is(err, fs.ErrNotExist):
		return nil, notCreated(file.Path)
	}
	return file, nil
}
