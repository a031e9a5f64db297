package metadata

import (
	"slices"

	"github.com/ecakit/ecakit/pkg/apiversion"
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

	// OAuthSecuritySettings belong to an app as well. The platform makes them; nothing
	// here ever does.
	OAuthSecuritySettings = "ExtlClntAppOauthSecuritySettings"
)

// Kind says how the text of a field is to be read.
type Kind uint8

// The kinds of field that the ECA types use.
const (
	String  Kind = iota
	Boolean      // xsd:boolean: true, false, 1 or 0
	Int          // xsd:int
	Enum         // one of FieldType.Values
	Struct       // a nested element with FieldType.Fields
)

// String names the kind as the Metadata API's documentation does.
func (k Kind) String() string {
	return [...]string{"string", "boolean", "whole number", "enum", "structure"}[k]
}

// Type describes a metadata type: what the WSDL says of it, and where source
// keeps it. The table that Types returns follows the Metadata API WSDL of API
// 67.0; a test holds it against the WSDL's schema.
type Type struct {
	Name   string             // as in xsi:type and at the root of a source file
	Folder string             // the folder of source files and of deploy zips
	Suffix string             // of a file in a deploy zip; source files add "-meta.xml"
	Since  apiversion.Version // the first API version that has the type
	Fields []FieldType        // in WSDL order, without fullName

	// Partial says that the WSDL of apiversion.Latest does not have the type: Fields are
	// those that were seen in source, and others may be right.
	Partial bool
}

// FieldType describes one field of a type.
type FieldType struct {
	Name     string
	Kind     Kind
	EnumName string      // the WSDL's name of the enumeration, for messages
	Values   []string    // what an Enum can be
	Fields   []FieldType // what a Struct holds, in WSDL order
	Required bool        // the WSDL demands it
	Repeated bool        // may stand several times

	// Since is the first API version that has the field, where Salesforce's
	// documentation says so; 0 stands for the type's own.
	Since apiversion.Version

	// Deprecated says that Salesforce documents the field as such, and that the WSDL of
	// apiversion.Latest does not have it. Which version was the last to have it is not known.
	Deprecated bool

	// List is what separates the items of a list that the platform keeps in one
	// string: "," for scopes, "\n" for callback URLs. Order carries no meaning.
	List string

	// Synonyms maps items of a List to the one that the platform treats alike.
	Synonyms map[string]string

	// Default is what an absent Boolean stands for, "" meaning false. It is set
	// where Salesforce's documentation names a default of true.
	Default string

	Fold     bool // case and surrounding white space carry no meaning
	PEM      bool // a certificate, in one of the forms that CertificateDER reads
	Secret   bool // never shown, never sent
	Platform bool // made by the platform: no project may state it, and it is never sent
	Action   bool // sending true makes the platform act (rotate), so it is never sent

	// Withheld says that readMetadata may leave the field out although it is
	// set, so that absence proves nothing.
	Withheld bool

	// Forced says that some orgs keep the field at its default whatever is sent.
	Forced bool
}

// scopeSynonyms follows the documentation of commaSeparatedOauthScopes, which
// calls these scopes "the same" as one another.
var scopeSynonyms = map[string]string{
	"Address": "Basic", "Email": "Basic", "Phone": "Basic", "Profile": "Basic",
	"OfflineAccess": "RefreshToken",
}

// Scopes are the OAuth scopes that commaSeparatedOauthScopes can hold, as of
// LatestVersion.
var Scopes = []string{
	"Address", "Api", "Basic", "CDP", "CDPCalculatedInsight", "CDPIdentityResolution", "CDPIngest", "CDPProfile",
	"CDPQuery", "CDPSegment", "Chatbot", "Chatter", "Content", "CustomApplications", "CustomPermissions",
	"DataCloudUserClaims", "Eclair", "EinsteinGPT", "Email", "ForgotPassword", "Full", "Interaction", "Lightning",
	"MCP", "OfflineAccess", "OpenID", "Pardot", "Phone", "Profile", "PwdlessLogin", "RefreshToken", "SCRT",
	"SFApiPlatform", "UserRegistration", "Wave", "Web",
}

// Lookup returns the description of a type by its name, or nil where the table
// does not have it.
func Lookup(name string) *Type {
	for i := range types {
		if types[i].Name == name {
			return &types[i]
		}
	}
	return nil
}

// IsTypeFolder reports whether a directory has the name under which source keeps the
// files of one of the types.
func IsTypeFolder(name string) bool {
	return slices.ContainsFunc(types, func(t Type) bool { return t.Folder == name })
}

// Types returns the types that this package describes, the header first and
// then in the order in which an app's components are brought to an org. The
// caller must not change what they hold.
func Types() []*Type {
	all := make([]*Type, len(types))
	for i := range types {
		all[i] = &types[i]
	}
	return all
}

