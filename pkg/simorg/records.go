package simorg

import (
	"cmp"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// record is a component in the org.
type record struct {
	typ, fullName string
	id            string
	fields        []value
	secret        string // the consumer secret, of global settings
}

// value is one field of a record.
type value struct {
	Name   string  `json:"name"`
	Text   string  `json:"text,omitempty"`
	Nested []value `json:"nested,omitempty"`
}

// text returns the text of a field, "" if there is no such field or no record.
func (r *record) text(name string) string {
	if r == nil {
		return ""
	}
	for _, v := range r.fields {
		if v.Name == name {
			return v.Text
		}
	}
	return ""
}

// at returns the text of a field of the structure, or "".
func (v value) at(name string) string { return (&record{fields: v.Nested}).text(name) }

func (r *record) isTrue(name string) bool { return r.text(name) == "true" }

func (r *record) set(name, text string) {
	for i := range r.fields {
		if r.fields[i].Name == name {
			r.fields[i].Text = text
			return
		}
	}
	r.fields = append(r.fields, value{Name: name, Text: text})
}

// drop removes a field.
func (r *record) drop(name string) {
	r.fields = slices.DeleteFunc(r.fields, func(v value) bool { return v.Name == name })
}

func (r *record) app() string {
	if r.typ == eca.Header {
		return r.fullName
	}
	return r.text("externalClientApplication")
}

// find returns a record by its name. Salesforce names are case-insensitive.
func (o *Org) find(typ, fullName string) *record { return o.records[typ][strings.ToLower(fullName)] }

// all returns the records of a type, by name.
func (o *Org) all(typ string) []*record {
	return slices.SortedFunc(maps.Values(o.records[typ]), func(a, b *record) int { return cmp.Compare(a.fullName, b.fullName) })
}

// of returns an app's record of a type, or nil.
func (o *Org) of(typ, app string) *record {
	for _, rec := range o.all(typ) {
		if strings.EqualFold(rec.app(), app) {
			return rec
		}
	}
	return nil
}

func (o *Org) store(rec *record) {
	if o.records[rec.typ] == nil {
		o.records[rec.typ] = make(map[string]*record)
	}
	if rec.id == "" {
		rec.id = o.nextID(cmp.Or(idPrefix[rec.typ], "000"))
	}
	o.records[rec.typ][strings.ToLower(rec.fullName)] = rec
}

// decodeRecord reads a component as strictly as the platform: elements in WSDL order, known to
// the API version, with values of the right kind.
func (o *Org) decodeRecord(n *node, typeName string, version apiversion.Version) (*record, error) {
	typ := typeAt(typeName, version)
	if typ == nil {
		return nil, unknownType(typeName)
	}
	rec := &record{typ: typ.Name}
	if typ == connectedAppType {
		rec.fullName, rec.fields = n.value("fullName"), plainValues(n)
		return rec, nil
	}
	children := n.children
	if len(children) > 0 && children[0].name == (xml.Name{Space: metadata.Namespace, Local: "fullName"}) {
		if nested := children[0].children; len(nested) > 0 {
			return nil, unexpected(nested[0], "fullName")
		}
		rec.fullName = strings.TrimSpace(children[0].text)
		children = children[1:]
	}
	if strings.TrimSpace(n.text) != "" {
		return nil, badRequest("Unexpected character data in %s", typ.Name) // assumed wording
	}
	var err error
	rec.fields, err = o.decodeFields(children, typ.Name, typ.Fields, version)
	return rec, err
}

// decodeFields reads the elements in a structure, in WSDL order.
func (o *Org) decodeFields(nodes []*node, in string, types []metadata.FieldType, version apiversion.Version) ([]value, error) {
	var values []value
	at := 0 // index of the first field that may come next
	for _, n := range nodes {
		i := slices.IndexFunc(types, func(ft metadata.FieldType) bool { return ft.Name == n.name.Local })
		if i < at || n.name.Space != metadata.Namespace || !o.hasField(in, types[i].Name, version) {
			return nil, unexpected(n, in)
		}
		at = i + 1
		if types[i].Repeated || o.is("repeated-element", "accepted") {
			at = i
		}
		v, err := o.decodeField(n, types[i], version)
		if err != nil {
			return nil, err
		}
		if last := len(values) - 1; last >= 0 && values[last].Name == v.Name && !types[i].Repeated {
			values = values[:last] // that the last one counts is assumed
		}
		values = append(values, v)
	}
	return values, nil
}

func (o *Org) decodeField(n *node, ft metadata.FieldType, version apiversion.Version) (v value, err error) {
	v.Name = ft.Name
	if ft.Kind != metadata.Struct {
		if len(n.children) > 0 {
			return v, unexpected(n.children[0], ft.Name)
		}
		v.Text = n.text
		return v, normalize(&v, ft)
	}
	if v.Nested, err = o.decodeFields(n.children, ft.Name, ft.Fields, version); err != nil {
		return v, err
	}
	for _, nt := range ft.Fields {
		if nt.Required && !slices.ContainsFunc(v.Nested, func(v value) bool { return v.Name == nt.Name }) {
			return v, badRequest("Required field is missing: %s.%s", ft.Name, nt.Name) // assumed wording
		}
	}
	return v, nil
}

// normalize checks the text of a simple field and converts it to the org's form.
func normalize(v *value, ft metadata.FieldType) error {
	text := strings.TrimSpace(v.Text)
	switch ft.Kind {
	case metadata.Boolean:
		switch text {
		case "true", "1":
			v.Text = "true"
		case "false", "0":
			v.Text = "false"
		default:
			return badRequest("'%s' is not a valid value for the type xsd:boolean", text) // assumed wording
		}
	case metadata.Int:
		number, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return badRequest("'%s' is not a valid value for the type xsd:int", text) // assumed wording
		}
		v.Text = strconv.FormatInt(number, 10)
	case metadata.Enum:
		if !slices.Contains(ft.Values, text) {
			return badRequest("'%s' is not a valid value for the enum '%s'", text, ft.EnumName)
		}
		v.Text = text
	}
	return nil
}

