package mdapi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"

	"github.com/antchfx/xmlquery"

	"github.com/ecakit/ecakit/pkg/metadata"
)

const soapNamespace = "http://schemas.xmlsoap.org/soap/envelope/"

// element is a node of an answer.
type element = xmlquery.Node

// encodeEnvelope writes a SOAP 1.1 request.
func encodeEnvelope(token, operation string, body func(*xml.Encoder) error) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	envelope := start("env:Envelope")
	envelope.Attr = []xml.Attr{
		{Name: xml.Name{Local: "xmlns:env"}, Value: soapNamespace},
		{Name: xml.Name{Local: "xmlns:xsi"}, Value: metadata.InstanceNamespace},
	}
	header, session := start("env:Header"), inNamespace("SessionHeader")
	soapBody, op := start("env:Body"), inNamespace(operation)
	for _, step := range []func() error{
		func() error { return tokens(e, envelope, header, session) },
		func() error { return e.EncodeElement(token, start("sessionId")) },
		func() error { return tokens(e, session.End(), header.End(), soapBody, op) },
		func() error { return body(e) },
		func() error { return tokens(e, op.End(), soapBody.End(), envelope.End()) },
		e.Close,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func inNamespace(name string) xml.StartElement {
	s := start(name)
	s.Attr = []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: metadata.Namespace}}
	return s
}

func tokens(e *xml.Encoder, ts ...xml.Token) error {
	for _, t := range ts {
		if err := e.EncodeToken(t); err != nil {
			return err
		}
	}
	return nil
}

// parseAnswer returns the element OPERATIONResponse of a SOAP answer, or the
// fault that stands in its place as a *Fault.
func parseAnswer(answer []byte, operation string) (*element, error) {
	doc, err := xmlquery.Parse(bytes.NewReader(answer))
	if err != nil {
		return nil, fmt.Errorf("the answer is not XML: %w", err)
	}
	body := child(descend(doc), "Body")
	if body == nil {
		return nil, errors.New("the answer is not a SOAP envelope")
	}
	if f := child(body, "Fault"); f != nil {
		code := text(f, "faultcode")
		return nil, &Fault{Code: code[strings.LastIndexByte(code, ':')+1:], Message: text(f, "faultstring")}
	}
	if response := child(body, operation+"Response"); response != nil {
		return response, nil
	}
	return nil, fmt.Errorf("the SOAP answer holds no %sResponse", operation)
}

// descend finds the Envelope. xmlquery hangs it below the XML declaration or
// beside it, depending on the document.
func descend(doc *element) *element {
	if envelope := child(doc, "Envelope"); envelope != nil {
		return envelope
	}
	for n := doc.FirstChild; n != nil; n = n.NextSibling {
		if n.Type == xmlquery.DeclarationNode {
			if envelope := child(n, "Envelope"); envelope != nil {
				return envelope
			}
		}
	}
	return nil
}

func child(parent *element, name string) *element {
	for n := range children(parent, name) {
		return n
	}
	return nil
}

// children yields the child elements of that local name.
func children(parent *element, name string) func(yield func(*element) bool) {
	return func(yield func(*element) bool) {
		if parent == nil {
			return
		}
		for n := parent.FirstChild; n != nil; n = n.NextSibling {
			if n.Type == xmlquery.ElementNode && n.Data == name && !yield(n) {
				return
			}
		}
	}
}

// text returns the text of a child element, "" where there is none.
func text(parent *element, name string) string { return ownText(child(parent, name)) }

// ownText returns the text right inside an element. Text further down does not
// count, so that the depth of an answer costs nothing.
func ownText(n *element) string {
	if n == nil {
		return ""
	}
	var b strings.Builder
	for t := n.FirstChild; t != nil; t = t.NextSibling {
		if t.Type == xmlquery.TextNode || t.Type == xmlquery.CharDataNode {
			b.WriteString(t.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

// readResults reads the results of upsertMetadata or deleteMetadata, which stand
// in the order of the request, into those of the given indexes.
func readResults(response *element, indexes []int, typ string, into map[int]Result) error {
	i := 0
	for n := range children(response, "result") {
		if i < len(indexes) {
			r := Result{
				Type: typ, FullName: text(n, "fullName"),
				Success: text(n, "success") == "true", Created: text(n, "created") == "true",
			}
			for e := range children(n, "errors") {
				componentError := &ComponentError{
					Type: typ, FullName: r.FullName,
					Code: text(e, "statusCode"), Message: text(e, "message"),
				}
				for f := range children(e, "fields") {
					componentError.Fields = append(componentError.Fields, ownText(f))
				}
				r.Errors = append(r.Errors, componentError)
			}
			if !r.Success && len(r.Errors) == 0 {
				r.Errors = []*ComponentError{{Type: typ, FullName: r.FullName, Message: "the org reports failure and no reason"}}
			}
			into[indexes[i]] = r
		}
		i++
	}
	if i != len(indexes) {
		return fmt.Errorf("the org answered %d results for %d components of %s", i, len(indexes), typ)
	}
	return nil
}

// readRecords reads the records of readMetadata. A name that does not exist
// comes back as a record that is nil or has no name.
func readRecords(response *element, typ string) ([]*metadata.Component, error) {
	var found []*metadata.Component
	for n := range children(child(response, "result"), "records") {
		c, err := metadata.FromNode(n)
		if err != nil {
			return nil, fmt.Errorf("readMetadata of %s: a record %w", typ, err)
		}
		if c.FullName == "" {
			continue
		}
		if c.Type == "" {
			c.Type = typ
		}
		found = append(found, c)
	}
	return found, nil
}

func readList(response *element) []FileProperties {
	var list []FileProperties
	for n := range children(response, "result") {
		list = append(list, FileProperties{Type: text(n, "type"), FullName: text(n, "fullName")})
	}
	return list
}
