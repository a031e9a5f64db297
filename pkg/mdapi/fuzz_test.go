package mdapi

import (
	"testing"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// FuzzAnswer checks that no answer makes reading it panic.
func FuzzAnswer(f *testing.F) {
	wrap := func(body string) []byte {
		return []byte(`<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="http://soap.sforce.com/2006/04/metadata"><soapenv:Body>` + body + `</soapenv:Body></soapenv:Envelope>`)
	}
	f.Add(wrap(`<upsertMetadataResponse><result><created>true</created><errors><fields>a</fields><message>m</message><statusCode>C</statusCode></errors><fullName>A</fullName><success>false</success></result></upsertMetadataResponse>`))
	f.Add(wrap(`<readMetadataResponse><result><records xsi:type="ExtlClntAppOauthSettings"><fullName>A</fullName><trustedIpRanges><endIpAddress>1</endIpAddress></trustedIpRanges></records><records xsi:nil="true"/></result></readMetadataResponse>`))
	f.Add(wrap(`<listMetadataResponse><result><fullName>A</fullName><type>T</type></result></listMetadataResponse>`))
	f.Add(wrap(`<soapenv:Fault><faultcode>sf:INVALID_SESSION_ID</faultcode><faultstring>x</faultstring></soapenv:Fault>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, operation := range []string{"upsertMetadata", "readMetadata", "listMetadata"} {
			response, err := parseAnswer(&salesforce.Response{Status: 200, Body: data}, operation)
			if err != nil {
				continue
			}
			if results, err := readResults(response, "T", []string{"A", "B"}); err == nil && len(results) != 2 {
				t.Errorf("%d results and no error", len(results))
			}
			if components, err := readRecords(response, "T", []string{"A", "B"}); err == nil {
				for _, c := range components {
					if c.FullName == "" || c.Type == "" {
						t.Errorf("a component without a name or type: %+v", c)
					}
				}
			}
			readList(response)
		}
	})
}
