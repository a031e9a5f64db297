package simorg

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/eca"
)

// failed reports why the org refused a component.
type failed struct{ code, message string }

func (f *failed) Error() string { return f.code + ": " + f.message }

func refuse(code, format string, args ...any) error {
	return &failed{code, fmt.Sprintf(format, args...)}
}

// Messages of the platform, verbatim.
const (
	noOAuthSettings     = "The external client app configured in your global OAuth Settings doesn't have a valid OAuth settings configuration."
	oauthSettingsAbsent = "The OAuth settings are missing for this external client app."
	noRunAsUser         = "Enter a valid execution user for the OAuth client credentials flow"
	ephemeralOrg        = "Ephemeral orgs such as scratch orgs can't be used to deploy packaged ECAs"
	brokenOAuthLink     = `Cannot invoke "String.split(String)" because "oauthLink" is null`
	duplicateEntity     = `duplicate key value violates unique constraint "ak3tl_setup_entity_data"`
	keyTaken            = "The consumer key is already taken."
	invalidPlugin       = "Invalid plugin settings"
	foreignOAuthLink    = "There was a problem with the OAuth link. The app either isn't available on this instance or you don't have access to it."
)

// invalid is the code of refusals whose real code is unknown.
const invalid = "INVALID_FIELD"

func notFound(typ, fullName string) error {
	return refuse("INVALID_CROSS_REFERENCE_KEY", "no %s named %s found", typ, fullName) // assumed wording
}

// put creates or replaces a record like an upsert: omitted fields are reset to their defaults.
func (o *Org) put(rec *record, version apiversion.Version) error {
	existing := o.find(rec.typ, rec.fullName)
	if err := o.checkName(rec); err != nil {
		return err
	}
	if rec.typ == connectedApp {
		return o.replaceConnectedApp(rec, existing)
	}
	for _, ft := range lookup(rec.typ).Fields {
		if ft.Required && rec.text(ft.Name) == "" {
			return refuse("REQUIRED_FIELD_MISSING", "Required field is missing: %s", ft.Name)
		}
	}
	if existing != nil {
		if err := o.replace(rec, existing, version); err != nil {
			return err
		}
	}
	if err := o.check(rec, existing); err != nil {
		return err
	}
	setDefaults(rec)
	o.store(rec)
	switch rec.typ {
	case eca.OrgSettings:
		if rec.isTrue(secretsInREST) && !existing.isTrue(secretsInREST) {
			o.unsecured = 0
			if o.is("secret-after-setting", "later") {
				o.unsecured = cmp.Or(o.config.SecretDelay, 2)
			}
		}
	case eca.GlobalOAuthSettings:
		if existing == nil {
			o.addToConsumer(rec)
		}
	case permissionSet:
		o.applyPermissionSet(rec)
	case eca.PluginPolicies:
		o.disabled(rec)
	}
	return nil
}

// replace makes a record the successor of an existing one.
func (o *Org) replace(r, existing *record, version apiversion.Version) error {
	r.id, r.fullName = existing.id, existing.fullName
	if !strings.EqualFold(r.app(), existing.app()) {
		return refuse(invalid, "The external client app of %s can't be changed", r.fullName) // assumed
	}
	for _, v := range existing.fields {
		if !o.hasField(r.typ, v.Name, version) && o.is("older-version-resets", "kept") {
			r.fields = append(r.fields, v)
		}
	}
	return nil
}

// check applies the rules of the record's type. Some also set fields that the org chooses.
func (o *Org) check(rec, existing *record) error {
	if rec.text("externalClientApplication") != "" {
		if err := o.checkSatellite(rec); err != nil {
			return err
		}
	}
	switch rec.typ {
	case eca.Header:
		return o.scopeHeader(rec)
	case eca.OAuthSettings:
		return o.checkOAuthSettings(rec, existing)
	case eca.GlobalOAuthSettings:
		return o.checkGlobalSettings(rec, existing)
	case eca.OAuthPolicies:
		return o.checkOAuthPolicies(rec)
	case connection.ExternalCredential:
		return o.checkExternalCredential(rec)
	case connection.NamedCredential:
		return o.checkNamedCredential(rec)
	case permissionSet:
		return o.checkPermissionSet(rec)
	}
	return nil
}

