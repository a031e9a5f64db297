package connectedapp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/literal"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// target is a field of an External Client App's component.
type target struct{ typ, field string }

// rule describes the conversion of an element of a Connected App. The element is one of: copied to
// fields, converted element by element, converted by a function, or lost.
type rule struct {
	to     []target
	values map[string]string // by the value in lower case; nil copies it

	each      bool              // a structure whose elements have rules
	structure map[string]string // a structure: the new names of its elements by their old ones
	own       func(a *App, place, text string)

	lost, fix string // why it has no equivalent, and what to do
	id        string // of the finding about the loss
	level     finding.Level
}

func to(pairs ...string) rule {
	var r rule
	for i := 0; i < len(pairs); i += 2 {
		r.to = append(r.to, target{pairs[i], pairs[i+1]})
	}
	return r
}

func lost(why, fix string) rule {
	return rule{lost: why, fix: fix, id: "not-carried", level: finding.Error}
}

const (
	header   = eca.Header
	settings = eca.OAuthSettings
	global   = eca.GlobalOAuthSettings
	plugin   = eca.PluginPolicies
	policies = eca.OAuthPolicies
	saml     = eca.SAMLPolicies
	canvas   = eca.CanvasSettings
)

// rules is the table of all elements, by path.
var rules = map[string]rule{
	"label":        to(header, "label"),
	"contactEmail": {own: contact},
	"contactPhone": to(header, "contactPhone"),
	"description":  to(header, "description"),
	"logoUrl":      to(header, "logoUrl"),
	"iconUrl":      to(header, "iconUrl"),
	"infoUrl":      to(header, "infoUrl"),
	"startUrl":     {own: startURL},
	"attributes": {
		to:        []target{{settings, "customAttributes"}, {saml, "customAttributes"}},
		structure: map[string]string{"key": "key", "formula": "formula"},
	},
	"ipRanges": {
		to:        []target{{settings, "trustedIpRanges"}},
		structure: map[string]string{"start": "startIpAddress", "end": "endIpAddress", "description": "description"},
	},
	"permissionSetName":   {own: permissionSet},
	"profileName":         {own: profile},
	"plugin":              {own: apexHandler},
	"pluginExecutionUser": to(policies, "executeHandlerAs"),
	"mobileStartUrl": {
		lost: "External Client Apps have no separate start page for mobile devices",
		fix:  "use startUrl for both, or redirect mobile users from that page",
		id:   "not-carried", level: finding.Warning,
	},

	"oauthConfig":             {each: true},
	"oauthConfig.callbackUrl": to(global, "callbackUrl"),
	"oauthConfig.certificate": {own: certificate},
	keyPath: {
		lost: "the key stays with the Connected App: each org generates a new one",
		fix:  "give the new one to its users",
		id:   "consumer-key", level: finding.Warning,
	},
	"oauthConfig.consumerSecret": {own: secret},
	"oauthConfig.isAdminApproved": {
		to:     []target{{policies, "permittedUsersPolicyType"}},
		values: map[string]string{"true": "AdminApprovedPreAuthorized", "false": "AllSelfAuthorized"},
	},
	"oauthConfig.isClientCredentialEnabled":        to(global, "isClientCredentialsFlowEnabled"),
	"oauthConfig.oauthClientCredentialUser":        {own: runAs},
	"oauthConfig.isCodeCredentialEnabled":          to(global, "isCodeCredFlowEnabled"),
	"oauthConfig.isCodeCredentialPostOnly":         to(global, "isCodeCredPostOnly"),
	"oauthConfig.isConsumerSecretOptional":         to(global, "isConsumerSecretOptional"),
	"oauthConfig.isDPopEnabled":                    to(global, "isDPopEnabled"),
	"oauthConfig.isDeviceFlowEnabled":              to(global, "isDeviceFlowEnabled"),
	"oauthConfig.isEnforceRefreshTokenTTL":         to(global, "isEnforceRefreshTokenTTL"),
	"oauthConfig.isIntrospectAllTokens":            to(global, "isIntrospectAllTokens"),
	"oauthConfig.isNamedUserJwtEnabled":            to(global, "isNamedUserJwtEnabled"),
	"oauthConfig.isPkceRequired":                   to(global, "isPkceRequired"),
	"oauthConfig.isRefreshTokenRotationEnabled":    to(global, "isRefreshTokenRotationEnabled"),
	"oauthConfig.isSecretRequiredForRefreshToken":  to(global, "isSecretRequiredForRefreshToken"),
	"oauthConfig.isSecretRequiredForTokenExchange": to(global, "isSecretRequiredForTokenExchange"),
	"oauthConfig.isTokenExchangeEnabled":           to(global, "isTokenExchangeEnabled"),
	"oauthConfig.scopes":                           {own: scope},
	"oauthConfig.isIpBindingEnabled": offOrLost("binds tokens to IP addresses, which has no field in External Client App metadata",
		"use the token IP ranges of the app's OAuth security settings in Setup"),
	"oauthConfig.isPKImTLSEnabled": offOrLost("authenticates clients with certificates of a PKI, which has no field in External Client App metadata",
		"set up mutual TLS in the app's OAuth security settings in Setup"),
	"oauthConfig.singleLogoutUrl": to(settings, "singleLogoutUrl"),
	"oauthConfig.idTokenConfig": {to: []target{{global, "idTokenConfig"}}, structure: map[string]string{
		"idTokenAudience":              "idTokenAudience",
		"idTokenIncludeAttributes":     "idTokenIncludeAttributes",
		"idTokenIncludeCustomPerms":    "idTokenIncludeCustomPermissions",
		"idTokenIncludeStandardClaims": "idTokenIncludeStandardClaims",
		"idTokenValidity":              "idTokenValidityInMinutes",
	}},
	"oauthConfig.assetTokenConfig":                         {each: true},
	"oauthConfig.assetTokenConfig.assetAudiences":          to(settings, "assetTokenAudiences"),
	"oauthConfig.assetTokenConfig.assetIncludeAttributes":  to(settings, "areAttributesIncludedInAssetToken"),
	"oauthConfig.assetTokenConfig.assetIncludeCustomPerms": to(settings, "areCustomPermsIncludedInAssetToken"),
	"oauthConfig.assetTokenConfig.assetValidityPeriod":     to(settings, "assetTokenValidity"),
	"oauthConfig.assetTokenConfig.assetSigningCertId":      to(settings, "assetTokenSigningCertificate"),

	"oauthPolicy": {each: true},
	"oauthPolicy.ipRelaxation": {to: []target{{policies, "ipRelaxationPolicyType"}}, values: map[string]string{
		"enforce": "Enforce", "bypass": "Bypass", "bypass_2factor": "Bypass_2factor", "enforce_relaxrefresh": "Enforce_RelaxRefresh",
	}},
	"oauthPolicy.refreshTokenPolicy":         {own: refreshTokenPolicy},
	"oauthPolicy.singleLogoutUrl":            to(policies, "singleLogoutUrl"),
	"oauthPolicy.isTokenExchangeFlowEnabled": to(policies, "isTokenExchangeFlowEnabled"),

	"sessionPolicy":                {each: true},
	"sessionPolicy.policyAction":   to(policies, "policyAction"),
	"sessionPolicy.sessionLevel":   to(policies, "requiredSessionLevel"),
	"sessionPolicy.sessionTimeout": to(policies, "sessionTimeoutInMinutes"),

	"samlConfig":                       {each: true},
	"samlConfig.acsUrl":                to(saml, "acsUrl"),
	"samlConfig.certificate":           {own: samlCertificate("certificate")},
	"samlConfig.encryptionCertificate": {own: samlCertificate("encryptionCertificate")},
	"samlConfig.encryptionType":        {own: encryptionType},
	"samlConfig.entityUrl":             to(saml, "entityUrl"),
	"samlConfig.issuer":                to(saml, "issuer"),
	"samlConfig.samlIdpSLOBindingEnum": to(saml, "singleLogoutBindingType"),
	"samlConfig.samlNameIdFormat":      to(saml, "nameIdFormat"),
	"samlConfig.samlSigningAlgoType":   to(saml, "signingAlgorithmType"),
	"samlConfig.samlSloUrl":            to(saml, "singleLogoutUrl"),
	"samlConfig.samlSubjectCustomAttr": to(saml, "subjectCustomAttribute"),
	"samlConfig.samlSubjectType":       to(saml, "subjectType"),

	"canvasConfig":                      {each: true},
	"canvasConfig.accessMethod":         to(canvas, "accessMethod"),
	"canvasConfig.canvasUrl":            to(canvas, "canvasUrl"),
	"canvasConfig.lifecycleClass":       to(canvas, "lifeCycleHandler"),
	"canvasConfig.samlInitiationMethod": to(canvas, "samlInitiationMethod"),
	"canvasConfig.options":              {own: canvasOption("canvasOptions", "HideShare", "HideHeader")},
	"canvasConfig.locations": {own: canvasOption("canvasLocationOptions",
		"Aura", "ChatterFeed", "MobileNav", "None", "PageLayout", "Publisher", "Visualforce")},
	"canvas": lost("is an old form of canvasConfig without an equivalent", "retrieve the app again, or state its fields as canvasConfig"),

	"mobileAppConfig": lost("is for a mobile app that the org distributes, which External Client Apps do not have",
		"distribute it through an app store or device management"),
}

