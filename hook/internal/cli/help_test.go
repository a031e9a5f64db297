package cli

import (
	"testing"

	"github.com/alecthomas/kong"
)

// TestTopics: each topic is there, and no command hides it.
func TestTopics(t *testing.T) {
	t.Parallel()
	model := kong.Must(new(cli), kong.Vars{"version": ""}).Model
	for _, topic := range topics {
		if text, err := topic.text(); err != nil || len(text) < 500 {
			t.Errorf("%s: %q, %v", topic.name, text, err)
		}
		if childOf(model.Node, topic.name) != nil {
			t.Errorf("%s is a command, too", topic.name)
		}
	}
}
