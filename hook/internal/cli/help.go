package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/usage"
)

type helpCmd struct {
	Topic string `arg:"" optional:"" help:"A topic, or a command. Without one, both are listed."`
}

func (helpCmd) Help() string {
	return `Prints the documents of this version of eca. eca help lists them; eca help plan is the same as eca plan --help.`
}

// topic is a document, or a section of one.
type topic struct {
	name, about   string
	file, heading string // heading is "" for the whole document
}

var topics = []topic{
	{"start", "what eca is for, and how to begin", "README.md", ""},
	{"guide", "running it: in sfp and pipelines, all commands, credentials, sessions", "hook/README.md", ""},
	{"respond", "a leaked secret, or an app that must not get in any more", "hook/docs/respond.md", ""},
	{"tokens", "an access token for one command, a file or another tool", "hook/docs/get-a-token.md", ""},
	{"stores", "credentials in Vault, AWS, Azure, Google Cloud, GitHub, GitLab or 1Password", "hook/docs/credentials-and-stores.md", ""},
	{"sandbox-refresh", "the same keys and secrets after a sandbox refresh", "hook/docs/sandbox-refresh.md", ""},
	{"settings", "what a project states under plugins.eca", "pkg/project/SETTINGS.md", ""},
	{"rules", "the rules of eca lint, and of the check of policies", "pkg/lint/RULES.md", ""},
	{"audit-rules", "the rules of eca audit", "pkg/audit/RULES.md", ""},
	{"facts", "what eca believes about Salesforce, by ID", "pkg/platform/FACTS.md", ""},
	{"selftest-report", "what eca selftest does on an org, and how to send a report", "hook/docs/selftest.md", ""},
	{"troubleshooting", "errors by their text, with cause and remedy", "hook/README.md", "Troubleshooting"},
	{"json", "what --json prints", "hook/README.md", "The JSON contract"},
	{"security", "what is read, sent and written, and the bounds", "hook/README.md", "Security"},
}

// text returns the topic's Markdown.
func (t topic) text() (string, error) {
	data, err := ecakit.Documents.ReadFile(t.file)
	if err != nil || t.heading == "" {
		return string(data), err
	}
	_, section, found := strings.Cut(string(data), "\n## "+t.heading+"\n")
	if !found {
		return "", fmt.Errorf("%s has no section %s", t.file, t.heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return "# " + t.heading + "\n" + strings.TrimRight(section, "\n") + "\n", nil
}

// helpResult is what --json says of a document. Without a topic, it lists them.
type helpResult struct {
	outcome
	Topic  string        `json:"topic,omitempty"`
	Text   string        `json:"text,omitempty"`
	Topics []topicResult `json:"topics,omitempty"`
}

type topicResult struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

func (c *helpCmd) run(ctx context.Context, e *env) (result, error) {
	model := newParser(new(cli), e).Model
	if c.Topic == "" {
		r := new(helpResult)
		rows := []console.Row{}
		for _, command := range model.Leaves(true) {
			rows = append(rows, console.Row{Cells: []string{command.Name, command.Help}})
		}
		e.Line("Commands, of which eca help COMMAND says more:")
		e.Table(rows)
		rows = nil
		for _, t := range topics {
			rows = append(rows, console.Row{Cells: []string{t.name, t.about}})
			r.Topics = append(r.Topics, topicResult{t.name, t.about})
		}
		e.Line("Topics, which eca help TOPIC prints:")
		e.Table(rows)
		return r, nil
	}
	r := &helpResult{Topic: c.Topic}
	if childOf(model.Node, c.Topic) != nil {
		var text bytes.Buffer
		own, env := *e, *e.Env
		env.Console = e.To(&text, e.Stderr)
		env.JSON = false
		own.Env = &env
		run(ctx, []string{c.Topic, "--help"}, &own)
		r.Text = text.String()
	} else {
		var names []string
		for _, t := range topics {
			if names = append(names, t.name); t.name == c.Topic {
				text, err := t.text()
				if err != nil {
					return nil, err
				}
				r.Text = text
			}
		}
		if r.Text == "" {
			return nil, usage.Errorf("%s is neither a command nor a topic%s; the topics are %s", c.Topic, meantCommand(model, c.Topic), strings.Join(names, ", "))
		}
	}
	e.Page(r.Text)
	return r, nil
}
