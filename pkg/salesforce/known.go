package salesforce

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// Mask makes a text safe to print: it replaces every secret that this process holds as a Secret, and
// everything that looks like one: private keys, session IDs, refresh tokens, JWTs and sfdx auth URLs. A
// known secret is found as it is, URL-encoded, as hex and within base64, and also if
// white space or invisible characters split it.
func Mask(text string) string {
	text = known.mask(text)
	for _, p := range patterns {
		text = p.looks.ReplaceAllString(text, p.word)
	}
	return text
}

// patterns are the forms of secrets that may come from anywhere, the command line included.
var patterns = []struct {
	looks *regexp.Regexp
	word  string
}{
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`), "(private key)"},
	{regexp.MustCompile(`\bforce://[^\s"'<>]+`), "(auth URL)"},
	{regexp.MustCompile(`\b00D\w{3,}(?:!|%21)[\w.%]+`), "(token)"},
	{regexp.MustCompile(`\b5Aep[\w.=%-]{16,}`), "(token)"},
	{regexp.MustCompile(`\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*`), "(token)"},
}

const (
	// shortest is the length in bytes from which a secret is masked as such. Shorter ones would mask
	// ordinary words; real ones have twenty characters and more.
	shortest = 12
	// prefix is the number of bytes by which forms are looked up.
	prefix = 8
)

// known holds the secrets of this process.
var known registry

// registry finds secrets in texts. It is safe for concurrent use.
type registry struct {
	mu    sync.RWMutex
	seen  map[string]bool
	forms map[uint64][]string // forms by their first bytes, see key
}

// add notes a secret.
func (r *registry) add(secret string) {
	if len(secret) < shortest {
		return
	}
	r.mu.RLock()
	seen := r.seen[secret]
	r.mu.RUnlock()
	if seen {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen, r.forms = make(map[string]bool), make(map[uint64][]string)
	}
	r.seen[secret] = true
	for _, form := range forms(secret) {
		if len(form) >= prefix {
			first := key(form)
			r.forms[first] = append(r.forms[first], form)
		}
	}
}

// key returns the first prefix bytes of a text as a number.
func key(text string) (key uint64) {
	for i := range prefix {
		key = key<<8 | uint64(text[i])
	}
	return key
}

// forms returns how a secret may stand in a text, without white space.
func forms(secret string) []string {
	plain := strip(secret).text
	all := []string{plain, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	// Within base64 of a longer text, the secret begins at one of three places of a group. The first
	// and last characters depend on what stands beside it.
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			encoded := encoding.EncodeToString(append(make([]byte, before), secret...))
			from := [...]int{0, 2, 3}[before]
			all = append(all, encoded[from:len(encoded)-(before+len(secret))%3])
		}
	}
	return all
}

// stripped is a text without what may split a secret, and the place of each of its bytes in the
// original.
type stripped struct {
	text string
	at   []int
}

func strip(text string) stripped {
	s := stripped{at: make([]int, 0, len(text))}
	var b strings.Builder
	b.Grow(len(text))
	for i, r := range text {
		if r > ' ' && r < unicode.MaxASCII {
			b.WriteByte(byte(r))
			s.at = append(s.at, i)
			continue
		}
		if unicode.IsSpace(r) || r == unicode.ReplacementChar || r == '\u00ad' || unicode.Is(unicode.Cf, r) {
			continue
		}
		n, _ := b.WriteRune(r)
		for k := range n {
			s.at = append(s.at, i+k)
		}
	}
	s.text = b.String()
	return s
}

// mask replaces the known secrets of a text.
func (r *registry) mask(text string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.forms) == 0 || len(text) < prefix {
		return text
	}
	s := strip(text)
	var b strings.Builder
	end := 0 // of what is written of the original
	for i := 0; i+prefix <= len(s.text); {
		longest := 0
		for _, form := range r.forms[key(s.text[i:])] {
			if len(form) > longest && strings.HasPrefix(s.text[i:], form) {
				longest = len(form)
			}
		}
		if longest == 0 {
			i++
			continue
		}
		b.WriteString(text[end:s.at[i]])
		b.WriteString("(secret)")
		i += longest
		end = s.at[i-1] + 1
	}
	if end == 0 {
		return text
	}
	b.WriteString(text[end:])
	return b.String()
}
