// Command eca enables OAuth on Salesforce External Client Apps, org by org.
//
// sfp runs it after it has deployed an app's header, through
// scripts/bootstrap-eca-oauth.sh; people run it at a terminal. Run eca --help for
// what it does, and eca demo to see it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
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
	JSON bool `name:"json" help:"Print one JSON document on standard output, errors included, instead of text."`

	Hook        hookCmd          `cmd:"" help:"What sfp runs after a deployment, through scripts/bootstrap-eca-oauth.sh."`
	Bootstrap   bootstrapCmd     `cmd:"" help:"Enable OAuth on the apps of a project or package, at a terminal."`
	Plan        planCmd          `cmd:"" help:"Show what bootstrap would change. Writes nothing."`
	Credentials credentialsCmd   `cmd:"" help:"Read an app's key and secret, and hand them over."`
	Verify      verifyCmd        `cmd:"" help:"Prove that a login by an app works, and explain why it does not."`
	Rotate      rotateCmd        `cmd:"" help:"Replace an app's key and secret by new ones, without a gap."`
	Connect     connectCmd       `cmd:"" help:"Let orgs call another one: credentials, access and the secret."`
	Init        initCmd          `cmd:"" help:"Set an app up in an sfp project: header, policies, script, settings."`
	Migrate     migrateCmd       `cmd:"" help:"Turn Connected Apps into what init writes, and report what cannot be carried."`
	Package     packageCmd       `cmd:"" help:"Package an app of the Dev Hub, so that many orgs share its consumer (Pattern 1)."`
	Audit       auditCmd         `cmd:"" help:"Say what the Connected Apps and External Client Apps of orgs let in."`
	Repair      repairCmd        `cmd:"" help:"Find apps whose OAuth is broken for good, and make it anew."`
	Lint        lintCmd          `cmd:"" help:"Check a project for what External Client Apps require of source, without an org."`
	Bundle      bundleCmd        `cmd:"" help:"Write the script that sfp runs, with eca inside, so that artifacts need none."`
	Demo        demoCmd          `cmd:"" help:"Show the whole story on a simulated org, without Salesforce."`
	Simulate    simulateCmd      `cmd:"" help:"Serve a simulated org on this machine."`
	Describe    describeCmd      `cmd:"" hidden:"" help:"Describe eca's commands and flags, for programs that offer them."`
	Help        helpCmd          `cmd:"" help:"Print a longer document, the help of a command, or the manual page."`
	Completion  completionCmd    `cmd:"" help:"Print the script that completes eca's command line in a shell."`
	Complete    completeCmd      `cmd:"" hidden:"" help:"Print what a command line can go on with, for the scripts of completion."`
	Ver         versionCmd       `cmd:"" name:"version" help:"Print eca's version."`
	Version     kong.VersionFlag `help:"Print eca's version."`
}

const description = `Takes care of Salesforce External Client Apps, org by org: OAuth, credentials, rotation, Connected Apps that move over, audits.

Deploy an app's header with sfp, and let sfp run scripts/bootstrap-eca-oauth.sh after it: the app gets its own OAuth consumer in each org, and the policies of the environment can be deployed next. A second run changes nothing.

Try it without Salesforce: eca demo

Longer documents: eca help`

// command is what each command of cli can do. A result that is not nil is printed with --json,
// also where there is an error.
type command interface {
	run(ctx context.Context, e *env) (result, error)
}

// env is what a command has of the world around it.
type env struct {
	*ui
	stdin          io.Reader
	secrets        io.Writer // standard output, for what is a secret: see secrets.go
	terminal       bool      // whether somebody can be asked
	stdoutTerminal bool      // whether standard output is shown to somebody
	getenv         func(string) string
	home           string // the user's home directory, "" where there is none

	noCommand bool // the command line ends with --, and no command follows

	store func() *orgauth.Store // sf's, one for the whole process
}

func newEnv() *env {
	home, _ := os.UserHomeDir()
	return &env{
		ui: &ui{
			stdout: os.Stdout, stderr: os.Stderr, started: time.Now(), unwritten: new(atomic.Pointer[error]),
			ansi: obeysEscapes(os.Stdout), colour: colours(os.Stdout, os.Getenv), colourErrors: colours(os.Stderr, os.Getenv),
		},
		stdin: os.Stdin, secrets: os.Stdout, terminal: term.IsTerminal(int(os.Stdin.Fd())), stdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		getenv: os.Getenv, home: home,
		store: sync.OnceValue(func() *orgauth.Store { return openStore(home, os.Getenv) }),
	}
}

