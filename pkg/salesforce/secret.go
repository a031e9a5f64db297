package salesforce

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Secret is a token, a consumer secret or a private key. Printing, logging and encoding show
// ‹secret›; only Reveal returns the value. The zero Secret holds "".
//
// Compare Secrets with Equal; == only tells whether one is a copy of the other.
type Secret struct {
	// A pointer, because fmt prints unexported fields of an enclosing struct without calling
	// the Secret's methods.
	held *string
}

// redacted replaces any Secret.
const redacted = "‹secret›"

// NewSecret returns a Secret that holds text. From then on, Mask finds the text in everything.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	known.add(text)
	return Secret{&text}
}

// Reveal returns the value. Each call is a place where the secret may leak.
func (s Secret) Reveal() string {
	if s.held == nil {
		return ""
	}
	return *s.held
}

// IsZero reports whether the Secret holds "". With omitzero, encoding/json omits such a Secret.
func (s Secret) IsZero() bool { return s.held == nil }

// Equal reports whether two Secrets hold the same value, in constant time.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns ‹secret›.
func (s Secret) String() string { return redacted }

// GoString returns ‹secret›.
func (s Secret) GoString() string { return redacted }

// Format writes ‹secret› for every verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue makes log/slog write ‹secret›.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText makes JSON, XML and other encodings write ‹secret›.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText sets the Secret to text, so that decoded values are secret at once.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
