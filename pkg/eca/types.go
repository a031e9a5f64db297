package eca

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// The metadata types that make up an External Client App, by their names in the
// Metadata API.
const (
	Header              = "ExternalClientApplication"            // the app itself, deployed as source
	OAuthSettings       = "ExtlClntAppOauthSettings"             // scopes and IP ranges of the app's OAuth plugin
	GlobalOAuthSettings = "ExtlClntAppGlobalOauthSettings"       // the OAuth consumer: callback URLs, flows, certificate
	PluginPolicies      = "ExtlClntAppConfigurablePolicies"      // which plugins are on in this org
	OAuthPolicies       = "ExtlClntAppOauthConfigurablePolicies" // who may use the app, and how, in this org
	RemoteSiteSetting   = "RemoteSiteSetting"                    // only where Apex on the org makes the SOAP call itself

	// OrgSettings is the org's own settings of External Client Apps, one component that is
	// always there, named OrgSettingsName.
	OrgSettings     = "ExternalClientAppSettings"
	OrgSettingsName = "ExternalClientApp"

	// PermissionSet is what grants an app. Only permission sets that grant nothing else are
	// created here, see Lookup.
	PermissionSet = "PermissionSet"

	// SAMLPolicies and CanvasSettings belong to an app as well. They are plain source, which a
	// deploy brings and nothing here writes to an org.
	SAMLPolicies   = "ExtlClntAppSamlConfigurablePolicies"
	CanvasSettings = "ExtlClntAppCanvasSettings"

	// OAuthSecuritySettings belong to an app as well: the IP allowlist of refresh tokens and
	// the certificate for mutual TLS. The platform creates them; eca never does.
	OAuthSecuritySettings = "ExtlClntAppOauthSecuritySettings"

	// AttestSettings and AttestPolicies belong to an app as well. Their suffixes and folders are
	// known, their fields are not.
	AttestSettings = "ExtlClntAppAttestSettings"
	AttestPolicies = "ExtlClntAppAttestConfigurablePolicies"
)

// Types returns the table of types, the header first and then in the order in which an
// app's components are brought to an org. It follows the Metadata API WSDL of
// apiversion.Latest; a test holds it against the WSDL's schema. It must not be changed.
func Types() metadata.Schema { return types }

// Lookup returns the description of a type by its name, or nil where the table does not
// have it.
func Lookup(name string) *metadata.Type {
	if t := types.Lookup(name); t != nil {
		return t
	}
	return others.Lookup(name)
}

// SourceTypes returns the types that only a deploy brings. It must not be changed.
func SourceTypes() metadata.Schema { return others[2:] }

