package metadata_test

import (
	"fmt"
	"os"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// ExampleWriteSource writes a component of any type as a source file of sf.
func ExampleWriteSource() {
	header := metadata.New(eca.Header, "MyApp", metadata.Stated("label", "My App", "contactEmail", "you@example.com", "distributionState", "Local"))
	if err := metadata.WriteSource(os.Stdout, header); err != nil {
		fmt.Println(err)
	}
	// Output:
	// <?xml version="1.0" encoding="UTF-8"?>
	// <ExternalClientApplication xmlns="http://soap.sforce.com/2006/04/metadata">
	//     <contactEmail>you@example.com</contactEmail>
	//     <distributionState>Local</distributionState>
	//     <label>My App</label>
	// </ExternalClientApplication>
}
