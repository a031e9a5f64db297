package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/credential"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/sfp"
)

type connectCmd struct {
	appFlags           `embed:""`
	orgFlags           `embed:""`
	callFlags          `embed:""`
	accessFlags        `embed:""`
	From               string   `placeholder:"PROVIDER" help:"Org that is called, whose app logs the others in."`
	NamedCredential    string   `name:"named-credential" placeholder:"NAME" help:"Name by which Apex calls it, as in callout:NAME. Without it, the connections of plugins.eca are made."`
	ExternalCredential string   `name:"external-credential" placeholder:"NAME" help:"Name of the external credential. Default: the name of the named credential."`
	Principal          string   `placeholder:"NAME" help:"Principal that holds the secret. Default: Integration."`
	PermissionSet      []string `name:"permission-set" sep:"none" placeholder:"NAME" help:"Permission set whose users may call; can be repeated."`
	Protocol           string   `enum:"secret,jwt" default:"secret" help:"secret: client credentials; jwt: JWT bearer."`
	Certificate        string   `placeholder:"NAME" help:"Certificate of the calling org that signs JWTs."`
	Username           string   `placeholder:"USER" help:"User of the called org that JWTs log in as."`
	Replace            bool     `help:"Replace credentials that are for something else. Nothing of them stays; eca lists what they were."`
	DryRun             bool     `name:"dry-run" help:"Show what would change, and write nothing."`
}

func (connectCmd) Help() string {
	return `Creates in the orgs of -o what a callout to the org of --from needs: External Credential, Named Credential, access of the permission sets, and the app's secret. A second run writes only differences, and stores a rotated key. Principals and parameters that somebody else added stay.

  eca connect --from crm-uat -o uat --app MyApp --named-credential Crm --permission-set Crm_Callout

Default without --named-credential: the connections in plugins.eca of the project for the environment.`
}

// connectReport is what --json says of one org that calls. It holds no secret.
type connectReport struct {
	Connections []*credential.Report `json:"connections"`
}

// link is a connection that is to be made, and where its secret comes from.
type link struct {
	connection.Connection
	app, from string
}

func (c *connectCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.callFlags.Check(); err != nil {
		return nil, err
	}
	targets, err := e.Orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	links, err := c.links()
	if err != nil {
		return nil, err
	}
	if slices.Contains(targets, c.From) {
		return nil, usage.Errorf("an org does not call itself: name another one than %s with --from or -o", c.From)
	}
	providers := &providers{e: e, flags: &c.callFlags, access: &c.accessFlags, strict: true}
	return onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*connectReport]{
		Last:   func(r *connectReport) string { return r.last(targets[0], c.DryRun) },
		Column: "CHANGES", Cell: func(r *connectReport) string { return fmt.Sprint(r.changes(c.DryRun)) },
		Ended: func(r *connectReport) string { return ", " + console.Plural(r.changes(c.DryRun), "change") },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*connectReport, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (*connectReport, error) {
				alias := session.Alias
				if alias == "" {
					alias = org
				}
				return providers.connect(ctx, work, org, conn, links(alias), credential.Options{PlanOnly: c.DryRun, Replace: c.Replace})
			})
		},
	})
}

// last says what a run has done on one org.
func (r *connectReport) last(org string, planned bool) string {
	n := console.Plural(r.changes(planned), "change")
	switch {
	case len(r.Connections) == 0:
		return "nothing changed on " + org
	case planned:
		return fmt.Sprintf("%s pending on %s; nothing was written", n, org)
	}
	return fmt.Sprintf("%s of %s can be called, after %s", console.Plural(len(r.Connections), "connection"), org, n)
}

func (r *connectReport) changes(planned bool) (n int) {
	for _, one := range r.Connections {
		if n += one.Changed; planned {
			n += one.Pending
		}
	}
	return n
}

// links returns the connections of an org by its alias: the one of the flags, or those of the
// project here.
func (c *connectCmd) links() (func(alias string) []link, error) {
	if c.NamedCredential == "" {
		if c.From != "" || c.ExternalCredential != "" || c.Principal != "" || len(c.PermissionSet) > 0 || c.Certificate != "" || c.Username != "" {
			return nil, usage.Errorf("name the connection with --named-credential, or leave the other flags out to make those of plugins.eca")
		}
		settings, err := settingsHere()
		if err != nil {
			return nil, err
		}
		if len(settings.Connections) == 0 {
			return nil, usage.Errorf("name the connection with --from and --named-credential: plugins.eca of the project here declares none")
		}
		return func(alias string) []link { return linksOf(settings, alias, false) }, nil
	}
	app, err := c.app()
	if err != nil {
		return nil, err
	}
	switch {
	case c.From == "":
		return nil, usage.Errorf("name the org that is called with --from")
	case c.Protocol == "jwt" && (c.Certificate == "" || c.Username == ""):
		return nil, usage.Errorf("--protocol jwt needs --certificate and --username")
	case c.Protocol != "jwt" && (c.Certificate != "" || c.Username != ""):
		return nil, usage.Errorf("--certificate and --username go with --protocol jwt")
	}
	one := link{app: app, from: c.From, Connection: connection.Connection{
		NamedCredential: c.NamedCredential, ExternalCredential: c.ExternalCredential, Principal: c.Principal,
		Certificate: c.Certificate, Username: c.Username, PermissionSets: c.PermissionSet,
	}}
	check := one.Connection
	check.ProviderURL = "https://example.my.salesforce.com" // which is not known yet
	if err := check.Check(); err != nil {
		return nil, usage.Error{Err: err}
	}
	return func(string) []link { return []link{one} }, nil
}

