package project

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"github.com/ecakit/ecakit/pkg/sfp"
)

// NewPackage is an entry for AddToProject to add to packageDirectories.
type NewPackage struct {
	Path                 string `json:"path"`
	Package              string `json:"package,omitempty"`
	VersionNumber        string `json:"versionNumber,omitempty"`
	Type                 string `json:"type,omitempty"`
	Default              bool   `json:"default,omitempty"`
	Aliasfy              bool   `json:"aliasfy,omitempty"`
	AlwaysDeploy         bool   `json:"alwaysDeploy,omitempty"`
	PostDeploymentScript string `json:"postDeploymentScript,omitempty"`
}

// AddToProject returns the project file with packages appended to packageDirectories, in order,
// and with settings, marshalled as JSON, stored below plugins. entry is the path of object names
// that leads there; nil adds packages alone. Existing content stays byte for byte. Additions
// follow its indentation and line ends.
//
// The content must be valid for sfp.ParseProject. It is an error if the entry exists.
func AddToProject(data []byte, packages []NewPackage, entry []string, settings any) ([]byte, error) {
	if _, err := sfp.ParseProject(data); err != nil {
		return nil, err
	}
	mark := []byte("\xef\xbb\xbf")
	body, marked := bytes.CutPrefix(data, mark)
	root, err := hujson.Parse(body)
	if err != nil {
		return nil, fmt.Errorf("is not a project file: %w", err)
	}
	object, ok := root.Value.(*hujson.Object)
	if !ok {
		return nil, errors.New("is not a project file: it must hold a JSON object")
	}
	for _, m := range object.Members {
		for _, name := range []string{"packageDirectories", "plugins"} { // most JSON parsers ignore case
			if other := m.Name.Value.(hujson.Literal).String(); other != name && strings.EqualFold(other, name) {
				return nil, fmt.Errorf("has %s instead of %s; use that spelling", other, name)
			}
		}
	}
	format, top := formatOf(body, object), place{value: object, multiline: isMultiline(object, true)}
	if len(packages) > 0 {
		if err := format.addPackages(top, packages); err != nil {
			return nil, err
		}
	}
	if entry != nil {
		if err := format.addEntry(top, append([]string{"plugins"}, entry...), settings); err != nil {
			return nil, err
		}
	}
	if !marked {
		return root.Pack(), nil
	}
	return append(mark, root.Pack()...), nil
}

// format is the format of a document, which additions follow.
type format struct {
	newline, unit string // unit is the indentation of one level
	comma, colon  string // separators within a line
}

func formatOf(data []byte, root *hujson.Object) format {
	f := format{newline: "\n", unit: "  ", comma: ",", colon: ":"}
	if bytes.Contains(data, []byte("\r\n")) {
		f.newline = "\r\n"
	}
	if len(root.Members) > 0 {
		f.unit = cmp.Or(indentation(root.Members[0].Name.BeforeExtra), f.unit)
	}
	if bytes.Contains(data, []byte(", ")) || bytes.Contains(data, []byte("\n")) {
		f.comma = ", "
	}
	if bytes.Contains(data, []byte(`": `)) {
		f.colon = ": "
	}
	return f
}

// place is an object or array of the document.
type place struct {
	value     hujson.ValueTrimmed
	indent    string // of the line on which the value begins
	multiline bool   // each part goes on its own line
}

// spacing returns the white space before each part of an object or array, and before its end.
func spacing(value hujson.ValueTrimmed) (before []hujson.Extra, end *hujson.Extra) {
	switch v := value.(type) {
	case *hujson.Object:
		for _, m := range v.Members {
			before = append(before, m.Name.BeforeExtra)
		}
		return before, &v.AfterExtra
	case *hujson.Array:
		for _, e := range v.Elements {
			before = append(before, e.BeforeExtra)
		}
		return before, &v.AfterExtra
	}
	return nil, nil
}

// indentation returns the white space after the last line end, "" if there is no line end.
func indentation(extra hujson.Extra) string {
	if !hasNewline(extra) {
		return ""
	}
	return string(extra[bytes.LastIndexByte(extra, '\n')+1:])
}

