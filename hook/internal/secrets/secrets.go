// Package secrets is where a secret leaves the process, and only to where the user sent it:
//
//   - to standard output with --output -, or on a terminal with --show;
//   - into the file of --output, which gets mode 0600, whole or not at all, and never one that git
//     tracks;
//   - to COMMAND, on its standard input and in its environment.
package secrets

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Flags say where secrets go, and how they are written.
type Flags struct {
	Format   string   `enum:"json,env,github,aws,infisical,template" default:"json" help:"env: lines like ECA_CLIENT_ID=… for a dotenv file. github: such lines for gh secret set -f -. aws, infisical: JSON in the shape of that store. template: see --template."`
	Template string   `placeholder:"TEXT" help:"With --format template: a Go template such as '{{.ClientID}}:{{.ClientSecret}}', with BaseURL, Org, App, AppID and ConsumerID too. {{json .ClientID}} quotes a value."`
	Field    string   `enum:"org,app,base_url,client_id,client_secret,app_id,consumer_id," default:"" placeholder:"NAME" help:"Only this value, without a line break: org, app, base_url, client_id, client_secret, app_id or consumer_id."`
	Show     bool     `help:"Print secrets on a terminal."`
	Output   *string  `aliases:"output-file" placeholder:"FILE" help:"File that the credentials are written to, with mode 0600; whole or not at all, and never over a file that git tracks."`
	Command  []string `arg:"" optional:"" name:"command" help:"After --: a command that gets the credentials on standard input, as --format and --field say, and as ECA_BASE_URL, ECA_CLIENT_ID, ECA_CLIENT_SECRET, ECA_ORG and ECA_APP in its environment; once for each org."`
}

