package metadata

import "slices"

// Want is a component that the org should have.
type Want struct {
	// Type is the component's type. It must not be nil.
	Type *Type

	// Names are the component's usual names. A new component gets the first free one. Existing
	// components are looked up under all of them, and under the names that the org lists for
	// the type.
	Names []string

	// Is reports whether a component of the org is the wanted one; nil matches the usual names.
	// If several match, the one with the earliest of Names wins.
	Is func(*Component) bool

	// Fields are the wanted fields; all others stay as they are. Defaults are additional fields
	// of a new component; Fields take precedence.
	Fields, Defaults Fields

	// Source are fields that the component's source states, see Existing. Fields take precedence.
	Source Fields

	// After are the components that must exist first. The platform refuses a component without
	// them, so without them it cannot exist.
	After []*Want

	// AutoCreated allows for a component that the platform may create by itself together with one
	// of After. It is looked up again before it is created, and the writes before it are
	// confirmed before it is changed.
	AutoCreated bool

	// Trusted skips the read-back of a component that was compared with the org just before the
	// write. The org's acceptance is then enough.
	Trusted bool

	// ReadOnly means that the component is looked up but never written.
	ReadOnly bool

	// Sealed, if not nil, are further fields of a new component.
	Sealed *Sealed

	// Guard, if not nil, returns an error if an update with these changes must not be sent.
	Guard func([]Change) error

	// Check, if not nil, returns an error if the component that the org shows after the write
	// is wrong.
	Check func(*Component) error
}

// Existing returns the fields that an existing component should have: those of Source and Fields. A value
// of Source that the org hides, or keeps whatever is sent, is no reason for a write. A write for another
// reason includes the hidden ones, because it may clear them.
func (w *Want) Existing(c *Component) Fields {
	source, withheld := w.Source.Over(nil), make(Fields)
	_, changes := w.Type.Overlay(c, source)
	for _, change := range changes {
		if change.Withheld {
			withheld[change.Field] = source[change.Field]
		}
		if change.Withheld || change.Forced {
			delete(source, change.Field)
		}
	}
	stated := w.Fields.Over(source)
	if len(withheld) > 0 {
		if _, changes := w.Type.Overlay(c, stated); len(changes) > 0 {
			stated = stated.Over(withheld)
		}
	}
	return stated
}

// Sealed are fields of a new component that hold a secret. They are added as it is sent, and neither
// compared nor reported.
type Sealed struct {
	Fields func() []Field
	// Without reports whether a component that the org refuses with this error is sent again without the
	// fields. Refused is that error then.
	Without func(error) bool
	Refused error
}

// Seal returns a copy of a component of the type with further fields, in the order that the platform
// demands. Fields of the component take precedence.
func (t *Type) Seal(c *Component, more []Field) *Component {
	sealed := *c
	sealed.Fields = slices.Clone(c.Fields)
	index := func(name string) int {
		return slices.IndexFunc(t.Fields, func(ft FieldType) bool { return ft.Name == name })
	}
	for _, f := range more {
		if slices.ContainsFunc(c.Fields, func(own Field) bool { return own.Name == f.Name }) {
			continue
		}
		at := slices.IndexFunc(sealed.Fields, func(own Field) bool { return index(own.Name) > index(f.Name) })
		if at < 0 {
			at = len(sealed.Fields)
		}
		sealed.Fields = slices.Insert(sealed.Fields, at, f)
	}
	return &sealed
}
