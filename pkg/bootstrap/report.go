package bootstrap

import (
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/orgauth"
)

// Report is what a run found and did, for people and for programs. It holds no
// secret; consumer keys are shortened.
type Report struct {
	Package  string      `json:"package,omitempty"` // "" for all packages of a project
	Org      OrgReport   `json:"org"`
	Policies []Policies  `json:"policies"` // where the environment's policies were found
	Apps     []AppReport `json:"apps"`
	// Pending is how many components the run wrote or was to write; of a plan, how
	// many are not as wanted.
	Pending int `json:"pending"`
	// PlanOnly says that nothing was to be written.
	PlanOnly bool     `json:"planOnly"`
	Warnings []string `json:"warnings,omitempty"` // about the input; each app has its own as well
}

// OrgReport says which org a run was for.
type OrgReport struct {
	Alias       string       `json:"alias,omitempty"`
	Username    string       `json:"username,omitempty"`
	ID          string       `json:"id,omitempty"`
	InstanceURL string       `json:"instanceUrl"`
	TokenGiven  bool         `json:"tokenGiven"`     // the token was given outright, it is not that of a login
	Kind        orgauth.Kind `json:"kind,omitempty"` // "" where nothing depended on it
	APIVersion  string       `json:"apiVersion"`
}

// AppReport says what became of one app.
type AppReport struct {
	Name string `json:"name"`
	// DistributionState is set for an app that is not Local and was left alone.
	DistributionState string            `json:"distributionState,omitempty"`
	Environment       string            `json:"environment,omitempty"` // of plugins.eca
	ConsumerKey       string            `json:"consumerKey,omitempty"` // shortened
	Components        []ComponentReport `json:"components,omitempty"`
	Warnings          []string          `json:"warnings,omitempty"`
}

// ComponentReport says what became of one component.
type ComponentReport struct {
	Type     string            `json:"type"`
	FullName string            `json:"fullName"`
	Action   Action            `json:"action"`
	Changes  []metadata.Change `json:"changes,omitempty"`
	// Done says that the component is as wanted: it was unchanged, or the org
	// accepted it and nothing is known to differ.
	Done bool `json:"done"`
	// Uncertain says that it was sent and no answer came.
	Uncertain bool   `json:"uncertain,omitempty"`
	Error     string `json:"error,omitempty"`
}

func newReport(options Options, target Target, kind orgauth.Kind, resolved *Resolved) *Report {
	r := &Report{
		Package: options.Source.location.Package,
		Org: OrgReport{
			Alias: target.Alias, Username: target.Username, ID: options.Session.OrgID,
			InstanceURL: options.Session.InstanceURL, TokenGiven: options.Session.Given, Kind: kind, APIVersion: options.Version.String(),
		},
		Policies: append([]Policies{}, resolved.Policies...),
		Apps:     []AppReport{},
		PlanOnly: options.PlanOnly, Warnings: resolved.Warnings,
	}
	for _, app := range resolved.Apps {
		r.Apps = append(r.Apps, AppReport{Name: app.Name, Environment: app.Environment})
	}
	for _, left := range resolved.Left {
		r.Apps = append(r.Apps, AppReport{Name: left.FullName, DistributionState: left.distributionState()})
	}
	return r
}

// add fills in what a plan says, before or after it was applied.
func (r *Report) add(p *Plan) {
	for i, plan := range p.Apps { // the report has the same apps first, in the same order
		app := &r.Apps[i]
		app.Warnings = plan.Warnings
		if key := p.ConsumerKey(app.Name); key != "" {
			app.ConsumerKey = metadata.ShortKey(key)
		}
		for _, c := range plan.Components {
			component := ComponentReport{Type: c.Type, FullName: c.FullName, Action: c.Action, Changes: c.Changes, Done: c.Err == nil && (c.Done || c.Action == Unchanged), Uncertain: c.Uncertain}
			if c.Err != nil {
				component.Error = c.Err.Error()
			}
			if c.Action != Unchanged {
				r.Pending++
			}
			app.Components = append(app.Components, component)
		}
	}
}
