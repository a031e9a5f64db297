package orgauth

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// What the Salesforce CLI's own code (@salesforce/core, as of sf 2.150.6) wrote
// for this text with keys that it made for the purpose, without and with
// SF_CRYPTO_V2.
const (
	plainToken = "00D000000000001AAA!AQE.fixture_token-not_a_real_one"

	keyV1    = "2e5e40cfb9abe893bd7129687aa70dc5"
	cipherV1 = "ff4c0f90f37d0949f79a6a646f5adb764d2475d7e3fa95685f7db19eccaa98d3749194b991c36ee241601a336b36ff9c290558421d135133fd:6dfa6293964d0e3375267600bdfac290"

	keyV2    = "67e3870b5c70f57176c34e4d4405f21ef87a933c65b452b14f9c4822c579fb77"
	cipherV2 = "4744ae35ec222776526c6c96e5ff623ea5fc18d331ee7dbd4f175a767aba6531acf22307fd6962643e4d85aeeb4e8a2fd3d20ef01b3d814445af0db0b8650c:65d00379ea64bd12ecd2f36c21eb4044"
)

type fixedKey string

func (k fixedKey) Key(context.Context) (salesforce.Secret, error) {
	return salesforce.NewSecret(string(k)), nil
}

// storeWith makes a store of files.
func storeWith(t *testing.T, key string, files map[string]string) *Store {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &Store{Dir: dir, Keychain: fixedKey(key)}
}

func loginFile(accessToken, more string) string {
	return fmt.Sprintf(`{"username": "a@example.com", "orgId": "00D000000000001AAA", "instanceUrl": "https://acme.my.salesforce.com", "accessToken": %q, "instanceApiVersion": "66.0"%s}`, accessToken, more)
}

func TestStoreSession(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, key, token, more string
		kind                   platform.Kind
	}{
		{"v1", keyV1, cipherV1, `, "isSandbox": true, "isScratch": false`, platform.Sandbox},
		{"v2", keyV2, cipherV2, `, "isSandbox": false, "isScratch": true`, platform.Scratch},
		{"scratch by dev hub", keyV1, cipherV1, `, "devHubUsername": "hub@example.com"`, platform.Scratch},
		{"production", keyV1, cipherV1, `, "isSandbox": false, "isScratch": false`, platform.Production},
		{"not a sandbox, but perhaps scratch", keyV1, cipherV1, `, "isSandbox": false`, platform.Unknown},
		{"not encrypted", "", plainToken, "", platform.Unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := storeWith(t, test.key, map[string]string{
				"a@example.com.json": loginFile(test.token, test.more),
				"alias.json":         `{"orgs": {"gone": "gone@example.com", "first": "a@example.com", "another": "a@example.com"}}`,
			})
			for org, alias := range map[string]string{"another": "another", "a@example.com": "first"} {
				s, err := store.Session(t.Context(), org)
				if err != nil {
					t.Fatal(err)
				}
				token, err := s.Token()
				if err != nil || token.AccessToken != plainToken {
					t.Errorf("the token is %v, %v", token, err)
				}
				if s.Alias != alias || s.Username != "a@example.com" || s.Kind != test.kind || s.Version != 66 || s.InstanceURL != "https://acme.my.salesforce.com" {
					t.Errorf("the session of %s is %+v", org, s)
				}
				if text := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); strings.Contains(text, "fixture_token") {
					t.Errorf("a printed session shows the token: %s", text)
				}
			}
		})
	}
}

func TestKnown(t *testing.T) {
	t.Parallel()
	store := storeWith(t, keyV1, map[string]string{
		"a@example.com.json": loginFile(cipherV1, `, "isSandbox": true`),
		"alias.json":         `{"orgs": {"uat": "a@example.com"}}`,
	})
	for _, org := range []string{"uat", "a@example.com"} {
		if known, _ := store.Known(org); known.Username != "a@example.com" || known.Alias != "uat" || known.OrgID != "00D000000000001AAA" || known.Kind != platform.Sandbox || known.Version != 66 {
			t.Errorf("of %s is known %+v", org, known)
		}
	}
	if known, ok := store.Known("nobody"); ok || known != (Login{}) {
		t.Errorf("of nobody is known %+v", known)
	}
}

