// Package audit reports who can use the OAuth apps of an org, Connected Apps and External Client
// Apps alike, and applies rules to each app.
//
//	snapshot, err := audit.Read(ctx, conn)
//	report, err := snapshot.Judge(audit.Options{})
//	fmt.Println(report.Sentence())
//	for _, f := range report.Findings { … }
//
// It never reads a token or a secret, and writes nothing. Report.Unseen lists what the org refused
// to show. Any other failure of a query is an error.
package audit

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/platform"
)

// Options change how Judge applies the rules. The zero value applies all rules at their own levels.
type Options struct {
	Now time.Time // the time that ages count to; zero means now

	// Rules sets levels by rule ID: "off", "warning" or "error".
	Rules map[string]string
	// Accept are findings that somebody has accepted, each until a day.
	Accept []Acceptance

	// Username is the user of the session, "" if it is not known. If all tokens are this user's, the
	// session probably cannot see others.
	Username string

	// ISV applies the controls that Salesforce requires of partner apps since 2026.
	ISV bool

	// Rotated returns when an app's credentials became the main ones, zero if it does not know; nil knows
	// nothing. key is the consumer key, shortened, "" if the org does not show it.
	Rotated func(app, key string) time.Time

	// Declared are the External Client Apps that a project declares; nil means no project.
	Declared []string
	// Drift is how the org's apps differ from the project, by the app's name.
	Drift map[string][]Change
}

// off is the level of a rule that is not applied.
const off = "off"

// Change is one difference between an app and the project.
type Change struct {
	Field string // like isPkceRequired, or a type that the app lacks
	What  string // the difference, for people
}

// Acceptance accepts the findings of one rule.
type Acceptance struct {
	App   string    // the app's name, "org" for the org itself, or "*"
	Rule  string    // the rule's ID
	Until time.Time // the last day on which it applies; zero means no end
	Why   string
}

// Report is the result of an audit of one org.
type Report struct {
	OrgID string        `json:"orgId,omitempty"`
	Kind  platform.Kind `json:"kind,omitempty"`
	URL   string        `json:"url,omitempty"` // of the org, without a slash at its end
	// APIVersion is the version that the org was read in: the newest of the org that this package knows.
	APIVersion string `json:"apiVersion,omitempty"`
	Apps       []*App `json:"apps"` // the most dangerous first

	Findings []Finding `json:"findings"` // the most dangerous first
	// Accepted are findings that an acceptance covers. Expired describes acceptances that have ended.
	Accepted []Accepted `json:"accepted,omitempty"`
	Expired  []string   `json:"expired,omitempty"`

	// Unseen is what the session cannot see or the org does not have, with the org's reason.
	Unseen []string `json:"unseen,omitempty"`
	// Lacks describes settings that the org does not have at all.
	Lacks []string `json:"lacks,omitempty"`
}

// Finding is one finding about an app, or about the org itself.
type Finding struct {
	finding.Finding
	Kind Kind `json:"kind"` // of the app
	// ID is the app's ID, if the org shows it.
	ID string `json:"id,omitempty"`
	// Case distinguishes findings of one rule that need different fixes.
	Case string `json:"case,omitempty"`
	// Setup is the path of the page in Setup where the fix is made, "" if it is not known.
	Setup string `json:"setup,omitempty"`
	// Command is a command line that makes the fix, "" if there is none. The package sets none.
	Command string `json:"command,omitempty"`

	about *App
	owner Owner
}

// Owner tells who decides about an app.
type Owner string

// The owners.
const (
	OwnerProject   Owner = "project"   // an External Client App that the project declares
	OwnerOrg       Owner = "org"       // another External Client App of the org
	OwnerConnected Owner = "connected" // a Connected App of the org
	OwnerVendor    Owner = "vendor"    // an app of a package
	OwnerStranger  Owner = "stranger"  // an app that is not installed
	OwnerSettings  Owner = "settings"  // the org itself
)

// Owner returns who decides about the app that the finding is about.
func (f Finding) Owner() Owner { return f.owner }

// Subject returns the app that the finding is about, nil for the org itself.
func (f Finding) Subject() *App { return f.about }

// IsAbout reports whether the finding is about an app of its report.
func (f Finding) IsAbout(a *App) bool { return f.about == a }

// Accepted is a finding with the acceptance that covers it.
type Accepted struct {
	Finding
	Until string `json:"until"` // the last day, like 2027-03-31, "" for no end
	Why   string `json:"why"`
}

// Judge applies the rules to a snapshot. It sends no requests. Its error names a rule in Options that
// does not exist, or a level that is none.
func (s *Snapshot) Judge(o Options) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	r := &Report{OrgID: s.org.ID, Kind: s.kind(), URL: strings.TrimSuffix(s.conn.InstanceURL, "/"),
		APIVersion: s.conn.APIVersion().String(), Apps: s.apps(),
		Findings: []Finding{}, Unseen: slices.Clone(s.unseen), Lacks: s.absentSettings()}
	if o.seesOwnTokens(s) {
		r.Unseen = append(r.Unseen, fmt.Sprintf("tokens: all are of %s, so the session probably cannot see those of others (permission Customize Application)", o.Username))
	}
	for _, app := range r.Apps {
		if app.Salesforce {
			continue
		}
		for _, f := range o.judge(subject{app, o, r.Kind, s, r.Apps}, checks) {
			r.add(f, o)
		}
	}
	for _, f := range o.judge(subject{nil, o, r.Kind, s, r.Apps}, orgChecks) {
		r.add(f, o)
	}
	slices.SortStableFunc(r.Findings, compareFindings)
	r.sortApps()
	return r, nil
}

