package xmltree

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"unicode/utf16"
)

func parse(t *testing.T) *Node {
	t.Helper()
	data, err := os.ReadFile("testdata/component.xml")
	if err != nil {
		t.Fatal(err)
	}
	root, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestNode(t *testing.T) {
	t.Parallel()
	root := parse(t)
	if root.Name() != "Component" || root.Space() != "urn:a" || root.Line() != 4 {
		t.Errorf("the root is %s of %s on line %d", root.Name(), root.Space(), root.Line())
	}
	if got := root.Attr("urn:b", "type"); got != "x:T" {
		t.Errorf("the attribute is %q", got)
	}
	if root.Attr("urn:a", "type") != "" || root.Attr("urn:b", "nil") != "" {
		t.Error("an attribute is found under another name or namespace")
	}
	var names []string
	for c := range root.Children() {
		names = append(names, c.Name())
		if len(names) == 3 {
			break
		}
	}
	if got := strings.Join(names, " "); got != "label range range" {
		t.Errorf("the first children are %s", got)
	}
	if got := root.At("label").Text(); got != " a & <b> " {
		t.Errorf("the label is %q", got)
	}
	if got := root.Text(); strings.TrimSpace(got) != "" {
		t.Errorf("the root's own text is %q, want none of its children's", got)
	}
	if got := root.At("range.start").Text(); got != "1" {
		t.Errorf("the first range starts at %q", got)
	}
}

func TestAt(t *testing.T) {
	t.Parallel()
	root := parse(t)
	for path, line := range map[string]int{
		"label": 5, "range": 6, "range[0].start": 6, "range[1].start": 8, "range.start": 6,
		"range[1].missing": 7, // the deepest element on the path
		"range[7].start":   8, // the last one, if there are fewer
		"missing.start":    4,
	} {
		if got := root.At(path).Line(); got != line {
			t.Errorf("%s is on line %d, want %d", path, got, line)
		}
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		`<a xmlns="urn:a"/>`: "",
		"\xef\xbb\xbf<a/>":   "",
		"<?xml version='1.0' encoding='ISO-8859-1'?><a/>": "",
		"":                                      "has no XML element",
		"<!-- only -->":                         "has no XML element",
		"<a>":                                   "is not well-formed XML",
		"<a><b></a>":                            "is not well-formed XML",
		"<x:a/>":                                "the prefix x has no namespace",
		"<a><x:b xmlns:x=\"urn:x\"/><x:b/></a>": "the prefix x has no namespace",
		"<a/><b/>":                              "more than one root element",
		"<?xml?><a/><b/>":                       "more than one root element",
		"<a/>text":                              "text outside the root element",
		"<?xml?><a/>text":                       "text outside the root element",
		"<a/><![CDATA[text]]>":                  "text outside the root element",
		"<?pi x?><a/><!-- x -->":                "",
		"<?xml?>\n <a/> \n":                     "",
	} {
		root, err := Parse([]byte(document))
		switch {
		case want == "" && (err != nil || root.Name() != "a"):
			t.Errorf("%s gives %v", document, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s gives %v, want %q", document, err, want)
		}
	}
}

// TestUTF16 reads documents with and without a byte order mark, in both orders.
func TestUTF16(t *testing.T) {
	t.Parallel()
	const document = `<?xml version="1.0" encoding="UTF-16"?>` + "\n<a>Größe €</a>"
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, mark := range []string{"\ufeff", ""} {
			var data []byte
			for _, unit := range utf16.Encode([]rune(mark + document)) {
				data = order.AppendUint16(data, unit)
			}
			root, err := Parse(data)
			if err != nil || root.Text() != "Größe €" || root.Line() != 2 {
				t.Errorf("%v with the mark %q: %v, %v", order, mark, root, err)
			}
		}
	}
	if _, err := Parse([]byte("\xff\xfe")); err == nil {
		t.Error("an empty document is read")
	}
}
