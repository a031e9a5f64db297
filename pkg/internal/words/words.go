// Package words writes names and values for messages to people.
package words

import (
	"regexp"
	"strings"

	"github.com/agnivade/levenshtein"
)

// maxShown is the most of a value that Clip shows, in bytes.
const maxShown = 1000

// Clip cuts a text that is too long to be shown.
func Clip(s string) string {
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}

// ShortKey shortens a consumer key to what tells it from others without allowing its
// use: a few characters from both ends.
func ShortKey(key string) string {
	if len(key) < 16 {
		return "…"
	}
	return key[:5] + "…" + key[len(key)-3:]
}

// DidYouMean returns "; did you mean NAME?" for the known name that a mistyped one is
// closest to, or "" where none is close.
func DidYouMean(name string, known []string) string {
	if similar := Similar(name, known); similar != "" {
		return "; did you mean " + similar + "?"
	}
	return ""
}

// Similar returns the known name that a mistyped one is closest to, or else the only
// one that begins with it, or "".
func Similar(name string, known []string) string {
	if len(name) > 100 {
		return "" // no name is so long
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

// accessToken is what an access token looks like.
var accessToken = regexp.MustCompile(`00D\w+!\S+`)

// Foreign makes a message that somebody else wrote fit to be passed on: on one
// line, of bearable length, and without tokens.
func Foreign(message string) string {
	message = accessToken.ReplaceAllString(strings.Join(strings.Fields(message), " "), "(token)")
	if len(message) > 300 {
		message = strings.ToValidUTF8(message[:300], "") + "…"
	}
	return message
}
