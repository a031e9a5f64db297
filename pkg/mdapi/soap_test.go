package mdapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/antchfx/xmlquery"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

func TestElement(t *testing.T) {
	t.Parallel()
	doc, err := parseDocument([]byte("\xef\xbb\xbf<?xml version='1.0' encoding='UTF-8'?>\n<!-- c --><a xmlns='urn:a' xmlns:b='urn:b' b:type='x:T' type='none'>" +
		"ü<b:c>no</b:c> &amp; <![CDATA[<d>]]><!-- e --><c>1</c><c>2</c></a>\n"))
	if err != nil {
		t.Fatal(err)
	}
	a := doc.child("a")
	if got := a.Attr("urn:b", "type"); got != "x:T" {
		t.Errorf("the attribute is %q", got)
	}
	if a.Attr("urn:a", "type") != "" || a.Attr("urn:b", "nil") != "" {
		t.Error("an attribute is found under another name or namespace")
	}
	if got := a.Text(); got != "ü & <d>" {
		t.Errorf("the text is %q", got)
	}
	var found []string
	for _, c := range a.named("c") {
		found = append(found, c.Name()+c.Text())
	}
	if !slices.Equal(found, []string{"cno", "c1", "c2"}) || a.child("c").Text() != "no" {
		t.Errorf("the children are %s, the first is %s", found, a.child("c").Text())
	}
	if doc, err := parseDocument([]byte("<?xml version='1.0' encoding='ISO-8859-1'?><a>\xfc</a>")); err != nil || doc.child("a").Text() != "ü" {
		t.Errorf("another character set gives %v, %v", doc, err)
	}
	missing := a.child("d").child("e")
	if missing.Name() != "" || missing.Text() != "" || missing.Attr("", "type") != "" {
		t.Error("a missing element has content")
	}
}

// TestDocumentsThatAreRefused checks each bound, on both sides. To xmlquery all of the documents
// are XML.
func TestDocumentsThatAreRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxAttribute)
	comments := func(n int) string { return "<a>" + strings.Repeat("<!-- -->", n) + "<b/><!-- --></a>" }
	sections := func(n int) string { return "<a><b/>" + strings.Repeat("<![CDATA[x]]>", n) + "</a>" }
	for document, refused := range map[string]bool{
		comments(maxPieces): false,
		sections(maxPieces): false,
		"<a>" + strings.Repeat("<b/>x", maxPieces+1) + "</a>":               false,
		"<a b='" + long[1:] + "'/>":                                         false,
		"<a>" + strings.Repeat(long, 100) + "</a>":                          false,
		comments(maxPieces + 1):                                             true,
		sections(maxPieces + 1):                                             true,
		"<a b='" + long + "'/>":                                             true,
		"<a xmlns='u' xmlns:" + long + "='u'/>":                             true,
		"<a><?xml version='1.0'?>" + strings.Repeat(" ", 200) + "<?b?></a>": true,
		"<?a " + strings.Repeat("b=c ", 50) + "?><a/>":                      true,
		strings.Repeat("<?xml encoding='latin1'?>", 9) + "<a/>":             true,
		"<!DOCTYPE a><a/>":                                                  true,
		"<a/><b/>":                                                          true,
		"b<a/>":                                                             true,
		"<a/>b":                                                             true,
		"<a/><![CDATA[b]]>":                                                 true,
	} {
		if _, err := parseDocument([]byte(document)); (err != nil) != refused {
			t.Errorf("%.300s gives %v", document, err)
		}
		if _, err := xmlquery.Parse(strings.NewReader(document)); err != nil {
			t.Errorf("xmlquery refuses %.300s, too: %v", document, err)
		}
	}
	for _, document := range []string{
		"", "<!-- only -->", "<a>", "</a>", "<a></b>", "<a><b></a></b>", "<x:a/>", "<a>&b;</a>", "<a>\xff</a>", "<a>\x00</a>",
		"<?xml version='1.0' encoding='unheard-of'?><a/>",
	} {
		if _, err := parseDocument([]byte(document)); err == nil {
			t.Errorf("%q is accepted", document)
		}
	}
}

// TestDeepAnswers checks that answers as deep as the bounds allow do not exhaust the stack, and
// that no record is read from them.
func TestDeepAnswers(t *testing.T) {
	t.Parallel()
	answer := func(depth int) *salesforce.Response {
		nested := strings.Repeat("<a>", depth) + strings.Repeat("</a>", depth)
		return &salesforce.Response{Body: fmt.Appendf(nil, "<Envelope><Body><readMetadataResponse><result><records><fullName>A</fullName>%s</records></result></readMetadataResponse></Body></Envelope>", nested)}
	}
	for _, depth := range []int{33, salesforce.MaxMarks/2 - 20} {
		r, err := parseAnswer(answer(depth), "readMetadata")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readRecords(r, "T", []string{"A"}); err == nil || !strings.Contains(err.Error(), "nested deeper than") {
			t.Errorf("%d elements deep gives %v", depth, err)
		}
	}
	if _, err := parseAnswer(answer(salesforce.MaxMarks/2), "readMetadata"); err == nil || !strings.Contains(err.Error(), "XML tags") {
		t.Errorf("too many tags give %v", err)
	}
}
