package orgauth_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// jwtOrg starts an org that a JWT client can log in to, and returns the path of
// the client's private key.
func jwtOrg(t *testing.T) (*simorg.Server, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "server.key")
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return simorgtest.Start(t, simorg.Config{JWTClients: map[string]*rsa.PublicKey{"CLIENT": &key.PublicKey}}), file
}

// store writes a login into a store of its own.
func store(t *testing.T, org *simorg.Server, token, more string) *orgauth.Store {
	t.Helper()
	dir := t.TempDir()
	login := fmt.Sprintf(`{"username": %q, "orgId": %q, "instanceUrl": %q, "accessToken": %q%s}`, org.Username(), org.ID(), org.URL+"/", token, more)
	for name, content := range map[string]string{org.Username() + ".json": login, "alias.json": `{"orgs": {"uat": "` + org.Username() + `"}}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &orgauth.Store{Dir: dir, Keychain: orgauth.KeyFile(filepath.Join(dir, "key.json"))}
}

// fakeSF writes a program that answers like sf.
func fakeSF(t *testing.T, script string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("sf is played by a shell script")
	}
	file := filepath.Join(t.TempDir(), "sf")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// call makes some calls at once with a session.
func call(t *testing.T, org *simorg.Server, s *orgauth.Session) error {
	client := &mdapi.Client{Conn: s.Conn()}
	var wg sync.WaitGroup
	errs := make([]error, 5)
	for i := range errs {
		wg.Go(func() { _, errs[i] = client.List(t.Context(), eca.Header) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func TestRenewByJWT(t *testing.T) {
	t.Parallel()
	org, key := jwtOrg(t)
	stale := org.AccessToken()
	org.ExpireSessions()
	login := fmt.Sprintf(`, "loginUrl": %q, "clientId": "CLIENT", "privateKey": %q`, org.URL, key)
	s, err := store(t, org, stale, login).Session(t.Context(), "uat")
	if err != nil {
		t.Fatal(err)
	}
	if err := call(t, org, s); err != nil {
		t.Fatal(err)
	}
	tokens := 0
	for _, r := range org.Requests() {
		if strings.HasPrefix(r.Path, "/services/oauth2/token") {
			tokens++
		}
	}
	if tokens != 1 || s.Renewed() != "by JWT bearer" {
		t.Errorf("%d tokens were asked for, renewed %s", tokens, s.Renewed())
	}
	// Once a run: what expires again is not renewed again.
	org.ExpireSessions()
	if err := call(t, org, s); !errors.Is(err, orgauth.ErrExpired) {
		t.Errorf("got %v, want %v", err, orgauth.ErrExpired)
	}
}

func TestRenewByJWTFails(t *testing.T) {
	t.Parallel()
	org, key := jwtOrg(t)
	for _, test := range []struct{ name, login, want string }{
		{"unknown client", `"clientId": "OTHER", "privateKey": "` + key + `"`, "invalid_client_id: client identifier invalid"},
		{"no key", `"clientId": "CLIENT", "privateKey": "/nowhere/server.key"`, "cannot read its private key /nowhere/server.key"},
		{"no client", `"privateKey": "` + key + `"`, "has no client ID"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := store(t, org, "00D!stale", `, "loginUrl": "`+org.URL+`", `+test.login).Session(t.Context(), "uat")
			if err != nil {
				t.Fatal(err)
			}
			err = call(t, org, s)
			failed, _ := errors.AsType[*orgauth.Error](err)
			if !errors.Is(err, orgauth.ErrExpired) || !strings.Contains(err.Error(), test.want) || failed.Login != "uat" || strings.Contains(err.Error(), "stale") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestJWTAudience(t *testing.T) {
	t.Parallel()
	org, key := jwtOrg(t)
	login := fmt.Sprintf(`, "loginUrl": %q, "clientId": "CLIENT", "privateKey": %q`, org.URL, key)
	st := store(t, org, "00D!stale", login)
	st.AudienceURL = "https://test.salesforce.com"
	s, err := st.Session(t.Context(), "uat")
	if err != nil {
		t.Fatal(err)
	}
	if err := call(t, org, s); err != nil {
		t.Error(err)
	}
}

func TestRenewBySF(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	show := `test "$*" = "org auth show-access-token --target-org ` + org.Username() + ` --json --no-prompt"`
	display := `test "$*" = "org display --target-org ` + org.Username() + ` --json"`
	answer := func(token string) string {
		return `echo '{"status": 0, "result": {"accessToken": "` + token + `"}}'`
	}
	for _, test := range []struct{ name, script, want string }{
		{"new sf", show + " && " + answer(org.AccessToken()), ""},
		{"old sf", "if " + display + "; then " + answer(org.AccessToken()) + "; else echo '{\"status\": 1, \"message\": \"not a command\"}'; exit 127; fi", ""},
		{"sf hides it", answer("[REDACTED] Use sf org auth show-access-token"), "sf shows no token"},
		{"sf has no other", answer("00D!stale"), "sf has no other token for it"},
		{"sf fails", `echo '{"status": 1, "message": "No authorization information found"}'; exit 1`, "sf says: No authorization information found"},
		{"sf crashes", "exit 3", "sf failed: exit status 3"},
		{"old sf fails", "if " + display + "; then echo '{\"message\": \"expired token\"}'; else exit 127; fi", "sf says: expired token"},
		{"sf says too much", `printf '%s' '{"message": "Old 00Dxx!AQEsecret\nand more"}'; exit 1`, "sf says: Old (token) and more"},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := store(t, org, "00D!stale", `, "refreshToken": "x"`)
			st.SF = fakeSF(t, test.script)
			before, _ := os.ReadFile(filepath.Join(st.Dir, org.Username()+".json"))
			s, err := st.Session(t.Context(), "uat")
			if err != nil {
				t.Fatal(err)
			}
			err = call(t, org, s)
			if test.want == "" && (err != nil || s.Renewed() != "by sf") {
				t.Errorf("got %v, renewed %q", err, s.Renewed())
			}
			if test.want != "" && (!errors.Is(err, orgauth.ErrExpired) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "stale")) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if after, _ := os.ReadFile(filepath.Join(st.Dir, org.Username()+".json")); string(after) != string(before) {
				t.Error("the store was written")
			}
		})
	}
}

// TestHangingSF makes sure that the time is up when it is up, also where sf left a
// child behind that keeps its output open, and that this is not held against the
// login.
func TestHangingSF(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	st := store(t, org, "00D!stale", "")
	mark := filepath.Join(t.TempDir(), "mark")
	st.SF = fakeSF(t, `if test -e `+mark+`; then echo '{"result": {"accessToken": "`+org.AccessToken()+`"}}'; else touch `+mark+`; sleep 60; echo; fi`)
	s, err := st.Session(t.Context(), "uat")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	started := time.Now()
	stale, _ := s.Token()
	if _, err := s.Renew(ctx, stale); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := call(t, org, s); err != nil {
		t.Error(err)
	}
}

func TestGivenTokensAreNotRenewed(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	s, err := orgauth.FromToken(salesforce.NewSecret("00D!stale"), org.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := call(t, org, s); !errors.Is(err, orgauth.ErrExpired) || !strings.Contains(err.Error(), "has expired or was revoked") {
		t.Errorf("got %v, want %q", err, "has expired or was revoked")
	}
}
