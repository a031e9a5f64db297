// Package metadata handles Salesforce metadata components of any type as data. It reads and
// writes source files, encodes components as values of SOAP messages, and overlays wanted
// fields on those an org already has.
//
// A Type is a table that describes a metadata type; pkg/eca has the tables for External Client
// Apps.
//
// A Component keeps all fields it was read with, including unknown ones. The platform's upsert
// replaces the whole record, so a field that is not sent back is lost.
//
// The package does no network calls.
package metadata

import (
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Namespace is the XML namespace of the Metadata API's SOAP messages and of source files.
const Namespace = "http://soap.sforce.com/2006/04/metadata"

// InstanceNamespace is the XML Schema instance namespace, for xsi:type and xsi:nil.
const InstanceNamespace = "http://www.w3.org/2001/XMLSchema-instance"

// Component is one metadata component: a type, a name and fields.
type Component struct {
	Type     string  // the type's name in the Metadata API
	FullName string  // the component's name in the Metadata API
	Fields   []Field // without fullName; a repeated field has one entry per value
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

// Bool reports whether a component's field is true. An absent field has the platform's default.
func (t *Type) Bool(c *Component, name string) bool {
	text := c.Text(name)
	if ft := t.Field(name); ft != nil {
		text = ft.boolean(text)
	}
	return text == "true" || text == "1"
}

// MarshalXML encodes the component as the value of a SOAP message: an element with xsi:type and
// its children in WSDL order, fullName first and the rest alphabetically. The enclosing element
// must declare the xsi prefix and the Metadata API's namespace.
//
// If XML 1.0 cannot represent a text, such as control characters, it writes nothing and returns
// an error with the field's name.
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

// InOrder returns the fields in WSDL order, which is alphabetical. Repeated fields keep their
// relative order.
func InOrder(fields []Field) []Field {
	sorted := slices.Clone(fields)
	slices.SortStableFunc(sorted, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return sorted
}

// Check returns a *FieldError for the first name or text that XML cannot represent.
func (c *Component) Check() error {
	for _, s := range []FieldError{{"the type", checkText(c.Type)}, {"fullName", checkText(c.FullName)}} {
		if s.Err != nil {
			return &s
		}
	}
	return checkFields("", c.Fields)
}

func checkFields(prefix string, fields []Field) error {
	for _, f := range fields {
		if !elementName.MatchString(f.Name) {
			return &FieldError{prefix + f.Name, errors.New("is not a valid element name")}
		}
		if err := checkText(f.Text); err != nil {
			return &FieldError{prefix + f.Name, err}
		}
		if err := checkFields(prefix+f.Name+".", f.Fields); err != nil {
			return err
		}
	}
	return nil
}

// elementName matches the element names of the platform, a subset of XML's names.
var elementName = regexp.MustCompile(`^[A-Za-z_]\w*$`)

func checkText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("is not valid UTF-8")
	}
	for _, r := range s {
		// The Char production of XML 1.0.
		ok := r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000
		if !ok {
			return fmt.Errorf("contains the character %U, which XML cannot represent", r)
		}
	}
	return nil
}
