package respond_test

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/respond"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// Example shows who has access through an app that is not installed, and revokes its tokens.
func Example() {
	org := simorg.Start(simorg.Config{Kind: simorg.Production})
	defer org.Close()
	if err := org.Fill(os.DirFS("testdata/org"), "."); err != nil {
		fmt.Println(err)
		return
	}
	tokens := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})
	conn := &salesforce.Conn{InstanceURL: org.URL, Tokens: tokens}

	exposure, err := respond.Look(context.Background(), conn, respond.Selection{NotInstalled: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(exposure.Apps), "apps,", exposure.Tokens(), "tokens of", exposure.Users(), "users")
	revocation, err := exposure.Revoke(context.Background())
	fmt.Println(revocation.Tokens, "revoked,", revocation.After.Tokens(), "left", err)
	// Output:
	// 4 apps, 4 tokens of 2 users
	// 4 revoked, 0 left <nil>
}
