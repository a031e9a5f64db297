package metadata

import (
	"bytes"
	"encoding/xml"
	"reflect"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/internal/xmltree"
)

// encode writes a component as it stands in a SOAP request, inside an element
// that brings the namespaces.
func encode(t testing.TB, c *Component) (string, error) {
	t.Helper()
	var b bytes.Buffer
	e := xml.NewEncoder(&b)
	err := e.EncodeElement(c, xml.StartElement{Name: xml.Name{Local: "metadata"}})
	if err == nil {
		err = e.Close()
	}
	return b.String(), err
}

// decode reads what encode wrote.
func decode(t testing.TB, text string) *Component {
	t.Helper()
	root, err := xmltree.Parse([]byte(`<r xmlns="` + Namespace + `" xmlns:xsi="` + InstanceNamespace + `">` + text + `</r>`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := FromNode(root.At("metadata"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEncodingIsInWSDLOrder(t *testing.T) {
	t.Parallel()
	c := &Component{Type: "ExtlClntAppGlobalOauthSettings", FullName: "App_glbloauth", Fields: []Field{
		{Name: "label", Text: "App"},
		{Name: "unknownField", Text: "kept"},
		{Name: "callbackUrl", Text: "https://a.example.com"},
		{Name: "externalClientApplication", Text: "App"},
		{Name: "isDeviceFlowEnabled", Text: "true"},
		{Name: "isDPopEnabled", Text: "true"}, // by bytes, upper case comes first
	}}
	got, err := encode(t, c)
	if err != nil {
		t.Fatal(err)
	}
	want := `<metadata xsi:type="ExtlClntAppGlobalOauthSettings"><fullName>App_glbloauth</fullName>` +
		`<callbackUrl>https://a.example.com</callbackUrl><externalClientApplication>App</externalClientApplication>` +
		`<isDPopEnabled>true</isDPopEnabled><isDeviceFlowEnabled>true</isDeviceFlowEnabled>` +
		`<label>App</label><unknownField>kept</unknownField></metadata>`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEveryTextSurvivesEncoding(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "plain", "a & b", "<tag>", "]]>", "\"quoted\" 'single'", "two\nlines", "tab\there", "carriage\rreturn", "crlf\r\nhere",
		"  leading and trailing  ", "Grüße, 世界 🌍", "\u0085 and \u2028", "&amp; stays", "\uFFFD",
	} {
		c := &Component{Type: "ExtlClntAppOauthSettings", FullName: "App", Fields: []Field{{Name: "label", Text: text}}}
		encoded, err := encode(t, c)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := decode(t, encoded).Text("label"); got != text {
			t.Errorf("%q came back as %q by way of %s", text, got, encoded)
		}
	}
}

func TestWhatXMLCannotCarryIsAnError(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"\x00", "a\x01b", "\x1b[31m", "\ufffe", "\xff\xfe", "\xed\xa0\x80"} {
		c := &Component{Type: "ExtlClntAppOauthSettings", FullName: "App", Fields: []Field{
			{Name: "customAttributes", Fields: []Field{{Name: "key", Text: text}}},
		}}
		if got, err := encode(t, c); err == nil || !strings.Contains(err.Error(), "customAttributes.key") {
			t.Errorf("%q was encoded as %q with the error %v", text, got, err)
		}
		c = &Component{Type: "ExtlClntAppOauthSettings", FullName: text}
		if got, err := encode(t, c); err == nil || !strings.Contains(err.Error(), "fullName") {
			t.Errorf("the name %q was encoded as %q with the error %v", text, got, err)
		}
	}
	if _, err := encode(t, &Component{Type: "ExtlClntAppOauthSettings", Fields: []Field{{Name: "a><b", Text: "x"}}}); err == nil {
		t.Error("a field's name can carry markup")
	}
}

func TestNestedFieldsSurviveARoundTrip(t *testing.T) {
	t.Parallel()
	const source = `<?xml version="1.0" encoding="UTF-8"?>
<ExtlClntAppOauthSettings xmlns="` + Namespace + `">
    <trustedIpRanges>
        <startIpAddress>10.0.0.1</startIpAddress>
        <endIpAddress>10.0.0.9</endIpAddress>
        <description>office &amp; home</description>
    </trustedIpRanges>
    <trustedIpRanges>
        <startIpAddress>10.1.0.1</startIpAddress>
        <endIpAddress>10.1.0.9</endIpAddress>
    </trustedIpRanges>
    <customAttributes><key>country</key><formula>$Organization.Country</formula></customAttributes>
    <externalClientApplication>App</externalClientApplication>
</ExtlClntAppOauthSettings>`
	c, err := Parse(strings.NewReader(source))
	if err != nil {
		t.Fatal(err)
	}
	c.FullName = "App_oauth"
	encoded, err := encode(t, c)
	if err != nil {
		t.Fatal(err)
	}
	again := decode(t, encoded)
	want := &Component{Type: "ExtlClntAppOauthSettings", FullName: "App_oauth", Fields: []Field{
		{Name: "customAttributes", Fields: []Field{{Name: "formula", Text: "$Organization.Country"}, {Name: "key", Text: "country"}}},
		{Name: "externalClientApplication", Text: "App"},
		{Name: "trustedIpRanges", Fields: []Field{{Name: "description", Text: "office & home"}, {Name: "endIpAddress", Text: "10.0.0.9"}, {Name: "startIpAddress", Text: "10.0.0.1"}}},
		{Name: "trustedIpRanges", Fields: []Field{{Name: "endIpAddress", Text: "10.1.0.9"}, {Name: "startIpAddress", Text: "10.1.0.1"}}},
	}}
	if !reflect.DeepEqual(again, want) {
		t.Errorf("got  %+v\nwant %+v", again, want)
	}
}

func TestNilElementsCountAsAbsent(t *testing.T) {
	t.Parallel()
	c := decode(t, `<metadata xsi:type="x:ExtlClntAppOauthSettings"><fullName>A</fullName><label xsi:nil="true"/><oauthLink xsi:nil="1"></oauthLink><singleLogoutUrl/></metadata>`)
	if len(c.Fields) != 1 || c.Fields[0].Name != "singleLogoutUrl" || c.Type != "ExtlClntAppOauthSettings" {
		t.Errorf("got %+v", c)
	}
}