// startURL also sets the kind of start page that has a URL.
func startURL(a *App, place, text string) {
	a.set(place, target{plugin, "startUrl"}, text)
	a.set(place, target{plugin, "startPage"}, "Custom")
}

func permissionSet(a *App, place, text string) { a.sets = append(a.sets, statedSet{place, text}) }

func profile(a *App, place, text string) {
	a.Profiles = append(a.Profiles, text)
	a.set(place, target{policies, "commaSeparatedProfile"}, text)
}

// contact carries an address, which every header needs.
func contact(a *App, place, text string) {
	if !strings.Contains(text, "@") || literal.Placeholder(text) != "" {
		a.find("no-contact", finding.Error, place, fmt.Sprintf("%q is not an e-mail address", words.Clip(text)), "name the app's contact")
		return
	}
	a.set(place, target{header, "contactEmail"}, text)
}

func runAs(a *App, _, text string) {
	if literal.Placeholder(text) == "" {
		a.RunAsUser = text
	}
}

func secret(a *App, place, text string) {
	switch literal.Secret(text) {
	case literal.No:
		a.find("consumer-key", finding.Warning, place, "the secret stays with the Connected App: each org generates a new one",
			"give the new one to its users")
	default:
		a.find("secret-in-source", finding.Error, place, "a secret is in the source",
			"remove it, and replace it, because the repository's history contains it")
	}
}

