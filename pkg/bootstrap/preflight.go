package bootstrap

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/access"
	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"

	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Finding is something about the environment's policies that sfp's deployment of
// them, or their application here, fails of, or that locks people out.
type Finding struct {
	Check   string `json:"check"` // what was looked at, like "run-as-user"
	App     string `json:"app"`
	File    string `json:"file"`
	Field   string `json:"field,omitempty"`
	Problem string `json:"problem"`
	// Says is what the platform will say, "" where its words are not known or where
	// it says nothing.
	Says string `json:"says,omitempty"`
	Fix  string `json:"fix"`
	// Certain says that the policies will be refused. Otherwise they may be.
	Certain bool `json:"certain"`
}

// String writes the finding as one sentence.
func (f Finding) String() string {
	s := f.File + ": "
	if f.Field != "" {
		s += f.Field + ": "
	}
	s += f.Problem
	if f.Says != "" {
		how := "may"
		if f.Certain {
			how = "will"
		}
		s += fmt.Sprintf(", and the policies %s be refused with %q", how, f.Says)
	}
	return s + "; " + f.Fix
}

// PreflightError says that the environment's policies are certain to be refused.
type PreflightError struct {
	Findings []Finding // the certain ones, at least one
}

func (e *PreflightError) Error() string { return e.Findings[0].String() }

// certain returns an error for the findings that are certain, or nil.
func certain(findings []Finding) error {
	findings = slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return !f.Certain })
	if len(findings) == 0 {
		return nil
	}
	return &PreflightError{findings}
}

// inSource checks the policies as far as no org is needed for it.
func inSource(apps []*App, target Target, source *Source) (all []Finding) {
	for _, app := range apps {
		if !app.checked {
			continue
		}
		applied := app.applied()
		for i, file := range app.policies {
			find := func(check, field string) Finding {
				return Finding{Check: check, App: app.Name, File: file.File, Field: field, Certain: applied || !source.project.Replaces}
			}
			// sfp deploys with the project's version, or the org's.
			version := cmp.Or(source.Version, target.Version)
			for _, p := range eca.Problems(file.Component, version) {
				if applied {
					break // which has been looked at, see applied
				}
				f := find("field", p.Field)
				f.Problem, f.Says, f.Fix = p.Err.Error(), p.Says, p.Fix
				switch p.Kind {
				case metadata.UnknownField, metadata.WrongValue:
					f.Certain = f.Certain && max(version, target.Version) <= apiversion.Latest // a later version may have it
				case metadata.DeprecatedField:
					f.Certain = false // which version was the last to have it is not known
				case metadata.NewerField:
					f.Certain = source.Version != 0 && slices.ContainsFunc(eca.Problems(file.Component, target.Version), func(q metadata.Problem) bool { return q.Field == p.Field && q.Kind == p.Kind })
				}
				all = append(all, f)
			}
			if first := app.policies[0]; i > 0 && !strings.EqualFold(first.FullName, file.FullName) {
				f := find("record-name", "")
				f.Problem = fmt.Sprintf("%s has policies in %s as well, and an app has one record of them", app.Name, first.File)
				f.Says, f.Fix = duplicateOf(first.FullName), "remove one of them"
				all = append(all, f)
			}
			if user := strings.TrimSpace(file.Text("clientCredentialsFlowUser")); eca.Bool(file.Component, "isClientCredentialsFlowEnabled") {
				f := find("run-as-user", "clientCredentialsFlowUser")
				f.Says = eca.SaysNoRunAsUser
				switch {
				case user == "" && !applied:
					f.Problem, f.Fix = noUser, noUserFix
					all = append(all, f)
				case user == eca.UsernamePlaceholder && !applied:
					f.Problem, f.Fix = eca.UsernamePlaceholder+" is not filled in where sfp deploys the policies", `name a user, or set "applyPolicies": true in plugins.eca, which fills it in on scratch orgs`
					all = append(all, f)
				}
			}
		}
	}
	return all
}

const (
	noUser    = "the client credentials flow is on and no user is named"
	noUserFix = "name one, or set isClientCredentialsFlowEnabled to false"
)

func duplicateOf(fullName string) string {
	return "DUPLICATE_VALUE: ExtlClntAppOauthSettingsId duplicates value on " + fullName
}

// profileID is what the ID of a profile looks like.
var profileID = regexp.MustCompile(`^00e[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?$`)

func preAuthorisedOnly(file policiesFile) bool {
	return strings.TrimSpace(file.Text("permittedUsersPolicyType")) == "AdminApprovedPreAuthorized"
}

