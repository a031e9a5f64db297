// Package credential lets one org call another: it writes an External Credential, a Named Credential,
// the access of permission sets, and the secret to the calling org.
//
//	c := connection.Connection{NamedCredential: "Crm", ProviderURL: "https://crm.my.salesforce.com"}
//	report, err := credential.Connect(ctx, conn, c, credentials, credential.Options{})
//
// A second run writes only what differs. Principals and parameters that somebody else added
// survive: the platform replaces the whole external credential, and deletes a principal that is left
// out together with its secret (seen on live orgs).
package credential

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Options configure Connect.
type Options struct {
	PlanOnly bool // write nothing
	Replace  bool // overwrite credentials that serve another purpose
}

// SecretAction is the operation on the secret.
type SecretAction string

// The actions. A stored secret cannot be read, so it counts as unchanged if its client ID is.
const (
	SecretStored    SecretAction = "stored"
	SecretReplaced  SecretAction = "replaced"
	SecretUnchanged SecretAction = "unchanged"
	SecretNone      SecretAction = "none" // the login uses a certificate
)

// Report is the result of Connect. It contains no secret.
type Report struct {
	NamedCredential    string `json:"namedCredential"`
	ExternalCredential string `json:"externalCredential"`
	Principal          string `json:"principal"`
	ProviderURL        string `json:"providerUrl"`
	// Replaced is what the credentials were that served another purpose.
	Replaced   []connection.Difference `json:"replaced,omitempty"`
	Components []ComponentReport       `json:"components,omitempty"`
	Secret     SecretAction            `json:"secret,omitempty"`
	Access     []AccessReport          `json:"access,omitempty"`
	// Status is the org's status of the principal at the end: Configured, NotConfigured or Unknown.
	Status  string `json:"status,omitempty"`
	Changed int    `json:"changed"` // number of writes
	Pending int    `json:"pending"` // number of writes that are planned or failed
}

// ComponentReport is the result for a component.
type ComponentReport struct {
	Type     string            `json:"type"`
	FullName string            `json:"fullName"`
	Action   reconcile.Action  `json:"action"`
	Changes  []metadata.Change `json:"changes,omitempty"`
	Applied  bool              `json:"done"`
	Error    string            `json:"error,omitempty"`
}

// AccessReport is the result for the access of a permission set.
type AccessReport struct {
	PermissionSet string           `json:"permissionSet"`
	Object        string           `json:"object"` // AccessToPrincipal or ReadPermission
	Action        reconcile.Action `json:"action"`
	Applied       bool             `json:"done"`
}

// The objects of AccessReport.
const (
	AccessToPrincipal = "SetupEntityAccess" // the permission set may use the principal
	ReadPermission    = "ObjectPermissions" // it may read UserExternalCredential, which a callout needs
)

// seen is what the org has.
type seen struct {
	external, named *metadata.Component
	sets            []permissionSet
	stored          bool
	clientID        string // "" if nothing is stored, or the org does not show it
}

type worker struct {
	connection.Connection
	conn        *salesforce.Conn
	credentials login.Credentials
}

func (w *worker) rest() *restapi.Client { return &restapi.Client{Conn: w.conn} }

