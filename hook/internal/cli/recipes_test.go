package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// receiver is a command of a store, as its documentation describes it. The document names the source beside
// each recipe.
type receiver struct {
	words string   // the command
	flags []string // the options that it has; one that takes a value ends with "="
	// standard is the option or argument with which it reads standard input, "" if it does so without.
	standard string
}

var receivers = []receiver{
	{"vault kv put", []string{"-mount=", "-cas="}, `@/dev/stdin`},
	{"vault kv put", []string{"-mount=", "-cas="}, `\w+=-`},
	{"vault kv patch", []string{"-mount=", "-cas="}, `\w+=-`},
	{"aws secretsmanager create-secret", []string{"--name=", "--type=", "--secret-string="}, `--secret-string=file:///dev/stdin`},
	{"aws secretsmanager put-secret-value", []string{"--secret-id=", "--secret-string="}, `--secret-string=file:///dev/stdin`},
	{"az keyvault secret set", []string{"--vault-name=", "--name=", "--file=", "--encoding="}, `--file=/dev/stdin`},
	{"gcloud secrets create", []string{"--data-file="}, `--data-file=-`},
	{"gcloud secrets versions add", []string{"--data-file="}, `--data-file=-`},
	{"gh secret set", []string{"-f=", "--env=", "--org=", "--repos=", "--app="}, `-f=-`},
	{"gh secret set", []string{"--env=", "--org=", "--repos=", "--app="}, ``},
	{"glab variable set", []string{"--masked", "--scope=", "--type=", "--group="}, ``},
	{"glab variable update", []string{"--masked", "--scope=", "--type=", "--group="}, ``},
	{"op item create", []string{"--vault="}, `-`},
	{"op item edit", []string{"--vault="}, ``},
	{"infisical secrets set", []string{"--file=", "--type=", "--env=", "--path=", "--projectId="}, `--file=/dev/stdin`},
}

// arguments writes each option with its value as one word, and reports whether the command has them.
func (r receiver) arguments(words []string) (joined []string, ok bool) {
	for i := 0; i < len(words); i++ {
		name, _, attached := strings.Cut(words[i], "=")
		switch {
		case words[i] == "-" || !strings.HasPrefix(words[i], "-"):
			joined = append(joined, words[i])
		case slices.Contains(r.flags, name) && !attached, attached && slices.Contains(r.flags, name+"="):
			joined = append(joined, words[i])
		case slices.Contains(r.flags, name+"=") && i+1 < len(words):
			joined = append(joined, name+"="+words[i+1])
			i++
		default:
			return nil, false
		}
	}
	return joined, true
}

// reads reports whether the command, called with words, reads its standard input.
func (r receiver) reads(words []string) bool {
	own := strings.Fields(r.words)
	if len(words) < len(own) || !slices.Equal(words[:len(own)], own) {
		return false
	}
	joined, ok := r.arguments(words[len(own):])
	if !ok {
		return false
	}
	standard := regexp.MustCompile("^(" + r.standard + ")$")
	return r.standard == "" || slices.ContainsFunc(joined, standard.MatchString)
}

// standIn is the program of a store in the tests of recipes: it notes its arguments, reads standard input in
// the way that they say, and prints it, as some stores' programs do.
const standIn = `#!/bin/sh
basename "$0" >"$RECEIVED.args"
for arg; do printf '%s\n' "$arg" >>"$RECEIVED.args"; done
case "$*" in */dev/stdin*) cat /dev/stdin ;; *) cat ;; esac | tee "$RECEIVED.stdin"
`

// runRecipes runs each command line of a document that passes credentials on, with stand-ins for the stores'
// programs: the program must read its standard input, which has the credentials, and its arguments must not.
func runRecipes(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(stageKey{}).(*stage)
	data, err := os.ReadFile(filepath.Join(ts.Getenv("ROOT"), args[0]))
	ts.Check(err)
	programs := ts.MkAbs("programs")
	ts.Check(os.Mkdir(programs, 0o700))
	for _, r := range append(slices.Clone(receivers), receiver{words: "sf"}) {
		name, _, _ := strings.Cut(r.words, " ")
		ts.Check(os.WriteFile(filepath.Join(programs, name), []byte(standIn), 0o700))
	}
	received := ts.MkAbs("received")
	ts.Setenv("PATH", programs+string(os.PathListSeparator)+ts.Getenv("PATH"))
	ts.Setenv("RECEIVED", received)
	ts.Setenv(transcript, "") // --output - prints what it is told to
	unused := make(map[string]bool)
	for _, r := range receivers {
		unused[fmt.Sprint(r)] = true
	}
	for _, b := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(data), -1) {
		if b[1] == "json" {
			ts.Check(os.WriteFile(ts.MkAbs("op-item.json"), []byte(b[2]), 0o600))
		}
		for line := range strings.Lines(b[2]) {
			if line = strings.TrimSpace(line); b[1] != "text" || !strings.Contains(line, "eca ") || !strings.Contains(line, " -- ") && !strings.Contains(line, "$(eca ") {
				continue
			}
			ts.Logf("%s", line)
			ts.Check(os.WriteFile(received+".args", nil, 0o600))
			ts.Check(os.WriteFile(received+".stdin", nil, 0o600))
			if err := ts.Exec("sh", "-c", strings.ReplaceAll(line, "-o uat", "-o prod")); err != nil {
				ts.Fatalf("%s: %v", line, err)
			}
			pair := s.org(ts).Pairs("MyApp")[0]
			passed, stdin, shown := ts.ReadFile(received+".args"), ts.ReadFile(received+".stdin"), ts.ReadFile("stdout")+ts.ReadFile("stderr")
			words := strings.Split(strings.TrimSuffix(passed, "\n"), "\n")
			if strings.Contains(passed, pair.Secret) || strings.Contains(shown, pair.Secret) {
				ts.Fatalf("%s: the secret is among the arguments %q, or printed: %s", line, words, shown)
			}
			if words[0] == "sf" {
				if !slices.Contains(words, pair.Key) {
					ts.Fatalf("%s: the arguments lack the key: %q", line, words)
				}
				continue
			}
			known := false
			for _, r := range receivers {
				if r.reads(words) {
					known = true
					delete(unused, fmt.Sprint(r))
				}
			}
			value := strings.Contains(line, "--field client_secret")
			switch {
			case !known:
				ts.Fatalf("%s: no store documents that this command reads standard input: %q", line, words)
			case value && stdin != pair.Secret:
				ts.Fatalf("%s: standard input is not the secret alone", line)
			case !strings.Contains(stdin, pair.Secret) || !value && !strings.Contains(stdin, pair.Key):
				ts.Fatalf("%s: standard input lacks the credentials", line)
			}
		}
	}
	if len(unused) > 0 {
		ts.Fatalf("%s has no recipe for %v", args[0], unused)
	}
}
