package mdapi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/antchfx/xmlquery"
	"golang.org/x/net/html/charset"

	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

const soapNamespace = "http://schemas.xmlsoap.org/soap/envelope/"

// encodeEnvelope writes a SOAP 1.1 request.
func encodeEnvelope(client string, token salesforce.Secret, operation string, body func(*encoder)) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := &encoder{xml: xml.NewEncoder(&b)}
	e.open("env:Envelope", "xmlns:env", soapNamespace, "xmlns:xsi", metadata.InstanceNamespace)
	e.open("env:Header")
	e.open("SessionHeader", "xmlns", metadata.Namespace)
	e.value("sessionId", token.Reveal())
	e.close()
	e.open("CallOptions", "xmlns", metadata.Namespace)
	e.value("client", client)
	e.close()
	e.close()
	e.open("env:Body")
	e.open(operation, "xmlns", metadata.Namespace)
	body(e)
	e.close()
	e.close()
	e.close()
	if e.err == nil {
		e.err = e.xml.Close()
	}
	return b.Bytes(), e.err
}

// encoder writes XML elements. After its first error it writes nothing more.
type encoder struct {
	xml  *xml.Encoder
	err  error
	path []xml.StartElement
}

// open starts an element. Attributes are alternating names and values.
func (e *encoder) open(name string, attributes ...string) {
	start := xml.StartElement{Name: xml.Name{Local: name}}
	for i := 0; i < len(attributes); i += 2 {
		start.Attr = append(start.Attr, xml.Attr{Name: xml.Name{Local: attributes[i]}, Value: attributes[i+1]})
	}
	e.path = append(e.path, start)
	if e.err == nil {
		e.err = e.xml.EncodeToken(start)
	}
}

// close ends the innermost open element.
func (e *encoder) close() {
	last := len(e.path) - 1
	if e.err == nil {
		e.err = e.xml.EncodeToken(e.path[last].End())
	}
	e.path = e.path[:last]
}

// value writes an element whose content is a value encoded by encoding/xml.
func (e *encoder) value(name string, value any) {
	if e.err == nil {
		e.err = e.xml.EncodeElement(value, xml.StartElement{Name: xml.Name{Local: name}})
	}
}

// names writes the arguments of readMetadata and deleteMetadata.
func (e *encoder) names(typ string, fullNames []string) {
	e.value("type", typ)
	for _, name := range fullNames {
		e.value("fullNames", name)
	}
}

// response is the OPERATIONResponse element of an answer.
type response struct {
	element
	answer *salesforce.Response
}

// parseAnswer returns the response of a SOAP answer. A fault is a *salesforce.Error.
func parseAnswer(answer *salesforce.Response, operation string) (*response, error) {
	if err := answer.CheckMarks("<=", "XML tags and attributes"); err != nil {
		return nil, err
	}
	doc, err := parseDocument(answer.Body)
	if err != nil {
		return nil, err
	}
	body := doc.child("Envelope").child("Body")
	if f := body.child("Fault"); f.Name() != "" {
		return nil, readFault(f, answer)
	}
	if n := body.child(operation + "Response"); n.Name() != "" {
		return &response{n, answer}, nil
	}
	return nil, fmt.Errorf("the SOAP answer has no %sResponse", operation)
}

// readFault reads a fault of SOAP 1.1, which the platform sends, or of SOAP 1.2. The platform
// may repeat its code in the detail.
func readFault(f element, answer *salesforce.Response) *salesforce.Error {
	fault := &salesforce.Error{Code: text(f, "faultcode"), Message: text(f, "faultstring")}
	if fault.Code == "" {
		fault.Code = text(f.child("Code"), "Value")
	}
	if fault.Message == "" {
		fault.Message = text(f.child("Reason"), "Text")
	}
	for n := range f.child("detail").Children() {
		if code := text(n, "exceptionCode"); code != "" {
			fault.Code = code
		}
		if message := text(n, "exceptionMessage"); message != "" && fault.Message == "" {
			fault.Message = message
		}
	}
	fault.Code = answer.Mask(fault.Code[strings.LastIndexByte(fault.Code, ':')+1:])
	fault.Message = answer.Mask(fault.Message)
	if fault.Message == "" {
		fault.Message = "a SOAP fault without a message"
	}
	return fault
}

// text returns the trimmed text of a child element, "" if there is none.
func text(parent element, name string) string { return strings.TrimSpace(parent.child(name).Text()) }

