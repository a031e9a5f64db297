package simorg

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

const (
	soapPath      = "/services/Soap/m/"
	soapNamespace = "http://schemas.xmlsoap.org/soap/envelope/"
)

// node is an XML element of a request.
type node struct {
	name     xml.Name
	attrs    []xml.Attr
	text     string
	gathered []byte // the text so far
	parent   *node
	children []*node
}

// Bounds of a request: nesting depth, and number of elements and attributes.
const (
	maxNesting  = 64
	maxElements = 100_000
)

// parseXML reads a document into nodes.
func parseXML(data []byte) (*node, error) {
	if bytes.Count(data, []byte("<")) > maxElements || bytes.Count(data, []byte("=")) > maxElements {
		return nil, errors.New("too many elements or attributes")
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	top := new(node)
	stack := []*node{top}
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		in := stack[len(stack)-1]
		switch t := token.(type) {
		case xml.StartElement:
			if len(stack) > maxNesting {
				return nil, errors.New("nested too deep")
			}
			n := &node{name: t.Name, attrs: slices.Clone(t.Attr), parent: in}
			in.children = append(in.children, n)
			stack = append(stack, n)
		case xml.EndElement:
			in.text, in.gathered = string(in.gathered), nil
			stack = stack[:len(stack)-1]
		case xml.CharData:
			in.gathered = append(in.gathered, t...)
		}
	}
	if len(top.children) != 1 {
		return nil, errors.New("not one root element")
	}
	return top.children[0], nil
}

func (n *node) child(space, local string) *node {
	if n == nil {
		return nil
	}
	for _, c := range n.children {
		if c.name.Local == local && c.name.Space == space {
			return c
		}
	}
	return nil
}

func (n *node) value(local string) string {
	if c := n.child(metadata.Namespace, local); c != nil {
		return strings.TrimSpace(c.text)
	}
	return ""
}

// xsiType returns the type in xsi:type, "" if it is not in the Metadata API's namespace.
func (n *node) xsiType() string {
	for _, a := range n.attrs {
		if a.Name.Space != metadata.InstanceNamespace || a.Name.Local != "type" {
			continue
		}
		prefix, local, found := strings.Cut(a.Value, ":")
		if !found {
			prefix, local = "", a.Value
		}
		if n.namespace(prefix) == metadata.Namespace {
			return local
		}
	}
	return ""
}

// namespace returns the namespace bound to a prefix at this element; "" is the default
// namespace.
func (n *node) namespace(prefix string) string {
	for ; n != nil; n = n.parent {
		for _, a := range n.attrs {
			if a.Name.Space == "xmlns" && a.Name.Local == prefix || prefix == "" && a.Name.Space == "" && a.Name.Local == "xmlns" {
				return a.Value
			}
		}
	}
	return ""
}

// call is one parsed SOAP call.
type call struct {
	session   string
	operation *node
	version   apiversion.Version
}

// parseCall parses a SOAP request.
func parseCall(path string, body []byte) (call, error) {
	version, err := apiversion.Parse(strings.Trim(strings.TrimPrefix(path, soapPath), "/"))
	if err != nil {
		return call{}, errors.New("UNSUPPORTED_API_VERSION: Invalid Api version specified on URL")
	}
	envelope, err := parseXML(body)
	if err != nil || envelope.name != (xml.Name{Space: soapNamespace, Local: "Envelope"}) {
		return call{}, badRequest("The request is not one SOAP envelope") // assumed wording
	}
	soapBody := envelope.child(soapNamespace, "Body")
	if soapBody == nil || len(soapBody.children) != 1 || soapBody.children[0].name.Space != metadata.Namespace {
		return call{}, badRequest("No operation available for request")
	}
	header := envelope.child(soapNamespace, "Header").child(metadata.Namespace, "SessionHeader")
	return call{header.value("sessionId"), soapBody.children[0], version}, nil
}