// addToConsumer creates the components that the org adds to a new consumer.
func (o *Org) addToConsumer(global *record) {
	app := global.app()
	o.state.Made[strings.ToLower(app)] = time.Now()
	switch {
	case o.is("policies-with-consumer", "created"):
		o.makePolicies(app, app+"_defaultPolicy")
	case o.is("policies-with-consumer", "created-under-other-names"):
		o.makePolicies(app, app+"_made") // a made-up name
	}
	if o.is("security-settings-with-consumer", "created") && o.of(eca.OAuthSecuritySettings, app) == nil {
		security := &record{typ: eca.OAuthSecuritySettings, fullName: app + "_oauthSecurity"}
		security.set("externalClientApplication", app)
		security.set("label", global.text("label"))
		o.store(security)
	}
}

// checkSatellite applies the rules for all components that belong to an app.
func (o *Org) checkSatellite(rec *record) error {
	app := rec.app()
	if o.find(eca.Header, app) == nil {
		return refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id: %s", app)
	}
	if o.broken[strings.ToLower(app)] && rec.typ != eca.PluginPolicies {
		// The null-link state, which only deleting the components repairs. That new OAuth
		// settings get one message and everything else the other is assumed.
		if rec.typ == eca.OAuthSettings && o.find(rec.typ, rec.fullName) == nil {
			return refuse("UNKNOWN_EXCEPTION", duplicateEntity)
		}
		return refuse("UNKNOWN_EXCEPTION", brokenOAuthLink)
	}
	// An app has one record of each type. The message is known for OAuth policies; for the
	// other types it is assumed.
	if other := o.of(rec.typ, app); other != nil && !strings.EqualFold(other.fullName, rec.fullName) {
		link := "ExternalClientApplicationId"
		if rec.typ == eca.OAuthPolicies {
			link = "ExtlClntAppOauthSettingsId"
		}
		return refuse("DUPLICATE_VALUE", "%s duplicates value on %s", link, other.fullName)
	}
	return nil
}

func (o *Org) checkOAuthSettings(rec, existing *record) error {
	known := slices.DeleteFunc(eca.Scopes(), func(scope string) bool { return scopeSince[scope] > o.config.Version })
	for _, scope := range items(rec.text("commaSeparatedOauthScopes")) {
		if !slices.Contains(known, scope) {
			return refuse(invalid, "Invalid OAuth scope: %s. Valid scopes are: %s", scope, strings.Join(known, ", "))
		}
	}
	link := o.id + ":" + o.nextID("888")
	if existing != nil {
		link = existing.text("oauthLink")
	}
	if sent := rec.text("oauthLink"); sent != "" && sent != link {
		return refuse(invalid, foreignOAuthLink)
	}
	rec.set("oauthLink", link)
	return nil
}

func (o *Org) checkGlobalSettings(rec, existing *record) error {
	if o.of(eca.OAuthSettings, rec.app()) == nil {
		return refuse(invalid, noOAuthSettings)
	}
	key := "3MVG9" + random(40)
	rec.secret = strings.ToUpper(random(32))
	if existing == nil {
		if sent := rec.text("consumerKey"); sent != "" && o.is("consumer-key-at-creation", "honoured") {
			if slices.Contains(o.keys(), sent) || !o.config.Keys.take(o, sent) {
				return refuse(invalid, keyTaken)
			}
			key = sent
		}
		if sent := rec.text("consumerSecret"); sent != "" && o.is("consumer-secret-at-creation", "honoured") {
			rec.secret = sent
		}
	} else {
		if !rec.isTrue("shouldRotateConsumerKey") {
			key = existing.text("consumerKey")
		}
		if !rec.isTrue("shouldRotateConsumerSecret") {
			rec.secret = existing.secret
		}
	}
	rec.set("consumerKey", key)
	for _, name := range []string{"consumerSecret", "shouldRotateConsumerKey", "shouldRotateConsumerSecret"} {
		rec.drop(name)
	}
	if o.is("pkce-forced", "forced") {
		rec.set("isPkceRequired", "true")
	}
	return nil
}

