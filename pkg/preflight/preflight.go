// Package preflight predicts problems with an app's OAuth policies before they reach an org:
// what the platform will refuse, and what locks users out.
//
// Policies.Source checks a file by itself, Policies.Org checks it against an org.
package preflight

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/refusal"
)

// Policies are an app's OAuth policies in one file, and the way they reach an org.
type Policies struct {
	App       string
	Component *metadata.Component
	File      string
	First     *Policies // the app's first policies file, nil if this is the first

	// Applied reports that eca writes the policies. Default: a deployment writes them.
	Applied bool
	// Replaced reports that the deployment replaces texts of the file.
	Replaced bool
	// Package is the package that deploys the file, "" if unknown.
	Package string
	// LeftOut reports that no deployment contains the file.
	LeftOut bool
	// Plugins are the plugin policies in the same deployment.
	Plugins []*metadata.Component
	// PluginsFile is the file of source that states whether the OAuth plugin is on, "" if none does or the settings
	// state it.
	PluginsFile string
}

// find returns a finding about the policies. It is an error, unless the deployment may replace
// the field's text.
func (p *Policies) find(rule, field string) finding.Finding {
	f := finding.Finding{Rule: rule, Level: finding.Error, App: p.App, File: p.File, Field: field}
	if p.Replaced && !p.Applied && field != "" {
		f.Level = finding.Warning
	}
	return f
}

const (
	noUser    = "the client credentials flow is on, but no user is named"
	noUserFix = "name one, or set isClientCredentialsFlowEnabled to false"
)

func duplicateOf(fullName string) string {
	return "DUPLICATE_VALUE: ExtlClntAppOauthSettingsId duplicates value on " + fullName
}

// user returns the client credentials user, and whether that flow is on.
func (p *Policies) user() (name string, on bool) {
	return strings.TrimSpace(p.Component.Text("clientCredentialsFlowUser")), eca.Bool(p.Component, "isClientCredentialsFlowEnabled")
}

// PreAuthorisedOnly reports whether the policies admit only users authorised by a permission
// set or profile.
func PreAuthorisedOnly(policies *metadata.Component) bool {
	return strings.TrimSpace(policies.Text("permittedUsersPolicyType")) == "AdminApprovedPreAuthorized"
}

// Fields returns the problems with the fields of a component of an app in an API version; 0
// accepts fields of all versions.
func Fields(c *metadata.Component, v apiversion.Version) []finding.Finding {
	all := FieldsOf(eca.Lookup(c.Type), c, v)
	for i := range all {
		all[i].App = eca.App(c)
	}
	return all
}

// fieldRules are the rules about fields, by the kind of problem.
var fieldRules = [...]string{
	metadata.UnknownField: "unknown-element", metadata.UnknownValue: "unknown-value", metadata.DeprecatedField: "unknown-element",
	metadata.NewerField: "newer-than-project", metadata.RepeatedField: "repeated-element", metadata.MissingField: "missing-element",
	metadata.SecretValue: "secret-in-source", metadata.WrongValue: "wrong-value",
}

// FieldsOf is Fields for a component of any type, of no app.
func FieldsOf(typ *metadata.Type, c *metadata.Component, v apiversion.Version) (all []finding.Finding) {
	for _, p := range typ.Problems(c, v) {
		f := finding.Finding{Rule: fieldRules[p.Kind], Level: finding.Error, Field: p.Field, Problem: p.Err.Error(), Says: p.Says, Fix: p.Fix}
		if p.Kind == metadata.UnknownField {
			if other, field := eca.Belongs(typ.Name, p.Field); other == typ.Name {
				f.Fix = fmt.Sprintf("did you mean %s?", field)
			} else if other != "" {
				f.Fix = fmt.Sprintf("state it as %s of the app's %s, which has it", field, other)
			}
		}
		if p.Kind.IsUnknown() || p.Kind == metadata.DeprecatedField || p.Kind == metadata.NewerField {
			f.Level = finding.Warning
		}
		all = append(all, f)
	}
	return all
}