// encode encodes a record as readMetadata returns it.
func (o *Org) encode(rec *record, typ *metadata.Type, version apiversion.Version) string {
	return `<records xsi:type="` + typ.Name + `">` + element("fullName", rec.fullName) + o.encodeFields(rec, typ, version) + "</records>"
}

func (o *Org) encodeFields(rec *record, typ *metadata.Type, version apiversion.Version) string {
	var b strings.Builder
	if typ == connectedAppType {
		for _, v := range rec.fields {
			b.WriteString(encodeValue(v))
		}
	}
	for _, ft := range typ.Fields {
		if !o.hasField(typ.Name, ft.Name, version) || ft.Secret || ft.Withheld && o.is("certificate-shown", "withheld") {
			continue
		}
		for _, v := range rec.fields {
			if v.Name != ft.Name {
				continue
			}
			if ft.PEM {
				v.Text = certificateIn(o.config.Facts.Of("certificate-form"), v.Text)
			}
			b.WriteString(encodeValue(v))
		}
	}
	return b.String()
}

// certificateIn converts a certificate to an answer to certificate-form. Other text stays as it is.
func certificateIn(form, text string) string {
	der := metadata.CertificateDER(text)
	if _, err := x509.ParseCertificate(der); err != nil {
		return text
	}
	switch whole := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}); form {
	case "pem":
		return string(whole)
	case "body": // the base64 between the lines of PEM
		return base64.StdEncoding.EncodeToString(der)
	case "base64": // of the whole PEM
		return base64.StdEncoding.EncodeToString(whole)
	}
	return text
}

func encodeValue(v value) string {
	if v.Nested == nil {
		return element(v.Name, v.Text)
	}
	var b strings.Builder
	for _, nested := range v.Nested {
		b.WriteString(encodeValue(nested))
	}
	return "<" + v.Name + ">" + b.String() + "</" + v.Name + ">"
}
