package orgauth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/internal/files"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// The Salesforce CLI stores its key under these names in every keychain.
const (
	keyAccount = "local"
	keyService = "sfdx"
)

// Keychain returns the key with which the Salesforce CLI encrypts its logins.
type Keychain interface {
	Key(ctx context.Context) (salesforce.Secret, error)
}

// DefaultKeychain returns the keychain that the CLI uses: key.json in the store's directory on
// Windows, if SF_USE_GENERIC_UNIX_KEYCHAIN is set, and on Linux without secret-tool; otherwise
// the system's keychain. goos is a runtime.GOOS. getenv reads the environment.
func DefaultKeychain(dir, goos string, getenv func(string) string) Keychain {
	file := KeyFile(filepath.Join(dir, "key.json"))
	for _, name := range []string{"SF_USE_GENERIC_UNIX_KEYCHAIN", "USE_GENERIC_UNIX_KEYCHAIN"} {
		if generic, err := strconv.ParseBool(getenv(name)); err == nil && generic {
			return file
		}
	}
	switch goos {
	case "windows":
		return file
	case "darwin":
		return MacKeychain("/usr/bin/security")
	}
	tool := cmp.Or(getenv("SFDX_SECRET_TOOL_PATH"), "/usr/bin/secret-tool") // sf reads the variable too
	if _, err := os.Stat(tool); err != nil {
		return file
	}
	return SecretTool(tool)
}

// KeyFile is a keychain in a file, by its path. In the store it is key.json.
type KeyFile string

// Key reads the key from the file. Like the CLI, it refuses a file with a mode other than 0600,
// except on Windows.
func (f KeyFile) Key(context.Context) (salesforce.Secret, error) {
	none := salesforce.Secret{}
	if info, err := os.Stat(string(f)); err == nil && runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		return none, fmt.Errorf("%s has mode %o, but sf requires 600; run: chmod 600 %[1]s", f, info.Mode().Perm())
	}
	data, err := files.Read(string(f), maxStored)
	if err != nil {
		return none, err
	}
	return parseKeyFile(string(f), data)
}

func parseKeyFile(name string, data []byte) (salesforce.Secret, error) {
	none := salesforce.Secret{}
	var file struct {
		Account string            `json:"account"`
		Service string            `json:"service"`
		Key     salesforce.Secret `json:"key"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return none, fmt.Errorf("%s is not the JSON that sf writes", name)
	}
	if file.Account != keyAccount || file.Service != keyService || file.Key.IsZero() {
		return none, fmt.Errorf("%s has no key of account %q for service %q", name, keyAccount, keyService)
	}
	return file.Key, nil
}

// SecretTool is the keychain of a Linux desktop. Its value is the path of libsecret's
// secret-tool.
type SecretTool string

// Key runs secret-tool. The desktop may ask the user to unlock the keychain; ctx bounds the
// wait.
func (t SecretTool) Key(ctx context.Context) (salesforce.Secret, error) {
	return runForKey(ctx, string(t), "lookup", "user", keyAccount, "domain", keyService)
}

// MacKeychain is the keychain of macOS. Its value is the path of the security tool.
type MacKeychain string

// Key runs security. macOS may ask the user for permission; ctx bounds the wait.
func (t MacKeychain) Key(ctx context.Context) (salesforce.Secret, error) {
	return runForKey(ctx, string(t), "find-generic-password", "-a", keyAccount, "-s", keyService, "-w")
}

// waitDelay bounds the wait for the output of a cancelled program: a surviving child process
// may keep it open.
const waitDelay = time.Second

func runForKey(ctx context.Context, tool string, args ...string) (salesforce.Secret, error) {
	none := salesforce.Secret{}
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Env, cmd.WaitDelay = ChildEnvironment(), waitDelay
	var out, failure bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failure
	if err := cmd.Run(); err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(failure.String()), "\n")
		return none, fmt.Errorf("%s failed (%w): %s", tool, err, cmp.Or(line, "without a message"))
	}
	key := salesforce.NewSecret(strings.TrimSpace(out.String()))
	if key.IsZero() {
		return none, errors.New(tool + " found no key of sf")
	}
	return key, nil
}
