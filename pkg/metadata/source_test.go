package metadata

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// schema is a table of some types for tests.
var schema = Schema{
	{Name: "ExternalClientApplication", Folder: "externalClientApps", Suffix: "eca", Fields: []FieldType{
		{Name: "distributionState", Kind: Enum, Values: []string{"Local", "Packaged"}}, {Name: "isProtected", Kind: Boolean}, {Name: "label"},
	}},
	{Name: "ExtlClntAppOauthConfigurablePolicies", Folder: "extlClntAppOauthPolicies", Suffix: "ecaOauthPlcy", Fields: []FieldType{{Name: "sessionTimeoutInMinutes", Kind: Int}}},
}

func header(body string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><ExternalClientApplication xmlns="` + Namespace + `">` + body + `</ExternalClientApplication>`
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{"externalClientApps/My.App.eca-meta.xml": {Data: []byte("\xef\xbb\xbf" + header(`<label>My <![CDATA[<App>]]> &amp; more</label><!-- note --><futureField>1</futureField>`))}}
	c, err := schema.ReadFile(fsys, "externalClientApps/My.App.eca-meta.xml")
	if err != nil {
		t.Fatal(err)
	}
	if c.Type != "ExternalClientApplication" || c.FullName != "My.App" || c.Text("label") != "My <App> & more" || c.Text("futureField") != "1" {
		t.Errorf("got %+v", c)
	}
}

// TestReadFileErrors checks that each error names the file, and the field where
// there is one, and says what is wrong.
func TestReadFileErrors(t *testing.T) {
	t.Parallel()
	policies := func(body string) string {
		return `<ExtlClntAppOauthConfigurablePolicies xmlns="` + Namespace + `">` + body + `</ExtlClntAppOauthConfigurablePolicies>`
	}
	for _, test := range []struct{ name, file, content, want string }{
		{"empty", "A.eca-meta.xml", "", "A.eca-meta.xml: is empty"},
		{"cut off", "A.eca-meta.xml", `<ExternalClientApplication xmlns="` + Namespace + `"><label>`, "A.eca-meta.xml: is not well-formed XML: XML syntax error on line 1"},
		{"no XML", "A.eca-meta.xml", "{}", "A.eca-meta.xml: "},
		{"two roots", "A.eca-meta.xml", header("") + `<a xmlns="` + Namespace + `"/>`, "more than one root element"},
		{"text behind the root", "A.eca-meta.xml", header("") + "rest", "text outside the root element"},
		{"other root", "A.eca-meta.xml", policies(""), "the root element is ExtlClntAppOauthConfigurablePolicies, but a .eca-meta.xml file holds ExternalClientApplication"},
		{"no namespace", "A.eca-meta.xml", "<ExternalClientApplication/>", "not in the namespace"},
		{"other name", "A.eca-meta.xml", header("<fullName>B</fullName>"), `fullName is "B"`},
		{"mixed content", "A.eca-meta.xml", header("<label>a<b/></label>"), "label mixes text and elements"},
		{"text for fields", "A.eca-meta.xml", header("oops"), "contains text instead of fields"},
		{"nested where text belongs", "A.eca-meta.xml", header("<label><b>x</b></label>"), "A.eca-meta.xml: label: must be a string, not nested elements"},
		{"boolean", "A.eca-meta.xml", header("<isProtected>yes</isProtected>"), `isProtected: "yes" is neither true nor false`},
		{"int", "A.ecaOauthPlcy-meta.xml", policies("<sessionTimeoutInMinutes>1.5</sessionTimeoutInMinutes>"), `sessionTimeoutInMinutes: "1.5" is not a whole number`},
		{"entity", "A.eca-meta.xml", `<!DOCTYPE x [<!ENTITY e "boom">]>` + header("<label>&e;</label>"), "is not well-formed XML"},
		{"too deep", "A.eca-meta.xml", header(strings.Repeat("<a>", 1000) + strings.Repeat("</a>", 1000)), "nested deeper than"},
		{"too many elements", "A.eca-meta.xml", header(strings.Repeat("<a/>", maxMarks)), "more than 50000 tags and attributes"},
		{"too large", "A.eca-meta.xml", header("<label>" + strings.Repeat("x", maxSource) + "</label>"), "larger than 4 MiB"},
		{"other file", "A.txt", "", "is not a source file of a known metadata type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := schema.ReadFile(fstest.MapFS{test.file: {Data: []byte(test.content)}}, test.file)
			if err == nil {
				if field, wrong := schema.Lookup(c.Type).CheckValues(c); wrong != nil {
					err = &SourceError{Path: test.file, Field: field, Err: wrong}
				}
			}
			var sourceErr *SourceError
			if !errors.As(err, &sourceErr) || sourceErr.Path != test.file || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("the message has more than one line: %v", err)
			}
		})
	}
	if _, err := schema.ReadFile(fstest.MapFS{}, "A.eca-meta.xml"); !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), "A.eca-meta.xml") != 1 {
		t.Errorf("a missing file gives %v", err)
	}
}

func TestOfFile(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"x/App.eca-meta.xml": "ExternalClientApplication App", "a.b.eca-meta.xml": "ExternalClientApplication a.b", "App.ecaOauthPlcy-meta.xml": "ExtlClntAppOauthConfigurablePolicies App",
		"App.eca": "", ".eca-meta.xml": "", "App.ECA-meta.xml": "", "App.ecaMobile-meta.xml": "", "-meta.xml": "", "eca-meta.xml": "",
	} {
		got := ""
		if typ, fullName := schema.OfFile(name); typ != nil {
			got = typ.Name + " " + fullName
		}
		if got != want {
			t.Errorf("%q holds %q, want %q", name, got, want)
		}
	}
}

// TestWriteSource writes components as sf does, so that they come back as they were.
func TestWriteSource(t *testing.T) {
	t.Parallel()
	c := &Component{Type: "ExtlClntAppOauthSettings", FullName: "not in the file", Fields: []Field{
		{Name: "trustedIpRanges", Fields: []Field{{Name: "startIpAddress", Text: "10.0.0.1"}, {Name: "endIpAddress", Text: "10.0.0.9"}}},
		{Name: "label", Text: "a & b\n<c>"},
		{Name: "commaSeparatedOauthScopes", Text: "Api"},
	}}
	var b bytes.Buffer
	if err := WriteSource(&b, c); err != nil {
		t.Fatal(err)
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>
<ExtlClntAppOauthSettings xmlns="http://soap.sforce.com/2006/04/metadata">
    <commaSeparatedOauthScopes>Api</commaSeparatedOauthScopes>
    <label>a &amp; b
&lt;c&gt;</label>
    <trustedIpRanges>
        <endIpAddress>10.0.0.9</endIpAddress>
        <startIpAddress>10.0.0.1</startIpAddress>
    </trustedIpRanges>
</ExtlClntAppOauthSettings>
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
	again, err := Parse(&b)
	if err != nil || again.Text("label") != c.Text("label") || again.Type != c.Type {
		t.Errorf("it comes back as %+v, %v", again, err)
	}
	if err := WriteSource(&b, &Component{Type: "T", Fields: []Field{{Name: "a", Text: "\x00"}}}); err == nil {
		t.Error("what XML cannot carry is written")
	}
}

// FuzzParse checks that no source file makes Parse panic, and that what it reads
// can be encoded and comes back as it was.
func FuzzParse(f *testing.F) {
	f.Add([]byte(header("<label>x</label>")))
	f.Add([]byte(header("<?pi a?><label><!-- c --><![CDATA[x]]></label>")))
	f.Add([]byte(`<?xml version="1.0"?><?x?><a:ExtlClntAppOauthSettings xmlns:a="` + Namespace + `"><a:trustedIpRanges><a:description/></a:trustedIpRanges></a:ExtlClntAppOauthSettings>`))
	if data, err := os.ReadFile("../../testdata/eca-definition/externalClientApps/ErpConnector.eca-meta.xml"); err == nil {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(bytes.NewReader(data))
		if err != nil {
			return
		}
		encoded, err := encode(t, c)
		if err != nil {
			return // names that XML allows and the platform does not use
		}
		var written bytes.Buffer
		if err := WriteSource(&written, c); err != nil {
			t.Fatal(err)
		}
		if reread, err := Parse(&written); err != nil {
			t.Errorf("%+v is written as %s, which gives %v", c, &written, err)
		} else if _, changes := schema.Lookup(c.Type).Overlay(reread, ByName(c.Fields)); len(changes) > 0 {
			t.Errorf("%+v is written as %s: %v", c, &written, changes)
		}
		again := decode(t, encoded)
		if _, changes := schema.Lookup(c.Type).Overlay(again, ByName(c.Fields)); len(changes) > 0 || again.FullName != c.FullName {
			t.Errorf("%+v came back as %+v", c, again)
		}
	})
}
