// Package credential lets one org call another: it brings an External Credential, a Named
// Credential, the access of permission sets, and the secret to the org that calls.
//
//	connection := credential.Connection{NamedCredential: "Crm", ProviderURL: "https://crm.my.salesforce.com"}
//	report, err := credential.Connect(ctx, conn, connection, pair, credential.Options{})
//
// A second run writes only what differs. Principals and parameters that somebody else added
// survive: the platform replaces the whole external credential, and a principal that is left out
// is deleted with its secret (seen on live orgs).
package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/internal/credtypes"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Connection is how an org calls another one.
type Connection struct {
	NamedCredential    string // the name that Apex calls, as in callout:NAME
	ExternalCredential string // "" is the same name
	Principal          string // who logs in; "" is Integration
	Label              string // "" is the named credential's name

	// ProviderURL is the My Domain of the org that is called.
	ProviderURL string

	// Certificate is the name of a certificate of the calling org, for JWT bearer. "" uses
	// client credentials with a secret.
	Certificate string
	// Username is whom a JWT logs in as, and Audience whom it is for: "" is ProviderURL.
	Username, Audience string

	// PermissionSets let their users call.
	PermissionSets []string
}

// DefaultPrincipal is the name of a principal that nobody named.
const DefaultPrincipal = "Integration"

// complete fills in what is left out.
func (c Connection) complete() Connection {
	if c.ExternalCredential == "" {
		c.ExternalCredential = c.NamedCredential
	}
	if c.Principal == "" {
		c.Principal = DefaultPrincipal
	}
	if c.Label == "" {
		c.Label = strings.ReplaceAll(c.NamedCredential, "_", " ")
	}
	c.ProviderURL = strings.TrimSuffix(c.ProviderURL, "/")
	if c.Audience == "" {
		c.Audience = c.ProviderURL
	}
	return c
}

// developerName is what the platform allows as a name.
var developerName = regexp.MustCompile(`^[A-Za-z](_?[A-Za-z0-9])*$`)

// Check reports what is wrong with the connection as such.
func (c Connection) Check() error {
	c = c.complete()
	for _, name := range []struct{ what, name string }{{"named credential", c.NamedCredential}, {"external credential", c.ExternalCredential}, {"principal", c.Principal}} {
		if len(name.name) > 80 || !developerName.MatchString(name.name) {
			return fmt.Errorf("%q cannot be the name of the %s: letters, digits and single underscores, a letter first", name.name, name.what)
		}
	}
	if _, err := salesforce.ParseInstance(c.ProviderURL); err != nil {
		return err
	}
	if c.Certificate != "" && c.Username == "" {
		return errors.New("JWT bearer needs the user to log in as")
	}
	return nil
}

// The values of parameters. Those for a secret are as they work against another org; those of
// JWT bearer are Salesforce's documentation's.
const (
	secretVariant = "ClientCredentialsClientSecret"
	jwtVariant    = "JwtBearer"
	group         = "DefaultGroup"
)

func (c Connection) variant() string {
	if c.Certificate != "" {
		return jwtVariant
	}
	return secretVariant
}

func (c Connection) tokenURL() string { return c.ProviderURL + "/services/oauth2/token" }

// parameter builds a value of externalCredentialParameters or namedCredentialParameters from
// names and texts in turn; "" texts are left out.
func parameter(field string, pairs ...string) metadata.Field {
	f := metadata.Field{Name: field}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			f.Fields = append(f.Fields, metadata.Field{Name: pairs[i], Text: pairs[i+1]})
		}
	}
	f.Fields = metadata.InOrder(f.Fields)
	return f
}

const (
	externalParameters = "externalCredentialParameters"
	namedParameters    = "namedCredentialParameters"
)

// part returns a text within a structure.
func part(f metadata.Field, name string) string {
	for _, p := range f.Fields {
		if p.Name == name {
			return strings.TrimSpace(p.Text)
		}
	}
	return ""
}

// parameters returns a component's parameters of a type.
func parameters(c *metadata.Component, field, typ string) (found []metadata.Field) {
	if c == nil {
		return nil
	}
	for _, f := range c.Fields {
		if f.Name == field && part(f, "parameterType") == typ {
			found = append(found, f)
		}
	}
	return found
}

