package cli

import (
	"bytes"
	"cmp"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

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

// documents are those whose commands are run. RULES.md has none.
var documents = []string{"README.md", "hook/README.md", "hook/docs/selftest.md", "hook/docs/get-a-token.md", "hook/docs/credentials-and-stores.md", "hook/docs/sandbox-refresh.md", "hook/docs/respond.md", "pkg/README.md", "pkg/project/SETTINGS.md", "scripts/README.md"}

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
	project := func() { // a fresh one, and the working directory
		t.Helper()
		t.Chdir(t.TempDir())
		write("sfdx-project.json", `{"packageDirectories": [{"path": "src/core", "package": "core", "versionNumber": "1.0.0.NEXT", "type": "source", "default": true}], "sourceApiVersion": "65.0"}`)
		write("src/core/.keep", "")
		write("orgs.txt", "uat\nsit\n")
	}
	project()
	orgs := make(map[string]*simorg.Server)
	for alias, config := range map[string]simorg.Config{
		"uat": {Username: "admin@example.com.uat"}, "sit": {Username: "admin@example.com.sit"}, "dev": {Username: "admin@example.com.dev", Kind: simorg.Scratch},
	} {
		config.Users = []simorg.User{{Username: "integration@example.com.uat"}}
		config.PermissionSets = []string{"Assistant_Users", "Crm_Callout"}
		orgs[alias] = simorg.Start(config)
		t.Cleanup(orgs[alias].Close)
		logIn(t, home, orgs[alias], config.Username, alias, config.Kind == simorg.Scratch)
	}
	deployed := new(sync.Once)
	commands := 0
	for i, document := range documents {
		if i > 0 { // the others go on with the README's app
			project()
			if code, _, stderr := execute(t, home, "init", "--app", "MyApp", "--contact-email", "you@example.com", "--env", "uat=integration@example.com.uat"); code != exitDone {
				t.Fatal(stderr)
			}
		}
		for _, b := range blocks(t, document) {
			if b.language != "sh" {
				continue
			}
			if strings.HasPrefix(b.text, "eca init ") { // an app of its own
				project()
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
				case strings.HasPrefix(line, "go test "):
					// This is it.
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

// TestDocumentedLinks: the links of the documents lead to files of the project.
func TestDocumentedLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	err := filepath.WalkDir(projectRoot, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && name != projectRoot {
			return fs.SkipDir
		}
		if filepath.Ext(name) != ".md" {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, match := range link.FindAllSubmatch(data, -1) {
			to := string(match[1])
			if strings.Contains(to, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), filepath.FromSlash(to))); err != nil {
				t.Errorf("%s links to %s: %v", name, to, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
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
