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
	App       []string `sep:"none" placeholder:"NAME" help:"API name of an app. Can be repeated. Otherwise all apps of the org."`
	Yes       bool     `help:"Take the broken components of --app away and make them anew. The app gets another key and secret."`
	orgFlags  `embed:""`
	callFlags `embed:""`
}

func (repairCmd) Help() string {
	return `Looks for apps whose OAuth is broken for good: settings without a link to a consumer, several components of a type, apps from a package that a sandbox refresh has left without OAuth. Explains each, and exits with 1 where it has found one.

With --yes and --app NAME it takes the app's OAuth policies, global settings and settings away, in this order, and makes them anew with the fields that they had. The consumer is a new one, so whoever logs in by the app needs its new key and secret. Without --yes it changes nothing.`
}

// repairReport is what --json says of one org.
type repairReport struct {
	Found  []repair.Problem `json:"found"`
	Mended *mendedApp       `json:"mended,omitempty"`
}

// mendedApp is what was done to an app.
type mendedApp struct {
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

// repair looks at the apps of one org, and mends one of them.
func (c *repairCmd) repair(ctx context.Context, e *env, work *orgs.Work, org string, conn *salesforce.Conn) (*repairReport, error) {
	found, err := repair.Find(ctx, conn, c.App...)
	if err != nil {
		return nil, err
	}
	var options repair.Options
	var kept keptApp
	facts, err := (&restapi.Client{Conn: conn}).Organization(ctx)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(e.Cache(), "repair")
	of := func(app string) keptApp {
		return keptApp{filepath.Join(dir, facts.ID+"-"+strings.ToLower(app)+".json")}
	}
	if c.Yes {
		kept = of(c.App[0])
		if options.Saved, err = kept.load(); err != nil {
			return nil, err
		}
	}
	// What runs that died have taken away.
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		app, mine := strings.CutPrefix(strings.TrimSuffix(entry.Name(), ".json"), facts.ID+"-")
		if !mine || len(c.App) > 0 && !slices.ContainsFunc(c.App, func(a string) bool { return strings.EqualFold(a, app) }) {
			continue
		}
		if !slices.ContainsFunc(found, func(d repair.Problem) bool { return strings.EqualFold(d.App, app) }) {
			if components, err := of(app).load(); err == nil && len(components) > 0 && components[0] != nil {
				app = eca.App(components[0]) // as it is written
			}
			found = append(found, repair.Problem{
				App: app, Kind: repair.Unfinished, Repairable: true,
				Why: "a repair deleted its OAuth components and ended before it had recreated them",
				Fix: fmt.Sprintf("with --yes, the next run goes on with what was kept; if the app is as it should be, remove %s", of(app).file),
			})
		}
	}
	r := &repairReport{Found: found}
	if found == nil {
		r.Found = []repair.Problem{}
	}
	for _, d := range found {
		work.Line("%s: %s (%s)", d.App, d.Why, d.Kind)
		for _, component := range d.Components {
			work.Line("%s", "  "+component)
		}
		if !c.Yes {
			work.Line("%s", "  what to do: "+d.Fix)
		}
	}
	switch {
	case len(found) == 0 && !c.Yes:
		work.Line("nothing is broken")
		return r, nil
	case !c.Yes:
		hint := ""
		if i := mendable(found); i >= 0 {
			hint = fmt.Sprintf("; eca repair -o %s --app %s --yes mends the first, with a new key and secret", org, found[i].App)
		}
		return r, fmt.Errorf("the OAuth of %s is broken: %s%s", console.Plural(len(found), "app"), names(found), hint)
	}
	options.CallbackURL = conn.InstanceURL
	options.Save = kept.save
	mended, err := repair.Recreate(ctx, conn, c.App[0], options)
	if mended == nil {
		return r, err
	}
	r.Mended = &mendedApp{Result: mended, Key: login.Credentials{Key: mended.ConsumerKey}.ShortKey()}
	for _, component := range mended.Deleted {
		work.Line("%s", "- "+component)
	}
	for _, component := range mended.Created {
		work.Line("%s", "+ "+component)
	}
	if err != nil {
		return r, err
	}
	kept.forget()
	if len(mended.Deleted)+len(mended.Created) == 0 {
		work.Line("%s", mended.App+": nothing is broken, and nothing was changed")
	}
	if mended.NoCertificate {
		work.Warn("the org showed no certificate of the app; if it had one, eca bootstrap brings it again from its project")
	}
	if mended.NewConsumer {
		work.Line("%s has a new consumer, key %s: hand it over with eca credentials -o %s --app %s", mended.App, r.Mended.Key, org, mended.App)
	}
	if mended.Defaults {
		work.Line("%s", "its callback URLs and flows are defaults: eca bootstrap -o "+org+" brings what its project states")
	}
	return r, nil
}

// mendable returns the first that eca can mend, -1 for none.
func mendable(found []repair.Problem) int {
	for i, d := range found {
		if d.Repairable {
			return i
		}
	}
	return -1
}

func names(found []repair.Problem) string {
	var all []string
	for _, d := range found {
		all = append(all, d.App)
	}
	return strings.Join(all, ", ")
}

// keptApp is the file that keeps what an app had while it is made anew. It holds no secret.
type keptApp struct{ file string }

func (k keptApp) save(components []*metadata.Component) error {
	data, err := json.Marshal(components)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(k.file), 0o700)
	}
	if err != nil {
		return err
	}
	return atomicfile.Write(k.file, data, atomicfile.Options{})
}

func (k keptApp) load() (components []*metadata.Component, err error) {
	info, err := os.Stat(k.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("what an earlier repair may have kept cannot be read: %w", err)
	}
	if age := time.Since(info.ModTime()); age > keptFor {
		return nil, fmt.Errorf("%s was kept by a repair on %s and is too old to go on with: remove it, and run again", k.file, info.ModTime().Format(time.DateOnly))
	}
	data, err := os.ReadFile(k.file)
	if err == nil {
		err = json.Unmarshal(data, &components)
	}
	if err != nil || len(components) == 0 {
		return nil, fmt.Errorf("%s, which an earlier repair kept, cannot be read: remove it to go on without", k.file)
	}
	return components, nil
}

// keptFor is how long what a repair kept counts. Later, the app may have become another one.
const keptFor = 7 * 24 * time.Hour

func (k keptApp) forget() { os.Remove(k.file) }
