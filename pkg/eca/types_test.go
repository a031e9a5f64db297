package eca

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/antchfx/xmlquery"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// TestTypesFollowTheWSDL holds the table against the schema of the Metadata API's
// WSDL, field by field and in order.
func TestTypesFollowTheWSDL(t *testing.T) {
	t.Parallel()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "schema", "metadata.xsd"))
	if err != nil {
		t.Skip("the WSDL's schema is not at hand: ", err)
	}
	defer f.Close()
	doc, err := xmlquery.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range slices.Concat(Types(), others) {
		if typ.Partial && xmlquery.FindOne(doc, "//xsd:complexType[@name='"+typ.Name+"']") == nil {
			continue // see Type
		}
		t.Run(typ.Name, func(t *testing.T) { compareFields(t, doc, typ.Name, typ.Fields, typ.Partial) })
	}
}

func compareFields(t *testing.T, doc *xmlquery.Node, typ string, fields []metadata.FieldType, partial bool) {
	fields = slices.DeleteFunc(slices.Clone(fields), func(ft metadata.FieldType) bool { return ft.Until != 0 })
	elements := xmlquery.Find(doc, "//xsd:complexType[@name='"+typ+"']//xsd:element")
	if partial {
		elements = slices.DeleteFunc(elements, func(e *xmlquery.Node) bool {
			return !slices.ContainsFunc(fields, func(ft metadata.FieldType) bool { return ft.Name == e.SelectAttr("name") })
		})
	}
	if len(elements) != len(fields) {
		t.Errorf("%s has %d fields, the WSDL has %d", typ, len(fields), len(elements))
	}
	for i, e := range elements[:min(len(elements), len(fields))] {
		ft := fields[i]
		if name := e.SelectAttr("name"); name != ft.Name {
			t.Fatalf("%s: field %d is %s, the WSDL has %s", typ, i, ft.Name, name)
		}
		if required := e.SelectAttr("minOccurs") != "0"; required != ft.Required {
			t.Errorf("%s.%s: Required is %v", typ, ft.Name, ft.Required)
		}
		if repeated := e.SelectAttr("maxOccurs") == "unbounded"; repeated != ft.Repeated {
			t.Errorf("%s.%s: Repeated is %v", typ, ft.Name, ft.Repeated)
		}
		switch wsdlType := e.SelectAttr("type"); wsdlType {
		case "xsd:string", "xsd:boolean", "xsd:int":
			want := map[string]metadata.Kind{"xsd:string": metadata.String, "xsd:boolean": metadata.Boolean, "xsd:int": metadata.Int}[wsdlType]
			if ft.Kind != want {
				t.Errorf("%s.%s: metadata.Kind is %s, the WSDL says %s", typ, ft.Name, ft.Kind, wsdlType)
			}
		default:
			name := wsdlType[strings.LastIndexByte(wsdlType, ':')+1:]
			var values []string
			for _, v := range xmlquery.Find(doc, "//xsd:simpleType[@name='"+name+"']//xsd:enumeration") {
				values = append(values, v.SelectAttr("value"))
			}
			if values == nil {
				if ft.Kind != metadata.Struct {
					t.Errorf("%s.%s: metadata.Kind is %s, the WSDL has the structure %s", typ, ft.Name, ft.Kind, name)
				}
				compareFields(t, doc, name, ft.Fields, false)
			} else if ft.Kind != metadata.Enum || ft.EnumName != name || !slices.Equal(ft.Values, values) {
				t.Errorf("%s.%s: is %s %s %v, the WSDL has %s %v", typ, ft.Name, ft.Kind, ft.EnumName, ft.Values, name, values)
			}
		}
	}
}

func TestFieldsAreInWSDLOrder(t *testing.T) {
	t.Parallel()
	for _, typ := range Types() {
		if !slices.IsSortedFunc(typ.Fields, func(a, b metadata.FieldType) int {
			if a.Name < b.Name {
				return -1
			}
			return 1
		}) {
			t.Errorf("the fields of %s are not in alphabetical order", typ.Name)
		}
	}
}
