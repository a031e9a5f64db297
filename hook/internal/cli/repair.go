package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/repair"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/wanted"
)

type repairCmd struct {
	App         []string `sep:"none" placeholder:"NAME" help:"API name of an app. Can be repeated. Default: all apps of the org."`
	Yes         bool     `help:"Delete and recreate the broken components of --app. The app gets another key and secret."`
	Restore     string   `placeholder:"FILE" help:"File with the JSON document that an interrupted repair printed, or - for standard input. Recreates the components of the document's app."`
	CloseAccess bool     `name:"close-access" help:"Switch off the org setting that lets secrets be read over REST, which an interrupted run with --enable-access leaves on. Does nothing else."`
	orgFlags    `embed:""`
	callFlags   `embed:""`
}

func (repairCmd) Help() string {
	return `Finds apps whose OAuth is broken: settings without a link to a consumer, several components of a type, apps without OAuth after an interrupted repair, apps from a package that a sandbox refresh has left without OAuth. Explains each, and exits with 1 if it has found one.

With --yes and --app NAME, eca deletes the app's OAuth policies, global settings and settings, in this order, and recreates them with the same fields. In a project, the names and values of its source and settings come first. The app gets a new consumer, so its clients need the new key and secret. Without --yes and --restore, eca changes nothing.

Before eca deletes anything, it prints the components as one line of JSON, without secrets. In a project, it writes them to a file eca-repair-ORGID-APP.json too, until it is done. If the command is interrupted, the next run in the project restores the components from that file, or from the source of the project. Elsewhere, save the output and run: eca repair -o ORG --restore FILE`
}

// repairReport is what --json says of one org.
type repairReport struct {
	Found    []repair.Problem `json:"found"`
	Repaired *repairedApp     `json:"repaired,omitempty"`
	// AccessClosed says that --close-access has switched the setting off, which was on.
	AccessClosed bool `json:"accessClosed,omitempty"`
}

// repairedApp is what was done to an app.
type repairedApp struct {
	*repair.Result
	Key string `json:"consumerKey,omitempty"` // shortened
}

func (c *repairCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.callFlags.Check(); err != nil {
		return nil, err
	}
	if c.CloseAccess && (c.Yes || c.Restore != "" || len(c.App) > 0) {
		return nil, usage.Errorf("--close-access switches a setting of the org off: leave out --app, --restore and --yes")
	}
	if c.Yes && c.Restore == "" && len(c.App) != 1 {
		return nil, usage.Errorf("--yes repairs one app: name it with --app")
	}
	saved, err := c.document(e)
	if err != nil {
		return nil, err
	}
	targets, err := e.Orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	return onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*repairReport]{
		Last:   func(r *repairReport) string { return c.last(r, targets[0]) },
		Column: "FOUND", Cell: func(r *repairReport) string { return fmt.Sprint(len(r.Found)) },
		Ended: func(*repairReport) string { return "" },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*repairReport, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (*repairReport, error) {
				if c.CloseAccess {
					closed, err := closeAccess(ctx, e, work, &consumer.Client{Conn: conn})
					return &repairReport{Found: []repair.Problem{}, AccessClosed: closed}, err
				}
				return c.repair(ctx, e, work, org, session, conn, saved)
			})
		},
	})
}

// last says what a run has done on one org.
func (c *repairCmd) last(r *repairReport, org string) string {
	switch {
	case r.Repaired != nil && len(r.Repaired.Deleted)+len(r.Repaired.Created) > 0:
		return fmt.Sprintf("%s is repaired on %s", r.Repaired.App, org)
	case c.CloseAccess && r.AccessClosed:
		return "consumer secrets of " + org + " can no longer be read over REST"
	case c.CloseAccess:
		return "nothing changed on " + org
	}
	return "nothing is broken on " + org
}

// document returns the document of --restore, whose app is that of --app then. It is nil without the flag.
func (c *repairCmd) document(e *env) (*repairDocument, error) {
	if c.Restore == "" {
		return nil, nil
	}
	var data []byte
	from, err := io.NopCloser(e.Stdin), error(nil)
	if c.Restore != "-" {
		from, err = openRegular(c.Restore)
	}
	if err == nil {
		defer from.Close()
		data, err = io.ReadAll(io.LimitReader(from, maxDocument))
	}
	if err != nil {
		return nil, usage.Errorf("--restore: %w", err)
	}
	saved := parseRepairDocument(data)
	switch {
	case saved == nil:
		return nil, usage.Errorf("--restore: %s is not the JSON document that eca repair prints before it deletes components", c.Restore)
	case len(c.App) > 1 || len(c.App) == 1 && !strings.EqualFold(c.App[0], saved.App):
		return nil, usage.Errorf("--restore: the document in %s is about %s, and --app names another app", c.Restore, saved.App)
	}
	c.App = []string{saved.App}
	return saved, nil
}

