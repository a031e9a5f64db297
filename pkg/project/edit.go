package project

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/sfp"
	"github.com/tailscale/hujson"
)

// NewPackage is an entry for AddToProject to add to packageDirectories.
type NewPackage struct {
	Path                 string `json:"path"`
	Package              string `json:"package"`
	VersionNumber        string `json:"versionNumber"`
	Type                 string `json:"type"`
	Default              bool   `json:"default,omitempty"`
	Aliasfy              bool   `json:"aliasfy,omitempty"`
	PostDeploymentScript string `json:"postDeploymentScript,omitempty"`
}

// AddToProject returns the project file with packages appended to packageDirectories, in order,
// and with settings, marshalled as JSON, stored below plugins. entry is the path of object
// names that leads there; nil adds packages alone. Existing content stays byte for byte; additions follow its
// indentation and line ends.
//
// The content must be valid for ParseProject. It is an error if the entry exists.
func AddToProject(data []byte, packages []NewPackage, entry []string, settings any) ([]byte, error) {
	before, err := sfp.ParseProject(data)
	if err != nil {
		return nil, err
	}
	mark, body := []byte("\xef\xbb\xbf"), data
	if !bytes.HasPrefix(data, mark) {
		mark = nil
	}
	body = data[len(mark):]
	root, err := hujson.Parse(body)
	if err != nil {
		return nil, fmt.Errorf("is not a project file: %w", err)
	}
	e := &edit{data: body, newline: "\n"}
	if bytes.Contains(body, []byte("\r\n")) {
		e.newline = "\r\n"
	}
	object, ok := root.Value.(*hujson.Object)
	if !ok {
		return nil, errors.New("is not a project file: it must hold a JSON object")
	}
	e.unit = "  "
	if len(object.Members) > 0 {
		if indent, ok := indentation(object.Members[0].Name.BeforeExtra); ok && indent != "" {
			e.unit = indent
		}
	}
	top := place{value: &root, multiline: isMultiline(object, true)}
	if len(packages) > 0 {
		list := e.member(top, "packageDirectories")
		if list.value == nil {
			e.addMember(top, "packageDirectories", packages)
		} else {
			array, ok := list.value.Value.(*hujson.Array)
			if !ok {
				return nil, errors.New("packageDirectories: must be an array")
			}
			e.addElements(list, array, packages)
		}
	}
	// Descend through the objects that exist, and create the rest.
	at, names := top, append([]string{"plugins"}, entry...)
	if entry == nil {
		names = nil // packages alone
	}
	for i, name := range names {
		next := e.member(at, name)
		if next.value == nil {
			value := settings
			for _, inner := range slices.Backward(names[i+1:]) {
				value = map[string]any{inner: value}
			}
			e.addMember(at, name, value)
			break
		}
		if i == len(names)-1 {
			return nil, fmt.Errorf("%s: already exists", strings.Join(names, "."))
		}
		if _, ok := next.value.Value.(*hujson.Object); !ok {
			return nil, fmt.Errorf("%s: must be an object", strings.Join(names[:i+1], "."))
		}
		at = next
	}
	if e.err != nil {
		return nil, e.err
	}
	result := append(mark, e.apply()...)
	p, err := sfp.ParseProject(result)
	if err != nil {
		return nil, err
	}
	if entry != nil && !has(p.Plugins, entry) || len(p.Packages) != len(before.Packages)+len(packages) {
		return nil, errors.New("has packageDirectories or plugins in two spellings; keep one of them")
	}
	return result, nil
}

// has reports whether a path of JSON object names leads to an entry.
func has(object map[string]json.RawMessage, entry []string) bool {
	for i, name := range entry {
		value, ok := object[name]
		if !ok {
			return false
		}
		object = nil
		if json.Unmarshal(value, &object) != nil && i < len(entry)-1 {
			return false
		}
	}
	return true
}

// edit collects insertions into a document.
type edit struct {
	data          []byte
	newline, unit string
	insertions    []insertion
	err           error
}

// insertion replaces the bytes between two offsets.
type insertion struct {
	from, to int
	text     string
}

// place is a composite value of the document.
type place struct {
	value     *hujson.Value
	indent    string // of the line on which the value begins
	multiline bool   // each part goes on its own line
}

