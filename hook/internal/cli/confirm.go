package cli

import (
	"bufio"
	"context"
	"errors"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/usage"
)

// confirmFlags are the flags of commands that end logins.
type confirmFlags struct {
	Yes    bool `help:"Do it without a question. Without a terminal, eca changes nothing unless this is given."`
	DryRun bool `name:"dry-run" help:"Show what would be done, and change nothing."`
}

// check checks the flags.
func (f *confirmFlags) check() error {
	if f.Yes && f.DryRun {
		return usage.Errorf("--yes and --dry-run exclude one another")
	}
	return nil
}

// asks reports whether a question decides after eca has shown what it would do.
func (f *confirmFlags) asks(e *env) bool { return !f.Yes && !f.DryRun && e.terminal && !e.JSON }

// errUnconfirmed makes a command exit with exitFound because it would have changed something.
var errUnconfirmed = foundError{errors.New("nothing was changed, because nobody confirmed it; add --yes to do it")}

// question asks somebody at the terminal and returns the answer. Without a text it only reads a line.
func (e *env) question(ctx context.Context, lines *bufio.Scanner, text string) (string, error) {
	if text != "" {
		e.Print(console.Clean(text) + ": ")
	}
	answered := make(chan bool, 1)
	go func() { answered <- lines.Scan() }()
	select {
	case <-ctx.Done():
		return "", errors.New("interrupted")
	case ok := <-answered:
		if err := lines.Err(); err != nil || !ok {
			return "", errors.Join(errors.New("the question was not answered"), err)
		}
	}
	return strings.TrimSpace(lines.Text()), nil
}

// confirm asks a question whose answer is yes or no.
func (e *env) confirm(ctx context.Context, text string) error {
	answer, err := e.question(ctx, e.lines(), text+" [y/N]")
	if err != nil {
		return err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return foundError{errors.New("nothing was changed")}
	}
	return nil
}
