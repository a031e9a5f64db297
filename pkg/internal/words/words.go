// Package words formats names and values for messages to people.
package words

import (
	"regexp"
	"strings"

	"github.com/agnivade/levenshtein"
)

// maxShown is the maximum length in bytes of a text that Clip leaves whole.
const maxShown = 1000

// Clip truncates a text that is too long to show.
func Clip(s string) string {
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}

// ShortKey shortens a consumer key to a few characters from both ends: enough to identify it,
// too few to use it.
func ShortKey(key string) string {
	if len(key) < 16 {
		return "…"
	}
	return key[:5] + "…" + key[len(key)-3:]
}

// DidYouMean returns "; did you mean NAME?" with the known name most similar to a mistyped one,
// or "" if none is similar.
func DidYouMean(name string, known []string) string {
	if similar := Similar(name, known); similar != "" {
		return "; did you mean " + similar + "?"
	}
	return ""
}

// Similar returns the known name most similar to a mistyped one, else the only one with it as a
// prefix, or "".
func Similar(name string, known []string) string {
	if len(name) > 100 {
		return "" // no name is this long
	}
	best, distance := "", 1+len(name)/3
	var longer []string
	for _, k := range known {
		if strings.EqualFold(name, k) {
			return k
		}
		if d := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(k)); d <= distance {
			best, distance = k, d-1
		}
		if len(name) >= 4 && strings.HasPrefix(strings.ToLower(k), strings.ToLower(name)) {
			longer = append(longer, k)
		}
	}
	if best == "" && len(longer) == 1 {
		return longer[0]
	}
	return best
}

// accessToken matches an access token.
var accessToken = regexp.MustCompile(`00D\w+!\S+`)

// Foreign makes an untrusted message safe to show: on one line, at most 300 bytes, without
// access tokens.
func Foreign(message string) string {
	message = accessToken.ReplaceAllString(strings.Join(strings.Fields(message), " "), "(token)")
	if len(message) > 300 {
		message = strings.ToValidUTF8(message[:300], "") + "…"
	}
	return message
}
