package mdapi

import (
	"bytes"
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
	for c := range a.named("c") {
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

// TestParserRefuses checks each kind of document that is refused. Those with a reason of
// checkDocument are XML for xmlquery: without the check they would pass.
func TestParserRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxAttribute)
	comments := func(n int) string { return "<a>" + strings.Repeat("<!-- -->", n) + "<b/><!-- --></a>" }
	sections := func(n int) string { return "<a><b/>" + strings.Repeat("<![CDATA[x]]>", n) + "</a>" }
	for _, test := range []struct{ document, want string }{
		{comments(maxPieces), ""},
		{sections(maxPieces), ""},
		{"<a>" + strings.Repeat("<b/>x", maxPieces+1) + "</a>", ""},
		{"<a b='" + long[1:] + "'/>", ""},
		{"<a>" + strings.Repeat(long, 100) + "</a>", ""},
		{comments(maxPieces + 1), "comments and CDATA"},
		{sections(maxPieces + 1), "comments and CDATA"},
		{"<a b='" + long + "'/>", "a long attribute"},
		{"<a xmlns='u' xmlns:" + long + "='u'/>", "a long attribute"},
		{"<a><?xml version='1.0'?>" + strings.Repeat(" ", 200) + "<?b?></a>", "a processing instruction"},
		{"<?a " + strings.Repeat("b=c ", 50) + "?><a/>", "a processing instruction"},
		{strings.Repeat("<?xml encoding='latin1'?>", 9) + "<a/>", "a processing instruction"},
		{"<!DOCTYPE a><a/>", "a document type declaration"},
		{"<a/><b/>", "more than one root element"},
		{"b<a/>", "text outside"},
		{"<a/>b", "text outside"},
		{"<a/><![CDATA[b]]>", "text outside"},
	} {
		_, err := parseDocument([]byte(test.document))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%.300s gives %v, want %q", test.document, err, test.want)
		}
		if _, err := xmlquery.Parse(bytes.NewReader([]byte(test.document))); err != nil {
			t.Errorf("%.300s is refused by xmlquery too: %v", test.document, err)
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
