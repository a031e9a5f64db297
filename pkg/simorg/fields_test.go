package simorg

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
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
			if got, org := ft.Until, fieldUntil[typ.Name][ft.Name]; got != org {
				t.Errorf("%s.%s: the client has it until %v, the org until %v", typ.Name, ft.Name, got, org)
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

// TestRemovedField writes a field in versions before, with and after it. One version is in doubt, see the fact
// jwt-switch-in-policies.
func TestRemovedField(t *testing.T) {
	t.Parallel()
	for answer, last := range map[string]apiversion.Version{"known": 64, "unknown": 63} {
		o := New(Config{Facts: platform.Answers{"jwt-switch-in-policies": answer}})
		for v := apiversion.Version(60); v <= apiversion.Latest; v++ {
			if got := o.hasField(eca.OAuthPolicies, "isNamedUserJwtEnabled", v); got != (v >= 61 && v <= last) {
				t.Errorf("%s: API version %s has isNamedUserJwtEnabled of OAuth policies: %t", answer, v, got)
			}
			if !o.hasField(eca.GlobalOAuthSettings, "isNamedUserJwtEnabled", max(v, 61)) {
				t.Errorf("API version %s lacks isNamedUserJwtEnabled of the global settings", v)
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
	for typ, fields := range fieldUntil {
		for name := range fields {
			if !has(typ, name) {
				t.Errorf("fieldUntil has %s.%s, which is no field", typ, name)
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

// TestOwnTypesFollowTheWSDL compares the types that no other package describes with the WSDL's schema.
func TestOwnTypesFollowTheWSDL(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../../shared/schema/metadata.xsd")
	if err != nil {
		t.Skip("the types are not compared: there is no ../shared/schema/metadata.xsd beside the module")
	}
	elements := func(typ string) (all [][]string) {
		_, found, _ := strings.Cut(string(data), `<xsd:complexType name="`+typ+`">`)
		found, _, _ = strings.Cut(found, "</xsd:complexType>")
		return regexp.MustCompile(`<xsd:element name="(\w+)"( minOccurs="0")?[^>]*? type="(?:xsd|tns):(\w+)"`).FindAllStringSubmatch(found, -1)
	}
	var compare func(typ string, fields []metadata.FieldType)
	compare = func(typ string, fields []metadata.FieldType) {
		want := elements(typ)
		if len(want) != len(fields) {
			t.Fatalf("%s has %d fields, want %v", typ, len(fields), want)
		}
		for i, ft := range fields {
			name, optional, of := want[i][1], want[i][2] != "", want[i][3]
			if ft.Name != name || ft.Required == optional || (ft.Kind == metadata.Boolean) != (of == "boolean") {
				t.Errorf("%s.%s is %+v, want %v", typ, name, ft, want[i])
			}
			if ft.Kind == metadata.Struct {
				compare(of, ft.Fields)
			}
		}
	}
	for _, typ := range own {
		if typ != connectedAppType {
			compare(typ.Name, typ.Fields)
		}
	}
}
