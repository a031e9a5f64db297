package salesforce

import (
	"html"
	"strconv"
	"strings"
	"unicode"
)

// normalized is a text as Mask compares it: printable ASCII characters. at and end are the places of each in
// the original, at of its first byte and end behind its last.
type normalized struct {
	text    string
	at, end []int
}

// add appends a character that stands at a place of the original.
func (n *normalized) add(b *strings.Builder, c byte, at, end int) {
	b.WriteByte(c)
	n.at, n.end = append(n.at, at), append(n.end, end)
}

// strip removes what may split a secret: white space, unless it is kept as spaces, everything invisible or
// beyond ASCII, and a terminal's escape sequences.
func strip(text string, spaces bool) normalized {
	n := normalized{at: make([]int, 0, len(text)), end: make([]int, 0, len(text))}
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c > ' ' && c < unicode.MaxASCII:
			n.add(&b, c, i, i+1)
		case c == '\x1b':
			i += escapeSequence(text[i:])
		case spaces && strings.IndexByte(" \t\r\n", c) >= 0:
			n.add(&b, ' ', i, i+1)
		}
	}
	n.text = b.String()
	return n
}

// escapeSequence returns the number of bytes that belong to the ESC before them, like those of a colour.
func escapeSequence(text string) int {
	if !strings.HasPrefix(text, "\x1b[") {
		return 0
	}
	for i := 2; i < len(text) && text[i] >= ' '; i++ {
		if text[i] >= '@' && text[i] <= '~' {
			return i
		}
	}
	return 0
}

// escapes are the characters with which escapes begin: of URLs, of HTML and XML, of JSON and shells.
const escapes = `%&\`

// maxDecoded is how often a text is decoded: JSON in a form within JSON.
const maxDecoded = 3

// levels calls do with a text as it is, and with its escapes decoded, once and more often.
func levels(text string, spaces bool, do func(normalized)) {
	n := strip(text, spaces)
	do(n)
	for range maxDecoded {
		if !strings.ContainsAny(n.text, escapes) {
			return
		}
		next := n.decode(spaces)
		if len(next.text) == len(n.text) {
			return
		}
		n = next
		do(n)
	}
}

// decode puts characters in the place of their escapes.
func (n normalized) decode(spaces bool) normalized {
	next := normalized{at: make([]int, 0, len(n.at)), end: make([]int, 0, len(n.at))}
	var b strings.Builder
	b.Grow(len(n.text))
	for i := 0; i < len(n.text); {
		length, code := escape(n.text[i:])
		at, end := n.at[i], n.end[i+length-1]
		i += length
		switch {
		case code > ' ' && code < unicode.MaxASCII:
			next.add(&b, byte(code), at, end)
		case spaces && (code == ' ' || code == '\n' || code == '\r' || code == '\t'):
			next.add(&b, ' ', at, end)
		}
	}
	next.text = b.String()
	return next
}

// hexEscapes are the escapes that name a character by a number of hex digits.
var hexEscapes = []struct {
	lead   string
	digits int
}{{"%", 2}, {`\x`, 2}, {`\u`, 4}}

// escape returns the length of the escape that a text begins with, and the character that it stands for. A
// text without one begins with a character that stands for itself.
func escape(text string) (length int, code rune) {
	if strings.IndexByte(escapes, text[0]) < 0 {
		return 1, rune(text[0])
	}
	for _, form := range hexEscapes {
		length := len(form.lead) + form.digits
		if len(text) < length || !strings.HasPrefix(text, form.lead) {
			continue
		}
		if value, err := strconv.ParseUint(text[len(form.lead):length], 16, 32); err == nil {
			return length, rune(value)
		}
	}
	switch {
	case text[0] == '&':
		return entity(text)
	case text[0] == '\\' && len(text) > 1 && strings.IndexByte("nrt", text[1]) >= 0:
		return 2, ' '
	case text[0] == '\\' && len(text) > 1:
		return 2, rune(text[1])
	}
	return 1, rune(text[0])
}

// longestEntity is the most that an entity has, from & to ;.
const longestEntity = 10

// entity is escape for an entity, like &amp; or &#x21;.
func entity(text string) (length int, code rune) {
	end := strings.IndexByte(text[:min(len(text), longestEntity)], ';') + 1
	if end == 0 {
		return 1, '&'
	}
	if runes := []rune(html.UnescapeString(text[:end])); len(runes) == 1 {
		return end, runes[0]
	}
	return 1, '&'
}
