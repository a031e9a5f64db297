package connection

import (
	"strings"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// The types, by their names in the Metadata API.
const (
	ExternalCredential = "ExternalCredential" // the login
	NamedCredential    = "NamedCredential"    // the address, and which login belongs to it
)

// Types returns the table of the types, in the order in which they depend on one another. It
// follows the Metadata API WSDL of apiversion.Latest; a test holds it against the WSDL's schema.
func Types() metadata.Schema { return types }

// SourceName returns the name of a file as it is in source format. Metadata format, as in the folder of a
// package.xml, has no "-meta.xml".
func SourceName(file string) string { return strings.TrimSuffix(file, metaXML) + metaXML }

const metaXML = "-meta.xml"

// Lookup returns the description of a type by its name, or nil.
func Lookup(name string) *metadata.Type { return types.Lookup(name) }

var types = metadata.Schema{
	{
		Name: ExternalCredential, Folder: "externalCredentials", Suffix: "externalCredential", Since: 56,
		Fields: []metadata.FieldType{
			{Name: "authenticationProtocol", Kind: metadata.Enum, EnumName: "AuthenticationProtocol", Values: []string{"NoAuthentication", "Oauth", "Password", "AwsSv4", "Jwt", "JwtExchange", "Custom", "Basic"}, Required: true},
			{Name: "description"},
			{Name: "externalCredentialParameters", Kind: metadata.Struct, Repeated: true, Keys: []string{"parameterType", "parameterName", "parameterGroup"}, Fields: []metadata.FieldType{
				{Name: "authProvider"},
				{Name: "certificate"},
				{Name: "description"},
				{Name: "externalAuthIdentityProvider"},
				{Name: "parameterGroup"},
				{Name: "parameterName", Required: true},
				{Name: "parameterType", Kind: metadata.Enum, EnumName: "ExternalCredentialParamType", Values: []string{"ExternalAuthIdentityProvider", "AuthProvider", "AuthProviderUrl", "AuthProviderUrlQueryParameter", "SigningCertificate", "AuthParameter", "NamedPrincipal", "PerUserPrincipal", "AwsStsPrincipal", "GlobalNamedPrincipal", "SystemUserPrincipal", "CustomPrincipal", "PrincipalIdentityAlias", "AuthHeader", "AuthProtocolVariant", "JwtBodyClaim", "JwtHeaderClaim", "CreatedByNamespace", "AdditionalRefreshStatusCode", "ManagedByFeature", "ManagedByComponent", "SfHttpRequestExtensionName"}, Required: true},
				{Name: "parameterValue"},
				{Name: "sequenceNumber", Kind: metadata.Int},
			}},
			{Name: "label", Required: true},
		},
	},
	{
		Name: NamedCredential, Folder: "namedCredentials", Suffix: "namedCredential", Since: 33,
		Fields: []metadata.FieldType{
			{Name: "allowMergeFieldsInBody", Kind: metadata.Boolean},
			{Name: "allowMergeFieldsInHeader", Kind: metadata.Boolean},
			{Name: "authProvider"},
			{Name: "authTokenEndpointUrl"},
			{Name: "awsAccessKey"},
			{Name: "awsAccessSecret", Secret: true, Platform: true},
			{Name: "awsRegion"},
			{Name: "awsService"},
			{Name: "calloutStatus", Kind: metadata.Enum, EnumName: "CalloutStatus", Values: []string{"Enabled", "Disabled"}},
			{Name: "certificate"},
			{Name: "description"},
			{Name: "endpoint"},
			{Name: "generateAuthorizationHeader", Kind: metadata.Boolean},
			{Name: "jwtAudience"},
			{Name: "jwtFormulaSubject"},
			{Name: "jwtIssuer"},
			{Name: "jwtSigningCertificate"},
			{Name: "jwtTextSubject"},
			{Name: "jwtValidityPeriodSeconds", Kind: metadata.Int},
			{Name: "label", Required: true},
			{Name: "namedCredentialParameters", Kind: metadata.Struct, Repeated: true, Keys: []string{"parameterType", "parameterName"}, Fields: []metadata.FieldType{
				{Name: "certificate"},
				{Name: "description"},
				{Name: "externalCredential"},
				{Name: "globalNamedPrincipalCredential", Kind: metadata.Boolean},
				{Name: "managedFeatureEnabledCallout", Kind: metadata.Boolean},
				{Name: "outboundNetworkConnection"},
				{Name: "parameterName", Required: true},
				{Name: "parameterType", Kind: metadata.Enum, EnumName: "NamedCredentialParamType", Values: []string{"Url", "HttpHeader", "ClientCertificate", "Authentication", "OutboundNetworkConnection", "AllowedManagedPackageNamespaces", "CreatedByNamespace", "CustomParameter", "StandardNamedCredentialType", "ManagedByFeature", "ManagedByComponent", "ConnectionStatus", "SfHttpRequestExtensionName", "NamedCredentialOptions", "ManagedByNamespace"}, Required: true},
				{Name: "parameterValue"},
				{Name: "readOnlyNamedCredential", Kind: metadata.Boolean},
				{Name: "sequenceNumber", Kind: metadata.Int},
				{Name: "systemUserNamedCredential", Kind: metadata.Boolean},
			}},
			{Name: "namedCredentialType", Kind: metadata.Enum, EnumName: "NamedCredentialType", Values: []string{"Legacy", "SecuredEndpoint", "PrivateEndpoint", "Standard"}},
			{Name: "oauthRefreshToken", Secret: true, Platform: true},
			{Name: "oauthScope"},
			{Name: "oauthToken", Secret: true, Platform: true},
			{Name: "outboundNetworkConnection"},
			{Name: "password", Secret: true, Platform: true},
			{Name: "principalType", Kind: metadata.Enum, EnumName: "ExternalPrincipalType", Values: []string{"Anonymous", "PerUser", "NamedUser", "NamedCustomPrincipal"}},
			{Name: "protocol", Kind: metadata.Enum, EnumName: "AuthenticationProtocol", Values: []string{"NoAuthentication", "Oauth", "Password", "AwsSv4", "Jwt", "JwtExchange", "Custom", "Basic"}},
			{Name: "username"},
		},
	},
}