func apexHandler(a *App, place, text string) {
	a.set(place, target{policies, "apexHandler"}, text)
	a.find("apex-handler", finding.Warning, place,
		"the class "+words.Clip(text)+" extends Auth.ConnectedAppPlugin, and has to extend Auth.ExternalClientAppOauthHandler",
		"rewrite the class before the policies are deployed")
}

func certificate(a *App, place, text string) {
	pem, err := metadata.CertificatePEM(metadata.CertificateDER(text))
	switch {
	case metadata.CheckSecret(text) != nil:
		a.privateKey(place)
	case err != nil:
		problem := "is not a certificate, but perhaps the name of one"
		if name := literal.Placeholder(text); name != "" {
			problem = "is the placeholder " + name + ", not a certificate"
		}
		a.find("not-carried", finding.Error, place, problem+"; the new app has no certificate, so JWT bearer fails",
			"save the certificate in a file, and name it in globalOauthSettings.certificate of plugins.eca")
	default:
		a.set(place, target{global, "certificate"}, pem)
		if expired := expiry(text); !expired.IsZero() && expired.Before(time.Now()) {
			a.find("certificate-expired", finding.Warning, place, "the certificate has expired, so JWT bearer fails",
				"create a new key and certificate; its users sign with the new key")
		}
	}
}