func main() {
	os.Exit(run(interruptible(), os.Args[1:], newEnv()))
}

// sameInterrupt is how long after an interrupt another is taken for the same: a pipeline signals
// the process and its parents, like npx, pass theirs on.
const sameInterrupt = time.Second

// interruptible returns a context that an interrupt, a termination or the loss of the terminal
// ends. A second one, sameInterrupt later, ends the process at once.
func interruptible() context.Context {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, signals...)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		cancel()
		time.Sleep(sameInterrupt)
		signal.Stop(arrived)
	}()
	return ctx
}

// outliveReader lets the work on an org go on when the reader of the output goes away,
// like head. A program that asks for SIGPIPE is not ended by it, says os/signal; writes fail
// instead.
func outliveReader() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// exitRequest carries an exit code out of kong, which ends the process after
// printing help.
type exitRequest int

// run is main with everything from outside passed in.
func run(ctx context.Context, args []string, e *env) (code int) {
	defer func() {
		if r := recover(); r != nil {
			exit, ok := r.(exitRequest)
			if !ok {
				panic(r)
			}
			code = int(exit)
		}
	}()
	c := lean(args)
	e.json = slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
	parsed, err := newParser(c, e).Parse(args)
	if err != nil {
		hint := "eca --help"
		if parse := new(kong.ParseError); errors.As(err, &parse) && parse.Context.Selected() != nil {
			hint = "eca " + parse.Context.Selected().Path() + " --help"
		}
		return e.finish("", nil, usageError{fmt.Errorf("%w; see: %s", err, hint)})
	}
	e.json = reflect.ValueOf(c).Elem().FieldByName("JSON").Bool()
	e.noCommand = args[len(args)-1] == "--" // which an unset variable of a pipeline leaves
	name, _, _ := strings.Cut(parsed.Command(), " ")
	result, err := parsed.Selected().Target.Addr().Interface().(command).run(ctx, e)
	return e.finish(name, result, err)
}

// lean returns a cli for one command line: with its command alone, because kong takes milliseconds
// to read the tags of all. Where the line names none that there is, it returns all of cli.
func lean(args []string) any {
	name := ""
	if i := slices.IndexFunc(args, func(arg string) bool { return !strings.HasPrefix(arg, "-") }); i >= 0 {
		name = args[i]
	}
	all := reflect.TypeFor[cli]()
	var fields []reflect.StructField
	found := len(args) == 1 && args[0] == "--version"
	for i := range all.NumField() {
		field := all.Field(i)
		if _, isCommand := field.Tag.Lookup("cmd"); isCommand {
			if cmp.Or(field.Tag.Get("name"), strings.ToLower(field.Name)) != name {
				continue
			}
			found = true
		}
		fields = append(fields, field)
	}
	if !found {
		return new(cli)
	}
	return reflect.New(reflect.StructOf(fields)).Interface()
}

// newParser returns the parser of command lines of a cli, whose model describes its commands.
func newParser(c any, e *env) *kong.Kong {
	return kong.Must(c,
		kong.Name("eca"), kong.Description(description),
		kong.Writers(e.stdout, e.stderr),
		kong.Exit(func(code int) { panic(exitRequest(code)) }),
		kong.Vars{"version": version()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Resolvers(fromEnvironment(e.getenv)), kong.ValueFormatter(withVariable),
	)
}

// fromEnvironment gives a flag the value of the variable that its tag "from" names. What a
// pipeline passes on although it is not set, an empty one, counts as not set.
func fromEnvironment(getenv func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if name := flag.Tag.Get("from"); name != "" && getenv(name) != "" {
			return getenv(name), nil
		}
		return nil, nil
	})
}

// withVariable adds the variable to a flag's help.
func withVariable(value *kong.Value) string {
	if name := value.Tag.Get("from"); name != "" {
		return fmt.Sprintf("%s ($%s)", value.Help, name)
	}
	return value.Help
}

// usageError is the fault of the command line. It exits with exitUsage.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errPending makes eca plan --exit-code exit with exitPending.
var errPending = errors.New("changes are pending")
