package lint

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// Edit is a file without the elements that the platform fills in for each org.
type Edit struct {
	File    string
	Content []byte   // everything else is as it was, byte for byte
	Removed []string // the names of the elements
}

// Fixes returns what to remove from the project's source in the directory under, sorted by file:
// orgScopedExternalApp of Local apps, the oauthLink of a Local app with global OAuth settings beside it,
// and consumer keys. A link without global OAuth settings associates the app with another org's consumer,
// so it stays, and so does what "replacements" may fill in.
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
	return all, nil
}

// isPlatformMade records that the platform makes an element of a component, so that Fixes removes it.
func (l *linter) isPlatformMade(c component, field string) {
	if isWithin(c.file, l.under) && !l.project.Replaces(c.file) {
		l.platformMade[c.file] = append(l.platformMade[c.file], field)
	}
}
