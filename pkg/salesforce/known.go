package salesforce

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Mask makes a text safe to print: it replaces every secret that this process holds as a Secret, and
// everything that looks like one: private keys, session IDs, refresh tokens, JWTs and sfdx auth URLs. A
// known secret is found as it is, URL-encoded, escaped as in HTML or JSON, as hex and within base64, also if
// white space, invisible characters or escape sequences split it, or its end is missing.
func Mask(text string) string {
	if text == "" {
		return text
	}
	found := known.find(text)
	for _, p := range patterns {
		for _, match := range p.looks.FindAllStringIndex(text, -1) {
			found = append(found, span{match[0], match[1], p.word})
		}
	}
	if !isPlain(text) {
		levels(text, true, func(n normalized) {
			for _, p := range patterns {
				for _, match := range p.looks.FindAllStringIndex(n.text, -1) {
					found = append(found, span{n.at[match[0]], n.end[match[1]-1], p.word})
				}
			}
		})
	}
	return replaceSpans(text, found)
}

// isPlain reports whether a text has no escapes and no characters beyond printable ASCII and white space.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c >= 0x7f || c < ' ' && c != '\n' && c != '\t' && c != '\r' || strings.IndexByte(escapes, c) >= 0 {
			return false
		}
	}
	return true
}

// LearnSecrets makes Mask know what looks like a secret in a text from outside, like an argument: from then
// on it is found in all forms.
func LearnSecrets(text string) {
	for _, match := range secretParameter.FindAllStringSubmatch(text, -1) {
		learn(match[1])
		if value, err := url.QueryUnescape(match[1]); err == nil {
			learn(value)
		}
	}
	if match := secretArgument.FindStringSubmatch(text); match != nil {
		learn(match[1])
	}
	for _, p := range patterns {
		for _, match := range p.looks.FindAllString(text, -1) {
			known.add(match)
			if rest, is := strings.CutPrefix(match, "force://"); is {
				rest, _, _ = strings.Cut(rest, "@")
				for _, part := range strings.Split(rest, ":")[1:] { // behind the client ID: secret and refresh token
					known.add(part)
				}
			}
		}
	}
}

// learn makes Mask know a text, and the same in lower case, as which errors about booleans quote it.
func learn(text string) {
	known.add(text)
	known.add(strings.ToLower(text))
}

var (
	// secretParameter is a parameter of a URL or of a form that is a secret.
	secretParameter = regexp.MustCompile(`(?i)(?:[?&#]|^)(?:code|access_token|refresh_token|client_secret|code_verifier|assertion)=([^&\s"'#]+)`)
	// secretArgument is an argument that is a consumer secret, also as the value of a flag.
	secretArgument = regexp.MustCompile(`^(?:--?[\w-]+=)?([0-9A-Fa-f]{64})$`)
)

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
	if begin := strings.LastIndex(text[:at], "-----BEGIN "); begin >= 0 && !pemEnd.MatchString(text[begin:at]) {
		at = begin
	}
	return at
}

var pemEnd = regexp.MustCompile(`-----END [^-\n]*-----`)

// patterns are the forms of secrets that may come from anywhere, the command line included.
var patterns = []struct {
	looks *regexp.Regexp
	word  string
}{
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|$)`), "(private key)"},
	{regexp.MustCompile(`\bforce://[^\s"'<>\\]+`), "(auth URL)"},
	{regexp.MustCompile(`\b[a-z][a-z0-9+.-]*://[^\s/:@"'<>\\]*:[^\s/@"'<>\\]+@`), "(password)@"},                     // of a URL
	{regexp.MustCompile(`\b(?:LS0tLS1CRUdJTi|MII)[\w+/=-]{9,}(?:(?:\s|\\(?:[nr]|x0[ad]))*[\w+/=-]{20,})+`), "(key)"}, // base64 of PEM or DER
	{regexp.MustCompile(`\b00D\w{3,}(?:!|%21)[\w.%]+`), "(token)"},
	{regexp.MustCompile(`\b5Aep[\w.=%-]{16,}`), "(token)"},
	{regexp.MustCompile(`\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*`), "(token)"},
}

