package cli

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// loginsReport is what --json says of the apps of one org. It holds no secret.
type loginsReport struct {
	BaseURL string         `json:"baseUrl"`
	Apps    []*loginReport `json:"apps"`
}

// loginReport is what --json says of the logins of one app.
type loginReport struct {
	App         string `json:"app"`
	OK          bool   `json:"ok"`                    // no login is broken
	ConsumerKey string `json:"consumerKey,omitempty"` // shortened
	// Login is the login with client credentials, and NotLoggedIn why there was none.
	Login              *login.Proof      `json:"login,omitempty"`
	NotLoggedIn        string            `json:"notLoggedIn,omitempty"`
	RunAsUser          string            `json:"runAsUser,omitempty"`
	CertificateExpires string            `json:"certificateExpires,omitempty"` // RFC 3339
	Findings           []finding.Finding `json:"findings,omitempty"`

	inspection  *login.Inspection
	consumer    *consumer.Consumer
	credentials login.Credentials
}

// checkAll checks flags that exclude --all, or need it.
func (c *verifyCmd) checkAll() error {
	switch {
	case !c.All && c.Format != "text":
		return usage.Errorf("--format goes with --all")
	case c.All && (c.App != "" || c.JWTKey != "" || c.Username != "" || c.Browser || c.Connection != "" || c.From != "" || c.Wait != nil):
		return usage.Errorf("--all checks each app without waiting: leave out --app, --jwt-key, --username, --browser, --connection, --from and --wait")
	}
	return nil
}

// runAll checks the logins of all apps of the project, or of the orgs.
func (c *verifyCmd) runAll(ctx context.Context, e *env, targets []string) (result, error) {
	names, found, err := localApps()
	if err != nil {
		return nil, err
	}
	if found && len(names) == 0 {
		return nil, foundError{errors.New("the project here has no Local app, so nothing was checked")}
	}
	e.JSON = e.JSON || c.Format == "json"
	e.Silent = c.Format == "junit" && !e.JSON
	r, err := onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*loginsReport]{
		Column: "APPS", Cell: func(r *loginsReport) string { return r.summary() },
		Ended: func(r *loginsReport) string { return ": " + r.summary() },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*loginsReport, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (*loginsReport, error) {
				w := &watch{verifyCmd: c, env: e, org: org, work: work, conn: conn, client: &consumer.Client{Conn: conn}}
				return w.run(ctx, names)
			})
		},
	})
	var suites junitSuites
	n, tried := 0, 0
	add := func(org string, report *loginsReport, err string) {
		if report != nil {
			n += len(report.Apps)
			for _, app := range report.Apps {
				if app.Login != nil {
					tried++
				}
			}
		}
		suites.Suites = append(suites.Suites, report.suite(org, err))
	}
	switch all := r.(type) {
	case *oneResult[*loginsReport]:
		failure := ""
		if err != nil {
			failure = console.OneLine(explain(err))
		}
		if add(targets[0], all.Report, failure); err == nil {
			e.Line("eca: %s.", all.Report.summary())
		}
	case *manyResult[*loginsReport]:
		for _, one := range all.Orgs {
			add(one.Org, one.Report, one.Error)
		}
	}
	switch {
	case err != nil || len(targets) == 0:
	case n == 0:
		err = foundError{errors.New("no app of its own on the org, so nothing was checked")}
	case tried == 0:
		err = foundError{errors.New("no app was logged in to, so no login was verified")}
	}
	if e.Silent {
		document, failed := xml.MarshalIndent(suites, "", "  ")
		if failed == nil {
			_, failed = fmt.Fprintf(e.Stdout, "%s%s\n", xml.Header, document)
		}
		if failed != nil {
			return r, failed
		}
	}
	return r, err
}

// summary counts the apps.
func (r *loginsReport) summary() string {
	broken, warned, tried := 0, 0, 0
	for _, app := range r.Apps {
		switch {
		case !app.OK:
			broken++
		case len(app.Findings) > 0:
			warned++
		}
		if app.Login != nil {
			tried++
		}
	}
	return fmt.Sprintf("%s, %d logged in, %d broken, %d with warnings", console.Plural(len(r.Apps), "app"), tried, broken, warned)
}

