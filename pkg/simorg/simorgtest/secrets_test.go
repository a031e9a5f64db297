package simorgtest_test

import (
	"testing"

	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// TestLeaks: each secret is found in each of its forms, so that a test without a leak means something.
func TestLeaks(t *testing.T) {
	t.Parallel()
	for kind, secret := range simorgtest.Secrets {
		for name, form := range simorgtest.SecretForms {
			if text := "a " + form(secret) + " b"; !simorgtest.Leaks(text, secret) {
				t.Errorf("%s, %s is not found in %q", kind, name, text)
			}
		}
		if simorgtest.Leaks("uat: the org answered (secret), and (token)", secret) {
			t.Errorf("%s is found where it is not", kind)
		}
	}
}
