// Package audit says what the OAuth apps of an org let in: Connected Apps and External Client Apps
// in one view, rule by rule.
//
//	report, err := audit.Run(ctx, conn, audit.Options{})
//	fmt.Println(report.Sentence())
//	for _, f := range report.Findings { … }
//
// It never reads a token or a secret, and writes nothing. What the session may not see, or the org
// does not have, is in Report.Unseen.
package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Kind is what an app is.
type Kind string

// The kinds.
const (
	Connected    Kind = "Connected App"
	External     Kind = "External Client App"
	NotInstalled Kind = "not installed" // an app of another org that users of this one log in by
	NotShown     Kind = "not shown"     // an app of the org that the session does not see
)

// Access is who may use an app.
type Access string

// The ways.
const (
	Everybody     Access = "everybody"      // every user may authorise himself
	PreAuthorised Access = "pre-authorised" // only users whom a permission set or profile grants the app
	Unknown       Access = ""
)

// App is one app of an org.
type App struct {
	Kind      Kind   `json:"kind"`
	Name      string `json:"name"` // the API name, or the label where the org does not tell it
	Label     string `json:"label"`
	ID        string `json:"id,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Packaged  bool   `json:"packaged,omitempty"` // its consumer is on another org

	Access   Access   `json:"access"`
	Granted  []string `json:"granted,omitempty"`  // permission sets and profiles that grant it
	Grantees int      `json:"grantees,omitempty"` // how many users have one of these permission sets
	Flows    []string `json:"flows,omitempty"`    // what is switched on beside the authorization code
	Scopes   []string `json:"scopes,omitempty"`   // by their metadata names
	RunAs    *User    `json:"runAs,omitempty"`    // whom client credentials run as

	RefreshToken   string   `json:"refreshToken,omitempty"` // how long refresh tokens live, like "90 Days"
	IP             string   `json:"ip,omitempty"`           // the relaxation of IP ranges
	Callbacks      []string `json:"callbacks,omitempty"`
	PKCE           *bool    `json:"pkce,omitempty"`           // nil where the org does not tell
	SecretOptional *bool    `json:"secretOptional,omitempty"` // likewise
	On             *bool    `json:"on,omitempty"`             // the app and its OAuth plugin

	CertificateExpires time.Time `json:"certificateExpires,omitzero"`
	ConsumerMade       time.Time `json:"consumerMade,omitzero"`

	Users    int       `json:"users"` // who have tokens
	Tokens   int       `json:"tokens"`
	LastUsed time.Time `json:"lastUsed,omitzero"` // by a token, or a login of the last six months
	// LastPasswordLogin is when somebody last logged in by username and password.
	LastPasswordLogin time.Time `json:"lastPasswordLogin,omitzero"`

	// Lost are the elements of a Connected App that would be lost by moving it, see connectedapp.
	Lost []string `json:"lost,omitempty"`

	refreshDays int  // 0 for unknown, -1 for never
	opaque      bool // the org does not let its settings be read
	noOAuth     bool // a Connected App for SAML or Canvas alone
	recorded    bool // the org's records say what grants it
	created     time.Time
}

// User is whom client credentials run as.
type User struct {
	Username string `json:"username"`
	Profile  string `json:"profile,omitempty"`
	Inactive bool   `json:"inactive,omitempty"`
	Missing  bool   `json:"missing,omitempty"` // the org has no such user
	// Admin says that the user may modify all data, or has the profile System Administrator.
	Admin bool `json:"admin,omitempty"`
}

// Options are what Run goes by. The zero value takes all rules as they are.
type Options struct {
	Now time.Time // the time that ages count to; zero is now

	// Rules are levels by the rule's ID: "off", "warning" or "error".
	Rules map[string]string
	// Accept are findings that somebody has accepted, until a day.
	Accept []Acceptance

	// Declared are the External Client Apps that a project declares, nil without a project.
	Declared []string
	// Drift is what of an org's apps differs from the project, by the app's name.
	Drift map[string][]Change
}

// Change is one thing that differs from a project.
type Change struct {
	Field string // like isPkceRequired, or a type that is missing
	What  string // for people
}

// Acceptance says that a finding is as it should be.
type Acceptance struct {
	App   string    // its name, or "*"
	Rule  string    // its ID
	Until time.Time // the last day on which it counts
	Why   string
}

// Report is what an org's apps let in.
type Report struct {
	OrgID string        `json:"orgId,omitempty"`
	Kind  platform.Kind `json:"kind,omitempty"`
	Apps  []*App        `json:"apps"` // by kind and name

	Findings []Finding `json:"findings"`
	// Accepted are findings that an acceptance covers, and Expired acceptances whose day is over.
	Accepted []Accepted `json:"accepted,omitempty"`
	Expired  []string   `json:"expired,omitempty"`

	// Unseen is what the session may not see, or the org does not have, and why.
	Unseen []string `json:"unseen,omitempty"`
}

// Finding is one thing that a rule has found about an app.
type Finding struct {
	finding.Finding
	Kind Kind `json:"kind"` // of the app
	// ID is the app's, where another one of its kind has the same name.
	ID string `json:"id,omitempty"`

	of *App
}

// Of reports whether the finding is about an app of its report.
func (f Finding) Of(a *App) bool { return f.of == a }

// Accepted is a finding with the acceptance that covers it.
type Accepted struct {
	Finding
	Until string `json:"until"` // the day
	Why   string `json:"why"`
}

// Key tells findings of one org apart from run to run: by app, rule and what it is about.
func (f Finding) Key() string {
	return strings.Join([]string{string(f.Kind), strings.ToLower(f.App), f.ID, f.Rule, f.Field}, "\x00")
}

// Sentence is the one that counts first: how many apps let any user in.
func (r *Report) Sentence() string {
	type count struct{ open, known, all int }
	of := make(map[Kind]count)
	var total count
	for _, a := range r.Apps {
		c := of[a.Kind]
		c.all++
		if a.Access != Unknown {
			c.known++
		}
		if a.Access == Everybody {
			c.open++
		}
		of[a.Kind] = c
		if a.Kind == Connected || a.Kind == External {
			total = count{total.open + map[bool]int{true: 1}[a.Access == Everybody], total.known + map[bool]int{true: 1}[a.Access != Unknown], total.all + 1}
		}
	}
	sentence := fmt.Sprintf("none of %s lets any user in", plural(total.known, "app"))
	unknown := total.all - total.known
	switch kind := Connected; {
	case total.known == 0 && total.all == 0:
		return "the org shows no app"
	case total.known == 0:
		return fmt.Sprintf("of none of %s the org tells who may use it", plural(total.all, "app"))
	case total.open > 0:
		if of[External].open > of[Connected].open {
			kind = External
		}
		c := of[kind]
		unknown = c.all - c.known
		sentence = fmt.Sprintf("%d of %s %s any user in", c.open, plural(c.known, string(kind)), map[bool]string{true: "lets", false: "let"}[c.open == 1])
	}
	if unknown > 0 {
		sentence += fmt.Sprintf("; of %d more the org does not tell", unknown)
	}
	return sentence
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Run reads an org and judges its apps. It takes at most four rounds of requests.
func Run(ctx context.Context, conn *salesforce.Conn, o Options) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s, err := Read(ctx, conn)
	if err != nil {
		return nil, err
	}
	return s.Judge(o)
}

// Read asks an org about its apps, in at most four rounds of requests. A refusal of the org is
// noted in the report; an error is one of the connection.
func Read(ctx context.Context, conn *salesforce.Conn) (*Survey, error) {
	s := &Survey{conn: conn}
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Judge applies the rules to what an org has told. It asks nothing.
func (s *Survey) Judge(o Options) (*Report, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Report{OrgID: s.org.ID, Kind: s.org.Kind(), Apps: s.apps(), Unseen: s.unseen}
	slices.SortFunc(r.Apps, func(a, b *App) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)))
	})
	o.judge(r, s)
	return r, nil
}

// check refuses settings of rules that do not exist.
func (o Options) check() error {
	known := func(id string) bool {
		return slices.ContainsFunc(rules, func(r rule) bool { return r.ID == id })
	}
	for _, a := range o.Accept {
		if !known(a.Rule) {
			return fmt.Errorf("an acceptance names the rule %s, which there is not", a.Rule)
		}
	}
	for id, level := range o.Rules {
		if !known(id) {
			return fmt.Errorf("there is no rule %s", id)
		}
		if !slices.Contains([]string{"off", string(finding.Warning), string(finding.Error)}, level) {
			return fmt.Errorf("the rule %s cannot be %q, only off, warning or error", id, level)
		}
	}
	return nil
}

// judge applies the rules.
func (o Options) judge(r *Report, s *Survey) {
	r.Findings = []Finding{}
	names := make(map[string]int)
	for _, app := range r.Apps {
		names[string(app.Kind)+strings.ToLower(app.Name)]++
	}
	for _, app := range r.Apps {
		for _, rule := range rules {
			level := string(rule.Level)
			if set, ok := o.Rules[rule.ID]; ok {
				level = set
			}
			if level == "off" {
				continue
			}
			for _, f := range rule.check(subject{app, o, r.Kind, s}) {
				if f.Level == "" || o.Rules[rule.ID] != "" {
					f.Level = finding.Level(level)
				}
				f.Rule, f.App = rule.ID, app.Name
				found := Finding{f, app.Kind, "", app}
				if names[string(app.Kind)+strings.ToLower(app.Name)] > 1 {
					found.ID = app.ID
				}
				valid, over := o.acceptance(found)
				if valid != nil {
					r.Accepted = append(r.Accepted, Accepted{found, valid.Until.Format(time.DateOnly), valid.Why})
					continue
				}
				if over != nil {
					r.Expired = append(r.Expired, fmt.Sprintf("the acceptance of %s for %s ended on %s (%s)", rule.ID, app.Name, over.Until.Format(time.DateOnly), over.Why))
				}
				r.Findings = append(r.Findings, found)
			}
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Kind, b.Kind), cmp.Compare(strings.ToLower(a.App), strings.ToLower(b.App)))
	})
}

// acceptance returns one that covers a finding, or else one whose day is over.
func (o Options) acceptance(f Finding) (valid, over *Acceptance) {
	for i, a := range o.Accept {
		if a.Rule != f.Rule || a.App != "*" && !strings.EqualFold(a.App, f.App) {
			continue
		}
		if a.Until.IsZero() || o.Now.Before(a.Until.AddDate(0, 0, 1)) {
			return &o.Accept[i], nil
		}
		over = &o.Accept[i]
	}
	return nil, over
}

// Count returns how many findings are of a level.
func (r *Report) Count(level finding.Level) (n int) {
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}