// watch is the check of the apps of one org.
type watch struct {
	*verifyCmd
	env    *env
	org    string
	work   *orgs.Work
	conn   *salesforce.Conn
	client *consumer.Client
}

// maxLogins bounds the apps of one org that are checked at the same time.
const maxLogins = 8

func (w *watch) run(ctx context.Context, names []string) (*loginsReport, error) {
	r := &loginsReport{BaseURL: w.conn.InstanceURL, Apps: []*loginReport{}}
	inspections, err := login.Inspect(ctx, w.conn, names...)
	if err != nil {
		return nil, err
	}
	var due []*loginReport
	for _, i := range inspections {
		app := &loginReport{App: i.App, RunAsUser: i.RunAsUser, inspection: i}
		if !i.CertificateExpires.IsZero() {
			app.CertificateExpires = i.CertificateExpires.UTC().Format(time.RFC3339)
		}
		if r.Apps = append(r.Apps, app); i.ClientCredentials {
			due = append(due, app)
		} else {
			app.NotLoggedIn = "client credentials are off"
		}
	}
	if len(due) > 0 {
		_, err := w.during(ctx, w.env, w.client, w.work, due[0].App, func(*access) error { return each(ctx, due, w.read) })
		if err != nil {
			return r, err
		}
		if err := each(ctx, due, w.login); err != nil {
			return r, err
		}
	}
	return r, w.conclude(r)
}

// each calls do for apps, several at a time.
func each(ctx context.Context, all []*loginReport, do func(context.Context, *loginReport) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxLogins)
	for _, app := range all {
		group.Go(func() error { return do(ctx, app) })
	}
	return group.Wait()
}

// read reads the key and secret of an app, unless the org does not let them be read.
func (w *watch) read(ctx context.Context, app *loginReport) error {
	found, err := w.client.Find(ctx, app.App)
	if err == nil {
		app.consumer = found
		app.credentials, err = w.client.Credentials(ctx, found)
	}
	if isSettingOff(err) && w.EnableAccess {
		return err // during switches it on again
	}
	unreadable := errors.As(err, new(*consumer.AccessError)) || errors.As(err, new(*consumer.SeveralError)) ||
		errors.As(err, new(*consumer.NoSecretError)) || errors.As(err, new(*apps.NoOAuthError))
	if !unreadable {
		return err
	}
	message, _ := explainParts(err)
	app.NotLoggedIn = console.OneLine(message)
	return nil
}

// login logs in with client credentials.
func (w *watch) login(ctx context.Context, app *loginReport) (err error) {
	if app.NotLoggedIn != "" {
		return nil
	}
	app.ConsumerKey = app.credentials.ShortKey()
	with := login.ClientCredentials(w.conn.InstanceURL, app.credentials)
	with.Retry = w.conn.Retry
	app.Login, err = with.Verify(ctx, w.conn.HTTPClient)
	i := app.inspection
	refused, isRefused := errors.AsType[*salesforce.TokenRefusal](err)
	switch {
	case isRefused:
		app.Login, app.NotLoggedIn = nil, "refused"
		w.refused(ctx, app, refused)
		return nil
	case err != nil:
		return err
	}
	i.Works()
	if i.RunAsUser != "" && !strings.EqualFold(i.RunAsUser, app.Login.Username) {
		i.Findings = append(i.Findings, finding.Finding{Rule: "other-user", Level: finding.Error, App: app.App,
			Problem: fmt.Sprintf("the login is %s, and the policies let client credentials run as %s", app.Login.Username, i.RunAsUser), Fix: "name the right user in the policies"})
	}
	if !app.Login.Revoked {
		w.work.Warn("%s: the token could not be revoked: %s", app.App, app.Login.RevokeError)
	}
	return nil
}

