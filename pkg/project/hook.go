package project

import (
	"io"
	"io/fs"
	"regexp"
)

// hookCall is a call of eca, by name or by a variable with such a name, or of the
// script that calls it.
var hookCall = regexp.MustCompile(`(?im)^(?:[^#\n]|[^\s#;&|()]#)*(?:eca\w*(?:@[\w.-]+)?[}%]?["']?(?:[ \t]+-\S+)*[ \t]+(?:hook|bootstrap)\b|bootstrap-eca-oauth\b)`)

// maxHook is the number of bytes that are read of a script. A script from eca bundle contains whole
// programs after its call.
const maxHook = 256 << 10

// CallsHook reports whether the first 256 KiB of a script contain a call of eca. The error is about
// reading the script.
func CallsHook(fsys fs.FS, script string) (bool, error) {
	file, err := fsys.Open(script)
	if err != nil {
		return false, err
	}
	defer file.Close()
	head, err := io.ReadAll(io.LimitReader(file, maxHook))
	return hookCall.Match(head), err
}
