package metadata

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
)

// WriteSource writes a component as a source file in the Salesforce CLI's format: one element
// per line, in WSDL order, without fullName, which is in the file's name. If XML 1.0 cannot
// represent a text, it writes nothing and returns an error with the field's name.
func WriteSource(w io.Writer, c *Component) error {
	if err := c.Check(); err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n<" + c.Type + ` xmlns="` + Namespace + `">` + "\n")
	writeFields(&b, c.Fields, 1)
	b.WriteString("</" + c.Type + ">\n")
	_, err := w.Write(b.Bytes())
	return err
}

// lineBreaks undoes escapes that sf does not write. A carriage return stays escaped, because
// XML parsers would normalize it.
var lineBreaks = strings.NewReplacer("&#xA;", "\n", "&#x9;", "\t", "&#34;", `"`, "&#39;", "'")

func writeFields(b *bytes.Buffer, fields []Field, depth int) {
	indent := strings.Repeat("    ", depth)
	for _, f := range InOrder(fields) {
		b.WriteString(indent + "<" + f.Name + ">")
		if len(f.Fields) > 0 {
			b.WriteString("\n")
			writeFields(b, f.Fields, depth+1)
			b.WriteString(indent)
		} else {
			var text bytes.Buffer
			xml.EscapeText(&text, []byte(f.Text)) // a bytes.Buffer never fails
			b.WriteString(lineBreaks.Replace(text.String()))
		}
		b.WriteString("</" + f.Name + ">\n")
	}
}
