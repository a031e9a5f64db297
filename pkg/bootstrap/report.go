package bootstrap

import (
	"maps"
	"slices"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/salesforce"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// Report is what a run found and did, for people and for programs. It holds no
// secret; consumer keys are shortened.
type Report struct {
	Package  string      `json:"package,omitempty"` // "" for all packages of a project
	Org      OrgReport   `json:"org"`
	Policies []Policies  `json:"policies"` // where the environment's policies were found
	Apps     []AppReport `json:"apps"`
	// Preflight is what becomes of findings, and Findings are what was found about
	// the policies that sfp deploys next, or that were applied.
	Preflight eca.Preflight     `json:"preflight"`
	Findings  []finding.Finding `json:"findings,omitempty"`
	// Changed is how many components and grants the run has made or changed, and Pending
	// how many are not as wanted: of a plan, what a run would do.
	Changed int `json:"changed"`
	Pending int `json:"pending"`
	// PlanOnly says that nothing was to be written.
	PlanOnly bool     `json:"planOnly"`
	Warnings []string `json:"warnings,omitempty"` // about the input; each app has its own as well
}

// OrgReport says which org a run was for.
type OrgReport struct {
	Alias       string          `json:"alias,omitempty"`
	Username    string          `json:"username,omitempty"`
	ID          string          `json:"id,omitempty"`
	InstanceURL string          `json:"instanceUrl"`
	Kind        salesforce.Kind `json:"kind,omitempty"` // "" where nothing depended on it
	APIVersion  string          `json:"apiVersion"`
}

// AppReport says what became of one app.
type AppReport struct {
	Name string `json:"name"`
	// DistributionState is set for an app that is not Local and was left alone.
	DistributionState string `json:"distributionState,omitempty"`
	// Absent says that the app's header is not on the scratch org of a pool, so that
	// the app was left alone.
	Absent      bool   `json:"absent,omitempty"`
	Environment string `json:"environment,omitempty"` // of plugins.eca
	// Source are the types that the app's source states beside the header. What they state
	// is left as it is.
	Source      []string          `json:"source,omitempty"`
	ConsumerKey string            `json:"consumerKey,omitempty"` // shortened
	Components  []ComponentReport `json:"components,omitempty"`
	Warnings    []string          `json:"warnings,omitempty"`
	// HandOver is the command that is to get the app's credentials now, nil for none: always,
	// or because this run has made the consumer.
	HandOver []string `json:"handOver,omitempty"`
	// Unsettled says that the next run will write again although nobody changes anything.
	Unsettled bool `json:"unsettled,omitempty"`
}

// ComponentReport says what became of one component, or of one grant of a
// permission set.
type ComponentReport struct {
	Type     string            `json:"type"`           // of a grant, the object that records it
	FullName string            `json:"fullName"`       // of a grant, the permission set's name
	User     string            `json:"user,omitempty"` // of a grant, who gets the permission set
	Action   reconcile.Action  `json:"action"`
	Changes  []metadata.Change `json:"changes,omitempty"`
	// Done says that the component is as wanted: it was unchanged, or the org
	// accepted it and nothing is known to differ.
	Done bool `json:"done"`
	// Uncertain says that it was sent and no answer came.
	Uncertain bool   `json:"uncertain,omitempty"`
	Error     string `json:"error,omitempty"`
}

func newReport(conn *salesforce.Conn, source *Source, options Options, kind salesforce.Kind, resolved *Resolved) *Report {
	r := &Report{
		Package: source.location.Package,
		Org: OrgReport{
			Alias: options.Alias, Username: options.Username, ID: options.OrgID,
			InstanceURL: conn.InstanceURL, Kind: kind, APIVersion: conn.Version.String(),
		},
		Policies: append([]Policies{}, resolved.Policies...),
		Apps:     []AppReport{}, Preflight: resolved.Preflight,
		PlanOnly: options.PlanOnly, Warnings: resolved.Warnings,
	}
	for _, app := range resolved.Apps {
		r.Apps = append(r.Apps, AppReport{Name: app.Name, Environment: app.Environment, Source: slices.Sorted(maps.Keys(app.source))})
	}
	r.Apps = append(r.Apps, resolved.Skipped...)
	return r
}

func (r *Report) app(name string) *AppReport {
	return &r.Apps[slices.IndexFunc(r.Apps, func(app AppReport) bool { return app.Name == name })]
}

// add fills in what was done, or of a plan, what is to be done.
func (r *Report) add(e *engine) {
	for _, app := range e.apps {
		into := r.app(app.Name)
		into.Warnings, into.Unsettled = e.warnings(app)
		if global := e.find(app, eca.GlobalOAuthSettings); global != nil && global.Text("consumerKey") != "" {
			into.ConsumerKey = words.ShortKey(global.Text("consumerKey"))
		}
		for _, o := range e.outcomes(app) {
			r.count(into, ComponentReport{Type: o.Want.Type.Name, FullName: o.FullName, Action: o.Action, Changes: o.Changes, Done: o.OK(), Uncertain: o.Uncertain}, o.Err)
		}
		if h := app.HandOver; h != nil {
			global := e.run.Of(app.wants[eca.GlobalOAuthSettings])
			if h.Always || global.Action == reconcile.Create && (r.PlanOnly || global.OK()) {
				into.HandOver = h.Command
			}
		}
		for _, g := range e.grants[app] {
			grant := ComponentReport{Type: g.Object(), FullName: g.PermissionSet, User: g.User, Action: reconcile.Create, Done: g.OK(), Uncertain: g.Uncertain}
			if g.There {
				grant.Action = reconcile.Unchanged
			}
			r.count(into, grant, g.Err)
		}
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
