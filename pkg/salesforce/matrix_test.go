package salesforce_test

import (
	"fmt"
	"testing"

	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// TestMaskMatrix: each kind of secret in each form, alone and where a message names it.
func TestMaskMatrix(t *testing.T) {
	t.Parallel()
	for kind, secret := range simorgtest.Secrets {
		salesforce.NewSecret(secret)
		for name, form := range simorgtest.SecretForms {
			for _, around := range []string{"%s", "the token %s, which", "client_secret=%s&x=1", `{"a":"%s"}`, "<a>%s</a>", "x:%s@host", "Bearer %s\n", "'%s'"} {
				text := fmt.Sprintf(around, form(secret))
				if got := salesforce.Mask(text); simorgtest.Leaks(got, secret) {
					t.Errorf("%s, %s: %q is masked as %q", kind, name, text, got)
				}
			}
		}
	}
}

// TestMaskLearns: what looks like a secret in an argument is masked in all its forms.
func TestMaskLearns(t *testing.T) {
	t.Parallel()
	for kind, learned := range map[string][2]string{
		"session":  {"x 00D5g00000AbCdEEAV!AQlearned.Kd9Lp_x3Zs7Qw2Er5Ty8Ui1Op4As6Df0Gh", "AQlearned.Kd9Lp_x3Zs7Qw2Er5Ty8Ui1Op4As6Df0Gh"},
		"refresh":  {"5Aep8617learnedVuQ2PZw1xZ8h3Lk6Jq9Bt4Nf7Mc0Rd5Sg2Ya8Xe1Wi6", "5Aep8617learnedVuQ2PZw1xZ8h3Lk6Jq9Bt4Nf7Mc0Rd5Sg2Ya8Xe1Wi6"},
		"auth URL": {"force://3MVG9abc:learned543210987654321:5Aep861learnedzVuQ2PZw1xZ8h3Lk6Jq9@acme.my.salesforce.com", "learned543210987654321"},
		"key":      {"-----BEGIN PRIVATE KEY-----\nlearnedIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\nlearnedEfYyjiWA4R4M2bS1GB4t7NXp98C3SC6d\n-----END PRIVATE KEY-----", "learnedEfYyjiWA4R4M2bS1GB4t7NXp98C3SC6d"},
	} {
		salesforce.LearnSecrets(learned[0])
		for _, text := range []string{learned[1], simorgtest.SecretForms["hex"](learned[0]), simorgtest.SecretForms["basic"](learned[0]), simorgtest.SecretForms["spaces"](learned[0])} {
			if got := salesforce.Mask(text); simorgtest.Leaks(got, learned[1]) {
				t.Errorf("%s: %q is masked as %q", kind, text, got)
			}
		}
	}
}
