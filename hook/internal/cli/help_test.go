package cli

import (
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
