package refusal_test

import (
	"fmt"

	"github.com/ecakit/ecakit/pkg/refusal"
)

// ExampleFind finds what an answer of the token endpoint can mean. Package login finds out which cause is the case.
func ExampleFind() {
	r, ok := refusal.Find("invalid_client", "invalid client credentials")
	fmt.Println(r.Causes, ok)
	// Output:
	// [wrong-secret] true
}