func TestStoreErrors(t *testing.T) {
	t.Parallel()
	aliases := `{"orgs": {"uat": "a@example.com", "gone": "gone@example.com"}}`
	for _, test := range []struct {
		name, org, key string
		files          map[string]string
		reason         error
		want           string
	}{
		{"unknown org", "nobody", keyV1, nil, ErrUnknownOrg, `no org "nobody" is logged in`},
		{"mistyped alias", "uta", keyV1, map[string]string{"alias.json": aliases}, ErrUnknownOrg, `no org "uta" is logged in`},
		{"alias without login", "gone", keyV1, map[string]string{"alias.json": aliases}, ErrUnknownOrg, `the alias "gone" stands for gone@example.com`},
		{"path as a name", "../a@example.com", keyV1, map[string]string{"a@example.com.json": loginFile(cipherV1, "")}, ErrUnknownOrg, "is logged in"},
		{"broken alias file", "uat", keyV1, map[string]string{"alias.json": "{"}, ErrStore, "alias.json"},
		{"broken login", "a@example.com", keyV1, map[string]string{"a@example.com.json": "[]"}, ErrStore, "a@example.com.json"},
		{"no token", "a@example.com", keyV1, map[string]string{"a@example.com.json": loginFile("", "")}, ErrNoToken, "has no access token"},
		{"wrong key", "a@example.com", strings.Repeat("0", 32), map[string]string{"a@example.com.json": loginFile(cipherV1, "")}, ErrWrongKey, "not the one that the value was encrypted with"},
		{"v1 key, v2 value", "a@example.com", keyV1, map[string]string{"a@example.com.json": loginFile(cipherV2, "")}, ErrWrongKey, ""},
		{"damaged", "a@example.com", keyV1, map[string]string{"a@example.com.json": loginFile(cipherV1[:len(cipherV1)-1], "")}, ErrWrongKey, "cannot be decrypted"},
		{"no tag", "a@example.com", keyV1, map[string]string{"a@example.com.json": loginFile(strings.Split(cipherV1, ":")[0], "")}, ErrWrongKey, "not in sf's format"},
		{"odd key", "a@example.com", "short", map[string]string{"a@example.com.json": loginFile(cipherV1, "")}, ErrWrongKey, "a length that sf does not use"},
		{"http instance", "a@example.com", keyV1, map[string]string{"a@example.com.json": strings.Replace(loginFile(cipherV1, ""), "https", "http", 1)}, ErrInstance, "must be https"},
		{"no instance", "a@example.com", keyV1, map[string]string{"a@example.com.json": strings.Replace(loginFile(cipherV1, ""), "instanceUrl", "x", 1)}, ErrInstance, "not a URL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := storeWith(t, test.key, test.files).Session(t.Context(), test.org)
			if !errors.Is(err, test.reason) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %v with %q", err, test.reason, test.want)
			}
			for _, secret := range []string{"fixture_token", cipherV1[:20], cipherV2[:20], keyV1} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the message shows a secret: %v", err)
				}
			}
		})
	}
	unreadable := storeWith(t, keyV1, nil)
	if err := os.Mkdir(filepath.Join(unreadable.Dir, "a@example.com.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := unreadable.Session(t.Context(), "a@example.com"); !errors.Is(err, ErrStore) {
		t.Errorf("an unreadable login gives %v", err)
	}
}

func TestKeychains(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := func(name, body string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := func(name, content string) KeyFile {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return KeyFile(path)
	}
	open := func(f KeyFile) KeyFile {
		if err := os.Chmod(string(f), 0o644); err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, test := range []struct {
		name     string
		keychain Keychain
		key, err string
	}{
		{"file", file("key.json", `{"account": "local", "service": "sfdx", "key": "`+keyV1+`"}`), keyV1, ""},
		{"file of another service", file("other.json", `{"account": "local", "service": "x", "key": "k"}`), "", "has no key of account"},
		{"file for others to read", open(file("open.json", `{"account": "local", "service": "sfdx", "key": "`+keyV1+`"}`)), "", "has mode 644, but sf requires 600; run: chmod 600"},
		{"broken file", file("broken.json", "{"), "", "not the JSON"},
		{"no file", KeyFile(filepath.Join(dir, "none")), "", "no such file"},
		{"secret-tool", SecretTool(script("secret-tool", `test "$*" = "lookup user local domain sfdx" && echo `+keyV1)), keyV1, ""},
		{"secret-tool without a key", SecretTool(script("secret-tool-2", `exit 1`)), "", "failed"},
		{"secret-tool says nothing", SecretTool(script("secret-tool-3", `exit 0`)), "", "found no key"},
		{"security", MacKeychain(script("security", `test "$*" = "find-generic-password -a local -s sfdx -w" && echo `+keyV2)), keyV2, ""},
		{"security fails", MacKeychain(script("security-2", `echo "security: SecKeychainSearchCopyNext: not found." >&2; exit 44`)), "", "SecKeychainSearchCopyNext"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("the keychains are played by shell scripts")
			}
			key, err := test.keychain.Key(t.Context())
			if key.Reveal() != test.key || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %q, %v", key.Reveal(), err)
			}
		})
	}
	store := storeWith(t, "", map[string]string{"a@example.com.json": loginFile(cipherV1, "")})
	store.Keychain = KeyFile(filepath.Join(dir, "none"))
	if _, err := store.Session(t.Context(), "a@example.com"); !errors.Is(err, ErrNoKey) {
		t.Errorf("a store without a key gives %v", err)
	}
}

