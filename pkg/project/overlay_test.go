package project

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

func settings(t *testing.T, typ, text string) metadata.Fields {
	t.Helper()
	stated, _, err := parseFields(eca.Lookup(typ), "x", jsontext.Value(text))
	if err != nil {
		t.Fatal(err)
	}
	return stated
}

// TestOverlaySeesWhatMeansTheSame lists pairs of what an org shows and what a
// project states, and whether that is a difference.
func TestOverlaySeesWhatMeansTheSame(t *testing.T) {
	t.Parallel()
	field := func(name, text string) []metadata.Field { return []metadata.Field{{Name: name, Text: text}} }
	ipRange := func(from, to string) metadata.Field {
		return metadata.Field{Name: "trustedIpRanges", Fields: []metadata.Field{{Name: "startIpAddress", Text: from}, {Name: "endIpAddress", Text: to}}}
	}
	for _, test := range []struct {
		typ    string
		has    []metadata.Field
		stated string
		differ bool
	}{
		{eca.OAuthSettings, field("commaSeparatedOauthScopes", "RefreshToken,Api"), `{"commaSeparatedOauthScopes": ["Api", "RefreshToken"]}`, false},
		{eca.OAuthSettings, field("commaSeparatedOauthScopes", "Api, OfflineAccess"), `{"commaSeparatedOauthScopes": "RefreshToken, Api"}`, false},
		{eca.OAuthSettings, field("commaSeparatedOauthScopes", "Api"), `{"commaSeparatedOauthScopes": ["Api", "Web"]}`, true},
		{eca.GlobalOAuthSettings, field("callbackUrl", "https://a\nhttps://b"), `{"callbackUrl": ["https://b", "https://a"]}`, false},
		{eca.GlobalOAuthSettings, field("callbackUrl", "https://a\r\nhttps://b\n"), `{"callbackUrl": "https://a\nhttps://b"}`, false},
		{eca.GlobalOAuthSettings, field("callbackUrl", "https://a"), `{"callbackUrl": "https://A"}`, true},
		{eca.GlobalOAuthSettings, nil, `{"isDeviceFlowEnabled": false}`, false},
		{eca.GlobalOAuthSettings, nil, `{"isDeviceFlowEnabled": true}`, true},
		{eca.GlobalOAuthSettings, nil, `{"isPkceRequired": true}`, false},
		{eca.GlobalOAuthSettings, field("isPkceRequired", "1"), `{"isPkceRequired": true}`, false},
		{eca.GlobalOAuthSettings, field("label", ""), `{"label": ""}`, false},
		{eca.GlobalOAuthSettings, field("label", "x"), `{"label": ""}`, true},
		{eca.GlobalOAuthSettings, field("certificate", "-----BEGIN CERTIFICATE-----\nAB\nCD\n-----END CERTIFICATE-----"), `{"certificate": "-----BEGIN CERTIFICATE-----ABCD-----END CERTIFICATE-----"}`, false},
		{eca.GlobalOAuthSettings, []metadata.Field{{Name: "idTokenConfig", Fields: []metadata.Field{{Name: "idTokenValidityInMinutes", Text: "2"}, {Name: "idTokenAudience", Text: "a"}}}}, `{"idTokenConfig": {"idTokenValidityInMinutes": 2}}`, false},
		{eca.GlobalOAuthSettings, []metadata.Field{{Name: "idTokenConfig", Fields: []metadata.Field{{Name: "idTokenValidityInMinutes", Text: "2"}}}}, `{"idTokenConfig": {"idTokenValidityInMinutes": 3}}`, true},
		{eca.OAuthSettings, []metadata.Field{ipRange("1", "2"), ipRange("3", "4")}, `{"trustedIpRanges": [{"startIpAddress": "3", "endIpAddress": "4"}, {"startIpAddress": "1", "endIpAddress": "2"}]}`, false},
		{eca.OAuthSettings, []metadata.Field{ipRange("1", "2")}, `{"trustedIpRanges": []}`, true},
		{eca.OAuthSettings, nil, `{"trustedIpRanges": []}`, false},
		{eca.OAuthSettings, field("assetTokenValidity", "0600"), `{"assetTokenValidity": 600}`, false},
		{eca.PluginPolicies, field("startPage", "None"), `{"startPage": "OAuth"}`, true},
	} {
		t.Run(test.stated, func(t *testing.T) {
			c := &metadata.Component{Type: test.typ, FullName: "x", Fields: test.has}
			_, changes := eca.Lookup(c.Type).Overlay(c, settings(t, test.typ, test.stated))
			if (len(changes) > 0) != test.differ {
				t.Errorf("%v against %s gives the changes %v", test.has, test.stated, changes)
			}
		})
	}
}

