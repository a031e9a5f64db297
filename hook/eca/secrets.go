package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"

	"github.com/ecakit/ecakit/pkg/login"
)

// A secret leaves the process here and nowhere else, and only where the user asks for it:
//
//   - on standard output that is not a terminal, or with --show;
//   - into the file of --output, which is made with mode 0600, whole or not at all, and never over
//     a file that git tracks;
//   - to COMMAND, on its standard input and in its environment.
//
// With --age-recipient the first two are encrypted.

// secretFlags say where secrets go, and how they are written.
type secretFlags struct {
	Format       string   `enum:"json,env" default:"json" help:"json, or env: lines like ECA_CLIENT_ID=…, for a dotenv file."`
	Show         bool     `help:"Print secrets on a terminal."`
	Output       *string  `aliases:"output-file" placeholder:"FILE" help:"File that the credentials are written to, with mode 0600; whole or not at all, and never over a file that git tracks."`
	AgeRecipient []string `name:"age-recipient" sep:"none" placeholder:"RECIPIENT" help:"Encrypt what is written, for this age or SSH public key; can be repeated."`
	Command      []string `arg:"" optional:"" name:"command" help:"After --: a command that gets the credentials as JSON on standard input, and as ECA_BASE_URL, ECA_CLIENT_ID, ECA_CLIENT_SECRET, ECA_ORG and ECA_APP in its environment; once for each org."`
}

// credentials are what is handed over: the document that integrators ask for.
type credentials struct {
	org, app string
	baseURL  string
	pair     login.Credentials
	keyOnly  bool
}

// reveal writes the credentials out. It is the one place where a secret becomes text again.
func (c *credentials) reveal(format string, named bool) ([]byte, error) {
	secret := c.pair.Secret.Reveal()
	if format == "env" {
		text := fmt.Sprintf("ECA_BASE_URL=%s\nECA_CLIENT_ID=%s\n", quoteEnv(c.baseURL), quoteEnv(c.pair.Key))
		if !c.keyOnly {
			text += fmt.Sprintf("ECA_CLIENT_SECRET=%s\n", quoteEnv(secret))
		}
		return []byte(text), nil
	}
	document := struct {
		Org          string `json:"org,omitempty"`
		BaseURL      string `json:"base_url"`
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret,omitempty"`
	}{BaseURL: c.baseURL, ClientID: c.pair.Key}
	if named {
		document.Org = c.org
	}
	if !c.keyOnly {
		document.ClientSecret = secret
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(document)
	return b.Bytes(), err
}

// quoteEnv writes a value so that a shell and readers of dotenv files take it as it is.
func quoteEnv(value string) string {
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("-._:/@%+", r)
	}
	if value != "" && !strings.ContainsFunc(value, func(r rune) bool { return !plain(r) }) {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// sink is where the credentials of a run go.
type sink struct {
	*secretFlags
	e          *env
	orgs       []string
	several    bool // documents are told apart by their org
	recipients []age.Recipient

	mu   sync.Mutex
	kept map[string][]byte // what is to be written, by org
}

// sink checks the flags before anything is read.
func (f *secretFlags) sink(e *env, orgs []string, several bool) (*sink, error) {
	s := &sink{secretFlags: f, e: e, orgs: orgs, several: several, kept: make(map[string][]byte)}
	for _, text := range f.AgeRecipient {
		recipient, err := parseRecipient(text)
		if err != nil {
			return nil, usageError{errors.New("--age-recipient: that is neither an age nor an SSH public key")}
		}
		s.recipients = append(s.recipients, recipient)
	}
	switch {
	case f.Output != nil && *f.Output == "": // which an unset variable of a pipeline leaves
		return nil, usageError{errors.New("--output names no file")}
	case e.noCommand:
		return nil, usageError{errors.New("no command follows --; name one, or leave -- out")}
	case len(f.Command) > 0 && (f.Output != nil || len(f.AgeRecipient) > 0 || f.Show):
		return nil, usageError{errors.New("a command gets the credentials itself: leave out --output, --show and --age-recipient")}
	case len(f.Command) > 0:
		if _, err := exec.LookPath(f.Command[0]); err != nil {
			return nil, usageError{fmt.Errorf("there is no command %s", f.Command[0])}
		}
		return s, nil
	case several && f.Format == "env":
		return nil, usageError{errors.New("--format env is for one org: several would overwrite one another")}
	case f.Output != nil:
		return s, checkOutput("--output", *f.Output)
	case e.json:
		return nil, usageError{errors.New("with --json, standard output carries the report: name --output FILE or -- COMMAND for the credentials")}
	case e.stdoutTerminal && !f.Show && len(s.recipients) == 0:
		return nil, usageError{errors.New("standard output is a terminal: name --output FILE or -- COMMAND, or --show to print the secret all the same")}
	}
	e.silent = true // standard output carries the credentials and nothing else
	return s, nil
}

// parseRecipient reads a public key of age's own kind, or of SSH.
func parseRecipient(text string) (age.Recipient, error) {
	if strings.HasPrefix(text, "ssh-") {
		return agessh.ParseRecipient(text)
	}
	recipients, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil || len(recipients) != 1 {
		return nil, errors.New("not a recipient")
	}
	return recipients[0], nil
}

// checkOutput makes sure that a file for a secret can be written, and is none that git tracks.
func checkOutput(flag, name string) error {
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return usageError{fmt.Errorf("%s: %s is not a regular file", flag, name)}
	}
	dir := filepath.Dir(name)
	probe, err := os.CreateTemp(dir, ".eca-*")
	if err != nil {
		return usageError{fmt.Errorf("%s: files cannot be made in %s", flag, dir)}
	}
	probe.Close()
	os.Remove(probe.Name())
	return checkTracked(flag, name)
}

// repository returns the git work tree that a directory is in, links resolved, "" for none.
// inside says that the directory is git's own.
func repository(dir string) (root string, inside bool, err error) {
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

// checkTracked makes sure that git does not track a file, or cannot: whatever else git says, the
// file may get into a repository.
func checkTracked(flag, name string) error {
	root, inside, err := repository(filepath.Dir(name))
	switch {
	case err != nil:
		return usageError{fmt.Errorf("%s: where %s is cannot be told: %w", flag, name, err)}
	case inside:
		return usageError{fmt.Errorf("%s: %s is among git's own files; choose another file", flag, name)}
	case root == "":
		return nil
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(name))
	if err != nil {
		return usageError{fmt.Errorf("%s: where %s is cannot be told: %w", flag, name, err)}
	}
	// Upper and lower case are the same file on some systems.
	list := exec.Command("git", "-C", dir, "ls-files", "--error-unmatch", "--", ":(icase,literal)"+filepath.Base(name))
	list.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "GIT_") })
	err = list.Run()
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return usageError{fmt.Errorf("%s: git tracks %s, and a secret must not get into a repository; choose another file", flag, name)}
	case ended && exit.ExitCode() == 1:
		return nil // git knows no such file
	}
	return usageError{fmt.Errorf("%s: %s is in a git repository, and git cannot tell whether it tracks it; choose a file elsewhere", flag, name)}
}

