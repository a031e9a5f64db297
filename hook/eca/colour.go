package main

import (
	"os"
	"regexp"
	"strings"

	"golang.org/x/term"
)

// Colour marks levels and bad outcomes, and nothing else, so that a long page can be skimmed.
// It says nothing that the words do not say.
const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// obeysEscapes reports whether a file is a terminal that acts on escape sequences.
func obeysEscapes(file *os.File) bool {
	return term.IsTerminal(int(file.Fd())) && enableEscapes(file)
}

// colours reports whether what is written to a file has colours. NO_COLOR is the convention by
// which somebody wants none.
func colours(file *os.File, getenv func(string) string) bool {
	return getenv("NO_COLOR") == "" && getenv("TERM") != "dumb" && obeysEscapes(file)
}

// levels are the words that are coloured: at the beginning of a line, after what it is about,
// or alone in a column of a table.
var levels = regexp.MustCompile(`(^ *|: |  )(warning|error|failed|refused|interrupted|!)(:|  | in |$| )`)

// paint colours a line that has been cleaned.
func (u *ui) paint(line string) string {
	at := levels.FindStringSubmatchIndex(line)
	if !u.colour || at == nil {
		return line
	}
	from, to := at[4], at[5]
	with := red
	if line[from:to] == "warning" {
		with = yellow
	}
	return line[:from] + with + line[from:to] + plain + line[to:]
}

// failing colours what begins a line on standard error.
func (u *ui) failing(text string) string {
	if !u.colourErrors {
		return text
	}
	return red + strings.TrimSpace(text) + plain
}
