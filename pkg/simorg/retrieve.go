package simorg

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// retrieveSOAP answers retrieve. Like a deploy, it finishes at once, and the first poll returns
// the result.
func (o *Org) retrieveSOAP(c call) (string, error) {
	request := c.operation.child(metadata.Namespace, "retrieveRequest")
	if request == nil {
		request = c.operation.child(metadata.Namespace, "request") // as jsforce calls it
	}
	manifest := request.child(metadata.Namespace, "unpackaged")
	if manifest == nil {
		return "", badRequest("Required field is missing: unpackaged") // assumed wording
	}
	result := &retrieval{org: o, version: c.version}
	result.writer = zip.NewWriter(&result.zipped)
	for _, types := range manifest.children {
		if types.name.Local != "types" {
			continue
		}
		if err := result.addType(types); err != nil {
			return "", err
		}
	}
	list := `<Package xmlns="` + metadata.Namespace + `">` +
		result.found.String() + element("version", c.version.String()) + "</Package>\n"
	if err := errors.Join(result.addFile("package.xml", list), result.writer.Close()); err != nil {
		return "", err
	}
	id := o.nextID("09S")
	o.retrieves[id] = "<result>" + element("done", "true") + result.properties.String() + element("id", id) + result.messages.String() +
		element("status", "Succeeded") + element("success", "true") +
		element("zipFile", base64.StdEncoding.EncodeToString(result.zipped.Bytes())) + "</result>"
	return "<result>" + element("done", "false") + element("id", id) + element("state", "Queued") + "</result>", nil
}

// retrieval is the result of a retrieve while it grows.
type retrieval struct {
	org     *Org
	version apiversion.Version
	zipped  bytes.Buffer
	writer  *zip.Writer // into zipped

	found, properties, messages strings.Builder // XML: types of the manifest, fileProperties, messages
}

func (r *retrieval) addFile(name, content string) error {
	w, err := r.writer.Create("unpackaged/" + name)
	if err == nil {
		_, err = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+content)
	}
	return err
}

// addType adds the components that an element types of the manifest names. It skips unknown types.
func (r *retrieval) addType(types *node) error {
	typ := typeAt(types.value("name"), r.version)
	if typ == nil {
		return nil
	}
	r.found.WriteString("<types>")
	for _, member := range types.children {
		if member.name.Local != "members" {
			continue
		}
		for _, rec := range r.members(typ, strings.TrimSpace(member.text)) {
			if err := r.addComponent(typ, rec); err != nil {
				return err
			}
		}
	}
	r.found.WriteString(element("name", typ.Name) + "</types>")
	return nil
}

// members returns the component of a name, or all of a type for *.
func (r *retrieval) members(typ *metadata.Type, name string) []*record {
	if name == "*" {
		return r.org.all(typ.Name)
	}
	if rec := r.org.find(typ.Name, name); rec != nil {
		return []*record{rec}
	}
	r.messages.WriteString("<messages>" + element("fileName", "unpackaged/package.xml") +
		element("problem", fmt.Sprintf("Entity of type '%s' named '%s' cannot be found", typ.Name, name)) + "</messages>")
	return nil
}

func (r *retrieval) addComponent(typ *metadata.Type, rec *record) error {
	file := typ.Folder + "/" + rec.fullName + "." + typ.Suffix
	r.properties.WriteString("<fileProperties>" + element("fileName", "unpackaged/"+file) +
		element("fullName", rec.fullName) + element("id", rec.id) + element("type", typ.Name) + "</fileProperties>")
	r.found.WriteString(element("members", rec.fullName))
	return r.addFile(file, "<"+typ.Name+` xmlns="`+metadata.Namespace+`">`+
		r.org.encodeFields(rec, typ, r.version)+"</"+typ.Name+">\n")
}

// retrieveStatusSOAP answers checkRetrieveStatus. A result is given once.
func (o *Org) retrieveStatusSOAP(c call) (string, error) {
	id := c.operation.value("asyncProcessId")
	result := o.retrieves[id]
	if result == "" {
		return "", &soapError{"sf:INVALID_ID_FIELD", "INVALID_ID_FIELD: no retrieve with this ID"} // assumed wording
	}
	delete(o.retrieves, id)
	return result, nil
}