func TestOverlayKeepsEverythingElse(t *testing.T) {
	t.Parallel()
	c := &metadata.Component{Type: eca.GlobalOAuthSettings, FullName: "odd name", Fields: []metadata.Field{
		{Name: "callbackUrl", Text: "https://old.example.com"},
		{Name: "consumerKey", Text: "3MVG9KEY"},
		{Name: "consumerSecret", Text: "SECRET"},
		{Name: "externalClientApplication", Text: "App"},
		{Name: "futureList", Text: "a"},
		{Name: "futureList", Text: "b"},
		{Name: "futureStruct", Fields: []metadata.Field{{Name: "deep", Text: "1"}}},
		{Name: "idTokenConfig", Fields: []metadata.Field{{Name: "idTokenAudience", Text: "aud"}, {Name: "idTokenValidityInMinutes", Text: "2"}}},
		{Name: "isPkceRequired", Text: "true"},
		{Name: "shouldRotateConsumerKey", Text: "true"},
	}}
	before := fmt.Sprint(c)
	got, changes := eca.Lookup(c.Type).Overlay(c, settings(t, eca.GlobalOAuthSettings, `{"callbackUrl": "https://new.example.com", "idTokenConfig": {"idTokenValidityInMinutes": 9}}`))
	var b bytes.Buffer
	if err := xml.NewEncoder(&b).EncodeElement(got, xml.StartElement{Name: xml.Name{Local: "metadata"}}); err != nil {
		t.Fatal(err)
	}
	encoded := b.String()
	want := `<metadata xsi:type="ExtlClntAppGlobalOauthSettings"><fullName>odd name</fullName><callbackUrl>https://new.example.com</callbackUrl>` +
		`<externalClientApplication>App</externalClientApplication><futureList>a</futureList><futureList>b</futureList>` +
		`<futureStruct><deep>1</deep></futureStruct><idTokenConfig><idTokenAudience>aud</idTokenAudience><idTokenValidityInMinutes>9</idTokenValidityInMinutes></idTokenConfig>` +
		`<isPkceRequired>true</isPkceRequired></metadata>`
	if encoded != want {
		t.Errorf("got  %s\nwant %s", encoded, want)
	}
	if len(changes) != 2 || changes[0].Field != "callbackUrl" || changes[0].From != "https://old.example.com" || changes[0].To != "https://new.example.com" {
		t.Errorf("the changes are %+v", changes)
	}
	if fmt.Sprint(c) != before {
		t.Error("the component itself was changed")
	}
}

func TestChangesShowNoSecret(t *testing.T) {
	t.Parallel()
	c := &metadata.Component{Type: eca.GlobalOAuthSettings, Fields: []metadata.Field{{Name: "consumerKey", Text: "3MVG9abcdefghijklmnopqrstuvwxyz"}, {Name: "consumerSecret", Text: "TOPSECRET"}}}
	_, changes := eca.Lookup(c.Type).Overlay(c, metadata.Fields{"consumerKey": {{Name: "consumerKey", Text: "3MVG9abcdefghijklmnopqrstuvwxyz"}}, "consumerSecret": {{Name: "consumerSecret", Text: "TOPSECRET"}}, "certificate": {{Name: "certificate", Text: "-----BEGIN CERTIFICATE-----AAAA"}}})
	text := fmt.Sprint(changes)
	for _, secret := range []string{"abcdefghij", "TOPSECRET", "BEGIN CERTIFICATE"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows %s", text, secret)
		}
	}
}
