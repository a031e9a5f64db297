package cli

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/alecthomas/kong"

	"github.com/ecakit/ecakit/hook/internal/usage"
)

// commandWords are the names by which other tools call what a command does. Of several commands, the first that
// exists is meant.
var commandWords = map[string][]string{
	"deploy": {"bootstrap"}, "install": {"bootstrap"}, "up": {"bootstrap"}, "sync": {"bootstrap"}, "push": {"bootstrap"}, "run": {"bootstrap"},
	"login": {"token", "verify"}, "auth": {"token", "verify"}, "test": {"verify"}, "access-token": {"token", "verify"},
	"doctor": {"version -v"}, "info": {"version -v"}, "env": {"version -v"}, "diagnose": {"version -v"},
	"new": {"init"}, "create": {"init"}, "add": {"init"}, "scaffold": {"init"}, "generate": {"init"}, "setup": {"init"},
	"check": {"lint"}, "validate": {"lint"},
	"diff": {"plan"}, "preview": {"plan"}, "status": {"plan"}, "dry-run": {"plan"},
	"ls": {"list"}, "apps": {"list"}, "show": {"list"}, "get": {"list"}, "display": {"list"},
	"secret": {"credentials"}, "secrets": {"credentials"}, "keys": {"credentials"}, "export": {"credentials"}, "cred": {"credentials"},
	"fix": {"repair"}, "restore": {"repair"}, "heal": {"repair"},
	"scan": {"audit"}, "report": {"audit"},
	"block": {"disable"}, "unblock": {"enable"}, "logout": {"revoke"}, "kill": {"revoke"},
	"convert": {"migrate"}, "import": {"adopt", "migrate"}, "retrieve": {"adopt", "list"}, "pull": {"adopt", "list"},
	"mock": {"simulate"}, "docs": {"help"}, "man": {"help"}, "build": {"bundle"}, "publish": {"package"},
}

// flagWords are the names by which other tools call a flag. Of several flags, the first that the command has is
// meant.
var flagWords = map[string][]string{
	"-u": {"-o"}, "--org": {"-o"}, "--alias": {"-o"}, "--target-username": {"-o"}, "--targetusername": {"-o"}, "--username": {"-o"}, "--target": {"-o"},
	"-y": {"--yes"}, "--force": {"--yes"}, "--no-prompt": {"--yes"}, "--noprompt": {"--yes"}, "--auto-approve": {"--yes"}, "--confirm": {"--yes"},
	"--check": {"--dry-run"}, "--check-only": {"--dry-run"}, "--checkonly": {"--dry-run"}, "--what-if": {"--dry-run"}, "-n": {"--dry-run", "--app"},
	"-a": {"--app"}, "--name": {"--app"}, "--app-name": {"--app"}, "--client": {"--app"},
	"--debug": {"--verbose"}, "--trace": {"--verbose"}, "-w": {"--timeout"}, "--wait": {"--timeout"},
	"--out": {"--output"}, "--file": {"--output"}, "-f": {"--output"}, "-d": {"--output"}, "--parallel": {"--jobs"}, "-j": {"--jobs"},
}

// wrongWord matches kong's error about a word that the command line cannot have.
var wrongWord = regexp.MustCompile(`^(unexpected argument|unknown flag) (\S+?)(?:, did you mean .*)?$`)

// wrongChoice matches kong's error about a value that is not one of a flag's or an argument's.
var wrongChoice = regexp.MustCompile(`^(\S+) must be one of ("[^ ]*") but got "(.*)"$`)

