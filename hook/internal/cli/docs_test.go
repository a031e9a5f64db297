package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/ecakit/ecakit/pkg/agent"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/scaffold"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// block is a fenced block of a document.
type block struct {
	language, text string
}

func blocks(t *testing.T, document string) (all []block) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(projectRoot, document))
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile("(?ms)^( *)```(\\w+)\n(.*?)^ *```$").FindAllStringSubmatch(string(data), -1) {
		all = append(all, block{match[2], match[3]})
	}
	return all
}

// documents returns those whose commands are run: the README, the pages of the guide, and others. RULES.md has none.
func documents(t *testing.T) []string {
	t.Helper()
	all := []string{"README.md", "hook/README.md"}
	pages, err := filepath.Glob(filepath.Join(projectRoot, "hook/docs/*.md"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("the guide has the pages %v, %v", pages, err)
	}
	for _, page := range pages {
		all = append(all, "hook/docs/"+filepath.Base(page))
	}
	return append(all, "hook/skill/SKILL.md", "pkg/README.md", "pkg/project/SETTINGS.md", "scripts/README.md")
}

// TestDocumentedCommands runs each command line of the documents, in their order, in a project
// and with orgs as they are written for.
func TestDocumentedCommands(t *testing.T) {
	home := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	project := func(plain bool) { // a fresh one, of sfp or one that sf deploys, and the working directory
		t.Helper()
		t.Chdir(t.TempDir())
		write("orgs.txt", "uat\nsit\n")
		if plain {
			write("sfdx-project.json", `{"packageDirectories": [{"path": "force-app", "default": true}], "sourceApiVersion": "65.0"}`)
			write("force-app/main/default/.keep", "")
			return
		}
		write("sfdx-project.json", `{"packageDirectories": [{"path": "src/core", "package": "core", "versionNumber": "1.0.0.NEXT", "type": "source", "default": true}], "sourceApiVersion": "65.0"}`)
		write("src/core/.keep", "")
	}
	project(false)
	orgs := make(map[string]*simorg.Server)
	for alias, config := range map[string]simorg.Config{
		"uat": {Username: "admin@example.com.uat"}, "sit": {Username: "admin@example.com.sit"}, "dev": {Username: "admin@example.com.dev", Kind: simorg.Scratch},
	} {
		config.Users = []simorg.User{{Username: "integration@example.com.uat"}}
		config.PermissionSets, config.Certificates = []string{"Assistant_Users", "Crm_Callout"}, []string{"Crm_Key"}
		config.MCPServers = []string{"platform/sobject-all"}
		orgs[alias] = simorg.Start(config)
		t.Cleanup(orgs[alias].Close)
		logIn(t, home, orgs[alias], config.Username, alias, config.Kind == simorg.Scratch)
	}
	deployed := new(sync.Once)
	commands := 0
	for i, document := range documents(t) {
		if i > 0 { // the others go on with the README's app
			project(false)
			if code, _, stderr := execute(t, home, "init", "--app", "MyApp", "--contact-email", "you@example.com", "--env", "uat=integration@example.com.uat"); code != exitDone {
				t.Fatal(stderr)
			}
		}
		for _, b := range blocks(t, document) {
			if b.language != "sh" {
				continue
			}
			if strings.HasPrefix(b.text, "eca init ") && strings.Contains(b.text, "--contact-email") { // an app of its own
				project(strings.HasSuffix(document, "plain-sf.md") || strings.Contains(b.text, "\nsf project deploy start "))
				deployed = new(sync.Once)
			}
			for line := range strings.Lines(b.text) {
				line, _, _ = strings.Cut(line, " #")
				words := strings.Fields(line)
				switch {
				case len(words) == 0:
				case words[0] == "eca", strings.HasPrefix(line, "go run ./hook/eca "):
					if words[0] == "go" {
						words = words[2:]
					}
					if _, err := os.Stat("src/eca-definition"); err == nil {
						deployed.Do(func() {
							for _, org := range orgs {
								if err := org.Deploy(os.DirFS("."), "src/eca-definition"); err != nil {
									t.Fatal(err)
								}
							}
						})
					}
					commands++
					if code, stdout, stderr := execute(t, home, words[1:]...); code != exitDone {
						t.Errorf("%s: %q ends with %d: %s%s", document, line, code, stdout, stderr)
					}
				case strings.HasPrefix(line, "sfp install -o uat"): // which scripts/e2e.sh runs, with the hook
					if code, stdout, stderr := execute(t, home, "bootstrap", "-o", "uat", "--headers", "--apply-policies"); code != exitDone {
						t.Errorf("%s: in the place of %q: %d: %s%s", document, line, code, stdout, stderr)
					}
				case strings.HasPrefix(line, "sf project deploy start -o uat"): // which scripts/e2e.sh runs, too
					if err := orgs["uat"].Deploy(os.DirFS("."), "force-app"); err != nil {
						t.Errorf("%s: in the place of %q: %v", document, line, err)
					}
				case strings.HasPrefix(line, "go test "), strings.HasPrefix(line, "sfp build "):
					// This is it, and scripts/e2e.sh runs the other.
				case words[0] == "go" && words[1] == "install":
					target, _, _ := strings.Cut(words[2], "@")
					sub := strings.TrimPrefix(target, "github.com/ecakit/ecakit/")
					if _, err := os.Stat(filepath.Join(projectRoot, sub, "main.go")); err != nil {
						t.Errorf("%s: %q installs what is not there: %v", document, line, err)
					}
				case strings.HasPrefix(words[0], "scripts/"):
					if info, err := os.Stat(filepath.Join(projectRoot, words[0])); err != nil || info.Mode()&0o111 == 0 {
						t.Errorf("%s: %q cannot be run: %v", document, line, err)
					}
				default:
					t.Errorf("%s: nothing knows how to try %q", document, line)
				}
			}
		}
	}
	if commands < 8 {
		t.Errorf("only %d commands were found in the documents", commands)
	}
}

// TestDocumentedAnswers: the page on AI clients names each answer and each client that is known.
func TestDocumentedAnswers(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(projectRoot, "hook/docs/mcp-and-agents.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := strings.ToLower(string(data))
	for _, row := range agent.Answers() {
		if row.Text == "" && !strings.Contains(page, fmt.Sprintf("| %d", row.Status)) || !strings.Contains(page, row.Text) {
			t.Errorf("the page lacks %d %q", row.Status, row.Text)
		}
	}
	for _, client := range scaffold.Clients() {
		for _, text := range append(client.Callbacks, client.Name) {
			if !strings.Contains(page, strings.ToLower(strings.NewReplacer("localhost:%s", "localhost:PORT", "%s", "URL").Replace(text))) {
				t.Errorf("the page lacks %s of %s", text, client.Name)
			}
		}
	}
}

// TestDocumentedDemo: the README shows what the demo prints.
func TestDocumentedDemo(t *testing.T) {
	_, stdout, stderr := execute(t, t.TempDir(), "demo")
	if stderr != "" {
		t.Fatal(stderr)
	}
	normal := func(text string) string {
		for _, v := range varying {
			text = v.pattern.ReplaceAllString(text, v.with)
		}
		return regexp.MustCompile(`\d+ requests`).ReplaceAllString(strings.ReplaceAll(text, "DEMO/artifacts", "artifacts"), "N requests")
	}
	for _, b := range blocks(t, "README.md") {
		if b.language == "text" && !strings.Contains(normal(stdout), normal(b.text)) {
			t.Errorf("the demo prints\n%s\nand the README shows\n%s", stdout, b.text)
		}
	}
}

// eachPage calls a function with each Markdown file of the repository, by its path from the root.
func eachPage(t *testing.T, check func(page, text string)) {
	t.Helper()
	err := filepath.WalkDir(projectRoot, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && name != projectRoot && entry.Name() != ".github" {
			return fs.SkipDir
		}
		if filepath.Ext(name) != ".md" {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		page, err := filepath.Rel(projectRoot, name)
		check(filepath.ToSlash(page), string(data))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// anchorOf returns the anchor that GitHub gives a heading.
func anchorOf(heading string) string {
	heading = regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(heading, " ", "-")
}

// TestDocumentedLinks: the links of the documents lead to files of the project, and to headings of theirs.
func TestDocumentedLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	eachPage(t, func(page, text string) {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			to := page
			if match[1] != "" {
				to = path.Join(path.Dir(page), match[1])
			}
			if _, err := os.Stat(filepath.Join(projectRoot, to)); err != nil {
				t.Errorf("%s links to %s: %v", page, match[1], err)
				continue
			}
			anchor, anchored := strings.CutPrefix(match[2], "#")
			if !anchored {
				continue
			}
			found := slices.ContainsFunc(heading.FindAllStringSubmatch(readFile(t, to), -1), func(m []string) bool { return anchorOf(m[1]) == anchor })
			if !found {
				t.Errorf("%s links to %s, which has no heading %s", page, to, anchor)
			}
		}
	})
}

// TestIndex: the index of the guide has each page, and is short.
func TestIndex(t *testing.T) {
	t.Parallel()
	listed := make(map[string]bool)
	for _, topic := range topics(kong.Must(new(cli), kong.Vars{"version": ""}).Model.Node) {
		listed[topic.file] = true
	}
	for _, document := range documents(t) {
		if strings.HasPrefix(document, "hook/docs/") && !listed[document] {
			t.Errorf("%s does not list %s", index, document)
		}
	}
	if n := strings.Count(readFile(t, "README.md"), "\n"); n > 100 {
		t.Errorf("README.md has %d lines", n)
	}
	if n := strings.Count(readFile(t, index), "\n"); n > 40 {
		t.Errorf("%s has %d lines", index, n)
	}
}

// TestPages: each page of the guide says what its reader gets, has commands, and says what can go wrong.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, document := range documents(t) {
		if !strings.HasPrefix(document, "hook/docs/") || document == "hook/docs/troubleshooting.md" { // which is a table
			continue
		}
		text := readFile(t, document)
		for _, part := range []string{"\n\nYou get: ", "\n## What can go wrong\n", "```"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %q", document, part)
			}
		}
	}
}

