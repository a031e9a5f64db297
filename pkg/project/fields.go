package project

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// parseFields reads the stated fields of a component from a JSON object whose keys are the
// platform's field names. Lists that the platform keeps in one string may be arrays. path is the
// object's own path; an error is a *SettingError.
//
// Fields and values that the type does not have cause warnings. Values of the wrong kind are
// errors, and so are fields that are Platform, Action or Unsettable.
//
// A certificate may be "none", which states that there is none. It may be {"file": PATH}. It becomes a field with the nested field "file", which
// the caller resolves.
func parseFields(t *metadata.Type, path string, raw jsontext.Value) (metadata.Fields, []Warning, error) {
	if raw.Kind() != '{' {
		return nil, nil, invalid(path, "must be an object with fields of %s, not %s", t.Name, kindOf(raw))
	}
	stated := make(metadata.Fields)
	object := parts[members](raw)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		at, ft := path+"."+name, t.Field(name)
		if reason := unsettable(name, ft); reason != "" {
			return nil, nil, invalid(at, "cannot be set: %s", reason)
		}
		if ft != nil && ft.PEM && string(object[name]) == `"none"` {
			stated[name] = []metadata.Field{} // clears it
			continue
		}
		values, err := parseField(name, ft, at, object[name])
		if err != nil {
			return nil, nil, err
		}
		stated[name] = values
	}
	warnings, err := checkStated(t, path, stated)
	return stated, warnings, err
}

// unsettable returns the reason why settings cannot state a field, or "".
func unsettable(name string, ft *metadata.FieldType) string {
	switch {
	case name == "fullName":
		return "an existing component keeps its name, a new one is named after the app"
	case ft == nil:
		return ""
	case ft.Action:
		return "it would rotate the consumer's credentials on every run"
	case ft.Platform:
		return "the platform generates it for each org"
	}
	return ft.Unsettable
}

// parseField reads the values of a field. ft is nil if the type does not have it. Its JSON then
// decides: an object has nested elements, and an array has several values.
func parseField(name string, ft *metadata.FieldType, path string, raw jsontext.Value) ([]metadata.Field, error) {
	f := metadata.Field{Name: name, Text: textOf(raw)}
	want, kinds := allowed(ft)
	var err error
	switch kind := raw.Kind(); {
	case kind == '"' && metadata.CheckSecret(f.Text) != nil:
		err = &SettingError{path, metadata.CheckSecret(f.Text)}
	case !strings.ContainsRune(kinds, rune(kind)):
		err = invalid(path, "must be %s, not %s", want, kindOf(raw))
	case kind == '{':
		f.Text = ""
		f.Fields, err = parseStruct(ft, path, raw)
	case kind == '[' && ft != nil && ft.List != "":
		f.Text, err = join(ft, path, raw)
	case kind == '[':
		return parseElements(name, ft, path, raw)
	}
	return []metadata.Field{f}, err
}

// allowed returns the JSON kinds that a field allows, in words and as jsontext.Kinds.
func allowed(ft *metadata.FieldType) (want, kinds string) {
	switch {
	case ft == nil:
		return "a string, a number, true, false, an object or an array", `"0tf{[`
	case ft.Repeated:
		return "an array of objects", "["
	case ft.Kind == metadata.Struct:
		return "an object", "{"
	case ft.Kind == metadata.Boolean:
		return "true or false", "tf"
	case ft.Kind == metadata.Int:
		return "a whole number", "0"
	case ft.PEM:
		return aCertificate, `"{`
	case ft.List != "":
		return "a string or an array of strings", `"[`
	}
	return "a string", `"`
}

const aCertificate = `a string, "none" or {"file": "a path in the package"}`

func parseStruct(ft *metadata.FieldType, path string, raw jsontext.Value) (fields []metadata.Field, err error) {
	if ft == nil {
		ft = new(metadata.FieldType)
	}
	object := parts[members](raw)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		values, err := parseField(name, ft.Field(name), path+"."+name, object[name])
		if err != nil {
			return nil, err
		}
		fields = append(fields, values...)
	}
	return fields, nil
}

func parseElements(name string, ft *metadata.FieldType, path string, raw jsontext.Value) ([]metadata.Field, error) {
	if ft != nil {
		single := *ft
		single.Repeated = false
		ft = &single
	}
	values := []metadata.Field{}
	for i, item := range parts[elements](raw) {
		at := fmt.Sprintf("%s[%d]", path, i)
		if item.Kind() == '[' {
			return nil, invalid(at, "must be one value, not an array")
		}
		value, err := parseField(name, ft, at, item)
		if err != nil {
			return nil, err
		}
		values = append(values, value...)
	}
	return values, nil
}

// join returns the platform's form of a list that is an array.
func join(ft *metadata.FieldType, path string, raw jsontext.Value) (string, error) {
	var items []string
	for i, item := range parts[elements](raw) {
		at := fmt.Sprintf("%s[%d]", path, i)
		single, err := parseField("", &metadata.FieldType{}, at, item)
		if err != nil {
			return "", err
		}
		if text := single[0].Text; strings.Contains(text, ft.List) || strings.TrimSpace(text) == "" {
			return "", invalid(at, "must be exactly one item")
		}
		items = append(items, single[0].Text)
	}
	return strings.Join(items, strings.Replace(ft.List, ",", ", ", 1)), nil
}

