package salesforce

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Secret is a token, a consumer secret or a private key. It shows itself as ‹secret› in
// every way of printing, logging and encoding; Reveal is the one way to what it holds. The
// zero Secret holds "".
//
// Secrets are compared with Equal; == tells only whether two are copies of one another.
type Secret struct {
	// Behind a pointer, because fmt prints unexported fields of what holds a Secret
	// without asking the Secret.
	held *string
}

// redacted is what is shown of any Secret.
const redacted = "‹secret›"

// NewSecret returns a Secret that holds a text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal returns what the Secret holds. Each call is a place where it may leave.
func (s Secret) Reveal() string {
	if s.held == nil {
		return ""
	}
	return *s.held
}

// IsZero reports whether the Secret holds "". It makes omitzero leave it out of JSON.
func (s Secret) IsZero() bool { return s.held == nil }

// Equal reports whether two Secrets hold the same, in constant time.
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

// UnmarshalText reads a Secret, so that it is one from the moment it is decoded.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
