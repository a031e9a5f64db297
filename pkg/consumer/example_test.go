package consumer_test

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// startOrg returns a simulated org with the app App, whose consumer has the client credentials flow.
func startOrg() (*simorg.Server, *salesforce.Conn) {
	org := simorg.Start(simorg.Config{SecretsInREST: true, Users: []simorg.User{{Username: "robot@example.com"}}})
	if err := org.Deploy(os.DirFS("../login/testdata/app"), "."); err != nil {
		panic(err)
	}
	tokens := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})
	return org, &salesforce.Conn{InstanceURL: org.URL, Tokens: tokens}
}

func ExampleClient() {
	org, conn := startOrg()
	defer org.Close()
	ctx := context.Background()

	client := &consumer.Client{Conn: conn}
	app, err := client.Find(ctx, "App")
	if err != nil {
		fmt.Println(err)
		return
	}
	credentials, err := client.Credentials(ctx, app)
	fmt.Println(credentials.Key == org.Pairs("App")[0].Key, credentials.Secret, err)
	// Output:
	// true ‹secret› <nil>
}

func ExampleRotation() {
	org, conn := startOrg()
	defer org.Close()

	rotation := &consumer.Rotation{
		Client: &consumer.Client{Conn: conn},
		HandOver: func(_ context.Context, c login.Credentials) error {
			fmt.Println("stored", c.Secret)
			return nil
		},
		Progress: func(event consumer.Event) { fmt.Println(event.Step) },
	}
	result, err := rotation.Run(context.Background(), "App")
	fmt.Println(result.Rotated, result.Verified, err)
	// Output:
	// staged
	// proved
	// stored ‹secret›
	// exported
	// swapped
	// true true <nil>
}
