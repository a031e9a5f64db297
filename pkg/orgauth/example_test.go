package orgauth_test

import (
	"fmt"

	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

func ExampleFromToken() {
	token := salesforce.NewSecret("00D000000000001AAA!AQE.token")
	session, err := orgauth.FromToken(token, "https://acme--uat.sandbox.my.salesforce.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(session, session.Kind)
	_, err = orgauth.FromToken(token, "http://acme.my.salesforce.com")
	fmt.Println(err)
	// Output:
	// acme--uat.sandbox.my.salesforce.com sandbox
	// the instance URL http://acme.my.salesforce.com must be https, because tokens are sent to it (http is allowed for this machine's own loopback only)
}
