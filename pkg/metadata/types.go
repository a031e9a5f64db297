package metadata

import (
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
)

// Kind says how the text of a field is to be read.
type Kind uint8

// The kinds of field that the ECA types use.
const (
	String  Kind = iota
	Boolean      // xsd:boolean: true, false, 1 or 0
	Int          // xsd:int
	Enum         // one of FieldType.Values
	Struct       // a nested element with FieldType.Fields
)

// String names the kind as the Metadata API's documentation does.
func (k Kind) String() string {
	return [...]string{"string", "boolean", "whole number", "enum", "structure"}[k]
}

// Type describes a metadata type: what the WSDL says of it, and where source
// keeps it.
type Type struct {
	Name   string             // as in xsi:type and at the root of a source file
	Folder string             // the folder of source files and of deploy zips
	Suffix string             // of a file in a deploy zip; source files add "-meta.xml"
	Since  apiversion.Version // the first API version that has the type
	Fields []FieldType        // in WSDL order, without fullName

	// Partial says that the WSDL of apiversion.Latest does not have the type: Fields are
	// those that were seen in source, and others may be right.
	Partial bool
}

// FieldType describes one field of a type.
type FieldType struct {
	Name     string
	Kind     Kind
	EnumName string      // the WSDL's name of the enumeration, for messages
	Values   []string    // what an Enum can be
	Fields   []FieldType // what a Struct holds, in WSDL order
	Required bool        // the WSDL demands it
	Repeated bool        // may stand several times

	// Since is the first API version that has the field, where Salesforce's
	// documentation says so; 0 stands for the type's own.
	Since apiversion.Version

	// Deprecated says that Salesforce documents the field as such, and that the WSDL of
	// apiversion.Latest does not have it. Which version was the last to have it is not known.
	Deprecated bool

	// List is what separates the items of a list that the platform keeps in one
	// string: "," for scopes, "\n" for callback URLs. Order carries no meaning.
	List string

	// Item is what messages call an item of a List, and Items are all that there can be as
	// of apiversion.Latest; nil is for any. CheckItem says what else is wrong with an item
	// that somebody states.
	Item      string
	Items     []string
	CheckItem func(item string) error

	// Synonyms maps items of a List to the one that the platform treats alike.
	Synonyms map[string]string

	// Default is what an absent Boolean stands for, "" meaning false. It is set
	// where Salesforce's documentation names a default of true.
	Default string

	// Unsettable is why settings cannot state the field, "" where they can.
	Unsettable string

	Key      bool // a consumer key, which is shown shortened
	Fold     bool // case and surrounding white space carry no meaning
	PEM      bool // a certificate, in one of the forms that CertificateDER reads
	Secret   bool // never shown, never sent
	Platform bool // made by the platform: no project may state it, and it is never sent
	Action   bool // sending true makes the platform act (rotate), so it is never sent

	// Withheld says that readMetadata may leave the field out although it is
	// set, so that absence proves nothing.
	Withheld bool

	// Forced says that some orgs keep the field at its default whatever is sent.
	Forced bool
}

// Schema is a table of types, in the order in which an app of theirs, or whatever they make
// up, is brought to an org.
type Schema []*Type

// Lookup returns the type of that name, or nil. The methods of a nil Type are those of a
// type of which nothing is known.
func (s Schema) Lookup(name string) *Type {
	for _, t := range s {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// OfFile returns the type whose source suffix the file's name has, and the component's
// fullName, which is the rest of the name. It returns nil and "" for any other file.
func (s Schema) OfFile(name string) (*Type, string) {
	base, isSource := strings.CutSuffix(path.Base(name), "-meta.xml")
	dot := strings.LastIndexByte(base, '.')
	if !isSource || dot <= 0 {
		return nil, ""
	}
	for _, t := range s {
		if t.Suffix == base[dot+1:] {
			return t, base[:dot]
		}
	}
	return nil, ""
}

// IsFolder reports whether a directory has the name under which source keeps the files of
// one of the types.
func (s Schema) IsFolder(name string) bool {
	return slices.ContainsFunc(s, func(t *Type) bool { return t.Folder == name })
}

// Field returns the description of the type's field of that name, or nil.
func (t *Type) Field(name string) *FieldType {
	if t == nil {
		return nil
	}
	return findField(t.Fields, name)
}

func findField(fields []FieldType, name string) *FieldType {
	for i := range fields {
		if fields[i].Name == name {
			return &fields[i]
		}
	}
	return nil
}
