package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/respond"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

type revokeCmd struct {
	App          string `placeholder:"NAME" help:"API name or label of the app."`
	NotInstalled bool   `name:"not-installed" help:"All apps that are not installed; with --app, the one with that label."`
	User         string `placeholder:"USERNAME" help:"Only the tokens of this user."`
	Sessions     bool   `help:"Also end the open sessions of the apps."`
	Evidence     string `placeholder:"PREFIX" help:"Write PREFIX.json and PREFIX.md: times, counts, users and logins, without secrets. A later run is added to them."`
	confirmFlags `embed:""`
	orgFlags     `embed:""`
	callFlags    `embed:""`
}

func (revokeCmd) Help() string {
	return `Shows who has access through an app: tokens, users, their privileges, the last use and where logins came from. After confirmation it revokes the tokens and counts again. The next run completes an interrupted one.

Revoking does not keep users from logging in again. Cut the app off first, with eca disable for an External Client App. No API blocks other apps: use Block in Setup.

  eca revoke --app "Data Sync" -o prod --evidence incident
  eca revoke --not-installed --orgs orgs.txt --yes`
}

// revokeReport is what --json says of one org.
type revokeReport struct {
	Missing bool `json:"missing,omitempty"` // the org has no such app and no token of one
	*respond.Revocation
}

// exposure returns what the org showed before anything was revoked, or nil.
func (r *revokeReport) exposure() *respond.Exposure {
	if r.Revocation == nil {
		return nil
	}
	return r.Before
}

func (c *revokeCmd) run(ctx context.Context, e *env) (result, error) {
	if err := cmp.Or(c.callFlags.Check(), c.confirmFlags.check()); err != nil {
		return nil, err
	}
	if c.App == "" && !c.NotInstalled {
		return nil, usage.Errorf("name the app with --app, or give --not-installed for all apps that are not installed")
	}
	targets, err := e.Orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	selection := respond.Selection{App: c.App, NotInstalled: c.NotInstalled, User: c.User, Sessions: c.Sessions}
	book, err := openEvidence(c.Evidence, selection)
	if err != nil {
		return nil, err
	}
	r := &revoking{revokeCmd: c, env: e, selection: selection, book: book, several: c.Several(targets)}
	all, err := r.onAll(ctx, targets, c.Yes)
	if r.answered == 0 || c.Yes {
		return all, cmp.Or(err, r.missing())
	}
	if err != nil || r.found == 0 || c.DryRun {
		return all, cmp.Or(err, r.missing())
	}
	if r.tokens+r.sessions == 0 {
		return all, nil
	}
	if !c.asks(e) {
		return all, errUnconfirmed
	}
	if err := e.confirm(ctx, fmt.Sprintf("Revoke %s and end %s?", console.Plural(r.tokens, "token"), console.Plural(r.sessions, "session"))); err != nil {
		return all, err
	}
	r.quiet = true
	return r.onAll(ctx, targets, true)
}

// revoking is a run of eca revoke.
type revoking struct {
	*revokeCmd
	env       *env
	selection respond.Selection
	book      *evidenceBook
	several   bool
	quiet     bool // what is to be revoked was shown already

	mu               sync.Mutex
	answered, found  int // numbers of orgs
	tokens, sessions int
	notFound         error
}

// missing returns an error if no org has the app: its name is probably wrong.
func (r *revoking) missing() error {
	if r.answered > 0 && r.found == 0 {
		return r.notFound
	}
	return nil
}

// onAll works on all orgs. Unless really is set, it changes nothing.
func (r *revoking) onAll(ctx context.Context, targets []string, really bool) (result, error) {
	r.answered, r.found, r.tokens, r.sessions = 0, 0, 0, 0
	all, err := onOrgs(ctx, r.env, &r.orgFlags, &r.callFlags, targets, orgs.FleetWork[*revokeReport]{
		Column: "TOKENS", Cell: func(report *revokeReport) string {
			switch e := report.exposure(); {
			case e == nil:
				return "no such app"
			case report.After != nil:
				return fmt.Sprintf("%d → %d", e.Tokens(), report.After.Tokens())
			default:
				return fmt.Sprint(e.Tokens())
			}
		},
		Ended: func(report *revokeReport) string {
			if report.After != nil {
				return fmt.Sprintf(", %s revoked", console.Plural(report.Tokens, "token"))
			}
			return ""
		},
		Do: func(ctx context.Context, org string, work *orgs.Work) (*revokeReport, error) {
			report, err := orgs.On(ctx, r.env.Env, work, &r.callFlags, org, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (*revokeReport, error) {
				return r.one(ctx, org, work, conn, really)
			})
			return report, cmp.Or(err, r.book.ended(org, report, really, err))
		},
	})
	if err = cmp.Or(err, r.book.close()); err == nil {
		r.verdict(all, really)
	}
	return all, err
}

