package secrets

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("git %v: %v %s", args, err, out)
	}
}

func credentials(org string) *Credentials {
	return &Credentials{Org: org, App: "App", BaseURL: "https://acme.my.salesforce.com", Pair: login.Credentials{Key: "3MVG9key", Secret: salesforce.NewSecret("TOPSECRET")}}
}

func sink(t *testing.T, flags Flags, orgs ...string) (*Sink, *bytes.Buffer, error) {
	t.Helper()
	var out bytes.Buffer
	if flags.Format == "" {
		flags.Format = "json"
	}
	s, err := flags.Sink(Output{Console: new(console.Console).To(&out, &out), Secrets: &out, Workflow: flags.Format == "env"}, orgs, len(orgs) > 1, false)
	return s, &out, err
}

// TestFileAddedToGitMeanwhile: a file that git begins to track after the check is not written.
func TestFileAddedToGitMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("creds.json\n.creds.json.eca-tmp\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "creds.json")
	s, _, err := sink(t, Flags{Output: &name}, "uat")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Take(context.Background(), credentials("uat")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "add", "-f", "creds.json")
	if err := s.Close(); !errors.As(err, new(usage.Error)) {
		t.Errorf("the error is %v", err)
	}
	if data, err := os.ReadFile(name); err != nil || string(data) != "kept" {
		t.Errorf("the file has %q, %v", data, err)
	}
}

// TestTemporaryFileIsChecked: a killed run may leave the temporary file, so git must not track
// that one either.
func TestTemporaryFileIsChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	name := filepath.Join(dir, "creds.json")
	if err := os.WriteFile(atomicfile.Temporary(name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "add", "-f", filepath.Base(atomicfile.Temporary(name)))
	if _, _, err := sink(t, Flags{Output: &name}, "uat"); !errors.As(err, new(usage.Error)) {
		t.Errorf("the error is %v", err)
	}
}

// TestFileThatGitWouldAdd: a file that is neither tracked nor ignored gets into the repository with
// the next git add.
func TestFileThatGitWouldAdd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	name := filepath.Join(dir, "creds.json")
	for ignore, want := range map[string]bool{"": false, "creds.json\n": false, "*creds.json*\n": true} {
		if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte(ignore), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := sink(t, Flags{Output: &name}, "uat"); (err == nil) != want {
			t.Errorf("with %q ignored: %v", ignore, err)
		}
	}
}

