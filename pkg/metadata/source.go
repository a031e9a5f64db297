package metadata

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/files"
	"github.com/ecakit/ecakit/pkg/internal/xmltree"
)

// Bounds of a source file. Real ones have a few hundred bytes and a depth of three.
const (
	maxSource = 4 << 20 // bytes
	maxMarks  = 50_000  // tags and attributes; each takes some hundred bytes in memory
	maxDepth  = 32
)

// SourceError reports an invalid or unreadable source file.
type SourceError struct {
	Path  string // as passed to ReadFile
	Field string // the element, "" for the file as a whole
	Err   error
}

func (e *SourceError) Error() string {
	if e.Field != "" {
		return fmt.Sprintf("%s: %s: %v", e.Path, e.Field, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Path, e.Err)
}

func (e *SourceError) Unwrap() error { return e.Err }

// CheckValues returns the first field with a value that is not of its kind, or with a secret, and
// an error that says what is wrong.
func (t *Type) CheckValues(c *Component) (field string, err error) {
	for _, p := range t.Problems(c, 0) {
		if p.Kind == WrongValue || p.Kind == SecretValue {
			return p.Field, p.Err
		}
	}
	return "", nil
}

// ReadFile reads one component from a source file. The file's name determines the type and
// fullName. The values are not checked, see CheckValues. An error is a *SourceError.
func (s Schema) ReadFile(fsys fs.FS, name string) (*Component, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, &SourceError{Path: name, Err: fmt.Errorf("cannot be read: %w", files.Plain(err))}
	}
	defer f.Close()
	return s.ParseFile(name, f)
}

// ParseFile is ReadFile for the content of a source file.
func (s Schema) ParseFile(name string, content io.Reader) (*Component, error) {
	fail := func(err error) (*Component, error) { return nil, &SourceError{Path: name, Err: err} }
	t, full := s.OfFile(name)
	if t == nil {
		return fail(errors.New("is not a source file of a known metadata type"))
	}
	c, err := Parse(content)
	if err != nil {
		return fail(err)
	}
	if c.Type != t.Name {
		return fail(fmt.Errorf("the root element is %s, but a .%s-meta.xml file holds %s", c.Type, t.Suffix, t.Name))
	}
	if c.FullName != "" && c.FullName != full {
		return fail(fmt.Errorf("fullName is %q, but the file's name says %q", c.FullName, full))
	}
	c.FullName = full
	return c, nil
}

// Parse reads one component from the XML of a source file. The type is the root element's name.
// The file need not have a fullName.
func Parse(r io.Reader) (*Component, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSource+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if len(data) > maxSource {
		return nil, fmt.Errorf("is larger than %d MiB", maxSource>>20)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("is empty")
	}
	if bytes.Count(data, []byte("<"))+bytes.Count(data, []byte("=")) > maxMarks {
		return nil, fmt.Errorf("has more than %d tags and attributes", maxMarks)
	}
	root, err := xmltree.Parse(data)
	if err != nil {
		return nil, err
	}
	if root.Space() != Namespace {
		return nil, fmt.Errorf("the root element %s is not in the namespace %s", root.Name(), Namespace)
	}
	c, err := FromNode(root)
	if err != nil {
		return nil, err
	}
	c.Type = root.Name()
	return c, nil
}

// Element is an element of an XML document: a root of a source file or a record of a SOAP answer,
// as parsed by any library.
type Element[E any] interface {
	Name() string                   // without a prefix
	Attr(space, name string) string // by namespace and local name, "" if absent
	Text() string                   // the element's own text, without that of its children
	Children() iter.Seq[E]
}

// FromNode reads a component from an XML element. The type is that of xsi:type without its prefix,
// "" if absent. Elements with xsi:nil count as absent.
func FromNode[E Element[E]](n E) (*Component, error) {
	typ := n.Attr(InstanceNamespace, "type")
	c := &Component{Type: typ[strings.LastIndexByte(typ, ':')+1:]}
	fields, text, err := readFields(n, 0)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(text) != "" {
		return nil, fmt.Errorf("%s contains text instead of fields", n.Name())
	}
	for _, f := range fields {
		if f.Name == "fullName" {
			c.FullName = strings.TrimSpace(f.Text)
			continue
		}
		c.Fields = append(c.Fields, f)
	}
	return c, nil
}

func readFields[E Element[E]](n E, depth int) (fields []Field, text string, err error) {
	if depth > maxDepth {
		return nil, "", fmt.Errorf("is nested deeper than %d elements", maxDepth)
	}
	for c := range n.Children() {
		if isNil := strings.TrimSpace(c.Attr(InstanceNamespace, "nil")); isNil == "true" || isNil == "1" {
			continue
		}
		f := Field{Name: c.Name()}
		if f.Fields, f.Text, err = readFields(c, depth+1); err != nil {
			return nil, "", err
		}
		if len(f.Fields) > 0 {
			if strings.TrimSpace(f.Text) != "" {
				return nil, "", fmt.Errorf("%s mixes text and elements", c.Name())
			}
			f.Text = ""
		}
		fields = append(fields, f)
	}
	return fields, n.Text(), nil
}
