package console

import (
	"os"

	"golang.org/x/term"
)

// Style is the colour of a text. Colour marks levels, failures and changes only, so that a long page can be
// skimmed. It says nothing that the words do not say.
type Style string

// The styles.
const (
	Plain  Style = ""
	Red    Style = "\x1b[31m"
	Yellow Style = "\x1b[33m"
	Green  Style = "\x1b[32m"
)

const reset = "\x1b[0m"

// Styled is a text of the program's own, or a cleaned one, with its colour.
type Styled struct {
	Text  string
	Style Style
}

// The marks of lines.
var (
	Warning = Styled{"warning:", Yellow}
	Failure = Styled{"!", Red}
)

// Level returns a finding's level with its colour.
func Level(level string) Styled {
	switch level {
	case "error":
		return Styled{level, Red}
	case "warning":
		return Styled{level, Yellow}
	}
	return Styled{level, Plain}
}

// String returns the text without colour.
func (s Styled) String() string { return s.Text }

func (s Styled) render(colour bool) string {
	if !colour || s.Style == Plain || s.Text == "" {
		return s.Text
	}
	return string(s.Style) + s.Text + reset
}

// obeysEscapes reports whether a file is a terminal that acts on escape sequences.
func obeysEscapes(file *os.File) bool {
	return term.IsTerminal(int(file.Fd())) && enableEscapes(file)
}

// colours reports whether text written to a file has colours. NO_COLOR switches them off by
// convention.
func colours(file *os.File, getenv func(string) string) bool {
	return getenv("NO_COLOR") == "" && getenv("TERM") != "dumb" && obeysEscapes(file)
}
