package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/repair"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

type repairCmd struct {
	App       []string `sep:"none" placeholder:"NAME" help:"API name of an app. Can be repeated. Default: all apps of the org."`
	Yes       bool     `help:"Delete and recreate the broken components of --app. The app gets another key and secret."`
	orgFlags  `embed:""`
	callFlags `embed:""`
}

func (repairCmd) Help() string {
	return `Finds apps whose OAuth is broken: settings without a link to a consumer, several components of a type, apps from a package that a sandbox refresh has left without OAuth. Explains each, and exits with 1 if it has found one.

With --yes and --app NAME, eca deletes the app's OAuth policies, global settings and settings, in this order, and recreates them with the same fields. The app gets a new consumer, so its clients need the new key and secret. Without --yes, eca changes nothing.`
}

// repairReport is what --json says of one org.
type repairReport struct {
	Found    []repair.Problem `json:"found"`
	Repaired *repairedApp     `json:"repaired,omitempty"`
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
	if c.Yes && len(c.App) != 1 {
		return nil, usage.Errorf("--yes is for one app: name it with --app")
	}
	targets, err := e.Orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	return onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*repairReport]{
		Column: "FOUND", Cell: func(r *repairReport) string { return fmt.Sprint(len(r.Found)) },
		Ended: func(*repairReport) string { return "" },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*repairReport, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (*repairReport, error) {
				return c.repair(ctx, e, work, org, conn)
			})
		},
	})
}

// repair finds the broken apps of one org, and repairs one of them with --yes.
func (c *repairCmd) repair(ctx context.Context, e *env, work *orgs.Work, org string, conn *salesforce.Conn) (*repairReport, error) {
	found, err := repair.Find(ctx, conn, c.App...)
	if err != nil {
		return nil, err
	}
	facts, err := (&restapi.Client{Conn: conn}).Organization(ctx)
	if err != nil {
		return nil, err
	}
	cache := e.Cache()
	backups := backupDir{filepath.Join(cache, "repair"), facts.ID}
	var options repair.Options
	if c.Yes {
		if cache == "" {
			return nil, errors.New("a repair needs a directory for its backup, so that a killed run loses nothing: set HOME or XDG_CACHE_HOME")
		}
		if options.Saved, err = backups.of(c.App[0]).load(); err != nil {
			return nil, err
		}
	}
	var unfinished []repair.Problem
	if cache != "" {
		if unfinished, err = backups.unfinished(found, c.App); err != nil {
			return nil, err
		}
	}
	r := &repairReport{Found: append(append([]repair.Problem{}, found...), unfinished...)}
	for i := range r.Found {
		p := &r.Found[i]
		p.Fix = advice.Fix(p.Fix, string(p.Kind), org, p.App)
		work.Line("%s: %s (%s)", p.App, p.Why, p.Kind)
		for _, component := range p.Components {
			work.Line("  %s", component)
		}
		if !c.Yes {
			work.Line("  what to do: %s", p.Fix)
		}
	}
	switch {
	case c.Yes:
		return r, c.recreate(ctx, work, org, conn, backups.of(c.App[0]), options, r)
	case len(r.Found) > 0:
		hint := ""
		if i := slices.IndexFunc(r.Found, func(p repair.Problem) bool { return p.Repairable }); i >= 0 {
			hint = fmt.Sprintf("; eca repair -o %s --app %s --yes recreates the first, with a new key and secret", org, r.Found[i].App)
		}
		return r, fmt.Errorf("the OAuth of %s is broken: %s%s", console.Plural(len(r.Found), "app"), names(r.Found), hint)
	}
	work.Line("nothing is broken")
	return r, nil
}

// recreate deletes and recreates the OAuth components of the app of --app.
func (c *repairCmd) recreate(ctx context.Context, work *orgs.Work, org string, conn *salesforce.Conn, backup backup, options repair.Options, r *repairReport) error {
	options.CallbackURL = conn.InstanceURL
	options.Save = backup.save
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
	backup.remove()
	if len(done.Deleted)+len(done.Created) == 0 {
		work.Line("%s: nothing is broken, and nothing was changed", done.App)
	}
	if done.NoCertificate {
		work.Warn("the org showed no certificate of %s; if it had one, run eca bootstrap -o %s, which deploys the project's", done.App, org)
	}
	if done.NewConsumer {
		work.Line("%s has a new consumer, key %s; its clients need the new credentials: eca credentials -o %s --app %s", done.App, r.Repaired.Key, org, done.App)
	}
	if done.Defaults {
		work.Line("its callback URLs and flows are defaults; eca bootstrap -o %s deploys those of its project", org)
	}
	return nil
}

func names(found []repair.Problem) string {
	var all []string
	for _, d := range found {
		all = append(all, d.App)
	}
	return strings.Join(all, ", ")
}

// backupDir is the directory of the backups of apps of one org.
type backupDir struct{ dir, org string }

func (d backupDir) of(app string) backup {
	return backup{filepath.Join(d.dir, d.org+"-"+strings.ToLower(app)+".json")}
}

// unfinished returns a problem for each backup that a killed run left, of apps that are not among
// those found; with names, of those alone.
func (d backupDir) unfinished(found []repair.Problem, names []string) (all []repair.Problem, err error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		app, isBackup := strings.CutPrefix(strings.TrimSuffix(entry.Name(), ".json"), d.org+"-")
		is := func(name string) bool { return strings.EqualFold(name, app) }
		switch {
		case !isBackup, len(names) > 0 && !slices.ContainsFunc(names, is):
			continue
		case slices.ContainsFunc(found, func(p repair.Problem) bool { return is(p.App) }):
			continue
		}
		file := d.of(app)
		if components, err := file.load(); err == nil && len(components) > 0 && components[0] != nil {
			app = eca.App(components[0]) // as it is written
		}
		all = append(all, repair.Problem{
			App: app, Kind: repair.Unfinished, Repairable: true,
			Why: "a repair deleted its OAuth components and ended before it had recreated them",
			Fix: fmt.Sprintf("with --yes, the next run continues with the backup; if the app is as it should be, remove %s", file.name),
		})
	}
	return all, nil
}

// backup is the file that keeps the components of an app during a repair. It holds no secret.
type backup struct{ name string }

func (b backup) save(components []*metadata.Component) error {
	data, err := json.Marshal(components)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(b.name), 0o700)
	}
	if err != nil {
		return err
	}
	return atomicfile.Write(b.name, data, atomicfile.Options{})
}

// load returns the components, nil if there is no backup.
func (b backup) load() (components []*metadata.Component, err error) {
	info, err := os.Stat(b.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the backup of an earlier repair cannot be read: %w", err)
	}
	if time.Since(info.ModTime()) > maxBackupAge {
		return nil, fmt.Errorf("%s, the backup of a repair on %s, is too old to continue with: remove it, and run the command again",
			b.name, info.ModTime().Format(time.DateOnly))
	}
	data, err := os.ReadFile(b.name)
	if err == nil {
		err = json.Unmarshal(data, &components)
	}
	if err != nil || len(components) == 0 {
		return nil, fmt.Errorf("%s, the backup of an earlier repair, cannot be read: remove it to continue without", b.name)
	}
	return components, nil
}

// maxBackupAge is how long a backup is used. Later, the app may have become another one.
const maxBackupAge = 7 * 24 * time.Hour

func (b backup) remove() { os.Remove(b.name) }
