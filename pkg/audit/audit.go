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
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/platform"
)

// Options change how Judge applies the rules. The zero value applies all rules at their own levels.
type Options struct {
	Now time.Time // the time that ages count to; zero means now

	// Rules sets levels by rule ID: "off", "warning" or "error".
	Rules map[string]string
	// Accept are findings that somebody has accepted, each until a day.
	Accept []Acceptance

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
	App   string    // the app's name, or "*"
	Rule  string    // the rule's ID
	Until time.Time // the last day on which it applies; zero means no end
	Why   string
}

// Report is the result of an audit of one org.
type Report struct {
	OrgID string        `json:"orgId,omitempty"`
	Kind  platform.Kind `json:"kind,omitempty"`
	Apps  []*App        `json:"apps"` // by kind and name

	Findings []Finding `json:"findings"` // by level, kind and app
	// Accepted are findings that an acceptance covers. Expired describes acceptances that have ended.
	Accepted []Accepted `json:"accepted,omitempty"`
	Expired  []string   `json:"expired,omitempty"`

	// Unseen is what the session cannot see or the org does not have, with the org's reason.
	Unseen []string `json:"unseen,omitempty"`
}

// Finding is one finding about an app.
type Finding struct {
	finding.Finding
	Kind Kind `json:"kind"` // of the app
	// ID is the app's ID if the org has several apps of its kind and name.
	ID string `json:"id,omitempty"`

	about *App
}

// IsAbout reports whether the finding is about an app of its report.
func (f Finding) IsAbout(a *App) bool { return f.about == a }

// Key identifies a finding across audits of one org: by app, rule and field.
func (f Finding) Key() string {
	return strings.Join([]string{string(f.Kind), strings.ToLower(f.App), f.ID, f.Rule, f.Field}, "\x00")
}

// Accepted is a finding with the acceptance that covers it.
type Accepted struct {
	Finding
	Until string `json:"until"` // the last day, like 2027-03-31
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
	r := &Report{OrgID: s.org.ID, Kind: s.org.Kind(), Apps: s.apps(), Findings: []Finding{}, Unseen: s.unseen}
	slices.SortFunc(r.Apps, func(a, b *App) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)))
	})
	sameName := make(map[string]int)
	for _, app := range r.Apps {
		sameName[string(app.Kind)+strings.ToLower(app.Name)]++
	}
	for _, app := range r.Apps {
		id := ""
		if sameName[string(app.Kind)+strings.ToLower(app.Name)] > 1 {
			id = app.ID
		}
		for _, f := range o.judge(subject{app, o, r.Kind, s}) {
			r.add(Finding{f, app.Kind, id, app}, o)
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(strings.ToLower(a.App), strings.ToLower(b.App)))
	})
	return r, nil
}

// check refuses options for rules that do not exist.
func (o Options) check() error {
	for _, a := range o.Accept {
		if checks[a.Rule] == nil {
			return fmt.Errorf("an acceptance names the rule %s, which does not exist", a.Rule)
		}
	}
	for id, level := range o.Rules {
		if checks[id] == nil {
			return fmt.Errorf("there is no rule %s", id)
		}
		if !slices.Contains([]string{off, string(finding.Warning), string(finding.Error)}, level) {
			return fmt.Errorf("the rule %s cannot be %q, only off, warning or error", id, level)
		}
	}
	return nil
}

// judge returns the findings of all rules about one app.
func (o Options) judge(s subject) (all []finding.Finding) {
	for _, rule := range rules() {
		set := o.Rules[rule.ID]
		if set == off {
			continue
		}
		for _, f := range checks[rule.ID](s) {
			f.Level = finding.Level(cmp.Or(set, string(f.Level), string(rule.Level)))
			f.Rule, f.App = rule.ID, s.Name
			all = append(all, f)
		}
	}
	return all
}

// add adds a finding to the report, among those accepted if an acceptance covers it.
func (r *Report) add(f Finding, o Options) {
	valid, ended := o.acceptance(f)
	switch {
	case valid != nil:
		r.Accepted = append(r.Accepted, Accepted{f, valid.Until.Format(time.DateOnly), valid.Why})
		return
	case ended != nil:
		r.Expired = append(r.Expired, fmt.Sprintf("the acceptance of %s for %s ended on %s (%s)",
			f.Rule, f.App, ended.Until.Format(time.DateOnly), ended.Why))
	}
	r.Findings = append(r.Findings, f)
}

// acceptance returns an acceptance that covers a finding, or one that has ended.
func (o Options) acceptance(f Finding) (valid, ended *Acceptance) {
	for i, a := range o.Accept {
		if a.Rule != f.Rule || a.App != "*" && !strings.EqualFold(a.App, f.App) {
			continue
		}
		if a.Until.IsZero() || o.Now.Before(a.Until.AddDate(0, 0, 1)) {
			return &o.Accept[i], nil
		}
		ended = &o.Accept[i]
	}
	return nil, ended
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

// access counts apps by who can use them.
type access struct{ open, known, all int }

func (c *access) add(a *App) {
	c.all++
	if a.Access != "" {
		c.known++
	}
	if a.Access == Everybody {
		c.open++
	}
}

// Sentence sums the report up: how many apps let any user in.
func (r *Report) Sentence() string {
	var connected, external, total access
	for _, a := range r.Apps {
		switch a.Kind {
		case Connected:
			connected.add(a)
		case External:
			external.add(a)
		default:
			continue
		}
		total.add(a)
	}
	switch {
	case total.all == 0:
		return "the org shows no app"
	case total.known == 0:
		return fmt.Sprintf("the org does not show who can use any of %s", plural(total.all, "app"))
	case total.open == 0:
		return fmt.Sprintf("none of %s lets any user in%s", plural(total.known, "app"), total.unknown())
	case external.open > connected.open:
		return external.sentence(External)
	}
	return connected.sentence(Connected)
}

// sentence says how many apps of a kind let any user in.
func (c *access) sentence(kind Kind) string {
	verb := "let"
	if c.open == 1 {
		verb = "lets"
	}
	return fmt.Sprintf("%d of %s %s any user in%s", c.open, plural(c.known, string(kind)), verb, c.unknown())
}

func (c *access) unknown() string {
	if c.all == c.known {
		return ""
	}
	return fmt.Sprintf("; not known for %d more", c.all-c.known)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
