package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/cutover"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
)

type migrateCmd struct {
	Env        []string `sep:"none" placeholder:"ALIAS[=USERNAME]" help:"An org with policies of its own, by its alias, and the user that client credentials run as there. Without a user, that of the Connected App. Can be repeated."`
	Email      string   `name:"contact-email" placeholder:"ADDRESS" help:"The contact of apps whose source names none."`
	Write      bool     `help:"Write the files to the project. Default: show them. eca overwrites nothing."`
	Project    string   `placeholder:"DIR" default:"." help:"The sfp project. Default: that of the working directory."`
	Definition string   `placeholder:"DIR" help:"Directory of the package with the headers. Default: eca-definition beside the first package."`
	Policies   string   `placeholder:"DIR" help:"Directory of the package with the policies. Default: eca-policies beside the first package."`
	Paths      []string `arg:"" optional:"" name:"path" help:"Source files of Connected Apps, or directories that have some."`

	TargetOrg string   `short:"o" group:"Apps of an org:" placeholder:"ORG" help:"Alias or username of an org, to read Connected Apps from it instead of from files."`
	App       []string `sep:"none" group:"Apps of an org:" placeholder:"NAME" help:"API name of a Connected App of the org. Can be repeated."`
	All       bool     `group:"Apps of an org:" help:"All Connected Apps of the org that can be read."`
	Status    bool     `group:"Apps of an org:" help:"Show who still uses the Connected Apps that an External Client App of the same name has taken the place of, and who uses that."`
	RevokeOld bool     `name:"revoke-old-tokens" group:"Apps of an org:" help:"Count the tokens of the Connected App --app, and with --yes revoke them: who has not moved is cut off."`
	Yes       bool     `group:"Apps of an org:" help:"Do revoke them."`

	callFlags `embed:""`
}

func (migrateCmd) Help() string {
	return `Converts Connected Apps to External Client App source in the project of the working directory: header, OAuth policies for default and each environment, SAML policies, canvas settings, and settings in plugins.eca. Settings without an equivalent are listed with their line and an alternative.

Each org creates a new consumer, so all clients need a new key and secret. To keep the old ones, use "Migrate to External Client App" in Setup first, which works on one org.

By default, eca writes nothing. --write writes the files. --status -o ORG shows the progress of the cut-over.`
}

// migrateResult is what --json says of a migration.
type migrateResult struct {
	outcome
	Apps    []migratedApp `json:"apps"`
	Written bool          `json:"written"`
	Org     string        `json:"org,omitempty"`    // that the apps were read from
	Unread  []string      `json:"unread,omitempty"` // what the org lists and does not show
}

// migratedApp is what became of one Connected App.
type migratedApp struct {
	App      string            `json:"app"`
	File     string            `json:"file,omitempty"`  // of the Connected App
	Files    []string          `json:"files,omitempty"` // that are written, or would be
	Findings []finding.Finding `json:"findings,omitempty"`
	Error    string            `json:"error,omitempty"` // why it is not written
}

// check refuses flags that do not go together.
func (c *migrateCmd) check() error {
	asked := 0
	for _, flag := range []bool{c.Status, c.RevokeOld, len(c.Paths) > 0} {
		if flag {
			asked++
		}
	}
	switch {
	case asked > 1:
		return usage.Errorf("--status, --revoke-old-tokens and paths exclude one another")
	case c.Yes && !c.RevokeOld:
		return usage.Errorf("--yes belongs to --revoke-old-tokens")
	case c.RevokeOld && len(c.App) != 1:
		return usage.Errorf("--revoke-old-tokens is for one app: name it with --app")
	case len(c.Paths) > 0 && (c.TargetOrg != "" || c.All || len(c.App) > 0):
		return usage.Errorf("give either paths, or -o with --app or --all")
	case c.Write && (c.Status || c.RevokeOld):
		return usage.Errorf("--write does not go with --status and --revoke-old-tokens, which write no files")
	case asked == 0 && c.All == (len(c.App) > 0):
		return usage.Errorf("name what to migrate: source files, or -o ORG with --app NAME or --all")
	}
	return c.callFlags.Check()
}