// repair finds the broken apps of one org, and repairs one of them with --yes or --restore.
func (c *repairCmd) repair(ctx context.Context, e *env, work *orgs.Work, org string, session *orgauth.Session, conn *salesforce.Conn, saved *repairDocument) (*repairReport, error) {
	found, err := repair.Find(ctx, conn, c.App...)
	if err != nil {
		return nil, err
	}
	facts, err := (&restapi.Client{Conn: conn}).Organization(ctx)
	if err != nil {
		return nil, err
	}
	if saved != nil && saved.Org != facts.ID {
		return nil, fmt.Errorf("the document of --restore is about the org %s, and %s is %s", saved.Org, org, facts.ID)
	}
	backups, err := openBackups(facts.ID)
	if err != nil {
		return nil, err
	}
	unfinished, err := backups.unfinished(found, c.App)
	if err != nil {
		return nil, err
	}
	r := &repairReport{Found: append(append([]repair.Problem{}, found...), unfinished...)}
	for i := range r.Found {
		p := &r.Found[i]
		p.Fix = advice.Fix(p.Fix, string(p.Kind), org, p.App)
		work.Line("%s: %s (%s)", p.App, p.Why, p.Kind)
		for _, component := range p.Components {
			work.Line("  %s", component)
		}
		if !c.Yes && saved == nil {
			work.Line("  what to do: %s", p.Fix)
		}
	}
	switch {
	case c.Yes || saved != nil:
		if saved == nil {
			if saved, err = backups.of(c.App[0]).load(); err != nil {
				return r, err
			}
		}
		target := wanted.Target{
			Username: session.Username, Alias: session.Alias, Kind: facts.Kind(), DomainURL: conn.InstanceURL, Version: conn.APIVersion(), ApplyPolicies: true,
		}
		return r, c.recreate(ctx, e, work, org, conn, recreation{saved, backups.of(c.App[0]), target}, r)
	case len(r.Found) > 0:
		hint := ""
		if i := slices.IndexFunc(r.Found, func(p repair.Problem) bool { return p.Repairable }); i >= 0 {
			hint = fmt.Sprintf("; eca repair -o %s --app %s --yes recreates the first, with a new key and secret", org, r.Found[i].App)
		}
		return r, fmt.Errorf("the OAuth of %s is broken: %s%s", console.Plural(len(r.Found), "app"), names(r.Found), hint)
	}
	if len(c.App) == 0 {
		work.Line("nothing is broken; an app that never had OAuth, or has lost all of it, is reported with --app NAME only")
	} else {
		work.Line("nothing is broken")
	}
	return r, nil
}

// recreation is what a run has to recreate the components of an app, besides the org.
type recreation struct {
	saved  *repairDocument // of an interrupted run, nil if there is none
	backup backup
	target wanted.Target // the org
}

// recreate deletes and recreates the OAuth components of the app of --app.
func (c *repairCmd) recreate(ctx context.Context, e *env, work *orgs.Work, org string, conn *salesforce.Conn, from recreation, r *repairReport) error {
	options := repair.Options{CallbackURL: conn.InstanceURL}
	if from.saved != nil {
		options.Saved = from.saved.Components
	}
	var err error
	if options.Source, err = from.backup.source(c.App[0], from.target); err != nil {
		work.Warn("the project is not used: %v", err)
	}
	incomplete := slices.IndexFunc(r.Found, func(p repair.Problem) bool { return p.Kind == repair.NoOAuth || p.Kind == repair.NoConsumer })
	if incomplete >= 0 && from.saved == nil && !slices.ContainsFunc(options.Source, func(c *metadata.Component) bool { return c.Type == eca.GlobalOAuthSettings }) {
		p := r.Found[incomplete] // what it had is not known, and defaults may be wrong
		return fmt.Errorf("the OAuth of %s is not recreated with defaults: %s", p.App, p.Fix)
	}
	options.Save = func(components []*metadata.Component) error {
		document := &repairDocument{from.backup.org, c.App[0], components}
		if err := from.backup.save(document); err != nil {
			return err
		}
		work.Line("if this run is interrupted, the next line in a file restores what it deletes: eca repair -o %s --restore FILE", org)
		return document.print(e)
	}
	done, err := repair.Recreate(ctx, conn, c.App[0], options)
	if done == nil {
		return err
	}
	r.Repaired = &repairedApp{Result: done, Key: login.Credentials{Key: done.ConsumerKey}.ShortKey()}
	for _, component := range done.Deleted {
		work.Line("- %s", component)
	}
	for _, component := range done.Created {
		work.Line("+ %s", component)
	}
	if err != nil {
		return err
	}
	if err := from.backup.remove(); err != nil {
		return err
	}
	c.printRecreated(work, org, r.Repaired, from.saved != nil, len(options.Source) > 0)
	return nil
}

