// Package xmltree reads XML documents as trees of elements. It hides the parsing library.
package xmltree

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/antchfx/xmlquery"
)

// Node is an element. A nil Node has no name, no text and no children.
type Node struct{ node *xmlquery.Node }

// Parse returns the root element of a document. A document without exactly one root element is
// an error.
func Parse(data []byte) (*Node, error) {
	doc, err := xmlquery.ParseWithOptions(bytes.NewReader(data), xmlquery.ParserOptions{WithLineNumbers: true})
	if err != nil {
		return nil, fmt.Errorf("is not well-formed XML: %w", err)
	}
	// xmlquery puts the root element below the XML declaration in some documents and beside it
	// in others, and accepts several, so search the whole top of the tree.
	var root *Node
	var walk func(n *xmlquery.Node) error
	walk = func(n *xmlquery.Node) error {
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			switch c.Type {
			case xmlquery.ElementNode:
				if root != nil {
					return errors.New("has more than one root element")
				}
				root = &Node{c}
			case xmlquery.TextNode, xmlquery.CharDataNode:
				if strings.TrimSpace(c.Data) != "" {
					return errors.New("has text outside the root element")
				}
			case xmlquery.DeclarationNode, xmlquery.ProcessingInstruction:
				if err := walk(c); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := walk(doc); err != nil {
		return nil, err
	}
	if root == nil {
		return nil, errors.New("has no XML element")
	}
	return root, nil
}

// Name returns the element's name without a prefix.
func (n *Node) Name() string {
	if n == nil {
		return ""
	}
	return n.node.Data
}

// Space returns the element's namespace.
func (n *Node) Space() string {
	if n == nil {
		return ""
	}
	return n.node.NamespaceURI
}

// Line returns the line on which the element begins, counted from 1.
func (n *Node) Line() int { return n.node.LineNumber }

// Attr returns an attribute's value by namespace and name, "" if there is none.
func (n *Node) Attr(space, name string) string {
	if n == nil {
		return ""
	}
	for _, a := range n.node.Attr {
		if a.Name.Local == name && a.NamespaceURI == space {
			return a.Value
		}
	}
	return ""
}

// Children yields the child elements.
func (n *Node) Children() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		if n == nil {
			return
		}
		for c := n.node.FirstChild; c != nil; c = c.NextSibling {
			if c.Type == xmlquery.ElementNode && !yield(&Node{c}) {
				return
			}
		}
	}
}

// Named yields the child elements with a local name, in any namespace.
func (n *Node) Named(name string) iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		for c := range n.Children() {
			if c.Name() == name && !yield(c) {
				return
			}
		}
	}
}

// Child returns the first child element with a local name, or nil.
func (n *Node) Child(name string) *Node {
	for c := range n.Named(name) {
		return c
	}
	return nil
}

// At returns the element at a path of names below n, like a.b[2].c, in which a number counts the
// elements of that name from 0 on. Of a path that leads nowhere, it returns the deepest element
// that is there.
func (n *Node) At(path string) *Node {
	for name := range strings.SplitSeq(path, ".") {
		name, index, _ := strings.Cut(name, "[")
		number, _ := strconv.Atoi(strings.TrimSuffix(index, "]"))
		var child *Node
		for each := range n.Named(name) {
			if child = each; number == 0 {
				break
			}
			number--
		}
		if child == nil {
			break
		}
		n = child
	}
	return n
}

// Text returns the element's own text, with its white space. It skips nested elements, so the
// cost does not depend on their depth.
func (n *Node) Text() string {
	if n == nil {
		return ""
	}
	var b strings.Builder
	for c := n.node.FirstChild; c != nil; c = c.NextSibling {
		if c.Type == xmlquery.TextNode || c.Type == xmlquery.CharDataNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}
