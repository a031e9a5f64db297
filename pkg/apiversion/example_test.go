package apiversion_test

import (
	"fmt"

	"github.com/ecakit/ecakit/pkg/apiversion"
)

func ExampleParse() {
	version, err := apiversion.Parse("65.0")
	fmt.Println(version, version < apiversion.Latest, err)
	_, err = apiversion.Parse("65.1")
	fmt.Println(err != nil)
	// Output:
	// 65.0 true <nil>
	// true
}