// QuoteEnv writes a value so that a shell and readers of dotenv files take it as it is.
func QuoteEnv(value string) string {
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("-._:/@%+", r)
	}
	if value != "" && !strings.ContainsFunc(value, func(r rune) bool { return !plain(r) }) {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// Output is the process's own output, as far as secrets may go there.
type Output struct {
	*console.Console
	Secrets   io.Writer // standard output, for secrets alone
	Terminal  bool      // standard output is shown to somebody
	NoCommand bool      // the command line ends with --, and no command follows
	// Workflow reports that this is a step of a GitHub Actions workflow, which masks in its log
	// what is registered with a command on standard error.
	Workflow bool
}

// Sink is where the credentials of a run go.
type Sink struct {
	*Flags
	out     Output
	orgs    []string
	several bool // documents name their org

	// Apps reports that there are several apps, so that documents name theirs.
	Apps bool

	mu   sync.Mutex
	kept map[string]map[string][]byte // what Close writes, by org and app
}

// Sink checks the flags before anything is read, and returns where the credentials of the orgs go. If
// that is standard output, nothing else is printed there. Secrets need a place that is named; the key
// alone may go to standard output without.
func (f *Flags) Sink(out Output, orgs []string, several, keyOnly bool) (*Sink, error) {
	s := &Sink{Flags: f, out: out, orgs: orgs, several: several, kept: make(map[string]map[string][]byte)}
	stdout := f.Output == nil || *f.Output == "-"
	if err := f.checkFormat(several, keyOnly); err != nil {
		return nil, err
	}
	keyOnly = keyOnly || f.Field != "" && f.Field != "client_secret" // which is no secret
	switch {
	case f.Output != nil && *f.Output == "": // which an unset variable of a pipeline leaves
		return nil, usage.Errorf("--output names no file")
	case out.NoCommand:
		return nil, usage.Errorf("no command follows --; name one, or leave -- out")
	case len(f.Command) > 0 && (f.Output != nil || f.Show):
		return nil, usage.Errorf("a command gets the credentials itself: leave out --output and --show")
	case len(f.Command) > 0:
		if _, err := exec.LookPath(f.Command[0]); err != nil {
			return nil, usage.Errorf("there is no command %s", f.Command[0])
		}
		return s, nil
	case !stdout:
		return s, CheckOutput("--output", *f.Output)
	case out.JSON:
		return nil, usage.Errorf("with --json, standard output has the report: name --output FILE or -- COMMAND for the credentials")
	case f.Output == nil && !keyOnly && !f.Show:
		return nil, usage.Errorf("name a place for the secret: --output FILE, -- COMMAND, --show on a terminal, or --output - for standard output")
	case f.Show && !out.Terminal:
		return nil, usage.Errorf("--show is for a terminal, and standard output is none: name --output FILE, -- COMMAND, or --output -")
	}
	out.Silent = true
	return s, nil
}

// CheckOutput makes sure that a file for a secret can be written, and that git does not track it.
func CheckOutput(flag, name string) error {
	switch err := atomicfile.Check(name, atomicfile.Options{}); {
	case errors.Is(err, atomicfile.ErrIrregular):
		return usage.Errorf("%s: %s is not a regular file", flag, name)
	case err != nil:
		return usage.Errorf("%s: no file can be created in %s: %w", flag, filepath.Dir(name), cause(err))
	}
	// A killed run may leave the temporary file.
	for _, file := range []string{name, atomicfile.Temporary(name)} {
		if err := checkTracked(flag, file); err != nil {
			return err
		}
	}
	return nil
}

// cause returns the reason of a file error without the path.
func cause(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// Repository returns the git work tree that a directory is in, links resolved, "" for none.
// inside says that the directory is git's own.
func Repository(dir string) (root string, inside bool, err error) {
	if dir, err = filepath.Abs(dir); err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", false, err
	}
	for above := dir; ; above = filepath.Dir(above) {
		if strings.EqualFold(filepath.Base(above), ".git") {
			return above, true, nil
		}
		if _, err := os.Lstat(filepath.Join(above, ".git")); err == nil {
			return above, false, nil
		}
		if above == filepath.Dir(above) {
			return "", false, nil
		}
	}
}

// checkTracked makes sure that git neither tracks a file nor would add it. If git cannot say so, the
// file may get into a repository, so that is an error too.
func checkTracked(flag, name string) error {
	root, inside, err := Repository(filepath.Dir(name))
	if err == nil && root == "" {
		return nil
	}
	dir, dirErr := filepath.EvalSymlinks(filepath.Dir(name))
	abs, absErr := filepath.Abs(dir)
	rel, relErr := filepath.Rel(root, filepath.Join(abs, filepath.Base(name)))
	if err := cmp.Or(err, dirErr, absErr, relErr); err != nil {
		return usage.Errorf("%s: cannot find out where %s is: %w", flag, name, err)
	}
	if inside {
		return usage.Errorf("%s: %s is among git's own files; choose another file", flag, name)
	}
	rel = filepath.ToSlash(rel)
	// Upper and lower case are the same file on some systems.
	tracked, err := gitSays(root, "ls-files", "--error-unmatch", "--", ":(icase,literal)"+rel)
	ignored := false
	if err == nil && !tracked {
		ignored, err = gitSays(root, "check-ignore", "--quiet", "--", rel)
	}
	switch {
	case err != nil:
		return usage.Errorf("%s: %s is in a git repository, and git does not show whether it tracks the file; choose a file elsewhere", flag, name)
	case tracked:
		return usage.Errorf("%s: git tracks %s, and a secret must not get into a repository; choose another file", flag, name)
	case !ignored:
		return usage.Errorf("%s: git would add %s, and a secret must not get into a repository; choose a file elsewhere, or name it in .gitignore", flag, name)
	}
	return nil
}

// gitSays runs git in a work tree and reports whether it answers yes. It runs nothing that the
// repository's configuration names, looks for no other repository, and gives git none of this
// process's secrets.
func gitSays(root string, args ...string) (bool, error) {
	own := []string{
		"--git-dir=" + filepath.Join(root, ".git"), "--work-tree=" + root,
		"-c", "safe.bareRepository=explicit", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=" + os.DevNull,
	}
	git := exec.Command("git", append(own, args...)...)
	git.Dir = root
	// An index can make git fetch what is missing, over a transport that the repository chooses.
	git.Env = []string{"GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none", "LC_ALL=C"}
	for _, name := range []string{"PATH", "HOME", "USERPROFILE", "XDG_CONFIG_HOME", "SYSTEMROOT", "TEMP", "TMP"} {
		if value, ok := os.LookupEnv(name); ok {
			git.Env = append(git.Env, name+"="+value)
		}
	}
	var said bytes.Buffer
	git.Stderr = &said
	err := git.Run()
	if exit, ended := errors.AsType[*exec.ExitError](err); ended && exit.ExitCode() == 1 && !strings.Contains(said.String(), "Could not read") {
		return false, nil
	}
	return err == nil, err
}

// Take passes the credentials of one org to the command, or keeps them for Close.
func (s *Sink) Take(ctx context.Context, c *Credentials) error {
	if !c.KeyOnly {
		s.register(c.Pair.Secret)
		s.register(c.Token)
	}
	if len(s.Command) > 0 {
		return s.run(ctx, c)
	}
	text, err := s.reveal(c, s.several, s.Apps)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[c.Org] == nil {
		s.kept[c.Org] = make(map[string][]byte)
	}
	s.kept[c.Org][c.App] = text
	return nil
}

// register makes the log of a GitHub Actions workflow mask a secret. The runner reads both streams.
func (s *Sink) register(secret salesforce.Secret) {
	if !s.out.Workflow {
		return
	}
	for line := range strings.Lines(secret.Reveal()) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			fmt.Fprintf(s.out.Stderr, "::add-mask::%s\n", strings.ReplaceAll(line, "%", "%25"))
		}
	}
}

