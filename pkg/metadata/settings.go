package metadata

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/internal/words"
)

// SettingError reports an invalid setting.
type SettingError struct {
	Path string // the setting's path in the JSON document, like plugins.eca.apps.MyApp.pluginPolicies.isEnabled
	Err  error
}

func (e *SettingError) Error() string { return words.Clip(e.Path) + ": " + e.Err.Error() }

func (e *SettingError) Unwrap() error { return e.Err }

// ParseSettings reads the wanted fields of a component from decoded JSON: an object whose keys
// are the platform's field names. Numbers must be decoded as json.Number. Lists that the
// platform keeps in one string may be arrays. path is the object's own path; an error is a
// *SettingError.
//
// It refuses unknown fields, values of the wrong kind, and fields that are Platform, Action or
// Unsettable.
//
// A certificate may be {"file": PATH}. It becomes a field with the nested field "file", which
// the caller resolves.
func (t *Type) ParseSettings(path string, value any) (Fields, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, &SettingError{path, fmt.Errorf("must be an object with fields of %s, not %s", t.Name, jsonKind(value))}
	}
	stated := make(Fields, len(object))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		at := path + "." + name
		ft := t.Field(name)
		switch {
		case name == "fullName":
			return nil, &SettingError{at, errors.New("cannot be set: an existing component keeps its name, a new one is named after the app")}
		case ft == nil:
			return nil, &SettingError{at, fmt.Errorf("%s has no such field%s", t.Name, words.DidYouMean(name, t.fieldNames()))}
		case ft.Unsettable != "":
			return nil, &SettingError{at, errors.New("cannot be set: " + ft.Unsettable)}
		case ft.Action:
			return nil, &SettingError{at, errors.New("cannot be set: it would rotate the consumer's credentials on every run")}
		case ft.Platform:
			return nil, &SettingError{at, errors.New("cannot be set: the platform generates it for each org")}
		}
		values, err := ft.fromJSON(at, object[name])
		if err != nil {
			return nil, err
		}
		stated[name] = values
	}
	return stated, nil
}

// Settings returns fields as the JSON object that ParseSettings reads: what it decodes to, with
// lists as arrays. It leaves out fields that ParseSettings refuses.
func (t *Type) Settings(fields Fields) map[string]any {
	object := make(map[string]any, len(fields))
	for name, values := range fields {
		ft := t.Field(name)
		if ft == nil || len(values) == 0 || ft.Unsettable != "" || ft.Action || ft.Platform {
			continue
		}
		object[name] = ft.toJSON(values)
	}
	return object
}

func (ft *FieldType) toJSON(values []Field) any {
	structure := func(f Field) map[string]any {
		object := make(map[string]any, len(f.Fields))
		for _, part := range f.Fields {
			if nt := findField(ft.Fields, part.Name); nt != nil {
				object[part.Name] = nt.toJSON([]Field{part})
			}
		}
		return object
	}
	text := strings.TrimSpace(values[0].Text)
	switch {
	case ft.Kind == Struct && ft.Repeated:
		list := make([]any, 0, len(values))
		for _, f := range values {
			list = append(list, structure(f))
		}
		return list
	case ft.Kind == Struct:
		return structure(values[0])
	case ft.Kind == Boolean:
		return text == "true"
	case ft.Kind == Int:
		return json.Number(text)
	case ft.List != "":
		return ft.items(text)
	}
	return text
}

// CheckVersion returns an error for the first stated field or OAuth scope that the API version
// does not have. The platform answers such a field with a fault that fails the whole call. For
// versions beyond apiversion.Latest, the org checks the scopes. The error names the field.
func (t *Type) CheckVersion(stated Fields, v apiversion.Version) error {
	for _, name := range slices.Sorted(maps.Keys(stated)) {
		ft := t.Field(name)
		if ft == nil {
			continue
		}
		if ft.Since > v {
			return &SettingError{name, fmt.Errorf("needs API version %s or later, and this run uses %s", ft.Since, v)}
		}
		if ft.Items == nil || v > apiversion.Latest || len(stated[name]) == 0 {
			continue
		}
		for _, item := range ft.items(stated[name][0].Text) {
			if !slices.Contains(ft.Items, item) {
				return &SettingError{name, fmt.Errorf("there is no %s %q%s; use one of %s", ft.Item, item, words.DidYouMean(item, ft.Items), strings.Join(ft.Items, ", "))}
			}
		}
	}
	return nil
}

