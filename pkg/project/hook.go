package project

import (
	"io"
	"io/fs"
	"regexp"
)

// hookCall is a call of eca, by name or by a variable with such a name, or of the
// script that calls it.
var hookCall = regexp.MustCompile(`(?im)^(?:[^#\n]|[^\s#;&|()]#)*(?:eca\w*(?:@[\w.-]+)?[}%]?["']?(?:[ \t]+-\S+)*[ \t]+(?:hook|bootstrap)\b|bootstrap-eca-oauth\b)`)

// maxHook bounds what is read of a script: one that eca bundle has written carries whole
// programs behind its call.
const maxHook = 256 << 10

// CallsHook reports whether a script of the project, named as postDeploymentScript, calls eca,
// as far as the beginning of its text tells. An error says that it cannot be read.
func CallsHook(fsys fs.FS, script string) (bool, error) {
	file, err := fsys.Open(script)
	if err != nil {
		return false, err
	}
	defer file.Close()
	head, err := io.ReadAll(io.LimitReader(file, maxHook))
	return hookCall.Match(head), err
}
