package metadata

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
)

// WriteSource writes a component as the Salesforce CLI keeps it in a source file: one element
// a line, in WSDL order, without fullName, which the file's name tells. Text that XML 1.0
// cannot carry is an error that names the field; nothing has been written then.
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

// lineBreaks are written as they are where source has them, as sf does; a carriage return
// would not survive a parser otherwise.
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
			xml.EscapeText(&text, []byte(f.Text)) // a bytes.Buffer takes everything
			b.WriteString(lineBreaks.Replace(text.String()))
		}
		b.WriteString("</" + f.Name + ">\n")
	}
}
