package lint

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
)

// Edit is a file without the elements that the platform fills in for each org or that do not belong in
// source, or an up-to-date eca.sum.
type Edit struct {
	File    string
	Content []byte   // everything else is as it was, byte for byte
	Removed []string // the names of the elements, nil for an eca.sum
}

// Fixes returns what to remove from the project's source in the directory under, sorted by file:
// orgScopedExternalApp of Local apps, the oauthLink of a Local app with global OAuth settings beside it,
// consumer keys and secrets, and elements that rotate them with each deployment. A link without global
// OAuth settings associates the app with another org's consumer, so it stays, and so does what
// "replacements" may fill in. The last edits update eca.sum.
func Fixes(fsys fs.FS, under string) ([]Edit, error) {
	l, _, err := run(fsys, under)
	if err != nil {
		return nil, err
	}
	var all []Edit
	for _, file := range slices.Sorted(maps.Keys(l.platformMade)) {
		data, err := fs.ReadFile(fsys, file)
		if err == nil {
			var content []byte
			var removed []string
			content, removed, err = metadata.RemoveFields(data, l.platformMade[file]...)
			all = append(all, Edit{file, content, removed})
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	sums, err := l.sumEdits(all)
	return append(all, sums...), err
}

// sumEdits returns the eca.sum files that are stale after other edits.
func (l *linter) sumEdits(edits []Edit) (all []Edit, err error) {
	if l.project == nil {
		return nil, nil // its file is wrong
	}
	edited := project.Overlay{FS: l.fsys, Files: make(map[string][]byte)}
	for _, edit := range edits {
		edited.Files[edit.File] = edit.Content
	}
	for _, p := range l.project.Packages {
		file := path.Join(p.Path, project.SumFile)
		want, err := l.sums(edited, p)
		if err != nil {
			return nil, err
		}
		content := want.Format()
		if now, err := fs.ReadFile(l.fsys, file); len(want) > 0 && (err != nil || !bytes.Equal(bytes.ReplaceAll(now, []byte("\r\n"), []byte("\n")), content)) && isWithin(file, l.under) {
			all = append(all, Edit{File: file, Content: content})
		}
	}
	return all, nil
}

// isPlatformMade records that the platform makes an element of a component, so that Fixes removes it.
func (l *linter) isPlatformMade(c component, field string) {
	if isWithin(c.file, l.under) && !l.project.Replaces(c.file) {
		l.platformMade[c.file] = append(l.platformMade[c.file], field)
	}
}
