package login

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Inspection is what an org shows about the logins of an app, without a login.
type Inspection struct {
	App string
	// ClientCredentials reports that the settings and the policies have that flow on, and RunAsUser whom
	// the policies let it run as.
	ClientCredentials  bool
	RunAsUser          string
	CertificateExpires time.Time // zero without a certificate
	// Findings are errors for logins that are refused, and warnings for those that will be.
	Findings []finding.Finding

	policies *preflight.Policies // nil if the app has none
	found    *apps.App
}

// The rules of findings that only Inspect reports.
const (
	ruleNoApp       = "no-app"
	ruleNoConsumer  = "no-consumer"
	ruleNoPolicies  = "no-policies"
	ruleNotAssigned = "not-assigned"
)

// Inspect reads the org's own apps, or only those of some names, and foretells which of their logins are
// refused. It takes at most five rounds of requests, however many apps there are.
func Inspect(ctx context.Context, conn *salesforce.Conn, names ...string) ([]*Inspection, error) {
	found, err := apps.Read(ctx, conn, []string{eca.OAuthSettings, eca.GlobalOAuthSettings, eca.OAuthPolicies, eca.PluginPolicies})
	if err != nil {
		return nil, err
	}
	var all []*Inspection
	if len(names) == 0 {
		for _, app := range found {
			if !app.Packaged() {
				all = append(all, &Inspection{App: app.Name, found: app})
			}
		}
	}
	for _, name := range names {
		i := &Inspection{App: name}
		if app, err := apps.Named(found, name); err == nil {
			i.App, i.found = app.Name, app
		}
		all = append(all, i)
	}
	var look preflight.Names
	for _, i := range all {
		if i.components(len(names) > 0); i.policies == nil {
			continue
		}
		look.Apps = append(look.Apps, i.App)
		if i.RunAsUser != "" {
			look.Users, look.Assignees = append(look.Users, i.RunAsUser), append(look.Assignees, i.RunAsUser)
		}
		look.PermissionSets = append(look.PermissionSets, metadata.Items(i.policies.Component.Text("commaSeparatedPermissionSet"))...)
		look.Profiles = append(look.Profiles, metadata.Items(i.policies.Component.Text("commaSeparatedProfile"))...)
	}
	facts, err := apps.LookUp(ctx, &restapi.Client{Conn: conn}, look)
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if i.policies != nil {
			i.onOrg(facts)
		}
	}
	return all, nil
}

func (i *Inspection) report(rule string, level finding.Level, problem, fix string) {
	i.Findings = append(i.Findings, finding.Finding{Rule: rule, Level: level, App: i.App, Problem: problem, Fix: fix})
}

// components checks the app's components. named reports that the app is expected to log in.
func (i *Inspection) components(named bool) {
	if i.found == nil {
		i.report(ruleNoApp, finding.Warning, "the org does not have the app", "deploy it, or leave the org out")
		return
	}
	global := i.found.Component(eca.GlobalOAuthSettings)
	if global == nil {
		level := finding.Warning
		if named {
			level = finding.Error
		}
		i.report(ruleNoConsumer, level, "the app has no OAuth consumer", "enable its OAuth")
		return
	}
	const flow = "isClientCredentialsFlowEnabled"
	policies := i.found.Component(eca.OAuthPolicies)
	use := preflight.Use{App: i.App, Value: i.value}
	if policies != nil {
		i.policies = &preflight.Policies{App: i.App, Component: policies, File: place(policies)}
		use.Policies = []*preflight.Policies{i.policies}
		if eca.Bool(policies, flow) {
			i.RunAsUser = strings.TrimSpace(policies.Text("clientCredentialsFlowUser"))
			i.ClientCredentials = eca.Bool(global, flow)
		}
	} else if eca.Bool(global, flow) {
		i.report(ruleNoPolicies, finding.Error, "the app has no OAuth policies on this org, without which nobody is named for client credentials", "deploy its policies")
		i.Findings[len(i.Findings)-1].Cause = refusal.NoPolicies
	}
	for _, problem := range use.Check() {
		if problem.Rule == "flow-off" {
			problem.Level = finding.Error // the policies let nobody in whom the settings keep out
		}
		i.add(problem.Finding)
	}
	if certificate, err := x509.ParseCertificate(metadata.CertificateDER(global.Text("certificate"))); err == nil {
		i.CertificateExpires = certificate.NotAfter
	}
}

// add adds a finding of package preflight, which is about components that are deployed.
func (i *Inspection) add(f finding.Finding) {
	f.Says, f.Problem = "", strings.TrimPrefix(f.Problem, i.App+" ")
	i.Findings = append(i.Findings, f)
}

func place(c *metadata.Component) string { return c.Type + " " + c.FullName }

// value returns a field of a component as the org has it.
func (i *Inspection) value(typ, field string) preflight.Value {
	c := i.found.Component(typ)
	if c == nil {
		return preflight.Value{File: typ + " of " + i.App, At: field}
	}
	return preflight.Value{Text: c.Text(field), File: place(c), At: field}
}

// onOrg checks the app with the users and permission sets of the org.
func (i *Inspection) onOrg(facts *apps.Facts) {
	state := preflight.Org{Facts: facts, Find: i.found.Component, PermissionSetFile: func(string) string { return "" }}
	for _, f := range slices.Concat(i.policies.Alone(), i.policies.Org(state)) {
		if f.Rule == "oauth-off" {
			f.Level = finding.Error
		}
		i.add(f)
	}
	exists, active := facts.ActiveUser(i.RunAsUser)
	preAuthorised := preflight.PreAuthorisedOnly(i.policies.Component)
	if !i.ClientCredentials || !preAuthorised || !exists || !active || !facts.IsGranted(i.App) || facts.MayUse(i.App, i.RunAsUser) {
		return
	}
	i.report(ruleNotAssigned, finding.Error, fmt.Sprintf("only pre-authorised users may use the app, and %s has no permission set that grants it", i.RunAsUser), "assign such a permission set to the user")
	i.Findings[len(i.Findings)-1].Cause = refusal.NotAssigned
}

// Works records that a login with client credentials worked. Findings that foretell its refusal are warnings
// then, because the login disproved them.
func (i *Inspection) Works() {
	for n := range i.Findings {
		if f := &i.Findings[n]; !strings.HasPrefix(f.Rule, "certificate-") {
			f.Level = finding.Warning
		}
	}
}