// verdict prints whether it worked, for one org; the table does for several.
func (r *revoking) verdict(all result, really bool) {
	one, ok := all.(*oneResult[*revokeReport])
	switch {
	case !ok || one.Report == nil || one.Report.Missing:
	case one.Report.After != nil:
		r.env.Line("eca: done, %s and %s left.", console.Plural(one.Report.After.Tokens(), "token"), console.Plural(one.Report.After.Sessions(), "session"))
	case r.tokens+r.sessions == 0 && !r.selection.Sessions:
		r.env.Line("eca: no tokens to revoke. Open sessions are not counted: --sessions ends them.")
	case r.tokens+r.sessions == 0:
		r.env.Line("eca: nothing to revoke.")
	case !really && r.DryRun:
		r.env.Line("eca: nothing was changed.")
	}
}

// one works on one org.
func (r *revoking) one(ctx context.Context, org string, work *orgs.Work, conn *salesforce.Conn, really bool) (*revokeReport, error) {
	exposure, err := respond.Look(ctx, conn, r.selection)
	missing, isMissing := errors.AsType[*respond.NotFoundError](err)
	if err != nil && !isMissing {
		return nil, err
	}
	r.mu.Lock()
	r.answered++
	if isMissing {
		r.notFound = missing
	} else {
		r.found++
		r.tokens += exposure.Tokens()
		r.sessions += exposure.Sessions()
	}
	r.mu.Unlock()
	if isMissing {
		work.Line("%s", missing.Error())
		return &revokeReport{Missing: true}, nil
	}
	if !r.quiet {
		r.show(work, org, conn.InstanceURL, exposure)
	}
	report := &revokeReport{Revocation: &respond.Revocation{Before: exposure}}
	if !really || exposure.Tokens()+exposure.Sessions() == 0 {
		return report, nil
	}
	if err := r.book.begins(org, report); err != nil { // so that a killed run leaves what it began with
		return report, err
	}
	report.Revocation, err = exposure.Revoke(ctx)
	if report.After != nil {
		work.Line("revoked %s and ended %s; %s left", console.Plural(report.Tokens, "token"), console.Plural(report.Revocation.Sessions, "session"),
			console.Plural(report.After.Tokens(), "token"))
	}
	return report, err
}

// blockPage is where Setup blocks apps.
const blockPage = "/lightning/setup/ConnectedAppsUsage/home"

// show prints who has access.
func (r *revoking) show(work *orgs.Work, org, instance string, e *respond.Exposure) {
	for _, app := range e.Apps {
		line := fmt.Sprintf("%s (%s): %s of %s", app.Name, app.Kind, console.Plural(app.Tokens, "token"), console.Plural(len(app.Holders), "user"))
		if r.Sessions {
			line += ", " + console.Plural(app.Sessions, "open session")
		}
		work.Line("%s", line)
		for _, h := range app.Holders {
			work.Line("  %s", describeHolder(h))
		}
		if app.Unclear > 0 {
			work.Warn("%s with the label %s may belong to another app and stay", console.Plural(app.Unclear, "token"), app.Label)
		}
		if app.Tokens+app.Sessions == 0 {
			continue
		}
		if app.Kind == respond.External {
			work.Line("  users can log in again unless the app is off: eca disable -o %s --app %s", org, app.Name)
		} else {
			work.Line("  users can log in again unless the app is blocked, which no API does: choose Block at %s", instance+blockPage)
		}
	}
	for _, unseen := range e.Unseen {
		work.Warn("not shown: %s", unseen)
	}
	if len(e.Apps) == 0 {
		work.Line("no app that is not installed has a token")
	}
}

// describeHolder describes a user with access.
func describeHolder(h respond.Holder) string {
	about := []string{}
	if h.Profile != "" {
		about = append(about, h.Profile)
	}
	about = append(about, h.Privileges...)
	if h.Inactive {
		about = append(about, "inactive")
	}
	line := cmp.Or(h.Username, h.ID)
	if len(about) > 0 {
		line += " (" + strings.Join(about, ", ") + ")"
	}
	line += ": " + console.Plural(h.Tokens, "token")
	if !h.LastUsed.IsZero() {
		line += ", last used " + h.LastUsed.Format(time.DateOnly)
	}
	for i, l := range h.Logins {
		if i == maxShownLogins {
			line += fmt.Sprintf("; %d more kinds of login", len(h.Logins)-i)
			break
		}
		line += fmt.Sprintf("; %s from %s, %s, last %s", console.Plural(l.Count, "login"), cmp.Or(l.IP, "an unknown address"), cmp.Or(l.Subtype, l.Type, "unknown type"), l.Last.Format(time.DateOnly))
	}
	return line
}

// maxShownLogins bounds what text shows of one user's logins. The evidence has all.
const maxShownLogins = 3
