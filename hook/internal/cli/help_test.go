package cli

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestTopics: each topic has a text, no command hides it, and each word leads to topics.
func TestTopics(t *testing.T) {
	t.Parallel()
	model := kong.Must(new(cli), kong.Vars{"version": ""}).Model
	seen := make(map[string]bool)
	for _, topic := range topics(model.Node) {
		if text, err := topic.text(); err != nil || len(text) < 500 {
			t.Errorf("%s: %q, %v", topic.name, text, err)
		}
		if childOf(model.Node, topic.name) != nil {
			t.Errorf("%s is a command, too", topic.name)
		}
		if seen[topic.name] {
			t.Errorf("%s is there twice", topic.name)
		}
		seen[topic.name] = true
	}
	for word, names := range topicWords {
		if strings.ToLower(word) != word || seen[word] && len(names) > 0 && names[0] != word {
			t.Errorf("%s cannot be looked up", word)
		}
		for _, name := range names {
			if !seen[name] {
				t.Errorf("%s leads to %s, which is not there", word, name)
			}
		}
	}
}

// example matches a line that begins like a command line with a flag or an argument after --.
var example = regexp.MustCompile(`^( *)eca [a-z].* (-[a-z-]|--)`)

// TestExamples: examples in the help of commands are indented, so that each keeps its line, and their command lines are
// right.
func TestExamples(t *testing.T) {
	t.Parallel()
	found := 0
	for _, node := range kong.Must(new(cli), kong.Vars{"version": ""}).Model.Leaves(true) {
		for line := range strings.Lines(node.Help + "\n" + node.Detail) {
			match := example.FindStringSubmatch(line)
			if match == nil {
				continue
			}
			if match[1] == "" && !strings.Contains(line, ". ") {
				t.Errorf("%s: the example %q is not indented", node.Name, line)
				continue
			}
			if match[1] == "" {
				continue
			}
			found++
			words := strings.Fields(strings.ReplaceAll(line, `"`, ""))
			if i := slices.Index(words, "--app"); i >= 0 && words[i+1] == "Data" { // a quoted label
				words = slices.Delete(words, i+2, i+3)
			}
			c := new(cli)
			parser := kong.Must(c, kong.Vars{"version": ""}, kong.Exit(func(int) {}))
			if _, err := parser.Parse(words[1:]); err != nil {
				t.Errorf("%s: %q: %v", node.Name, line, err)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d examples were found", found)
	}
}