func (c *migrateCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	e.Verbose = c.Verbose
	if c.Status || c.RevokeOld {
		return c.cutOver(ctx, e)
	}
	root, _, err := findProject(c.Project)
	if err != nil {
		return nil, err
	}
	r := &migrateResult{Apps: []migratedApp{}, Written: c.Write}
	sources, err := c.sources(ctx, e, r)
	if err != nil {
		return nil, err
	}
	e.Line("eca: each org creates a new key and secret; to keep the old ones, use Migrate to External Client App in Setup first")
	failed, first := 0, ""
	seen := make(map[string]string) // places by the app's name, folded
	for _, source := range sources {
		one := c.migrate(e, root, source, seen[strings.ToLower(source.name)])
		seen[strings.ToLower(source.name)] = source.place
		r.Apps = append(r.Apps, one)
		if one.Error != "" {
			if failed++; first == "" {
				first = one.Error
			}
		}
	}
	for _, unread := range r.Unread {
		e.Line("  %s %s", console.Failure, console.OneLine(unread))
	}
	switch {
	case failed == 1:
		return r, errors.New(first)
	case failed > 1:
		return r, fmt.Errorf("%d of %s cannot be written; the first: %s", failed, console.Plural(len(sources), "app"), first)
	case c.Write:
		e.Line("eca: done. Look at the findings and at the policies, then install; eca lint checks the project.")
	default:
		e.Line("eca: nothing was written; --write writes")
	}
	return r, nil
}

// connectedSource is a Connected App that is to be migrated.
type connectedSource struct {
	name  string // of the app, as far as it is known before it is read
	place string // for people: its file, or its name and org
	file  string // "" for an app of an org
	read  func() (*connectedapp.App, error)
}

// sources finds what to migrate: in files, or on the org.
func (c *migrateCmd) sources(ctx context.Context, e *env, r *migrateResult) (all []connectedSource, err error) {
	if len(c.Paths) == 0 {
		return c.ofOrg(ctx, e, r)
	}
	files, err := connectedApps(c.Paths)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, usage.Errorf("no Connected App is at %s: their files end in %s", strings.Join(c.Paths, ", "), connectedapp.Suffix)
	}
	for _, file := range files {
		place := filepath.ToSlash(file)
		all = append(all, connectedSource{strings.TrimSuffix(filepath.Base(file), connectedapp.Suffix), place, place, func() (*connectedapp.App, error) {
			dir, err := os.OpenRoot(filepath.Dir(file))
			if err != nil {
				return nil, errors.New("cannot be read")
			}
			defer dir.Close()
			app, err := connectedapp.Read(dir.FS(), filepath.Base(file))
			if wrong, ok := errors.AsType[*metadata.SourceError](err); ok {
				err = wrong.Err
			}
			return app, err
		}})
	}
	return all, nil
}

// org returns the org that the flags name.
func (c *migrateCmd) org(e *env) (string, error) {
	flags := orgFlags{Jobs: 1}
	if c.TargetOrg != "" {
		flags.TargetOrg = []string{c.TargetOrg}
	}
	targets, err := e.Orgs(&flags)
	if err != nil {
		return "", err
	}
	return targets[0], nil
}

// onConnected does something with the Connected Apps of the org.
func onConnected[T any](ctx context.Context, e *env, c *migrateCmd, do func(ctx context.Context, client *cutover.Client) (T, error)) (org string, work *orgs.Work, result T, err error) {
	if org, err = c.org(e); err != nil {
		return org, nil, result, err
	}
	work = orgs.NewWork(e.Log(), c.Verbose)
	result, err = orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (T, error) {
		return do(ctx, &cutover.Client{Conn: conn})
	})
	return org, work, result, err
}

// ofOrg reads the Connected Apps of the org.
func (c *migrateCmd) ofOrg(ctx context.Context, e *env, r *migrateResult) (all []connectedSource, err error) {
	org, _, apps, err := onConnected(ctx, e, c, func(ctx context.Context, client *cutover.Client) ([]*connectedapp.App, error) {
		apps, unread, err := client.Read(ctx, c.App...)
		for _, u := range unread {
			r.Unread = append(r.Unread, u.Error())
		}
		return apps, err
	})
	if err != nil {
		return nil, err
	}
	r.Org = org
	if len(apps) == 0 {
		if len(r.Unread) > 0 {
			return nil, fmt.Errorf("%s: %s", org, r.Unread[0])
		}
		return nil, fmt.Errorf("%s has no Connected App of its own", org)
	}
	for _, app := range apps {
		all = append(all, connectedSource{name: app.Name, place: app.Name + " of " + org, read: func() (*connectedapp.App, error) { return app, nil }})
	}
	return all, nil
}

