package orgauth

import (
	"slices"
	"testing"
)

// TestChildEnvironment: other programs get no session of this process, under no name.
func TestChildEnvironment(t *testing.T) {
	t.Parallel()
	const session = "00D5g00000AbCdEEAV!AQ4AQKd9"
	const auth = "force://PlatformCLI::5Aep861@acme.my.salesforce.com"
	got := childEnvironment([]string{
		"PATH=/bin", "SF_ACCESS_TOKEN=" + session, "SFDX_AUTH_URL=" + auth, "MY_COPY=" + session, "HEADER=Authorization: Bearer " + session,
		"AUTH_UAT=" + auth, "ECA_CLIENT_SECRET=another", "SFDX_ACCESS_TOKEN=x", "SF_AUTH_URL=y", "VAULT_TOKEN=kept", "SF_TARGET_ORG=uat",
	})
	if want := []string{"PATH=/bin", "VAULT_TOKEN=kept", "SF_TARGET_ORG=uat"}; !slices.Equal(got, want) {
		t.Errorf("a program inherits %q, want %q", got, want)
	}
}