// others are none of Types: orgSettings and permissionSet because they are no part of an app, the
// rest because nothing here brings them.
var others = metadata.Schema{
	orgSettings,
	permissionSet,
	{
		Name: SAMLPolicies, Folder: "extlClntAppSamlConfigurablePolicies", Suffix: "ecaSamlPlcy", Since: 59,
		Fields: []metadata.FieldType{
			{Name: "acsUrl", Required: true},
			{Name: "certificate"},
			{Name: "commaSeparatedPermissionSet", List: ","},
			{Name: "commaSeparatedProfile", List: ","},
			{Name: "customAttributes", Kind: metadata.Struct, Fields: customAttribute, Repeated: true},
			{Name: "encryptionCertificate"},
			{Name: "encryptionType", Kind: metadata.Enum, EnumName: "ExtlClntAppSamlEncryptType", Values: []string{"AES_128", "AES_256"}},
			{Name: "entityUrl", Required: true},
			{Name: "externalClientApplication", Required: true, Unsettable: theApp},
			{Name: "issuer"},
			{Name: "label"},
			{Name: "nameIdFormat", Kind: metadata.Enum, EnumName: "ExtlClntAppNameIdFormatType", Values: []string{"Unspecified", "EmailAddress", "Persistent", "Transient"}},
			{Name: "signingAlgorithmType", Kind: metadata.Enum, EnumName: "ExtlClntAppSamlSignAlgoType", Values: []string{"SHA1", "SHA256"}},
			{Name: "singleLogoutBindingType", Kind: metadata.Enum, EnumName: "ExtlClntAppSamlBindingType", Values: []string{"RedirectBinding", "PostBinding"}},
			{Name: "singleLogoutUrl"},
			{Name: "subjectCustomAttribute"},
			{Name: "subjectType", Kind: metadata.Enum, EnumName: "ExtlClntAppSamlSubjectType", Values: []string{"Username", "FederationId", "UserId", "SpokeId", "CustomAttribute", "PersistentId"}},
		},
	},
	{
		Name: CanvasSettings, Folder: "extlClntAppCanvasSettings", Suffix: "ecaCanvas", Since: 66,
		Fields: []metadata.FieldType{
			{Name: "accessMethod", Kind: metadata.Enum, EnumName: "AccessMethod", Values: []string{"Get", "Post"}},
			{Name: "canvasLocationOptions", Kind: metadata.Enum, EnumName: "CanvasLocationOptions", Values: []string{"None", "Chatter", "UserProfile", "Visualforce", "Aura", "Publisher", "ChatterFeed", "ServiceDesk", "OpenCTI", "AppLauncher", "MobileNav", "PageLayout"}, Repeated: true},
			{Name: "canvasOptions", Kind: metadata.Enum, EnumName: "CanvasOptions", Values: []string{"HideShare", "HideHeader", "PersonalEnabled"}, Repeated: true},
			{Name: "canvasUrl", Required: true},
			{Name: "externalClientApplication", Required: true, Unsettable: theApp},
			{Name: "label"},
			{Name: "lifeCycleHandler"},
			{Name: "samlInitiationMethod", Kind: metadata.Enum, EnumName: "SamlInitiationMethod", Values: []string{"None", "IdpInitiated", "SpInitiated"}},
		},
	},
	{Name: AttestSettings, Folder: "extlClntAppAttestSettings", Suffix: "ecaAttest", Since: 66, Partial: true, Fields: attestFields},
	{Name: AttestPolicies, Folder: "extlClntAppAttestPolicies", Suffix: "ecaAttestPlcy", Since: 66, Partial: true, Fields: attestFields},
}

// attestFields are the fields that every component of an app has.
var attestFields = []metadata.FieldType{{Name: "externalClientApplication"}, {Name: "label"}}

// customAttribute and ipRange are the fields of structures that several types have.
var (
	customAttribute = []metadata.FieldType{{Name: "formula", Required: true}, {Name: "key", Required: true}}
	ipRange         = []metadata.FieldType{{Name: "description"}, {Name: "endIpAddress", Required: true}, {Name: "startIpAddress", Required: true}}
)

// orgSettings is no part of an app, and so none of Types.
var orgSettings = &metadata.Type{
	Name: OrgSettings, Folder: "settings", Suffix: "settings", Since: 59,
	Fields: []metadata.FieldType{
		{Name: "enableClientSecretInRestApiAccess", Kind: metadata.Boolean, Since: 62},
		{Name: "enableConsumerSecretApiAccess", Kind: metadata.Boolean},
		{Name: "enablePackageEcaOauthFromDevOrg", Kind: metadata.Boolean},
	},
}

// permissionSet has the fields of a permission set that grants nothing. Others refer to objects,
// classes and more, which only a deployment brings.
var permissionSet = &metadata.Type{
	Name: PermissionSet, Folder: "permissionsets", Suffix: "permissionset", Since: 22, Partial: true,
	Fields: []metadata.FieldType{
		{Name: "description"},
		{Name: "hasActivationRequired", Kind: metadata.Boolean},
		{Name: "label", Required: true},
		{Name: "license"},
	},
}

// Scopes returns the OAuth scopes that commaSeparatedOauthScopes can hold, as of
// apiversion.Latest.
func Scopes() []string { return slices.Clone(scopes) }

// theApp is why settings cannot name the app.
const theApp = "it is always the app that the settings are for"

// scopeSynonyms follows the documentation of commaSeparatedOauthScopes, which
// calls these scopes "the same" as one another.
var scopeSynonyms = map[string]string{
	"Address": "Basic", "Email": "Basic", "Phone": "Basic", "Profile": "Basic",
	"OfflineAccess": "RefreshToken",
}

