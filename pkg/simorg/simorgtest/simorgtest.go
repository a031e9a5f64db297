// Package simorgtest starts simulated orgs for tests.
package simorgtest

import (
	"testing"

	"github.com/ecakit/ecakit/pkg/simorg"
)

// Start serves a simulated org until the test ends.
func Start(t testing.TB, config simorg.Config) *simorg.Server {
	t.Helper()
	org := simorg.Start(config)
	t.Cleanup(org.Close)
	return org
}
