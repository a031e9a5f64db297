package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/cutover"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
	"github.com/ecakit/ecakit/pkg/sfp"
)

type migrateCmd struct {
	Env        []string `sep:"none" placeholder:"ALIAS[=USERNAME]" help:"An org with policies of its own, by its alias, and the user that client credentials run as there. Without a user, that of the Connected App. Can be repeated."`
	Email      string   `name:"contact-email" placeholder:"ADDRESS" help:"The contact of apps whose source names none."`
	Write      bool     `help:"Write the files to the project. Default: show them. eca overwrites nothing."`
	Project    string   `placeholder:"DIR" default:"." help:"The project. Default: that of the working directory."`
	Layout     string   `enum:",sfp,sf" default:"" help:"Tool that deploys the project: sfp or sf. Default: sfp if the project has keys, directories or release definitions of sfp."`
	Definition string   `placeholder:"DIR" help:"Directory of the package with the headers. Default: eca-definition beside the first package, or the default package directory in a project that sf deploys."`
	Policies   string   `placeholder:"DIR" help:"Directory of the package with the policies. Default: eca-policies beside the first package. In a project that sf deploys, policies are in eca/policies."`
	Paths      []string `arg:"" optional:"" name:"path" help:"Source files of Connected Apps, or directories that have some."`

	TargetOrg string   `short:"o" group:"Apps of an org:" placeholder:"ORG" help:"Alias or username of an org, to read Connected Apps from it instead of from files."`
	App       []string `sep:"none" group:"Apps of an org:" placeholder:"NAME" help:"API name of a Connected App of the org. Can be repeated."`
	All       bool     `group:"Apps of an org:" help:"All Connected Apps of the org that can be read."`
	Status    bool     `group:"Apps of an org:" help:"Show who still uses the Connected Apps that have an External Client App of the same name, and who uses that."`
	RevokeOld bool     `name:"revoke-old-tokens" group:"Apps of an org:" help:"Count the tokens of the Connected App --app, and with --yes revoke them. Clients that still use the Connected App are cut off."`
	Yes       bool     `group:"Apps of an org:" help:"Revoke the tokens that --revoke-old-tokens counts."`

	callFlags `embed:""`
}

func (migrateCmd) Help() string {
	return `Converts Connected Apps to External Client App source in the project of the working directory: header, OAuth policies for default and each environment, SAML policies, canvas settings, and settings in plugins.eca. Settings without an equivalent are listed with their line and an alternative.

Each org creates a new consumer, so all clients need a new key and secret. To keep the old ones, use "Migrate to External Client App" in Setup first, which works on one org, and then eca adopt, which adds the app to the project.

Source and metadata format are read. Permission sets, which a Connected App has by their labels, are looked up in the project or the org. If only profiles grant an app, eca adds an empty permission set that can take their place. Apps without OAuth and apps of packages stay as they are.

By default, eca writes nothing. --write writes the files. eca exits with 3 if an app needs a person: it cannot be converted, or it loses something that it needs. --status -o ORG shows the progress of the cut-over.`
}

// migrateResult is what --json says of a migration.
type migrateResult struct {
	outcome
	Apps    []migratedApp `json:"apps"`
	Written bool          `json:"written"`
	Org     string        `json:"org,omitempty"`    // that the apps were read from
	Unread  []string      `json:"unread,omitempty"` // what the org lists and does not show
	Unseen  []string      `json:"unseen,omitempty"` // what else it does not show, like tokens
}

// migratedApp is what became of one Connected App.
type migratedApp struct {
	App      string            `json:"app"`
	State    migrationState    `json:"state"`
	Note     string            `json:"note,omitempty"`  // why it is left alone
	File     string            `json:"file,omitempty"`  // of the Connected App
	Files    []string          `json:"files,omitempty"` // that are written, or would be
	Findings []finding.Finding `json:"findings,omitempty"`
	Error    string            `json:"error,omitempty"` // why it is not written

	Uses           []cutover.Usage         `json:"uses,omitempty"` // of the Connected App in the org, or of another app with its label
	PasswordLogins []cutover.PasswordLogin `json:"passwordLogins,omitempty"`

	place string // for people
	bound string // why the button in Setup does not migrate the app, or ""
}

// migrationState is how far a Connected App is.
type migrationState string