// TestUnconfirmedFacts: the page about tests lists the facts that nobody has confirmed. With -update, the test
// writes the list.
func TestUnconfirmedFacts(t *testing.T) {
	t.Parallel()
	const page, end = "hook/docs/how-it-was-tested.md", "## Ask your org"
	var assumed, unasked []string
	for _, fact := range platform.Facts() {
		if slices.ContainsFunc(fact.Sources, func(source string) bool { return strings.Contains(source, "the expected answer is assumed") }) {
			assumed = append(assumed, "`"+fact.ID+"`")
		}
		if strings.HasPrefix(fact.Limit, "a selftest cannot ask it") {
			unasked = append(unasked, "`"+fact.ID+"`")
		}
	}
	want := fmt.Sprintf("The table has %d facts. No fact has been confirmed on a real org by this project. Of these, %d have an expected "+
		"answer that no source confirms, at least in part:\n\n%s.\n\n%d facts need more than a selftest can do on one org, such as a "+
		"second user, a Dev Hub or a login in a browser:\n\n%s.\n\n", len(platform.Facts()), len(assumed), strings.Join(assumed, ",\n"),
		len(unasked), strings.Join(unasked, ",\n"))
	text := readFile(t, page)
	before, rest, found := strings.Cut(text, "The table has ")
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no list of facts before %q", page, end)
	}
	if whole := before + want + end + after; *update {
		if err := os.WriteFile(filepath.Join(projectRoot, page), []byte(whole), 0o644); err != nil {
			t.Error(err)
		}
	} else if whole != text {
		t.Errorf("%s is not up to date: run this test with -update", page)
	}
}