// issuer returns the consumer key by which an external credential signs JWTs, "" where it does
// not.
func issuer(c *metadata.Component) (key string) {
	for _, f := range parameters(c, externalParameters, "JwtBodyClaim") {
		if part(f, "parameterName") == "iss" {
			json.Unmarshal([]byte(part(f, "parameterValue")), &key) // otherwise it is unknown
		}
	}
	return key
}

// external returns the wanted fields of the external credential. Parameters of which there is one
// keep the name that the org has for it.
func (c Connection) external(existing *metadata.Component, key string) metadata.Fields {
	fields := make(metadata.Fields)
	fields.Set("authenticationProtocol", "Oauth")
	name := func(typ, otherwise string) string {
		if found := parameters(existing, externalParameters, typ); len(found) == 1 {
			return part(found[0], "parameterName")
		}
		return otherwise
	}
	inGroup := func(typ, otherwise string) string {
		if found := parameters(existing, externalParameters, typ); len(found) == 1 {
			return part(found[0], "parameterGroup")
		}
		return group
	}
	add := func(typ, named string, more ...string) {
		all := append([]string{"parameterType", typ, "parameterName", named}, more...)
		fields[externalParameters] = append(fields[externalParameters], parameter(externalParameters, all...))
	}
	add("AuthProtocolVariant", name("AuthProtocolVariant", "Oauth"), "parameterValue", c.variant(), "parameterGroup", inGroup("AuthProtocolVariant", ""))
	add("AuthProviderUrl", name("AuthProviderUrl", "AuthProviderUrl"), "parameterValue", c.tokenURL(), "parameterGroup", inGroup("AuthProviderUrl", ""))
	if c.Certificate != "" {
		add("SigningCertificate", name("SigningCertificate", "SigningCertificate"), "certificate", c.Certificate, "parameterGroup", inGroup("SigningCertificate", ""))
		for _, claim := range [][2]string{{"iss", key}, {"sub", c.Username}, {"aud", c.Audience}} {
			text, _ := json.Marshal(claim[1]) // a claim's value is JSON
			add("JwtBodyClaim", claim[0], "parameterValue", string(text), "parameterGroup", group)
		}
	}
	principal := []string{"sequenceNumber", "1", "parameterGroup", c.Principal}
	for _, f := range parameters(existing, externalParameters, "NamedPrincipal") {
		if strings.EqualFold(part(f, "parameterName"), c.Principal) {
			principal = []string{"parameterGroup", part(f, "parameterGroup")} // whatever else it has stays
		}
	}
	add("NamedPrincipal", c.Principal, principal...)
	return fields
}

// named returns the wanted fields of the named credential.
func (c Connection) named(existing *metadata.Component) metadata.Fields {
	fields := make(metadata.Fields)
	name := func(typ, otherwise string) string {
		if found := parameters(existing, namedParameters, typ); len(found) == 1 {
			return part(found[0], "parameterName")
		}
		return otherwise
	}
	fields[namedParameters] = []metadata.Field{
		parameter(namedParameters, "parameterType", "Url", "parameterName", name("Url", "Url"), "parameterValue", c.ProviderURL),
		parameter(namedParameters, "parameterType", "Authentication", "parameterName", name("Authentication", "ExternalCredential"), "externalCredential", c.ExternalCredential),
	}
	fields.Set("calloutStatus", "Enabled")
	return fields
}

// defaults returns the fields of new credentials that are left alone on existing ones.
func (c Connection) defaults() (external, named metadata.Fields) {
	external = make(metadata.Fields)
	external.Set("label", c.Label)
	named = external.Over(nil)
	for _, f := range [][2]string{{"namedCredentialType", "SecuredEndpoint"}, {"generateAuthorizationHeader", "true"}, {"allowMergeFieldsInBody", "false"}, {"allowMergeFieldsInHeader", "false"}} {
		named.Set(f[0], f[1])
	}
	return external, named
}