func (t *Type) fieldNames() []string {
	var names []string
	for _, ft := range t.Fields {
		if !ft.Platform {
			names = append(names, ft.Name)
		}
	}
	return names
}

func (ft *FieldType) fromJSON(path string, value any) ([]Field, error) {
	if s, ok := value.(string); ok {
		if err := CheckSecret(s); err != nil {
			return nil, &SettingError{path, err}
		}
	}
	wrong := func(want string) ([]Field, error) {
		return nil, &SettingError{path, fmt.Errorf("must be %s, not %s", want, jsonKind(value))}
	}
	var text string
	switch {
	case ft.Kind == Struct && ft.Repeated:
		list, ok := value.([]any)
		if !ok {
			return wrong("an array of objects")
		}
		values := []Field{}
		for i, item := range list {
			f, err := ft.structFromJSON(fmt.Sprintf("%s[%d]", path, i), item)
			if err != nil {
				return nil, err
			}
			values = append(values, f)
		}
		return values, nil
	case ft.Kind == Struct:
		f, err := ft.structFromJSON(path, value)
		return []Field{f}, err
	case ft.Kind == Boolean:
		b, ok := value.(bool)
		if !ok {
			return wrong("true or false")
		}
		text = fmt.Sprint(b)
	case ft.Kind == Int:
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
			return []Field{{Name: ft.Name, Fields: []Field{{Name: "file", Text: file}}}}, nil
		}
		s, ok := value.(string)
		if !ok {
			return wrong(`a string or {"file": "a path in the package"}`)
		}
		_, notDER := x509.ParseCertificate(CertificateDER(s))
		if notDER != nil && !strings.Contains(s, "-----BEGIN CERTIFICATE-----") && CheckSecret(s) == nil {
			return nil, &SettingError{path, errors.New(`must be a certificate in PEM, or {"file": "a path in the package"}`)}
		}
		text = s
	case ft.List != "":
		if list, ok := value.([]any); ok {
			joined, err := ft.join(path, list)
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
	f := Field{Name: ft.Name, Text: text}
	if err := checkText(text); err != nil {
		return nil, &SettingError{path, err}
	}
	if err := ft.check(f); err != nil {
		if ft.Kind == Enum {
			err = fmt.Errorf("%w%s", err, words.DidYouMean(text, ft.Values))
		}
		return nil, &SettingError{path, err}
	}
	if ft.CheckItem != nil {
		for _, item := range ft.items(text) {
			if err := ft.CheckItem(item); err != nil {
				return nil, &SettingError{path, err}
			}
		}
	}
	return []Field{f}, nil
}

func (ft *FieldType) structFromJSON(path string, value any) (Field, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return Field{}, &SettingError{path, fmt.Errorf("must be an object, not %s", jsonKind(value))}
	}
	f := Field{Name: ft.Name}
	var names []string
	for _, nt := range ft.Fields {
		names = append(names, nt.Name)
		if _, ok := object[nt.Name]; nt.Required && !ok {
			return Field{}, &SettingError{path, fmt.Errorf("has no %s", nt.Name)}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		nt := findField(ft.Fields, name)
		if nt == nil {
			return Field{}, &SettingError{path + "." + name, fmt.Errorf("%s has no such field%s", ft.Name, words.DidYouMean(name, names))}
		}
		values, err := nt.fromJSON(path+"."+name, object[name])
		if err != nil {
			return Field{}, err
		}
		f.Fields = append(f.Fields, values...)
	}
	return f, nil
}

// join joins an array to the platform's form of the list.
func (ft *FieldType) join(path string, list []any) (string, error) {
	items := make([]string, 0, len(list))
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		s, ok := item.(string)
		if !ok {
			return "", &SettingError{at, fmt.Errorf("must be a string, not %s", jsonKind(item))}
		}
		if err := CheckSecret(s); err != nil {
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