// printRecreated prints what a repair leaves to its user. restored says that it used what an earlier one
// has saved, and inProject that it used the source of a project.
func (c *repairCmd) printRecreated(work *orgs.Work, org string, done *repairedApp, restored, inProject bool) {
	switch {
	case restored && inProject:
		work.Line("%s: its components are as they were before the repair, with the names and values of the project", done.App)
	case restored:
		work.Line("%s: its components are as they were before the repair", done.App)
	case !done.Defaults && len(done.Deleted) == 0 && len(done.Created) > 0:
		work.Line("%s has the OAuth that the project states; if an earlier repair was interrupted, eca repair -o %s --restore FILE restores what the org had", done.App, org)
	case len(done.Deleted)+len(done.Created) == 0:
		work.Line("%s: nothing is broken, and nothing was changed; if an earlier repair was interrupted, its policies may be lost: "+
			"eca repair -o %s --restore FILE, or eca bootstrap -o %s --apply-policies", done.App, org, org)
	case !slices.ContainsFunc(done.Deleted, isPolicies) && !slices.ContainsFunc(done.Created, isPolicies):
		work.Line("%s had no OAuth policies; if an earlier repair was interrupted, eca repair -o %s --restore FILE restores them", done.App, org)
	}
	if done.NoCertificate {
		work.Warn("the org showed no certificate of %s; if it had one, run eca bootstrap -o %s, which deploys the project's", done.App, org)
	}
	if done.NewConsumer {
		work.Line("%s has a new consumer, key %s; its clients need the new credentials: eca credentials -o %s --app %s", done.App, done.Key, org, done.App)
	}
	if done.Defaults {
		work.Line("its callback URLs and flows are defaults; eca bootstrap -o %s deploys those of its project", org)
	}
}

// isPolicies reports whether a component of a repair is the app's OAuth policies.
func isPolicies(component string) bool { return strings.HasPrefix(component, eca.OAuthPolicies+" ") }

func names(found []repair.Problem) string {
	var all []string
	for _, d := range found {
		all = append(all, d.App)
	}
	return strings.Join(all, ", ")
}

// maxDocument bounds a file with a document, which may be a whole log.
const maxDocument = 16 << 20

// repairDocument is what a repair deletes. It holds no secret.
type repairDocument struct {
	Org        string                `json:"org"` // its ID
	App        string                `json:"app"`
	Components []*metadata.Component `json:"components"`
}

// print prints the document on a line of its own, in ASCII.
func (d *repairDocument) print(e *env) error {
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	var line strings.Builder
	for _, unit := range utf16.Encode([]rune(string(data))) {
		if unit < utf8.RuneSelf {
			line.WriteByte(byte(unit))
		} else {
			fmt.Fprintf(&line, `\u%04x`, unit)
		}
	}
	if e.JSON { // standard output carries the report at the end
		_, err := fmt.Fprintln(e.Stderr, line.String())
		return err
	}
	e.Line("%s", line.String())
	return nil
}

// parseRepairDocument returns the last document in the output of a repair, or in a file that holds one
// document alone. It returns nil if there is none.
func parseRepairDocument(data []byte) (found *repairDocument) {
	texts := append([][]byte{data}, bytes.Split(data, []byte("\n"))...)
	for _, text := range texts {
		d := new(repairDocument)
		if i := bytes.IndexByte(text, '{'); i >= 0 && json.Unmarshal(text[i:], d) == nil && d.Org != "" && d.App != "" && len(d.Components) > 0 && !slices.Contains(d.Components, nil) {
			found = d
		}
	}
	return found
}