// TestFaultMatrix: the figures of the texts are the sums of the table.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	text := readFile(t, "hook/docs/how-it-was-tested.md")
	var points, converged, said int
	rows := regexp.MustCompile(`(?m)^\|[^|]+\| (\d+), (\d+), (\d+) \| (?:(\d+), (\d+), (\d+))? ?\| (\d+) of (\d+) \|$`).FindAllStringSubmatch(text, -1)
	for _, row := range rows {
		at := func(i int) int { n, _ := strconv.Atoi(row[i]); return n }
		points += at(1) + at(4) + at(8)
		converged += at(2) + at(5) + at(7)
		said += at(3) + at(6)
	}
	if len(rows) < 20 || points != converged+said {
		t.Fatalf("%d rows with %d points, of which %d and %d", len(rows), points, converged, said)
	}
	if want := fmt.Sprintf("%d points in all, of which %d converged and %d said what is left", points, converged, said); !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
		t.Errorf("the page lacks %q", want)
	}
	number := func(n int) string { return fmt.Sprintf("%d,%03d", n/1000, n%1000) }
	for _, want := range []string{"Of " + number(points) + " points", "at " + number(converged) + ".", fmt.Sprintf("other %d,", said)} {
		if !strings.Contains(strings.Join(strings.Fields(readFile(t, ".github/SECURITY.md")), " "), want) {
			t.Errorf("SECURITY.md lacks %q", want)
		}
	}
}

