package consumer_test

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// org returns a simulated org with the app Erp, whose consumer takes client credentials.
func org() (*simorg.Server, *salesforce.Conn) {
	o := simorg.Start(simorg.Config{SecretsInREST: true})
	conn := &salesforce.Conn{InstanceURL: o.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: o.AccessToken()})}
	for _, c := range []struct{ typ, name, fields string }{
		{eca.Header, "Erp", "<contactEmail>a@example.com</contactEmail><distributionState>Local</distributionState><label>Erp</label>"},
		{eca.OAuthSettings, "Erp_oauth", "<commaSeparatedOauthScopes>Api</commaSeparatedOauthScopes><externalClientApplication>Erp</externalClientApplication><label>Erp</label>"},
		{eca.GlobalOAuthSettings, "Erp_glbloauth", "<callbackUrl>https://erp.example.com</callbackUrl><externalClientApplication>Erp</externalClientApplication><isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><label>Erp</label>"},
		{eca.PluginPolicies, "Erp_plcy", "<externalClientApplication>Erp</externalClientApplication><isEnabled>true</isEnabled><isOauthPluginEnabled>true</isOauthPluginEnabled><label>Erp</label>"},
		{eca.OAuthPolicies, "Erp_oauthPlcy", "<clientCredentialsFlowUser>admin@example.com</clientCredentialsFlowUser><externalClientApplication>Erp</externalClientApplication><isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><label>Erp</label>"},
	} {
		component := &metadata.Component{Type: c.typ, FullName: c.name, Fields: parse(c.typ, c.fields)}
		results, err := (&mdapi.Client{Conn: conn}).Upsert(context.Background(), []*metadata.Component{component})
		if err != nil || !results[0].Success {
			panic(fmt.Sprint(err, results))
		}
	}
	return o, conn
}

func ExampleClient() {
	o, conn := org()
	defer o.Close()
	ctx := context.Background()

	client := &consumer.Client{Conn: conn}
	app, err := client.Find(ctx, "Erp")
	if err != nil {
		fmt.Println(err)
		return
	}
	pair, err := client.Credentials(ctx, app)
	fmt.Println(pair.Key == o.Pairs("Erp")[0].Key, pair.Secret, err)

	proof, err := login.ClientCredentials(conn.InstanceURL, pair).Verify(ctx, nil)
	fmt.Println(proof.Username, proof.Scopes, proof.Revoked, err)
	// Output:
	// true ‹secret› <nil>
	// admin@example.com [api] true <nil>
}

func ExampleRotation() {
	o, conn := org()
	defer o.Close()

	rotation := &consumer.Rotation{
		Client: &consumer.Client{Conn: conn},
		HandOver: func(_ context.Context, pair login.Credentials) error {
			fmt.Println("stored", pair.Secret)
			return nil
		},
	}
	outcome, err := rotation.Run(context.Background(), "Erp")
	fmt.Println(outcome.Rotated, outcome.Verified, err)
	// Output:
	// stored ‹secret›
	// true true <nil>
}

func ExampleExplain() {
	o, conn := org()
	defer o.Close()

	_, err := login.ClientCredentials(conn.InstanceURL, login.Credentials{Key: "3MVG9unknown"}).Verify(context.Background(), nil)
	if why, ok := login.Explain(err); ok {
		fmt.Println(why.Means)
	}
	// Output:
	// the org does not know the consumer key
}

// parse reads fields in the order in which they are written.
func parse(typ, fields string) []metadata.Field {
	c, err := metadata.Parse(strings.NewReader("<" + typ + ` xmlns="` + metadata.Namespace + `">` + fields + "</" + typ + ">"))
	if err != nil {
		panic(err)
	}
	return c.Fields
}