// describe returns the operation, type and components of a request, for its record.
func describe(path string, body []byte) (operation, typ string, fullNames []string) {
	if !strings.HasPrefix(path, soapPath) {
		return "", "", nil
	}
	c, err := parseCall(path, body)
	if err != nil {
		return "", "", nil
	}
	typ = c.operation.value("type")
	for _, n := range c.operation.children {
		switch n.name.Local {
		case "metadata":
			typ = n.xsiType()
			fullNames = append(fullNames, n.value("fullName"))
		case "fullNames":
			fullNames = append(fullNames, strings.TrimSpace(n.text))
		}
	}
	return c.operation.name.Local, typ, fullNames
}

// soapError is an error to send as a SOAP fault.
type soapError struct{ code, message string }

func (e *soapError) Error() string { return e.message }

// badRequest returns the fault for a request that violates the WSDL. Its code is assumed: known
// facts only say that such a request causes a fault.
func badRequest(format string, args ...any) error {
	return &soapError{"soapenv:Client", fmt.Sprintf(format, args...)}
}

func (o *Org) serveSOAP(w http.ResponseWriter, r *http.Request, body []byte, refuse string) {
	answer, err := o.soap(r, body, refuse)
	if err != nil {
		fault, ok := errors.AsType[*soapError](err)
		if !ok {
			fault = &soapError{"soapenv:Client", err.Error()}
		}
		writeFault(w, fault.code, fault.message)
		return
	}
	writeXML(w, http.StatusOK, answer)
}

