package login

import (
	"errors"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Credentials are a consumer key and secret. A public client has no secret.
type Credentials struct {
	Key    string
	Secret salesforce.Secret
}

// ShortKey returns the start of the key: enough to tell keys apart, and safe to print.
func (c Credentials) ShortKey() string { return words.ShortKey(c.Key) }

// Check returns an error if key or secret contains a character that none of Salesforce's has. Such
// a text could inject a line or an argument where it is written.
func (c Credentials) Check() error {
	if strings.ContainsFunc(c.Key+c.Secret.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the org returned a consumer key or secret with invalid characters")
	}
	return nil
}