func samlCertificate(field string) func(a *App, place, text string) {
	return func(a *App, place, text string) {
		if metadata.CheckSecret(text) != nil {
			a.privateKey(place)
			return
		}
		a.set(place, target{saml, field}, text)
	}
}

func (a *App) privateKey(place string) {
	a.find("secret-in-source", finding.Error, place, "a private key is in the source",
		"remove it, and replace the key pair, because the repository's history contains it; state only the certificate")
}

// scope adds an OAuth scope, in any case. SFAP is the old name of SFApiPlatform.
func scope(a *App, place, text string) {
	if strings.EqualFold(text, "SFAP") {
		text = "SFApiPlatform"
	}
	i := slices.IndexFunc(eca.Scopes(), func(known string) bool { return strings.EqualFold(known, text) })
	switch {
	case i < 0:
		a.wrong(place, text)
	case !slices.Contains(metadata.Items(a.Fields[settings].Text("commaSeparatedOauthScopes")), eca.Scopes()[i]):
		a.set(place, target{settings, "commaSeparatedOauthScopes"}, eca.Scopes()[i])
	}
}

func encryptionType(a *App, place, text string) {
	if strings.EqualFold(text, "Triple_Des") {
		a.find(wrongValue, finding.Error, place, "External Client Apps do not encrypt with Triple DES",
			"agree on AES with the service provider, and state AES_128 or AES_256")
		return
	}
	a.set(place, target{saml, "encryptionType"}, text)
}

// offOrLost reports a switch without an equivalent if it is on.
func offOrLost(why, fix string) rule {
	return rule{own: func(a *App, place, text string) {
		switch value, ok := booleans[strings.ToLower(text)]; {
		case !ok:
			a.wrong(place, text)
		case value == "true":
			a.find("not-carried", finding.Error, place, why, fix)
		}
	}}
}

// canvasOption adds one of several values. It omits values that the documentation of External
// Client Apps does not have, although the WSDL does.
func canvasOption(field string, documented ...string) func(a *App, place, text string) {
	return func(a *App, place, text string) {
		i := slices.IndexFunc(documented, func(d string) bool { return strings.EqualFold(d, text) })
		if i < 0 {
			a.find(wrongValue, finding.Error, place, "canvas apps of External Client Apps do not have "+words.Clip(text),
				"leave it out, or use "+strings.Join(documented, ", "))
			return
		}
		fields := a.Fields[canvas]
		fields[field] = append(fields[field], metadata.Field{Name: field, Text: documented[i]})
	}
}

// refreshTokenPolicies are the forms of refreshTokenPolicy, in lower case, without number and unit.
var refreshTokenPolicies = map[string]struct {
	typ   string
	lasts bool // a number and a unit follow
}{
	"infinite": {"Infinite", false}, "zero": {"Zero", false},
	"specific_lifetime": {"SpecificLifetime", true}, "specific_inactivity": {"SpecificInactivity", true},
}

var refreshTokenUnits = map[string]string{"hours": "Hours", "days": "Days", "months": "Months"}

// refreshTokenPolicy converts infinite, zero, specific_lifetime:N:UNIT and specific_inactivity:N:UNIT,
// in any case.
func refreshTokenPolicy(a *App, place, text string) {
	parts := strings.Split(strings.ToLower(text), ":")
	policy, ok := refreshTokenPolicies[parts[0]]
	fields := []string{policy.typ}
	if policy.lasts && len(parts) == 3 {
		n, _ := strconv.Atoi(parts[1])
		unit := refreshTokenUnits[parts[2]]
		ok = n > 0 && unit != ""
		fields = append(fields, strconv.Itoa(n), unit)
	} else {
		ok = ok && !policy.lasts && len(parts) == 1
	}
	if !ok {
		a.wrong(place, text)
		return
	}
	for i, value := range fields {
		name := []string{"refreshTokenPolicyType", "refreshTokenValidityPeriod", "refreshTokenValidityUnit"}[i]
		a.set(place, target{policies, name}, value)
	}
}
