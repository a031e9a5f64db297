package salesforce

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/words"
)

// MaxAnswer is the most bytes of an answer that are read, after decompression. The answers
// of the calls here hold kilobytes.
const MaxAnswer = 4 << 20

// MaxMarks is the most XML tags and attributes, or JSON objects and members, that an
// answer may have. Each takes some hundred bytes when parsed, whatever its size in the
// answer. A query's page of 2000 records has some ten thousand.
const MaxMarks = 250_000

// CheckMarks returns an error where the body holds more than MaxMarks of the characters
// that each stand for something to be parsed; what names that.
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

// Mask makes a message that the org wrote fit to be shown: the session's token and what
// looks like a consumer secret or a private key are taken out, consumer keys are
// shortened, and so is a message of unusual length.
func (r *Response) Mask(message string) string { return r.mask.message(message) }

// masker takes secrets out of foreign text. It is the second line: what is known to be a
// secret is a Secret.
type masker struct{ token Secret }

// maxMessage is the most bytes of a foreign message that are passed on.
const maxMessage = 2000

// What secrets look like that an org could put into a message.
var (
	consumerKey    = regexp.MustCompile(`3MVG9[\w.]{12,}`)
	consumerSecret = regexp.MustCompile(`\b[0-9A-Fa-f]{64}\b`)
	privateKey     = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`)
)

func (m masker) message(message string) string {
	if token := m.token.Reveal(); token != "" {
		for _, form := range []string{token, url.QueryEscape(token), url.PathEscape(token)} {
			message = strings.ReplaceAll(message, form, "(token)")
		}
	}
	message = privateKey.ReplaceAllString(message, "(private key)")
	message = consumerSecret.ReplaceAllString(message, "(secret)")
	message = consumerKey.ReplaceAllStringFunc(message, words.ShortKey)
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return message
}
