package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/usage"
)

type helpCmd struct {
	Topic string `arg:"" optional:"" help:"A topic, a word that stands for one, or a command. Without one, topics and commands are listed."`
}

func (helpCmd) Help() string {
	return `Prints the documents of this version of eca. eca help lists them.

eca help github prints the page about GitHub Actions, and eca help ci lists the pages about pipelines. eca help plan is the same as eca plan --help.`
}

// topic is a document.
type topic struct {
	name, about string
	file        string
}

// index is the document that lists the others.
const index = "hook/README.md"

// indexLine is a line of the index: a link and what it leads to.
var indexLine = regexp.MustCompile(`(?m)^- \[([\w-]+)\]\(([^)]+)\): (.+)$`)

// topics returns the documents of the index, in its order. A page that is named like a command is the command's
// guide, because eca help COMMAND prints the command's help.
func topics(commands *kong.Node) []topic {
	all := []topic{{"start", "the purpose of eca, and the first steps", "README.md"}, {"guide", "this list, with links", index}}
	data, _ := ecakit.Documents.ReadFile(index)
	for _, match := range indexLine.FindAllStringSubmatch(string(data), -1) {
		name := match[1]
		if childOf(commands, name) != nil {
			name += guide
		}
		all = append(all, topic{name, match[3], path.Join(path.Dir(index), match[2])})
	}
	return all
}

// guide is the end of the name of a page that is named like a command.
const guide = "-guide"

// text returns the topic's Markdown.
func (t topic) text() (string, error) {
	data, err := ecakit.Documents.ReadFile(t.file)
	return string(data), err
}

// topicWords are the words by which people look for a document. A word with several documents lists them.
var topicWords = map[string][]string{
	"hook": {"sfp"}, "script": {"sfp"}, "bundle": {"sfp"}, "aliasfy": {"sfp"}, "diffcheck": {"sfp"}, "flxbl": {"sfp"}, "pattern-2": {"sfp"},
	"sf": {"plain-sf"}, "plain": {"plain-sf"}, "force-app": {"plain-sf"}, "layout": {"plain-sf", "sfp"},
	"existing": {"adopt-guide"}, "retrieve": {"adopt-guide"}, "existing-app": {"adopt-guide"},
	"readme": {"start"}, "install": {"start"}, "quickstart": {"start"}, "begin": {"start"}, "index": {"guide"}, "docs": {"guide"},
	"github": {"github-actions"}, "actions": {"github-actions"}, "gha": {"github-actions"}, "workflow": {"github-actions"},
	"ci":       {"github-actions", "gitlab", "other-ci"},
	"pipeline": {"github-actions", "gitlab", "other-ci"}, "pipelines": {"github-actions", "gitlab", "other-ci"},
	"jenkins": {"other-ci"}, "bitbucket": {"other-ci"}, "devops": {"other-ci"}, "ado": {"other-ci"}, "pre-commit": {"other-ci"},
	"docker": {"other-ci"}, "container": {"other-ci"}, "azure": {"other-ci", "credentials-and-stores"},
	"tokens": {"get-a-token"}, "token": {"get-a-token"}, "curl": {"get-a-token"}, "postman": {"get-a-token", "mcp-and-agents"}, "bearer": {"get-a-token"},
	"stores": {"credentials-and-stores"}, "store": {"credentials-and-stores"}, "secret": {"credentials-and-stores"}, "secrets": {"credentials-and-stores"},
	"vault": {"credentials-and-stores"}, "aws": {"credentials-and-stores"}, "gcloud": {"credentials-and-stores"}, "1password": {"credentials-and-stores"},
	"credentials": {"credentials-and-stores"}, "client-secret": {"credentials-and-stores"},
	"mcp": {"mcp-and-agents"}, "claude": {"mcp-and-agents"}, "chatgpt": {"mcp-and-agents"}, "cursor": {"mcp-and-agents"}, "agentforce": {"mcp-and-agents"},
	"rotation": {"rotate-guide"}, "login": {"verify-guide", "sessions"},
	"leak": {"respond"}, "leaked": {"respond"}, "incident": {"respond"}, "breach": {"respond"}, "revoke": {"respond"}, "disable": {"respond"}, "enable": {"respond"},
	"callout": {"org-to-org"}, "connect": {"org-to-org"}, "connections": {"org-to-org"}, "named-credential": {"org-to-org"}, "external-credential": {"org-to-org"},
	"migrate": {"connected-apps"}, "migration": {"connected-apps"}, "connected-app": {"connected-apps"},
	"package": {"packages"}, "pattern-1": {"packages"}, "unlocked": {"packages"}, "managed": {"packages"},
	"audits": {"audit-guide"}, "list": {"audit-guide"}, "isv": {"audit-guide"}, "report": {"audit-guide"},
	"refresh": {"sandbox-refresh"}, "sandbox": {"sandbox-refresh"}, "keep": {"sandbox-refresh"},
	"pool": {"scratch-pools"}, "pools": {"scratch-pools"}, "scratch": {"scratch-pools"}, "prepare": {"scratch-pools"},
	"fleet": {"many-orgs"}, "shard": {"many-orgs"}, "orgs": {"many-orgs"}, "parallel": {"many-orgs"},
	"powershell": {"windows"}, "cmd": {"windows"}, "wsl": {"windows"},
	"output": {"json"}, "exit-codes": {"json"}, "exit-code": {"json"},
	"tests": {"how-it-was-tested"}, "evidence": {"how-it-was-tested"}, "unconfirmed": {"how-it-was-tested"}, "crash": {"how-it-was-tested"},
	"agent": {"skill", "mcp-and-agents"}, "agents": {"skill", "mcp-and-agents"}, "llm": {"skill"}, "codex": {"skill"},
	"privacy": {"security"}, "mask": {"security"}, "vulnerability": {"security"},
	"rights": {"permissions"}, "permission": {"permissions"}, "permset": {"permissions"}, "permission-set": {"permissions"}, "least-privilege": {"permissions"},
	"session": {"sessions"}, "alias": {"sessions"}, "proxy": {"sessions"}, "network": {"sessions"}, "environment": {"sessions"},
	"policies": {"how-it-works"}, "pattern": {"sfp", "packages"}, "bootstrap": {"how-it-works"}, "plan": {"how-it-works"}, "preflight": {"how-it-works"},
	"preset": {"presets"}, "jwt": {"presets", "github-actions", "get-a-token"}, "init": {"sfp", "plain-sf", "presets"}, "pkce": {"presets"},
	"config": {"settings"}, "plugins": {"settings"}, "plugins.eca": {"settings"}, "configuration": {"settings"},
	"lint": {"rules"}, "rule": {"rules", "audit-rules"},
}