const (
	// shortest is the length in bytes from which a secret is masked as such. Shorter ones would mask
	// ordinary words; real ones have twenty characters and more.
	shortest = 12
	// shortestCut is the length in bytes from which the beginning of a longer secret is masked. An org's ID,
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
	whole := []string{secret}
	if org, rest, is := strings.Cut(secret, "!"); is && strings.HasPrefix(org, "00D") {
		whole = append(whole, rest) // of a session ID
	}
	if lines := strings.Split(strings.TrimSpace(secret), "\n"); len(lines) > 1 { // a key, of which a text may hold single lines
		whole = append(whole, lines...)
	}
	for _, part := range whole {
		if len(part) < shortest || strings.HasPrefix(part, "-----") && len(part) < 2*shortestCut {
			continue
		}
		for _, form := range forms(part) {
			if len(form) >= prefix {
				first := key(form)
				r.forms[first] = append(r.forms[first], form)
			}
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
	small := hex.EncodeToString([]byte(secret))
	all := []string{
		strip(strings.ReplaceAll(secret, " ", "+"), false).text, strip(strings.ToLower(secret), false).text,
		strip(strings.ToUpper(secret), false).text, small, strings.ToUpper(small), separated(small, ":"), separated(small, "-"),
		separated(strings.ToUpper(small), ":"), separated(strings.ToUpper(small), "-"),
	}
	levels(secret, false, func(n normalized) { all = append(all, n.text) }) // it may look like an escape itself
	// Within base64 of a longer text, the secret begins at one of three places of a group. The first
	// and last characters depend on what stands beside it.
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			encoded := encoding.EncodeToString(append(make([]byte, before), secret...))
			from := [...]int{0, 2, 3}[before]
			all = append(all, encoded[from:len(encoded)-(before+len(secret))%3])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// separated puts a text between the bytes of hex.
func separated(hex, between string) string {
	var b strings.Builder
	for i := 0; i < len(hex); i += 2 {
		if i > 0 {
			b.WriteString(between)
		}
		b.WriteString(hex[i : i+2])
	}
	return b.String()
}

// shortestPart is the number of bytes from which the end of a text may be a part of a secret.
const shortestPart = 3

// openEscape is the first part of an escape, at the end of a text.
var openEscape = regexp.MustCompile(`(?:%[0-9A-Fa-f]?|\\[xu]?[0-9A-Fa-f]{0,3}|&#?\w{0,8})\s*$`)

// open returns the place from which the end of a text may be the beginning of a known secret, its
// length if there is none.
func (r *registry) open(text string) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	at := len(text)
	levels(openEscape.ReplaceAllString(text, ""), false, func(s normalized) {
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
	})
	return at
}

// common returns the length of the common prefix of two texts.
func common(a, b string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// find returns the places of the known secrets in a text. Those that are cut off are found too.
func (r *registry) find(text string) (found []span) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.forms) == 0 || len(text) < prefix {
		return nil
	}
	levels(text, false, func(s normalized) {
		for i := 0; i+prefix <= len(s.text); {
			longest := 0
			for _, form := range r.forms[key(s.text[i:])] {
				n := common(form, s.text[i:])
				if n > longest && (n == len(form) || n >= shortestCut) {
					longest = n
				}
			}
			if longest == 0 {
				i++
				continue
			}
			found = append(found, span{s.at[i], s.end[i+longest-1], "(secret)"})
			i += longest
		}
	})
	return found
}

// span is a part of a text, and the word that takes its place.
type span struct {
	from, to int
	word     string
}

// replaceSpans puts words in the place of parts of a text. Parts that overlap become one.
func replaceSpans(text string, found []span) string {
	if len(found) == 0 {
		return text
	}
	slices.SortFunc(found, func(a, b span) int { return cmp.Or(a.from-b.from, b.to-a.to) })
	var b strings.Builder
	end := 0
	for _, f := range found {
		if f.from >= end {
			b.WriteString(text[end:f.from])
			b.WriteString(f.word)
		}
		end = max(end, f.to)
	}
	b.WriteString(text[end:])
	return b.String()
}