// Source returns the findings that need no org. deployed is the API version of the deployment,
// 0 if it is the org's. org is the version of calls to the org.
func (p *Policies) Source(deployed, org apiversion.Version) (all []finding.Finding) {
	if !p.Applied { // invalid Applied policies are refused earlier
		all = p.fields(deployed, org)
	}
	if p.First != nil && !strings.EqualFold(p.First.Component.FullName, p.Component.FullName) {
		f := p.find("record-name", "")
		f.Problem = fmt.Sprintf("%s also has policies in %s, but an app has only one policies record", p.App, p.First.File)
		f.Says, f.Fix = duplicateOf(p.First.Component.FullName), "remove one of them"
		if p.Replaced && !p.Applied {
			f.Level = finding.Warning
		}
		all = append(all, f)
	}
	for _, f := range p.Alone() {
		if !(p.Applied && f.Problem == noUser) { // the org may already have a user, see Org
			all = append(all, f)
		}
	}
	return all
}

// fields returns the findings about the fields of a deployment.
func (p *Policies) fields(deployed, org apiversion.Version) (all []finding.Finding) {
	inOrg := Fields(p.Component, org)
	for _, f := range Fields(p.Component, cmp.Or(deployed, org)) {
		found := p.find(f.Rule, f.Field)
		found.Problem, found.Says, found.Fix = f.Problem, f.Says, f.Fix
		doubtful := f.Level == finding.Warning
		if f.Rule == fieldRules[metadata.NewerField] {
			// The deployment fails if the org does not know the field either.
			same := func(other finding.Finding) bool { return other.Field == f.Field && other.Rule == f.Rule }
			doubtful = deployed == 0 || !slices.ContainsFunc(inOrg, same)
		}
		if doubtful {
			found.Level = finding.Warning
		}
		all = append(all, found)
	}
	return all
}

// Alone returns the findings that need only the file, apart from those of Fields.
func (p *Policies) Alone() (all []finding.Finding) {
	for _, name := range metadata.Items(p.Component.Text(permissionSetField)) {
		if eca.IsPermissionSetID(name) {
			f := p.find("permission-set", permissionSetField)
			f.Problem, f.Says, f.Fix = name+" is an ID, but the platform requires names", saysNoPermissionSet(name), "write the API name"
			all = append(all, f)
		}
	}
	if user, on := p.user(); on {
		f := p.find("run-as-user", "clientCredentialsFlowUser")
		f.Says = eca.SaysNoRunAsUser
		switch {
		case user == "":
			f.Problem, f.Fix, f.Cause = noUser, noUserFix, refusal.NoRunAsUser
			all = append(all, f)
		case user == eca.UsernamePlaceholder && !p.Applied:
			f.Problem, f.Fix = eca.UsernamePlaceholder+" is not replaced when sfp deploys the policies", `name a user, or set "applyPolicies": true in plugins.eca, which fills it in on scratch orgs`
			all = append(all, f)
		}
	}
	return all
}

func saysNoPermissionSet(name string) string {
	return "We couldn't find permission sets called " + name
}

// Names are the names in settings and policies. Case does not matter.
type Names struct {
	Users          []string // usernames
	PermissionSets []string // API names, including a namespace prefix
	Profiles       []string
	Apps           []string // External Client Apps, looked up with the permission sets that grant them
	// Assignees are the Users whose permission sets are looked up.
	Assignees []string
}

// Objects whose query an org may refuse, see Facts.
const (
	UserObject          = "User"
	PermissionSetObject = "PermissionSet"
	ProfileObject       = "Profile"
	AppObject           = "ExternalClientApplication"
	SetupEntityAccess   = "SetupEntityAccess" // what a permission set grants
)

// Facts is the state of Names on an org.
type Facts interface {
	// Refused returns the error of a refused query of an object, or nil.
	Refused(object string) error
	// ActiveUser reports whether a user with that username exists, and is active.
	ActiveUser(username string) (exists, active bool)
	// HasPermissionSet and HasProfile report whether one of that name exists.
	HasPermissionSet(name string) bool
	HasProfile(name string) bool
	// WithNamespace returns the full name of a namespaced permission set with this name, or "".
	WithNamespace(name string) string
	// IsGranted reports whether any permission set or profile grants an app.
	IsGranted(app string) bool
}

