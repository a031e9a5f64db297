package connection_test

import (
	"fmt"

	"github.com/ecakit/ecakit/pkg/connection"
)

// Example describes as components how an org calls another. Package credential writes them to the org.
func Example() {
	c := connection.Connection{NamedCredential: "Crm", ProviderURL: "https://crm.my.salesforce.com"}
	components, err := c.Components()
	for _, component := range components {
		fmt.Println(component.Type, component.FullName)
	}
	fmt.Println(connection.TokenURL(components[0]), err)
	// Output:
	// ExternalCredential Crm
	// NamedCredential Crm
	// https://crm.my.salesforce.com/services/oauth2/token <nil>
}
