// Package cli is the command line of eca: one file per command, with its options, its work and its
// result. It chooses the words: packages below return data and errors with data.
package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/secrets"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitFound  = 3 // eca plan --exit-code: something would change; eca lint: errors, or nothing to check; eca audit: findings; eca selftest: a difference; eca migrate: an app needs a person; eca adopt: an app is left
)

// cli is the command line.
type cli struct {
	JSON bool `name:"json" help:"Print one JSON document on standard output, errors included, instead of text."`

	Init      initCmd      `cmd:"" group:"Set up" help:"Add an app to a project: header, policies and settings, with sfp also the script."`
	Lint      lintCmd      `cmd:"" group:"Set up" help:"Check the External Client Apps in a project, without an org."`
	Plan      planCmd      `cmd:"" group:"Set up" help:"Show what bootstrap would change. Writes nothing."`
	Bootstrap bootstrapCmd `cmd:"" group:"Set up" aliases:"apply" help:"Enable OAuth for the apps of a project or package."`
	Adopt     adoptCmd     `cmd:"" group:"Set up" help:"Add apps that exist on an org to the project, so that a plan is empty."`
	List      listCmd      `cmd:"" group:"Set up" help:"List the External Client Apps of orgs: consumers, flows, users and last use."`
	Repair    repairCmd    `cmd:"" group:"Set up" help:"Find apps whose OAuth is broken, and recreate it."`
	Hook      hookCmd      `cmd:"" group:"Set up" help:"Enable OAuth after a deployment by sfp, which runs scripts/bootstrap-eca-oauth.sh."`
	Bundle    bundleCmd    `cmd:"" group:"Set up" help:"Write the script that sfp runs, with eca inside."`

	Credentials credentialsCmd `cmd:"" group:"Credentials" aliases:"creds" help:"Read an app's consumer key and secret, and export them."`
	Verify      verifyCmd      `cmd:"" group:"Credentials" help:"Verify that an app can log in, and explain refusals."`
	Token       tokenCmd       `cmd:"" group:"Credentials" help:"Request an access token for one command, and revoke it afterwards."`
	Rotate      rotateCmd      `cmd:"" group:"Credentials" help:"Replace an app's key and secret without interrupting logins."`
	Connect     connectCmd     `cmd:"" group:"Credentials" help:"Create the credentials with which orgs call another org."`

	Audit   auditCmd   `cmd:"" group:"Watch and respond" help:"Report who can use the Connected Apps and External Client Apps of orgs."`
	Revoke  revokeCmd  `cmd:"" group:"Watch and respond" help:"Show who has access through an app, revoke its tokens and end its sessions."`
	Disable disableCmd `cmd:"" group:"Watch and respond" help:"Switch an External Client App off on orgs, so that nobody can log in."`
	Enable  enableCmd  `cmd:"" group:"Watch and respond" help:"Switch an External Client App on again."`

	Migrate migrateCmd `cmd:"" group:"Move" help:"Convert Connected Apps to External Client App source, and list settings without an equivalent."`
	Package packageCmd `cmd:"" group:"Move" help:"Package an app of the Dev Hub, for orgs that share its consumer (Pattern 1)."`

	Demo       demoCmd          `cmd:"" group:"Learn" help:"Deploy a header, its OAuth and its policies to a simulated org, without Salesforce."`
	Simulate   simulateCmd      `cmd:"" group:"Learn" help:"Serve a simulated org on this machine."`
	Selftest   selftestCmd      `cmd:"" group:"Learn" help:"Ask an org what eca believes about Salesforce, and report what differs."`
	Describe   describeCmd      `cmd:"" group:"Learn" hidden:"" help:"Describe eca's commands and flags, for programs that offer them."`
	Help       helpCmd          `cmd:"" group:"Learn" help:"Print a longer document, or the help of a command."`
	Completion completionCmd    `cmd:"" group:"Learn" help:"Print the script that completes eca's command line in a shell."`
	Complete   completeCmd      `cmd:"" group:"Learn" hidden:"" help:"Print completions of a command line, for the completion scripts."`
	Ver        versionCmd       `cmd:"" group:"Learn" name:"version" help:"Print eca's version."`
	Version    kong.VersionFlag `help:"Print eca's version."`
}

const description = `Manages Salesforce External Client Apps, org by org: OAuth, credentials, rotation, migration of Connected Apps, audits.

Deploy an app's header with sfp, which runs scripts/bootstrap-eca-oauth.sh afterwards. The app gets its own OAuth consumer in each org, and the policies of the environment can be deployed next. A second run changes nothing.

Try it without Salesforce: eca demo

Longer documents: eca help`

// command is what each command of cli can do. A result that is not nil is printed with --json, also
// together with an error.
type command interface {
	run(ctx context.Context, e *env) (result, error)
}

// env is what a command has of its surroundings.
type env struct {
	*orgs.Env
	secrets        io.Writer      // standard output, for secrets alone
	terminal       bool           // somebody can be asked
	input          *bufio.Scanner // of answers, see lines
	stdoutTerminal bool           // standard output is shown to somebody
	noCommand      bool           // the command line ends with --, and no command follows
	dashes         bool           // the command line has --, behind which a command is named
}