// settingsHere returns the settings of the project in the working directory.
func settingsHere() (project.Settings, error) {
	root, _, err := findProject(".")
	if err != nil {
		return project.Settings{}, err
	}
	fsys, err := openDir(root)
	if err != nil {
		return project.Settings{}, err
	}
	proj, err := project.Read(fsys, sfp.ProjectFile)
	if err != nil {
		return project.Settings{}, err
	}
	return proj.Settings, nil
}

// linksOf returns the connections that a project declares for an environment; with onInstall,
// those that the hook makes.
func linksOf(settings project.Settings, alias string, onInstall bool) (links []link) {
	for _, name := range slices.Sorted(maps.Keys(settings.Connections)) {
		c := settings.Connections[name]
		from := c.From[alias]
		if from == "" || onInstall && !c.OnInstall {
			continue
		}
		links = append(links, link{app: c.App, from: from, Connection: connection.Connection{
			NamedCredential: name, ExternalCredential: c.ExternalCredential, Principal: c.Principal,
			Certificate: c.Certificate, Username: c.Username, PermissionSets: c.PermissionSets,
		}})
	}
	return links
}

// providers are the orgs that are called, each of which is asked once for an app's pair.
type providers struct {
	e      *env
	flags  *callFlags
	access *accessFlags
	given  *provided // the one that is known already, nil to ask the provider
	strict bool      // a login that the provider refuses is an error

	mu    sync.Mutex
	pairs map[string]func() (provided, error) // by org, app and whether the secret is needed
}

// provided is what a provider gives.
type provided struct {
	baseURL string
	pair    login.Credentials
	prove   func(context.Context) error // logs in with the pair once; nil without a secret
}

// get returns the pair of an app on an org, or its key alone, and the org's own domain.
func (p *providers) get(ctx context.Context, work *orgs.Work, l link, keyOnly bool) (provided, error) {
	if p.given != nil {
		return *p.given, nil
	}
	if p.e.Getenv("SF_ACCESS_TOKEN") != "" && p.e.Getenv("SF_ORG_INSTANCE_URL") != "" {
		return provided{}, fmt.Errorf("SF_ACCESS_TOKEN is for one org, and the connection %s needs %s as well; unset it, and log in to both with sf", l.NamedCredential, l.from)
	}
	p.mu.Lock()
	key := strings.Join([]string{l.from, strings.ToLower(l.app), fmt.Sprint(keyOnly)}, "\x00")
	if p.pairs == nil {
		p.pairs = make(map[string]func() (provided, error))
	}
	read := p.pairs[key]
	if read == nil {
		read = sync.OnceValues(func() (provided, error) {
			return orgs.On(ctx, p.e.Env, orgs.NewWork(work.For(l.from), p.flags.Verbose), p.flags, l.from,
				func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (given provided, err error) {
					client := &consumer.Client{Conn: conn}
					given.baseURL = conn.InstanceURL
					if keyOnly {
						given.pair.Key, err = client.Key(ctx, l.app)
						return given, err
					}
					_, err = p.access.during(ctx, p.e, client, work, l.app, func(*access) error {
						found, err := client.Find(ctx, l.app)
						if err == nil {
							given.pair, err = client.Credentials(ctx, found)
							given.prove = prover(conn, l.from, given.pair, found)
						}
						return err
					})
					return given, err
				})
		})
		p.pairs[key] = read
	}
	p.mu.Unlock()
	return read()
}

