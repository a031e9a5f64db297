package lint

import (
	"bytes"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/tailscale/hujson"

	"github.com/ecakit/ecakit/pkg/internal/xmltree"
)

// lines finds the line numbers of elements in a file.
type lines struct {
	data []byte
	xml  *xmltree.Node // the root element, nil if the file is not XML
	json *hujson.Value // nil if the file is not JSON
}

func (l *linter) linesOf(file string) *lines {
	if known := l.lines[file]; known != nil {
		return known
	}
	found := new(lines)
	l.lines[file] = found
	found.data, _ = fs.ReadFile(l.fsys, file)
	if path.Ext(file) == ".json" {
		if value, err := hujson.Parse(bytes.TrimPrefix(found.data, []byte("\xef\xbb\xbf"))); err == nil {
			found.json = &value
		}
	} else if root, err := xmltree.Parse(found.data); err == nil {
		found.xml = root
	}
	return found
}

// told matches a line number in a parser's message.
var told = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\bline (\d+)`) })

// line returns the line on which the element or value at a path begins. Otherwise it returns
// the line number in the message, or 0.
func (l *linter) line(file, at, message string) int {
	found := 0
	if at != "" {
		switch lines := l.linesOf(file); {
		case lines.xml != nil:
			found = lines.element(at)
		case lines.json != nil:
			if value := member(lines.json, at); value != nil {
				found = 1 + bytes.Count(lines.data[:value.StartOffset], []byte("\n"))
			}
		}
	}
	if match := told().FindStringSubmatch(message); found == 0 && match != nil {
		found, _ = strconv.Atoi(match[1])
	}
	return found
}

// element returns the line of the element at a path below the root, or of the root itself if
// the path is its name.
func (f *lines) element(at string) int {
	n := f.xml
	if at == n.Name() {
		return n.Line()
	}
	return n.At(at).Line()
}

// member returns the value at a path like plugins.eca.apps.App or list[2].key. Names may
// contain dots, so the longest matching name wins. If the path does not exist, member returns
// the deepest value on it.
func member(v *hujson.Value, at string) *hujson.Value {
	at = strings.TrimPrefix(at, ".")
	if at == "" {
		return v
	}
	switch parts := v.Value.(type) {
	case *hujson.Object:
		var best *hujson.Value
		length := 0
		for i := range parts.Members {
			literal, _ := parts.Members[i].Name.Value.(hujson.Literal)
			name := literal.String()
			if rest, ok := strings.CutPrefix(at, name); ok && len(name) > length && (rest == "" || rest[0] == '.' || rest[0] == '[') {
				best, length = &parts.Members[i].Value, len(name)
			}
		}
		if best != nil {
			return member(best, at[length:])
		}
	case *hujson.Array:
		index, rest, _ := strings.Cut(strings.TrimPrefix(at, "["), "]")
		if i, err := strconv.Atoi(index); err == nil && i >= 0 && i < len(parts.Elements) {
			return member(&parts.Elements[i], rest)
		}
	}
	return v
}