func (o *Org) checkOAuthPolicies(rec *record) error {
	app := rec.app()
	plugins := o.of(eca.PluginPolicies, app)
	if o.of(eca.OAuthSettings, app) == nil || o.globalOf(app) == nil ||
		!plugins.isTrue("isOauthPluginEnabled") || !plugins.isTrue("isEnabled") && o.is("disabled-app-policies", "refused") {
		return refuse(invalid, oauthSettingsAbsent)
	}
	if global := o.globalOf(app); rec.text("namedUserJwtSessionTimeoutType") != "" && !global.isTrue("isNamedUserJwtEnabled") {
		return refuse(invalid, invalidPlugin)
	}
	if rec.isTrue("isClientCredentialsFlowEnabled") {
		user := rec.text("clientCredentialsFlowUser")
		if !slices.ContainsFunc(o.config.Users, func(u User) bool { return strings.EqualFold(u.Username, user) && !u.Inactive }) {
			return refuse(invalid, noRunAsUser)
		}
	}
	var sets []string
	for _, set := range o.permissionSets() {
		sets = append(sets, set.fullName)
	}
	for _, check := range []struct {
		field, what string
		known       []string
	}{
		{"commaSeparatedPermissionSet", "permission sets", sets},
		{"commaSeparatedProfile", "profiles", o.profiles()},
	} {
		if check.what == "profiles" && o.is("unknown-profile", "accepted") {
			continue
		}
		unknown := slices.DeleteFunc(items(rec.text(check.field)), func(name string) bool { return slices.Contains(check.known, name) })
		if len(unknown) > 0 {
			return refuse(invalid, "We couldn't find %s called %s", check.what, strings.Join(unknown, ", "))
		}
	}
	return nil
}

// makePolicies creates the policy records that many orgs create by themselves.
func (o *Org) makePolicies(app, name string) {
	if o.of(eca.PluginPolicies, app) == nil {
		rec := &record{typ: eca.PluginPolicies, fullName: name}
		rec.set("externalClientApplication", app)
		setDefaults(rec)
		o.store(rec)
	}
	if o.of(eca.OAuthPolicies, app) == nil {
		rec := &record{typ: eca.OAuthPolicies, fullName: name}
		for _, v := range [][2]string{
			{"externalClientApplication", app}, {"permittedUsersPolicyType", "AllSelfAuthorized"},
			{"refreshTokenPolicyType", "SpecificLifetime"}, {"refreshTokenValidityPeriod", "365"}, {"refreshTokenValidityUnit", "Days"},
			{"ipRelaxationPolicyType", "Enforce"}, {"requiredSessionLevel", "STANDARD"},
		} {
			rec.set(v[0], v[1])
		}
		setDefaults(rec)
		o.store(rec)
	}
}

// delete removes a record. Deleting an app also deletes its components. Deleting the OAuth
// settings also repairs the damage of a bad deploy.
func (o *Org) delete(typ, fullName string) error {
	rec := o.find(typ, fullName)
	if rec == nil {
		return notFound(typ, fullName)
	}
	delete(o.records[typ], strings.ToLower(fullName))
	app := rec.app()
	switch typ {
	case eca.Header:
		delete(o.broken, strings.ToLower(app))
		delete(o.sources, strings.ToLower(app))
		o.state.Access = slices.DeleteFunc(o.state.Access, func(r row) bool { return r["setupentityid"] == rec.id })
		for _, t := range slices.Concat(eca.Types(), eca.SourceTypes()) {
			for _, other := range o.all(t.Name) {
				if strings.EqualFold(other.app(), app) {
					delete(o.records[t.Name], strings.ToLower(other.fullName))
				}
			}
		}
	case eca.OAuthSettings:
		delete(o.broken, strings.ToLower(app))
	case connection.ExternalCredential:
		o.forgetSecrets(rec.fullName, nil)
	case permissionSet:
		o.removePermissionSet(rec)
	}
	return nil
}

func items(list string) []string {
	var all []string
	for _, item := range strings.Split(list, ",") {
		if item = strings.TrimSpace(item); item != "" {
			all = append(all, item)
		}
	}
	return all
}
