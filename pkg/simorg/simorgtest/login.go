package simorgtest

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// Keys of sf's stores, of both versions.
const (
	storeKeyV1 = "0123456789abcdef0123456789abcdef"
	storeKeyV2 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// StoreKeys returns the keys of the stores that LogIn writes, for tests that search for secrets.
func StoreKeys() []string { return []string{storeKeyV1, storeKeyV2} }

// LogIn writes a session of an org into a store like sf's below a home directory. The flags are v2, for
// the newer encryption, production, scratch, and expired, for a scratch org that no longer exists.
func LogIn(home string, org *simorg.Server, alias string, flags ...string) error {
	key, keyBytes, iv, ivText := storeKeyV1, []byte(storeKeyV1), []byte("abcdefabcdef"), "abcdefabcdef"
	if slices.Contains(flags, "v2") {
		key, ivText = storeKeyV2, strings.Repeat("ab", 12)
		keyBytes, _ = hex.DecodeString(key)
		iv, _ = hex.DecodeString(ivText)
	}
	block, err := aes.NewCipher(keyBytes)
	if err != nil {
		return err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	sealed := gcm.Seal(nil, iv, []byte(org.AccessToken()), nil)
	text, tag := sealed[:len(sealed)-16], sealed[len(sealed)-16:]
	expires := "2099-12-31"
	if slices.Contains(flags, "expired") {
		expires = "2020-01-01"
	}
	aliases := struct {
		Orgs map[string]string `json:"orgs"`
	}{make(map[string]string)}
	dir := filepath.Join(home, ".sfdx")
	data, err := os.ReadFile(filepath.Join(dir, "alias.json"))
	if err == nil {
		err = json.Unmarshal(data, &aliases)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return err
	}
	for other, username := range aliases.Orgs {
		if username == org.Username() {
			delete(aliases.Orgs, other)
		}
	}
	aliases.Orgs[alias] = org.Username()
	for name, content := range map[string]any{
		org.Username() + ".json": map[string]any{
			"username": org.Username(), "orgId": org.ID(), "instanceUrl": org.URL, "instanceApiVersion": apiversion.Latest.String(),
			"accessToken": ivText + hex.EncodeToString(text) + ":" + hex.EncodeToString(tag),
			"isSandbox":   !slices.Contains(flags, "production") && !slices.Contains(flags, "scratch"), "isScratch": slices.Contains(flags, "scratch"),
			"expirationDate": expires,
		},
		"alias.json": aliases,
		"key.json":   map[string]string{"account": "local", "service": "sfdx", "key": key},
	} {
		data, err := json.Marshal(content)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