// suggest returns the error of a command line that kong refuses, with what was probably meant.
func (e *env) suggest(model *kong.Application, parse *kong.ParseError) error {
	selected := parse.Context.Selected()
	see := "eca --help"
	if selected != nil {
		see = "eca " + selected.Name + " --help"
	}
	match := wrongWord.FindStringSubmatch(parse.Error())
	meant := ""
	if match != nil {
		word := match[2]
		switch isFlag := match[1] == "unknown flag"; {
		case isFlag && selected == nil:
			meant = misplacedFlag(model, word)
		case isFlag:
			meant = meantFlag(selected, word)
		case selected == nil:
			meant = meantCommand(model, word)
		default:
			meant = e.meantArgument(selected, word)
		}
	}
	if choice := wrongChoice.FindStringSubmatch(parse.Error()); choice != nil {
		choices := strings.Split(strings.Trim(strings.TrimPrefix(choice[2], `"",`), `"`), `","`)
		if similar := nearest(choice[3], choices); similar != "" {
			return usage.Errorf("%s is one of %s, not %q; %s", choice[1], strings.Join(choices, ", "), choice[3], didYouMean(similar))
		}
		return usage.Errorf("%s is one of %s, not %q; see %s", choice[1], strings.Join(choices, ", "), choice[3], see)
	}
	if meant == "" {
		return usage.Errorf("%w; see %s", parse, see)
	}
	return usage.Errorf("%s %s; %s", match[1], match[2], meant)
}

// meantCommand returns the command that a word stands for, as a hint, "" if none.
func meantCommand(model *kong.Application, word string) string {
	var known []string
	for _, node := range model.Leaves(true) {
		known = append(append(known, node.Name), node.Aliases...)
	}
	word = nearest(strings.ToLower(word), append(known, slices.Sorted(maps.Keys(commandWords))...))
	if slices.Contains(known, word) {
		return didYouMean(word)
	}
	for _, command := range commandWords[word] {
		name, _, _ := strings.Cut(command, " ")
		if childOf(model.Node, name) != nil {
			return didYouMean(command)
		}
	}
	return ""
}

// nearest returns the known name that is the most similar to a word, else the only one that begins with it, "" if
// there is none.
func nearest(word string, known []string) (best string) {
	distance := 2 + len(strings.TrimLeft(word, "-"))/4
	var longer []string
	for _, name := range known {
		if d := levenshtein.ComputeDistance(word, name); d < distance {
			best, distance = name, d
		}
		if len(word) > 2 && strings.HasPrefix(name, word) {
			longer = append(longer, name)
		}
	}
	if best == "" && len(longer) == 1 {
		return longer[0]
	}
	return best
}

func didYouMean(word string) string { return `did you mean "` + word + `"?` }

// flagsOf returns the flags of a command, by all names with their dashes.
func flagsOf(node *kong.Node) (names []string) {
	for _, group := range node.AllFlags(true) {
		for _, flag := range group {
			names = append(names, "--"+flag.Name)
			if flag.Short != 0 {
				names = append(names, "-"+string(flag.Short))
			}
		}
	}
	return names
}

// meantFlag returns the flag of a command that a word stands for, as a hint, "" if none.
func meantFlag(selected *kong.Node, word string) string {
	known := flagsOf(selected)
	for _, flag := range flagWords[strings.ToLower(word)] {
		if slices.Contains(known, flag) {
			return didYouMean(flag)
		}
	}
	if !strings.HasPrefix(word, "--") {
		return ""
	}
	known = slices.DeleteFunc(known, func(flag string) bool { return !strings.HasPrefix(flag, "--") })
	if similar := nearest(strings.ToLower(word), known); similar != "" {
		return didYouMean(similar)
	}
	return ""
}

// misplacedFlag says where a flag before the command belongs, "" if no command has it.
func misplacedFlag(model *kong.Application, word string) string {
	name := word
	if meant := flagWords[word]; len(meant) > 0 {
		name = meant[0]
	}
	for _, node := range model.Leaves(true) {
		if slices.Contains(flagsOf(node), name) {
			return "write " + name + " after the command, as in eca " + node.Name + " " + name + " …"
		}
	}
	return ""
}

// meantArgument says how a command is told an app or an org, "" if it has no flag for either.
func (e *env) meantArgument(selected *kong.Node, word string) string {
	known := flagsOf(selected)
	has := func(name string) bool { return slices.Contains(known, name) }
	_, isOrg := e.Store().Usernames()[word]
	switch {
	case has("-o") && (isOrg || strings.Contains(word, "@")):
		return "use -o " + word
	case has("--app"):
		return "use --app " + word
	case has("-o"):
		return "use -o " + word
	}
	return ""
}