// TestScratchOrgs lists what the store has of them.
func TestScratchOrgs(t *testing.T) {
	t.Parallel()
	store := storeWith(t, "", map[string]string{
		"alias.json":         `{"orgs": {"mine": "b@example.com"}}`,
		"a@example.com.json": `{"username": "a@example.com", "isScratch": true, "expirationDate": "2026-12-01"}`,
		"b@example.com.json": `{"username": "b@example.com", "devHubUsername": "hub@example.com", "expirationDate": "2026-12-03"}`,
		"c@example.com.json": `{"username": "c@example.com", "isSandbox": true}`,
		"d@example.com.json": `{"username": "d@example.com", "isScratch": true}`,
		"e@example.com.json": `{`,
	})
	orgs, err := store.ScratchOrgs(time.Date(2026, 12, 2, 12, 0, 0, 0, time.UTC))
	if err != nil || strings.Join(orgs, " ") != "mine d@example.com" {
		t.Errorf("%v, %v", orgs, err)
	}
}

// counted is a keychain that counts how often it is asked.
type counted struct {
	fixedKey
	n int
}

func (c *counted) Key(ctx context.Context) (salesforce.Secret, error) {
	c.n++
	if err := ctx.Err(); err != nil {
		return salesforce.Secret{}, err
	}
	return c.fixedKey.Key(ctx)
}

func TestStoreAsksItsKeychainOnce(t *testing.T) {
	t.Parallel()
	store := storeWith(t, "", map[string]string{"a@example.com.json": loginFile(cipherV1, "")})
	keychain := &counted{fixedKey: keyV1}
	store.Keychain = keychain
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Session(ended, "a@example.com"); !errors.Is(err, ErrNoKey) {
		t.Errorf("an ended question gives %v, want ErrNoKey", err)
	}
	for range 3 {
		if _, err := store.Session(t.Context(), "a@example.com"); err != nil {
			t.Error(err)
		}
	}
	if keychain.n != 2 {
		t.Errorf("the keychain was asked %d times, want one that ended and one that counts", keychain.n)
	}
}

