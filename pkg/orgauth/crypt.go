package orgauth

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// The Salesforce CLI encrypts with AES-256-GCM and a 16-byte tag. A value is the iv, the
// ciphertext in hex, ":" and the tag in hex. The length of the key tells the two versions
// apart:
//
//   - v1: a key of 32 hex digits; their 32 characters are the key bytes. The iv is
//     12 characters, used as bytes.
//   - v2: a key of 64 hex digits, decoded to 32 bytes. The iv is 24 hex digits,
//     decoded to 12 bytes.
const (
	keyDigitsV1 = 32
	keyDigitsV2 = 64
	ivBytes     = 12
	tagDigits   = 32
)

// isEncrypted reports whether a stored value is encrypted, and not a plain access token. Every
// access token contains "!", and no encrypted value does. A damaged value counts as encrypted,
// so it is never sent as a token.
func isEncrypted(value salesforce.Secret) bool { return !strings.Contains(value.Reveal(), "!") }

// decrypt returns the plain text of a value that the CLI encrypted. Errors contain neither the
// value nor the key.
func decrypt(sealedValue, sealingKey salesforce.Secret) (salesforce.Secret, error) {
	none, key := salesforce.Secret{}, sealingKey.Reveal()
	text, tag, found := strings.Cut(sealedValue.Reveal(), ":")
	if !found {
		return none, errors.New("the value is not in sf's format")
	}
	var keyBytes, iv []byte
	var err error
	switch len(key) {
	case keyDigitsV1:
		if len(text) < ivBytes {
			return none, errors.New("the value is too short")
		}
		keyBytes, iv, text = []byte(key), []byte(text[:ivBytes]), text[ivBytes:]
	case keyDigitsV2:
		if len(text) < 2*ivBytes {
			return none, errors.New("the value is too short")
		}
		if keyBytes, err = hex.DecodeString(key); err != nil {
			return none, errors.New("the key is not hex")
		}
		if iv, err = hex.DecodeString(text[:2*ivBytes]); err != nil {
			return none, errors.New("the value is not hex")
		}
		text = text[2*ivBytes:]
	default:
		return none, errors.New("the key has a length that sf does not use")
	}
	sealed, err := hex.DecodeString(text + tag)
	if err != nil || len(tag) != tagDigits {
		return none, errors.New("the value is not hex")
	}
	block, err := aes.NewCipher(keyBytes)
	if err != nil {
		return none, errors.New("the key is not an AES key")
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return none, err
	}
	plain, err := gcm.Open(nil, iv, sealed, nil)
	if err != nil {
		return none, errors.New("the key is not the one that the value was encrypted with")
	}
	return salesforce.NewSecret(string(plain)), nil
}
