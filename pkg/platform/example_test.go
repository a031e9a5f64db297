package platform_test

import (
	"fmt"

	"github.com/ecakit/ecakit/pkg/platform"
)

// ExampleLookup shows a question about Salesforce with its possible answers.
func ExampleLookup() {
	fact := platform.Lookup("pkce-forced")
	fmt.Println(fact.Question)
	fmt.Println(fact.Answers, "expected:", fact.Expected)

	seen := platform.Answers{"pkce-forced": "forced"} // of one org
	fmt.Println(seen.Is("pkce-forced", "forced"), seen.Of("certificate-shown"))
	// Output:
	// Does the org keep isPkceRequired at true whatever is sent?
	// [kept-as-sent forced] expected: kept-as-sent
	// true shown
}

func ExampleKindOfHost() {
	fmt.Println(platform.KindOfHost("acme--uat.sandbox.my.salesforce.com"))
	// Output:
	// sandbox
}
