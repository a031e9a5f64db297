package metadata

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
)

// RemoveFields returns the content of a source file without the fields of some names, and the names of those
// that it had. Nested fields stay. Everything else stays byte for byte, but for the lines that held nothing
// else.
func RemoveFields(data []byte, names ...string) (content []byte, removed []string, err error) {
	const mark = "\xef\xbb\xbf"
	body, marked := bytes.CutPrefix(data, []byte(mark))
	d := xml.NewDecoder(bytes.NewReader(body))
	depth, from, name := 0, -1, ""
	kept := 0 // the end of what is in content already
	if marked {
		content = []byte(mark)
	}
	for {
		before := int(d.InputOffset())
		token, err := d.RawToken()
		if err == io.EOF && depth == 0 {
			return append(content, body[kept:]...), removed, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("is not well-formed XML: %w", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth++; depth == 2 && slices.Contains(names, token.Name.Local) {
				from, name = before, token.Name.Local
			}
		case xml.EndElement:
			if depth--; depth == 1 && from >= 0 {
				start, end := wholeLine(body, from, int(d.InputOffset()))
				content = append(content, body[kept:start]...)
				removed, kept, from = append(removed, name), end, -1
			}
		}
	}
}

// wholeLine extends a range to its lines, with their end, if they hold nothing else.
func wholeLine(data []byte, from, to int) (start, end int) {
	start = bytes.LastIndexByte(data[:from], '\n') + 1
	end = to + bytes.IndexByte(data[to:], '\n') + 1
	if end == to || len(bytes.TrimSpace(data[start:from]))+len(bytes.TrimSpace(data[to:end])) > 0 {
		return from, to
	}
	return start, end
}
