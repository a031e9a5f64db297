package walls_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// habits are turns of phrase that read like a translation, each with what to write instead.
var habits = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?i)\botherwise\b`), `"Default: …", or a condition with "if"`},
	{regexp.MustCompile(`(?i)\bfor good\b|\banew\b|\ball the same\b|\bwhatever happens\b|\bonce more\b|\bhimself\b`), "the plain word, or nothing"},
	{regexp.MustCompile(`(?i)\btells?\b`), "say, show, or name what is not known"},
	{regexp.MustCompile(`(?i)\b(the|this|an|each|no) (org|file|project|server|endpoint)s? (knows?|wants?|says?)\b`), "people and tools speak, data has values"},
	{regexp.MustCompile(`(?i)\b(hand|hands|handed|handing) over\b`), "export or send"},
	{regexp.MustCompile(`(?i)\b(take|takes|taken|taking|took) away\b`), "delete or remove"},
	{regexp.MustCompile(`(?i)\b(mends?|mended|feeds)\b|\bcarr(y|ies|ied)\b`), "fix, send, contain, convert"},
	{regexp.MustCompile(`(?i)\bone [a-z]+ a (line|run|row)\b`), "one … per line"},
	{regexp.MustCompile(`(?i)\bwhat (it|an org|the org|the apps?) (lets?|says?|has|wants?)\b`), "the noun"},
	{regexp.MustCompile(`(?i)\b(it|this|that|%s|which) is no [a-z]+`), "is not a …"},
	{regexp.MustCompile(`(?i)\brun the same\b`), "run the command again"},
	{regexp.MustCompile(`;[^;]*;[^;]*;`), "one fact per sentence"},
}

// code are texts that are not sentences of the product: programs and queries in strings.
var code = regexp.MustCompile("^SELECT |^#!|\n\\w+ .*\\{|new Http\\(\\)|`json:|`xml:")

// TestLanguage: no text that a user reads has one of the habits. Texts are strings in Go, which are messages and
// help, and documents. What the simulated org says are the platform's words.
func TestLanguage(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(name, ".") && name != ".." && name != ".github" || name == "testdata" || name == "node_modules" || name == "simorg"):
			return fs.SkipDir
		case entry.IsDir() || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		switch filepath.Ext(name) {
		case ".go":
			checkStrings(t, file)
		case ".md":
			checkDocument(t, file)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func checkStrings(t *testing.T, file string) {
	t.Helper()
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		literal, isLiteral := n.(*ast.BasicLit)
		if !isLiteral || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		if err == nil && strings.Contains(text, " ") && !code.MatchString(text) {
			checkText(t, files.Position(literal.Pos()).String(), text)
		}
		return true
	})
}

func checkDocument(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
		return
	}
	inCode := false
	for i, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inCode = !inCode
		}
		if !inCode {
			checkText(t, file+":"+strconv.Itoa(i+1), line)
		}
	}
}

func checkText(t *testing.T, at, text string) {
	t.Helper()
	for _, habit := range habits {
		if found := habit.pattern.FindString(text); found != "" {
			t.Errorf("%s: %q in %q; write %s", at, found, text, habit.instead)
		}
	}
}
