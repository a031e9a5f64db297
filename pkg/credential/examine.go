package credential

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Examination are the settings that a callout of a named credential uses, and what is wrong with them.
type Examination struct {
	NamedCredential    string `json:"namedCredential"`
	ExternalCredential string `json:"externalCredential,omitempty"`
	Endpoint           string `json:"endpoint,omitempty"`
	TokenURL           string `json:"tokenUrl,omitempty"`
	Variant            string `json:"variant,omitempty"`
	Principal          string `json:"principal,omitempty"`
	// Principals are all named principals; the rest is about the first one, Principal.
	Principals []string `json:"principals,omitempty"`
	Status     string   `json:"status,omitempty"` // of the principal: Configured, NotConfigured or Unknown
	// ClientID is the stored consumer key, "" if the org does not show it.
	ClientID string `json:"-"`
	// Callers are the permission sets that may use the principal.
	Callers  []Caller          `json:"callers,omitempty"`
	Findings []finding.Finding `json:"findings,omitempty"`
	// Unmanaged is the kind of the credential if Examine does not judge it, see connection.Unmanaged. Nothing
	// else is read then.
	Unmanaged string `json:"unmanaged,omitempty"`
}

// Caller is a permission set that may use a principal.
type Caller struct {
	PermissionSet string `json:"permissionSet"`
	Users         int    `json:"users"` // number of users who have it
	Reads         bool   `json:"reads"` // it may read UserExternalCredential
}

// rules are the findings of Examine, by their rules, without component and problem.
var rules = map[string]finding.Finding{
	"no-named-credential":     {Level: finding.Error, Fix: "create it, or correct the name"},
	"callouts-disabled":       {Level: finding.Error, Fix: "enable it for callouts"},
	"no-authorization-header": {Level: finding.Warning, Fix: "set it to true"},
	"no-external-credential":  {Level: finding.Error, Says: connection.SaysNoAccess, Fix: "create it, or correct the name"},
	"no-principal":            {Level: finding.Error, Says: connection.SaysNoAccess, Fix: "add a named principal"},
	"not-configured":          {Level: finding.Error, Says: connection.SaysUnconfigured, Fix: "store its secret"},
	"no-read":                 {Level: finding.Warning, Says: connection.SaysNoRead, Fix: "give it Read on UserExternalCredential"},
	"no-caller":               {Level: finding.Warning, Says: connection.SaysNoAccess, Fix: "assign it to the users whose Apex calls"},
	"no-access":               {Level: finding.Error, Says: connection.SaysNoAccess, Fix: "give a permission set access to it"},
}

// find adds a finding about a component.
func (x *Examination) find(rule, component, format string, args ...any) {
	f := rules[rule]
	f.Rule, f.File, f.Problem = rule, component, fmt.Sprintf(format, args...)
	x.Findings = append(x.Findings, f)
}

// Examine checks the settings that a callout of a named credential uses. Problems are findings, not
// errors.
func Examine(ctx context.Context, conn *salesforce.Conn, name string) (*Examination, error) {
	x := &Examination{NamedCredential: name}
	client := &mdapi.Client{Conn: conn}
	found, err := client.Read(ctx, connection.NamedCredential, name)
	if err != nil {
		return nil, err
	}
	at := connection.NamedCredential + " " + name
	if len(found) == 0 {
		x.find("no-named-credential", at, "the org has no such named credential")
		return x, nil
	}
	namedCredential := found[0]
	x.NamedCredential = namedCredential.FullName
	if x.Unmanaged = connection.Unmanaged(namedCredential, nil); x.Unmanaged != "" {
		return x, nil
	}
	findings := x.Findings
	if namedCredential.Text("calloutStatus") == "Disabled" {
		x.find("callouts-disabled", at, "calloutStatus is Disabled")
	}
	if namedCredential.Text("generateAuthorizationHeader") == "false" {
		x.find("no-authorization-header", at, "generateAuthorizationHeader is false, so no token is sent")
	}
	x.Endpoint, x.ExternalCredential = connection.Endpoint(namedCredential), connection.External(namedCredential)
	if x.ExternalCredential == "" {
		x.add(at, connection.Check(namedCredential)...)
		return x, nil
	}
	if found, err = client.Read(ctx, connection.ExternalCredential, x.ExternalCredential); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		x.find("no-external-credential", at, "names the external credential %s, which the org does not have", x.ExternalCredential)
		return x, nil
	}
	external := found[0]
	if x.Unmanaged = connection.Unmanaged(namedCredential, external); x.Unmanaged != "" {
		x.Findings = findings
		return x, nil
	}
	x.Variant, x.TokenURL = connection.Variant(external), connection.TokenURL(external)
	x.add(connection.ExternalCredential+" "+external.FullName, connection.Check(external)...)
	x.add(at, connection.CheckPair(namedCredential, external)...)
	x.external(external)
	if x.Principal == "" {
		return x, nil
	}
	return x, x.principal(ctx, conn)
}

