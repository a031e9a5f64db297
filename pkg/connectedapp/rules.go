package connectedapp

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// target is a field of an External Client App's component.
type target struct{ typ, field string }

// rule says what becomes of an element of a Connected App. It is one of: carried to fields,
// carried by its parts, carried by a function, or lost.
type rule struct {
	to     []target
	values map[string]string // by the value in lower case; nil carries it as it is

	each      bool              // a structure whose elements have rules
	structure map[string]string // a structure: names by what they were
	own       func(a *App, place, text string)

	lost, fix string // why it is not carried, and what to do
	harmless  bool   // nothing is missing without it
}

func (r rule) level() finding.Level {
	if r.harmless {
		return finding.Warning
	}
	return finding.Error
}

func to(pairs ...string) rule {
	var r rule
	for i := 0; i < len(pairs); i += 2 {
		r.to = append(r.to, target{pairs[i], pairs[i+1]})
	}
	return r
}

func lost(why, fix string) rule     { return rule{lost: why, fix: fix} }
func harmless(why, fix string) rule { return rule{lost: why, fix: fix, harmless: true} }

const (
	header   = eca.Header
	settings = eca.OAuthSettings
	global   = eca.GlobalOAuthSettings
	plugin   = eca.PluginPolicies
	policies = eca.OAuthPolicies
	saml     = eca.SAMLPolicies
	canvas   = eca.CanvasSettings
)

const (
	mobile = "is for a mobile app that the org distributes, which External Client Apps do not have"
)

// rules is the table of all elements, by path. It is made by init, because its functions lead
// back to it.
var rules map[string]rule

