package preflight_test

import (
	"fmt"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
)

// ExamplePolicies_Alone predicts that an org refuses policies, from the file alone.
func ExamplePolicies_Alone() {
	component := metadata.New(eca.OAuthPolicies, "MyApp_oauthPlcy", metadata.Stated(
		"externalClientApplication", "MyApp", "permittedUsersPolicyType", "AdminApprovedPreAuthorized",
		"isClientCredentialsFlowEnabled", "true"))
	policies := &preflight.Policies{App: "MyApp", Component: component, File: "MyApp_oauthPlcy.ecaOauthPlcy-meta.xml"}
	for _, f := range policies.Alone() {
		fmt.Println(f.Level, f.Rule)
	}
	// Output:
	// error run-as-user
}
