package selftest_test

import (
	"context"
	"fmt"
	"log"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/selftest"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// Example asks a simulated org two facts.
func Example() {
	org := simorg.Start(simorg.Config{Facts: platform.Answers{"pkce-forced": "forced"}})
	defer org.Close()
	conn := &salesforce.Conn{InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
	report, err := selftest.Run(context.Background(), conn, selftest.Options{Only: []string{"pkce-forced", "components-listed"}})
	if err != nil {
		log.Fatal(err)
	}
	for _, fact := range report.Facts {
		fmt.Printf("%s: %s, expected %s: %s\n", fact.ID, fact.Status, fact.Expected, fact.Seen)
	}
	// Output:
	// pkce-forced: different, expected kept-as-sent: forced
	// components-listed: confirmed, expected listed: listed
}
