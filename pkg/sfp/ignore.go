package sfp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/bmatcuk/doublestar/v4"
)

// IgnoreFile names the file that lists what sf leaves out of a deployment, in .gitignore
// syntax. sfp build copies it into the artifact.
const IgnoreFile = ".forceignore"

// Ignore holds the rules of one .forceignore. The nil value ignores nothing.
type Ignore struct {
	dir   string // the file's directory; rules are relative to it
	rules []ignoreRule

	mu      sync.Mutex
	ignored map[string]bool // directories, by their name in lower case below dir
}

type ignoreRule struct {
	pattern string // in lower case
	prefix  string // the text with which all matches begin
	anyDir  bool   // matches the last element alone, at any depth
	dirs    bool   // matches directories only
	include bool   // re-includes files ("!")
}

// sf adds these rules to every .forceignore (source: its source-deploy-retrieve).
const ignoredAnyway = "**/*.dup\n**/.*\n**/package2-descriptor.json\n**/package2-manifest.json\n"

// Bounds of a .forceignore. That of a large project has some hundred lines. A file beyond the
// bounds is not applied.
const (
	maxIgnore      = 1 << 20 // bytes
	maxIgnoreRules = 5000
)

// readIgnore reads the .forceignore of a directory. It returns nil if there is none, and a
// problem if there is one that cannot be applied.
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

// parseIgnoreRule parses one line. The syntax is that of gitignore(5).
func parseIgnoreRule(line string) (rule ignoreRule, ok bool) {
	// A blank after a trailing slash makes sf treat the slash as a middle one.
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
		line += "/*" // the directory's contents, not the directory itself
	}
	// Braces are literal in .forceignore but special in doublestar.
	line = strings.NewReplacer(`\{`, `\{`, `\}`, `\}`, `{`, `\{`, `}`, `\}`).Replace(line)
	rule.pattern = strings.ToLower(line) // sf ignores case here
	if last, ok := strings.CutPrefix(rule.pattern, "**/"); ok && !strings.Contains(last, "/") && last != "**" {
		rule.pattern, rule.anyDir = last, true
	}
	rule.prefix = rule.pattern
	if special := strings.IndexAny(rule.pattern, `*?[\{`); special >= 0 {
		rule.prefix = strings.TrimSuffix(rule.pattern[:special], "/")
	}
	return rule, doublestar.ValidatePattern(rule.pattern)
}

// Ignores reports whether sf leaves out a file. The name is a slash-separated path relative to
// the project's directory. A file in an ignored directory is ignored too.
func (i *Ignore) Ignores(name string) bool {
	if i == nil {
		return false
	}
	if !fs.ValidPath(name) {
		name = path.Clean(name)
	}
	name, inside := strings.CutPrefix(name, i.dir+"/")
	if !inside && i.dir != "." {
		return false
	}
	name = strings.ToLower(name)
	return i.ignoresDir(parentOf(name)) || i.matches(name, false)
}

// parentOf returns the directory of a name, "" if it is the top.
func parentOf(name string) string { return name[:max(strings.LastIndexByte(name, '/'), 0)] }

// ignoresDir reports whether a directory or one above it is ignored.
func (i *Ignore) ignoresDir(dir string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	// From the first directory whose answer is known, or the top, down again.
	var unknown []string
	ignored, known := false, false
	for at := dir; at != ""; at = parentOf(at) {
		if ignored, known = i.ignored[at]; known {
			break
		}
		unknown = append(unknown, at)
	}
	for _, at := range slices.Backward(unknown) {
		ignored = ignored || i.matches(at, true)
		if i.ignored == nil {
			i.ignored = make(map[string]bool)
		}
		i.ignored[at] = ignored
	}
	return ignored
}

func (i *Ignore) matches(name string, dir bool) (ignored bool) {
	base := path.Base(name)
	for _, rule := range i.rules {
		against := name
		if rule.anyDir {
			against = base
		}
		if rule.include == ignored && (dir || !rule.dirs) && strings.HasPrefix(against, rule.prefix) && doublestar.MatchUnvalidated(rule.pattern, against) {
			ignored = !rule.include
		}
	}
	return ignored
}
