// Command eca enables OAuth on Salesforce External Client Apps, org by org.
//
// sfp runs it after it has deployed an app's header, through
// scripts/bootstrap-eca-oauth.sh; people run it at a terminal. Run eca --help for
// what it does, and eca demo to see it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/ecakit/ecakit/pkg/orgauth"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitPending = 3 // eca plan --exit-code: something would change
)

// cli is the command line.
type cli struct {
	JSON       bool          `name:"json" help:"Print one JSON document on standard output, errors included, instead of text."`
	Verbose    bool          `short:"v" env:"ECA_VERBOSE" help:"Also print each request, and each field of what is created."`
	APIVersion string        `name:"api-version" placeholder:"NN.0" help:"API version to speak. Otherwise SF_ORG_API_VERSION, then the version that sf saw the org with, then the project's sourceApiVersion."`
	Timeout    time.Duration `default:"10m" env:"ECA_TIMEOUT" help:"Give up after this long."`
	RetryFor   time.Duration `name:"retry-for" default:"1m" env:"ECA_RETRY_FOR" help:"How long to wait in all, and try again, for one thing that fails of what passes: cut connections, busy servers, locked records. 0 tries once."`

	Hook      hookCmd          `cmd:"" help:"What sfp runs after a deployment, through scripts/bootstrap-eca-oauth.sh."`
	Bootstrap bootstrapCmd     `cmd:"" help:"Enable OAuth on the apps of a project or package, at a terminal."`
	Plan      planCmd          `cmd:"" help:"Show what bootstrap would change. Writes nothing."`
	Init      initCmd          `cmd:"" help:"Set an app up in an sfp project: header, policies, script, settings."`
	Lint      lintCmd          `cmd:"" help:"Check a project against the constraints of External Client Apps, without an org."`
	Demo      demoCmd          `cmd:"" help:"Show the whole story against a simulated org, without Salesforce."`
	Simulate  simulateCmd      `cmd:"" help:"Serve a simulated org on this machine."`
	Ver       versionCmd       `cmd:"" name:"version" help:"Print eca's version."`
	Version   kong.VersionFlag `help:"Print eca's version."`
}

const description = `Enables OAuth on Salesforce External Client Apps, org by org.

Deploy an app's header with sfp, and let sfp run scripts/bootstrap-eca-oauth.sh after it: the app gets its own OAuth consumer in each org, and the policies of the environment can be deployed next. A second run changes nothing.

Try it without Salesforce: eca demo`

// system is what a command has of the world around it.
type system struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	terminal       bool // whether somebody can be asked
	getenv         func(string) string
	home           string // the user's home directory, "" where there is none

	store func() *orgauth.Store // sf's, one for the whole process
}

func newSystem(home string) *system {
	return &system{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, home: home,
		terminal: term.IsTerminal(int(os.Stdin.Fd())),
		store:    sync.OnceValue(func() *orgauth.Store { return openStore(home, os.Getenv) }),
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	home, _ := os.UserHomeDir()
	code := run(ctx, os.Args[1:], newSystem(home))
	stop()
	os.Exit(code)
}

// outliveReader lets the work on an org go on when the reader of the output goes away,
// like head.
func outliveReader() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// exitRequest carries an exit code out of kong, which ends the process after
// printing help.
type exitRequest int

// run is main with everything from outside passed in.
func run(ctx context.Context, args []string, sys *system) (code int) {
	for _, variable := range os.Environ() {
		// What a pipeline passes on although it is not set counts as not set.
		if name, value, _ := strings.Cut(variable, "="); value == "" && strings.HasPrefix(name, "ECA_") {
			os.Unsetenv(name)
		}
	}
	var c cli
	defer func() {
		if r := recover(); r != nil {
			exit, ok := r.(exitRequest)
			if !ok {
				panic(r)
			}
			code = int(exit)
		}
	}()
	parser := kong.Must(&c,
		kong.Name("eca"), kong.Description(description),
		kong.Writers(sys.stdout, sys.stderr),
		kong.Exit(func(code int) { panic(exitRequest(code)) }),
		kong.Vars{"version": version()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	out := &output{system: sys, json: slices.Contains(args, "--json") || slices.Contains(args, "--json=true"), started: time.Now(), retries: new(atomic.Int64)}
	command, err := parser.Parse(args)
	if err != nil {
		hint := "eca --help"
		if parse := new(kong.ParseError); errors.As(err, &parse) && parse.Context.Selected() != nil {
			hint = "eca " + parse.Context.Selected().Path() + " --help"
		}
		return out.finish(usageError{fmt.Errorf("%w; see: %s", err, hint)})
	}
	if c.Timeout <= 0 {
		return out.finish(usageError{errors.New("--timeout must be positive")})
	}
	if c.RetryFor < 0 {
		return out.finish(usageError{errors.New("--retry-for must not be negative")})
	}
	out.command, _, _ = strings.Cut(command.Command(), " ")
	out.json, out.verbose = c.JSON, c.Verbose
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(sys, out, &c)
	return out.finish(command.Run())
}

// usageError is the fault of the command line. It exits with exitUsage.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errPending makes eca plan --exit-code exit with exitPending.
var errPending = errors.New("changes are pending")

type versionCmd struct{}

func (versionCmd) Run(out *output) error {
	out.document.Version = version()
	out.printf("eca %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
