package bootstrap

import (
	"errors"
	"slices"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/wanted"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// Report is the result of a run, for people and for programs. It contains no secrets, and
// consumer keys only in short form.
type Report struct {
	Package  string            `json:"package,omitempty"` // "" for all packages of a project
	Org      OrgReport         `json:"org"`
	Policies []wanted.Policies `json:"policies"` // where the environment's policies were found
	Apps     []AppReport       `json:"apps"`
	// Preflight is how findings are treated. Findings are the problems with the policies that
	// sfp deploys next, or that the run applied.
	Preflight project.Preflight `json:"preflight"`
	Findings  []finding.Finding `json:"findings,omitempty"`
	// Invalid is why the source cannot be applied to any org, see Resolved.Err, without the findings.
	Invalid []string `json:"invalid,omitempty"`
	// Changed is the number of components and grants that the run created or changed. Pending
	// is the number that are not as wanted; in a plan, the number that a run would write.
	Changed int `json:"changed"`
	Pending int `json:"pending"`
	// PlanOnly reports that the run was not to write anything.
	PlanOnly bool     `json:"planOnly"`
	Warnings []string `json:"warnings,omitempty"` // about the input; each app has its own as well
}

// OrgReport describes the org of a run.
type OrgReport struct {
	Alias       string        `json:"alias,omitempty"`
	Username    string        `json:"username,omitempty"`
	ID          string        `json:"id,omitempty"`
	InstanceURL string        `json:"instanceUrl"`
	Kind        platform.Kind `json:"kind,omitempty"` // "" if unknown
	APIVersion  string        `json:"apiVersion"`
}

// AppReport is the result for one app.
type AppReport struct {
	Name string `json:"name"`
	// DistributionState is set if the app is not Local. Such an app is skipped.
	DistributionState string `json:"distributionState,omitempty"`
	// Absent reports that the app's header is not on the scratch org of a pool, so the app was
	// skipped.
	Absent      bool   `json:"absent,omitempty"`
	Environment string `json:"environment,omitempty"` // of plugins.eca
	// Source are the types that the app's source states beside the header. Their fields are
	// left as they are.
	Source      []string          `json:"source,omitempty"`
	ConsumerKey string            `json:"consumerKey,omitempty"` // shortened
	Components  []ComponentReport `json:"components,omitempty"`
	Warnings    []string          `json:"warnings,omitempty"`
	// Kept is what became of the key of Options.Consumers, "" without one.
	Kept Kept `json:"keptConsumer,omitempty"`
	// Off reports that the app is switched off on the org, and that the run does not switch it on.
	Off bool `json:"off,omitempty"`
	// HandOver is the command that should receive the app's credentials after this run, because
	// the settings say always or the run created the consumer. It is nil if there is none. A check of
	// the settings, which this package does not run, decides instead.
	HandOver []string `json:"handOver,omitempty"`
	// HandOverSettings are the settings of that command, nil if there are none. ClientID is the whole
	// consumer key. Neither is for people.
	HandOverSettings *project.HandOver `json:"-"`
	ClientID         string            `json:"-"`
	// Unsettled reports that the next run will write again, even if nothing changes.
	Unsettled bool `json:"unsettled,omitempty"`
}

// ComponentReport is the result for one component or grant.
type ComponentReport struct {
	Type     string            `json:"type"`           // for a grant, the object that records it
	FullName string            `json:"fullName"`       // for a grant, the permission set's name
	User     string            `json:"user,omitempty"` // for a grant, the user who gets the permission set
	Action   reconcile.Action  `json:"action"`
	Changes  []metadata.Change `json:"changes,omitempty"`
	// Done reports that the component is as wanted: it was unchanged, or the org accepted it
	// and shows no difference.
	Done bool `json:"done"`
	// Uncertain reports that the component was sent without an answer.
	Uncertain bool `json:"uncertain,omitempty"`
	// Refused reports that the platform is certain to refuse the component, see Report.Findings, so it
	// is not sent. Held reports that it is not sent because of another component of the app.
	Refused bool `json:"refused,omitempty"`
	Held    bool `json:"held,omitempty"`
	// DeployedBy is who deploys a component that only a plan compares, "" if that is the run. It does
	// not count as Pending.
	DeployedBy wanted.Deployer `json:"deployedBy,omitempty"`
	Error      string          `json:"error,omitempty"`
}

func newReport(of *Resolved) *Report {
	resolved, options := of.resolved, of.options
	r := &Report{
		Package: of.source.Package(),
		Org: OrgReport{
			Alias: options.Alias, Username: options.Username, ID: options.OrgID,
			InstanceURL: of.conn.InstanceURL, Kind: options.Kind, APIVersion: of.conn.Version.String(),
		},
		Policies: append([]wanted.Policies{}, resolved.Policies...),
		Apps:     []AppReport{}, Preflight: resolved.Preflight, Warnings: resolved.Warnings,
	}
	for _, app := range resolved.Apps {
		r.Apps = append(r.Apps, AppReport{Name: app.Name, Environment: app.Environment, Source: app.Source()})
	}
	for _, app := range resolved.Skipped {
		r.Apps = append(r.Apps, AppReport{Name: app.Name, DistributionState: app.DistributionState})
	}
	return r
}

// DiffersElsewhere reports whether a plan found differences in components that the run does not deploy.
func (r *Report) DiffersElsewhere() bool {
	return slices.ContainsFunc(r.Apps, func(app AppReport) bool {
		return slices.ContainsFunc(app.Components, func(c ComponentReport) bool { return c.DeployedBy != "" && !c.Done })
	})
}

func (r *Report) app(name string) *AppReport {
	return &r.Apps[slices.IndexFunc(r.Apps, func(app AppReport) bool { return app.Name == name })]
}

// add adds the results of a run, or the steps of a plan. refused are the apps whose policies the platform
// is certain to refuse.
func (r *Report) add(e *engine, refused map[string]bool) {
	if e.pool {
		for app := range e.absent {
			r.app(app.Name).Absent = true
		}
	}
	for _, app := range e.apps {
		r.addApp(e, app, refused[app.Name])
	}
}

// addApp adds the results of an app.
func (r *Report) addApp(e *engine, app *wanted.App, refused bool) {
	into := r.app(app.Name)
	into.Kept = e.outcomeOfKept(app)
	into.Off = e.off[app]
	into.Warnings, into.Unsettled = e.warnings(app)
	if global := e.find(app, eca.GlobalOAuthSettings); global != nil && global.Text("consumerKey") != "" {
		into.ClientID = global.Text("consumerKey")
		into.ConsumerKey = words.ShortKey(into.ClientID)
	}
	for _, o := range e.outcomes(app) {
		c := ComponentReport{Type: o.Want.Type.Name, FullName: o.FullName, Action: o.Action, Changes: o.Changes, Done: o.OK(), Uncertain: o.Uncertain}
		c.Held = !c.Done && e.isHeld(o.Want)
		c.Refused = c.Held && c.Type == eca.OAuthPolicies && refused
		err := o.Err
		if invalid, ok := errors.AsType[*ElementError](e.failure(app, o)); ok {
			err = invalid // with its file
		}
		if c.Type == eca.OAuthSettings && e.lacksHeader(app) {
			err = &NoHeaderError{app.Name}
		}
		r.count(into, c, err)
	}
	if policies := app.Wants[eca.OAuthPolicies]; r.PlanOnly && policies != nil && policies.ReadOnly {
		step := e.state.Compare(policies)
		into.Components = append(into.Components, ComponentReport{
			Type: policies.Type.Name, FullName: step.FullName, Action: step.Action, Changes: step.Changes,
			Done: step.Action == reconcile.Unchanged, Refused: refused || app.Wrong != nil, DeployedBy: app.Deployer, Held: e.off[app],
		})
	}
	into.HandOverSettings = app.HandOver
	if h := app.HandOver; h != nil {
		global := e.run.Of(app.Wants[eca.GlobalOAuthSettings])
		if h.Always || global.Action == reconcile.Create && (r.PlanOnly || global.OK()) {
			into.HandOver = h.Command
		}
	}
	for _, g := range e.grants[app] {
		grant := ComponentReport{Type: g.Object(), FullName: g.PermissionSet, User: g.User, Action: reconcile.Create, Done: g.OK(), Uncertain: g.Uncertain}
		if g.Exists {
			grant.Action = reconcile.Unchanged
		}
		err := g.Err
		if r.PlanOnly && e.pending(app, g) {
			err = nil // the run deploys the header first
		}
		r.count(into, grant, err)
	}
}

func (r *Report) count(app *AppReport, c ComponentReport, err error) {
	if err != nil {
		c.Error = err.Error()
	}
	switch {
	case c.Action == reconcile.Unchanged:
	case c.Done:
		r.Changed++
	default:
		r.Pending++
	}
	app.Components = append(app.Components, c)
}
