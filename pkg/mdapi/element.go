package mdapi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"iter"
	"strings"

	"github.com/antchfx/xmlquery"
	"golang.org/x/net/html/charset"
)

// Bounds of an answer, besides those on its size and marks. Beyond them, the time that xmlquery
// takes grows with the square of the answer's size: minutes for 4 MiB.
const (
	maxInstructions = 200  // bytes up to the end of the last processing instruction
	maxAttribute    = 1000 // bytes of an attribute's name and value
	maxPieces       = 100  // texts, CDATA sections and comments between two tags
)

// element is an XML element of an answer. One that is missing has no name, no text and no children.
type element struct{ node *xmlquery.Node }

// parseDocument returns the document, whose only child is the root element.
func parseDocument(data []byte) (element, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if err := checkDocument(data); err != nil {
		return element{}, err
	}
	doc, err := xmlquery.Parse(bytes.NewReader(data))
	return element{doc}, err
}

// checkDocument returns an error for a document that xmlquery would accept, but is out of bounds or
// no SOAP message. Whether the tags match is left to xmlquery.
func checkDocument(data []byte) error {
	d := xml.NewDecoder(bytes.NewReader(data))
	d.CharsetReader = charset.NewReaderLabel
	for depth, roots, pieces := 0, 0, 0; ; {
		token, err := d.RawToken()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		pieces++
		switch token := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth, pieces = depth+1, 0
			for _, a := range token.Attr {
				if len(a.Name.Local)+len(a.Value) > maxAttribute {
					return errors.New("has a long attribute")
				}
			}
		case xml.EndElement:
			depth, pieces = depth-1, 0
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(token)) > 0 {
				return errors.New("has text outside the root element")
			}
		case xml.Directive:
			return errors.New("has a document type declaration")
		case xml.ProcInst:
			if d.InputOffset() > maxInstructions {
				return errors.New("has a processing instruction after its start")
			}
		}
		if roots > 1 {
			return errors.New("has more than one root element")
		}
		if pieces > maxPieces {
			return errors.New("has too many comments and CDATA sections in a row")
		}
	}
}

// Name returns the element's name without a prefix.
func (e element) Name() string { return e.node.Data }

// Attr returns an attribute's value by namespace and name, "" if there is none.
func (e element) Attr(space, name string) string {
	for _, a := range e.node.Attr {
		if a.NamespaceURI == space && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// Text returns the element's own text, with its white space, without that of nested elements.
func (e element) Text() string {
	var b strings.Builder
	for _, n := range e.node.ChildNodes() {
		if n.Type == xmlquery.TextNode || n.Type == xmlquery.CharDataNode {
			b.WriteString(n.Data)
		}
	}
	return b.String()
}

// Children yields the child elements.
func (e element) Children() iter.Seq[element] {
	return func(yield func(element) bool) {
		for _, n := range e.node.ChildNodes() {
			if n.Type == xmlquery.ElementNode && !yield(element{n}) {
				return
			}
		}
	}
}

// named yields the child elements with a local name, in any namespace.
func (e element) named(name string) iter.Seq[element] {
	return func(yield func(element) bool) {
		for c := range e.Children() {
			if c.Name() == name && !yield(c) {
				return
			}
		}
	}
}

// child returns the first child element with a local name.
func (e element) child(name string) element {
	for c := range e.named(name) {
		return c
	}
	return element{new(xmlquery.Node)}
}