// scopes are the OAuth scopes that commaSeparatedOauthScopes can hold, as of
// apiversion.Latest.
var scopes = []string{
	"A2A", "Address", "Api", "Basic", "CDP", "CDPCalculatedInsight", "CDPIdentityResolution", "CDPIngest", "CDPProfile",
	"CDPQuery", "CDPSegment", "Chatbot", "Chatter", "CmdbDiscovery", "Content", "CustomApplications", "CustomPermissions",
	"DataCloudUserClaims", "Eclair", "EinsteinGPT", "Email", "ForgotPassword", "Full", "Interaction", "Lightning",
	"MCP", "OfflineAccess", "OpenID", "Pardot", "Phone", "Profile", "PwdlessLogin", "RefreshToken", "SCRT",
	"SFApiPlatform", "SemanticLayer", "UserRegistration", "Wave", "Web",
}

// scopeColumns are the columns of ExtlClntAppOauthSettings, by the scope that they show. Source: the
// fields that a real org describes. Scopes that are not there have no column.
var scopeColumns = map[string]string{
	"Address": "OauthScopesADDRESS", "Api": "OauthScopesAPI", "Basic": "OauthScopesSSO",
	"CDP": "OauthScopesCDP_API", "CDPCalculatedInsight": "OauthScopesCDP_CALCULATED_INSIGHT_API",
	"CDPIdentityResolution": "OauthScopesCDP_IDENTITYRESOLUTION_API", "CDPIngest": "OauthScopesCDP_INGEST_API",
	"CDPProfile": "OauthScopesCDP_PROFILE_API", "CDPQuery": "OauthScopesCDP_QUERY_API",
	"CDPSegment": "OauthScopesCDP_SEGMENT_API", "Chatbot": "OauthScopesCHATBOT_API",
	"Chatter": "OauthScopesCHATTER_REST_API", "Content": "OauthScopesCONTENT",
	"CustomApplications": "OauthScopesVF", "CustomPermissions": "OauthScopesCUSTOM_PERMISSIONS",
	"DataCloudUserClaims": "OauthScopesDATA_CLOUD_USER_CLAIMS", "Eclair": "OauthScopesECLAIR_REST_API",
	"EinsteinGPT": "OauthScopesEINSTEIN_GPT_API", "Email": "OauthScopesEMAIL",
	"ForgotPassword": "OauthScopesFORGOT_PASSWORD", "Full": "OauthScopesFULL", hubScope: "OauthScopesHUB_API",
	"Interaction": "OauthScopesINTERACTION_API", "Lightning": "OauthScopesLIGHTNING", "MCP": "OauthScopesMCP_API",
	"OfflineAccess": "OauthScopesOFFLINE_ACCESS", "OpenID": "OauthScopesOPENID", "Pardot": "OauthScopesPARDOT_API",
	"Phone": "OauthScopesPHONE", "Profile": "OauthScopesPROFILE", "PwdlessLogin": "OauthScopesPWDLESS_LOGIN_API",
	"RefreshToken": "OauthScopesREFRESH_TOKEN", "SCRT": "OauthScopesSCRT_API",
	"SFApiPlatform": "OauthScopesSFAP_API", "UserRegistration": "OauthScopesUSER_REGISTRATION_API",
	"Wave": "OauthScopesWAVE_REST_API", "Web": "OauthScopesWEB",
}

// hubScope is a scope that only the org's description has. Its name in metadata is not known.
const hubScope = "HUB_API"

// ScopeColumns returns the columns of the object ExtlClntAppOauthSettings that show an app's scopes, by
// scope. Newer scopes have none. One column's scope is not among Scopes, and has the column's name.
func ScopeColumns() map[string]string { return maps.Clone(scopeColumns) }

// HasRefreshToken reports whether scopes include RefreshToken or a synonym. The scope Full does not include it.
func HasRefreshToken(scopes []string) bool {
	const refresh = "RefreshToken"
	return slices.ContainsFunc(scopes, func(scope string) bool {
		return strings.EqualFold(scope, refresh) || slices.ContainsFunc(slices.Collect(maps.Keys(scopeSynonyms)), func(synonym string) bool {
			return scopeSynonyms[synonym] == refresh && strings.EqualFold(scope, synonym)
		})
	})
}