// Org is the state of an app on an org just before its policies arrive.
type Org struct {
	Facts Facts
	Find  func(typ string) *metadata.Component // the app's component of a type, or nil
	// Will is like Find, with what is written before the policies. nil means that nothing is.
	Will func(typ string) *metadata.Component
	// Granted reports that permission sets grant the app before the policies arrive.
	Granted bool
	// PermissionSetFile returns the project's file with a permission set, "" if none.
	PermissionSetFile func(name string) string
	// Creates reports whether a permission set is created before the policies arrive.
	Creates func(name string) bool
}

// Org returns the findings for the policies on an org.
func (p *Policies) Org(org Org) []finding.Finding {
	if org.Will == nil {
		org.Will = org.Find
	}
	c := &check{Policies: p, org: org}
	c.runAsUser()
	c.permissionSets()
	c.profiles()
	if !p.LeftOut {
		c.recordName()
	}
	c.switches()
	c.jwtSession()
	c.nobody()
	return c.findings
}

// check is the check of one file against an org.
type check struct {
	*Policies
	org      Org
	findings []finding.Finding
}

// report adds a finding. doubtful downgrades it to a warning, because the platform may accept
// it.
func (c *check) report(f finding.Finding, doubtful bool) {
	if doubtful {
		f.Level = finding.Warning
	}
	c.findings = append(c.findings, f)
}

// refused reports whether the org refused the query of an object. If so, it adds a finding.
func (c *check) refused(rule, field, object string) bool {
	err := c.org.Facts.Refused(object)
	if err != nil {
		f := c.find(rule, field)
		f.Problem, f.Fix = fmt.Sprintf("was not checked, because the org refused the query of %s (%v)", object, err), "give the session's user access to these records"
		c.report(f, true)
	}
	return err != nil
}

func (c *check) runAsUser() {
	const field = "clientCredentialsFlowUser"
	name, on := c.user()
	if !on || name == eca.UsernamePlaceholder {
		return
	}
	f := c.find("run-as-user", field)
	f.Says = eca.SaysNoRunAsUser
	if name == "" {
		// If eca applies the policies, an existing user on the org stays.
		existing := c.org.Find(eca.OAuthPolicies)
		if c.Applied && (existing == nil || existing.Text(field) == "") {
			f.Problem, f.Fix, f.Cause = noUser, noUserFix, refusal.NoRunAsUser
			c.report(f, false)
		}
		return
	}
	if c.refused("run-as-user", field, UserObject) {
		return
	}
	switch exists, active := c.org.Facts.ActiveUser(name); {
	case !exists:
		f.Problem, f.Fix = fmt.Sprintf("there is no user %s on this org", name), "name an existing user, or create it first"
		f.Cause = refusal.UnknownUser
		c.report(f, false)
	case !active:
		f.Problem, f.Fix = fmt.Sprintf("the user %s is inactive", name), "activate it, or name another one"
		f.Cause = refusal.InactiveUser
		c.report(f, false)
	}
}

// profileID matches the ID of a profile.
var profileID = regexp.MustCompile(`^00e[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?$`)

// names returns the names that a field lists. IDs, which the platform refuses although its
// documentation allows them, are not among them. Without an answer of the org it returns none.
func (c *check) names(rule, field, object string, isID func(string) bool) []string {
	names := slices.DeleteFunc(metadata.Items(c.Component.Text(field)), isID)
	if len(names) > 0 && c.refused(rule, field, object) {
		return nil
	}
	return names
}

// permissionSets checks that the org has the permission sets. Alone reports IDs.
func (c *check) permissionSets() {
	const rule, field = "permission-set", permissionSetField
	for _, name := range c.names(rule, field, PermissionSetObject, eca.IsPermissionSetID) {
		if c.org.Facts.HasPermissionSet(name) || c.org.Creates != nil && c.org.Creates(name) {
			continue
		}
		f := c.find(rule, field)
		file, similar := c.org.PermissionSetFile(name), c.org.Facts.WithNamespace(name)
		switch {
		case file != "":
			f.Problem = fmt.Sprintf("there is no permission set %s on this org yet, but %s adds it", name, file)
			f.Fix = "make sure that it is deployed before the policies, or with them"
		case similar != "":
			f.Problem = fmt.Sprintf("the org has a permission set %s, but none called %s", similar, name)
			f.Fix = "add the namespace to the name, unless it is the org's own"
		default:
			f.Problem, f.Fix = fmt.Sprintf("there are no permission sets called %s on this org", name), fixMissing
			f.Says = saysNoPermissionSet(name)
		}
		c.report(f, file != "" || similar != "")
	}
}