// Connect writes a connection to the calling org. credentials are those of a consumer of the called
// org; with a certificate, only the key counts.
//
// If credentials of these names serve another purpose, the error is a *connection.ConflictError,
// unless Replace is set. The report is not nil once the org was read.
func Connect(ctx context.Context, conn *salesforce.Conn, c connection.Connection, credentials login.Credentials, o Options) (*Report, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	w := &worker{c.Complete(), conn, credentials}
	has, err := w.look(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{
		NamedCredential: w.NamedCredential, ExternalCredential: w.ExternalCredential, Principal: w.Principal, ProviderURL: w.ProviderURL,
	}
	conflicts := w.Conflicts(has.external, has.named)
	if len(conflicts) > 0 && !o.Replace {
		return r, &connection.ConflictError{Differences: conflicts}
	}
	r.Replaced = conflicts
	if err := w.components(ctx, r, has, o); err != nil {
		return r, err
	}
	if err := w.secret(ctx, r, has, o); err != nil {
		return r, err
	}
	return r, w.access(ctx, r, has, o)
}

// look reads what the org has under the names.
func (w *worker) look(ctx context.Context) (*seen, error) {
	has := new(seen)
	client := &mdapi.Client{Conn: w.conn}
	group, ctx := errgroup.WithContext(ctx)
	if len(w.PermissionSets) > 0 {
		group.Go(func() (err error) {
			const soql = "SELECT Id, Name FROM PermissionSet WHERE IsOwnedByProfile = false AND Name IN (%s)"
			has.sets, err = restapi.QueryIn[permissionSet](ctx, w.rest(), soql, w.PermissionSets)
			return err
		})
	}
	read := func(typ, name string, into **metadata.Component) {
		group.Go(func() error {
			found, err := client.Read(ctx, typ, name)
			if len(found) > 0 {
				*into = found[0]
			}
			return err
		})
	}
	read(connection.ExternalCredential, w.ExternalCredential, &has.external)
	read(connection.NamedCredential, w.NamedCredential, &has.named)
	group.Go(func() error { return w.lookStored(ctx, has) })
	var certificates []string
	if w.Certificate != "" {
		group.Go(func() (err error) {
			certificates, err = listCertificates(ctx, client)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return has, err
	}
	isIt := func(name string) bool { return strings.EqualFold(name, w.Certificate) }
	if w.Certificate != "" && !slices.ContainsFunc(certificates, isIt) {
		return has, &NoCertificateError{w.Certificate, words.Similar(w.Certificate, certificates)}
	}
	for _, name := range w.PermissionSets {
		if has.set(name) == "" {
			return has, &NoPermissionSetError{name}
		}
	}
	return has, nil
}

// permissionSet is a record of the org.
type permissionSet struct {
	ID   string `json:"Id"`
	Name string
}

// set returns the ID of a permission set, "" if the org has none of that name.
func (s *seen) set(name string) string {
	for _, set := range s.sets {
		if strings.EqualFold(set.Name, name) {
			return set.ID
		}
	}
	return ""
}

// listCertificates returns the names of the org's own certificates.
func listCertificates(ctx context.Context, client *mdapi.Client) (names []string, err error) {
	listed, err := client.List(ctx, "Certificate")
	for _, c := range listed {
		names = append(names, c.FullName)
	}
	return names, err
}

// NoCertificateError reports that the calling org lacks the certificate of the connection. Nothing was written.
type NoCertificateError struct {
	Name    string
	Similar string // the name of a similar one, "" if there is none
}

func (e *NoCertificateError) Error() string {
	text := fmt.Sprintf("there is no certificate %s on this org", e.Name)
	if e.Similar != "" {
		text += fmt.Sprintf(" (is %s meant?)", e.Similar)
	}
	return text
}

// NoPermissionSetError reports that the org lacks a permission set of the connection. Nothing was
// written.
type NoPermissionSetError struct{ Name string }

func (e *NoPermissionSetError) Error() string {
	return fmt.Sprintf("there is no permission set %s on this org", e.Name)
}

func (w *worker) components(ctx context.Context, r *Report, has *seen, o Options) error {
	outcomes, err := w.apply(ctx, has, o)
	if slices.ContainsFunc(outcomes, demandsJSON) {
		w.JSONClaims = true
		outcomes, err = w.apply(ctx, has, o)
	}
	for _, outcome := range outcomes {
		c := ComponentReport{Type: outcome.Want.Type.Name, FullName: outcome.FullName, Action: outcome.Action, Applied: outcome.OK()}
		for _, change := range outcome.Changes {
			change.From, change.To = w.shortened(has, change.From), w.shortened(has, change.To)
			c.Changes = append(c.Changes, change)
		}
		if outcome.Err != nil {
			c.Error = outcome.Err.Error()
			err = cmp.Or(err, fmt.Errorf("%s %s: %w", c.Type, c.FullName, outcome.Err))
		}
		r.count(c.Action, c.Applied)
		r.Components = append(r.Components, c)
	}
	return err
}

// apply writes the components, unless the run is a plan.
func (w *worker) apply(ctx context.Context, has *seen, o Options) ([]reconcile.Outcome, error) {
	wants := w.Replacing(has.external, has.named, w.credentials.Key)
	state, err := reconcile.Read(ctx, &mdapi.Client{Conn: w.conn}, wants)
	if err != nil {
		return nil, err
	}
	run := state.Plan(nil).Start()
	if !o.PlanOnly {
		err = run.Apply(ctx, nil)
	}
	return run.Outcomes(), err
}

// demandsJSON reports whether the org refused a claim because it is not JSON.
func demandsJSON(o reconcile.Outcome) bool {
	return o.Err != nil && strings.Contains(o.Err.Error(), "claim has invalid JSON syntax")
}

// shortened shortens the consumer keys in a text.
func (w *worker) shortened(has *seen, text string) string {
	for _, key := range []string{connection.Issuer(has.external), w.credentials.Key} {
		if key != "" {
			text = strings.ReplaceAll(text, key, words.ShortKey(key))
		}
	}
	return text
}

func (r *Report) count(action reconcile.Action, applied bool) {
	switch {
	case action == reconcile.Unchanged:
	case applied:
		r.Changed++
	default:
		r.Pending++
	}
}

// storedAnswer is an answer of the resource credential.
type storedAnswer struct {
	AuthenticationStatus string `json:"authenticationStatus"`
	Credentials          map[string]struct {
		Value string `json:"value"`
	} `json:"credentials"`
}

// lookStored looks up what the org stores for the principal. If that is nothing, orgs answer with
// NOT_FOUND or with empty credentials.
func (w *worker) lookStored(ctx context.Context, has *seen) error {
	q := url.Values{
		"externalCredential": {w.ExternalCredential}, "principalName": {w.Principal}, "principalType": {"NamedPrincipal"},
	}
	var answer storedAnswer
	err := w.rest().Do(ctx, http.MethodGet, "named-credentials/credential?"+q.Encode(), nil, &answer)
	if salesforce.Code(err) == "NOT_FOUND" {
		has.stored, has.clientID = false, ""
		return nil
	}
	if err == nil {
		has.stored, has.clientID = len(answer.Credentials) > 0, answer.Credentials["clientId"].Value
	}
	return err
}

// secret stores the secret of the principal. After a lost answer, it looks up what is stored before it
// sends anything again.
func (w *worker) secret(ctx context.Context, r *Report, has *seen, o Options) error {
	switch {
	case w.Certificate != "":
		r.Secret = SecretNone
		return nil
	case has.stored && has.clientID == w.credentials.Key:
		r.Secret = SecretUnchanged
		return nil
	case has.stored:
		r.Secret = SecretReplaced
	default:
		r.Secret = SecretStored
	}
	if o.PlanOnly {
		r.Pending++
		return nil
	}
	first := true
	err := w.conn.Retry.Do(ctx, func() (err error) {
		if !first {
			if err := w.lookStored(ctx, has); err != nil {
				return err
			}
		}
		first = false
		r.Status, err = w.store(ctx, has.stored)
		return err
	})
	if err != nil {
		r.Pending++
		return fmt.Errorf("the secret of %s: %w", w.Principal, err)
	}
	r.Changed++
	return nil
}

// store stores the credentials of the principal and returns its status. The platform demands PUT instead
// of POST if something is stored, which another run may have done meanwhile.
func (w *worker) store(ctx context.Context, stored bool) (status string, err error) {
	type value struct {
		Value     string `json:"value"`
		Encrypted bool   `json:"encrypted"`
	}
	body := map[string]any{
		"externalCredential": w.ExternalCredential, "principalName": w.Principal, "principalType": "NamedPrincipal",
		"authenticationProtocol": "OAuth", "authenticationProtocolVariant": w.Variant(),
		"credentials": map[string]value{
			"clientId": {w.credentials.Key, false}, "clientSecret": {w.credentials.Secret.Reveal(), true},
		},
	}
	const path = "named-credentials/credential"
	var answer storedAnswer
	if !stored {
		err = w.rest().Do(ctx, http.MethodPost, path, body, &answer)
		stored = salesforce.Code(err) == "CONFLICT"
	}
	if stored {
		err = w.rest().Do(ctx, http.MethodPut, path, body, &answer)
	}
	return answer.AuthenticationStatus, err
}

// principal is an org's named principal.
type principal struct {
	ID     string `json:"id"`
	Name   string `json:"principalName"`
	Status string `json:"authenticationStatus"`
}

// principals returns the named principals of the external credential.
func (w *worker) principals(ctx context.Context) ([]principal, error) {
	var answer struct {
		Principals []principal `json:"principals"`
	}
	path := "named-credentials/external-credentials/" + url.PathEscape(w.ExternalCredential)
	err := w.rest().Do(ctx, http.MethodGet, path, nil, &answer)
	return answer.Principals, err
}

// named returns the principal of a name, or the zero principal.
func named(all []principal, name string) (found principal) {
	for _, p := range all {
		if strings.EqualFold(p.Name, name) {
			found = p
		}
	}
	return found
}

// objectPermission is a permission set's access to UserExternalCredential.
type objectPermission struct {
	ID              string `json:"Id"`
	ParentID        string `json:"ParentId"`
	PermissionsRead bool
}

// objectPermissions returns the access of permission sets to UserExternalCredential.
func objectPermissions(ctx context.Context, client *restapi.Client, sets []string) ([]objectPermission, error) {
	const soql = "SELECT Id, ParentId, PermissionsRead FROM ObjectPermissions WHERE SobjectType = 'UserExternalCredential' AND ParentId IN (%s)"
	return restapi.QueryIn[objectPermission](ctx, client, soql, sets)
}

// access lets the permission sets use the principal and read UserExternalCredential, in which the
// platform keeps users' credentials.
func (w *worker) access(ctx context.Context, r *Report, has *seen, o Options) error {
	principals, err := w.principals(ctx)
	if err != nil && !(o.PlanOnly && salesforce.Code(err) == "NOT_FOUND") {
		return err
	}
	p := named(principals, w.Principal)
	if p.ID != "" {
		r.Status = p.Status
	}
	if len(w.PermissionSets) == 0 {
		return nil
	}
	if p.ID == "" && !o.PlanOnly {
		return fmt.Errorf("the org does not show the principal %s of %s", w.Principal, w.ExternalCredential)
	}
	var ids []string
	for _, set := range has.sets {
		ids = append(ids, set.ID)
	}
	type entity struct{ ParentID, SetupEntityID string }
	const soql = "SELECT ParentId, SetupEntityId FROM SetupEntityAccess WHERE ParentId IN (%s)"
	entities, err := restapi.QueryIn[entity](ctx, w.rest(), soql, ids)
	if err != nil {
		return err
	}
	permissions, err := objectPermissions(ctx, w.rest(), ids)
	if err != nil {
		return err
	}
	for _, name := range w.PermissionSets {
		set := has.set(name)
		uses := p.ID != "" && slices.Contains(entities, entity{set, p.ID})
		err := w.create(r, o, AccessReport{PermissionSet: name, Object: AccessToPrincipal, Applied: uses}, func() error {
			_, err := w.rest().Create(ctx, AccessToPrincipal, map[string]any{"ParentId": set, "SetupEntityId": p.ID})
			return err
		})
		if err != nil {
			return err
		}
		var permission objectPermission
		if i := slices.IndexFunc(permissions, func(p objectPermission) bool { return p.ParentID == set }); i >= 0 {
			permission = permissions[i]
		}
		reads := AccessReport{PermissionSet: name, Object: ReadPermission, Applied: permission.PermissionsRead}
		if err := w.create(r, o, reads, func() error { return w.letRead(ctx, set, permission.ID) }); err != nil {
			return err
		}
	}
	return nil
}

// letRead lets a permission set read UserExternalCredential. id is that of its existing ObjectPermissions,
// "" if there are none.
func (w *worker) letRead(ctx context.Context, set, id string) error {
	if id != "" {
		path := "sobjects/ObjectPermissions/" + url.PathEscape(id)
		return w.rest().Do(ctx, http.MethodPatch, path, map[string]any{"PermissionsRead": true}, nil)
	}
	fields := map[string]any{"ParentId": set, "SobjectType": "UserExternalCredential", "PermissionsRead": true}
	_, err := w.rest().Create(ctx, ReadPermission, fields)
	return err
}

// create creates an access that is not applied yet. A duplicate counts as success: after a lost answer, the
// access exists.
func (w *worker) create(r *Report, o Options, a AccessReport, send func() error) (err error) {
	switch a.Action = reconcile.Create; {
	case a.Applied:
		a.Action = reconcile.Unchanged
	case !o.PlanOnly:
		err = send()
		if strings.HasPrefix(salesforce.Code(err), "DUPLICATE") {
			err = nil
		}
		if a.Applied = err == nil; err != nil {
			err = fmt.Errorf("%s of %s: %w", a.Object, a.PermissionSet, err)
		}
	}
	r.count(a.Action, a.Applied)
	r.Access = append(r.Access, a)
	return err
}
