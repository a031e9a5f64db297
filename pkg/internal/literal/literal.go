// Package literal tells secrets in source from placeholders, dummies and formulas.
package literal

import (
	"maps"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/words"
)

// placeholders are texts that a script or "replacements" of sfdx-project.json fills in: ${X}, {{X}}, {X}
// alone, and __X__, which is not part of a name.
var placeholders = regexp.MustCompile(`^\{[A-Z][A-Z0-9_]+\}$|\$\{[^{}]+\}|\{\{[^{}]+\}\}|(?:^|[^A-Za-z0-9_])__[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*__(?:$|[^A-Za-z0-9_])`)

// Placeholder returns the first placeholder in a text, or "".
func Placeholder(text string) string {
	found := placeholders.FindString(text)
	if i := strings.Index(found, "__"); i >= 0 && !strings.Contains(found, "{") {
		found = found[i : strings.LastIndex(found, "__")+2]
	}
	return words.Clip(found)
}

// Certainty is how certain it is that a text is a secret.
type Certainty int

// The certainties.
const (
	No     Certainty = iota // a placeholder, a dummy, or something else
	Maybe                   // a plain word where a secret belongs
	Likely                  // a secret
)

// Secret judges the text of an element that holds a secret.
func Secret(text string) Certainty {
	text = strings.TrimSpace(text)
	switch {
	case text == "", isStandIn(text):
		return No
	case plainWord.MatchString(text):
		return Maybe
	}
	return Likely
}

// plainWord matches a short word without digits and signs, as people write it in place of a password.
var plainWord = regexp.MustCompile(`^[A-Za-z][a-z]{2,6}$`)

// isStandIn reports whether a text obviously stands for a value: a placeholder, a text in brackets, or
// one and the same sign.
func isStandIn(text string) bool {
	first, last := text[0], text[len(text)-1]
	return Placeholder(text) != "" || len(text) > 2 && strings.Trim(text, text[:1]) == "" ||
		first == '<' && last == '>' || first == '{' && last == '}' || first == '[' && last == ']' || first == '%' && last == '%' ||
		standIns.MatchString(text)
}

// standIns matches what people write in templates.
var standIns = regexp.MustCompile(`(?i)^(?:your|my|the|enter|insert|replace|change|put|set|add|todo|fixme|xxx|example|sample|dummy|fake|test|placeholder|password|ignored?|none|null|n/a|not)(?:[ _.\-]?(?:me|your|with|real|key|token|secret|password|value|here|api|access|client|set|used|needed|this|it|later|the|in|setup|x+))*[!.]*$`)

// Named returns by what the value of a header, parameter or query of a URL is a secret, "" if it is none.
func Named(name, value string) (why string) {
	isFormula := strings.Contains(value, "{!")
	for _, text := range literals(value) {
		text = scheme.ReplaceAllString(strings.TrimSpace(text), "")
		switch {
		case text == "" || isStandIn(text) || strings.Contains(text, "://") || switches.MatchString(text):
		case isSecretName(name) && !(isFormula && len(text) < 8):
			return "by its name " + words.Clip(name)
		case isRandom(text) && !isIdentifier(name):
			return "by its form"
		}
	}
	return ""
}

var (
	// scheme is the authentication scheme before the credentials of an Authorization header.
	scheme   = regexp.MustCompile(`(?i)^(?:bearer|basic|token|apikey|api-key|digest|oauth)(?:\s+|$)`)
	switches = regexp.MustCompile(`^(?i:true|false|yes|no|\d)$`)
	quoted   = regexp.MustCompile(`'[^']*'|"[^"]*"`)
)

// literals returns a value, or the literals of a formula.
func literals(value string) []string {
	if !strings.Contains(value, "{!") {
		return []string{value}
	}
	found := quoted.FindAllString(value, -1)
	for i, text := range found {
		found[i] = text[1 : len(text)-1]
	}
	return found
}

// notInWords matches what separates the words of a name.
var notInWords = regexp.MustCompile(`[^a-z0-9]+`)

// isSecretName reports whether a name is that of a secret: client_secret, X-API-Key, Authorization,
// Cookie, and the like, and not of something about one, like client_secret_method.
func isSecretName(name string) bool {
	name = notInWords.ReplaceAllString(strings.ToLower(name), "")
	for _, ending := range []string{"method", "type", "url", "uri", "name", "id", "expiresin", "expiry", "endpoint", "scope", "header", "format", "version", "algorithm"} {
		if strings.HasSuffix(name, ending) {
			return false
		}
	}
	for _, part := range []string{
		"secret", "password", "passwd", "passphrase", "authorization", "cookie", "apikey", "accesskey", "privatekey", "subscriptionkey", "authkey", "functionkey", "xfunctionskey", "credential",
	} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return slices.Contains([]string{"pwd", "pass", "key", "xkey", "auth", "xauth", "sig", "signature", "jwt", "bearer"}, name) ||
		strings.HasSuffix(name, "token")
}

// isIdentifier reports whether a name is that of something that only looks random.
func isIdentifier(name string) bool {
	name = notInWords.ReplaceAllString(strings.ToLower(name), "")
	return strings.HasSuffix(name, "id") || strings.HasSuffix(name, "ids") || strings.Contains(name, "thumbprint") || strings.Contains(name, "fingerprint") ||
		slices.Contains([]string{"kid", "aud", "audience", "iss", "issuer", "sub", "subject", "scope", "tenant", "resource", "x5t", "account"}, name)
}

var (
	hexadecimal = regexp.MustCompile(`^[0-9A-Fa-f]{24,}$`)
	base64Text  = regexp.MustCompile(`^[A-Za-z0-9+/_\-]{24,}={0,2}$`)
	// compound matches texts of several parts, like the tokens of many providers: prefix_base64, a.b.c.
	compound = regexp.MustCompile(`^[A-Za-z0-9+/_\-.~:]{24,}={0,2}$`)
)

// isRandom reports whether a text is a long hex or base64 literal, and no words.
func isRandom(text string) bool {
	text = strings.TrimSpace(text)
	letters, digits, upper, lower := 0, 0, 0, 0
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r >= 'a' && r <= 'z':
			letters, lower = letters+1, lower+1
		case r >= 'A' && r <= 'Z':
			letters, upper = letters+1, upper+1
		}
	}
	switch {
	case hexadecimal.MatchString(text):
		return digits > 0 && letters > 0
	case base64Text.MatchString(text), compound.MatchString(text):
		return digits > 1 && upper > 1 && lower > 1 && entropy(text) > 3.9
	}
	return false
}

// entropy returns the bits per character of a text.
func entropy(text string) (bits float64) {
	count := make(map[rune]float64)
	for _, r := range text {
		count[r]++
	}
	for _, n := range count {
		p := n / float64(len(text))
		bits -= p * math.Log2(p)
	}
	return bits
}

// InURL returns by what a URL holds a secret in its password or query, "" if it holds none.
func InURL(text string) (why string) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Host == "" {
		return ""
	}
	if password, ok := u.User.Password(); ok && Secret(password) != No {
		return "the password in the address"
	}
	query := u.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		for _, value := range query[name] {
			if why := Named(name, value); why != "" {
				return why + " in the address"
			}
		}
	}
	return ""
}