const fixMissing = "deploy it before the policies, or correct the name"

// ProfileRule is the rule of findings about profiles that an org does not have.
const ProfileRule = "profile"

// profiles checks that the org has the profiles. That the platform refuses an unknown one like a
// permission set is assumed, see pkg/platform, unknown-profile.
func (c *check) profiles() {
	const rule, field = ProfileRule, profileField
	for _, name := range metadata.Items(c.Component.Text(field)) {
		if profileID.MatchString(name) {
			f := c.find(rule, field)
			f.Problem, f.Fix = name+" is an ID, but the platform requires names", "write the profile's name"
			c.report(f, true)
		}
	}
	for _, name := range c.names(rule, field, ProfileObject, profileID.MatchString) {
		if c.org.Facts.HasProfile(name) {
			continue
		}
		f := c.find(rule, field)
		f.Problem, f.Fix = fmt.Sprintf("there are no profiles called %s on this org", name), fixMissing
		if label, standard := standardProfile(name); standard {
			f.Problem += fmt.Sprintf(", although %s is a standard profile: standard profiles have names in the org's language", label)
			f.Fix = "write the name that the org has for it, or name a permission set in commaSeparatedPermissionSet"
		}
		c.report(f, false)
	}
}

// standardProfiles are the names of standard profiles in English. Those that source files have under
// another name have it as key.
var standardProfiles = map[string]string{
	"Admin": "System Administrator", "Standard": "Standard User", "ReadOnly": "Read Only",
	"ContractManager": "Contract Manager", "MarketingProfile": "Marketing User", "SolutionManager": "Solution Manager",
	"StandardAul": "Standard Platform User", "PlatformPortal": "Authenticated Website", "HighVolumePortal": "High Volume Customer Portal",
	"Minimum Access - Salesforce": "", "Minimum Access - API Only Integrations": "", "Salesforce API Only System Integrations": "",
	"Chatter Free User": "", "Chatter External User": "", "Chatter Moderator User": "", "Identity User": "", "External Identity User": "",
	"Customer Community User": "", "Customer Community Plus User": "", "Partner Community User": "", "Analytics Cloud Integration User": "",
	"Guest License User": "", "Force.com - App Subscription User": "", "Force.com - Free User": "", "Work.com Only User": "",
}

// standardProfile reports whether a name is that of a standard profile in English, and returns its label.
func standardProfile(name string) (label string, ok bool) {
	for key, of := range standardProfiles {
		if label = cmp.Or(of, key); strings.EqualFold(name, key) || strings.EqualFold(name, label) {
			return label, true
		}
	}
	return "", false
}

// recordName checks that the org has the app's policies under the file's name. An app has one
// OAuth policies record, and many orgs create it by themselves.
func (c *check) recordName() {
	existing := c.org.Find(eca.OAuthPolicies)
	if existing == nil || strings.EqualFold(existing.FullName, c.Component.FullName) {
		return
	}
	if c.First != nil && strings.EqualFold(existing.FullName, c.First.Component.FullName) {
		return // Source reports this
	}
	name := existing.FullName + "." + eca.Lookup(eca.OAuthPolicies).Suffix + "-meta.xml"
	f := c.find("record-name", "")
	f.Problem, f.Says = fmt.Sprintf("the org has the policies of %s under the name %s", c.App, existing.FullName), duplicateOf(existing.FullName)
	f.Fix = fmt.Sprintf(`rename the file to %s, or set "applyPolicies": true in plugins.eca and leave the file out with .forceignore`, name)
	if c.Applied {
		f.Fix = fmt.Sprintf("eca writes them under the org's name; leave the file out with .forceignore, or rename it to %s", name)
	}
	if !c.Applied || c.Package != "" {
		c.report(f, c.Applied || c.Package == "") // whether a given directory is deployed is unknown
	}
}

