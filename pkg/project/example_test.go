package project_test

import (
	"fmt"
	"os"

	"github.com/ecakit/ecakit/pkg/project"
)

// ExampleRead reads the settings of an app in a project.
func ExampleRead() {
	p, err := project.Read(os.DirFS("../.."), "sfdx-project.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Layout(os.DirFS("../..")))
	uat := p.Settings.For("ErpConnector", "uat", true)
	fmt.Println("isSecretRequiredForRefreshToken is stated:", uat.GlobalOAuthSettings.Has("isSecretRequiredForRefreshToken"))
	// Output:
	// sfp
	// isSecretRequiredForRefreshToken is stated: true
}
