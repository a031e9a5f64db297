package sfp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/dlclark/regexp2"

	"github.com/ecakit/ecakit/pkg/internal/files"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// Replacement is an entry of "replacements": a text that sf, but not sfp, replaces in some files on
// deployment. Source:
// https://developer.salesforce.com/docs/atlas.en-us.sfdx_dev.meta/sfdx_dev/sfdx_dev_ws_string_replace.htm
// Where that is silent, sf 2.150.6 was observed.
type Replacement struct {
	Filename string `json:"filename"` // the end of one file's path, "" if there is a glob
	Glob     string `json:"glob"`

	String *string `json:"stringToReplace"` // nil if there is a regular expression
	Regex  string  `json:"regexToReplace"`  // in JavaScript's syntax

	Env        *string `json:"replaceWithEnv"` // nil if there is a file
	AllowUnset bool    `json:"allowUnsetEnvVariable"`
	File       string  `json:"replaceWithFile"`

	// When are environment variables that must have these values.
	When []struct {
		Env   string          `json:"env"`
		Value json.RawMessage `json:"value"`
	} `json:"replaceWhenEnv"`
}

// matches reports whether the entry names a file of the project. sf compares absolute paths, so a
// filename matches any path that ends like it, and a glob any path below any directory.
func (r *Replacement) matches(file string) bool {
	file = "/" + file
	return r.Filename != "" && strings.HasSuffix(file, r.Filename) || r.Glob != "" && doublestar.MatchUnvalidated("**/"+r.Glob, file)
}

// Replaces reports whether sf replaces texts in a file of the project on deployment.
func (p *Project) Replaces(file string) bool {
	return slices.ContainsFunc(p.Replacements, func(r Replacement) bool { return r.matches(file) })
}

// ReplacedBy returns the position of the first replacement whose text a file of the project holds, or -1.
func (p *Project) ReplacedBy(file string, content []byte) int {
	return slices.IndexFunc(p.Replacements, func(r Replacement) bool {
		if !r.matches(file) {
			return false
		}
		regex, err := r.compile()
		if err != nil {
			return false
		}
		found, err := regex.MatchString(string(content))
		return found || err != nil
	})
}

// ReplacementError reports a replacement that cannot be made.
type ReplacementError struct {
	File  string // the file with the text to replace
	Entry int    // the position in "replacements"
	Err   error
}

func (e *ReplacementError) Error() string {
	return fmt.Sprintf("%s: replacements[%d] of %s cannot be made: %v", e.File, e.Entry, ProjectFile, e.Err)
}

// Unwrap returns e.Err.
func (e *ReplacementError) Unwrap() error { return e.Err }

// Replace returns the content of a file of the project as sf deploys it: with all replacements made, in
// order. getenv returns the value of an environment variable, "" if it is not set. The files with new
// texts must be in the project. An error is a *ReplacementError.
func (p *Project) Replace(fsys fs.FS, file string, content []byte, getenv func(string) string) ([]byte, error) {
	for i := range p.Replacements {
		r := &p.Replacements[i]
		if !r.matches(file) || !r.due(getenv) {
			continue
		}
		replaced, err := r.replace(fsys, string(content), getenv)
		if err == nil {
			err = metadata.CheckSecret(replaced)
		}
		if err != nil {
			return nil, &ReplacementError{file, i, err}
		}
		content = []byte(replaced)
	}
	return content, nil
}

// due reports whether the environment variables have the values that the entry requires.
func (r *Replacement) due(getenv func(string) string) bool {
	for _, when := range r.When {
		var value any
		if json.Unmarshal(when.Value, &value) != nil || fmt.Sprint(value) != getenv(when.Env) {
			return false
		}
	}
	return true
}

// maxMatching bounds the time for one regular expression, which backtracks.
const maxMatching = time.Second

// replace returns a text with the replacement made.
func (r *Replacement) replace(fsys fs.FS, text string, getenv func(string) string) (string, error) {
	with, err := r.with(fsys, getenv)
	if err != nil {
		return "", err
	}
	regex, err := r.compile()
	if err != nil {
		return "", err
	}
	// sf reads a file as its lines and, by itself, the rest without a line end.
	end := strings.LastIndexByte(text, '\n') + 1
	var all strings.Builder
	for _, part := range []string{text[:end], text[end:]} {
		replaced, err := regex.ReplaceFunc(part, func(m regexp2.Match) string { return expand(with, part, &m) }, -1, -1)
		if err != nil {
			return "", fmt.Errorf("the regular expression %q takes longer than %s", r.Regex, maxMatching)
		}
		all.WriteString(replaced)
	}
	return all.String(), nil
}

// compile returns the expression for the text to replace.
func (r *Replacement) compile() (*regexp2.Regexp, error) {
	pattern := r.Regex
	if r.String != nil {
		pattern = regexp2.Escape(*r.String)
	}
	if pattern == "" {
		return nil, errors.New("it names no text to replace")
	}
	regex, err := regexp2.Compile(pattern, regexp2.ECMAScript)
	if err != nil {
		return nil, fmt.Errorf("%q is not a regular expression", pattern)
	}
	regex.MatchTimeout = maxMatching
	return regex, nil
}

// with returns the new text.
func (r *Replacement) with(fsys fs.FS, getenv func(string) string) (string, error) {
	if r.Env != nil {
		value := getenv(*r.Env)
		if value == "" && !r.AllowUnset {
			return "", fmt.Errorf("the environment variable %s is not set", *r.Env)
		}
		return value, nil
	}
	name := path.Clean(r.File)
	if r.File == "" || !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", fmt.Errorf("%q is not a file of the project", r.File)
	}
	content, err := fs.ReadFile(fsys, name)
	if err != nil {
		return "", fmt.Errorf("the file %s cannot be read: %w", r.File, files.Plain(err))
	}
	if content = bytes.TrimSpace(bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))); len(content) == 0 {
		return "", fmt.Errorf("the file %s is empty", r.File)
	}
	return string(content), nil
}

// expand returns the new text for a match. As sf passes it to JavaScript's replace, "$" has the meanings
// that it has there.
func expand(with, text string, m *regexp2.Match) string {
	var b strings.Builder
	runes := []rune(text) // the positions of a match are those of runes
	for {
		before, after, found := strings.Cut(with, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		with = after
		switch name, rest, isNamed := strings.Cut(strings.TrimPrefix(after, "<"), ">"); {
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			with = after[1:]
		case strings.HasPrefix(after, "&"):
			b.WriteString(m.String())
			with = after[1:]
		case strings.HasPrefix(after, "`"):
			b.WriteString(string(runes[:m.Index]))
			with = after[1:]
		case strings.HasPrefix(after, "'"):
			b.WriteString(string(runes[m.Index+m.Length:]))
			with = after[1:]
		case strings.HasPrefix(after, "<") && isNamed && m.GroupByName(name) != nil:
			b.WriteString(m.GroupByName(name).String())
			with = rest
		default:
			digits := groupDigits(after, m.GroupCount())
			if digits == "" {
				b.WriteByte('$')
				continue
			}
			number, _ := strconv.Atoi(digits)
			b.WriteString(m.GroupByNumber(number).String())
			with = after[len(digits):]
		}
	}
}

// groupDigits returns the one or two digits with which a text begins if they are the number of a group.
func groupDigits(text string, groups int) string {
	for n := min(2, len(text)); n > 0; n-- {
		if number, err := strconv.ParseUint(text[:n], 10, 8); err == nil && number > 0 && int(number) < groups {
			return text[:n]
		}
	}
	return ""
}
