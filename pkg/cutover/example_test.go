package cutover_test

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/cutover"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// ExampleClient reads the Connected Apps of an org, and who logs in to them with username and password.
func ExampleClient() {
	org := simorg.Start(simorg.Config{Kind: simorg.Production})
	defer org.Close()
	if err := org.Fill(os.DirFS("../../testdata"), "audit"); err != nil {
		fmt.Println(err)
		return
	}
	tokens := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})
	client := &cutover.Client{Conn: &salesforce.Conn{InstanceURL: org.URL, Tokens: tokens}}

	apps, _, err := client.Read(context.Background())
	var names []string
	for _, app := range apps {
		names = append(names, app.Name)
	}
	fmt.Println(names, err)
	logins, err := client.PasswordLogins(context.Background())
	fmt.Println(logins[0].App, err)
	// Output:
	// [Data_Loader Field_App Legacy_ETL Support_Portal Warehouse] <nil>
	// Legacy ETL <nil>
}