// inOrg checks the policies against what the org has.
func (e *engine) inOrg(target Target, source *Source) (all []Finding) {
	for _, app := range e.apps {
		if !app.checked {
			continue
		}
		for _, file := range app.policies {
			check := &orgCheck{engine: e, app: app, file: file, source: source}
			check.runAsUser()
			check.names("permission-set", "commaSeparatedPermissionSet", "PermissionSet", "permission sets", eca.IsPermissionSetID)
			check.names("profile", "commaSeparatedProfile", "Profile", "profiles", profileID.MatchString)
			if !target.Undeployed && !file.Ignored {
				check.recordName()
			}
			check.switches()
			check.jwtSession()
			check.nobody()
			all = append(all, check.findings...)
		}
	}
	return all
}

// orgCheck checks one file with policies against an org.
type orgCheck struct {
	*engine
	app      *App
	file     policiesFile
	source   *Source
	findings []Finding
}

func (c *orgCheck) report(f Finding) {
	f.App, f.File = c.app.Name, c.file.File
	if f.Field != "" && c.source.project.Replaces && !c.app.applied() {
		f.Certain = false // sf may replace the text when it deploys it
	}
	c.findings = append(c.findings, f)
}

// refused notes that something could not be checked, and reports whether it was so.
func (c *orgCheck) refused(check, field, object string) bool {
	err := c.facts.Refused(object)
	if err != nil {
		c.report(Finding{Check: check, Field: field, Problem: fmt.Sprintf("was not checked, because the org does not tell of its %s (%v)", object, err), Fix: "let the user of this session see them"})
	}
	return err != nil
}

func (c *orgCheck) runAsUser() {
	const field = "clientCredentialsFlowUser"
	name := strings.TrimSpace(c.file.Text(field))
	if !eca.Bool(c.file.Component, "isClientCredentialsFlowEnabled") || name == eca.UsernamePlaceholder {
		return
	}
	f := Finding{Check: "run-as-user", Field: field, Says: eca.SaysNoRunAsUser, Certain: true}
	if name == "" {
		// Where eca applies the policies, the user whom the org has stays.
		existing := c.find(c.app, eca.OAuthPolicies)
		if c.app.applied() && (existing == nil || existing.Text(field) == "") {
			f.Problem, f.Fix = noUser, noUserFix
			c.report(f)
		}
		return
	}
	if c.refused("run-as-user", field, "User") {
		return
	}
	switch found, ok := c.facts.User(name); {
	case !ok:
		f.Problem, f.Fix = fmt.Sprintf("there is no user %s on this org", name), "name one that the org has, or create it first"
	case !found.IsActive:
		f.Problem, f.Fix = fmt.Sprintf("the user %s is not active", name), "activate it, or name another one"
	default:
		return
	}
	c.report(f)
}

// names checks a list of permission sets or profiles. The platform wants names,
// whatever its documentation says of IDs. That it refuses a profile in the words
// in which it refuses a permission set is not known, and metadata has other names
// for some standard profiles than a query shows, so that a profile is doubtful
// where a permission set is certain.
func (c *orgCheck) names(check, field, object, what string, isID func(string) bool) {
	names := metadata.Items(c.file.Text(field))
	if len(names) == 0 {
		return
	}
	sets := object == "PermissionSet"
	find := func(name, problem, fix string) {
		f := Finding{Check: check, Field: field, Problem: problem, Fix: fix, Certain: sets}
		if sets {
			f.Says = fmt.Sprintf("We couldn't find permission sets called %s", name)
		}
		c.report(f)
	}
	asked := false
	for _, name := range names {
		if isID(name) {
			find(name, name+" is an ID, and the platform wants names", "write the API name")
			continue
		}
		if !asked && c.refused(check, field, object) {
			return
		}
		asked = true
		known := c.facts.HasProfile(name)
		if sets {
			known = c.facts.HasPermissionSet(name)
		}
		if known {
			continue
		}
		if file := c.source.permissionSetFile(name); sets && file != "" {
			c.report(Finding{Check: check, Field: field, Problem: fmt.Sprintf("there is no permission set %s on this org yet, and %s brings it", name, file), Fix: "make sure that it is deployed before the policies, or with them"})
		} else if similar := c.facts.WithNamespace(name); sets && similar != "" {
			c.report(Finding{Check: check, Field: field, Problem: fmt.Sprintf("there is a permission set %s on this org, and none %s", similar, name), Fix: "write its name with the namespace, unless that is the org's own"})
		} else {
			find(name, fmt.Sprintf("there are no %s called %s on this org", what, name), "deploy it before the policies, or correct the name")
		}
	}
}