// The states, in the order of the summary.
const (
	converted   migrationState = "converted"
	alreadyHas  migrationState = "already there"
	notOAuth    migrationState = "not OAuth"
	ofPackage   migrationState = "of a package"
	needsPerson migrationState = "needs a person"
)

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
	m := &migration{migrateCmd: c, Console: e.Console, env: e, root: root, sources: len(sources), seen: make(map[string]string), looked: make(map[string]bool)}
	if m.project, err = openDir(root); err != nil {
		return nil, err
	}
	for _, source := range sources {
		r.Apps = append(r.Apps, m.migrate(source))
	}
	m.sayFindings(r.Apps)
	m.sayKeys(r.Apps)
	for _, unread := range r.Unread {
		e.Line("  %s %s", console.Failure, console.OneLine(unread))
	}
	for _, unseen := range r.Unseen {
		e.Line("  %s not read: %s", console.Failure, console.OneLine(unseen))
	}
	return r, m.summary(r.Apps)
}

// migration is a run over several Connected Apps.
type migration struct {
	*migrateCmd
	*console.Console
	env     *env
	root    string
	project fs.FS
	sources int
	seen    map[string]string // places of apps by name, folded
	sets    []connectedapp.PermissionSet
	looked  map[string]bool // directories whose permission sets are in sets
}

// manyApps is the number of apps from which on each gets one line.
const manyApps = 4

