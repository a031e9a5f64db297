package login_test

import (
	"context"
	"fmt"
	"os"

	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// Example proves that the credentials of an app work.
func Example() {
	org := simorg.Start(simorg.Config{Users: []simorg.User{{Username: "robot@example.com"}}})
	defer org.Close()
	if err := org.Deploy(os.DirFS("testdata/app"), "."); err != nil {
		fmt.Println(err)
		return
	}
	main := org.Pairs("App")[0]
	credentials := login.Credentials{Key: main.Key, Secret: salesforce.NewSecret(main.Secret)}

	proof, err := login.ClientCredentials(org.URL, credentials).Verify(context.Background(), nil)
	fmt.Println(proof.Username, proof.Scopes, proof.Revoked, err)

	_, err = login.ClientCredentials(org.URL, login.Credentials{Key: "3MVG9unknown"}).Verify(context.Background(), nil)
	if why, ok := login.Explain(err); ok {
		fmt.Println(why.Causes)
	}
	// Output:
	// robot@example.com [api] true <nil>
	// [app-off new-consumer unknown-consumer]
}
