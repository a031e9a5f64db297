package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestPlatformOf: a script carries one version, for platforms that are read from the binaries.
func TestPlatformOf(t *testing.T) {
	t.Parallel()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	got, err := platformOf(own)
	if platform := runtime.GOOS + "/" + runtime.GOARCH; carried[platform] == "" {
		if err == nil {
			t.Errorf("%s is taken for %s", own, got)
		}
	} else if got != platform || err != nil {
		t.Errorf("the platform is %q, %v; want %s", got, err, platform)
	}
	binary, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "eca")
	stated := []byte("\t" + "github.com/ecakit/ecakit" + "\t(devel)")
	if !bytes.Contains(binary, stated) {
		t.Skip("this binary was built with a version")
	}
	if err := os.WriteFile(other, bytes.ReplaceAll(binary, stated, []byte("\t"+"github.com/ecakit/ecakit"+"\tv9.9.99")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := platformOf(other); err == nil || !strings.Contains(err.Error(), "is eca v9.9.99, and this one is") {
		t.Errorf("another version gives %v", err)
	}
}

// TestBundleIsTheScriptWithEca: what eca init writes, but for the search of an installed eca;
// the same binaries make the same script, and shellcheck finds nothing.
func TestBundleIsTheScriptWithEca(t *testing.T) {
	t.Parallel()
	original, err := os.ReadFile("../../../scripts/bootstrap-eca-oauth.sh")
	if err != nil {
		t.Fatal(err)
	}
	binaries := map[string][]byte{"linux/amd64": []byte("one"), "darwin/arm64": bytes.Repeat([]byte("two"), 10_000)}
	script, _, err := bundle(binaries)
	if err != nil {
		t.Fatal(err)
	}
	if again, _, _ := bundle(binaries); !bytes.Equal(again, script) {
		t.Error("the same binaries make another script")
	}
	begin, _, _ := strings.Cut(string(original), "All the work")
	_, middle, _ := strings.Cut(string(original), "\nset -eu")
	middle, _, _ = strings.Cut(middle, "\nelif ")
	for _, part := range []string{begin, middle, "\nexec \"$eca\" hook \"$@\"\n#0 "} {
		if !bytes.Contains(script, []byte(part)) {
			t.Errorf("the script does not hold %q:\n%s", part, script)
		}
	}
	for _, gone := range []string{"PLATFORMS", "CARRIED", "command -v eca", "go install"} {
		if bytes.Contains(script, []byte(gone)) {
			t.Errorf("the script holds %q", gone)
		}
	}
	for line := range bytes.Lines(script) {
		if len(line) > 2048 {
			t.Errorf("a line has %d characters", len(line))
		}
	}
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("shellcheck is not on this machine")
	}
	check := exec.Command(shellcheck, "--severity=warning", "-")
	check.Stdin = bytes.NewReader(script)
	if output, err := check.CombinedOutput(); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, output)
	}
}
