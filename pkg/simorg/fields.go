package simorg

import (
	"slices"
	"strconv"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// These tables repeat what Salesforce's documentation says of versions and defaults. They are
// independent of the table in pkg/eca, so that an error there shows when a client meets the
// org. A test compares the two.

// trueByDefault are the booleans with a default of true, by type. All others default to false.
var trueByDefault = map[string]map[string]bool{
	eca.GlobalOAuthSettings: {
		"isPkceRequired": true, "isSecretRequiredForRefreshToken": true,
	},
	eca.PluginPolicies: {
		"isEnabled": true, "isOauthPluginEnabled": true, "isSamlPluginEnabled": true, "isMobilePluginEnabled": true,
		"isPushPluginEnabled": true, "isNotificationPluginEnabled": true, "isCanvasPluginEnabled": true,
	},
}

// typeSince is the first API version that has a type.
var typeSince = map[string]apiversion.Version{
	eca.Header: 59, eca.OAuthSettings: 59, eca.GlobalOAuthSettings: 59, eca.OAuthPolicies: 59,
	eca.PluginPolicies:        60,
	eca.OAuthSecuritySettings: 67,
	eca.AttestSettings:        66,
	eca.AttestPolicies:        66,
	eca.RemoteSiteSetting:     19,
	eca.OrgSettings:           59,
	eca.SAMLPolicies:          59, // assumed
	eca.CanvasSettings:        66,

	connection.ExternalCredential: 56,
	connection.NamedCredential:    33,
	permissionSet:                 22,
	appSettings:                   46,
	oidcSettings:                  48, // assumed
}

// fieldSince is the first API version of a field, by type, for fields that are newer than their
// type or documented with a version.
var fieldSince = map[string]map[string]apiversion.Version{
	eca.OAuthSettings: {
		"areAttributesIncludedInAssetToken": 61, "areCustomPermsIncludedInAssetToken": 61,
		"assetTokenAudiences": 61, "assetTokenSigningCertificate": 61, "assetTokenValidity": 61,
	},
	eca.GlobalOAuthSettings: {
		"certificate": 60, "isClientCredentialsFlowEnabled": 60, "isDeviceFlowEnabled": 60, "isRefreshTokenRotationEnabled": 60,
		"isSecretRequiredForTokenExchange": 60, "isTokenExchangeEnabled": 60,
		"isCodeCredFlowEnabled": 61, "isCodeCredPostOnly": 61, "isNamedUserJwtEnabled": 61,
		"isDPopEnabled": 67, "isEnforceRefreshTokenTTL": 67, "isMtlsEnabled": 68,
	},
	eca.OrgSettings: {"enableClientSecretInRestApiAccess": 62},
	eca.PluginPolicies: {
		"isEnabled": 60, "isOauthPluginEnabled": 60,
		"isMobilePluginEnabled": 63, "isNotificationPluginEnabled": 63, "isPushPluginEnabled": 63, "isSamlPluginEnabled": 63,
		"startPage": 63, "startUrl": 63,
		"isCanvasPluginEnabled": 66,
		"isAttestPluginEnabled": 68,
	},
	eca.OAuthSecuritySettings: {"tlsClientAuthCertParamType": 67, "tlsClientAuthCertParamValue": 67, "tokenIpRanges": 67},
	eca.OAuthPolicies: {
		"clientCredentialsFlowUser": 60, "isClientCredentialsFlowEnabled": 60, "isTokenExchangeFlowEnabled": 60,
		"apexHandler": 61, "commaSeparatedCustomScopes": 61, "executeHandlerAs": 61, "guestJwtTimeout": 61,
		"isGuestCodeCredFlowEnabled": 61, "namedUserJwtTimeout": 61,
		"isNamedUserJwtEnabled":      61, // assumed to be as in the global settings
		"guestJwtSessionTimeoutType": 65, "namedUserJwtSessionTimeoutType": 65,
	},
}

// fieldUntil is the last API version of a field, by type, for fields that later versions lack. Source:
// platform-migration.md, section 3.
var fieldUntil = map[string]map[string]apiversion.Version{eca.OAuthPolicies: {"isNamedUserJwtEnabled": 63}}

// hasField reports whether an API version has a field of a type or structure.
func (o *Org) hasField(in, field string, version apiversion.Version) bool {
	until := fieldUntil[in][field]
	if until != 0 && o.is("jwt-switch-in-policies", "known") {
		until = 64
	}
	return fieldSince[in][field] <= version && (until == 0 || version <= until)
}

// scopeSince is the first version of an org that has a scope, for the newer ones.
var scopeSince = map[string]apiversion.Version{"A2A": 68, "CmdbDiscovery": 68, "SemanticLayer": 68}

// types returns all types that can be deployed, in the order of a deploy.
func types() metadata.Schema {
	return slices.Concat(connection.Types(), metadata.Schema{permissionSetType}, eca.Types(), eca.SourceTypes(), metadata.Schema{connectedAppType})
}

// own are the types that no other package describes.
var own = append(metadata.Schema{connectedAppType, permissionSetType}, settingsTypes[1:]...)

// lookup returns the type of that name, or nil.
func lookup(name string) *metadata.Type {
	if t := own.Lookup(name); t != nil {
		return t
	}
	if t := connection.Lookup(name); t != nil {
		return t
	}
	return eca.Lookup(name)
}

// typeAt returns the type of that name, or nil if an API version does not have it.
func typeAt(name string, version apiversion.Version) *metadata.Type {
	if typeSince[name] > version {
		return nil
	}
	return lookup(name)
}

// setDefaults sets the fields that were not sent to their defaults.
func setDefaults(rec *record) {
	for _, ft := range lookup(rec.typ).Fields {
		if ft.Kind == metadata.Boolean && fieldUntil[rec.typ][ft.Name] == 0 && rec.text(ft.Name) == "" {
			rec.set(ft.Name, strconv.FormatBool(trueByDefault[rec.typ][ft.Name]))
		}
	}
	if rec.typ == eca.Header && rec.text("distributionState") == "" {
		rec.set("distributionState", "Local")
	}
}