// TestUsernameWithAPath: a username, given or from the alias file, never leads out of the store.
func TestUsernameWithAPath(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	dir := filepath.Join(outside, "store")
	for name, content := range map[string]string{
		filepath.Join(outside, "a@example.com.json"):    loginFile(plainToken, ""),
		filepath.Join(dir, "sub", "a@example.com.json"): loginFile(plainToken, ""),
		filepath.Join(dir, "alias.json"):                `{"orgs": {"up": "../a@example.com", "down": "sub/a@example.com", "none": ""}}`,
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store := &Store{Dir: dir, Keychain: fixedKey(keyV1)}
	for _, org := range []string{
		"up", "down", "none", "../a@example.com", "sub/a@example.com", "./sub/a@example.com", `sub\a@example.com`,
		filepath.Join(outside, "a@example.com"), "",
	} {
		if s, err := store.Session(t.Context(), org); !errors.Is(err, ErrUnknownOrg) {
			t.Errorf("%q gives %v, %v, want an unknown org", org, s, err)
		}
		if known, ok := store.Known(org); ok {
			t.Errorf("%q is known as %+v", org, known)
		}
	}
}

// TestLastDayOfAScratchOrg: a scratch org exists until the end of the day on which it expires.
func TestLastDayOfAScratchOrg(t *testing.T) {
	t.Parallel()
	store := storeWith(t, keyV1, map[string]string{
		"a@example.com.json": loginFile(cipherV1, `, "isScratch": true, "expirationDate": "2026-12-24"`),
	})
	for then, exists := range map[string]bool{
		"2026-12-23T12:00:00Z": true, "2026-12-24T00:00:01Z": true, "2026-12-24T23:59:59Z": true, "2026-12-25T00:00:01Z": false,
	} {
		at, err := time.Parse(time.RFC3339, then)
		if err != nil {
			t.Fatal(err)
		}
		if orgs, err := store.ScratchOrgs(at); err != nil || (len(orgs) == 1) != exists {
			t.Errorf("at %s: %v, %v, want it to exist: %t", then, orgs, err, exists)
		}
	}
}

func TestZeroSessionHasNoToken(t *testing.T) {
	t.Parallel()
	for _, s := range []*Session{nil, {}} {
		if token, err := s.Token(); !errors.Is(err, ErrNoToken) {
			t.Errorf("its token is %v, %v, want ErrNoToken", token, err)
		}
		if token, err := s.Renew(t.Context(), &oauth2.Token{}); err == nil {
			t.Errorf("it is renewed to %v, want an error", token)
		}
	}
}

func TestDefaultKeychain(t *testing.T) {
	t.Parallel()
	tool := filepath.Join(t.TempDir(), "secret-tool")
	if err := os.WriteFile(tool, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		goos string
		env  map[string]string
		want Keychain
	}{
		{"windows", nil, KeyFile(filepath.Join("d", "key.json"))},
		{"darwin", nil, MacKeychain("/usr/bin/security")},
		{"darwin", map[string]string{"SF_USE_GENERIC_UNIX_KEYCHAIN": "true"}, KeyFile(filepath.Join("d", "key.json"))},
		{"linux", map[string]string{"SFDX_SECRET_TOOL_PATH": tool}, SecretTool(tool)},
		{"linux", map[string]string{"SFDX_SECRET_TOOL_PATH": tool, "USE_GENERIC_UNIX_KEYCHAIN": "TRUE"}, KeyFile(filepath.Join("d", "key.json"))},
		{"linux", map[string]string{"SFDX_SECRET_TOOL_PATH": tool + "-missing"}, KeyFile(filepath.Join("d", "key.json"))},
	} {
		if got := DefaultKeychain("d", test.goos, func(name string) string { return test.env[name] }); got != test.want {
			t.Errorf("%s with %v uses %v, want %v", test.goos, test.env, got, test.want)
		}
	}
}

func TestFromToken(t *testing.T) {
	t.Parallel()
	s, err := FromToken(salesforce.NewSecret(plainToken+"\n"), "https://acme--uat.sandbox.my.salesforce.com/")
	if err != nil || s.OrgID != "00D000000000001AAA" || s.Kind != platform.Sandbox || s.InstanceURL != "https://acme--uat.sandbox.my.salesforce.com" {
		t.Errorf("got %+v, %v", s, err)
	}
	if s, err = FromToken(salesforce.NewSecret("opaque"), "https://x.scratch.my.salesforce.com"); err != nil || s.OrgID != "" || s.Kind != platform.Scratch {
		t.Errorf("got %+v, %v", s, err)
	}
	for _, test := range []struct {
		token, url string
		reason     error
	}{
		{"", "https://a.example.com", ErrNoToken},
		{"a b", "https://a.example.com", ErrNoToken},
		{"TOKEN", "http://a.example.com", ErrInstance},
		{"TOKEN", "TOKEN", ErrInstance},
		{"TOKEN", "https://login.salesforce.com", ErrInstance},
		{"TOKEN", "https://TEST.salesforce.com/", ErrInstance},
	} {
		if _, err := FromToken(salesforce.NewSecret(test.token), test.url); !errors.Is(err, test.reason) || strings.Contains(err.Error(), "TOKEN") {
			t.Errorf("%q for %q gives %v", test.token, test.url, err)
		}
	}
}

func TestDefaultOrg(t *testing.T) {
	t.Parallel()
	project, home := t.TempDir(), t.TempDir()
	write := func(dir, content string) {
		if err := os.MkdirAll(filepath.Join(dir, ".sf"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ".sf", "config.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{}
	check := func(want string) {
		t.Helper()
		if got, err := DefaultOrg(project, home, func(name string) string { return env[name] }); got != want || err != nil {
			t.Errorf("the default org is %q, %v, want %q", got, err, want)
		}
	}
	check("")
	write(home, `{"target-org": "user"}`)
	check("user")
	write(project, `{"target-org": "project"}`)
	check("project")
	write(project, `{"target-org": "dev",}`)
	if got, err := DefaultOrg(project, home, func(string) string { return "" }); !errors.Is(err, ErrStore) {
		t.Errorf("a broken file gives %q, %v", got, err)
	}
	env["SF_TARGET_ORG"] = "env"
	check("env")
}

// FuzzStore checks that no content of the store's files makes reading them panic,
// and that no error repeats a value.
func FuzzStore(f *testing.F) {
	f.Add([]byte(loginFile(cipherV1, "")), keyV1)
	f.Add([]byte(loginFile(cipherV2, `, "isSandbox": true`)), keyV2)
	f.Add([]byte(`{"orgs": {"a": "b"}}`), "")
	f.Add([]byte(`{"account": "local", "service": "sfdx", "key": "`+keyV1+`"}`), "x")
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		parseAliases("alias.json", data)
		parseKeyFile("key.json", data)
		l, err := parseLogin("login.json", data)
		if err != nil {
			return
		}
		l.kind()
		if isEncrypted(l.AccessToken) {
			if _, err := decrypt(l.AccessToken, salesforce.NewSecret(key)); err != nil && len(key) > 8 && strings.Contains(err.Error(), key) {
				t.Errorf("the error shows the key: %v", err)
			}
		}
		decrypt(l.AccessToken, salesforce.NewSecret(key))
	})
}
