package salesforce

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/words"
)

// MaxAnswer is the maximum size of an answer in bytes, after decompression. Real answers have
// kilobytes.
const MaxAnswer = 4 << 20

// MaxMarks is the maximum number of XML tags and attributes, or JSON objects and members, in an
// answer. Each takes some hundred bytes in memory, whatever its size in the answer. A query
// page of 2000 records has some ten thousand.
const MaxMarks = 250_000

// CheckMarks returns an error if the body contains more than MaxMarks of the characters. Each
// of them stands for one parsed item; what names the items.
func (r *Response) CheckMarks(characters, what string) error {
	n := 0
	for _, b := range r.Body {
		if strings.IndexByte(characters, b) >= 0 {
			n++
		}
	}
	if n > MaxMarks {
		return fmt.Errorf("the answer of %s has more than %d %s", r.Host, MaxMarks, what)
	}
	return nil
}

// Mask makes a message from the org safe to show. It replaces the session's token and anything
// that looks like a consumer secret or a private key, and shortens consumer keys and overlong
// messages.
func (r *Response) Mask(message string) string { return r.mask.message(message) }

// MaskSecrets makes a foreign message safe to show, as Response.Mask does, where other secrets
// than the session's token may be in it.
func MaskSecrets(message string, secrets ...Secret) string {
	message = masker{}.message(message)
	for _, secret := range secrets {
		message = masker{secret}.message(message)
	}
	return message
}

// masker removes secrets from foreign text. It is the second line of defence: values known to
// be secret are of type Secret.
type masker struct{ token Secret }

// maxMessage is the maximum length of a foreign message in bytes.
const maxMessage = 2000

// consumerSecret matches a consumer secret. Texts of this program have digests of that form.
var consumerSecret = regexp.MustCompile(`\b[0-9A-Fa-f]{64}\b`)

var consumerKey = regexp.MustCompile(`3MVG9[\w.]{12,}`)

func (m masker) message(message string) string {
	if token := m.token.Reveal(); token != "" {
		for _, form := range []string{token, url.QueryEscape(token), url.PathEscape(token)} {
			message = strings.ReplaceAll(message, form, "(token)")
		}
	}
	message = consumerSecret.ReplaceAllString(Mask(message), "(secret)")
	message = consumerKey.ReplaceAllStringFunc(message, words.ShortKey)
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return message
}
