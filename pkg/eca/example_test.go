package eca_test

import (
	"fmt"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

func ExampleLookup() {
	existing, err := metadata.Parse(strings.NewReader(`<ExtlClntAppGlobalOauthSettings xmlns="http://soap.sforce.com/2006/04/metadata">
	<callbackUrl>https://erp.example.com/callback</callbackUrl>
	<externalClientApplication>MyApp</externalClientApplication>
	<isDeviceFlowEnabled>false</isDeviceFlowEnabled>
	<someFutureField>kept</someFutureField>
</ExtlClntAppGlobalOauthSettings>`))
	if err != nil {
		fmt.Println(err)
		return
	}
	wanted := make(metadata.Fields)
	wanted.Set("callbackUrl", "https://erp.example.com/callback")
	wanted.Set("isDeviceFlowEnabled", "true")
	result, changes := eca.Lookup(existing.Type).Overlay(existing, wanted)
	for _, c := range changes {
		fmt.Println(c.Field, c.From, "→", c.To)
	}
	fmt.Println(result.Text("someFutureField"))
	// Output:
	// isDeviceFlowEnabled false → true
	// kept
}