// check refuses options for rules that do not exist.
func (o Options) check() error {
	for _, a := range o.Accept {
		if !exists(a.Rule) {
			return fmt.Errorf("an acceptance names the rule %s, which does not exist", a.Rule)
		}
	}
	for id, level := range o.Rules {
		if !exists(id) {
			return fmt.Errorf("there is no rule %s", id)
		}
		if !slices.Contains([]string{off, string(finding.Warning), string(finding.Error)}, level) {
			return fmt.Errorf("the rule %s cannot be %q, only off, warning or error", id, level)
		}
	}
	return nil
}

// judge returns the findings of some rules' checks about a subject.
func (o Options) judge(s subject, checks map[string]func(subject) []Finding) (all []Finding) {
	for _, rule := range rules() {
		set, check := o.Rules[rule.ID], checks[rule.ID]
		if set == off || check == nil {
			continue
		}
		for _, f := range check(s) {
			f.Level = finding.Level(cmp.Or(set, string(f.Level), string(rule.Level)))
			f.Rule, f.Kind, f.about, f.owner = rule.ID, OrgItself, s.App, OwnerSettings
			if s.App != nil {
				f.App, f.Kind, f.ID, f.owner = s.Name, s.Kind, s.ID, s.owner()
			}
			f.Setup = cmp.Or(f.Setup, f.page())
			all = append(all, f)
		}
	}
	return all
}

// owner returns who decides about the app.
func (s subject) owner() Owner {
	switch {
	case s.Kind == NotInstalled || s.Kind == NotShown:
		return OwnerStranger
	case s.isDeclared():
		return OwnerProject
	case s.Packaged || s.Namespace != "" || s.Kind == Connected && s.opaque && s.sees(fromSources):
		return OwnerVendor
	case s.Kind == Connected:
		return OwnerConnected
	}
	return OwnerOrg
}

// page returns the path of the page in Setup that is about the finding. Source: public code that links
// to these pages.
func (f Finding) page() string {
	switch {
	case f.Case == CaseVendor:
		return "" // nothing can be done there
	case f.Kind == OrgItself && f.Rule == "secrets-over-rest":
		return "/lightning/setup/ExternalClientApplicationSettings/home"
	case f.Kind == OrgItself:
		return "" // no link is known
	case f.Kind == NotInstalled || f.Kind == NotShown:
		return "/lightning/setup/ConnectedAppsUsage/home"
	case f.Kind == External && f.ID != "":
		return "/lightning/setup/ManageExternalClientApplication/" + url.PathEscape(f.ID) + "/detail"
	case f.Kind == External:
		return "/lightning/setup/ManageExternalClientApplication/home"
	case f.ID != "":
		return "/lightning/setup/ConnectedApplication/page?address=" + url.QueryEscape("/"+f.ID)
	}
	return "/lightning/setup/ConnectedApplication/home"
}

// add adds a finding to the report, among those accepted if an acceptance covers it.
func (r *Report) add(f Finding, o Options) {
	valid, ended := o.acceptance(f)
	switch {
	case valid != nil:
		until := ""
		if !valid.Until.IsZero() {
			until = valid.Until.Format(time.DateOnly)
		}
		r.Accepted = append(r.Accepted, Accepted{f, until, valid.Why})
		return
	case ended != nil:
		r.Expired = append(r.Expired, fmt.Sprintf("the acceptance of %s for %s ended on %s (%s)",
			f.Rule, f.Name(), ended.Until.Format(time.DateOnly), ended.Why))
	}
	r.Findings = append(r.Findings, f)
}

// acceptance returns an acceptance that covers a finding, or one that has ended.
func (o Options) acceptance(f Finding) (valid, ended *Acceptance) {
	for i, a := range o.Accept {
		if a.Rule != f.Rule || a.App != "*" && !strings.EqualFold(a.App, f.Name()) {
			continue
		}
		if a.Until.IsZero() || o.Now.Before(a.Until.AddDate(0, 0, 1)) {
			return &o.Accept[i], nil
		}
		ended = &o.Accept[i]
	}
	return nil, ended
}

// Only keeps the apps of some names, with their findings. It is an error if there is no app of a name.
func (r *Report) Only(names ...string) error {
	is := func(app string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, app) })
	}
	var all []string
	for _, a := range r.Apps {
		all = append(all, a.Name)
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(app string) bool { return strings.EqualFold(name, app) }) {
			return fmt.Errorf("the org shows no app %s%s", name, words.DidYouMean(name, all))
		}
	}
	r.Apps = slices.DeleteFunc(r.Apps, func(a *App) bool { return !is(a.Name) })
	r.Findings = slices.DeleteFunc(r.Findings, func(f Finding) bool { return f.Kind == OrgItself || !is(f.App) })
	r.Accepted = slices.DeleteFunc(r.Accepted, func(f Accepted) bool { return f.Kind == OrgItself || !is(f.App) })
	return nil
}

// Count returns the number of findings of a level.
func (r *Report) Count(level finding.Level) (n int) {
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}