// refused adds the refusal of a login to what the inspection has found.
func (w *watch) refused(ctx context.Context, app *loginReport, refused *salesforce.TokenRefusal) {
	i := app.inspection
	why, _ := login.Explain(refused)
	for n := range i.Findings {
		if f := &i.Findings[n]; f.Cause != "" && slices.Contains(why.Causes, f.Cause) {
			f.Level, f.Says = finding.Error, refused.Description // the cause is known
			return
		}
	}
	f := finding.Finding{Rule: "login-refused", Level: finding.Error, App: app.App, Problem: "the login is refused", Says: refused.Description, Fix: "compare the app's settings with its source"}
	attempt := login.Attempt{App: app.App, Created: app.consumer.Created}
	if d, known := errors.AsType[*loginError](lookAtRefusal(ctx, w.conn, attempt, refused, w.org)); known {
		f.Problem, f.Fix, f.Cause = d.says, d.hint, d.Cause
		if d.Cause == refusal.NewConsumer {
			f.Level = finding.Warning
		}
	}
	i.Findings = append([]finding.Finding{f}, i.Findings...)
}

// conclude prints a line for each app, and returns an error if a login is broken.
func (w *watch) conclude(r *loginsReport) error {
	broken, first := 0, ""
	for _, app := range r.Apps {
		for _, level := range []finding.Level{finding.Error, finding.Warning} {
			for _, f := range app.inspection.Findings {
				if f.Level == level {
					f.Fix = advice.FixOf(f, w.org, app.App)
					app.Findings = append(app.Findings, f)
				}
			}
		}
		app.OK = finding.Count(app.Findings, finding.Error) == 0
		w.work.Line("%s: %s", app.App, app.state())
		if !app.OK {
			if broken++; broken == 1 {
				first = app.App + ": " + app.Findings[0].Message()
			}
		}
	}
	if broken == 0 {
		return nil
	}
	return fmt.Errorf("%d of %s broken; the first: %s", broken, console.Plural(len(r.Apps), "app"), first)
}

// state describes the app in one line.
func (r *loginReport) state() string {
	text := "logs in as "
	switch {
	case !r.OK:
		text = "broken"
	case r.Login != nil:
		text += r.Login.Username
	default:
		text = "not logged in, " + r.NotLoggedIn
	}
	if r.CertificateExpires != "" && len(r.Findings) == 0 {
		text += ", certificate until " + r.CertificateExpires[:len(time.DateOnly)]
	}
	for _, f := range r.Findings {
		text += "; " + string(f.Level) + ": " + f.Message()
	}
	return text
}

// junitSuites is a report as CI systems read it: a suite per org, a case per app.
type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	Failure *junitResult `xml:"failure"` // the login is broken
	Error   *junitResult `xml:"error"`   // the org could not be checked
	Skipped *junitResult `xml:"skipped"` // nothing to log in with
	Output  string       `xml:"system-out,omitempty"`
}

type junitResult struct {
	Message string `xml:"message,attr"`
}

// suite returns the report of an org, which failed with an error unless that is "".
func (r *loginsReport) suite(org, failure string) junitSuite {
	s := junitSuite{Name: org}
	broken := false
	if r != nil {
		for _, app := range r.Apps {
			one := junitCase{Class: org, Name: app.App, Output: salesforce.Mask(app.state())}
			switch {
			case !app.OK && len(app.Findings) > 0:
				s.Failures, broken = s.Failures+1, true
				one.Failure = &junitResult{salesforce.Mask(app.Findings[0].Message())}
			case app.Login == nil:
				s.Skipped++
				one.Skipped = &junitResult{app.NotLoggedIn}
			}
			s.Cases = append(s.Cases, one)
		}
	}
	if failure != "" && !broken { // the error is not about an app
		s.Errors++
		s.Cases = append(s.Cases, junitCase{Class: org, Name: "org", Error: &junitResult{salesforce.Mask(failure)}})
	}
	s.Tests = len(s.Cases)
	return s
}