// add adds findings about a component.
func (x *Examination) add(component string, all ...finding.Finding) {
	for _, f := range all {
		f.File = component
		x.Findings = append(x.Findings, f)
	}
}

// principalWorker returns a worker for one principal of an external credential.
func principalWorker(conn *salesforce.Conn, external, principal string) *worker {
	return &worker{Connection: connection.Connection{ExternalCredential: external, Principal: principal}, conn: conn}
}

// external records the principals of an external credential.
func (x *Examination) external(c *metadata.Component) {
	at := connection.ExternalCredential + " " + c.FullName
	x.ClientID = connection.Issuer(c)
	x.Principals = connection.NamedPrincipals(c)
	if len(x.Principals) == 0 {
		x.find("no-principal", at, "has no named principal")
		return
	}
	x.Principal = x.Principals[0]
}

// principal checks the secret of the principal, and who may use it.
func (x *Examination) principal(ctx context.Context, conn *salesforce.Conn) error {
	rest := &restapi.Client{Conn: conn}
	at := connection.ExternalCredential + " " + x.ExternalCredential
	var principals []principal
	w := principalWorker(conn, x.ExternalCredential, x.Principal)
	has := new(seen)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		principals, err = w.principals(groupCtx)
		return err
	})
	group.Go(func() error { return w.lookStored(groupCtx, has) })
	if err := group.Wait(); err != nil {
		return err
	}
	if has.clientID != "" {
		x.ClientID = has.clientID
	}
	own := named(principals, x.Principal)
	x.Status = own.Status
	if x.Status != "Configured" {
		const problem = "the principal %s is %s: its secret is not stored, as after a sandbox refresh"
		x.find("not-configured", at, problem, x.Principal, x.Status)
	}
	for _, p := range principals {
		isOther := func(name string) bool { return strings.EqualFold(name, p.Name) }
		if p.Status != "Configured" && slices.ContainsFunc(x.Principals[1:], isOther) {
			x.find("not-configured", at, "the principal %s is %s", p.Name, p.Status)
			x.Findings[len(x.Findings)-1].Level = finding.Warning // this callout does not use it
		}
	}
	return x.callers(ctx, rest, at, own.ID)
}

// callers records the permission sets that may use the principal of an ID.
func (x *Examination) callers(ctx context.Context, rest *restapi.Client, at, id string) error {
	type entity struct{ ParentID string }
	const soql = "SELECT ParentId FROM SetupEntityAccess WHERE SetupEntityId IN (%s)"
	entities, err := restapi.QueryIn[entity](ctx, rest, soql, []string{id})
	if err != nil {
		return err
	}
	var ids []string
	for _, e := range entities {
		ids = append(ids, e.ParentID)
	}
	type assignment struct{ PermissionSetID string }
	var sets []permissionSet
	var permissions []objectPermission
	var assignments []assignment
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		const soql = "SELECT Id, Name FROM PermissionSet WHERE Id IN (%s)"
		sets, err = restapi.QueryIn[permissionSet](groupCtx, rest, soql, ids)
		return err
	})
	group.Go(func() (err error) {
		permissions, err = objectPermissions(groupCtx, rest, ids)
		return err
	})
	group.Go(func() (err error) {
		const soql = "SELECT PermissionSetId FROM PermissionSetAssignment WHERE PermissionSetId IN (%s)"
		assignments, err = restapi.QueryIn[assignment](groupCtx, rest, soql, ids)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	reads, users := make(map[string]bool), make(map[string]int)
	for _, p := range permissions {
		reads[p.ParentID] = reads[p.ParentID] || p.PermissionsRead
	}
	for _, a := range assignments {
		users[a.PermissionSetID]++
	}
	for _, set := range sets {
		caller := Caller{PermissionSet: set.Name, Reads: reads[set.ID], Users: users[set.ID]}
		x.Callers = append(x.Callers, caller)
		if !caller.Reads {
			const problem = "its users may use the principal, but not read UserExternalCredential, unless another permission set lets them"
			x.find("no-read", "PermissionSet "+set.Name, problem)
		}
		if caller.Users == 0 {
			x.find("no-caller", "PermissionSet "+set.Name, "nobody has it")
		}
	}
	if len(x.Callers) == 0 {
		x.find("no-access", at, "no permission set may use the principal %s", x.Principal)
	}
	return nil
}

// Holders returns the named principals of an external credential for which the org stores one of the
// consumer keys. If the org does not show keys, there are none.
func Holders(ctx context.Context, conn *salesforce.Conn, external string, principals []string, keys ...string) ([]string, error) {
	var holders []string
	for _, name := range principals {
		w := principalWorker(conn, external, name)
		has := new(seen)
		if err := w.lookStored(ctx, has); err != nil {
			return nil, err
		}
		if has.clientID != "" && slices.Contains(keys, has.clientID) {
			holders = append(holders, name)
		}
	}
	return holders, nil
}