// soap answers one call. It holds the org's lock.
func (o *Org) soap(r *http.Request, body []byte, refuse string) (string, error) {
	if r.Method != http.MethodPost {
		return "", badRequest("The HTTP method must be POST")
	}
	if _, ok := r.Header["Soapaction"]; !ok {
		return "", badRequest("SOAPAction HTTP header missing")
	}
	c, err := parseCall(r.URL.Path, body)
	if err != nil {
		return "", err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.version > o.config.Version {
		return "", &soapError{"sf:UNSUPPORTED_API_VERSION", "UNSUPPORTED_API_VERSION: Invalid Api version specified on URL"}
	}
	if refused := o.refuseSession(c.session, c.version); refused != nil {
		return "", refused
	}
	if err := o.refuseCall(c.session); err != nil {
		return "", err
	}
	name := c.operation.name.Local
	var content string
	switch name {
	case "createMetadata", "updateMetadata", "upsertMetadata":
		content, err = o.write(c, refuse)
	case "readMetadata":
		content, err = o.read(c)
	case "deleteMetadata":
		content, err = o.remove(c)
	case "listMetadata":
		content, err = o.list(c)
	case "describeMetadata":
		content = o.describeMetadata()
	case "deploy":
		content, err = o.deploySOAP(c)
	case "checkDeployStatus":
		content, err = o.deployStatusSOAP(c)
	case "retrieve":
		content, err = o.retrieveSOAP(c)
	case "checkRetrieveStatus":
		content, err = o.retrieveStatusSOAP(c)
	default:
		return "", badRequest("No operation available for request {%s}%s", metadata.Namespace, name)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`<%sResponse xmlns="%s">%s</%[1]sResponse>`, name, metadata.Namespace, content), nil
}

// write answers a call that writes components. If refusal is not "", the first component is
// refused with that code.
func (o *Org) write(c call, refusal string) (string, error) {
	var records []*record
	for _, n := range c.operation.children {
		if n.name.Local != "metadata" {
			return "", unexpected(n, c.operation.name.Local)
		}
		rec, err := o.decodeRecord(n, n.xsiType(), c.version)
		if err != nil {
			return "", err
		}
		records = append(records, rec)
	}
	if err := checkCount(len(records), 10); err != nil {
		return "", err
	}
	for _, rec := range records {
		if rec.typ != records[0].typ {
			return "", badRequest("All components of a call must be of one type") // assumed wording
		}
	}
	var b strings.Builder
	for i, rec := range records {
		existed := o.find(rec.typ, rec.fullName) != nil
		var err error
		switch name := c.operation.name.Local; {
		case i == 0 && refusal != "":
			code, message, _ := strings.Cut(refusal, ": ")
			err = refuse(code, "%s", cmp.Or(message, "injected"))
		case name == "createMetadata" && existed:
			err = refuse("DUPLICATE_DEVELOPER_NAME", "The object name you specified is already used: %s", rec.fullName)
		case name == "updateMetadata" && !existed:
			err = notFound(rec.typ, rec.fullName)
		default:
			if err = o.refuseWrite(c.session, rec.typ); err == nil {
				err = o.put(rec, c.version)
			}
		}
		created := ""
		if c.operation.name.Local == "upsertMetadata" {
			created = fmt.Sprintf("<created>%t</created>", err == nil && !existed)
		}
		b.WriteString("<result>" + created + result(rec.fullName, err) + "</result>")
	}
	return b.String(), nil
}

func checkCount(n, most int) error {
	if n == 0 {
		return badRequest("The request names nothing") // assumed wording
	}
	if n > most {
		return &soapError{"sf:LIMIT_EXCEEDED", fmt.Sprintf("LIMIT_EXCEEDED: No more than %d components are allowed in a call", most)} // assumed wording
	}
	return nil
}

// result encodes the common part of SaveResult, UpsertResult and DeleteResult.
func result(fullName string, err error) string {
	failure := ""
	if f, ok := errors.AsType[*failed](err); ok {
		failure = "<errors>" + element("message", f.message) + element("statusCode", f.code) + "</errors>"
	}
	return failure + element("fullName", fullName) + element("success", fmt.Sprint(err == nil))
}

// absentSettings are settings types that real orgs have and that this one lacks.
var absentSettings = []string{"EventSettings", "MyDomainSettings", "SecuritySettings"}

// readAbsent answers readMetadata of a settings type that the org lacks.
func (o *Org) readAbsent(typ string, names []string) (string, error) {
	if o.is("settings-absent", "fault") {
		return "", unknownType(typ)
	}
	var b strings.Builder
	for _, name := range names {
		b.WriteString(`<records xsi:type="` + typ + `">` + element("fullName", name) + "</records>")
	}
	return b.String(), nil
}

func (o *Org) read(c call) (string, error) {
	if name := c.operation.value("type"); slices.Contains(absentSettings, name) {
		records, err := o.readAbsent(name, []string{c.operation.value("fullNames")})
		return "<result>" + records + "</result>", err
	}
	typ, names, err := namesOf(c)
	if err != nil {
		return "", err
	}
	if err := o.refuseRead(c.session, typ.Name); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("<result>")
	for _, name := range names {
		rec := o.find(typ.Name, name)
		switch {
		case rec == nil:
			b.WriteString(`<records xsi:nil="true"/>`)
		case typ == connectedAppType && slices.Contains(o.config.UnreadableApps, rec.fullName):
			if len(names) == 1 || o.is("unreadable-app-spoils-batch", "yes") {
				return "", &soapError{"sf:UNKNOWN_EXCEPTION", "UNKNOWN_EXCEPTION: Load of metadata from db failed"} // the code is assumed
			}
			b.WriteString(`<records xsi:nil="true"/>`) // assumed
		case slices.Contains(o.config.WithoutObjects, typ.Name): // which only the settings of the org are
			record, err := o.readAbsent(typ.Name, []string{name})
			if err != nil {
				return "", err
			}
			b.WriteString(record)
		default:
			b.WriteString(o.encode(rec, typ, c.version))
		}
	}
	return b.String() + "</result>", nil
}

func (o *Org) remove(c call) (string, error) {
	typ, names, err := namesOf(c)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range names {
		err := o.refuseWrite(c.session, typ.Name)
		if err == nil {
			err = o.delete(typ.Name, name)
		}
		b.WriteString("<result>" + result(name, err) + "</result>")
	}
	return b.String(), nil
}

// namesOf reads the arguments of readMetadata and deleteMetadata.
func namesOf(c call) (*metadata.Type, []string, error) {
	var names []string
	for i, n := range c.operation.children {
		switch {
		case i == 0 && n.name.Local == "type":
		case i > 0 && n.name.Local == "fullNames":
			names = append(names, strings.TrimSpace(n.text))
		default:
			return nil, nil, unexpected(n, c.operation.name.Local)
		}
	}
	typ := typeAt(c.operation.value("type"), c.version)
	if typ == nil {
		return nil, nil, unknownType(c.operation.value("type"))
	}
	return typ, names, checkCount(len(names), 10)
}

func (o *Org) list(c call) (string, error) {
	var b strings.Builder
	queries, asOf := 0, false
	for _, n := range c.operation.children {
		switch n.name.Local {
		case "queries":
			queries++
			if n.value("type") == certificateType {
				b.WriteString(o.listCertificates())
				continue
			}
			typ := typeAt(n.value("type"), c.version)
			if typ == nil {
				return "", unknownType(n.value("type"))
			}
			if err := o.refuseRead(c.session, typ.Name); err != nil {
				return "", err
			}
			if eca.Lookup(typ.Name) == nil || o.is("components-listed", "listed") {
				b.WriteString(o.listType(typ))
			}
		case "asOfVersion":
			asOf = true
		default:
			return "", unexpected(n, "listMetadata")
		}
	}
	if !asOf {
		return "", badRequest("Required field is missing: asOfVersion") // assumed wording
	}
	return b.String(), checkCount(queries, 3)
}

func (o *Org) listType(typ *metadata.Type) string {
	var b strings.Builder
	for _, rec := range o.all(typ.Name) {
		b.WriteString(listed(typ.Name, typ.Folder+"/"+rec.fullName+"."+typ.Suffix, rec.fullName, rec.id))
	}
	return b.String()
}

// listed returns a component as listMetadata answers it.
func listed(typ, file, fullName, id string) string {
	return "<result>" +
		element("createdById", "005000000000001AAA") + element("createdByName", "Admin") + element("createdDate", "2026-01-01T00:00:00.000Z") +
		element("fileName", file) + element("fullName", fullName) + element("id", id) +
		element("lastModifiedById", "005000000000001AAA") + element("lastModifiedByName", "Admin") + element("lastModifiedDate", "2026-01-01T00:00:00.000Z") +
		element("type", typ) + "</result>"
}

// certificateType is the type of the org's own certificates, of which this org has names alone.
const certificateType = "Certificate"

func (o *Org) listCertificates() string {
	var b strings.Builder
	for i, name := range o.config.Certificates {
		b.WriteString(listed(certificateType, "certs/"+name+".crt", name, fmt.Sprintf("0P1%012dAAA", i)))
	}
	return b.String()
}

func (o *Org) describeMetadata() string {
	var b strings.Builder
	b.WriteString("<result>")
	for _, typ := range types() {
		b.WriteString("<metadataObjects>" + element("directoryName", typ.Folder) + element("inFolder", "false") + element("metaFile", "false") +
			element("suffix", typ.Suffix) + element("xmlName", typ.Name) + "</metadataObjects>")
	}
	return b.String() + element("organizationNamespace", "") + element("partialSaveAllowed", "true") + element("testRequired", "false") + "</result>"
}

func unexpected(n *node, in string) error {
	return badRequest("Element {%s}%s invalid at this location in type %s", n.name.Space, n.name.Local, in)
}

func unknownType(name string) error {
	return &soapError{"sf:INVALID_TYPE", fmt.Sprintf("INVALID_TYPE: This type of metadata is not available for this organization: %s", name)} // assumed wording
}

// element encodes an element with text.
func element(name, text string) string {
	var b strings.Builder
	b.WriteString("<" + name + ">")
	xml.EscapeText(&b, []byte(text))
	b.WriteString("</" + name + ">")
	return b.String()
}

func writeFault(w http.ResponseWriter, code, message string) {
	writeXML(w, http.StatusInternalServerError, `<soapenv:Fault>`+element("faultcode", code)+element("faultstring", message)+`</soapenv:Fault>`)
}

func writeXML(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="%s" xmlns:sf="http://soap.sforce.com/2006/08/fault" xmlns:xsi="%s"><soapenv:Body>%s</soapenv:Body></soapenv:Envelope>`,
		soapNamespace, metadata.InstanceNamespace, body)
}