// readResults reads the results of upsertMetadata, updateMetadata or deleteMetadata. They have
// the order of the names.
func readResults(r *response, typ string, names []string) ([]Result, error) {
	nodes := r.named("result")
	if len(nodes) != len(names) {
		return nil, fmt.Errorf("the org returned %d results for %d components of %s", len(nodes), len(names), typ)
	}
	var results []Result
	for i, n := range nodes {
		// It is not certain that a refused component's name comes back. If it does, it must be
		// the requested one.
		if name := text(n, "fullName"); name != "" && !strings.EqualFold(name, names[i]) {
			return nil, fmt.Errorf("the org returned a result for %s %s instead of %s", typ, r.answer.Mask(name), names[i])
		}
		result := Result{Type: typ, FullName: names[i], Success: isTrue(n, "success"), Created: isTrue(n, "created")}
		for _, e := range n.named("errors") {
			result.Errors = append(result.Errors, &ComponentError{
				Type: typ, FullName: names[i],
				Code: r.answer.Mask(text(e, "statusCode")), Message: r.answer.Mask(text(e, "message")),
			})
		}
		if !result.Success && len(result.Errors) == 0 {
			result.Errors = []*ComponentError{{Type: typ, FullName: names[i], Message: "the org reported a failure without a reason"}}
		}
		results = append(results, result)
	}
	return results, nil
}

func isTrue(n element, name string) bool {
	t := text(n, name)
	return t == "true" || t == "1"
}

// readRecords reads the records of readMetadata, one per name. For a name that does not exist
// the record is nil or has no name.
func readRecords(r *response, typ string, names []string) ([]*metadata.Component, error) {
	var found []*metadata.Component
	records := r.child("result").named("records")
	for _, n := range records {
		c, err := metadata.FromNode(n)
		if err != nil {
			return nil, fmt.Errorf("readMetadata of %s: invalid record: %s", typ, r.answer.Mask(err.Error()))
		}
		if c.FullName == "" {
			continue
		}
		if c.Type == "" {
			c.Type = typ
		}
		asked := slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, c.FullName) })
		if !asked || c.Type != typ {
			return nil, fmt.Errorf("readMetadata of %s: the org returned %s %s, which was not requested", typ, r.answer.Mask(c.Type), r.answer.Mask(c.FullName))
		}
		found = append(found, c)
	}
	// A missing record must not count as a component that does not exist: the caller creates
	// what does not exist, and creating replaces what does.
	if len(records) != len(names) {
		return nil, fmt.Errorf("readMetadata of %s: the org returned %d records for %d names", typ, len(records), len(names))
	}
	return found, nil
}

func readList(r *response) []FileProperties {
	var list []FileProperties
	for _, n := range r.named("result") {
		list = append(list, FileProperties{Type: text(n, "type"), FullName: text(n, "fullName")})
	}
	return list
}

// Bounds of an answer, besides those on its size and marks. Beyond them, the time that xmlquery
// takes grows with the square of the answer's size: minutes for 4 MiB.
const (
	maxInstructions = 200  // bytes up to the end of the last processing instruction
	maxAttribute    = 1000 // bytes of an attribute's name and value
	maxPieces       = 100  // texts, CDATA sections and comments between two tags
)

// element is an XML element of an answer. One that is missing has no name, no text and no children.
type element struct{ node *xmlquery.Node }

// parseDocument returns the document, whose only child is the root element. It refuses what is out
// of bounds or no SOAP message.
func parseDocument(data []byte) (element, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	d := xml.NewDecoder(bytes.NewReader(data))
	d.CharsetReader = charset.NewReaderLabel
	depth, roots, pieces, refused := 0, 0, 0, false
	for token, _ := d.RawToken(); token != nil; token, _ = d.RawToken() { // xmlquery repeats its error
		pieces++
		switch token := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth, pieces = depth+1, 0
			refused = slices.ContainsFunc(token.Attr, func(a xml.Attr) bool { return len(a.Name.Local)+len(a.Value) > maxAttribute })
		case xml.EndElement:
			depth, pieces = depth-1, 0
		case xml.CharData:
			refused = depth == 0 && len(bytes.TrimSpace(token)) > 0
		case xml.ProcInst:
			refused = d.InputOffset() > maxInstructions
		case xml.Directive:
			refused = true
		}
		if refused || roots > 1 || pieces > maxPieces {
			return element{}, errors.New("is out of bounds or no SOAP message")
		}
	}
	doc, err := xmlquery.Parse(bytes.NewReader(data))
	return element{doc}, err
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

// named returns the child elements with a local name, in any namespace.
func (e element) named(name string) []element {
	return slices.DeleteFunc(slices.Collect(e.Children()), func(c element) bool { return c.Name() != name })
}

// child returns the first child element with a local name.
func (e element) child(name string) element {
	return append(e.named(name), element{new(xmlquery.Node)})[0]
}
