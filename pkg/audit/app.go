package audit

import (
	"cmp"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/restapi"
)

// Kind is the kind of an app.
type Kind string

// The kinds.
const (
	Connected    Kind = "Connected App"
	External     Kind = "External Client App"
	NotInstalled Kind = "not installed" // an app of another org that users of this org log in with
	NotShown     Kind = "not shown"     // an app of the org that the session cannot see
	OrgItself    Kind = "org"           // no app: a finding about the org
)

// Access is who can use an app; "" if the org does not show it.
type Access string

// The values of Access.
const (
	Everybody     Access = "everybody"      // every user can authorise the app
	PreAuthorised Access = "pre-authorised" // only users with a permission set or profile that grants the app
)

// App is one app of an org.
type App struct {
	Kind      Kind   `json:"kind"`
	Name      string `json:"name"` // the API name, or the label if the org does not show the name
	Label     string `json:"label"`
	ID        string `json:"id,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Packaged  bool   `json:"packaged,omitempty"` // its consumer is on another org
	// Salesforce reports that the app is one of Salesforce's own, by its namespace or because the org
	// marks it as internal. A name proves nothing.
	Salesforce bool `json:"salesforce,omitempty"`
	NoOAuth    bool `json:"noOAuth,omitempty"` // an app for SAML, Canvas or a link alone

	Access   Access   `json:"access"`
	Granted  []string `json:"granted,omitempty"`  // permission sets and profiles that grant it
	Grantees int      `json:"grantees,omitempty"` // number of users with one of these permission sets
	Flows    []string `json:"flows,omitempty"`    // enabled flows besides the authorization code
	Scopes   []string `json:"scopes,omitempty"`   // by their metadata names
	RunAs    *User    `json:"runAs,omitempty"`    // the user of the client credentials flow

	RefreshToken  string `json:"refreshToken,omitempty"`  // lifetime of refresh tokens, like "90 days"
	Rotation      *bool  `json:"rotation,omitempty"`      // of refresh tokens; nil if the org does not show it
	IdleLimit     *bool  `json:"idleLimit,omitempty"`     // the app's own limit of 30 idle days; nil if the org does not show it
	JWTTokens     *bool  `json:"jwtTokens,omitempty"`     // whether access tokens are JWTs; nil if the org does not show it
	DPoP          *bool  `json:"dpop,omitempty"`          // nil if the org does not show it
	IP            string `json:"ip,omitempty"`            // the relaxation of IP ranges
	TrustedRanges int    `json:"trustedRanges,omitempty"` // number of the app's own IP ranges
	// TokenAddresses is the number of IP addresses from which refresh tokens can be used; 0 is any.
	TokenAddresses int      `json:"tokenAddresses,omitempty"`
	Callbacks      []string `json:"callbacks,omitempty"`
	PKCE           *bool    `json:"pkce,omitempty"`           // nil if the org does not show it
	SecretOptional *bool    `json:"secretOptional,omitempty"` // nil if the org does not show it
	Enabled        *bool    `json:"on,omitempty"`             // the app and its OAuth plugin

	ConsumerKey        string    `json:"-"` // shortened; "" if the org does not show it
	CertificateExpires time.Time `json:"certificateExpires,omitzero"`
	ConsumerCreated    time.Time `json:"consumerMade,omitzero"`
	// ConsumerModified is when the consumer was modified after its creation, which shows a rotation. That
	// it is zero shows nothing: whether a rotation moves the consumer's dates is not known.
	ConsumerModified time.Time `json:"consumerModified,omitzero"`

	Users    int       `json:"users"` // number of users with tokens
	Tokens   int       `json:"tokens"`
	LastUsed time.Time `json:"lastUsed,omitzero"` // of a token, or a successful login in the last six months
	// Holders are the users with tokens, those who may modify all data first, then by last use; at most
	// MaxHolders. Admins is how many of all holders may modify all data.
	Holders []Holder `json:"holders,omitempty"`
	Admins  int      `json:"admins,omitempty"`
	// LastRefused is the last login that the org refused, and Refusal the org's words.
	LastRefused time.Time `json:"lastRefused,omitzero"`
	Refusal     string    `json:"refusal,omitempty"`
	// LastPasswordLogin is the last login with the username-password flow.
	LastPasswordLogin time.Time `json:"lastPasswordLogin,omitzero"`

	// Lost are the elements of a Connected App that an External Client App has no equivalent for.
	Lost []string `json:"lost,omitempty"`

	refreshDays int      // 0 if unknown, -1 if refresh tokens never expire
	opaque      bool     // its settings cannot be read
	wrong       bool     // a Connected App whose settings have no equivalent
	codeLogins  bool     // logins by a flow with a code are on record
	idle        bool     // refreshDays counts days without use
	recorded    bool     // SetupEntityAccess has what grants it
	allHolders  []Holder // Holders without a limit
	policySets  []string // permission sets that the OAuth policies name
	created     time.Time
}

// The flows, as App.Flows names them.
const (
	clientCredentials = "client credentials"
	tokenExchange     = "token exchange"
	guestCredentials  = "guest code and credentials"
	deviceFlow        = "device"
	codeCredentials   = "code and credentials"
	jwtBearer         = "JWT bearer"
)

// Holder is a user with tokens of an app.
type Holder struct {
	Username string    `json:"username"`
	Admin    bool      `json:"admin,omitempty"` // may modify all data
	LastUsed time.Time `json:"lastUsed,omitzero"`
}

// MaxHolders bounds App.Holders.
const MaxHolders = 20

// User is the user that client credentials run as.
type User struct {
	Username string `json:"username"`
	Profile  string `json:"profile,omitempty"`
	Inactive bool   `json:"inactive,omitempty"`
	Missing  bool   `json:"missing,omitempty"` // the org has no such user
	// Admin reports that the user may modify all data, or has the profile System Administrator.
	Admin bool `json:"admin,omitempty"`
}

// Who describes who can use the app.
func (a *App) Who() string {
	switch {
	case a.Access == Everybody:
		return "everybody"
	case a.Kind == NotInstalled && a.Users > 0:
		return plural(a.Users, "user") + " with tokens"
	case a.NoOAuth:
		return "no OAuth"
	case a.Access == PreAuthorised && len(a.Granted) == 0 && (a.ID == "" || a.Namespace != "" || !a.LastUsed.IsZero()):
		return "not known" // a use shows that something grants the app
	case a.Access == PreAuthorised && len(a.Granted) == 0:
		return "nobody"
	case a.Access == PreAuthorised && a.Kind == External && !slices.ContainsFunc(a.Granted, isPermissionSet):
		return "perhaps " + strings.Join(a.Granted, ", ") // profiles, which some orgs ignore
	case a.Access == PreAuthorised:
		return strings.Join(a.Granted, ", ")
	}
	return "not known"
}

// How describes how clients of the app log in.
func (a *App) How() string {
	flows := slices.Clone(a.Flows)
	if i := slices.Index(flows, clientCredentials); i >= 0 && a.RunAs != nil {
		flows[i] += " as " + a.RunAs.Username
	}
	return strings.Join(flows, ", ")
}

// apps returns the apps of the org, and those that its tokens and logins name.
func (s *Snapshot) apps() []*App {
	all := append(s.connectedApps(), s.externalApps()...)
	namespaces := make(map[string]string) // by app ID
	for _, m := range s.menu {
		namespaces[restapi.ShortID(m.ApplicationID)] = m.NamespacePrefix
	}
	for _, app := range all {
		s.grant(app)
		// The name of an opaque app is its label, which anybody can choose.
		if namespace, name, found := strings.Cut(app.Name, "__"); found && name != "" && app.Kind == Connected && !app.opaque {
			app.Namespace = namespace
		}
		if app.ID != "" {
			app.Namespace = cmp.Or(app.Namespace, namespaces[restapi.ShortID(app.ID)])
		}
		app.Salesforce = app.Salesforce || apps.OfSalesforce(app.Namespace)
	}
	return append(all, s.addUsage(all)...)
}

// addresses returns the number of IPv4 addresses of a range, 1 if it cannot be counted.
func addresses(start, end string) int {
	from, err := netip.ParseAddr(strings.TrimSpace(start))
	to, err2 := netip.ParseAddr(strings.TrimSpace(end))
	if err != nil || err2 != nil || !from.Is4() || !to.Is4() || to.Less(from) {
		return 1
	}
	a, b := from.As4(), to.As4()
	return int(binary.BigEndian.Uint32(b[:])-binary.BigEndian.Uint32(a[:])) + 1
}

// byApp returns rows by the app that they belong to.
func byApp[Row any](rows []Row, app func(Row) string) map[string]Row {
	index := make(map[string]Row)
	for _, row := range rows {
		index[restapi.ShortID(app(row))] = row
	}
	return index
}

func (s *Snapshot) externalApps() (all []*App) {
	policies := byApp(s.policies, func(p policyRow) string { return p.App })
	plugins := byApp(s.plugins, func(p pluginRow) string { return p.App })
	settings := byApp(s.settings, func(row settingsRow) string { return row.text("ExternalClientApplicationId") })
	trusted, allowed := make(map[string]int), make(map[string]int)
	for _, row := range s.trusted {
		trusted[restapi.ShortID(row.ExtlClntAppOauthSettings.ExternalClientApplicationID)]++
	}
	for _, row := range s.allowed {
		allowed[restapi.ShortID(row.ExtlClntAppOauthSecurity.ExternalClientApplicationID)] += addresses(row.StartIPAddress, row.EndIPAddress)
	}
	for _, e := range s.external {
		id := restapi.ShortID(e.ID)
		a := &App{Kind: External, Name: e.FullName(), Label: e.Label, ID: e.ID, Namespace: e.Namespace,
			Packaged: e.Packaged(), created: restapi.ParseTime(e.CreatedDate)}
		if p, ok := policies[id]; ok {
			s.setPolicies(a, p)
		}
		plugin := plugins[id]
		if plugin.IsEnabled != nil {
			enabled := *plugin.IsEnabled && !strings.EqualFold(plugin.OauthPluginStatus, "Disabled")
			a.Enabled = &enabled
		}
		row, hasSettings := settings[id]
		if hasSettings {
			a.setSettings(row)
		}
		if dates := s.dates[id]; dates.Modified.After(dates.Created) {
			a.ConsumerModified = dates.Modified
		}
		a.setExternalGlobals(e)
		a.TrustedRanges, a.TokenAddresses = trusted[id], allowed[id]
		a.NoOAuth = !hasSettings && a.opaque && !s.hidden[fromSettings] && !s.hidden[fromGlobals] && !a.Packaged && a.Namespace == "" ||
			strings.EqualFold(plugin.OauthPluginStatus, "Notinstalled")
		if a.NoOAuth {
			a.Access, a.Flows, a.RunAs, a.Enabled = "", nil, nil, nil
		}
		slices.Sort(a.Flows)
		for _, component := range e.Components[eca.OAuthPolicies] {
			a.policySets = append(a.policySets, metadata.Items(component.Text("commaSeparatedPermissionSet"))...)
		}
		all = append(all, a)
	}
	return all
}

// flag is a flow with its switch.
type flag struct {
	flow    string
	enabled bool
}

func (a *App) addFlows(flags ...flag) {
	for _, f := range flags {
		if f.enabled {
			a.Flows = append(a.Flows, f.flow)
		}
	}
}

func (s *Snapshot) setPolicies(a *App, p policyRow) {
	a.Access = accessByPolicy[p.PermittedUsersPolicyType]
	a.IP = p.IpRelaxationPolicyType
	a.setRefresh(p.RefreshTokenPolicyType, fmt.Sprint(p.RefreshTokenValidityPeriod), p.RefreshTokenValidityUnit)
	a.addFlows(flag{clientCredentials, p.IsClientCredentialsFlowEnabled},
		flag{tokenExchange, p.IsTokenExchangeFlowEnabled}, flag{guestCredentials, p.IsGuestCodeCredFlowEnabled})
	if p.IsClientCredentialsFlowEnabled && p.ClientCredentialsFlowUser != "" {
		a.RunAs = s.runAs(p.ClientCredentialsFlowUser)
	}
}

// accessByPolicy is what the values of permittedUsersPolicyType mean.
var accessByPolicy = map[string]Access{"AllSelfAuthorized": Everybody, "AdminApprovedPreAuthorized": PreAuthorised}

func (a *App) setSettings(row settingsRow) {
	a.ConsumerCreated = restapi.ParseTime(row.text("CreatedDate"))
	for scope, column := range eca.ScopeColumns() {
		if row[column] == true {
			a.Scopes = append(a.Scopes, scope)
		}
	}
	slices.Sort(a.Scopes)
}

func (a *App) setExternalGlobals(e *apps.App) {
	global := e.Component(eca.GlobalOAuthSettings)
	if global == nil {
		a.opaque = true
		return
	}
	if key := global.Text("consumerKey"); key != "" {
		a.ConsumerKey = words.ShortKey(key)
	}
	a.setGlobals(global.Text, func(name string) bool { return eca.Bool(global, name) })
	if !eca.Bool(global, "isClientCredentialsFlowEnabled") { // both switches have to be on
		a.Flows = slices.DeleteFunc(a.Flows, func(f string) bool { return f == clientCredentials })
		a.RunAs = nil
	}
}

// setGlobals sets what the global OAuth settings contain.
func (a *App) setGlobals(text func(string) string, is func(string) bool) {
	pkce, optional := is("isPkceRequired"), is("isConsumerSecretOptional")
	rotation, limit := is("isRefreshTokenRotationEnabled"), is("isEnforceRefreshTokenTTL")
	jwt, dpop := is("isNamedUserJwtEnabled"), is("isDPopEnabled")
	a.PKCE, a.SecretOptional, a.Rotation, a.IdleLimit, a.JWTTokens, a.DPoP = &pkce, &optional, &rotation, &limit, &jwt, &dpop
	a.Callbacks = strings.Fields(text("callbackUrl"))
	a.addFlows(flag{deviceFlow, is("isDeviceFlowEnabled")}, flag{codeCredentials, is("isCodeCredFlowEnabled")})
	stated := strings.TrimSpace(text("certificate"))
	a.addFlows(flag{jwtBearer, stated != ""})
	if certificate, err := x509.ParseCertificate(metadata.CertificateDER(stated)); err == nil {
		a.CertificateExpires = certificate.NotAfter.UTC()
	}
}

// never is the lifetime of refresh tokens of an app that gives none.
const never = "not at all"

// setRefresh sets the lifetime of refresh tokens.
func (a *App) setRefresh(policy, period, unit string) {
	switch policy {
	case "Infinite":
		a.RefreshToken, a.refreshDays = "forever", -1
	case "Zero":
		a.RefreshToken = never
	case "SpecificLifetime", "SpecificInactivity":
		n, err := strconv.ParseFloat(period, 64)
		if err != nil {
			return
		}
		a.RefreshToken = fmt.Sprintf("%g %s", n, strings.ToLower(unit))
		if policy == "SpecificInactivity" {
			a.RefreshToken += " without use"
			a.idle = true
		}
		if days := map[string]float64{"Hours": 1.0 / 24, "Days": 1, "Months": 30}[unit]; days > 0 {
			a.refreshDays = max(1, int(n*days))
		}
	}
}

// runAs returns a user that policies name by username or ID.
func (s *Snapshot) runAs(name string) *User {
	u, ok := s.users[userKey(name)]
	if !ok {
		return &User{Username: name, Missing: !s.hidden[fromUsers]}
	}
	return &User{Username: u.Username, Profile: u.Profile.Name, Inactive: u.IsActive != nil && !*u.IsActive,
		Admin: s.admins[userKey(u.ID)] || u.Profile.Name == "System Administrator"}
}

// connectedApps returns the Connected Apps. Their records and their settings have only the label in
// common. If several apps have one label, records and settings cannot be matched, and the settings
// count.
func (s *Snapshot) connectedApps() (all []*App) {
	records, sources := make(map[string][]connectedRow), make(map[string][]*connectedapp.App)
	var labels []string
	for _, row := range s.connected {
		label := strings.ToLower(row.Name)
		records[label] = append(records[label], row)
		labels = append(labels, label)
	}
	for _, source := range s.sources {
		label := strings.ToLower(source.Label())
		sources[label] = append(sources[label], source)
		labels = append(labels, label)
	}
	for _, label := range distinct(labels) {
		rows, readable := records[label], sources[label]
		for _, source := range readable {
			a := &App{Kind: Connected, Label: source.Label()}
			if len(rows) == 1 && len(readable) == 1 {
				a.setRecord(rows[0])
			}
			s.setSource(a, source)
			all = append(all, a)
		}
		for _, row := range rows[min(len(readable), len(rows)):] { // apps whose settings cannot be read
			a := &App{Kind: Connected, Name: row.Name, Label: row.Name, opaque: true}
			a.setRecord(row)
			if len(rows) > 1 && len(readable) > 0 { // it may be any of the records
				a.ID, a.Access = "", ""
			}
			all = append(all, a)
		}
	}
	return all
}

// setRecord sets what the record of a Connected App contains.
func (a *App) setRecord(row connectedRow) {
	a.ID, a.created, a.ConsumerCreated = row.ID, restapi.ParseTime(row.CreatedDate), restapi.ParseTime(row.CreatedDate)
	a.Salesforce = row.OptionsIsInternal
	switch approved := row.OptionsAllowAdminApprovedUsersOnly; {
	case approved == nil:
	case *approved:
		a.Access = PreAuthorised
	default:
		a.Access = Everybody
	}
}

// setSource sets what a Connected App's settings contain, read as those of the External Client App
// that it would become.
func (s *Snapshot) setSource(a *App, source *connectedapp.App) {
	a.Name = source.Name
	if source.NotOAuth() != "" {
		a.NoOAuth, a.Access = true, ""
		return
	}
	a.wrong = source.Wrong() != nil
	a.TrustedRanges = len(source.Fields[eca.OAuthSettings]["trustedIpRanges"])
	global, policy := source.Fields[eca.GlobalOAuthSettings].Text, source.Fields[eca.OAuthPolicies].Text
	a.Access = accessByPolicy[policy("permittedUsersPolicyType")]
	a.setGlobals(global, func(name string) bool { return global(name) == "true" })
	a.Scopes = metadata.Items(source.Fields[eca.OAuthSettings].Text("commaSeparatedOauthScopes"))
	a.IP = policy("ipRelaxationPolicyType")
	a.setRefresh(policy("refreshTokenPolicyType"),
		policy("refreshTokenValidityPeriod"), policy("refreshTokenValidityUnit"))
	if global("isClientCredentialsFlowEnabled") == "true" {
		a.addFlows(flag{clientCredentials, true})
		if source.RunAsUser != "" {
			a.RunAs = s.runAs(source.RunAsUser)
		}
	}
	slices.Sort(a.Flows)
	a.Granted = append(a.Granted, source.PermissionSets...)
	for _, profile := range metadata.Items(policy("commaSeparatedProfile")) {
		a.Granted = append(a.Granted, profilePrefix+profile)
	}
	for _, f := range source.Findings {
		if f.Field == "oauthConfig.certificate" && !slices.Contains(a.Flows, jwtBearer) { // the name of a certificate
			a.addFlows(flag{jwtBearer, true})
			slices.Sort(a.Flows)
		}
		if f.Level == finding.Error || f.Rule == "not-carried" {
			a.Lost = append(a.Lost, cmp.Or(f.Field, f.Rule))
		}
	}
}

// profilePrefix distinguishes a profile from a permission set in App.Granted.
const profilePrefix = "profile "

// isPermissionSet reports whether an entry of App.Granted is a permission set.
func isPermissionSet(granted string) bool { return !isProfile(granted) }

// isProfile reports whether an entry of App.Granted is a profile.
func isProfile(granted string) bool { return strings.HasPrefix(granted, profilePrefix) }

// grant sets which permission sets and profiles grant an app. The permission sets of the OAuth
// policies count only if SetupEntityAccess has none.
func (s *Snapshot) grant(app *App) {
	for _, a := range s.access {
		if !restapi.SameID(a.SetupEntityID, app.ID) {
			continue
		}
		name := a.Parent.Name
		if a.Parent.IsOwnedByProfile {
			name = profilePrefix + a.Parent.Profile.Name
		}
		app.Granted = append(app.Granted, name)
		app.Grantees += s.assigned[restapi.ShortID(a.ParentID)]
		app.recorded = true
	}
	if !app.recorded && app.Access == PreAuthorised {
		app.Granted = append(app.Granted, app.policySets...)
	}
	app.Granted = distinct(app.Granted)
}
