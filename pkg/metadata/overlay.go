package metadata

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/internal/words"
)

// Fields are the wanted values of a component's fields, by name. A repeated field has several
// values; an empty list clears the field. Fields without an entry stay as they are.
type Fields map[string][]Field

// ByName returns fields by name.
func ByName(fields []Field) Fields {
	byName := make(Fields)
	for _, f := range fields {
		byName[f.Name] = append(byName[f.Name], f)
	}
	return byName
}

// Set states one value for a field.
func (s Fields) Set(name, text string) { s[name] = []Field{{Name: name, Text: text}} }

// Stated returns fields from alternating names and texts.
func Stated(pairs ...string) Fields {
	stated := make(Fields)
	for i := 0; i+1 < len(pairs); i += 2 {
		stated.Set(pairs[i], pairs[i+1])
	}
	return stated
}

// Has reports whether the field is stated.
func (s Fields) Has(name string) bool { _, ok := s[name]; return ok }

// Text returns the text of the field's first value, or "".
func (s Fields) Text(name string) string { return first(s[name]).Text }

// IsFalse reports whether the field is stated as false.
func (s Fields) IsFalse(name string) bool {
	values := s[name]
	return len(values) == 1 && values[0].Text == "false"
}

// Over returns base overlaid with s: where both state a field, s wins. It changes neither.
func (s Fields) Over(base Fields) Fields {
	merged := make(Fields, len(s)+len(base))
	maps.Copy(merged, base)
	maps.Copy(merged, s)
	return merged
}

// Change is one field in which a component differs from the wanted one.
type Change struct {
	Field string `json:"field"`
	// From and To are the values for display, on one line; "" for none. Secrets are described,
	// never shown.
	From string `json:"from"`
	To   string `json:"to"`
	// Withheld reports that the org does not show the present value, so it may or may not
	// differ. Forced reports that some orgs keep the value whatever is sent. See FieldType.
	Withheld bool `json:"withheld,omitempty"`
	Forced   bool `json:"forced,omitempty"`
}

// Sendable returns the fields of a component that can be sent, including those that the table
// lacks, without those that the platform generates and those that the API version no longer has. A
// nil component has none.
func (t *Type) Sendable(c *Component, v apiversion.Version) Fields {
	if c == nil {
		return make(Fields)
	}
	return t.without(c, func(ft *FieldType) bool { return ft.Platform || ft.isGone(v) })
}

// without returns the fields of a component by name, without some that the table has.
func (t *Type) without(c *Component, omit func(*FieldType) bool) Fields {
	fields := ByName(c.Fields)
	maps.DeleteFunc(fields, func(name string, _ []Field) bool { ft := t.Field(name); return ft != nil && omit(ft) })
	return fields
}

// New returns a new component with the stated fields.
func New(typ, fullName string, stated Fields) *Component {
	c := &Component{Type: typ, FullName: fullName}
	for _, values := range stated {
		c.Fields = append(c.Fields, values...)
	}
	c.Fields = InOrder(c.Fields)
	return c
}

// Overlay returns the component with the stated fields applied, and the fields that differ, in
// WSDL order. A field whose stated value means the same keeps its spelling. Fields that are not
// stated are kept, including unknown ones. The component itself does not change.
//
// The result omits fields that are Platform or Action: an upsert without them leaves them as
// they are.
func (t *Type) Overlay(c *Component, stated Fields) (*Component, []Change) {
	present := t.without(c, func(ft *FieldType) bool { return ft.Platform })
	var changes []Change
	result := present.Over(nil)
	for _, name := range slices.Sorted(maps.Keys(stated)) {
		from, to := present[name], stated[name]
		ft := t.fieldOrUnknown(name, from, to)
		if ft.Kind == Struct && !ft.Repeated {
			to = overlayStruct(ft, from, to)
		}
		if ft.Kind == Struct && ft.Repeated && len(ft.Keys) > 0 {
			to = overlayValues(ft, from, to)
		}
		if ft.same(from, to) {
			continue
		}
		result[name] = to
		changes = append(changes, Change{
			Field: name, From: ft.display(from), To: ft.display(to),
			Withheld: ft.Withheld && ft.canonical(first(from)) == "",
			Forced:   ft.Forced && ft.canonical(first(from)) == ft.boolean(""),
		})
	}
	return New(c.Type, c.FullName, result), changes
}