// connect makes the connections of one org that calls, and prints what it did.
func (p *providers) connect(ctx context.Context, work *orgs.Work, org string, conn *salesforce.Conn, links []link, o credential.Options) (*connectReport, error) {
	r := &connectReport{Connections: []*credential.Report{}}
	if len(links) == 0 {
		work.Line("no connection is declared for it")
	}
	for _, l := range links {
		if err := p.check(ctx, work, conn, l, o); err != nil {
			return r, err
		}
		given, err := p.get(ctx, work, l, l.Certificate != "" || o.PlanOnly) // a plan compares keys
		if err != nil {
			return r, err
		}
		if strings.EqualFold(given.baseURL, conn.InstanceURL) {
			return r, fmt.Errorf("connection %s: an org does not call itself: %s and %s are the same org", l.NamedCredential, org, l.from)
		}
		l.ProviderURL = given.baseURL
		report, err := credential.Connect(ctx, conn, l.Connection, given.pair, o)
		if report != nil {
			r.Connections = append(r.Connections, report)
			for _, line := range connectionLines(report, o.PlanOnly) {
				work.Line("%s", line)
			}
		}
		if err != nil {
			return r, fmt.Errorf("connection %s: %w", l.NamedCredential, err)
		}
		if report.Status != "Configured" && !o.PlanOnly {
			return r, fmt.Errorf("connection %s: the org reports the principal %s as %s", l.NamedCredential, report.Principal, report.Status)
		}
		if given.prove == nil || o.PlanOnly || !p.strict && report.Changed == 0 {
			continue
		}
		if err := p.proved(ctx, work, l, given); err != nil {
			return r, err
		}
	}
	return r, nil
}

// prover returns a function that logs in to an org with the credentials of an app, once. A refusal is a
// *loginError.
func prover(conn *salesforce.Conn, org string, pair login.Credentials, found *consumer.Consumer) func(context.Context) error {
	var once sync.Once
	var err error
	return func(ctx context.Context) error {
		once.Do(func() {
			with := login.ClientCredentials(conn.InstanceURL, pair)
			with.Retry = conn.Retry
			if _, err = with.Verify(ctx, conn.HTTPClient); err != nil {
				err = lookAtRefusal(ctx, conn, login.Attempt{App: found.App, Created: found.Created}, err, org)
			}
		})
		return err
	}
}

// proved logs in with what was stored. The token endpoint may not know a new consumer yet, which is a warning, as
// is any refusal unless the providers are strict.
func (p *providers) proved(ctx context.Context, work *orgs.Work, l link, given provided) error {
	err := given.prove(ctx)
	refused, isRefused := errors.AsType[*loginError](err)
	if err != nil && (!isRefused || p.strict && refused.Cause != refusal.NewConsumer) {
		return fmt.Errorf("connection %s is stored, but a callout would fail: %s: %w", l.NamedCredential, l.from, err)
	}
	if err != nil {
		work.Warn("connection %s is stored, but a callout would fail now: %s: %v; %s", l.NamedCredential, l.from, refused, refused.hint)
	} else if p.strict {
		work.Line("%s logs in to %s", l.app, l.from)
	}
	return nil
}

// check makes sure that a connection can be made, before anything is switched on to read its secret.
func (p *providers) check(ctx context.Context, work *orgs.Work, conn *salesforce.Conn, l link, o credential.Options) error {
	if p.given != nil || !p.access.EnableAccess || o.PlanOnly || l.Certificate != "" {
		return nil
	}
	given, err := p.get(ctx, work, l, true)
	if err != nil {
		return err
	}
	l.ProviderURL = given.baseURL
	if _, err := credential.Connect(ctx, conn, l.Connection, given.pair, credential.Options{PlanOnly: true, Replace: o.Replace}); err != nil {
		return fmt.Errorf("connection %s: %w", l.NamedCredential, err)
	}
	return nil
}

// connectionLines tells what became of a connection.
func connectionLines(r *credential.Report, planned bool) (lines []string) {
	say := func(action reconcile.Action, done bool, what string) {
		sign, verb := describe(bootstrap.ComponentReport{Action: action, Done: done}, planned)
		lines = append(lines, fmt.Sprintf("%s %s %s", sign, what, verb))
	}
	for _, d := range r.Replaced {
		verb := "replaced"
		if planned {
			verb = "to be replaced"
		}
		lines = append(lines, fmt.Sprintf("! %s is for something else: %s %s %s", d.Component, d.What, d.Is, verb))
	}
	for _, c := range r.Components {
		say(c.Action, c.Applied, c.Type+" "+c.FullName)
		if c.Action == reconcile.Update {
			for _, change := range c.Changes {
				lines = append(lines, "    "+change.Field+": "+fromTo(c.Action, change.From, change.To))
			}
		}
	}
	switch {
	case r.Secret == "" || r.Secret == credential.SecretNone:
	case r.Secret == credential.SecretUnchanged:
		lines = append(lines, "= secret of "+r.Principal+" unchanged")
	case planned:
		lines = append(lines, "+ secret of "+r.Principal+" to be "+string(r.Secret))
	default:
		lines = append(lines, "+ secret of "+r.Principal+" "+string(r.Secret))
	}
	for _, a := range r.Access {
		what := a.PermissionSet + " may use " + r.Principal
		if a.Object == credential.ReadPermission {
			what = a.PermissionSet + " may read UserExternalCredential:"
		}
		say(a.Action, a.Applied, what)
	}
	return lines
}
