package mdapi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/xmltree"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

const soapNamespace = "http://schemas.xmlsoap.org/soap/envelope/"

// element is a node of an answer.
type element = xmltree.Node

// encodeEnvelope writes a SOAP 1.1 request.
func encodeEnvelope(token salesforce.Secret, operation string, body func(*encoder)) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := &encoder{xml: xml.NewEncoder(&b)}
	e.open("env:Envelope", "xmlns:env", soapNamespace, "xmlns:xsi", metadata.InstanceNamespace)
	e.open("env:Header")
	e.open("SessionHeader", "xmlns", metadata.Namespace)
	e.value("sessionId", token.Reveal())
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

// encoder writes elements. After its first error it writes nothing.
type encoder struct {
	xml  *xml.Encoder
	err  error
	path []xml.StartElement
}

// open begins an element with attributes, given as names and values in turn.
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

// close ends the element that was opened last.
func (e *encoder) close() {
	last := len(e.path) - 1
	if e.err == nil {
		e.err = e.xml.EncodeToken(e.path[last].End())
	}
	e.path = e.path[:last]
}

// value writes an element with what encoding/xml makes of a value.
func (e *encoder) value(name string, value any) {
	if e.err == nil {
		e.err = e.xml.EncodeElement(value, xml.StartElement{Name: xml.Name{Local: name}})
	}
}

// names writes what readMetadata and deleteMetadata ask for.
func (e *encoder) names(typ string, fullNames []string) {
	e.value("type", typ)
	for _, name := range fullNames {
		e.value("fullNames", name)
	}
}

// response is the element OPERATIONResponse of an answer.
type response struct {
	*element
	answer *salesforce.Response
}

// parseAnswer returns the response in a SOAP answer, or the fault that stands in
// its place as a *salesforce.Error.
func parseAnswer(answer *salesforce.Response, operation string) (*response, error) {
	if err := answer.CheckMarks("<=", "XML tags and attributes"); err != nil {
		return nil, err
	}
	envelope, err := xmltree.Parse(answer.Body)
	if err != nil {
		return nil, errors.New("the answer is not XML")
	}
	body := envelope.Child("Body")
	if envelope.Name() != "Envelope" || body == nil {
		return nil, errors.New("the answer is not a SOAP envelope")
	}
	if f := body.Child("Fault"); f != nil {
		return nil, readFault(f, answer)
	}
	if n := body.Child(operation + "Response"); n != nil {
		return &response{n, answer}, nil
	}
	return nil, fmt.Errorf("the SOAP answer holds no %sResponse", operation)
}

// readFault reads a fault as SOAP 1.1 writes it, which the platform does, or as
// SOAP 1.2 does. The platform may repeat its code in the detail.
func readFault(f *element, answer *salesforce.Response) *salesforce.Error {
	fault := &salesforce.Error{Code: text(f, "faultcode"), Message: text(f, "faultstring")}
	if fault.Code == "" {
		fault.Code = text(f.Child("Code"), "Value")
	}
	if fault.Message == "" {
		fault.Message = text(f.Child("Reason"), "Text")
	}
	if detail := f.Child("detail"); detail != nil {
		for n := range detail.Children() {
			if code := text(n, "exceptionCode"); code != "" {
				fault.Code = code
			}
			if message := text(n, "exceptionMessage"); message != "" && fault.Message == "" {
				fault.Message = message
			}
		}
	}
	fault.Code = answer.Mask(fault.Code[strings.LastIndexByte(fault.Code, ':')+1:])
	fault.Message = answer.Mask(fault.Message)
	if fault.Message == "" {
		fault.Message = "a SOAP fault without a message"
	}
	return fault
}

// text returns the text of a child element, "" where there is none.
func text(parent *element, name string) string { return strings.TrimSpace(parent.Child(name).Text()) }

// readResults reads the results of upsertMetadata or deleteMetadata, which stand
// in the order of the names asked for.
func readResults(r *response, typ string, names []string) ([]Result, error) {
	nodes := slices.Collect(r.element.Named("result"))
	if len(nodes) != len(names) {
		return nil, fmt.Errorf("the org answered %d results for %d components of %s", len(nodes), len(names), typ)
	}
	var results []Result
	for i, n := range nodes {
		// Whether a refused component's name comes back is not sure; where one does,
		// it is the one asked for.
		if name := text(n, "fullName"); name != "" && !strings.EqualFold(name, names[i]) {
			return nil, fmt.Errorf("the org answered a result for %s %s in the place of %s", typ, r.answer.Mask(name), names[i])
		}
		result := Result{Type: typ, FullName: names[i], Success: isTrue(n, "success"), Created: isTrue(n, "created")}
		for e := range n.Named("errors") {
			result.Errors = append(result.Errors, &ComponentError{
				Type: typ, FullName: names[i],
				Code: r.answer.Mask(text(e, "statusCode")), Message: r.answer.Mask(text(e, "message")),
			})
		}
		if !result.Success && len(result.Errors) == 0 {
			result.Errors = []*ComponentError{{Type: typ, FullName: names[i], Message: "the org reports failure and no reason"}}
		}
		results = append(results, result)
	}
	return results, nil
}

func isTrue(n *element, name string) bool {
	t := text(n, name)
	return t == "true" || t == "1"
}

// readRecords reads the records of readMetadata, of which there is one for each
// name. A name that does not exist comes back as a record that is nil or has no
// name.
func readRecords(r *response, typ string, names []string) ([]*metadata.Component, error) {
	var found []*metadata.Component
	records := 0
	for n := range r.element.Child("result").Named("records") {
		records++
		c, err := metadata.FromNode(n)
		if err != nil {
			return nil, fmt.Errorf("readMetadata of %s: a record %s", typ, r.answer.Mask(err.Error()))
		}
		if c.FullName == "" {
			continue
		}
		if c.Type == "" {
			c.Type = typ
		}
		asked := slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, c.FullName) })
		if !asked || c.Type != typ {
			return nil, fmt.Errorf("readMetadata of %s: the org answered %s %s, which was not asked for", typ, r.answer.Mask(c.Type), r.answer.Mask(c.FullName))
		}
		found = append(found, c)
	}
	// A record that is missing must not count as one that does not exist: what
	// does not exist is created, and creating replaces what is there.
	if records != len(names) {
		return nil, fmt.Errorf("readMetadata of %s: the org answered %d records for %d names", typ, records, len(names))
	}
	return found, nil
}

func readList(r *response) []FileProperties {
	var list []FileProperties
	for n := range r.element.Named("result") {
		list = append(list, FileProperties{Type: text(n, "type"), FullName: text(n, "fullName")})
	}
	return list
}