func hasNewline(extra hujson.Extra) bool { return bytes.IndexByte(extra, '\n') >= 0 }

// isMultiline reports whether the parts of an object or array are on separate lines. For an empty
// one it returns empty.
func isMultiline(value hujson.ValueTrimmed, empty bool) bool {
	before, _ := spacing(value)
	if len(before) == 0 {
		return empty
	}
	return hasNewline(before[0])
}

// member returns the member of an object. Its value is nil if there is none. A duplicate is an
// error, because most JSON parsers silently use the last one.
func (at place) member(name string) (found place, err error) {
	for _, m := range at.value.(*hujson.Object).Members {
		if literal, ok := m.Name.Value.(hujson.Literal); !ok || literal.String() != name {
			continue
		}
		if found.value != nil {
			return found, fmt.Errorf("has %s twice; keep one of them", name)
		}
		found = place{m.Value.Value, at.indent, isMultiline(m.Value.Value, at.multiline)}
		if before := m.Name.BeforeExtra; hasNewline(before) {
			found.indent = indentation(before)
		}
	}
	return found, nil
}

func (f format) addPackages(top place, packages []NewPackage) error {
	list, err := top.member("packageDirectories")
	switch {
	case err != nil:
		return err
	case list.value == nil:
		return f.addMember(top, "packageDirectories", packages)
	}
	array, ok := list.value.(*hujson.Array)
	if !ok {
		return errors.New("packageDirectories: must be an array")
	}
	for _, p := range packages {
		before, indent := f.next(list)
		element, err := f.value(p, list.multiline, indent)
		if err != nil {
			return err
		}
		element.BeforeExtra = before
		array.Elements = append(array.Elements, element)
	}
	return nil
}

// addEntry descends through the objects that exist, and adds the rest of the path.
func (f format) addEntry(at place, names []string, settings any) error {
	for i, name := range names {
		next, err := at.member(name)
		if err != nil {
			return err
		}
		if next.value == nil {
			for _, inner := range slices.Backward(names[i+1:]) {
				settings = map[string]any{inner: settings}
			}
			return f.addMember(at, name, settings)
		}
		if _, ok := next.value.(*hujson.Object); !ok && i < len(names)-1 {
			return fmt.Errorf("%s: must be an object", strings.Join(names[:i+1], "."))
		}
		at = next
	}
	return fmt.Errorf("%s: already exists", strings.Join(names, "."))
}

func (f format) addMember(at place, name string, value any) error {
	before, indent := f.next(at)
	added, err := f.value(value, at.multiline, indent)
	if err != nil {
		return err
	}
	if at.multiline || f.colon == ": " {
		added.BeforeExtra = hujson.Extra(" ")
	}
	object := at.value.(*hujson.Object)
	member := hujson.ObjectMember{Name: hujson.Value{BeforeExtra: before, Value: hujson.String(name)}, Value: added}
	object.Members = append(object.Members, member)
	return nil
}

// next returns the white space before the next part of an object or array, and the indentation of
// its line. It also sets the white space before the end of an empty one.
func (f format) next(at place) (before hujson.Extra, indent string) {
	existing, end := spacing(at.value)
	indent = at.indent + f.unit
	if n := len(existing); n > 0 && hasNewline(existing[n-1]) {
		indent = indentation(existing[n-1])
	}
	switch {
	case at.multiline:
		before = hujson.Extra(f.newline + indent)
		if len(existing) == 0 {
			*end = hujson.Extra(f.newline + at.indent)
		}
	case len(existing) == 0:
		*end = nil
	default:
		before = hujson.Extra(f.comma[1:])
	}
	return before, indent
}

// value returns a Go value as part of the document.
func (f format) value(value any, multiline bool, indent string) (hujson.Value, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if multiline {
		encoder.SetIndent(indent, f.unit)
	}
	if err := encoder.Encode(value); err != nil {
		return hujson.Value{}, err
	}
	return hujson.Parse(bytes.ReplaceAll(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte("\n"), []byte(f.newline)))
}