// stands matches what a shell or a CI system replaces.
var stands = regexp.MustCompile(`\$\(\(.*?\)\)|\$\{\{.*?\}\}|\$\(\w+\)|\$\{?\w+\}?`)

// shellWords splits a command line into words, with quotes, up to its end: a comment, a pipe, a list or a redirection.
func shellWords(line string) (words []string) {
	for _, match := range regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+|\s+`).FindAllString(stands.ReplaceAllString(line, "1"), -1) {
		switch {
		case strings.TrimSpace(match) == "":
			words = append(words, "")
			continue
		case strings.ContainsAny(match[:1], "|#;&<>)") || strings.HasPrefix(match, "2>"):
			return slices.DeleteFunc(words, func(word string) bool { return word == "" })
		case len(words) == 0:
			words = append(words, "")
		}
		words[len(words)-1] += strings.TrimSuffix(strings.Trim(match, `'"`), ";")
	}
	return slices.DeleteFunc(words, func(word string) bool { return word == "" })
}

// TestDocumentedCommandLines: each command line of eca in a block of a document can be parsed, and each in a
// sentence has a command and flags that exist.
func TestDocumentedCommandLines(t *testing.T) {
	t.Parallel()
	inBlock := regexp.MustCompile(`(?m)(?:^[ \t]*|\$ |- |run: |script: |\| |\$\(|&& |sh ')(?:go run \./hook/)?(eca (?:[^\n]*\\\n)*[^\n]*)`)
	fence := regexp.MustCompile("(?ms)^ *```(\\w+)\n(.*?)^ *```$")
	inline := regexp.MustCompile("`(eca [^`]+)`")
	e := world(t.TempDir(), io.Discard)
	n := 0
	eachPage(t, func(page, text string) {
		for _, block := range fence.FindAllStringSubmatch(text, -1) {
			if block[1] == "go" || block[1] == "json" || block[1] == "mermaid" {
				continue
			}
			for _, match := range inBlock.FindAllStringSubmatch(block[2], -1) {
				command := strings.ReplaceAll(match[1], "\\\n", " ")
				if strings.HasPrefix(match[0], "$(") {
					command, _, _ = strings.Cut(command, ")")
				}
				words := shellWords(command)
				if len(words) < 2 || !regexp.MustCompile(`^[a-z-]+$`).MatchString(words[1]) || strings.HasSuffix(strings.TrimSpace(match[0]), ":") {
					continue // eca's own output, as in "eca: done"
				}
				n++
				if _, err := newParser(new(cli), e).Parse(asFlags(words[1:])); err != nil {
					t.Errorf("%s: %q: %v", page, match[1], err)
				}
			}
		}
		model := newParser(new(cli), e).Model
		for _, match := range inline.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			words := shellWords(match[1])
			if len(words) < 2 || strings.ToUpper(words[1]) == words[1] || strings.HasPrefix(words[1], "-") {
				continue // eca COMMAND, eca --version
			}
			n++
			node := childOf(model.Node, words[1])
			if node == nil {
				t.Errorf("%s: `%s` names no command", page, match[1])
				continue
			}
			if words[1] == "help" && len(words) > 2 && strings.ToUpper(words[2]) != words[2] && len(lookUp(model.Node, words[2])) == 0 && childOf(model.Node, words[2]) == nil {
				t.Errorf("%s: `%s` names no document", page, match[1])
			}
			for _, word := range words[2:] {
				flag, _, _ := strings.Cut(word, "=")
				if word == "--" {
					break
				}
				if strings.HasPrefix(flag, "-") && flag != "-" && !slices.Contains(flagsOf(node), flag) {
					t.Errorf("%s: `%s` has the flag %s, which the command lacks", page, match[1], flag)
				}
			}
		}
	})
	if n < 200 {
		t.Errorf("the documents have %d command lines", n)
	}
}

// execute runs a command as main does, with nothing of this process' environment. A simulated
// org is served for a moment.
func execute(t *testing.T, home string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return executeWith(t, home, nil, args...)
}

// executeWith is execute with more variables of the environment.
func executeWith(t *testing.T, home string, variables map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, failure bytes.Buffer
	e := world(home, &out)
	getenv := e.Getenv
	e.Getenv = func(name string) string { return cmp.Or(variables[name], getenv(name)) }
	e.Stderr = &failure
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, arg := range args {
		if arg == "simulate" {
			cancel()
		}
	}
	code = run(ctx, args, e)
	return code, out.String(), failure.String()
}