// Field returns the description of the type's field of that name, or nil.
func (t *Type) Field(name string) *FieldType { return findField(t.Fields, name) }

func findField(fields []FieldType, name string) *FieldType {
	for i := range fields {
		if fields[i].Name == name {
			return &fields[i]
		}
	}
	return nil
}

// types is data, not code: one entry a type, one line a field, in the order of
// the WSDL, which demands it of a SOAP request.
var types = []Type{
	{
		Name: Header, Folder: "externalClientApps", Suffix: "eca", Since: 59,
		Fields: []FieldType{
			{Name: "contactEmail"},
			{Name: "contactPhone"},
			{Name: "description"},
			{Name: "distributionState", Kind: Enum, EnumName: "ExtlClntAppDistState", Values: []string{"Local", "Packaged", "Managed", "AutoInstalled"}},
			{Name: "iconUrl"},
			{Name: "infoUrl"},
			{Name: "isProtected", Kind: Boolean},
			{Name: "label"},
			{Name: "logoUrl"},
			{Name: "managedType", Kind: Enum, EnumName: "ExtlClntAppManagedType", Values: []string{"Local", "Global"}},
			{Name: "orgScopedExternalApp"},
		},
	},
	{
		Name: OAuthSettings, Folder: "extlClntAppOauthSettings", Suffix: "ecaOauth", Since: 59,
		Fields: []FieldType{
			{Name: "areAttributesIncludedInAssetToken", Kind: Boolean, Since: 61},
			{Name: "areCustomPermsIncludedInAssetToken", Kind: Boolean, Since: 61},
			{Name: "assetTokenAudiences", Since: 61},
			{Name: "assetTokenSigningCertificate", Since: 61},
			{Name: "assetTokenValidity", Kind: Int, Since: 61},
			{Name: "clientAssertionCertificate"},
			{Name: "commaSeparatedCustomScopes", List: ","},
			{Name: "commaSeparatedOauthScopes", List: ",", Synonyms: scopeSynonyms},
			{Name: "customAttributes", Kind: Struct, Fields: []FieldType{
				{Name: "formula", Required: true},
				{Name: "key", Required: true},
			}, Repeated: true},
			{Name: "externalClientApplication", Required: true},
			{Name: "isFirstPartyAppEnabled", Kind: Boolean},
			{Name: "label"},
			{Name: "oauthLink", Platform: true},
			{Name: "singleLogoutUrl"},
			{Name: "trustedIpRanges", Kind: Struct, Fields: []FieldType{
				{Name: "description"},
				{Name: "endIpAddress", Required: true},
				{Name: "startIpAddress", Required: true},
			}, Repeated: true},
		},
	},
	{
		Name: GlobalOAuthSettings, Folder: "extlClntAppGlobalOauthSets", Suffix: "ecaGlblOauth", Since: 59,
		Fields: []FieldType{
			{Name: "callbackUrl", List: "\n"},
			{Name: "certificate", Since: 60, PEM: true, Withheld: true},
			{Name: "consumerKey", Platform: true},
			{Name: "consumerSecret", Platform: true, Secret: true},
			{Name: "externalClientApplication", Required: true},
			{Name: "idTokenConfig", Kind: Struct, Fields: []FieldType{
				{Name: "idTokenAudience"},
				{Name: "idTokenIncludeAttributes", Kind: Boolean},
				{Name: "idTokenIncludeCustomPermissions", Kind: Boolean},
				{Name: "idTokenIncludeStandardClaims", Kind: Boolean},
				{Name: "idTokenValidityInMinutes", Kind: Int},
			}},
			{Name: "isClientCredentialsFlowEnabled", Kind: Boolean, Since: 60},
			{Name: "isCodeCredFlowEnabled", Kind: Boolean, Since: 61},
			{Name: "isCodeCredPostOnly", Kind: Boolean, Since: 61},
			{Name: "isConsumerSecretOptional", Kind: Boolean},
			{Name: "isDeviceFlowEnabled", Kind: Boolean, Since: 60},
			{Name: "isEnforceRefreshTokenTTL", Kind: Boolean},
			{Name: "isIntrospectAllTokens", Kind: Boolean},
			{Name: "isNamedUserJwtEnabled", Kind: Boolean, Since: 61},
			{Name: "isPkceRequired", Kind: Boolean, Default: "true", Forced: true},
			{Name: "isRefreshTokenRotationEnabled", Kind: Boolean, Since: 60},
			{Name: "isSecretRequiredForRefreshToken", Kind: Boolean, Default: "true"},
			{Name: "isSecretRequiredForTokenExchange", Kind: Boolean, Since: 60},
			{Name: "isTokenExchangeEnabled", Kind: Boolean, Since: 60},
			{Name: "label"},
			{Name: "shouldRotateConsumerKey", Kind: Boolean, Platform: true, Action: true},
			{Name: "shouldRotateConsumerSecret", Kind: Boolean, Platform: true, Action: true},
		},
	},
	{
		Name: PluginPolicies, Folder: "extlClntAppPolicies", Suffix: "ecaPlcy", Since: 60,
		Fields: []FieldType{
			{Name: "externalClientApplication", Required: true},
			{Name: "isCanvasPluginEnabled", Kind: Boolean, Since: 66, Default: "true"},
			{Name: "isEnabled", Kind: Boolean, Required: true, Since: 60, Default: "true"},
			{Name: "isMobilePluginEnabled", Kind: Boolean, Since: 63, Default: "true"},
			{Name: "isNotificationPluginEnabled", Kind: Boolean, Since: 63, Default: "true"},
			{Name: "isOauthPluginEnabled", Kind: Boolean, Since: 60, Default: "true"},
			{Name: "isPushPluginEnabled", Kind: Boolean, Since: 63, Default: "true"},
			{Name: "isSamlPluginEnabled", Kind: Boolean, Since: 63, Default: "true"},
			{Name: "label"},
			{Name: "startPage", Kind: Enum, EnumName: "ExtlClntAppStartPage", Values: []string{"None", "Custom", "OAuth", "SAML"}, Since: 63},
			{Name: "startUrl", Since: 63},
		},
	},
	{
		Name: OAuthPolicies, Folder: "extlClntAppOauthPolicies", Suffix: "ecaOauthPlcy", Since: 59,
		Fields: []FieldType{
			{Name: "apexHandler", Since: 61},
			{Name: "clientCredentialsFlowUser", Since: 60, Fold: true},
			{Name: "commaSeparatedCustomScopes", Since: 61, List: ","},
			{Name: "commaSeparatedPermissionSet", List: ","},
			{Name: "commaSeparatedProfile", List: ","},
			{Name: "customAttributes", Kind: Struct, Fields: []FieldType{
				{Name: "formula", Required: true},
				{Name: "key", Required: true},
			}, Repeated: true},
			{Name: "executeHandlerAs", Since: 61},
			{Name: "externalClientApplication", Required: true},
			{Name: "guestJwtSessionTimeoutType", Kind: Enum, EnumName: "JWTSessionTimeoutType", Values: []string{"UserSession", "Custom"}, Since: 65},
			{Name: "guestJwtTimeout", Kind: Int, Since: 61},
			{Name: "ipRelaxationPolicyType"},
			{Name: "isClientCredentialsFlowEnabled", Kind: Boolean, Since: 60},
			{Name: "isGuestCodeCredFlowEnabled", Kind: Boolean, Since: 61},
			{Name: "isNamedUserJwtEnabled", Kind: Boolean, Since: 61, Deprecated: true},
			{Name: "isTokenExchangeFlowEnabled", Kind: Boolean, Since: 60},
			{Name: "label"},
			{Name: "namedUserJwtSessionTimeoutType", Kind: Enum, EnumName: "JWTSessionTimeoutType", Values: []string{"UserSession", "Custom"}, Since: 65},
			{Name: "namedUserJwtTimeout", Kind: Int, Since: 61},
			{Name: "permittedUsersPolicyType", Kind: Enum, EnumName: "PermittedUsersPolicyType", Values: []string{"AllSelfAuthorized", "AdminApprovedPreAuthorized"}},
			{Name: "policyAction", Kind: Enum, EnumName: "PolicyAction", Values: []string{"Block", "RaiseSessionLevel", "StepUpMFA"}},
			{Name: "refreshTokenPolicyType", Kind: Enum, EnumName: "RefreshTokenPolicyType", Values: []string{"Infinite", "Zero", "SpecificLifetime", "SpecificInactivity"}},
			{Name: "refreshTokenValidityPeriod", Kind: Int},
			{Name: "refreshTokenValidityUnit"},
			{Name: "requiredSessionLevel", Kind: Enum, EnumName: "SessionSecurityLevel", Values: []string{"LOW", "STANDARD", "HIGH_ASSURANCE"}},
			{Name: "sessionTimeoutInMinutes", Kind: Int},
			{Name: "singleLogoutUrl"},
			{Name: "startUrl"},
		},
	},
	{
		// Retrieved from orgs by several public projects; no WSDL here has it, so the first
		// version is that of the other types, which is assumed.
		Name: OAuthSecuritySettings, Folder: "extlClntAppOauthSecuritySettings", Suffix: "ecaOauthSecurity", Since: 59, Partial: true,
		Fields: []FieldType{
			{Name: "externalClientApplication", Required: true},
			{Name: "label"},
		},
	},
	{
		Name: RemoteSiteSetting, Folder: "remoteSiteSettings", Suffix: "remoteSite", Since: 19,
		Fields: []FieldType{
			{Name: "description"},
			{Name: "disableProtocolSecurity", Kind: Boolean, Required: true},
			{Name: "isActive", Kind: Boolean, Required: true},
			{Name: "url", Required: true},
		},
	},
}
