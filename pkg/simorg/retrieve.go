package simorg

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// retrieveSOAP answers retrieve. Like a deploy, it finishes at once, and the first poll returns
// the result.
func (o *Org) retrieveSOAP(c call) (string, error) {
	request := c.operation.child(metadata.Namespace, "retrieveRequest")
	if request == nil {
		request = c.operation.child(metadata.Namespace, "request") // as jsforce calls it
	}
	var manifest *node
	if request != nil {
		manifest = request.child(metadata.Namespace, "unpackaged")
	}
	if manifest == nil {
		return "", badRequest("Required field is missing: unpackaged") // assumed wording
	}
	var zipped, properties, messages bytes.Buffer
	writer := zip.NewWriter(&zipped)
	add := func(name, content string) error {
		w, err := writer.Create("unpackaged/" + name)
		if err == nil {
			_, err = w.Write([]byte(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + content))
		}
		return err
	}
	var found strings.Builder
	for _, types := range manifest.children {
		name := types.value("name")
		typ := typeAt(name, c.version)
		if types.name.Local != "types" || typ == nil {
			continue
		}
		found.WriteString("<types>")
		for _, member := range types.children {
			if member.name.Local != "members" {
				continue
			}
			wanted, all := strings.TrimSpace(member.text), []*record(nil)
			if wanted == "*" {
				all = o.all(typ.Name)
			} else if rec := o.find(typ.Name, wanted); rec != nil {
				all = append(all, rec)
			} else {
				messages.WriteString("<messages>" + element("fileName", "unpackaged/package.xml") + element("problem", fmt.Sprintf("Entity of type '%s' named '%s' cannot be found", name, wanted)) + "</messages>")
			}
			for _, rec := range all {
				file := typ.Folder + "/" + rec.fullName + "." + typ.Suffix
				content := "<" + typ.Name + ` xmlns="` + metadata.Namespace + `">` + o.encodeFields(rec, typ, c.version) + "</" + typ.Name + ">\n"
				if err := add(file, content); err != nil {
					return "", err
				}
				properties.WriteString("<fileProperties>" + element("fileName", "unpackaged/"+file) + element("fullName", rec.fullName) + element("id", rec.id) + element("type", typ.Name) + "</fileProperties>")
				found.WriteString(element("members", rec.fullName))
			}
		}
		found.WriteString(element("name", name) + "</types>")
	}
	if err := add("package.xml", `<Package xmlns="`+metadata.Namespace+`">`+found.String()+element("version", c.version.String())+"</Package>\n"); err != nil {
		return "", err
	}
	if err := writer.Close(); err != nil {
		return "", err
	}
	id := o.nextID("09S")
	o.retrieves[id] = "<result>" + element("done", "true") + properties.String() + element("id", id) + messages.String() +
		element("status", "Succeeded") + element("success", "true") + element("zipFile", base64.StdEncoding.EncodeToString(zipped.Bytes())) + "</result>"
	return "<result>" + element("done", "false") + element("id", id) + element("state", "Queued") + "</result>", nil
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
