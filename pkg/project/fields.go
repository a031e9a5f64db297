package project

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// SettingError reports an invalid setting.
type SettingError struct {
	Path string // the setting's path in the JSON document, like plugins.eca.apps.MyApp.pluginPolicies.isEnabled
	Err  error
}

func (e *SettingError) Error() string { return words.Clip(e.Path) + ": " + e.Err.Error() }

func (e *SettingError) Unwrap() error { return e.Err }

// parseFields reads the wanted fields of a component from decoded JSON: an object whose keys
// are the platform's field names. Numbers must be decoded as json.Number. Lists that the
// platform keeps in one string may be arrays. path is the object's own path; an error is a
// *SettingError.
//
// It refuses unknown fields, values of the wrong kind, and fields that are Platform, Action or
// Unsettable.
//
// A certificate may be {"file": PATH}. It becomes a field with the nested field "file", which
// the caller resolves.
func parseFields(t *metadata.Type, path string, value any) (metadata.Fields, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, &SettingError{path, fmt.Errorf("must be an object with fields of %s, not %s", t.Name, jsonKind(value))}
	}
	stated := make(metadata.Fields, len(object))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		at := path + "." + name
		ft := t.Field(name)
		switch {
		case name == "fullName":
			return nil, &SettingError{at, errors.New("cannot be set: an existing component keeps its name, a new one is named after the app")}
		case ft == nil:
			return nil, &SettingError{at, fmt.Errorf("%s has no such field%s", t.Name, words.DidYouMean(name, fieldNames(t)))}
		case ft.Unsettable != "":
			return nil, &SettingError{at, errors.New("cannot be set: " + ft.Unsettable)}
		case ft.Action:
			return nil, &SettingError{at, errors.New("cannot be set: it would rotate the consumer's credentials on every run")}
		case ft.Platform:
			return nil, &SettingError{at, errors.New("cannot be set: the platform generates it for each org")}
		}
		values, err := fromJSON(ft, at, object[name])
		if err != nil {
			return nil, err
		}
		stated[name] = values
	}
	return stated, nil
}

// FieldSettings returns fields of a type as the JSON object with which plugins.eca states them, with
// lists as arrays. It leaves out fields that cannot be stated.
func FieldSettings(t *metadata.Type, fields metadata.Fields) map[string]any {
	object := make(map[string]any, len(fields))
	for name, values := range fields {
		ft := t.Field(name)
		if ft == nil || len(values) == 0 || ft.Unsettable != "" || ft.Action || ft.Platform {
			continue
		}
		object[name] = toJSON(ft, values)
	}
	return object
}

func toJSON(ft *metadata.FieldType, values []metadata.Field) any {
	structure := func(f metadata.Field) map[string]any {
		object := make(map[string]any, len(f.Fields))
		for _, part := range f.Fields {
			if nt := ft.Field(part.Name); nt != nil {
				object[part.Name] = toJSON(nt, []metadata.Field{part})
			}
		}
		return object
	}
	text := strings.TrimSpace(values[0].Text)
	switch {
	case ft.Kind == metadata.Struct && ft.Repeated:
		list := make([]any, 0, len(values))
		for _, f := range values {
			list = append(list, structure(f))
		}
		return list
	case ft.Kind == metadata.Struct:
		return structure(values[0])
	case ft.Kind == metadata.Boolean:
		return text == "true"
	case ft.Kind == metadata.Int:
		return json.Number(text)
	case ft.List != "":
		return ft.Split(text)
	}
	return text
}

func fieldNames(t *metadata.Type) []string {
	var names []string
	for _, ft := range t.Fields {
		if !ft.Platform {
			names = append(names, ft.Name)
		}
	}
	return names
}