// CheckScope returns an error for a scope that is not one of Scopes.
func CheckScope(scope string) error {
	if slices.Contains(scopes, scope) {
		return nil
	}
	if similar := similarScope(scope); similar != "" {
		return fmt.Errorf("there is no OAuth scope %q; did you mean %s?", scope, similar)
	}
	return fmt.Errorf("there is no OAuth scope %q", scope)
}

// similarScope returns the scope that somebody meant by another name, or "". The most frequent other
// name is the string that a client sends to the authorize endpoint, such as mcp_api.
func similarScope(scope string) string {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	for _, known := range scopes {
		if p := plain(scope); p == plain(known) || p == plain(known)+"api" {
			return known
		}
	}
	return words.Similar(scope, scopes)
}

// checkCallback returns an error for a callback that is not a URL. It may begin with a placeholder.
func checkCallback(item string) error {
	// An org can hold http://localhost:*/callback, which is no URL for url.Parse.
	if u, err := url.Parse(strings.Replace(item, ":*", ":0", 1)); err != nil || u.Scheme == "" && !strings.HasPrefix(item, "{") {
		return fmt.Errorf("%q is not a URL", item)
	}
	return nil
}

// types is data, not code: one entry a type, one line a field, in the order of
// the WSDL, which demands it of a SOAP request.
var types = metadata.Schema{
	{
		Name: Header, Folder: "externalClientApps", Suffix: "eca", Since: 59,
		Fields: []metadata.FieldType{
			{Name: "contactEmail"},
			{Name: "contactPhone"},
			{Name: "description"},
			{Name: "distributionState", Kind: metadata.Enum, EnumName: "ExtlClntAppDistState", Values: []string{"Local", "Packaged", "Managed", "AutoInstalled"}},
			{Name: "iconUrl"},
			{Name: "infoUrl"},
			{Name: "isProtected", Kind: metadata.Boolean},
			{Name: "label"},
			{Name: "logoUrl"},
			{Name: "managedType", Kind: metadata.Enum, EnumName: "ExtlClntAppManagedType", Values: []string{"Local", "Global"}},
			{Name: "orgScopedExternalApp"},
		},
	},
	{
		Name: OAuthSettings, Folder: "extlClntAppOauthSettings", Suffix: "ecaOauth", Since: 59,
		Fields: []metadata.FieldType{
			{Name: "areAttributesIncludedInAssetToken", Kind: metadata.Boolean, Since: 61},
			{Name: "areCustomPermsIncludedInAssetToken", Kind: metadata.Boolean, Since: 61},
			{Name: "assetTokenAudiences", Since: 61},
			{Name: "assetTokenSigningCertificate", Since: 61},
			{Name: "assetTokenValidity", Kind: metadata.Int, Since: 61},
			{Name: "clientAssertionCertificate"},
			{Name: "commaSeparatedCustomScopes", List: ","},
			{Name: "commaSeparatedOauthScopes", List: ",", Item: "OAuth scope", Items: scopes, Synonyms: scopeSynonyms, Similar: similarScope},
			{Name: "customAttributes", Kind: metadata.Struct, Fields: customAttribute, Repeated: true},
			{Name: "externalClientApplication", Required: true, Unsettable: theApp},
			{Name: "isFirstPartyAppEnabled", Kind: metadata.Boolean},
			{Name: "label"},
			{Name: "oauthLink", Platform: true},
			{Name: "singleLogoutUrl"},
			{Name: "trustedIpRanges", Kind: metadata.Struct, Fields: ipRange, Repeated: true},
		},
	},
	{
		Name: GlobalOAuthSettings, Folder: "extlClntAppGlobalOauthSets", Suffix: "ecaGlblOauth", Since: 59,
		Fields: []metadata.FieldType{
			{Name: "callbackUrl", List: "\n", CheckItem: checkCallback},
			{Name: "certificate", Since: 60, PEM: true, Withheld: true},
			{Name: "consumerKey", Platform: true, Key: true},
			{Name: "consumerSecret", Platform: true, Secret: true},
			{Name: "externalClientApplication", Required: true, Unsettable: theApp},
			{Name: "idTokenConfig", Kind: metadata.Struct, Fields: []metadata.FieldType{
				{Name: "idTokenAudience"},
				{Name: "idTokenIncludeAttributes", Kind: metadata.Boolean},
				{Name: "idTokenIncludeCustomPermissions", Kind: metadata.Boolean},
				{Name: "idTokenIncludeStandardClaims", Kind: metadata.Boolean},
				{Name: "idTokenValidityInMinutes", Kind: metadata.Int},
			}},
			{Name: "isClientCredentialsFlowEnabled", Kind: metadata.Boolean, Since: 60},
			{Name: "isCodeCredFlowEnabled", Kind: metadata.Boolean, Since: 61},
			{Name: "isCodeCredPostOnly", Kind: metadata.Boolean, Since: 61},
			{Name: "isConsumerSecretOptional", Kind: metadata.Boolean},
			{Name: "isDPopEnabled", Kind: metadata.Boolean, Since: 67},
			{Name: "isDeviceFlowEnabled", Kind: metadata.Boolean, Since: 60},
			{Name: "isEnforceRefreshTokenTTL", Kind: metadata.Boolean, Since: 67},
			{Name: "isIntrospectAllTokens", Kind: metadata.Boolean},
			{Name: "isMtlsEnabled", Kind: metadata.Boolean, Since: 68},
			{Name: "isNamedUserJwtEnabled", Kind: metadata.Boolean, Since: 61},
			{Name: "isPkceRequired", Kind: metadata.Boolean, Default: "true", Forced: true},
			{Name: "isRefreshTokenRotationEnabled", Kind: metadata.Boolean, Since: 60},
			{Name: "isSecretRequiredForRefreshToken", Kind: metadata.Boolean, Default: "true"},
			{Name: "isSecretRequiredForTokenExchange", Kind: metadata.Boolean, Since: 60},
			{Name: "isTokenExchangeEnabled", Kind: metadata.Boolean, Since: 60},
			{Name: "label"},
			{Name: "shouldRotateConsumerKey", Kind: metadata.Boolean, Platform: true, Action: true},
			{Name: "shouldRotateConsumerSecret", Kind: metadata.Boolean, Platform: true, Action: true},
		},
	},
	{
		Name: PluginPolicies, Folder: "extlClntAppPolicies", Suffix: "ecaPlcy", Since: 60,
		Fields: []metadata.FieldType{
			{Name: "externalClientApplication", Required: true, Unsettable: theApp},
			{Name: "isAttestPluginEnabled", Kind: metadata.Boolean, Since: 68},
			{Name: "isCanvasPluginEnabled", Kind: metadata.Boolean, Since: 66, Default: "true"},
			{Name: "isEnabled", Kind: metadata.Boolean, Required: true, Since: 60, Default: "true"},
			{Name: "isMobilePluginEnabled", Kind: metadata.Boolean, Since: 63, Default: "true"},
			{Name: "isNotificationPluginEnabled", Kind: metadata.Boolean, Since: 63, Default: "true"},
			{Name: "isOauthPluginEnabled", Kind: metadata.Boolean, Since: 60, Default: "true"},
			{Name: "isPushPluginEnabled", Kind: metadata.Boolean, Since: 63, Default: "true"},
			{Name: "isSamlPluginEnabled", Kind: metadata.Boolean, Since: 63, Default: "true"},
			{Name: "label"},
			{Name: "startPage", Kind: metadata.Enum, EnumName: "ExtlClntAppStartPage", Values: []string{"None", "Custom", "OAuth", "SAML"}, Since: 63},
			{Name: "startUrl", Since: 63},
		},
	},
	{
		Name: OAuthPolicies, Folder: "extlClntAppOauthPolicies", Suffix: "ecaOauthPlcy", Since: 59,
		Fields: []metadata.FieldType{
			{Name: "apexHandler", Since: 61},
			{Name: "clientCredentialsFlowUser", Since: 60, Fold: true},
			{Name: "commaSeparatedCustomScopes", Since: 61, List: ","},
			{Name: "commaSeparatedPermissionSet", List: ","},
			{Name: "commaSeparatedProfile", List: ","},
			{Name: "customAttributes", Kind: metadata.Struct, Fields: customAttribute, Repeated: true},
			{Name: "executeHandlerAs", Since: 61},
			{Name: "externalClientApplication", Required: true, Unsettable: theApp},
			{Name: "guestJwtSessionTimeoutType", Kind: metadata.Enum, EnumName: "JWTSessionTimeoutType", Values: []string{"UserSession", "Custom"}, Since: 65},
			{Name: "guestJwtTimeout", Kind: metadata.Int, Since: 61},
			{Name: "ipRelaxationPolicyType"},
			{Name: "isClientCredentialsFlowEnabled", Kind: metadata.Boolean, Since: 60},
			{Name: "isGuestCodeCredFlowEnabled", Kind: metadata.Boolean, Since: 61},
			{Name: "isNamedUserJwtEnabled", Kind: metadata.Boolean, Since: 61, Until: 63},
			{Name: "isTokenExchangeFlowEnabled", Kind: metadata.Boolean, Since: 60},
			{Name: "label"},
			{Name: "namedUserJwtSessionTimeoutType", Kind: metadata.Enum, EnumName: "JWTSessionTimeoutType", Values: []string{"UserSession", "Custom"}, Since: 65},
			{Name: "namedUserJwtTimeout", Kind: metadata.Int, Since: 61},
			{Name: "permittedUsersPolicyType", Kind: metadata.Enum, EnumName: "PermittedUsersPolicyType", Values: []string{"AllSelfAuthorized", "AdminApprovedPreAuthorized"}},
			{Name: "policyAction", Kind: metadata.Enum, EnumName: "PolicyAction", Values: []string{"Block", "RaiseSessionLevel", "StepUpMFA"}},
			{Name: "refreshTokenPolicyType", Kind: metadata.Enum, EnumName: "RefreshTokenPolicyType", Values: []string{"Infinite", "Zero", "SpecificLifetime", "SpecificInactivity"}},
			{Name: "refreshTokenValidityPeriod", Kind: metadata.Int},
			{Name: "refreshTokenValidityUnit"},
			{Name: "requiredSessionLevel", Kind: metadata.Enum, EnumName: "SessionSecurityLevel", Values: []string{"LOW", "STANDARD", "HIGH_ASSURANCE"}},
			{Name: "sessionTimeoutInMinutes", Kind: metadata.Int},
			{Name: "singleLogoutUrl"},
			{Name: "startUrl"},
		},
	},
	{
		Name: OAuthSecuritySettings, Folder: "extlClntAppOauthSecuritySettings", Suffix: "ecaOauthSecurity", Since: 67, Partial: true,
		Fields: []metadata.FieldType{
			{Name: "externalClientApplication", Required: true, Unsettable: theApp},
			{Name: "label"},
			{Name: "tlsClientAuthCertParamType", Kind: metadata.Enum, EnumName: "TlsClientAuthCertParamType", Values: []string{
				"tls_client_auth_subject_dn", "tls_client_auth_san_dns", "tls_client_auth_san_uri", "tls_client_auth_san_ip",
				"tls_client_auth_san_email", "tls_client_auth_san_spiffe",
			}, Since: 67},
			{Name: "tlsClientAuthCertParamValue", Since: 67},
			{Name: "tokenIpRanges", Kind: metadata.Struct, Fields: ipRange, Repeated: true, Since: 67},
		},
	},
	{
		Name: RemoteSiteSetting, Folder: "remoteSiteSettings", Suffix: "remoteSite", Since: 19,
		Fields: []metadata.FieldType{
			{Name: "description"},
			{Name: "disableProtocolSecurity", Kind: metadata.Boolean, Required: true},
			{Name: "isActive", Kind: metadata.Boolean, Required: true},
			{Name: "url", Required: true},
		},
	},
}
