package sfp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// IgnoreFile lists what sf leaves out of a deployment, in the syntax of a
// .gitignore file. sfp build puts it into the artifact.
const IgnoreFile = ".forceignore"

// Ignore tells which files of a project, or of an artifact, sf leaves out of a
// deployment. The nil value leaves nothing out.
type Ignore struct {
	dir   string // that the file is in, which its rules are relative to
	rules []ignoreRule
}

type ignoreRule struct {
	pattern string // in lower case
	dirs    bool   // for directories alone
	include bool   // takes files in again
}

// sf leaves these out wherever there is a .forceignore, says its
// source-deploy-retrieve.
const ignoredAnyway = "**/*.dup\n**/.*\n**/package2-descriptor.json\n**/package2-manifest.json\n"

// Bounds of a .forceignore, which has some hundred lines in a large project. One that
// is beyond them counts for nothing.
const (
	maxIgnore      = 1 << 20 // bytes
	maxIgnoreRules = 5000
)

// readIgnore reads the .forceignore in a directory, nil where there is none. problem says why
// one that is there counts for nothing.
func readIgnore(fsys fs.FS, dir string) (ignore *Ignore, problem string) {
	file, err := fsys.Open(path.Join(dir, IgnoreFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ""
	}
	if err != nil {
		return nil, "cannot be read"
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxIgnore+1))
	if err != nil {
		return nil, "cannot be read"
	}
	if len(data) > maxIgnore {
		return nil, fmt.Sprintf("is larger than %d MiB", maxIgnore>>20)
	}
	if ignore = parseIgnore(dir, string(data)); ignore == nil {
		return nil, fmt.Sprintf("has more than %d rules", maxIgnoreRules)
	}
	return ignore, ""
}

func parseIgnore(dir, text string) *Ignore {
	ignore := &Ignore{dir: dir}
	text = ignoredAnyway + strings.TrimPrefix(text, "\ufeff")
	for line := range strings.Lines(text) {
		if rule, ok := parseIgnoreRule(strings.TrimRight(line, "\r\n")); ok {
			ignore.rules = append(ignore.rules, rule)
		}
		if len(ignore.rules) > maxIgnoreRules {
			return nil
		}
	}
	return ignore
}

// parseIgnoreRule reads a line. gitignore(5) says what its characters mean.
func parseIgnoreRule(line string) (rule ignoreRule, ok bool) {
	// A blank behind a slash puts the slash in the middle, to sf.
	anchored := strings.Contains(strings.TrimSuffix(line, "/"), "/")
	for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) || strings.HasSuffix(line, "\t") {
		line = line[:len(line)-1]
	}
	if strings.HasPrefix(line, "#") {
		return rule, false
	}
	line, rule.include = strings.CutPrefix(line, "!")
	line, rule.dirs = strings.CutSuffix(line, "/")
	if !anchored {
		line = "**/" + line // at any depth
	}
	line = strings.TrimPrefix(line, "/")
	if line == "" || line == "**/" {
		return rule, false
	}
	if strings.HasSuffix(line, "/**") && !rule.dirs {
		line += "/*" // what is in a directory, and not the directory
	}
	// Braces mean nothing here, but they do in doublestar.
	line = strings.NewReplacer(`\{`, `\{`, `\}`, `\}`, `{`, `\{`, `}`, `\}`).Replace(line)
	rule.pattern = strings.ToLower(line) // sf does not tell upper case from lower here
	return rule, doublestar.ValidatePattern(rule.pattern)
}

// Ignores reports whether sf leaves a file out, whose name is relative to the
// project's directory, as an fs.FS has it. What is in a directory that is left out
// is left out as well.
func (i *Ignore) Ignores(name string) bool {
	if i == nil {
		return false
	}
	name, inside := strings.CutPrefix(path.Clean(name), i.dir+"/")
	if !inside && i.dir != "." {
		return false
	}
	name = strings.ToLower(name)
	for end := 0; ; {
		next := strings.IndexByte(name[end:], '/')
		if next < 0 {
			return i.matches(name, false)
		}
		if i.matches(name[:end+next], true) {
			return true
		}
		end += next + 1
	}
}

func (i *Ignore) matches(name string, dir bool) (ignored bool) {
	for _, rule := range i.rules {
		if rule.include == ignored && (dir || !rule.dirs) && doublestar.MatchUnvalidated(rule.pattern, name) {
			ignored = !rule.include
		}
	}
	return ignored
}