// backups are the files in which repairs of apps of one org keep their documents, in the project of the
// working directory.
type backups struct {
	root string // "" if the working directory is in no project
	org  string // its ID
}

func openBackups(org string) (backups, error) {
	root, _, err := project.Find(".")
	if errors.As(err, new(*project.NoProjectError)) {
		return backups{org: org}, nil
	}
	return backups{root, org}, err
}

func (b backups) of(app string) backup {
	return backup{b, filepath.Join(b.root, "eca-repair-"+b.org+"-"+strings.ToLower(app)+".json")}
}

// unfinished returns a problem for each backup that a killed run left, of apps that are not among
// those found; with names, of those alone.
func (b backups) unfinished(found []repair.Problem, names []string) (all []repair.Problem, err error) {
	if b.root == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(b.root)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		app, isBackup := strings.CutPrefix(strings.TrimSuffix(entry.Name(), ".json"), "eca-repair-"+b.org+"-")
		is := func(name string) bool { return strings.EqualFold(name, app) }
		switch {
		case !isBackup, len(names) > 0 && !slices.ContainsFunc(names, is):
			continue
		case slices.ContainsFunc(found, func(p repair.Problem) bool { return is(p.App) }):
			continue
		}
		file := b.of(app)
		if saved, err := file.load(); err == nil && saved != nil {
			app = saved.App // as it is written
		}
		all = append(all, repair.Problem{
			App: app, Kind: repair.Unfinished, Repairable: true,
			Why: "a repair was interrupted, and its backup is in the project",
			Fix: fmt.Sprintf("with --yes, the next run continues with the backup; if the app is as it should be, remove %s", file.name),
		})
	}
	return all, nil
}

// backup is the file with the document of one app.
type backup struct {
	backups
	name string
}

// save writes the document to the project, if there is one.
func (b backup) save(d *repairDocument) error {
	if b.root == "" {
		return nil
	}
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(b.name, append(data, '\n'), atomicfile.Options{Mode: 0o644})
}

// load returns the document, nil if there is none.
func (b backup) load() (*repairDocument, error) {
	if b.root == "" {
		return nil, nil
	}
	if _, err := os.Lstat(b.name); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var data []byte
	file, err := openRegular(b.name)
	if err == nil {
		defer file.Close()
		data, err = io.ReadAll(io.LimitReader(file, maxDocument))
	}
	if err != nil {
		return nil, fmt.Errorf("the backup of an earlier repair cannot be read: %w", err)
	}
	d := parseRepairDocument(data)
	if d == nil || d.Org != b.org {
		return nil, fmt.Errorf("%s, the backup of an earlier repair, cannot be read: remove it to continue without", b.name)
	}
	return d, nil
}

func (b backup) remove() error {
	if b.root == "" {
		return nil
	}
	return atomicfile.Remove(b.name)
}

// source returns the OAuth components of an app as the project states them for an org, none if it does not
// have the app.
func (b backup) source(app string, target wanted.Target) (components []*metadata.Component, err error) {
	if b.root == "" {
		return nil, nil
	}
	fsys, err := openDir(b.root)
	if err != nil {
		return nil, err
	}
	source, err := wanted.Load(wanted.Location{Project: fsys, Dir: b.root, Sibling: fsys})
	if errors.As(err, new(*wanted.NoAppsError)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	resolved, err := source.Resolve(target)
	if err != nil {
		return nil, err
	}
	for _, a := range resolved.Apps {
		if !strings.EqualFold(a.Name, app) {
			continue
		}
		for _, want := range eca.InOrder(a.Wants) {
			if want.Type.Name == eca.RemoteSiteSetting || want.ReadOnly {
				continue
			}
			name := "" // without a file, it keeps the org's name
			if a.File(want.Type.Name) != "" {
				name = want.Names[0]
			}
			fields := want.Fields.Over(want.Source).Over(metadata.Stated("externalClientApplication", a.Name))
			components = append(components, metadata.New(want.Type.Name, name, fields))
		}
		if a.Wrong != nil {
			return nil, a.Wrong
		}
		return components, nil
	}
	return nil, nil
}