// connectedSource is a Connected App that is to be migrated.
type connectedSource struct {
	name  string // of the app, as far as it is known before it is read
	place string // for people: its file, or its name and org
	file  string // "" for an app of an org
	read  func() (*connectedapp.App, error)

	uses   *cutover.Replacement // nil if not known
	logins []cutover.PasswordLogin
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
		return nil, usage.Errorf("no Connected App is at %s: their files end in %s, or in .connectedApp", strings.Join(c.Paths, ", "), connectedapp.Suffix)
	}
	for _, file := range files {
		place := filepath.ToSlash(file)
		all = append(all, connectedSource{name: connectedapp.NameOf(place), place: place, file: place, read: func() (*connectedapp.App, error) {
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

// onConnected does something with the Connected Apps of the org.
func onConnected[T any](ctx context.Context, e *env, c *migrateCmd, do func(ctx context.Context, client *cutover.Client) (T, error)) (org string, work *orgs.Work, result T, err error) {
	if org, err = e.org(c.TargetOrg); err != nil {
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
	org, _, found, err := onConnected(ctx, e, c, func(ctx context.Context, client *cutover.Client) (*orgApps, error) {
		return readOrgApps(ctx, client, c.App)
	})
	if err != nil {
		return nil, err
	}
	for _, u := range found.unread {
		r.Unread = append(r.Unread, u.Error())
	}
	r.Unseen = found.unseen
	r.Org = org
	if len(found.apps) == 0 {
		if len(r.Unread) > 0 {
			return nil, fmt.Errorf("%s: %s", org, r.Unread[0])
		}
		return nil, fmt.Errorf("%s has no Connected App of its own", org)
	}
	for i, app := range found.apps {
		source := connectedSource{name: app.Name, place: app.Name + " of " + org, read: func() (*connectedapp.App, error) { return app, nil }}
		if len(found.uses) > 0 {
			source.uses = &found.uses[i]
		}
		for _, login := range found.logins {
			if strings.EqualFold(login.App, app.Label()) {
				source.logins = append(source.logins, login)
			}
		}
		all = append(all, source)
	}
	return all, nil
}

// orgApps are the Connected Apps of an org, with the org's records about them.
type orgApps struct {
	apps   []*connectedapp.App
	unread []*cutover.UnreadableError
	uses   []cutover.Replacement // of each of apps, or none
	logins []cutover.PasswordLogin
	unseen []string // what the org refused to show
}

func readOrgApps(ctx context.Context, client *cutover.Client, names []string) (found *orgApps, err error) {
	found = new(orgApps)
	if found.apps, found.unread, err = client.Read(ctx, names...); err != nil || len(found.apps) == 0 {
		return found, err
	}
	var labels []string
	for _, app := range found.apps {
		labels = append(labels, app.PermissionSetLabels()...)
	}
	refused := func(what string, err error) error {
		if restapi.Refused(err) || errors.As(err, new(*restapi.ShapeError)) {
			found.unseen = append(found.unseen, what)
			return nil
		}
		return err
	}
	sets, err := client.PermissionSets(ctx, labels)
	if err := refused("permission sets", err); err != nil {
		return nil, err
	}
	for _, app := range found.apps {
		app.NamePermissionSets(sets)
	}
	found.logins, err = client.PasswordLogins(ctx)
	if err := refused("logins with username and password", err); err != nil {
		return nil, err
	}
	usage, err := client.Usage(ctx, found.apps)
	if err != nil {
		return nil, err
	}
	found.uses, found.unseen = usage.Replacements, append(found.unseen, usage.Unseen...)
	return found, nil
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
			case !entry.IsDir() && (connectedapp.NameOf(filepath.ToSlash(file)) != "" || file == name):
				if file = filepath.Clean(file); !slices.Contains(files, file) {
					files = append(files, file)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// migrate converts one Connected App, shows the result, and writes it with --write.
func (m *migration) migrate(source connectedSource) (one migratedApp) {
	one = migratedApp{App: source.name, State: needsPerson, File: source.file, place: source.place}
	fail := func(err error) migratedApp {
		one.Error = console.OneLine(err.Error())
		m.Line("  %s %s", console.Failure, one.Error)
		return one
	}
	folded := strings.ToLower(source.name)
	if other := m.seen[folded]; other != "" {
		if source.file != "" && sameContent(source.file, other) {
			one.State, one.Note = alreadyHas, "a copy of "+other
			m.Line("%s, from %s: %s", one.App, source.place, one.Note)
			return one
		}
		return fail(fmt.Errorf("%s: %s is of the same name, and names differ by more than case; leave one of them out", source.place, other))
	}
	m.seen[folded] = source.place
	app, err := source.read()
	if err != nil {
		return fail(fmt.Errorf("%s: %w", source.place, err))
	}
	one.App = app.Name
	if one.State, one.Note = leftAlone(app); one.Note != "" {
		m.Line("%s, from %s: %s", app.Name, source.place, one.Note)
		return one
	}
	one.State = needsPerson
	config, err := m.config(app, source)
	one.look(app, source)
	one.setFindings(app)
	if err != nil {
		return fail(err)
	}
	because := func(f *finding.Finding) error {
		return fmt.Errorf("%s: %s", cmp.Or(f.Place(), source.place), f.Message())
	}
	if wrong := app.Wrong(); wrong != nil {
		return fail(because(wrong))
	}
	written, err := scaffold.New(m.project, config)
	if exists, ok := errors.AsType[*scaffold.ExistsError](err); ok {
		return fail(fmt.Errorf("%s: it is already migrated: %w", source.place, exists))
	}
	if err == nil && len(written) == 0 {
		one.State, one.Note = alreadyHas, "already migrated; = nothing to change"
		m.Line("%s, from %s: %s", app.Name, source.place, one.Note)
		return one
	}
	if i := firstError(one.Findings); err != nil && i >= 0 {
		return fail(because(&one.Findings[i])) // which makes the settings wrong
	}
	if err == nil && m.Write {
		err = scaffold.Write(m.root, written)
	}
	if err != nil {
		return fail(fmt.Errorf("%s: %w", source.place, err))
	}
	if firstError(one.Findings) < 0 {
		one.State = converted
	}
	m.say(&one, app, written)
	return one
}

// sameContent reports whether two files can be read and have the same content.
func sameContent(a, b string) bool {
	first, err := os.ReadFile(a)
	second, otherErr := os.ReadFile(b)
	return err == nil && otherErr == nil && bytes.Equal(first, second)
}

// firstError returns the index of the first error, -1 if there is none.
func firstError(findings []finding.Finding) int {
	return slices.IndexFunc(findings, func(f finding.Finding) bool { return f.Level == finding.Error })
}

// leftAlone returns why an app is not converted, and nothing is wrong with that.
func leftAlone(app *connectedapp.App) (migrationState, string) {
	if namespace := app.Namespace(); namespace != "" {
		return ofPackage, "it belongs to the package " + namespace + ", whose publisher migrates it"
	}
	if what := app.NotOAuth(); what != "" {
		return notOAuth, "not an OAuth app (" + what + "); the Connected App can stay"
	}
	return "", ""
}

// config returns what is written of an app.
func (m *migration) config(app *connectedapp.App, source connectedSource) (scaffold.Config, error) {
	proj, err := project.Read(m.project, sfp.ProjectFile)
	if err != nil {
		return scaffold.Config{}, err
	}
	app.ForVersion(proj.SourceAPIVersion)
	if len(app.PermissionSetLabels()) > 0 && source.file != "" {
		m.lookForSets(proj, source.file)
		app.NamePermissionSets(m.sets)
	}
	config := scaffold.Migrated(app)
	config.Definition, config.Policies, config.Layout = m.Definition, m.Policies, project.Layout(m.Layout)
	if config.ContactEmail = cmp.Or(config.ContactEmail, m.Email); config.ContactEmail == "" {
		return config, fmt.Errorf("%s: the source names no contact, which an External Client App needs; give one with --contact-email", source.place)
	}
	for _, env := range m.Env {
		alias, user, _ := strings.Cut(env, "=")
		config.Environments = append(config.Environments, scaffold.Environment{Alias: alias, RunAsUser: cmp.Or(user, app.RunAsUser)})
	}
	if app.RunAsUser != "" && len(m.Env) == 0 {
		app.Findings = append(app.Findings, finding.Finding{
			Rule: "run-as-user", Level: finding.Warning, App: app.Name, Field: "oauthConfig.oauthClientCredentialUser", File: source.file,
			Problem: "client credentials run as " + app.RunAsUser + ", which no policies state, so the flow stays off", Fix: "name the org with --env ALIAS, or --env ALIAS=USER for another one's user",
		})
	}
	if m.Email != "" {
		app.Findings = slices.DeleteFunc(app.Findings, func(f finding.Finding) bool { return f.Field == "contactEmail" })
	}
	return config, nil
}

// lookForSets adds the permission sets of the project, of the project that the file of a Connected App is
// in, and those beside the file.
func (m *migration) lookForSets(proj *project.Project, file string) {
	look := func(fsys fs.FS, dir, root string) {
		if place := filepath.Join(root, dir); !m.looked[place] {
			m.looked[place] = true
			m.sets = append(m.sets, connectedapp.ReadPermissionSets(fsys, dir)...)
		}
	}
	lookIn := func(proj *project.Project, fsys fs.FS, root string) {
		for _, p := range proj.Packages {
			look(fsys, p.Path, root)
		}
	}
	lookIn(proj, m.project, m.root)
	dir := filepath.Dir(file)
	if root, _, err := project.Find(dir); err == nil {
		if fsys, err := openDir(root); err == nil {
			if own, err := project.Read(fsys, sfp.ProjectFile); err == nil {
				lookIn(own, fsys, root)
			}
		}
	}
	beside := filepath.Join(dir, "..", "permissionsets")
	if fsys, err := openDir(beside); err == nil {
		look(fsys, ".", beside)
	}
}

// look adds the org's records about an app.
func (one *migratedApp) look(app *connectedapp.App, source connectedSource) {
	one.PasswordLogins, one.bound = source.logins, app.Movable()
	if source.uses != nil {
		one.Uses = append(slices.Clone(source.uses.Old), source.uses.Either...)
	}
	for _, login := range source.logins {
		one.bound = cmp.Or(one.bound, "its logins with username and password would end")
		who := login.Username
		if login.SourceIP != "" {
			who += " from " + login.SourceIP
		}
		app.Findings = append(app.Findings, finding.Finding{
			Rule: "password-login", Level: finding.Warning, App: app.Name,
			Problem: fmt.Sprintf("%s logs in with username and password, last on %s, and External Client Apps do not have that flow", who, day(login.Last)),
			Fix:     fmt.Sprintf("switch the client to client credentials, which run as %s with --env ALIAS=%s, or to JWT bearer", login.Username, login.Username),
		})
	}
}

// setFindings sets the findings about an app, with commands that help.
func (one *migratedApp) setFindings(app *connectedapp.App) {
	for i := range app.Findings {
		f := &app.Findings[i]
		f.File, f.Fix = one.File, advice.Fix(f.Fix, f.Rule, "", app.Name)
	}
	one.Findings = app.Findings
}

// say shows what is written of an app.
func (m *migration) say(one *migratedApp, app *connectedapp.App, written []scaffold.File) {
	if m.sources < manyApps || m.Verbose {
		m.Line("%s, from %s", app.Name, one.place)
		one.Files = listFiles(m.env, written)
	} else {
		for _, f := range written {
			one.Files = append(one.Files, f.Path)
		}
		m.Line("%s, from %s: %s", app.Name, one.place, console.Plural(len(written), "file"))
	}
	if len(one.Uses) > 0 {
		m.Line("  in use by %s; they log in again with the new app", used(one.Uses))
	}
	if len(app.PermissionSets) > 0 {
		m.Line("  the orgs need the permission sets before: %s", strings.Join(app.PermissionSets, ", "))
	}
}

// sayFindings shows the findings about converted apps, errors first. What is the same of several apps is
// shown once.
func (m *migration) sayFindings(all []migratedApp) {
	type group struct {
		finding.Finding
		apps []string
	}
	var groups []*group
	for _, one := range all {
		if one.Error != "" {
			continue
		}
		for _, f := range one.Findings {
			same := func(g *group) bool {
				return g.Rule == f.Rule && g.Problem == f.Problem && g.Field == f.Field && !slices.Contains(g.apps, one.App)
			}
			if i := slices.IndexFunc(groups, same); i >= 0 {
				groups[i].apps = append(groups[i].apps, one.App)
			} else {
				groups = append(groups, &group{f, []string{one.App}})
			}
		}
	}
	slices.SortStableFunc(groups, func(a, b *group) int { return cmp.Compare(a.Level, b.Level) }) // "error" is before "warning"
	m.Together(func(u *console.Console) {
		for _, g := range groups {
			switch {
			case len(g.apps) > 1:
				who := strings.Join(g.apps[:min(len(g.apps), 3)], ", ")
				if more := len(g.apps) - 3; more > 0 {
					who += fmt.Sprintf(" and %d more", more)
				}
				u.Line("%s: %s: %s [%s]", console.Level(string(g.Level)), console.Plural(len(g.apps), "app"), console.OneLine(g.Message()), g.Rule)
				u.Line("  %s", console.OneLine(who))
			case g.File == "" && m.sources > 1:
				printFinding(u, g.apps[0]+": ", g.Finding)
			default:
				printFinding(u, "", g.Finding)
			}
		}
	})
}

// sayKeys says which apps can keep their keys and secrets, and how.
func (m *migration) sayKeys(all []migratedApp) {
	var bound []string
	movable := 0
	for _, one := range all {
		switch {
		case one.Error != "" || one.State != converted && one.State != needsPerson:
		case one.bound != "":
			bound = append(bound, one.App+" ("+one.bound+")")
		default:
			movable++
		}
	}
	const button = "Migrate to External Client App in Setup"
	if movable > 0 {
		m.Line("eca: each org creates a new key and secret; to keep the old ones, use %s first, and then eca adopt -o ORG --app NAME", button)
	}
	if len(bound) > 0 {
		m.Line("eca: %s is not for %s: each org creates a new key and secret", button, strings.Join(bound, ", "))
	}
}

// summary returns the end of a run: how many apps are in which state. If one needs a person, it is an
// error.
func (m *migration) summary(all []migratedApp) error {
	count := make(map[migrationState]int)
	first, incomplete := "", 0 // incomplete apps are converted and need a person
	for _, one := range all {
		count[one.State]++
		if one.State == needsPerson && one.Error == "" {
			incomplete++
		}
		if one.State == needsPerson && first == "" {
			if first = one.Error; first == "" {
				i := firstError(one.Findings)
				first = cmp.Or(one.Findings[i].Place(), one.place) + ": " + one.Findings[i].Message()
			}
		}
	}
	var parts []string
	for _, state := range []migrationState{converted, alreadyHas, notOAuth, ofPackage, needsPerson} {
		if n := count[state]; n > 0 {
			what := string(state)
			if state == needsPerson && n > 1 {
				what = "need a person"
			}
			if state == needsPerson && incomplete > 0 && len(all) > 1 {
				what += fmt.Sprintf(" (%d of them converted)", incomplete)
			}
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	summary := console.Plural(len(all), "app") + ": " + strings.Join(parts, ", ")
	switch {
	case !m.Write:
		summary += "; nothing was written; --write writes"
	case count[converted]+incomplete > 0:
		summary += "; look at the findings and at the policies, then install; eca lint checks the project"
	}
	switch {
	case count[needsPerson] == 0:
		m.Line("eca: %s", summary)
		return nil
	case len(all) == 1:
		return foundError{errors.New(first)}
	}
	return foundError{errors.New(summary)}
}
