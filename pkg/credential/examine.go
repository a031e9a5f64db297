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
}

// Caller is a permission set that may use a principal.
type Caller struct {
	PermissionSet string `json:"permissionSet"`
	Users         int    `json:"users"` // number of users who have it
	Reads         bool   `json:"reads"` // it may read UserExternalCredential
}

func (x *Examination) find(level finding.Level, rule, component, problem, says, fix string) {
	x.Findings = append(x.Findings, finding.Finding{Rule: rule, Level: level, File: component, Problem: problem, Says: says, Fix: fix})
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
		x.find(finding.Error, "no-named-credential", at, "the org has no such named credential", "", "create it, or correct the name")
		return x, nil
	}
	namedCredential := found[0]
	x.NamedCredential = namedCredential.FullName
	if kind := namedCredential.Text("namedCredentialType"); kind != "SecuredEndpoint" {
		x.find(finding.Error, "legacy-credential", at, fmt.Sprintf("its type is %s, which has no external credential", kind), "", "replace it with one of the type SecuredEndpoint")
		return x, nil
	}
	if namedCredential.Text("calloutStatus") == "Disabled" {
		x.find(finding.Error, "callouts-disabled", at, "calloutStatus is Disabled", "", "enable it for callouts")
	}
	if namedCredential.Text("generateAuthorizationHeader") == "false" {
		x.find(finding.Warning, "no-authorization-header", at, "generateAuthorizationHeader is false, so no token is sent", "", "set it to true")
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
		x.find(finding.Error, "no-external-credential", at, fmt.Sprintf("names the external credential %s, which the org does not have", x.ExternalCredential), connection.SaysNoAccess, "create it, or correct the name")
		return x, nil
	}
	external := found[0]
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

// external records the principals of an external credential.
func (x *Examination) external(c *metadata.Component) {
	at := connection.ExternalCredential + " " + c.FullName
	x.ClientID = connection.Issuer(c)
	x.Principals = connection.NamedPrincipals(c)
	if len(x.Principals) == 0 {
		x.find(finding.Error, "no-principal", at, "has no named principal", connection.SaysNoAccess, "add a named principal")
		return
	}
	x.Principal = x.Principals[0]
}

// principal checks the secret of the principal, and who may use it.
func (x *Examination) principal(ctx context.Context, conn *salesforce.Conn) error {
	rest := &restapi.Client{Conn: conn}
	at := connection.ExternalCredential + " " + x.ExternalCredential
	var principals []principal
	w := &worker{Connection: connection.Connection{ExternalCredential: x.ExternalCredential, Principal: x.Principal}, conn: conn}
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
		x.find(finding.Error, "not-configured", at, fmt.Sprintf("the principal %s is %s: its secret is not stored, as after a sandbox refresh", x.Principal, x.Status), connection.SaysUnconfigured, "store the secret")
	}
	for _, p := range principals {
		if p.Status != "Configured" && slices.ContainsFunc(x.Principals[1:], func(name string) bool { return strings.EqualFold(name, p.Name) }) {
			x.find(finding.Warning, "not-configured", at, fmt.Sprintf("the principal %s is %s", p.Name, p.Status), connection.SaysUnconfigured, "store its secret")
		}
	}
	return x.callers(ctx, rest, at, own.ID)
}

// callers records the permission sets that may use the principal of an ID.
func (x *Examination) callers(ctx context.Context, rest *restapi.Client, at, id string) error {
	type entity struct{ ParentID string }
	entities, err := restapi.QueryIn[entity](ctx, rest, "SELECT ParentId FROM SetupEntityAccess WHERE SetupEntityId IN (%s)", []string{id})
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
		sets, err = restapi.QueryIn[permissionSet](groupCtx, rest, "SELECT Id, Name FROM PermissionSet WHERE Id IN (%s)", ids)
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
			x.find(finding.Warning, "no-read", "PermissionSet "+set.Name, "its users may use the principal, but not read UserExternalCredential, unless another permission set lets them", connection.SaysNoRead, "give it Read on UserExternalCredential")
		}
		if caller.Users == 0 {
			x.find(finding.Warning, "no-caller", "PermissionSet "+set.Name, "nobody has it", connection.SaysNoAccess, "assign it to the users whose Apex calls")
		}
	}
	if len(x.Callers) == 0 {
		x.find(finding.Error, "no-access", at, fmt.Sprintf("no permission set may use the principal %s", x.Principal), connection.SaysNoAccess, "give a permission set access to it")
	}
	return nil
}

// Holders returns the named principals of an external credential for which the org stores one of the
// consumer keys. If the org does not show keys, there are none.
func Holders(ctx context.Context, conn *salesforce.Conn, external string, principals []string, keys ...string) (holders []string, err error) {
	for _, name := range principals {
		w := &worker{Connection: connection.Connection{ExternalCredential: external, Principal: name}, conn: conn}
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