// recordName checks that the org has the app's policies under the file's name. An
// app has one record of OAuth policies, and many orgs make it by themselves.
func (c *orgCheck) recordName() {
	existing := c.find(c.app, eca.OAuthPolicies)
	if existing == nil || strings.EqualFold(existing.FullName, c.file.FullName) {
		return
	}
	if first := c.app.policies[0]; first.FullName != c.file.FullName && strings.EqualFold(existing.FullName, first.FullName) {
		return // which was found in the source
	}
	name := existing.FullName + "." + eca.Lookup(eca.OAuthPolicies).Suffix + "-meta.xml"
	f := Finding{
		Check:   "record-name",
		Problem: fmt.Sprintf("the org has the policies of %s under the name %s", c.app.Name, existing.FullName),
		Says:    duplicateOf(existing.FullName),
		Fix:     fmt.Sprintf(`rename the file to %s, or set "applyPolicies": true in plugins.eca and leave the file out with %s`, name, sfp.IgnoreFile),
		Certain: c.file.Package != "", // of a directory that was given, nobody knows what becomes of it
	}
	if c.app.applied() {
		f.Fix = fmt.Sprintf("eca has them under the org's name; leave the file out with %s, or rename it to %s", sfp.IgnoreFile, name)
		f.Certain = false
	}
	if !c.app.applied() || c.file.Package != "" {
		c.report(f)
	}
}

// switches checks that what the policies build on is on. The flows are not looked at:
// what the policies need of them is switched on, see imply.
func (c *orgCheck) switches() {
	if plugins := c.find(c.app, eca.PluginPolicies); plugins != nil {
		for _, name := range []string{"isOauthPluginEnabled", "isEnabled"} {
			// sfp may bring plugin policies that switch it on along with these.
			on := !c.app.applied() && slices.ContainsFunc(c.file.place.plugins, func(own *metadata.Component) bool {
				return strings.EqualFold(eca.App(own), c.app.Name) && eca.Bool(own, name)
			})
			if !eca.Bool(plugins, name) && !on && !c.app.Wanted[eca.PluginPolicies].Has(name) {
				c.report(Finding{
					Check: "oauth-off", Problem: fmt.Sprintf("%s is false in %s on this org", name, plugins.FullName), Says: eca.SaysNoOAuth,
					Fix:     fmt.Sprintf("state pluginPolicies.%s in plugins.eca to switch it on", name),
					Certain: name == "isOauthPluginEnabled", // what the platform says of an app that is off as a whole is not known
				})
			}
		}
	}
}

// jwtSession checks that an app whose policies bound the sessions of JWT-based tokens issues
// such tokens.
func (c *orgCheck) jwtSession() {
	const field, switched = "namedUserJwtSessionTimeoutType", "isNamedUserJwtEnabled"
	global := c.find(c.app, eca.GlobalOAuthSettings)
	if strings.TrimSpace(c.file.Text(field)) == "" || global == nil {
		return
	}
	on, wanted := eca.Bool(global, switched), c.app.Wanted[eca.GlobalOAuthSettings]
	if wanted.Has(switched) {
		on = !wanted.IsFalse(switched)
	}
	if !on {
		c.report(Finding{
			Check: "jwt-session", Field: field, Problem: fmt.Sprintf("the app issues no JWT-based tokens (%s is false)", switched), Says: eca.SaysNoJWT,
			Fix: fmt.Sprintf("set globalOauthSettings.%s to true in plugins.eca, or remove the element", switched), Certain: true,
		})
	}
}

// nobody checks that somebody is authorised where only those may use the app.
func (c *orgCheck) nobody() {
	const field = "permittedUsersPolicyType"
	if !preAuthorisedOnly(c.file) || len(metadata.Items(c.file.Text("commaSeparatedPermissionSet"))) > 0 || len(metadata.Items(c.file.Text("commaSeparatedProfile"))) > 0 || len(c.grants[c.app]) > 0 {
		return
	}
	for _, object := range []string{access.AppObject, access.SetupEntityAccess} {
		if c.refused("nobody-granted", field, object) {
			return
		}
	}
	if c.facts.IsGranted(c.app.Name) {
		return
	}
	c.report(Finding{
		Check: "nobody-granted", Field: field, Problem: "lets only pre-authorised users in, and nobody is: no permission set grants the app, and the policies name neither permission sets nor profiles",
		Fix: `name permission sets in "permissionSets" of the app in plugins.eca, or in commaSeparatedPermissionSet`,
	})
}