// Changes returns all fields of a new component as changes from nothing.
func (t *Type) Changes(c *Component) []Change {
	var changes []Change
	values := ByName(c.Fields)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		ft := t.fieldOrUnknown(name, values[name])
		changes = append(changes, Change{Field: name, To: ft.display(values[name])})
	}
	return changes
}

// fieldOrUnknown returns the type's field of that name, or a description of an unknown one by its
// values.
func (t *Type) fieldOrUnknown(name string, values ...[]Field) *FieldType {
	if ft := t.Field(name); ft != nil {
		return ft
	}
	return unknownType(name, values...)
}

// unknownType describes a field that the table lacks by its values.
func unknownType(name string, values ...[]Field) *FieldType {
	ft := &FieldType{Name: name}
	for _, several := range values {
		ft.Repeated = ft.Repeated || len(several) > 1
		if slices.ContainsFunc(several, func(f Field) bool { return len(f.Fields) > 0 }) {
			ft.Kind = Struct
		}
	}
	return ft
}

// overlayStruct applies the stated parts of a structure to the present ones.
func overlayStruct(ft *FieldType, from, to []Field) []Field {
	if len(to) == 0 {
		return nil
	}
	parts := ByName(first(to).Fields).Over(ByName(first(from).Fields))
	return []Field{{Name: ft.Name, Fields: New("", "", parts).Fields}}
}

// overlayValues lays the stated values of a repeated structure over the present ones with the
// same keys, and keeps the others.
func overlayValues(ft *FieldType, from, to []Field) []Field {
	key := func(f Field) string {
		var texts []string
		for _, name := range ft.Keys {
			text := strings.ToLower(strings.TrimSpace(first(ByName(f.Fields)[name]).Text))
			texts = append(texts, text)
		}
		return strings.Join(texts, "\x00")
	}
	all := slices.Clone(from)
	for _, stated := range to {
		i := slices.IndexFunc(all, func(present Field) bool { return key(present) == key(stated) })
		if i < 0 {
			all = append(all, stated)
			continue
		}
		all[i] = overlayStruct(ft, all[i:i+1], []Field{stated})[0]
	}
	return all
}

func first(values []Field) Field {
	if len(values) == 0 {
		return Field{}
	}
	return values[0]
}

// same reports whether two sets of values mean the same to the platform. The order of repeated
// fields does not matter.
func (ft *FieldType) same(a, b []Field) bool {
	if !ft.Repeated {
		return ft.canonical(first(a)) == ft.canonical(first(b))
	}
	sorted := func(fields []Field) (texts []string) {
		for _, f := range fields {
			texts = append(texts, ft.canonical(f))
		}
		slices.Sort(texts)
		return texts
	}
	return slices.Equal(sorted(a), sorted(b))
}

// FieldError reports a field that is wrong, or that an API version does not have.
type FieldError struct {
	Path string // of the field, like trustedIpRanges[0].description
	Err  error
}

func (e *FieldError) Error() string { return words.Clip(e.Path) + ": " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *FieldError) Unwrap() error { return e.Err }

// VersionError reports a field that an API version does not have.
type VersionError struct {
	Needs apiversion.Version // the first with the field
	Has   apiversion.Version // that of the run, or of the source

	ofSource bool
}

func (e *VersionError) Error() string {
	which := "this run uses"
	if e.ofSource {
		which = "this is"
	}
	return fmt.Sprintf("needs API version %s or later, and %s %s", e.Needs, which, e.Has)
}

// errGone reports a field that an API version no longer has.
func errGone(v apiversion.Version) error {
	return fmt.Errorf("is deprecated, and API version %s does not have it", cmp.Or(v, apiversion.Latest))
}

// CheckVersion returns an error for each stated field that the API version does not have. The
// platform answers such a field with a fault that fails the whole call.
func (t *Type) CheckVersion(stated Fields, v apiversion.Version) (wrong []*FieldError) {
	for _, name := range slices.Sorted(maps.Keys(stated)) {
		ft := t.Field(name)
		switch {
		case ft == nil:
		case ft.Since > v:
			wrong = append(wrong, &FieldError{name, &VersionError{Needs: ft.Since, Has: v}})
		case ft.isGone(v):
			wrong = append(wrong, &FieldError{name, errGone(v)})
		}
	}
	return wrong
}
