package sfp_test

import (
	"fmt"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/sfp"
)

func ExampleTree_ResolveAlias() {
	project := fstest.MapFS{
		"src/policies/envs/uat/policies.xml":     {},
		"src/policies/envs/default/policies.xml": {},
	}
	policies := sfp.Package{Name: "policies", Path: "src/policies", Aliasfy: true}
	tree := sfp.List(project, policies.Path)
	const isSandbox, isProduction = true, false

	fmt.Println(tree.ResolveAlias(policies, "uat", isSandbox))
	fmt.Println(tree.ResolveAlias(policies, "dev", isSandbox))
	_, err := tree.ResolveAlias(policies, "prod", isProduction)
	fmt.Println(err)
	// Output:
	// src/policies/envs/uat <nil>
	// src/policies/envs/default <nil>
	// Aliasfied package 'policies' does not have an alias with 'prod' or 'default' directory
}

func ExampleParseInvocation() {
	none := func(string) string { return "" }
	i, err := sfp.ParseInvocation([]string{"eca-definition", "admin@example.com.uat", "uat", ".sfpowerscripts/unzippedArtifacts/x/source", "src/eca-definition"}, none)
	fmt.Println(i.Package, i.Alias, err)
	_, err = sfp.ParseInvocation([]string{"eca-definition"}, none)
	fmt.Println(err)
	// Output:
	// eca-definition uat <nil>
	// sfp passes PACKAGE USERNAME ALIAS SOURCE PACKAGE_DIRECTORY after a package, or SCRATCH_ORG_USERNAME HUB_USERNAME STATUS for a pool, but this call has 1 arguments
}