// checkStated checks the stated fields against the type.
func checkStated(t *metadata.Type, path string, stated metadata.Fields) (warnings []Warning, err error) {
	checked := maps.Clone(stated)
	for _, f := range stated["certificate"] {
		if t.Field(f.Name) == nil {
			break
		}
		if len(f.Fields) == 1 && f.Fields[0].Name == "file" && f.Fields[0].Text != "" && f.Fields[0].Fields == nil {
			delete(checked, "certificate")
		} else if f.Text == "" {
			return nil, invalid(path+".certificate", "must be "+aCertificate)
		}
	}
	c := metadata.New(t.Name, "", checked)
	if wrong, ok := errors.AsType[*metadata.FieldError](c.Check()); ok {
		return nil, &SettingError{path + "." + wrong.Path, wrong.Err}
	}
	for _, p := range t.Problems(c, 0) {
		at := path + "." + p.Field
		switch {
		case p.Kind.IsUnknown():
			warnings = append(warnings, Warning{Path: at, Problem: p.Err.Error(), Fix: p.Fix})
		case p.Kind == metadata.MissingField && !strings.Contains(p.Field, "."):
			// A setting is optional, even if the type requires the field.
		default:
			return nil, &SettingError{at, p.Err}
		}
	}
	for _, ft := range t.Fields {
		if err := checkText(&ft, c.Text(ft.Name)); err != nil {
			return nil, &SettingError{path + "." + ft.Name, err}
		}
	}
	return warnings, nil
}

// checkText returns an error for a certificate that is none, and for a wrong item of a list.
func checkText(ft *metadata.FieldType, text string) error {
	if ft.PEM && text != "" && !isCertificate(text) {
		return errors.New(`must be a certificate in PEM, "none" or {"file": "a path in the package"}`)
	}
	if ft.CheckItem == nil {
		return nil
	}
	for _, item := range ft.Split(text) {
		if err := ft.CheckItem(item); err != nil {
			return err
		}
	}
	return nil
}

// isCertificate reports whether a text is a certificate, or at least meant as one.
func isCertificate(text string) bool {
	_, err := x509.ParseCertificate(metadata.CertificateDER(text))
	return err == nil || strings.Contains(text, "-----BEGIN CERTIFICATE-----")
}

type (
	members  = map[string]jsontext.Value // of a JSON object
	elements = []jsontext.Value          // of a JSON array
)

// parts returns the parts of a JSON object or array. Its syntax was checked before.
func parts[T members | elements](raw jsontext.Value) (found T) {
	_ = json.Unmarshal(raw, &found)
	return found
}

// textOf returns the text of a JSON string, and any other JSON as it is.
func textOf(raw jsontext.Value) string {
	if text, err := jsontext.AppendUnquote(nil, raw); err == nil {
		return string(text)
	}
	return string(raw)
}

// kindOf describes a JSON value without the text of strings: a misplaced one may be secret.
func kindOf(raw jsontext.Value) string {
	switch raw.Kind() {
	case '"':
		return "a string"
	case '0':
		return "the number " + string(raw)
	case '[':
		return "an array"
	case '{':
		return "an object"
	}
	return string(raw)
}

// FieldSettings returns fields of a type as the JSON object with which plugins.eca states them, with
// lists as arrays. It omits fields that cannot be stated.
func FieldSettings(t *metadata.Type, fields metadata.Fields) map[string]any {
	object := make(map[string]any, len(fields))
	for name, values := range fields {
		switch ft := t.Field(name); {
		case unsettable(name, ft) != "":
		case len(values) > 0:
			object[name] = toJSON(ft, values)
		case ft != nil && ft.PEM:
			object[name] = "none"
		case ft != nil && ft.Repeated:
			object[name] = []any{}
		}
	}
	return object
}

func toJSON(ft *metadata.FieldType, values []metadata.Field) any {
	if ft == nil {
		ft = &metadata.FieldType{Repeated: len(values) > 1}
	}
	if !ft.Repeated {
		return valueToJSON(ft, values[0])
	}
	list := make([]any, 0, len(values))
	for _, f := range values {
		list = append(list, valueToJSON(ft, f))
	}
	return list
}

func valueToJSON(ft *metadata.FieldType, f metadata.Field) any {
	text := strings.TrimSpace(f.Text)
	switch {
	case ft.Kind == metadata.Struct || len(f.Fields) > 0:
		object := make(map[string]any, len(f.Fields))
		for name, values := range metadata.ByName(f.Fields) {
			object[name] = toJSON(ft.Field(name), values)
		}
		return object
	case ft.Kind == metadata.Boolean:
		return text == "true"
	case ft.Kind == metadata.Int:
		return jsontext.Value(text)
	case ft.List != "":
		return append([]string{}, ft.Split(text)...)
	case ft.Kind == metadata.String:
		return f.Text
	}
	return text
}