// Components returns the external and the named credential of a connection as Connect makes them
// on an org that has neither. They hold no secret; those of JWT bearer hold no consumer key either,
// without which they are not complete.
func (c Connection) Components() ([]*metadata.Component, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	c = c.complete()
	external, named := c.defaults()
	return []*metadata.Component{
		metadata.New(credtypes.ExternalCredential, c.ExternalCredential, c.external(nil, "").Over(external)),
		metadata.New(credtypes.NamedCredential, c.NamedCredential, c.named(nil).Over(named)),
	}, nil
}

// Difference is something in which an org's credential is for something else.
type Difference struct {
	Component string `json:"component"` // its type and name
	What      string `json:"what"`
	Is        string `json:"is"`
	Wanted    string `json:"wanted"`
}

// ConflictError says that the names are taken by credentials for something else.
type ConflictError struct{ Differences []Difference }

func (e *ConflictError) Error() string {
	d := e.Differences[0]
	text := fmt.Sprintf("%s is for something else: its %s is %s, and %s is wanted", d.Component, d.What, d.Is, d.Wanted)
	if more := len(e.Differences) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// conflicts compares what the org has with what the connection is for.
func (c Connection) conflicts(external, named *metadata.Component) (all []Difference) {
	differ := func(component, what, is, wanted string) {
		if is != "" && !strings.EqualFold(strings.TrimSuffix(is, "/"), strings.TrimSuffix(wanted, "/")) {
			all = append(all, Difference{component, what, is, wanted})
		}
	}
	if external != nil {
		at := credtypes.ExternalCredential + " " + external.FullName
		differ(at, "protocol", external.Text("authenticationProtocol"), "Oauth")
		for _, f := range parameters(external, externalParameters, "AuthProtocolVariant") {
			differ(at, "variant", part(f, "parameterValue"), c.variant())
		}
		for _, f := range parameters(external, externalParameters, "AuthProviderUrl") {
			differ(at, "token URL", part(f, "parameterValue"), c.tokenURL())
		}
		if users := parameters(external, externalParameters, "PerUserPrincipal"); len(users) > 0 {
			all = append(all, Difference{at, "principal", "per user", "one for all"})
		}
	}
	if named != nil {
		at := credtypes.NamedCredential + " " + named.FullName
		differ(at, "type", named.Text("namedCredentialType"), "SecuredEndpoint")
		for _, f := range parameters(named, namedParameters, "Url") {
			differ(at, "endpoint", part(f, "parameterValue"), c.ProviderURL)
		}
		for _, f := range parameters(named, namedParameters, "Authentication") {
			differ(at, "external credential", part(f, "externalCredential"), c.ExternalCredential)
		}
	}
	return all
}

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
	Connection
	conn *salesforce.Conn
	pair consumer.Pair
}

func (w *worker) rest() *restapi.Client { return &restapi.Client{Conn: w.conn} }

// Connect brings a connection to the org that calls. pair is the consumer's of the org that is
// called; with a certificate, only its key counts.
//
// What exists under the names for something else is a *ConflictError, unless Replace. The report
// is not nil once the org was read.
func Connect(ctx context.Context, conn *salesforce.Conn, c Connection, pair consumer.Pair, o Options) (*Report, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	w := &worker{c.complete(), conn, pair}
	has, err := w.look(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{NamedCredential: w.NamedCredential, ExternalCredential: w.ExternalCredential, Principal: w.Principal, ProviderURL: w.ProviderURL}
	if conflicts := w.conflicts(has.external, has.named); len(conflicts) > 0 && !o.Replace {
		return r, &ConflictError{conflicts}
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
	read(credtypes.ExternalCredential, w.ExternalCredential, &has.external)
	read(credtypes.NamedCredential, w.NamedCredential, &has.named)
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
	defaults, named := w.defaults()
	external := &reconcile.Want{Type: credtypes.Lookup(credtypes.ExternalCredential), Names: []string{w.ExternalCredential}, Fields: w.external(has.external, w.pair.Key), Defaults: defaults}
	wants := []*reconcile.Want{external, {
		Type: credtypes.Lookup(credtypes.NamedCredential), Names: []string{w.NamedCredential}, Fields: w.named(has.named), Defaults: named, After: []*reconcile.Want{external},
	}}
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
			for _, key := range []string{issuer(has.external), w.pair.Key} {
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
		"authenticationProtocol": "OAuth", "authenticationProtocolVariant": w.variant(),
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