// take hands the credentials of one org over to the command, or keeps them for close.
func (s *sink) take(ctx context.Context, c *credentials) error {
	if len(s.Command) > 0 {
		return s.run(ctx, c)
	}
	text, err := c.reveal(s.Format, s.several)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[c.org] = text
	return nil
}

// close writes what was kept: on standard output, or to the file, whole or not at all.
func (s *sink) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []byte
	for _, org := range s.orgs {
		all = append(all, s.kept[org]...)
	}
	if len(all) == 0 {
		return nil
	}
	data, err := s.encrypt(all)
	if err != nil {
		return fmt.Errorf("the credentials cannot be encrypted: %w", err)
	}
	if s.Output == nil {
		if _, err := s.e.secrets.Write(data); err != nil {
			return errors.New("standard output cannot be written")
		}
		return nil
	}
	if err := checkTracked("--output", *s.Output); err != nil {
		return err // it may have been added meanwhile
	}
	file, err := os.CreateTemp(filepath.Dir(*s.Output), ".eca-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", *s.Output, err)
	}
	defer os.Remove(file.Name())
	_, err = file.Write(data)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("%s cannot be written: %w", *s.Output, err)
	}
	return os.Rename(file.Name(), *s.Output)
}

func (s *sink) encrypt(text []byte) ([]byte, error) {
	if len(s.recipients) == 0 {
		return text, nil
	}
	var b bytes.Buffer
	armored := armor.NewWriter(&b)
	w, err := age.Encrypt(armored, s.recipients...)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	err = errors.Join(w.Close(), armored.Close())
	return b.Bytes(), err
}

// commandError says that the command that credentials were handed over to has failed.
type commandError struct {
	name string
	err  error
}

func (e *commandError) Error() string { return fmt.Sprintf("%s failed: %v", e.name, e.err) }

func (e *commandError) Unwrap() error { return e.err }

// maxCommandOutput bounds what is shown of what a command prints, for one org of several.
const maxCommandOutput = 64 << 10

// run runs the command for one org. What it prints is its own affair: for one org it has the
// output to itself; for several, its lines get the org's name.
func (s *sink) run(ctx context.Context, c *credentials) error {
	document, err := c.reveal("json", false)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	cmd.Stdin = bytes.NewReader(document)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { // of another app
		return strings.HasPrefix(variable, "ECA_CLIENT_") || strings.HasPrefix(variable, "ECA_BASE_URL=")
	})
	cmd.Env = append(cmd.Env, "ECA_BASE_URL="+c.baseURL, "ECA_CLIENT_ID="+c.pair.Key, "ECA_ORG="+c.org, "ECA_APP="+c.app)
	if !c.keyOnly {
		cmd.Env = append(cmd.Env, "ECA_CLIENT_SECRET="+c.pair.Secret.Reveal())
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = s.e.stdout, s.e.stderr
	if s.e.json {
		cmd.Stdout = s.e.stderr // standard output carries the report
	}
	if s.several {
		cmd.Stdout = &bounded{to: &printed, left: maxCommandOutput}
		cmd.Stderr = cmd.Stdout
	}
	err = cmd.Run()
	for line := range strings.Lines(printed.String()) {
		s.e.line("  %s: %s", c.org, strings.TrimRight(line, "\r\n"))
	}
	if err != nil {
		return &commandError{s.Command[0], err}
	}
	return nil
}

// bounded passes on a number of bytes and swallows the rest.
type bounded struct {
	to   io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.to.Write(p[:n])
	return len(p), nil
}
