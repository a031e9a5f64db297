package cli

import (
	"context"
	"embed"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/lint"
)

// completionScripts call eca complete, so that what they offer is always that of the eca that
// is installed.
//
//go:embed completion
var completionScripts embed.FS

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish,powershell" help:"The shell: bash, zsh, fish or powershell."`
}

func (completionCmd) Help() string {
	return `Prints a script that completes commands, flags, their values, and the aliases of the orgs that sf is logged in to. It begins with how it is switched on, for bash: source <(eca completion bash)`
}

// completionResult is what --json says of a completion script.
type completionResult struct {
	outcome
	Shell  string `json:"shell"`
	Script string `json:"script"`
}

func (c *completionCmd) run(_ context.Context, e *env) (result, error) {
	script, err := completionScripts.ReadFile("completion/" + c.Shell)
	if err != nil {
		return nil, err
	}
	e.Page(string(script))
	return &completionResult{Shell: c.Shell, Script: string(script)}, nil
}

type completeCmd struct {
	Word  string   `help:"The word that is to be completed."`
	Words []string `arg:"" optional:"" help:"The words between eca and that one."`
}

// candidate is what a word can become.
type candidate struct {
	Value string `json:"value"`
	Help  string `json:"help,omitempty"`
}

// completeResult is what --json says of a command line that goes on.
type completeResult struct {
	outcome
	Candidates []candidate `json:"candidates"`
}

// Completion scripts put candidates on a command line, where a shell would read these.
var unfitForShells = regexp.MustCompile(`[^\w.@+:/=,-]`)

func (c *completeCmd) run(_ context.Context, e *env) (result, error) {
	r := &completeResult{Candidates: []candidate{}}
	for _, found := range e.complete(newParser(new(cli), e).Model.Node, c.Words, c.Word) {
		if strings.HasPrefix(found.Value, c.Word) && !unfitForShells.MatchString(found.Value) {
			about, _, _ := strings.Cut(found.Help, ". ")
			found.Help = console.OneLine(about)
			r.Candidates = append(r.Candidates, found)
			e.Line("%s\t%s", found.Value, found.Help)
		}
	}
	return r, nil
}

// complete returns what can stand at the end of a command line. None means that it is none of
// the things that eca knows; scripts offer files then.
func (e *env) complete(node *kong.Node, words []string, word string) []candidate {
	var value *kong.Flag // whose value comes next
	arguments := 0
	for _, w := range words {
		flag, attached := flagOf(node, w)
		switch {
		case value != nil:
			value = nil
		case w == "--":
			return nil // a command of the user's follows
		case strings.HasPrefix(w, "-"):
			if flag != nil && !flag.IsBool() && !attached {
				value = flag
			}
		default:
			if child := childOf(node, w); child != nil {
				node = child
			} else {
				arguments++
			}
		}
	}
	if value != nil {
		return e.values(node, value.Value, value.PlaceHolder, "")
	}
	if name, _, ok := strings.Cut(word, "="); ok && strings.HasPrefix(word, "--") {
		if flag, _ := flagOf(node, word); flag != nil {
			return e.values(node, flag.Value, flag.PlaceHolder, name+"=")
		}
		return nil
	}
	var all []candidate
	if strings.HasPrefix(word, "-") {
		for _, group := range node.AllFlags(true) {
			for _, flag := range group {
				all = append(all, candidate{"--" + flag.Name, withVariable(flag.Value)})
			}
		}
		return all
	}
	for _, child := range node.Children {
		if !child.Hidden {
			all = append(all, candidate{child.Name, child.Help})
		}
	}
	if arguments < len(node.Positional) {
		all = e.values(node, node.Positional[arguments], strings.ToUpper(node.Positional[arguments].Name), "")
	}
	return all
}

// flagOf returns the flag that a word of a command line names, nil if there is none, and whether
// its value is part of the word.
func flagOf(node *kong.Node, word string) (found *kong.Flag, attached bool) {
	name, _, attached := strings.Cut(word, "=")
	for _, group := range node.AllFlags(false) {
		for _, flag := range group {
			if "--"+flag.Name == name || slices.ContainsFunc(flag.Aliases, func(alias string) bool { return "--"+alias == name }) {
				return flag, attached
			}
			// Short flags that need no value can stand before another one, as in -vo.
			if flag.Short != 0 && !strings.HasPrefix(word, "--") {
				if at := strings.IndexRune(word, flag.Short); at > 0 && (found == nil || found.IsBool()) {
					found, attached = flag, at < len(word)-1
				}
			}
		}
	}
	return found, attached
}

func childOf(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name || slices.Contains(child.Aliases, name) {
			return child
		}
	}
	return nil
}

// values returns what a flag or an argument of a command can be. The placeholder says what it is,
// where that is no matter of an enum.
func (e *env) values(command *kong.Node, value *kong.Value, placeholder, prefix string) (all []candidate) {
	add := func(text, help string) {
		if text != "" {
			all = append(all, candidate{prefix + text, help})
		}
	}
	switch {
	case value.Enum != "":
		for _, text := range value.EnumSlice() {
			add(text, "")
		}
	case placeholder == "ORG" || placeholder == "PROVIDER" || placeholder == "DEVHUB":
		usernames := e.Store().Usernames()
		for _, alias := range slices.Sorted(maps.Keys(usernames)) {
			add(alias, usernames[alias])
		}
		for _, username := range slices.Compact(slices.Sorted(maps.Values(usernames))) {
			add(username, "")
		}
	case placeholder == "TOPIC":
		for _, t := range topics(command.Parent) {
			add(t.name, t.about)
		}
		for _, sibling := range command.Parent.Children {
			if !sibling.Hidden {
				add(sibling.Name, sibling.Help)
			}
		}
	case placeholder == "SCOPE":
		for _, scope := range eca.Scopes() {
			add(scope, "")
		}
	case placeholder == "RULE":
		rules := lint.Rules()
		if command.Name == "audit" {
			rules = audit.Rules()
		}
		add("all", "list the rules")
		for _, rule := range rules {
			add(rule.ID, rule.Summary)
		}
	}
	return all
}