// Close writes the kept credentials to standard output, or to the file, whole or not at all.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []byte
	for _, org := range s.orgs {
		for _, app := range slices.Sorted(maps.Keys(s.kept[org])) {
			all = append(all, s.kept[org][app]...)
		}
	}
	if len(all) == 0 {
		return nil
	}
	if s.Output == nil || *s.Output == "-" {
		if s.out.Terminal && !bytes.HasSuffix(all, []byte("\n")) {
			all = append(all, '\n')
		}
		if _, err := s.out.Secrets.Write(all); err != nil {
			return errors.New("standard output cannot be written")
		}
		clear(s.kept) // what is printed is not printed again
		return nil
	}
	if err := CheckOutput("--output", *s.Output); err != nil {
		return err // it may have been added to git in the meantime
	}
	if err := atomicfile.Write(*s.Output, all, atomicfile.Options{}); err != nil {
		return fmt.Errorf("cannot write %s: %w", *s.Output, cause(err))
	}
	return nil
}

// CommandError reports that the command that gets the credentials failed.
type CommandError struct {
	name string
	err  error
}

func (e *CommandError) Error() string { return fmt.Sprintf("%s failed: %v", e.name, e.err) }

func (e *CommandError) Unwrap() error { return e.err }

// maxCommandOutput bounds what is shown of what a command prints, for one org of several.
const maxCommandOutput = 64 << 10

// run runs the command for one org. It inherits the environment without this process's own session.
// What it prints is masked; for several orgs, its lines get the org's name.
func (s *Sink) run(ctx context.Context, c *Credentials) error {
	document, err := s.reveal(c, false, s.Apps)
	if err != nil {
		return err
	}
	cmd := c.command(ctx, s.Command)
	cmd.Stdin = bytes.NewReader(document)
	if !c.Token.IsZero() {
		cmd.Stdin = c.Stdin // the command has the token in its environment
	}
	stdout := s.out.Stdout
	if s.out.JSON {
		stdout = s.out.Stderr // standard output carries the report
	}
	out, errors := console.Masked(stdout), console.Masked(s.out.Stderr)
	defer out.Close()
	defer errors.Close()
	cmd.Stdout, cmd.Stderr = out, errors
	limited := &bounded{left: maxCommandOutput}
	if s.several {
		cmd.Stdout, cmd.Stderr = limited, limited
	}
	err = cmd.Run()
	limited.print(s.out.Console, c.Org)
	if err != nil {
		return &CommandError{s.Command[0], err}
	}
	return nil
}

// command returns a command with the credentials in its environment, as far as they are known. It inherits
// the environment without this process's own session.
func (c *Credentials) command(ctx context.Context, words []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	values := c.values()
	cmd.Env = slices.DeleteFunc(orgauth.ChildEnvironment(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.ContainsFunc(values, func(v value) bool { return v.variable == name }) // of another app
	})
	for _, v := range values {
		if v.text != "" {
			cmd.Env = append(cmd.Env, v.variable+"="+v.text)
		}
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Received runs a command that prints the client ID that the receiver of credentials has, and returns it,
// "" if it has none.
func (c *Credentials) Received(ctx context.Context, out Output, check []string) (string, error) {
	cmd := c.command(ctx, check)
	printed, complaints := &bounded{left: maxCommandOutput}, &bounded{left: maxCommandOutput}
	cmd.Stdout, cmd.Stderr = printed, complaints
	err := cmd.Run()
	complaints.print(out.Console, c.Org)
	if err != nil {
		return "", &CommandError{check[0], err}
	}
	words := strings.Fields(printed.text.String())
	if len(words) > 1 {
		return "", &CommandError{check[0], errors.New("it printed more than a client ID")}
	}
	return strings.Join(words, ""), nil
}

// bounded keeps a number of bytes and swallows the rest.
type bounded struct {
	text bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.text.Write(p[:n])
	return len(p), nil
}

// print prints what was kept, masked, in lines with the name of an org.
func (b *bounded) print(u *console.Console, org string) {
	text := b.text.String()
	if b.left == 0 {
		text = text[:salesforce.Unfinished(text)]
	}
	for line := range strings.Lines(salesforce.Mask(text)) {
		u.Line("  %s: %s", org, strings.TrimRight(line, "\r\n"))
	}
}