func init() {
	rules = map[string]rule{
		"label":        to(header, "label"),
		"contactEmail": to(header, "contactEmail"),
		"contactPhone": to(header, "contactPhone"),
		"description":  to(header, "description"),
		"logoUrl":      to(header, "logoUrl"),
		"iconUrl":      to(header, "iconUrl"),
		"infoUrl":      to(header, "infoUrl"),
		"startUrl": {own: func(a *App, place, text string) {
			if text != "" {
				a.set(place, target{plugin, "startUrl"}, text)
				a.set(place, target{plugin, "startPage"}, "Custom") // the kind of start page that has a URL
			}
		}},
		"attributes": {to: []target{{settings, "customAttributes"}, {saml, "customAttributes"}}, structure: map[string]string{"key": "key", "formula": "formula"}},
		"ipRanges":   {to: []target{{settings, "trustedIpRanges"}}, structure: map[string]string{"start": "startIpAddress", "end": "endIpAddress", "description": "description"}},
		"permissionSetName": {own: func(a *App, place, text string) {
			if text != "" {
				a.PermissionSets = append(a.PermissionSets, text)
				a.set(place, target{policies, "commaSeparatedPermissionSet"}, text)
			}
		}},
		"profileName": {own: func(a *App, place, text string) {
			if text != "" {
				a.set(place, target{policies, "commaSeparatedProfile"}, text)
				a.find("profile", finding.Warning, place, "the platform has been seen to ignore profiles here", "use a permission set: permissionSets in plugins.eca")
			}
		}},
		"plugin": {own: func(a *App, place, text string) {
			if text != "" {
				a.set(place, target{policies, "apexHandler"}, text)
				a.find("apex-handler", finding.Warning, place, "the class "+words.Clip(text)+" extends Auth.ConnectedAppPlugin, and has to extend Auth.ExternalClientAppOauthHandler", "rewrite the class before the policies are deployed")
			}
		}},
		"pluginExecutionUser": to(policies, "executeHandlerAs"),
		"mobileStartUrl":      lost("External Client Apps have no start page for mobile devices of their own", "use startUrl for both, or send mobile users elsewhere in that page"),

		"oauthConfig":             {each: true},
		"oauthConfig.callbackUrl": to(global, "callbackUrl"),
		"oauthConfig.certificate": {own: func(a *App, place, text string) {
			switch _, err := metadata.CertificatePEM(metadata.CertificateDER(text)); {
			case text == "":
			case metadata.CheckSecret(text) != nil:
				a.find("secret-in-source", finding.Error, place, "a private key is in the source", "remove it, and replace the key pair, because the repository's history contains it; state its certificate alone")
			case err != nil:
				a.find("not-carried", finding.Error, place, "is no certificate, but perhaps the name of one", "state the certificate in globalOauthSettings.certificate of plugins.eca")
			default:
				pem, _ := metadata.CertificatePEM(metadata.CertificateDER(text))
				a.set(place, target{global, "certificate"}, pem)
			}
		}},
		keyPath:                      harmless("the key stays with the Connected App: each org makes one of its own", "hand the new one over with eca credentials; where the key has to stay, migrate the app in Setup first"),
		"oauthConfig.consumerSecret": lost("a secret is in the source", "remove it, and replace it, because the repository's history contains it"),
		"oauthConfig.isAdminApproved": {to: []target{{policies, "permittedUsersPolicyType"}}, values: map[string]string{
			"true": "AdminApprovedPreAuthorized", "false": "AllSelfAuthorized",
		}},
		"oauthConfig.isClientCredentialEnabled": to(global, "isClientCredentialsFlowEnabled"),
		"oauthConfig.oauthClientCredentialUser": {own: func(a *App, _, text string) { a.RunAsUser = text }},
		"oauthConfig.isCodeCredentialEnabled":   to(global, "isCodeCredFlowEnabled"),
		"oauthConfig.isCodeCredentialPostOnly":  to(global, "isCodeCredPostOnly"),
		"oauthConfig.scopes": {own: func(a *App, place, text string) {
			if strings.EqualFold(text, "SFAP") {
				text = "SFApiPlatform"
			}
			for _, scope := range eca.Scopes() {
				if strings.EqualFold(scope, text) {
					if values := a.Fields[settings]["commaSeparatedOauthScopes"]; len(values) > 0 && slices.Contains(metadata.Items(values[0].Text), scope) {
						return
					}
					a.set(place, target{settings, "commaSeparatedOauthScopes"}, scope)
					return
				}
			}
			if text != "" {
				a.wrong(place, text)
			}
		}},
		"oauthConfig.isIpBindingEnabled": offOrLost("binds tokens to IP addresses, which has no field in External Client App metadata", "use the token IP ranges of the app's OAuth security settings in Setup"),
		"oauthConfig.isPKImTLSEnabled":   offOrLost("authenticates clients with certificates of a PKI, which has no field in External Client App metadata", "set up mutual TLS in the app's OAuth security settings in Setup"),
		"oauthConfig.singleLogoutUrl":    to(settings, "singleLogoutUrl"),
		"oauthConfig.idTokenConfig": {to: []target{{global, "idTokenConfig"}}, structure: map[string]string{
			"idTokenAudience": "idTokenAudience", "idTokenIncludeAttributes": "idTokenIncludeAttributes", "idTokenIncludeCustomPerms": "idTokenIncludeCustomPermissions",
			"idTokenIncludeStandardClaims": "idTokenIncludeStandardClaims", "idTokenValidity": "idTokenValidityInMinutes",
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
		"samlConfig.encryptionType": {own: func(a *App, place, text string) {
			if strings.EqualFold(text, "Triple_Des") {
				a.find("wrong-value", finding.Error, place, "External Client Apps do not encrypt with Triple DES", "agree on AES with the service provider, and state AES_128 or AES_256")
			} else if text != "" {
				a.set(place, target{saml, "encryptionType"}, text)
			}
		}},
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
		"canvasConfig.locations":            {own: canvasOption("canvasLocationOptions", "Aura", "ChatterFeed", "MobileNav", "None", "PageLayout", "Publisher", "Visualforce")},
		"canvas":                            lost("is an old form of canvasConfig, and is not carried", "retrieve the app anew, or state its fields as canvasConfig"),

		"mobileAppConfig": lost(mobile, "distribute it by a store, or a device management"),
	}
	for _, name := range []string{
		"isDPopEnabled", "isDeviceFlowEnabled", "isEnforceRefreshTokenTTL",
		"isConsumerSecretOptional", "isIntrospectAllTokens", "isNamedUserJwtEnabled", "isPkceRequired", "isRefreshTokenRotationEnabled",
		"isSecretRequiredForRefreshToken", "isSecretRequiredForTokenExchange", "isTokenExchangeEnabled",
	} {
		rules["oauthConfig."+name] = to(global, name)
	}
}

// offOrLost reports a switch without an equivalent if it is on; off, nothing is missing.
func offOrLost(why, fix string) rule {
	return rule{own: func(a *App, place, text string) {
		switch value, ok := booleans[strings.ToLower(text)]; {
		case text != "" && !ok:
			a.wrong(place, text)
		case value == "true":
			a.find("not-carried", finding.Error, place, why, fix)
		}
	}}
}

// samlCertificate carries a certificate of samlConfig.
func samlCertificate(field string) func(a *App, place, text string) {
	return func(a *App, place, text string) {
		switch {
		case text == "":
		case metadata.CheckSecret(text) != nil:
			a.find("secret-in-source", finding.Error, place, "a private key is in the source", "remove it, and replace the key pair, because the repository's history contains it; state its certificate alone")
		default:
			a.set(place, target{saml, field}, text)
		}
	}
}

// canvasOption carries one of several values. Those that the documentation of External Client
// Apps does not name are left out, although the WSDL has them.
func canvasOption(field string, documented ...string) func(a *App, place, text string) {
	return func(a *App, place, text string) {
		if text == "" {
			return
		}
		i := slices.IndexFunc(documented, func(d string) bool { return strings.EqualFold(d, text) })
		if i < 0 {
			a.find("wrong-value", finding.Error, place, "canvas apps of External Client Apps do not have "+words.Clip(text), "leave it out, or use "+strings.Join(documented, ", "))
			return
		}
		fields := a.Fields[canvas]
		fields[field] = append(fields[field], metadata.Field{Name: field, Text: documented[i]})
	}
}

// refreshTokenPolicy carries infinite, zero, specific_lifetime:N:UNIT and specific_inactivity:N:UNIT,
// in any case.
func refreshTokenPolicy(a *App, place, text string) {
	types := map[string]string{"infinite": "Infinite", "zero": "Zero", "specific_lifetime": "SpecificLifetime", "specific_inactivity": "SpecificInactivity"}
	units := map[string]string{"hours": "Hours", "days": "Days", "months": "Months"}
	parts := strings.Split(strings.ToLower(text), ":")
	typ := types[parts[0]]
	if text == "" {
		return
	}
	set := func(field, value string) { a.set(place, target{policies, field}, value) }
	switch {
	case typ != "" && len(parts) == 1 && !strings.HasPrefix(typ, "Specific"):
		set("refreshTokenPolicyType", typ)
	case strings.HasPrefix(typ, "Specific") && len(parts) == 3 && units[parts[2]] != "":
		if n, err := strconv.Atoi(parts[1]); err == nil && n > 0 {
			set("refreshTokenPolicyType", typ)
			set("refreshTokenValidityPeriod", strconv.Itoa(n))
			set("refreshTokenValidityUnit", units[parts[2]])
			return
		}
		a.wrong(place, text)
	default:
		a.wrong(place, text)
	}
}