// connectedApps returns the source files at some paths.
func connectedApps(paths []string) (files []string, err error) {
	for _, name := range paths {
		err := filepath.WalkDir(name, func(file string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil && file == name:
				return usage.Errorf("%s cannot be read", name)
			case err != nil:
				return nil
			case entry.IsDir() && file != name && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"):
				return fs.SkipDir
			case !entry.IsDir() && (strings.HasSuffix(file, connectedapp.Suffix) || file == name):
				files = append(files, file)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// migrate shows what becomes of one Connected App, and writes it where that is wanted.
// other is where an app of the same name is, "" if there is none.
func (c *migrateCmd) migrate(e *env, root string, source connectedSource, other string) (one migratedApp) {
	one.File = source.file
	fail := func(format string, args ...any) migratedApp {
		one.Error = console.OneLine(fmt.Sprintf(format, args...))
		e.Line("  %s %s", console.Failure, one.Error)
		return one
	}
	if other != "" {
		return fail("%s: %s is of the same name, and names differ by more than case; leave one of them out", source.place, other)
	}
	app, err := source.read()
	if err != nil {
		return fail("%s: %v", source.place, err)
	}
	one.App, one.Findings = app.Name, app.Findings
	config := scaffold.Migrated(app)
	config.Definition, config.Policies = c.Definition, c.Policies
	if config.ContactEmail = cmp.Or(config.ContactEmail, c.Email); config.ContactEmail == "" {
		return fail("%s: the source names no contact, which an External Client App needs; give one with --contact-email", source.place)
	}
	for _, env := range c.Env {
		alias, user, _ := strings.Cut(env, "=")
		if user == "" {
			user = app.RunAsUser
		}
		config.Environments = append(config.Environments, scaffold.Environment{Alias: alias, RunAsUser: user})
	}
	if app.RunAsUser != "" && len(c.Env) == 0 {
		one.Findings = append(one.Findings, finding.Finding{
			Rule: "run-as-user", Level: finding.Warning, App: app.Name, Field: "oauthConfig.oauthClientCredentialUser",
			Problem: "client credentials run as " + app.RunAsUser + ", which no policies say, so the flow stays off", Fix: "name the org with --env ALIAS, or --env ALIAS=USER for another one's user",
		})
	}
	for i := range one.Findings {
		f := &one.Findings[i]
		f.File, f.Fix = one.File, advice.Fix(f.Fix, f.Rule, "", app.Name)
	}
	if wrong := app.Wrong(); wrong != nil {
		return fail("%s: %s", cmp.Or(wrong.Place(), source.place), wrong.Message())
	}
	project, err := openDir(root)
	if err != nil {
		return fail("%s: %v", source.place, err)
	}
	written, err := scaffold.New(project, config)
	if err == nil && c.Write {
		err = scaffold.Write(root, written)
	}
	if err != nil {
		return fail("%s: %v", source.place, err)
	}
	e.Line("%s, from %s", app.Name, source.place)
	if len(written) == 0 {
		e.Line("  = nothing to change")
	}
	one.Files = listFiles(e, written)
	if len(app.PermissionSets) > 0 {
		e.Line("  the orgs need the permission sets before: %s", strings.Join(app.PermissionSets, ", "))
	}
	e.Together(func(u *console.Console) {
		for _, f := range one.Findings {
			printFinding(u, "  ", f)
		}
	})
	return one
}

// cutOverResult is what --json says of --status and --revoke-old-tokens.
type cutOverResult struct {
	outcome
	orgs.Calls
	Org     string       `json:"org"`
	Apps    []cutOverApp `json:"apps"`
	Unseen  []string     `json:"unseen,omitempty"`  // what the session may not see, or the org does not have
	Blind   bool         `json:"blind,omitempty"`   // tokens or apps are among it, so that nothing tells for sure who uses the old apps
	Revoked *int         `json:"revoked,omitempty"` // how many tokens of the old app were revoked
	Left    int          `json:"left,omitempty"`    // how many are of the old or the new app, which the org does not tell
}

// cutOverApp is how far one app is.
type cutOverApp struct {
	App      string          `json:"app"`
	New      bool            `json:"new"`      // whether the org has the External Client App
	Consumer bool            `json:"consumer"` // and its consumer
	OldUses  []cutover.Usage `json:"oldUses,omitempty"`
	NewUses  []cutover.Usage `json:"newUses,omitempty"`
	Either   []cutover.Usage `json:"eitherUses,omitempty"` // of which the org does not tell which app they are of
}

// cutOver shows who uses which app, or revokes the tokens of an old one.
func (c *migrateCmd) cutOver(ctx context.Context, e *env) (result, error) {
	if c.RevokeOld {
		return c.revoke(ctx, e)
	}
	org, work, found, err := onConnected(ctx, e, c, func(ctx context.Context, client *cutover.Client) (*cutover.Status, error) {
		return client.Status(ctx, c.App...)
	})
	if err != nil {
		return nil, err
	}
	r := &cutOverResult{Calls: work.Calls(), Org: org, Apps: []cutOverApp{}, Unseen: found.Unseen, Blind: found.Blind}
	waiting := 0
	rows := []console.Row{{Cells: []string{"APP", "CONNECTED APP", "EXTERNAL CLIENT APP"}}}
	for _, p := range found.Replacements {
		r.Apps = append(r.Apps, cutOverApp{p.Name, p.HasNew, p.HasConsumer, p.Old, p.New, p.Either})
		fresh := used(p.New)
		switch {
		case found.Blind && (!p.HasNew || !p.HasConsumer || len(p.New) == 0):
			fresh = "not known"
		case !p.HasNew:
			fresh = "is not there"
		case !p.HasConsumer:
			fresh = "has no consumer: eca bootstrap"
		case len(p.New) == 0:
			fresh = "nobody has used it yet: eca verify proves a login"
		}
		var below []string
		for _, u := range p.Old[:min(5, len(p.Old))] {
			verb := "uses"
			if u.Many() {
				verb = "use"
			}
			below = append(below, fmt.Sprintf("%s still %s the Connected App: %s", u.Username, verb, useOf(u)))
		}
		if more := len(p.Old) - 5; more > 0 {
			below = append(below, fmt.Sprintf("and %s more", console.Plural(more, "user")))
		}
		if len(p.Either) > 0 {
			below = append(below, fmt.Sprintf("%s: the org does not tell which of the two, because another app has the same label", used(p.Either)))
		}
		if len(p.Old)+len(p.Either) > 0 {
			waiting++
		}
		old := used(p.Old)
		switch {
		case len(p.Old) == 0 && len(p.Either) > 0:
			old = "perhaps in use"
		case found.Blind && len(p.Old) == 0:
			old = "not known"
		}
		rows = append(rows, console.Row{Cells: []string{p.Name, old, fresh}, Below: below})
	}
	switch {
	case found.Blind && len(found.Replacements) == 0:
		e.Line("eca: %s: which Connected Apps have an External Client App of the same name cannot be told", org)
	case len(found.Replacements) == 0:
		e.Line("eca: %s has no Connected App with an External Client App of the same name", org)
	case found.Blind:
		e.Line("eca: %s: who uses the old ones of %s cannot be told", org, console.Plural(len(found.Replacements), "app"))
	case waiting == 0 && len(found.Unseen) > 0:
		e.Line("eca: %s: nobody is known to use the old ones of %s, and not all could be looked at", org, console.Plural(len(found.Replacements), "app"))
	case waiting == 0:
		e.Line("eca: %s: nobody uses the old ones of %s any more", org, console.Plural(len(found.Replacements), "app"))
	default:
		e.Line("eca: %s: the Connected Apps of %d of %s are still in use, or may be", org, waiting, console.Plural(len(found.Replacements), "app"))
	}
	if len(rows) > 1 {
		e.Table(rows)
	}
	for _, why := range found.Unseen {
		e.Line("  %s not looked at: %s", console.Failure, console.OneLine(why))
	}
	return r, nil
}

// used sums uses up.
func used(uses []cutover.Usage) string {
	if len(uses) == 0 {
		return "not in use"
	}
	last := "of which the org knows no day"
	if t := uses[0].Last(); !t.IsZero() {
		last = "last " + day(t)
	}
	if uses[0].Many() {
		return fmt.Sprintf("%s, %s", uses[0].Username, last)
	}
	return fmt.Sprintf("%s, %s", console.Plural(len(uses), "user"), last)
}

func useOf(u cutover.Usage) string {
	var parts []string
	if u.Tokens > 0 {
		parts = append(parts, fmt.Sprintf("%s, last used %s", console.Plural(u.Tokens, "token"), day(u.LastUsed)))
	}
	if !u.LastLogin.IsZero() {
		parts = append(parts, "last login "+day(u.LastLogin))
	}
	return strings.Join(parts, ", ")
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.DateOnly)
}

// revoke ends the tokens of a Connected App, or counts them.
func (c *migrateCmd) revoke(ctx context.Context, e *env) (result, error) {
	org, work, done, err := onConnected(ctx, e, c, func(ctx context.Context, client *cutover.Client) (*cutover.Revocation, error) {
		return client.RevokeOld(ctx, c.App[0], c.Yes)
	})
	if done == nil {
		return nil, err
	}
	r := &cutOverResult{Calls: work.Calls(), Org: org, Apps: []cutOverApp{}, Revoked: &done.Revoked, Left: done.Unclear}
	if err != nil {
		return r, err
	}
	if c.Yes {
		e.Line("eca: %s: revoked %d of %s of the Connected App %s", org, done.Revoked, console.Plural(done.Tokens, "token"), done.App)
	} else {
		e.Line("eca: %s: the Connected App %s has %s; nothing was revoked, --yes revokes", org, done.App, console.Plural(done.Tokens, "token"))
	}
	if done.Unclear > 0 {
		e.Line("  %s %s may be of the Connected App, and the org does not tell: revoke them in Setup (Connected Apps OAuth Usage)", console.Failure, console.Plural(done.Unclear, "more token"))
	}
	return r, nil
}
