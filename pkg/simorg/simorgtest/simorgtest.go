// Package simorgtest starts simulated orgs for tests.
package simorgtest

import (
	"testing"

	"github.com/ecakit/ecakit/pkg/internal/files"
	"github.com/ecakit/ecakit/pkg/internal/wsdltest"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// Start serves a simulated org until the test ends.
//
// In this module's own tests every SOAP request that the org accepted is then validated against the
// schema of the Metadata API's WSDL, if that and xmllint are available. A request that does not
// follow the schema fails the test.
func Start(t testing.TB, config simorg.Config) *simorg.Server {
	t.Helper()
	config.Log = wsdltest.Validate(t, config.Log)
	org := simorg.Start(config)
	t.Cleanup(org.Close)
	return org
}

// OnFileChange sets a function that this process calls before each operation with which the module
// changes the file system, for example to end the process there. It must be set before the first.
func OnFileChange(do func(operation, name string)) { files.Step = do }
