package credential_test

import (
	"context"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/credential"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// ExampleConnect lets an org call another one, with the credentials of an app of that org.
func ExampleConnect() {
	caller := simorg.Start(simorg.Config{PermissionSets: []string{"Crm_Callout"}})
	defer caller.Close()
	tokens := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: caller.AccessToken()})
	conn := &salesforce.Conn{InstanceURL: caller.URL, Tokens: tokens}

	c := connection.Connection{NamedCredential: "Crm", ProviderURL: "https://crm.my.salesforce.com", PermissionSets: []string{"Crm_Callout"}}
	credentials := login.Credentials{Key: "3MVG9key", Secret: salesforce.NewSecret("the app's secret")}
	report, err := credential.Connect(context.Background(), conn, c, credentials, credential.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, component := range report.Components {
		fmt.Println(component.Type, component.Action)
	}
	fmt.Println(report.Secret, report.Status)
	// Output:
	// ExternalCredential create
	// NamedCredential create
	// stored Configured
}