// output returns where secrets may go.
func (e *env) output() secrets.Output {
	return secrets.Output{
		Console: e.Console, Secrets: e.secrets, Terminal: e.stdoutTerminal, NoCommand: e.noCommand, Workflow: e.Getenv("GITHUB_ACTIONS") == "true",
	}
}

func newEnv() *env {
	for _, variable := range os.Environ() {
		learn(strings.Cut(variable, "="))
	}
	home, _ := os.UserHomeDir()
	if !filepath.IsAbs(home) {
		home = "" // the working directory can be anybody's
	}
	return &env{
		Env: &orgs.Env{
			Console: console.New(os.Stdout, os.Stderr, os.Getenv), Stdin: os.Stdin, Getenv: os.Getenv, Home: home, Explain: explain,
			Store: sync.OnceValue(func() *orgauth.Store { return orgs.OpenStore(home, os.Getenv) }),
		},
		secrets: os.Stdout, terminal: term.IsTerminal(int(os.Stdin.Fd())), stdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
	}
}

// Main runs a command line in this process and returns its exit code. An interrupt ends the command.
func Main(args []string) int { return run(interruptible(), args, newEnv()) }

// learn makes a variable of the environment known as a secret, if its name says so and its value is no path, address
// or word. Its value can stand in the wrong place of the command line.
func learn(name, value string, _ bool) {
	salesforce.LearnSecrets(value)
	named := secretName.MatchString(name) && !aboutSecret.MatchString(name)
	other := value == "" || strings.ContainsRune("/.~", rune(value[0])) || strings.Contains(value, "://") || !strings.ContainsAny(value, "0123456789")
	if named && !other {
		salesforce.NewSecret(value)
	}
}

var (
	secretName  = regexp.MustCompile(`(?i)(?:SECRET|TOKEN|PASSWORD|PASSWD|PRIVATE_?KEY|API_?KEY)(?:_\w+)?$`)
	aboutSecret = regexp.MustCompile(`(?i)_(?:FILE|NAME|PATH|URL|URI|ID|DIR|TYPE|VERSION|PERMISSIONS|ISSUER|STORE)$`)
)

// exitRequest carries an exit code out of kong, which ends the process after it has printed help.
type exitRequest int

// run is Main with everything from outside passed in.
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
	for _, arg := range args {
		salesforce.LearnSecrets(arg)
	}
	c := new(cli)
	args = asFlags(args)
	e.JSON = slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parser := newParser(c, e)
	parsed, err := parser.Parse(args)
	if parse, ok := errors.AsType[*kong.ParseError](err); ok {
		return finish(e.Console, "", nil, e.suggest(parser.Model, parse))
	}
	if err != nil {
		return finish(e.Console, "", nil, usage.Errorf("%w; see eca --help", err))
	}
	e.JSON = c.JSON
	for _, flag := range parsed.Selected().Flags {
		if format := flag.Target.String(); c.JSON && flag.Name == "format" && format != "text" && format != "json" && strings.HasPrefix(flag.Enum, "text,") {
			return finish(e.Console, "", nil, usage.Errorf("--json and --format %s exclude each other", format))
		}
	}
	e.noCommand = args[len(args)-1] == "--" // which an unset variable of a pipeline leaves
	e.dashes = slices.Contains(args, "--")
	name, _, _ := strings.Cut(parsed.Command(), " ")
	result, err := parsed.Selected().Target.Addr().Interface().(command).run(ctx, e)
	return finish(e.Console, name, result, err)
}

// asFlags turns eca rotate status and eca rotate abort into flags. kong has no commands with both positional
// arguments and commands below them.
func asFlags(args []string) []string {
	i := slices.Index(args, "rotate")
	if i < 0 || i+1 == len(args) || args[i+1] != "status" && args[i+1] != "abort" {
		return args
	}
	args = slices.Clone(args)
	args[i+1] = "--" + args[i+1]
	return args
}

// checkCommand returns an error for a command that gets a secret and does not follow --: it is rather the
// name of an app or an org.
func (e *env) checkCommand(command []string) error {
	if len(command) > 0 && !e.dashes {
		return usage.Errorf("unexpected argument %s; write -- before a command, and --app before the name of an app", command[0])
	}
	return nil
}

// newParser returns the parser of command lines of a cli, whose model describes its commands.
func newParser(c *cli, e *env) *kong.Kong {
	return kong.Must(c,
		kong.Name("eca"), kong.Description(description),
		kong.Writers(e.Stdout, e.Stderr),
		kong.Exit(func(code int) { panic(exitRequest(code)) }),
		kong.Vars{"version": salesforce.Version()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Resolvers(fromEnvironment(e.Getenv)), kong.ValueFormatter(withVariable),
	)
}

// fromEnvironment gives a flag the value of the variable that its tag "from" names. What a
// pipeline passes on although it is not set, an empty one, counts as not set.
func fromEnvironment(getenv func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if name := flag.Tag.Get("from"); name != "" && getenv(name) != "" {
			salesforce.LearnSecrets(getenv(name))
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

// errPending makes eca plan --exit-code exit with exitFound.
var errPending = errors.New("changes are pending")

// foundError makes a check that has found something exit with exitFound.
type foundError struct{ error }

// Unwrap returns what was found.
func (e foundError) Unwrap() error { return e.error }
