package orgauth

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestProgramsGetNoSession: neither sf nor a keychain inherits the session of this process.
func TestProgramsGetNoSession(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the programs are sh")
	}
	t.Setenv("SF_ACCESS_TOKEN", "00D5g00000AbCdEEAV!AQ4AQKd9")
	t.Setenv("SFDX_AUTH_URL", "force://PlatformCLI::5Aep861@acme.my.salesforce.com")
	dir := t.TempDir()
	got, program := filepath.Join(dir, "got"), filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nenv >>"+got+"\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Store{SF: program}).askSF(t.Context(), "me@example.com"); err == nil {
		t.Error("sf succeeded")
	}
	for _, keychain := range []Keychain{SecretTool(program), MacKeychain(program)} {
		if _, err := keychain.Key(t.Context()); err == nil {
			t.Errorf("%T succeeded", keychain)
		}
	}
	data, err := os.ReadFile(got)
	if n := strings.Count(string(data), "\nPATH=") + strings.Count(string(data[:5]), "PATH="); err != nil || n < 4 {
		t.Fatalf("%d programs ran, %v", n, err)
	}
	for _, session := range []string{"SF_ACCESS_TOKEN", "SFDX_AUTH_URL", "AQ4AQKd9", "5Aep861"} {
		if strings.Contains(string(data), session) {
			t.Errorf("a program inherits %s", session)
		}
	}
}

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