// indentation returns the white space after the last line end, and whether there is a line end.
func indentation(extra hujson.Extra) (string, bool) {
	i := bytes.LastIndexByte(extra, '\n')
	return string(extra[i+1:]), i >= 0
}

// isMultiline reports whether the parts of an object or array stand on separate lines. An empty
// one yields otherwise.
func isMultiline(value hujson.ValueTrimmed, otherwise bool) bool {
	var first hujson.Extra
	switch v := value.(type) {
	case *hujson.Object:
		if len(v.Members) == 0 {
			return otherwise
		}
		first = v.Members[0].Name.BeforeExtra
	case *hujson.Array:
		if len(v.Elements) == 0 {
			return otherwise
		}
		first = v.Elements[0].BeforeExtra
	}
	_, ok := indentation(first)
	return ok
}

// member finds a member of an object. Its value is nil if there is none. A duplicate is an
// error, because most JSON parsers silently take the last one.
func (e *edit) member(at place, name string) (member place) {
	for i := range at.value.Value.(*hujson.Object).Members {
		m := &at.value.Value.(*hujson.Object).Members[i]
		if literal, ok := m.Name.Value.(hujson.Literal); ok && literal.String() == name {
			found := place{value: &m.Value, indent: at.indent}
			if indent, ok := indentation(m.Name.BeforeExtra); ok {
				found.indent = indent
			}
			found.multiline = isMultiline(m.Value.Value, at.multiline)
			if member.value != nil {
				e.err = fmt.Errorf("%s is there twice; keep one of them", name)
			}
			member = found
		}
	}
	return member
}

func (e *edit) addMember(at place, name string, value any) {
	object := at.value.Value.(*hujson.Object)
	var last *hujson.Value
	indent := at.indent + e.unit
	if n := len(object.Members); n > 0 {
		last = &object.Members[n-1].Value
		if own, ok := indentation(object.Members[n-1].Name.BeforeExtra); ok {
			indent = own
		}
	}
	separator := ":"
	if at.multiline || bytes.Contains(e.data, []byte(`": `)) {
		separator = ": "
	}
	e.insert(at, last, indent, []string{e.render(name, at.multiline, indent) + separator + e.render(value, at.multiline, indent)})
}

func (e *edit) addElements(at place, array *hujson.Array, packages []NewPackage) {
	var last *hujson.Value
	indent := at.indent + e.unit
	if n := len(array.Elements); n > 0 {
		last = &array.Elements[n-1]
		if own, ok := indentation(last.BeforeExtra); ok {
			indent = own
		}
	}
	var texts []string
	for _, p := range packages {
		texts = append(texts, e.render(p, at.multiline, indent))
	}
	e.insert(at, last, indent, texts)
}

// insert adds parts after the last one, or to an empty object or array.
func (e *edit) insert(at place, last *hujson.Value, indent string, texts []string) {
	space := ""
	switch {
	case at.multiline:
		space = e.newline + indent
	case bytes.Contains(e.data, []byte(", ")) || bytes.Contains(e.data, []byte("\n")):
		space = " "
	}
	joined := strings.Join(texts, ","+space)
	if last != nil {
		e.insertions = append(e.insertions, insertion{last.EndOffset, last.EndOffset, "," + space + joined})
		return
	}
	end := ""
	if at.multiline {
		joined, end = space+joined, e.newline+at.indent
	}
	from := at.value.StartOffset + 1
	for i := range e.insertions {
		if first := &e.insertions[i]; first.from == from {
			first.text = strings.TrimSuffix(first.text, end) + "," + joined + end
			return
		}
	}
	e.insertions = append(e.insertions, insertion{from, at.value.EndOffset - 1, joined + end})
}

func (e *edit) render(value any, multiline bool, indent string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if multiline {
		encoder.SetIndent(indent, e.unit)
	}
	if err := encoder.Encode(value); err != nil {
		e.err = err
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\n", e.newline)
}

func (e *edit) apply() []byte {
	slices.SortStableFunc(e.insertions, func(a, b insertion) int { return a.from - b.from })
	var b bytes.Buffer
	at := 0
	for _, i := range e.insertions {
		b.Write(e.data[at:i.from])
		b.WriteString(i.text)
		at = i.to
	}
	b.Write(e.data[at:])
	return b.Bytes()
}