// TestRepositoryRunsNothing: no configuration of a repository, or of one inside it, is executed.
func TestRepositoryRunsNothing(t *testing.T) {
	t.Setenv("SF_ACCESS_TOKEN", "00Dxx!TOKEN")
	got := filepath.Join(t.TempDir(), "got")
	run := "echo $SF_ACCESS_TOKEN >>" + filepath.ToSlash(got)
	monitor := "[core]\n\tfsmonitor = \"" + run + "\"\n"
	for name, prepare := range map[string]func(dir string){
		"own configuration": func(dir string) { addTo(t, filepath.Join(dir, ".git", "config"), monitor) },
		"an embedded bare repository": func(dir string) {
			bare := filepath.Join(dir, "artifacts")
			addTo(t, filepath.Join(bare, "HEAD"), "ref: refs/heads/main\n")
			addTo(t, filepath.Join(bare, "config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"+monitor)
			addTo(t, filepath.Join(bare, "refs", "x"), "")
			addTo(t, filepath.Join(bare, "objects", "x"), "")
		},
		"an included file": func(dir string) {
			addTo(t, filepath.Join(dir, ".git", "config"), "[include]\n\tpath = ../included\n")
			addTo(t, filepath.Join(dir, "included"), monitor)
		},
		"a work tree's configuration": func(dir string) {
			addTo(t, filepath.Join(dir, ".git", "config"), "[extensions]\n\tworktreeConfig = true\n")
			addTo(t, filepath.Join(dir, ".git", "config.worktree"), monitor)
		},
		"a file instead of .git": func(dir string) {
			addTo(t, filepath.Join(dir, ".git", "config"), monitor)
			if err := os.Rename(filepath.Join(dir, ".git"), filepath.Join(dir, "elsewhere")); err != nil {
				t.Fatal(err)
			}
			addTo(t, filepath.Join(dir, ".git"), "gitdir: elsewhere\n")
		},
		"hooks": func(dir string) {
			addTo(t, filepath.Join(dir, ".git", "config"), "[core]\n\thooksPath = "+filepath.ToSlash(dir)+"/hooks\n")
			for _, hook := range []string{"post-index-change", "fsmonitor-watchman", "post-checkout"} {
				addTo(t, filepath.Join(dir, "hooks", hook), "#!/bin/sh\n"+run+"\n")
				if err := os.Chmod(filepath.Join(dir, "hooks", hook), 0o700); err != nil {
					t.Fatal(err)
				}
			}
		},
		// A directory of the index that is missing is fetched.
		"a transport": func(dir string) {
			addTo(t, filepath.Join(dir, "a", "x"), "1")
			addTo(t, filepath.Join(dir, "artifacts", "y", "z"), "2")
			git(t, dir, "add", "--force", ".")
			git(t, dir, "commit", "-q", "-m", "x")
			git(t, dir, "sparse-checkout", "init", "--cone", "--sparse-index")
			git(t, dir, "sparse-checkout", "set", "a")
			if err := os.RemoveAll(filepath.Join(dir, ".git", "objects")); err != nil {
				t.Fatal(err)
			}
			addTo(t, filepath.Join(dir, ".git", "objects", "x"), "")
			addTo(t, filepath.Join(dir, "artifacts", "x"), "")
			addTo(t, filepath.Join(dir, ".git", "config"), "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = origin\n"+
				"[remote \"origin\"]\n\turl = ext::sh -c touch% "+filepath.ToSlash(got)+"\n\tpromisor = true\n[protocol \"ext\"]\n\tallow = always\n")
		},
	} {
		dir := t.TempDir()
		git(t, dir, "init", "-q")
		addTo(t, filepath.Join(dir, ".gitignore"), "*\n")
		addTo(t, filepath.Join(dir, "artifacts", "x"), "")
		prepare(dir)
		for _, file := range []string{filepath.Join(dir, "creds.json"), filepath.Join(dir, "artifacts", "creds.json")} {
			if _, _, err := sink(t, Flags{Output: &file}, "uat"); err != nil && name != "a transport" {
				t.Errorf("%s: %s: %v", name, file, err)
			}
		}
		if data, err := os.ReadFile(got); err == nil {
			t.Errorf("%s was executed: %q", name, data)
			os.Remove(got)
		}
	}
}

// TestEnvironmentDoesNotDecide: git is asked about the repository of the file, whatever the environment says.
func TestEnvironmentDoesNotDecide(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	name := filepath.Join(dir, "creds.json")
	addTo(t, name, "")
	git(t, dir, "add", "creds.json")
	addTo(t, filepath.Join(dir, ".gitignore"), "*\n")
	other, got := t.TempDir(), filepath.Join(t.TempDir(), "got")
	git(t, other, "init", "-q")
	for variable, value := range map[string]string{
		"GIT_INDEX_FILE": filepath.Join(other, "none"), "GIT_DIR": filepath.Join(other, ".git"), "GIT_WORK_TREE": other,
		"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": "touch " + filepath.ToSlash(got),
		"GIT_LITERAL_PATHSPECS": "1", "GIT_CEILING_DIRECTORIES": dir,
	} {
		t.Setenv(variable, value)
	}
	if _, _, err := sink(t, Flags{Output: &name}, "uat"); !errors.As(err, new(usage.Error)) || !strings.Contains(err.Error(), "git tracks") {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(got); err == nil {
		t.Error("the environment's configuration was executed")
	}
}

// addTo appends to a file.
func addTo(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWritesWhole(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "creds.json")
	s, out, err := sink(t, Flags{Output: &name}, "uat", "sit")
	if err != nil {
		t.Fatal(err)
	}
	for _, org := range []string{"sit", "uat"} { // in any order
		if err := s.Take(t.Context(), credentials(org)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if lines := strings.Split(string(data), "\n"); err != nil || len(lines) != 3 || !strings.Contains(lines[0], `"org":"uat"`) || !strings.Contains(lines[1], "TOPSECRET") {
		t.Errorf("the file has %q, %v", data, err)
	}
	if out.Len() > 0 {
		t.Errorf("printed %q", out)
	}
}

// TestSecretsNeedAPlace: standard output that is not a terminal is the log of a pipeline.
func TestSecretsNeedAPlace(t *testing.T) {
	t.Parallel()
	dash := "-"
	for name, test := range map[string]struct {
		flags    Flags
		terminal bool
		keyOnly  bool
		ok       bool
	}{
		"nothing":               {},
		"terminal":              {terminal: true},
		"shown on a terminal":   {flags: Flags{Show: true}, terminal: true, ok: true},
		"shown in a pipeline":   {flags: Flags{Show: true}},
		"asked for":             {flags: Flags{Output: &dash}, ok: true},
		"asked for on terminal": {flags: Flags{Output: &dash}, terminal: true, ok: true},
		"the key alone":         {keyOnly: true, ok: true},
	} {
		var out bytes.Buffer
		test.flags.Format = "json"
		s, err := test.flags.Sink(Output{Console: new(console.Console).To(&out, &out), Secrets: &out, Terminal: test.terminal}, []string{"uat"}, false, test.keyOnly)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		c := credentials("uat")
		c.KeyOnly = test.keyOnly
		if err := cmp.Or(s.Take(t.Context(), c), s.Close()); err != nil || strings.Contains(out.String(), "TOPSECRET") == test.keyOnly || strings.Contains(out.String(), "add-mask") {
			t.Errorf("%s: %v, printed %q", name, err, &out)
		}
	}
}

// TestWorkflowMasks: the log of a workflow masks a secret before it is written.
func TestWorkflowMasks(t *testing.T) {
	t.Parallel()
	dash := "-"
	s, out, err := sink(t, Flags{Output: &dash, Format: "env"}, "uat")
	if err != nil {
		t.Fatal(err)
	}
	if err := cmp.Or(s.Take(t.Context(), credentials("uat")), s.Close()); err != nil || !strings.HasPrefix(out.String(), "::add-mask::TOPSECRET\n") {
		t.Errorf("%v, printed %q", err, out)
	}
	// The runner decodes %25, %0A and %0D.
	s, out, err = sink(t, Flags{Output: &dash, Format: "env"}, "uat")
	if err != nil {
		t.Fatal(err)
	}
	escaped := credentials("uat")
	escaped.Pair.Secret = salesforce.NewSecret("TOP%0ASECRET%25\nsecond line\n")
	if err := s.Take(t.Context(), escaped); err != nil || out.String() != "::add-mask::TOP%250ASECRET%2525\n::add-mask::second line\n" {
		t.Errorf("%v, printed %q", err, out)
	}
}

func TestQuoteEnv(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"a-b._:/@%+": "a-b._:/@%+", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "$x": "'$x'"} {
		if got := QuoteEnv(value); got != want {
			t.Errorf("QuoteEnv(%q) = %s, want %s", value, got, want)
		}
	}
}