func fromJSON(ft *metadata.FieldType, path string, value any) ([]metadata.Field, error) {
	if s, ok := value.(string); ok {
		if err := metadata.CheckSecret(s); err != nil {
			return nil, &SettingError{path, err}
		}
	}
	wrong := func(want string) ([]metadata.Field, error) {
		return nil, &SettingError{path, fmt.Errorf("must be %s, not %s", want, jsonKind(value))}
	}
	var text string
	switch {
	case ft.Kind == metadata.Struct && ft.Repeated:
		list, ok := value.([]any)
		if !ok {
			return wrong("an array of objects")
		}
		values := []metadata.Field{}
		for i, item := range list {
			f, err := structFromJSON(ft, fmt.Sprintf("%s[%d]", path, i), item)
			if err != nil {
				return nil, err
			}
			values = append(values, f)
		}
		return values, nil
	case ft.Kind == metadata.Struct:
		f, err := structFromJSON(ft, path, value)
		return []metadata.Field{f}, err
	case ft.Kind == metadata.Boolean:
		b, ok := value.(bool)
		if !ok {
			return wrong("true or false")
		}
		text = fmt.Sprint(b)
	case ft.Kind == metadata.Int:
		n, ok := value.(json.Number)
		if !ok {
			return wrong("a whole number")
		}
		text = n.String()
	case ft.PEM:
		if object, ok := value.(map[string]any); ok {
			file, ok := object["file"].(string)
			if !ok || len(object) != 1 || file == "" {
				return nil, &SettingError{path, errors.New(`must be a string or {"file": "a path in the package"}`)}
			}
			return []metadata.Field{{Name: ft.Name, Fields: []metadata.Field{{Name: "file", Text: file}}}}, nil
		}
		s, ok := value.(string)
		if !ok {
			return wrong(`a string or {"file": "a path in the package"}`)
		}
		_, notDER := x509.ParseCertificate(metadata.CertificateDER(s))
		if notDER != nil && !strings.Contains(s, "-----BEGIN CERTIFICATE-----") && metadata.CheckSecret(s) == nil {
			return nil, &SettingError{path, errors.New(`must be a certificate in PEM, or {"file": "a path in the package"}`)}
		}
		text = s
	case ft.List != "":
		if list, ok := value.([]any); ok {
			joined, err := join(ft, path, list)
			if err != nil {
				return nil, err
			}
			text = joined
			break
		}
		s, ok := value.(string)
		if !ok {
			return wrong("a string or an array of strings")
		}
		text = s
	default:
		s, ok := value.(string)
		if !ok {
			return wrong("a string")
		}
		text = s
	}
	f := metadata.Field{Name: ft.Name, Text: text}
	if err := ft.Check(f); err != nil {
		if ft.Kind == metadata.Enum {
			err = fmt.Errorf("%w%s", err, words.DidYouMean(text, ft.Values))
		}
		return nil, &SettingError{path, err}
	}
	if ft.CheckItem != nil {
		for _, item := range ft.Split(text) {
			if err := ft.CheckItem(item); err != nil {
				return nil, &SettingError{path, err}
			}
		}
	}
	return []metadata.Field{f}, nil
}

func structFromJSON(ft *metadata.FieldType, path string, value any) (metadata.Field, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return metadata.Field{}, &SettingError{path, fmt.Errorf("must be an object, not %s", jsonKind(value))}
	}
	f := metadata.Field{Name: ft.Name}
	var names []string
	for _, nt := range ft.Fields {
		names = append(names, nt.Name)
		if _, ok := object[nt.Name]; nt.Required && !ok {
			return metadata.Field{}, &SettingError{path, fmt.Errorf("has no %s", nt.Name)}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		nt := ft.Field(name)
		if nt == nil {
			return metadata.Field{}, &SettingError{path + "." + name, fmt.Errorf("%s has no such field%s", ft.Name, words.DidYouMean(name, names))}
		}
		values, err := fromJSON(nt, path+"."+name, object[name])
		if err != nil {
			return metadata.Field{}, err
		}
		f.Fields = append(f.Fields, values...)
	}
	return f, nil
}

// join joins an array to the platform's form of the list.
func join(ft *metadata.FieldType, path string, list []any) (string, error) {
	items := make([]string, 0, len(list))
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		s, ok := item.(string)
		if !ok {
			return "", &SettingError{at, fmt.Errorf("must be a string, not %s", jsonKind(item))}
		}
		if err := metadata.CheckSecret(s); err != nil {
			return "", &SettingError{at, err}
		}
		if strings.Contains(s, ft.List) || strings.TrimSpace(s) == "" {
			return "", &SettingError{at, errors.New("must be exactly one item")}
		}
		items = append(items, s)
	}
	separator := ft.List
	if separator == "," {
		separator = ", "
	}
	return strings.Join(items, separator), nil
}

func jsonKind(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(v)
	case json.Number:
		return "the number " + v.String()
	case string:
		return "a string" // without its value: a misplaced one may be secret
	case []any:
		return "an array"
	}
	return "an object"
}
