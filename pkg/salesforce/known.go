package salesforce

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// Mask makes a text safe to print: it replaces every secret that this process holds as a Secret, and
// everything that looks like one: private keys, session IDs, refresh tokens, JWTs and sfdx auth URLs. A
// known secret is found as it is, URL-encoded, as hex and within base64, also if white space or invisible
// characters split it, or its second half is missing.
func Mask(text string) string {
	text = known.mask(text)
	for _, p := range patterns {
		text = p.looks.ReplaceAllString(text, p.word)
	}
	return text
}

// jsonString is a string in a JSON document.
var jsonString = regexp.MustCompile(`"(?:\\.|[^"\\])*"`)

// MaskJSON is Mask for the strings in a JSON document, which stays valid.
func MaskJSON(document string) string {
	return jsonString.ReplaceAllStringFunc(document, func(quoted string) string {
		var text string
		if json.Unmarshal([]byte(quoted), &text) != nil {
			return quoted
		}
		masked := Mask(text)
		if masked == text {
			return quoted
		}
		encoded, err := json.Marshal(masked)
		if err != nil {
			return `""`
		}
		return string(encoded)
	})
}

// Unfinished returns the place from which a text may hold the first part of a secret, whose other part
// follows in a later text. It is the text's length if there is none.
func Unfinished(text string) int {
	at := known.open(text)
	if begin := strings.LastIndex(text, "-----BEGIN "); begin >= 0 && !strings.Contains(text[begin:], "-----END ") {
		at = min(at, begin)
	}
	return at
}

// patterns are the forms of secrets that may come from anywhere, the command line included.
var patterns = []struct {
	looks *regexp.Regexp
	word  string
}{
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`), "(private key)"},
	{regexp.MustCompile(`\bforce://[^\s"'<>\\]+`), "(auth URL)"},
	{regexp.MustCompile(`\b(?:LS0tLS1CRUdJTi|MII)[\w+/=-]{9,}(?:(?:\s|\\(?:[nr]|x0[ad]))*[\w+/=-]{20,})+`), "(key)"}, // base64 of PEM or DER
	{regexp.MustCompile(`\b00D\w{3,}(?:!|%21)[\w.%]+`), "(token)"},
	{regexp.MustCompile(`\b5Aep[\w.=%-]{16,}`), "(token)"},
	{regexp.MustCompile(`\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*`), "(token)"},
}

const (
	// shortest is the length in bytes from which a secret is masked as such. Shorter ones would mask
	// ordinary words; real ones have twenty characters and more.
	shortest = 12
	// shortestCut is the length in bytes from which the first half of a secret is masked. An org's ID,
	// with which session IDs begin, is shorter.
	shortestCut = 24
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

// shortestPart is the number of bytes from which the end of a text may be a part of a secret.
const shortestPart = 3

// open returns the place from which the end of a text may be the beginning of a known secret, its
// length if there is none.
func (r *registry) open(text string) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s := strip(text)
	at := len(text)
	for _, same := range r.forms {
		for _, form := range same {
			for n := min(len(form)-1, len(s.text)); n >= shortestPart; n-- {
				if strings.HasPrefix(form, s.text[len(s.text)-n:]) {
					at = min(at, s.at[len(s.text)-n])
					break
				}
			}
		}
	}
	return at
}

// common returns the length of the common prefix of two texts.
func common(a, b string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// mask replaces the known secrets of a text, also those that are cut off behind their half.
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
			n := common(form, s.text[i:])
			if n > longest && (n == len(form) || n >= max(len(form)/2, shortestCut)) {
				longest = n
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
