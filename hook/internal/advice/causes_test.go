package advice

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// TestEveryCauseHasWords: each cause in the table of refusals has a sentence and a hint, and each of them once.
func TestEveryCauseHasWords(t *testing.T) {
	t.Parallel()
	known := map[refusal.Cause]int{}
	for _, w := range causes {
		known[w.cause]++
	}
	used := map[refusal.Cause]bool{refusal.OtherCause: true}
	for _, cause := range refusal.Foretold {
		used[cause] = true
	}
	for _, r := range refusal.Refusals() {
		for _, cause := range r.Causes {
			used[cause] = true
			says, hint := Cause(&login.Diagnosis{State: &login.State{Attempt: login.Attempt{App: "Quick", Username: "a@example.com"}}, Cause: cause, Err: errors.New("no")}, "sit")
			if says == "" || hint == "" || strings.HasSuffix(says, ".") || strings.HasSuffix(hint, ".") {
				t.Errorf("%s: %q, %q", cause, says, hint)
			}
			for _, left := range []string{"ORG", "APP", "USER ", "SETS", "DATE", "EXPIRY"} {
				if strings.Contains(strings.ReplaceAll(hint, "--username USER", ""), left) || strings.Contains(says, left) {
					t.Errorf("%s: %s is not filled in: %q, %q", cause, left, says, hint)
				}
			}
		}
	}
	for cause, n := range known {
		if n != 1 || !used[cause] {
			t.Errorf("%s has words %d times, and is used %t", cause, n, used[cause])
		}
	}
}

// TestNoClientCredentialsForPublicClients: nobody is told to switch client credentials on for an app of another flow.
func TestNoClientCredentialsForPublicClients(t *testing.T) {
	t.Parallel()
	err := &salesforce.TokenRefusal{Code: "invalid_grant", Description: "client credentials flow not enabled"}
	for settings, want := range map[string]string{"isConsumerSecretOptional": "--browser", "isNamedUserJwtEnabled": "--browser", "isPkceRequired": "--browser", "": "isClientCredentialsFlowEnabled"} {
		state := &login.State{Attempt: login.Attempt{App: "Quick"}, Global: global(settings)}
		if _, hint := Cause(state.Diagnose(err), "sit"); !strings.Contains(hint, want) || want == "--browser" && strings.Contains(hint, "isClientCredentialsFlowEnabled") {
			t.Errorf("%s: %q", settings, hint)
		}
	}
}

// global returns global OAuth settings in which one of the booleans is true.
func global(on string) *metadata.Component {
	stated := make(metadata.Fields)
	for _, field := range []string{"isClientCredentialsFlowEnabled", "isConsumerSecretOptional", "isNamedUserJwtEnabled", "isPkceRequired"} {
		stated.Set(field, strconv.FormatBool(field == on))
	}
	return metadata.New(eca.GlobalOAuthSettings, "Quick_glbloauth", stated)
}
