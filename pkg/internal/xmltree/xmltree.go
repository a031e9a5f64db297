// Package xmltree reads XML files as trees of elements. pkg/mdapi reads answers with xmlquery, which
// imports net/http and so is out of reach for the packages that read files.
package xmltree

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/unicode"
)

// Node is an element.
type Node struct {
	name     xml.Name
	attrs    []xml.Attr
	line     int
	text     []byte
	children []*Node
}

// Parse returns the root element of a document. A document without exactly one root element is
// an error, and so is a prefix without a namespace.
//
// A document in UTF-16, as some editors on Windows save it, is read like one in UTF-8.
func Parse(data []byte) (*Node, error) {
	text, isUTF16, err := fromUTF16(data)
	if err != nil {
		return nil, err
	}
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	d.CharsetReader = charset.NewReaderLabel
	if isUTF16 { // the declaration names an encoding that the text does not have any more
		d.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	}
	declared := map[string]bool{"": true, "http://www.w3.org/XML/1998/namespace": true}
	open := []*Node{{}} // the document, and the elements that are not closed yet
	for {
		line, _ := d.InputPos()
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("is not well-formed XML: %w", err)
		}
		parent := open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			for _, a := range token.Attr {
				if a.Name.Space == "xmlns" || a.Name.Local == "xmlns" {
					declared[a.Value] = true
				}
			}
			if !declared[token.Name.Space] {
				return nil, fmt.Errorf("is not well-formed XML: the prefix %s has no namespace", token.Name.Space)
			}
			n := &Node{name: token.Name, attrs: slices.Clone(token.Attr), line: line}
			parent.children = append(parent.children, n)
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			parent.text = append(parent.text, token...)
		}
	}
	switch document := open[0]; {
	case len(document.children) > 1:
		return nil, errors.New("has more than one root element")
	case len(bytes.TrimSpace(document.text)) > 0:
		return nil, errors.New("has text outside the root element")
	case len(document.children) == 0:
		return nil, errors.New("has no XML element")
	default:
		return document.children[0], nil
	}
}

// fromUTF16 returns a document in UTF-8, and whether it was in UTF-16: by its byte order mark, or by the
// zero byte beside its first sign.
func fromUTF16(data []byte) (text []byte, isUTF16 bool, err error) {
	order := unicode.BigEndian
	switch {
	case len(data) < 2:
		return data, false, nil
	case data[0] == 0xff && data[1] == 0xfe, data[0] == '<' && data[1] == 0:
		order = unicode.LittleEndian
	case data[0] == 0xfe && data[1] == 0xff, data[0] == 0 && data[1] == '<':
	default:
		return data, false, nil
	}
	if text, err = unicode.UTF16(order, unicode.UseBOM).NewDecoder().Bytes(data); err != nil {
		return nil, true, fmt.Errorf("is not valid UTF-16: %w", err)
	}
	return text, true, nil
}

// Name returns the element's name without a prefix.
func (n *Node) Name() string { return n.name.Local }

// Space returns the element's namespace.
func (n *Node) Space() string { return n.name.Space }

// Line returns the line on which the element begins, counted from 1.
func (n *Node) Line() int { return n.line }

// Attr returns an attribute's value by namespace and name, "" if there is none.
func (n *Node) Attr(space, name string) string {
	for _, a := range n.attrs {
		if a.Name == (xml.Name{Space: space, Local: name}) {
			return a.Value
		}
	}
	return ""
}

// Children yields the child elements.
func (n *Node) Children() iter.Seq[*Node] { return slices.Values(n.children) }

// At returns the element at a path of names below n, like a.b[2].c, in which a number counts the
// elements of that name from 0 on. Of a path that leads nowhere, it returns the deepest element
// that is there.
func (n *Node) At(path string) *Node {
	for name := range strings.SplitSeq(path, ".") {
		name, index, _ := strings.Cut(name, "[")
		number, _ := strconv.Atoi(strings.TrimSuffix(index, "]"))
		var child *Node
		for _, each := range n.children {
			if each.Name() == name && number >= 0 {
				child = each
				number--
			}
		}
		if child == nil {
			break
		}
		n = child
	}
	return n
}

// Text returns the element's own text, with its white space, without that of nested elements.
func (n *Node) Text() string { return string(n.text) }
