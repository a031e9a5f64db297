// Package credential lets one org call another: it brings an External Credential, a Named
// Credential, the access of permission sets, and the secret to the org that calls.
//
//	c := connection.Connection{NamedCredential: "Crm", ProviderURL: "https://crm.my.salesforce.com"}
//	report, err := credential.Connect(ctx, conn, c, pair, credential.Options{})
//
// A second run writes only what differs. Principals and parameters that somebody else added
// survive: the platform replaces the whole external credential, and a principal that is left out
// is deleted with its secret (seen on live orgs).
package credential

import (
	"context"
	"errors"
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

// Options say how a connection is made.
type Options struct {
	// PlanOnly writes nothing.
	PlanOnly bool
	// Replace takes credentials over that are for something else.
	Replace bool
}

// SecretAction is what became of the secret.
type SecretAction string

// The actions. What is stored cannot be read, so "unchanged" goes by the client ID.
const (
	SecretStored    SecretAction = "stored"
	SecretReplaced  SecretAction = "replaced"
	SecretUnchanged SecretAction = "unchanged"
	SecretNone      SecretAction = "none" // a certificate logs in
)

// Report says what a connection has found and done. It holds no secret.
type Report struct {
	NamedCredential    string            `json:"namedCredential"`
	ExternalCredential string            `json:"externalCredential"`
	Principal          string            `json:"principal"`
	ProviderURL        string            `json:"providerUrl"`
	Components         []ComponentReport `json:"components,omitempty"`
	Secret             SecretAction      `json:"secret,omitempty"`
	Access             []AccessReport    `json:"access,omitempty"`
	// Status is what the org says of the principal in the end: Configured, NotConfigured or
	// Unknown.
	Status  string `json:"status,omitempty"`
	Changed int    `json:"changed"`
	Pending int    `json:"pending"`
}

// ComponentReport says what became of a component.
type ComponentReport struct {
	Type     string            `json:"type"`
	FullName string            `json:"fullName"`
	Action   reconcile.Action  `json:"action"`
	Changes  []metadata.Change `json:"changes,omitempty"`
	Done     bool              `json:"done"`
	Error    string            `json:"error,omitempty"`
}

// AccessReport says what became of a permission set's access.
type AccessReport struct {
	PermissionSet string           `json:"permissionSet"`
	Object        string           `json:"object"` // SetupEntityAccess for the principal, ObjectPermissions for UserExternalCredential
	Action        reconcile.Action `json:"action"`
	Done          bool             `json:"done"`
}

// seen is what the org has.
type seen struct {
	external, named *metadata.Component
	sets            []permissionSet
	stored          bool
	clientID        string // "" where nothing is stored, or the org does not tell
}

type worker struct {
	connection.Connection
	conn *salesforce.Conn
	pair login.Credentials
}

func (w *worker) rest() *restapi.Client { return &restapi.Client{Conn: w.conn} }

// Connect brings a connection to the org that calls. pair is the consumer's of the org that is
// called; with a certificate, only its key counts.
//
// What exists under the names for something else is a *ConflictError, unless Replace. The report
// is not nil once the org was read.
func Connect(ctx context.Context, conn *salesforce.Conn, c connection.Connection, pair login.Credentials, o Options) (*Report, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	w := &worker{c.Complete(), conn, pair}
	has, err := w.look(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{NamedCredential: w.NamedCredential, ExternalCredential: w.ExternalCredential, Principal: w.Principal, ProviderURL: w.ProviderURL}
	if conflicts := w.Conflicts(has.external, has.named); len(conflicts) > 0 && !o.Replace {
		return r, &connection.ConflictError{Differences: conflicts}
	}
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
			has.sets, err = restapi.QueryIn[permissionSet](ctx, w.rest(), "SELECT Id, Name FROM PermissionSet WHERE IsOwnedByProfile = false AND Name IN (%s)", w.PermissionSets)
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
	if err := group.Wait(); err != nil {
		return has, err
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

// set returns the ID of a permission set, "" where the org has none of that name.
func (s *seen) set(name string) string {
	for _, set := range s.sets {
		if strings.EqualFold(set.Name, name) {
			return set.ID
		}
	}
	return ""
}

// NoPermissionSetError says that the org lacks a permission set that is to call. Nothing was
// written.
type NoPermissionSetError struct{ Name string }

func (e *NoPermissionSetError) Error() string {
	return fmt.Sprintf("there is no permission set %s on this org", e.Name)
}

func (w *worker) components(ctx context.Context, r *Report, has *seen, o Options) error {
	wants := w.Wants(has.external, has.named, w.pair.Key)
	state, err := reconcile.Read(ctx, &mdapi.Client{Conn: w.conn}, wants)
	if err != nil {
		return err
	}
	run := state.Plan(nil).Start()
	if !o.PlanOnly {
		err = run.Apply(ctx, nil)
	}
	var failed error
	for _, outcome := range run.Outcomes() {
		c := ComponentReport{Type: outcome.Want.Type.Name, FullName: outcome.FullName, Action: outcome.Action, Done: outcome.OK()}
		for _, change := range outcome.Changes {
			for _, key := range []string{connection.Issuer(has.external), w.pair.Key} {
				if key != "" {
					short := words.ShortKey(key)
					change.From, change.To = strings.ReplaceAll(change.From, key, short), strings.ReplaceAll(change.To, key, short)
				}
			}
			c.Changes = append(c.Changes, change)
		}
		if outcome.Err != nil {
			c.Error = outcome.Err.Error()
			if failed == nil {
				failed = fmt.Errorf("%s %s: %w", c.Type, c.FullName, outcome.Err)
			}
		}
		r.count(c.Action, c.Done)
		r.Components = append(r.Components, c)
	}
	if err != nil {
		return err
	}
	return failed
}

func (r *Report) count(action reconcile.Action, done bool) {
	switch {
	case action == reconcile.Unchanged:
	case done:
		r.Changed++
	default:
		r.Pending++
	}
}

// storedAnswer is what the resource credential answers.
type storedAnswer struct {
	AuthenticationStatus string `json:"authenticationStatus"`
	Credentials          map[string]struct {
		Value string `json:"value"`
	} `json:"credentials"`
}

func isNotFound(err error) bool {
	refused, ok := errors.AsType[*salesforce.Error](err)
	return ok && refused.Code == "NOT_FOUND"
}

// lookStored asks what is stored of the principal: nothing is NOT_FOUND, or empty credentials.
func (w *worker) lookStored(ctx context.Context, has *seen) error {
	q := url.Values{"externalCredential": {w.ExternalCredential}, "principalName": {w.Principal}, "principalType": {"NamedPrincipal"}}
	var answer storedAnswer
	err := w.rest().Do(ctx, http.MethodGet, "named-credentials/credential?"+q.Encode(), nil, &answer)
	if isNotFound(err) {
		has.stored, has.clientID = false, ""
		return nil
	}
	if err == nil {
		has.stored, has.clientID = len(answer.Credentials) > 0, answer.Credentials["clientId"].Value
	}
	return err
}

// secret stores the secret of the principal. An answer that was lost is looked up before it is
// sent again.
func (w *worker) secret(ctx context.Context, r *Report, has *seen, o Options) error {
	if w.Certificate != "" {
		r.Secret = SecretNone
		return nil
	}
	r.Secret = SecretStored
	switch {
	case has.stored && has.clientID == w.pair.Key:
		r.Secret = SecretUnchanged
		return nil
	case has.stored:
		r.Secret = SecretReplaced
	}
	if o.PlanOnly {
		r.Pending++
		return nil
	}
	type value struct {
		Value     string `json:"value"`
		Encrypted bool   `json:"encrypted"`
	}
	body := map[string]any{
		"externalCredential": w.ExternalCredential, "principalName": w.Principal, "principalType": "NamedPrincipal",
		"authenticationProtocol": "OAuth", "authenticationProtocolVariant": w.Variant(),
		"credentials": map[string]value{"clientId": {w.pair.Key, false}, "clientSecret": {w.pair.Secret.Reveal(), true}},
	}
	first := true
	err := w.conn.Retry.Do(ctx, func() error {
		if !first {
			if err := w.lookStored(ctx, has); err != nil {
				return err
			}
		}
		first = false
		method := http.MethodPost
		if has.stored {
			method = http.MethodPut
		}
		var answer storedAnswer
		err := w.rest().Do(ctx, method, "named-credentials/credential", body, &answer)
		if refused, ok := errors.AsType[*salesforce.Error](err); ok && refused.Code == "CONFLICT" && method == http.MethodPost {
			err = w.rest().Do(ctx, http.MethodPut, "named-credentials/credential", body, &answer)
		}
		r.Status = answer.AuthenticationStatus
		return err
	})
	if err != nil {
		r.Pending++
		return fmt.Errorf("the secret of %s: %w", w.Principal, err)
	}
	r.Changed++
	return nil
}

// principal is what an org tells of a principal.
type principal struct {
	ID     string `json:"id"`
	Name   string `json:"principalName"`
	Status string `json:"authenticationStatus"`
}

// principals returns the principals of the external credential.
func (w *worker) principals(ctx context.Context) ([]principal, error) {
	var answer struct {
		Principals []principal `json:"principals"`
	}
	err := w.rest().Do(ctx, http.MethodGet, "named-credentials/external-credentials/"+url.PathEscape(w.ExternalCredential), nil, &answer)
	return answer.Principals, err
}

// access lets the permission sets use the principal, and read what the platform keeps of users'
// credentials.
func (w *worker) access(ctx context.Context, r *Report, has *seen, o Options) error {
	principals, err := w.principals(ctx)
	if err != nil && !(o.PlanOnly && isNotFound(err)) {
		return err
	}
	id := ""
	for _, p := range principals {
		if strings.EqualFold(p.Name, w.Principal) {
			id, r.Status = p.ID, p.Status
		}
	}
	if len(w.PermissionSets) == 0 {
		return nil
	}
	if id == "" && !o.PlanOnly {
		return fmt.Errorf("the org does not show the principal %s of %s", w.Principal, w.ExternalCredential)
	}
	var ids []string
	for _, set := range has.sets {
		ids = append(ids, set.ID)
	}
	type entity struct{ ParentID, SetupEntityID string }
	entities, err := restapi.QueryIn[entity](ctx, w.rest(), "SELECT ParentId, SetupEntityId FROM SetupEntityAccess WHERE ParentId IN (%s)", ids)
	if err != nil {
		return err
	}
	type permission struct {
		ID              string `json:"Id"`
		ParentID        string `json:"ParentId"`
		PermissionsRead bool
	}
	permissions, err := restapi.QueryIn[permission](ctx, w.rest(), "SELECT Id, ParentId, PermissionsRead FROM ObjectPermissions WHERE SobjectType = 'UserExternalCredential' AND ParentId IN (%s)", ids)
	if err != nil {
		return err
	}
	for _, name := range w.PermissionSets {
		set := has.set(name)
		uses := id != "" && slices.ContainsFunc(entities, func(e entity) bool { return e.ParentID == set && e.SetupEntityID == id })
		err := w.make(r, o, name, "SetupEntityAccess", uses, func() error {
			_, err := w.rest().Create(ctx, "SetupEntityAccess", map[string]any{"ParentId": set, "SetupEntityId": id})
			return err
		})
		if err != nil {
			return err
		}
		at := slices.IndexFunc(permissions, func(p permission) bool { return p.ParentID == set })
		reads := at >= 0 && permissions[at].PermissionsRead
		err = w.make(r, o, name, "ObjectPermissions", reads, func() error {
			if at >= 0 {
				return w.rest().Do(ctx, http.MethodPatch, "sobjects/ObjectPermissions/"+url.PathEscape(permissions[at].ID), map[string]any{"PermissionsRead": true}, nil)
			}
			_, err := w.rest().Create(ctx, "ObjectPermissions", map[string]any{"ParentId": set, "SobjectType": "UserExternalCredential", "PermissionsRead": true})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// make makes one access where it is missing. That it is there already, after an answer that was
// lost, is no failure.
func (w *worker) make(r *Report, o Options, set, object string, there bool, create func() error) error {
	a := AccessReport{PermissionSet: set, Object: object, Action: reconcile.Create}
	switch {
	case there:
		a.Action, a.Done = reconcile.Unchanged, true
	case !o.PlanOnly:
		err := create()
		if refused, ok := errors.AsType[*salesforce.Error](err); ok && strings.HasPrefix(refused.Code, "DUPLICATE") {
			err = nil
		}
		if err != nil {
			r.Access = append(r.Access, a)
			r.Pending++
			return fmt.Errorf("%s of %s: %w", object, set, err)
		}
		a.Done = true
	}
	r.count(a.Action, a.Done)
	r.Access = append(r.Access, a)
	return nil
}