// lookUp returns the topics that a word stands for, nil if none.
func lookUp(commands *kong.Node, word string) (found []topic) {
	names := append([]string{word + guide}, topicWords[word]...)
	for _, t := range topics(commands) {
		if t.name == word {
			return []topic{t}
		}
		if slices.Contains(names, t.name) {
			found = append(found, t)
		}
	}
	return found
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
	word := strings.ToLower(c.Topic)
	found := lookUp(model.Node, word)
	r := &helpResult{Topic: c.Topic}
	switch {
	case c.Topic == "":
		rows := []console.Row{}
		for _, command := range model.Leaves(true) {
			rows = append(rows, console.Row{Cells: []string{command.Name, command.Help}})
		}
		e.Line("Commands (eca help COMMAND prints the help of one):")
		e.Table(rows)
		e.Line("Documents (eca help DOCUMENT prints one):")
		e.listTopics(r, topics(model.Node))
		return r, nil
	case childOf(model.Node, word) != nil:
		r.Text = e.commandHelp(ctx, word)
		for _, t := range found {
			r.Text += fmt.Sprintf("\nGuide: eca help %s\n", t.name)
		}
	case len(found) > 1:
		e.Line("Documents about %s:", word)
		e.listTopics(r, found)
		return r, nil
	case len(found) == 1:
		text, err := found[0].text()
		if err != nil {
			return nil, err
		}
		r.Text = text
	default:
		return nil, usage.Errorf("%s is neither a command nor a document; %s", c.Topic, cmp.Or(meantTopic(model, word), "see eca help"))
	}
	e.Page(r.Text)
	return r, nil
}

// listTopics prints topics, and adds them to the result.
func (e *env) listTopics(r *helpResult, listed []topic) {
	var rows []console.Row
	for _, t := range listed {
		rows = append(rows, console.Row{Cells: []string{t.name, t.about}})
		r.Topics = append(r.Topics, topicResult{t.name, t.about})
	}
	e.Table(rows)
}

// commandHelp returns what the flag --help of a command prints.
func (e *env) commandHelp(ctx context.Context, name string) string {
	var text bytes.Buffer
	own, inner := *e, *e.Env
	inner.Console = e.To(&text, e.Stderr)
	inner.JSON = false
	own.Env = &inner
	run(ctx, []string{name, "--help"}, &own)
	return text.String()
}

// meantTopic returns the document or command that an unknown word is the most similar to, as a hint, ""
// if there is none.
func meantTopic(model *kong.Application, word string) string {
	var names []string
	for _, t := range topics(model.Node) {
		names = append(names, t.name)
	}
	if similar := nearest(word, append(names, slices.Sorted(maps.Keys(topicWords))...)); similar != "" {
		return didYouMean(similar)
	}
	return meantCommand(model, word)
}
