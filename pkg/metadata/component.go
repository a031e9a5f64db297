// Package metadata handles Salesforce metadata components as data, of any type: how a
// component is read from a source file and written to one, or as the value of a SOAP
// message, and how wanted fields are laid over those that an org already has.
//
// What a type consists of is a table, see Type; that of External Client Apps is in pkg/eca.
//
// A Component keeps every field that it was read with, also those that this
// package knows nothing of, because the platform's upsert replaces the whole
// record: what is not sent back is lost.
//
// Nothing here touches the network.
package metadata

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Namespace is the XML namespace of the Metadata API, of its SOAP messages as
// well as of source files.
const Namespace = "http://soap.sforce.com/2006/04/metadata"

// InstanceNamespace is the XML Schema instance namespace, which carries xsi:type
// and xsi:nil.
const InstanceNamespace = "http://www.w3.org/2001/XMLSchema-instance"

// Component is one metadata component: a type, a name and fields.
type Component struct {
	Type     string  // the type's name in the Metadata API
	FullName string  // the name by which the Metadata API addresses it
	Fields   []Field // without fullName; a repeated field stands several times
}

// Field is one element of a component. It holds either text or nested fields.
type Field struct {
	Name   string
	Text   string  // the element's text, unescaped
	Fields []Field // the nested elements, nil for an element with text
}

// Text returns the text of the component's first field of that name, or "".
func (c *Component) Text(name string) string {
	for _, f := range c.Fields {
		if f.Name == name {
			return f.Text
		}
	}
	return ""
}

// Bool reports whether a component's field of that name is true, by the platform's default
// where the field is absent.
func (t *Type) Bool(c *Component, name string) bool {
	text := c.Text(name)
	if ft := t.Field(name); ft != nil {
		text = ft.boolean(text)
	}
	return text == "true" || text == "1"
}

// MarshalXML writes the component as the value of a SOAP message: an element
// with xsi:type whose children stand as the WSDL orders them, fullName first
// and the rest alphabetically. The xsi prefix and the Metadata API's namespace
// must be in force where the element is placed.
//
// Text that XML 1.0 cannot carry, such as control characters, is an error that
// names the field; nothing has been written then.
func (c *Component) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	if err := c.Check(); err != nil {
		return err
	}
	start.Attr = append(start.Attr, xml.Attr{Name: xml.Name{Local: "xsi:type"}, Value: c.Type})
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	if err := encodeFields(e, []Field{{Name: "fullName", Text: c.FullName}}); err != nil {
		return err
	}
	if err := encodeFields(e, c.Fields); err != nil {
		return err
	}
	return e.EncodeToken(start.End())
}

func encodeFields(e *xml.Encoder, fields []Field) error {
	for _, f := range InOrder(fields) {
		start := xml.StartElement{Name: xml.Name{Local: f.Name}}
		if err := e.EncodeToken(start); err != nil {
			return err
		}
		if len(f.Fields) > 0 {
			if err := encodeFields(e, f.Fields); err != nil {
				return err
			}
		} else if err := e.EncodeToken(xml.CharData(f.Text)); err != nil {
			return err
		}
		if err := e.EncodeToken(start.End()); err != nil {
			return err
		}
	}
	return nil
}

// InOrder returns the fields in WSDL order, which is alphabetical by name.
// Repeated fields keep their order among themselves.
func InOrder(fields []Field) []Field {
	sorted := slices.Clone(fields)
	slices.SortStableFunc(sorted, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return sorted
}

// Check reports the first name or text of the component that XML cannot carry.
func (c *Component) Check() error {
	for _, s := range []struct{ what, text string }{{"the type", c.Type}, {"fullName", c.FullName}} {
		if err := checkText(s.text); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return checkFields("", c.Fields)
}

func checkFields(prefix string, fields []Field) error {
	for _, f := range fields {
		if !isName(f.Name) {
			return fmt.Errorf("%q cannot be the name of a field", prefix+f.Name)
		}
		if err := checkText(f.Text); err != nil {
			return fmt.Errorf("%s: %w", prefix+f.Name, err)
		}
		if err := checkFields(prefix+f.Name+".", f.Fields); err != nil {
			return err
		}
	}
	return nil
}

// isName accepts what the platform uses for element names, a subset of XML's.
func isName(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

func checkText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("holds bytes that are not UTF-8")
	}
	for _, r := range s {
		// The Char production of XML 1.0.
		ok := r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000
		if !ok {
			return fmt.Errorf("holds the character %U, which XML cannot carry", r)
		}
	}
	return nil
}