// switches checks that the app and its OAuth plugin are on. It ignores the flows, because those
// that the policies need are switched on first, see project.Settings.Wanted.
func (c *check) switches() {
	plugins := c.org.Will(eca.PluginPolicies)
	if plugins == nil {
		return
	}
	const name = "isOauthPluginEnabled"
	// The same deployment may contain plugin policies that switch it on.
	on := !c.Applied && slices.ContainsFunc(c.Plugins, func(own *metadata.Component) bool {
		return strings.EqualFold(eca.App(own), c.App) && eca.Bool(own, name)
	})
	f := c.find("oauth-off", "")
	f.Says, f.Cause = eca.SaysNoOAuth, refusal.AppOff
	switch {
	case !eca.Bool(plugins, "isEnabled"):
		f.Problem = fmt.Sprintf("isEnabled is false in %s on this org, so nobody can log in", plugins.FullName)
		f.Fix = "switch the app on, which no bootstrap does"
		c.report(f, true) // whether the platform refuses the policies of a disabled app is not known
	case !eca.Bool(plugins, name) && !on:
		f.Problem = fmt.Sprintf("%s is false in %s on this org", name, plugins.FullName)
		f.Fix = fmt.Sprintf("state pluginPolicies.%s in plugins.eca to switch it on", name)
		if c.PluginsFile != "" {
			f.Fix = fmt.Sprintf("set %s to true in %s", name, c.PluginsFile)
		}
		c.report(f, false)
	}
}

const jwtSessionField = "namedUserJwtSessionTimeoutType"

// jwtSession checks that an app whose policies limit sessions of JWT-based tokens issues such
// tokens.
func (c *check) jwtSession() {
	const field, switched = jwtSessionField, "isNamedUserJwtEnabled"
	global := c.org.Will(eca.GlobalOAuthSettings)
	if strings.TrimSpace(c.Component.Text(field)) == "" || global == nil {
		return
	}
	if !eca.Bool(global, switched) {
		f := c.find("jwt-session", field)
		f.Problem, f.Says = fmt.Sprintf("the app issues no JWT-based tokens (%s is false)", switched), eca.SaysNoJWT
		f.Fix = fmt.Sprintf("set globalOauthSettings.%s to true in plugins.eca, or remove the element", switched)
		c.report(f, false)
	}
}

// nobody checks that someone is authorised if the policies require it.
func (c *check) nobody() {
	const rule, field = "locked-out", "permittedUsersPolicyType"
	if !PreAuthorisedOnly(c.Component) || len(metadata.Items(c.Component.Text(permissionSetField))) > 0 || c.org.Granted {
		return
	}
	facts := c.org.Facts
	if doubtful := c.ProfilesOnly(); len(doubtful) > 0 {
		if facts.Refused(AppObject) != nil || facts.Refused(SetupEntityAccess) != nil || !facts.IsGranted(c.App) {
			c.findings = append(c.findings, doubtful...)
		}
		return
	}
	if c.refused(rule, field, AppObject) || c.refused(rule, field, SetupEntityAccess) || facts.IsGranted(c.App) {
		return
	}
	f := c.find(rule, field)
	f.Problem = "admits only pre-authorised users, but nobody is: no permission set grants the app, and the policies name neither permission sets nor profiles"
	f.Fix, f.Cause = `name permission sets in "permissionSets" of the app in plugins.eca, or in commaSeparatedPermissionSet`, refusal.NoGrant
	c.report(f, true)
}

const (
	permissionSetField = "commaSeparatedPermissionSet"
	profileField       = "commaSeparatedProfile"
)

// ProfilesOnly returns the finding about policies of which only profiles name who may use the app, or
// none. It is for an app that no permission set grants otherwise.
func (p *Policies) ProfilesOnly() []finding.Finding {
	profiles := metadata.Items(p.Component.Text(profileField))
	if !PreAuthorisedOnly(p.Component) || len(metadata.Items(p.Component.Text(permissionSetField))) > 0 || len(profiles) == 0 {
		return nil
	}
	f := p.find("profiles-only", profileField)
	f.Level = finding.Warning
	f.Problem = "only profiles grant the app; " + eca.ProfilesDoubt
	f.Fix = `name a permission set in "permissionSets" of the app in plugins.eca, and assign it to the users of the profiles`
	return []finding.Finding{f}
}
