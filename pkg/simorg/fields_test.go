package simorg

import (
	"slices"
	"testing"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// TestClientAndOrgKnowTheSameFields compares what the table of pkg/eca says of versions and
// defaults with what the org does, which was written on its own.
func TestClientAndOrgKnowTheSameFields(t *testing.T) {
	t.Parallel()
	for _, typ := range eca.Types() {
		if got := typ.Since; got != typeSince[typ.Name] {
			t.Errorf("%s: the client has it since %v, the org since %v", typ.Name, got, typeSince[typ.Name])
		}
		for _, ft := range typ.Fields {
			if got, org := ft.Since, fieldSince[typ.Name][ft.Name]; got != org {
				t.Errorf("%s.%s: the client has it since %v, the org since %v", typ.Name, ft.Name, got, org)
			}
			// A nested field came with the field that holds it.
			for _, nested := range ft.Fields {
				if nested.Since != 0 {
					t.Errorf("%s.%s.%s: the client has it since %v, the org since its parent", typ.Name, ft.Name, nested.Name, nested.Since)
				}
			}
			if ft.Kind != metadata.Boolean {
				continue
			}
			empty := &metadata.Component{Type: typ.Name}
			if got, org := typ.Bool(empty, ft.Name), trueByDefault[typ.Name][ft.Name]; got != org {
				t.Errorf("%s.%s: absent, the client takes it for %t, the org for %t", typ.Name, ft.Name, got, org)
			}
		}
	}
}

// TestDefaultsAreOfFields finds a name in the org's own tables that no type has.
func TestDefaultsAreOfFields(t *testing.T) {
	t.Parallel()
	has := func(typ, field string) bool {
		found := eca.Lookup(typ)
		return found != nil && slices.ContainsFunc(found.Fields, func(ft metadata.FieldType) bool { return ft.Name == field })
	}
	for typ, fields := range trueByDefault {
		for name := range fields {
			if !has(typ, name) {
				t.Errorf("trueByDefault has %s.%s, which is no field", typ, name)
			}
		}
	}
	for typ, fields := range fieldSince {
		for name := range fields {
			if !has(typ, name) {
				t.Errorf("fieldSince has %s.%s, which is no field", typ, name)
			}
		}
	}
}
