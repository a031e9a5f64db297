package project_test

import (
	"bytes"
	"encoding/xml"
	"testing"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

const benchSource = `<?xml version="1.0" encoding="UTF-8"?>
<ExtlClntAppOauthConfigurablePolicies xmlns="http://soap.sforce.com/2006/04/metadata">
    <clientCredentialsFlowUser>integration@example.com.uat</clientCredentialsFlowUser>
    <externalClientApplication>ErpConnector</externalClientApplication>
    <ipRelaxationPolicyType>Enforce</ipRelaxationPolicyType>
    <isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>
    <label>ERP Connector policies</label>
    <permittedUsersPolicyType>AllSelfAuthorized</permittedUsersPolicyType>
    <refreshTokenPolicyType>Zero</refreshTokenPolicyType>
    <requiredSessionLevel>STANDARD</requiredSessionLevel>
</ExtlClntAppOauthConfigurablePolicies>
`

func benchComponent(b *testing.B) *metadata.Component {
	b.Helper()
	c, err := metadata.Parse(bytes.NewReader([]byte(benchSource)))
	if err != nil {
		b.Fatal(err)
	}
	c.FullName = "ErpConnector_oauthPlcy"
	return c
}

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(benchSource)))
	for b.Loop() {
		if _, err := metadata.Parse(bytes.NewReader([]byte(benchSource))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeReference reads the same with encoding/xml alone, into nothing, for
// comparison.
func BenchmarkDecodeReference(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(benchSource)))
	for b.Loop() {
		d := xml.NewDecoder(bytes.NewReader([]byte(benchSource)))
		for {
			if _, err := d.Token(); err != nil {
				break
			}
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	c := benchComponent(b)
	b.ReportAllocs()
	for b.Loop() {
		var out bytes.Buffer
		if err := xml.NewEncoder(&out).Encode(c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOverlay(b *testing.B) {
	c := benchComponent(b)
	stated := make(metadata.Fields)
	for _, f := range c.Fields {
		stated[f.Name] = append(stated[f.Name], f)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, changes := eca.Lookup(c.Type).Overlay(c, stated); len(changes) > 0 {
			b.Fatal(changes)
		}
	}
}
