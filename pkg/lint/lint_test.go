package lint_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/lint"
)

// files is a project: content by path. "" removes a file of the one below.
type files map[string]string

const (
	link  = "<oauthLink>00D000000000001AAA:888000000000001AAA</oauthLink>"
	link2 = "<oauthLink>00D000000000002AAA:888000000000001AAA</oauthLink>"
)

func xml(typ, fields string) string {
	return "<" + typ + ` xmlns="http://soap.sforce.com/2006/04/metadata">` + "\n" + fields + "\n</" + typ + ">"
}

func header(fields string) string { return xml("ExternalClientApplication", fields) }

func policies(app, fields string) string {
	return xml("ExtlClntAppOauthConfigurablePolicies", "<externalClientApplication>"+app+"</externalClientApplication>"+fields)
}

func oauth(app, fields string) string {
	return xml("ExtlClntAppOauthSettings", "<externalClientApplication>"+app+"</externalClientApplication>"+fields)
}

const (
	flow     = "\n<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>"
	runAs    = "<clientCredentialsFlowUser>a@example.com</clientCredentialsFlowUser>"
	plcy     = "extlClntAppOauthPolicies/App_oauthPlcy.ecaOauthPlcy-meta.xml"
	appFile  = "src/def/externalClientApps/App.eca-meta.xml"
	packages = `{"packageDirectories": [
{"path": "src/def", "package": "def", "type": "source", "alwaysDeploy": true, "postDeploymentScript": "scripts/bootstrap.sh"},
{"path": "src/pol", "package": "pol", "type": "source", "alwaysDeploy": true, "aliasfy": true}
], "sourceApiVersion": "64.0"%s}`
)

// sound is a project of Pattern 2 that breaks no rule.
func sound() files {
	return files{
		"sfdx-project.json":       fmt.Sprintf(packages, ""),
		"scripts/bootstrap.sh":    "exec \"$ECA_BIN\" hook",
		appFile:                   header("<distributionState>Local</distributionState>"),
		"src/pol/default/" + plcy: policies("App", ""),
		"src/pol/uat/" + plcy:     policies("App", runAs+flow),
	}
}

// plain is a sound project that sf deploys, with policies of environments beside the project file.
func plain() files {
	return files{
		"sfdx-project.json":                             `{"packageDirectories": [{"path": "force-app", "default": true}], "sourceApiVersion": "66.0"}`,
		"force-app/externalClientApps/App.eca-meta.xml": header("<distributionState>Local</distributionState>"),
		".forceignore":                                  "eca/\n",
		"eca/policies/default/" + plcy:                  policies("App", ""),
		"eca/policies/uat/" + plcy:                      policies("App", runAs+flow),
	}
}

// packaged is a project of Pattern 1 that breaks no rule.
func packaged() files {
	return sound().with(files{
		"sfdx-project.json": strings.Replace(fmt.Sprintf(packages, ""), `, "postDeploymentScript": "scripts/bootstrap.sh"`, "", 1),
		appFile:             header("<distributionState>Packaged</distributionState><orgScopedExternalApp>00D000000000001:App</orgScopedExternalApp>"),
		"src/def/extlClntAppOauthSettings/App_oauth.ecaOauth-meta.xml": oauth("App", link),
	})
}

// whole is a project with a Local app that is deployed as source as a whole.
func whole() files {
	return files{
		"sfdx-project.json": `{"packageDirectories": [{"path": "src/def", "package": "def"}], "sourceApiVersion": "66.0"}`,
		appFile:             header("<distributionState>Local</distributionState>"),
		wholeOAuth:          oauth("App", "<commaSeparatedOauthScopes>Api</commaSeparatedOauthScopes>"),
		wholeGlobal:         xml("ExtlClntAppGlobalOauthSettings", "<externalClientApplication>App</externalClientApplication>\n<isRefreshTokenRotationEnabled>true</isRefreshTokenRotationEnabled>"),
		"src/def/extlClntAppPolicies/App_plcy.ecaPlcy-meta.xml":                                xml("ExtlClntAppConfigurablePolicies", "<externalClientApplication>App</externalClientApplication><isEnabled>true</isEnabled>"),
		"src/def/extlClntAppOauthSecuritySettings/App_oauthSecurity.ecaOauthSecurity-meta.xml": xml("ExtlClntAppOauthSecuritySettings", "<externalClientApplication>App</externalClientApplication><somethingNew>1</somethingNew>"),
		wholePolicies: policies("App", strict),
	}
}

const (
	wholeOAuth    = "src/def/extlClntAppOauthSettings/App_oauth.ecaOauth-meta.xml"
	wholeGlobal   = "src/def/extlClntAppGlobalOauthSets/App_glbloauth.ecaGlblOauth-meta.xml"
	wholePolicies = "src/def/extlClntAppOauthPolicies/App_oauthPlcy.ecaOauthPlcy-meta.xml"
	strict        = "<ipRelaxationPolicyType>Enforce</ipRelaxationPolicyType><permittedUsersPolicyType>AllSelfAuthorized</permittedUsersPolicyType><refreshTokenPolicyType>Zero</refreshTokenPolicyType><requiredSessionLevel>STANDARD</requiredSessionLevel>"
)

func (f files) with(more files) files {
	all := maps.Clone(f)
	maps.Copy(all, more)
	maps.DeleteFunc(all, func(_, content string) bool { return content == "" })
	return all
}

func (f files) settings(plugins string) files {
	return f.with(files{"sfdx-project.json": fmt.Sprintf(packages, `, "plugins": {"eca": `+plugins+`}`)})
}

// withSums adds the eca.sum files that the project needs and lacks.
func (f files) withSums() files {
	edits, _ := lint.Fixes(f.fs(), ".")
	all := f.with(nil)
	for _, edit := range edits {
		if _, exists := f[edit.File]; !exists && len(edit.Removed) == 0 {
			all[edit.File] = string(edit.Content)
		}
	}
	return all
}

func (f files) fs() fs.FS {
	fsys := fstest.MapFS{}
	for name, content := range f {
		fsys[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return fsys
}

const (
	ec       = "src/def/externalCredentials/Crm.externalCredential-meta.xml"
	nc       = "src/def/namedCredentials/Crm.namedCredential-meta.xml"
	tokenURL = "https://crm.my.salesforce.com/services/oauth2/token"
)

func parameter(typ, name, value string) string {
	return "\n<externalCredentialParameters><parameterName>" + name + "</parameterName><parameterType>" + typ + "</parameterType><parameterValue>" + value + "</parameterValue></externalCredentialParameters>"
}

func external(parameters string) string {
	return xml("ExternalCredential", "<authenticationProtocol>Oauth</authenticationProtocol><label>Crm</label>"+parameters)
}

// credentials are a sound pair of credentials, without the parameter of a type.
func credentials(without string) files {
	parameters := ""
	for _, p := range [][2]string{{"AuthProtocolVariant", "ClientCredentialsClientSecret"}, {"AuthProviderUrl", tokenURL}, {"NamedPrincipal", "1"}} {
		if p[0] != without {
			parameters += parameter(p[0], p[0], p[1])
		}
	}
	return files{ec: external(parameters), nc: xml("NamedCredential", "<label>Crm</label><namedCredentialType>SecuredEndpoint</namedCredentialType>"+
		"<namedCredentialParameters><parameterName>Url</parameterName><parameterType>Url</parameterType><parameterValue>https://crm.my.salesforce.com</parameterValue></namedCredentialParameters>"+
		"<namedCredentialParameters><externalCredential>Crm</externalCredential><parameterName>E</parameterName><parameterType>Authentication</parameterType></namedCredentialParameters>")}
}

const privateKey = "-----BEGIN " + "PRIVATE KEY-----\nMIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYw"

// TestRules breaks the rules one at a time. Every rule is broken at least once.
func TestRules(t *testing.T) {
	t.Parallel()
	broken := make(map[string]bool)
	for _, test := range []struct {
		name  string
		files files
		want  []string // "rule level file:line word"
	}{
		{"sound", sound(), nil},
		{"stale sums", sound().with(files{"src/def/eca.sum": strings.Repeat("ab", 32) + "  scripts/bootstrap.sh\n"}), []string{"stale-sum error src/def/eca.sum:0 scripts/bootstrap.sh changed"}},
		{"sums after a merge", sound().with(files{"src/def/eca.sum": "<<<<<<< HEAD\n"}), []string{"stale-sum error src/def/eca.sum:0 is not a SHA-256"}},
		{"sums without settings", sound().with(files{"src/def/eca.sum": sound().withSums()["src/def/eca.sum"]}).settings(`{"apps": {"App": {}}}`), []string{"stale-sum error src/def/eca.sum:0 plugins.eca changed"}},
		{"sums of hidden policies", sound().with(files{".forceignore": "**/*.ecaOauthPlcy-meta.xml", "src/pol/eca.sum": strings.Repeat("ab", 32) + "  src/pol/old"}), []string{"stale-sum error src/pol/eca.sum:0 src/pol/uat/" + plcy}},
		{"never deployed again", sound().with(files{"sfdx-project.json": strings.ReplaceAll(fmt.Sprintf(packages, ""), `"alwaysDeploy": true, `, "")}), []string{
			"always-deploy warning sfdx-project.json:2 the hook", "always-deploy warning sfdx-project.json:3 policies of App"}},
		{"a whole app", whole(), nil},
		{"a whole app without its global settings", whole().with(files{wholeGlobal: ""}), []string{"package-order error " + wholePolicies + ":1 before its OAuth is enabled",
			"settings-without-link error " + wholeOAuth + ":1 without global OAuth settings"}},
		{"a whole app without its OAuth settings", whole().with(files{wholeOAuth: ""}), []string{"global-settings-in-source error " + wholeGlobal + ":1 doesn't have a valid OAuth settings configuration",
			"package-order error " + wholePolicies + ":1 before its OAuth is enabled"}},
		{"a whole app in two packages", whole().with(files{
			"sfdx-project.json": `{"packageDirectories": [{"path": "src/def", "package": "def"}, {"path": "src/more", "package": "more"}], "sourceApiVersion": "66.0"}`,
			wholeOAuth:          "", "src/more/A.ecaOauth-meta.xml": whole()[wholeOAuth]}), []string{"global-settings-in-source error " + wholeGlobal + ":1 in the same package", "package-order error " + wholePolicies + ":1 ",
			"settings-without-link error src/more/A.ecaOauth-meta.xml:1 in the same package"}},
		{"policies before the whole app", whole().with(files{
			"sfdx-project.json": `{"packageDirectories": [{"path": "src/head", "package": "head"}, {"path": "src/pol", "package": "pol"}, {"path": "src/def", "package": "def"}], "sourceApiVersion": "66.0"}`,
			appFile:             "", "src/head/App.eca-meta.xml": whole()[appFile], wholePolicies: "", "src/pol/P.ecaOauthPlcy-meta.xml": whole()[wholePolicies]}), []string{
			"package-order error sfdx-project.json:1 the package pol with OAuth policies of App comes before def"}},
		{"a whole app with secrets", whole().with(files{wholePolicies: policies("App", strict), wholeGlobal: xml("ExtlClntAppGlobalOauthSettings", "<certificate>LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t</certificate>\n<consumerKey>k</consumerKey>\n<consumerSecret>topsecret</consumerSecret><externalClientApplication>App</externalClientApplication><isRefreshTokenRotationEnabled>true</isRefreshTokenRotationEnabled>")}), []string{
			"secret-in-source error " + wholeGlobal + ":2 private key", "secret-in-source error " + wholeGlobal + ":3 consumer key", "secret-in-source error " + wholeGlobal + ":4 secret"}},
		{"credentials", sound().with(credentials("")), nil},
		{"credentials of an Auth. Provider", sound().with(credentials("").with(files{ec: strings.ReplaceAll(credentials("AuthProtocolVariant")[ec], "AuthProviderUrl", "AuthProvider")})), nil},
		{"a scope against Salesforce", sound().with(credentials("").with(files{ec: external(parameter("AuthProtocolVariant", "Oauth", "ClientCredentialsClientSecret") + parameter("AuthProviderUrl", "Url", tokenURL) + parameter("AuthParameter", "scope", "api"))})), []string{
			"scope-against-salesforce error " + ec + ":5 refuses"}},
		{"the login host", sound().with(credentials("").with(files{ec: strings.Replace(credentials("")[ec], "crm.my.salesforce.com", "login.salesforce.com", 1)})), []string{"token-url error " + ec + ":4 login host"}},
		{"a token URL by http", sound().with(credentials("").with(files{ec: strings.Replace(credentials("")[ec], "https://", "http://", 1)})), []string{"token-url error " + ec + ":4 without encryption"}},
		{"a secret among the parameters", sound().with(credentials("").with(files{ec: external(parameter("AuthProtocolVariant", "Oauth", "ClientCredentialsClientSecret") + parameter("AuthProviderUrl", "Url", tokenURL) + parameter("AuthParameter", "clientSecret", "topsecret"))})), []string{
			"secret-in-source error " + ec + ":5 by its name"}},
		{"a token URL without a host", sound().with(credentials("").with(files{ec: strings.Replace(credentials("")[ec], "https://", "", 1)})), []string{"token-url error " + ec + ":4 is not a URL"}},
		{"a token URL that is replaced", sound().with(credentials("").with(files{ec: strings.Replace(credentials("")[ec], "https://", "", 1),
			"sfdx-project.json": strings.Replace(fmt.Sprintf(packages, ""), "{", `{"replacements": [{"filename": "src/def/externalCredentials/Crm.externalCredential-meta.xml"}],`, 1)})), []string{"token-url warning " + ec + ":4 is not a URL"}},
		{"two orgs", sound().with(credentials("").with(files{nc: strings.Replace(credentials("")[nc], "crm.my", "erp.my", 1)})), []string{"token-url warning " + nc + ":2 fetches tokens from crm.my.salesforce.com"}},
		{"a claim that is no JSON", sound().with(credentials("").with(files{ec: external(parameter("AuthProtocolVariant", "Oauth", "JwtBearer") + parameter("AuthProviderUrl", "Url", tokenURL) +
			parameter("JwtBodyClaim", "iss", `"3MVG9"`) + parameter("JwtBodyClaim", "aud", "https://login.salesforce.com"))})), []string{"claim-json error " + ec + ":6 quotation marks"}},
		{"no variant", sound().with(credentials("AuthProtocolVariant")), []string{"credential-protocol warning " + ec + ":3 AuthProtocolVariant"}},
		{"no token URL", sound().with(credentials("AuthProviderUrl")), []string{"credential-protocol error " + ec + ":3 AuthProviderUrl"}},
		{"a protocol that is not supported", sound().with(credentials("").with(files{ec: strings.Replace(credentials("")[ec], ">Oauth</authenticationProtocol", ">JwtExchange</authenticationProtocol", 1)})), []string{"credential-protocol error " + ec + ":2 JwtExchange"}},
		{"a variant as an element", sound().with(credentials("").with(files{ec: external(parameter("AuthProtocolVariant", "Oauth", "JwtBearer") + parameter("AuthProviderUrl", "Url", tokenURL) +
			"<authenticationProtocolVariant>JwtBearer</authenticationProtocolVariant>")})), []string{"unknown-element warning " + ec + ":4 no such element"}},
		{"a named credential of another project", sound().with(credentials("").with(files{ec: ""})), []string{"no-external-credential warning " + nc + ":2 Crm"}},
		{"a named credential of nothing", sound().with(credentials("").with(files{nc: xml("NamedCredential", "<label>Crm</label><namedCredentialType>SecuredEndpoint</namedCredentialType>")})), []string{"no-external-credential error " + nc + ":0 names no external credential"}},
		{"a token in a named credential", sound().with(credentials("").with(files{nc: xml("NamedCredential", "<label>Old</label>\n<oauthToken>topsecret</oauthToken>")})), []string{"secret-in-source error " + nc + ":3 secret"}},
		{"the password of a legacy credential", sound().with(credentials("").with(files{nc: xml("NamedCredential", "<label>Old</label>\n<password>Sommer2026</password>")})), []string{"secret-in-source error " + nc + ":3 secret"}},
		{"a dummy in a legacy credential", sound().with(credentials("").with(files{nc: xml("NamedCredential", "<label>Old</label>\n<password>changeme</password>")})), nil},
		{"a word in a legacy credential", sound().with(credentials("").with(files{nc: xml("NamedCredential", "<label>Old</label>\n<password>scratch</password>")})), []string{"secret-in-source warning " + nc + ":3 secret"}},
		{"a key in a header that is not deployed", sound().with(credentials("").with(files{ec: external(parameter("AuthHeader", "api-key", "abc-123") + "<nonsense/>"), ".forceignore": "**/externalCredentials"})), []string{
			"secret-in-source error " + ec + ":3 by its name api-key", "no-external-credential warning " + nc + ":2 Crm"}},
		{"a secret of a Connected App", sound().with(files{"src/def/connectedApps/Old.connectedApp-meta.xml": xml("ConnectedApp", "<label>Old</label><oauthConfig>\n<consumerKey>3MVG9topsecret</consumerKey>\n<consumerSecret>topsecret</consumerSecret></oauthConfig>")}), []string{
			"secret-in-source error src/def/connectedApps/Old.connectedApp-meta.xml:4 a secret is in the source"}},
		{"a Connected App without a secret", sound().with(files{"src/def/connectedApps/Old.connectedApp-meta.xml": xml("ConnectedApp", "<label>Old</label><oauthConfig><consumerKey>3MVG9topsecret</consumerKey><consumerSecret>${SECRET}</consumerSecret></oauthConfig>")}), nil},
		{"credentials in metadata format", sound().with(credentials("").with(files{ec: "", nc: "", "src/def/externalCredentials/Crm.externalCredential": strings.Replace(credentials("")[ec], "crm.my.salesforce.com", "login.salesforce.com", 1), "src/def/namedCredentials/Crm.namedCredential": credentials("")[nc]})), []string{
			"token-url error src/def/externalCredentials/Crm.externalCredential:4 login host"}},
		{"an old API version without an app", files{"sfdx-project.json": `{"packageDirectories": [{"path": "src/def", "package": "def"}], "sourceApiVersion": "58.0"}`, "src/def/connectedApps/Old.connectedApp-meta.xml": xml("ConnectedApp", "<label>Old</label>")}, nil},
		{"a token that is not deployed", sound().with(credentials("").with(files{nc: xml("NamedCredential", "<label>Old</label><oauthToken>topsecret</oauthToken><nonsense/>"), ".forceignore": "**/namedCredentials"})), []string{"secret-in-source error " + nc + ":2 secret"}},
		{"a credential that is no XML", sound().with(credentials("").with(files{ec: "<"})), []string{"malformed error " + ec + ":1 ", "no-external-credential warning " + nc + ":2 "}},
		{"a credential in another folder", sound().with(credentials("").with(files{ec: "", "src/def/namedCredentials/Crm.externalCredential-meta.xml": credentials("")[ec]})), []string{"wrong-folder warning src/def/namedCredentials/Crm.externalCredential-meta.xml:0 externalCredentials"}},
		{"an app that only profiles grant", whole().with(files{wholePolicies: policies("App", strings.Replace(strict, "AllSelfAuthorized", "AdminApprovedPreAuthorized", 1)+"\n<commaSeparatedProfile>Admin</commaSeparatedProfile>")}), []string{
			"profiles-only warning " + wholePolicies + ":3 perhaps they are refused"}},
		{"an app that profiles and settings grant", whole().with(files{wholePolicies: policies("App", strings.Replace(strict, "AllSelfAuthorized", "AdminApprovedPreAuthorized", 1)+"<commaSeparatedProfile>Admin</commaSeparatedProfile>"),
			"sfdx-project.json": `{"packageDirectories": [{"path": "src/def", "package": "def"}], "sourceApiVersion": "66.0", "plugins": {"eca": {"apps": {"App": {"permissionSets": ["App_Users"]}}}}}`}), nil},
		{"a whole app that resets policies", whole().with(files{wholePolicies: policies("App", "<refreshTokenPolicyType>Zero</refreshTokenPolicyType>")}), []string{
			"resets-on-deploy warning " + wholePolicies + ":1 leaves out ipRelaxationPolicyType, permittedUsersPolicyType, requiredSessionLevel"}},
		{"a whole app with a user", whole().with(files{wholePolicies: policies("App", strict+"\n"+runAs+flow)}), []string{"user-of-one-org warning " + wholePolicies + ":3 a@example.com", "flow-off warning " + wholePolicies + ":4 "}},
		{"a whole app with a user that sf fills in", whole().with(files{wholePolicies: policies("App", strict+"<clientCredentialsFlowUser>${RUN_AS}</clientCredentialsFlowUser>"+flow),
			"sfdx-project.json": `{"packageDirectories": [{"path": "src/def"}], "sourceApiVersion": "66.0", "replacements": [{"glob": "src/**", "stringToReplace": "${RUN_AS}", "replaceWithEnv": "RUN_AS"}]}`}), []string{"flow-off warning " + wholePolicies + ":3 "}},
		{"a whole app with a user that sfp does not fill in", whole().with(files{wholePolicies: policies("App", strict+"<clientCredentialsFlowUser>${RUN_AS}</clientCredentialsFlowUser>"+flow),
			"sfdx-project.json": `{"packageDirectories": [{"path": "src/def", "package": "def"}], "sourceApiVersion": "66.0",
				"replacements": [{"glob": "src/**", "stringToReplace": "${OTHER}", "replaceWithEnv": "OTHER"},
				{"glob": "src/**", "regexToReplace": "[$]\\{RUN.AS\\}", "replaceWithEnv": "RUN_AS"}]}`}), []string{"replacements error sfdx-project.json:3 replacements[1] is for " + wholePolicies, "flow-off warning " + wholePolicies + ":3 "}},
		{"what sf replaces in files that are not deployed", whole().with(files{".forceignore": "**/extlClntAppOauthPolicies/",
			wholePolicies:       policies("App", strict+"<clientCredentialsFlowUser>${RUN_AS}</clientCredentialsFlowUser>"+flow),
			"sfdx-project.json": `{"packageDirectories": [{"path": "src/def", "package": "def"}], "sourceApiVersion": "66.0", "replacements": [{"glob": "src/**", "stringToReplace": "${RUN_AS}", "replaceWithEnv": "RUN_AS"}]}`}), nil},
		{"a whole app as it was retrieved", whole().with(files{wholeOAuth: oauth("App", link), wholePolicies: policies("App", strict+"\n<isNamedUserJwtEnabled>false</isNamedUserJwtEnabled>")}), []string{
			"unknown-element warning " + wholePolicies + ":3 is deprecated", "settings-without-link warning " + wholeOAuth + ":2 remove the element"}},
		{"global settings of a Packaged app", packaged().with(files{"src/def/A.ecaGlblOauth-meta.xml": whole()[wholeGlobal]}), []string{"global-settings-in-source error src/def/A.ecaGlblOauth-meta.xml:1 cannot be in a package"}},
		{"packaged", packaged(), nil},
		{"OAuth settings of a Local app", sound().with(files{"src/def/x/App_oauth.ecaOauth-meta.xml": oauth("App", "")}), []string{"settings-without-link error src/def/x/App_oauth.ecaOauth-meta.xml:1 oauthSettings"}},
		{"link of a Local app", sound().with(files{"src/def/x/App_oauth.ecaOauth-meta.xml": oauth("App", link)}), []string{"settings-without-link warning src/def/x/App_oauth.ecaOauth-meta.xml:2 Local"}},
		{"global settings", sound().with(files{"src/def/x/A.ecaGlblOauth-meta.xml": xml("ExtlClntAppGlobalOauthSettings", "<externalClientApplication>App</externalClientApplication>")}), []string{"global-settings-in-source error src/def/x/A.ecaGlblOauth-meta.xml:1 globalOauthSettings", "flow-off warning src/pol/uat/" + plcy + ":3 "}},
		{"consumer key and secret", sound().with(files{"src/def/x/A.ecaGlblOauth-meta.xml": xml("ExtlClntAppGlobalOauthSettings", "<externalClientApplication>App</externalClientApplication>\n<consumerKey>k</consumerKey>\n<consumerSecret>topsecret</consumerSecret>")}), []string{
			"global-settings-in-source error src/def/x/A.ecaGlblOauth-meta.xml:1 ", "secret-in-source error src/def/x/A.ecaGlblOauth-meta.xml:3 consumer key", "secret-in-source error src/def/x/A.ecaGlblOauth-meta.xml:4 secret", "flow-off warning src/pol/uat/" + plcy + ":3 "}},
		{"left out by .forceignore", sound().with(files{".forceignore": "**/x/", "src/def/x/A.ecaGlblOauth-meta.xml": xml("ExtlClntAppGlobalOauthSettings", "<externalClientApplication>App</externalClientApplication>\n<typo/>"),
			"src/def/x/B.ecaGlblOauth-meta.xml": xml("ExtlClntAppGlobalOauthSettings", "<consumerSecret>topsecret</consumerSecret>"), "src/def/x/C.ecaGlblOauth-meta.xml": "<"}), []string{"secret-in-source error src/def/x/B.ecaGlblOauth-meta.xml:2 secret"}},
		{"policies left out, and applied", sound().settings(`{"applyPolicies": true}`).with(files{".forceignore": "**/uat/", "src/pol/uat/" + plcy: policies("App", flow+"<typo>1</typo>")}), []string{
			"run-as-user error src/pol/uat/" + plcy + ":3 no user", "unknown-element warning src/pol/uat/" + plcy + ":3 typo"}},
		{"a .forceignore beyond the bounds", sound().with(files{".forceignore": strings.Repeat("a\n", 6000)}), []string{"unreadable warning .forceignore:0 has more than 5000 rules"}},
		{"default left out", sound().with(files{".forceignore": "**/default/"}), nil},
		{"folders of apps in those of environments", sound().with(files{"src/pol/uat/" + plcy: "", "src/pol/default/" + plcy: "", "src/pol/uat/Erp/" + plcy: policies("App", ""), "src/pol/default/Erp/" + plcy: policies("App", "")}).with(files{"src/pol/default/README.md": "x"}), nil},
		{"folders of environments in another", sound().with(files{"src/pol/uat/" + plcy: "", "src/pol/sandboxes/uat/" + plcy: policies("App", ""), "src/pol/sandboxes/sit/" + plcy: policies("App", "")}), nil},
		{"folders without those of types", sound().with(files{"src/pol/uat/" + plcy: "", "src/pol/default/" + plcy: "", "src/pol/envs/uat/App.ecaOauthPlcy-meta.xml": policies("App", ""), "src/pol/envs/default/App.ecaOauthPlcy-meta.xml": policies("App", "")}), nil},
		{"default of another environment", sound().with(files{"src/pol/uat/" + plcy: "", "src/pol/default/" + plcy: "", "src/pol/uat/main/default/" + plcy: policies("App", "")}), []string{"no-default error src/pol/uat/main/default:0 as default for every sandbox"}},
		{"default around environments", sound().with(files{"src/pol/uat/" + plcy: "", "src/pol/default/" + plcy: "", "src/pol/main/default/uat/" + plcy: policies("App", "")}), []string{"no-default error src/pol/main/default:0 as default for every sandbox"}},
		{"environments in default", sound().with(files{"src/pol/uat/" + plcy: "", "src/pol/default/" + plcy: "", "src/pol/default/uat/" + plcy: policies("App", ""), "src/pol/default/sit/" + plcy: policies("App", "")}), []string{"duplicate error src/pol/default/uat/" + plcy + ":2 one record"}},
		{"left out, broken and applied elsewhere", sound().settings(`{"applyPolicies": true, "apps": {"App": {"applyPolicies": false}}}`).with(files{".forceignore": "**/Q*", "src/pol/uat/Q.ecaOauthPlcy-meta.xml": "<"}), nil},
		{"default without anything", sound().with(files{"src/pol/default/" + plcy: "", "src/pol/default/README.md": "none"}), nil},
		{"left out, broken and applied", sound().settings(`{"applyPolicies": true}`).with(files{".forceignore": "**/uat/", "src/pol/uat/" + plcy: "<"}), []string{"malformed error src/pol/uat/" + plcy + ":1 XML"}},
		{"settings of an environment by another case", sound().settings(`{"apps": {"App": {"environments": {"UAT": {"pluginPolicies": {"isEnabled": true}}}}}}`), []string{"settings warning sfdx-project.json:4 names are case-sensitive"}},
		{"old project", sound().with(files{"sfdx-project.json": strings.Replace(fmt.Sprintf(packages, ""), "64.0", "58.0", 1), "src/pol/uat/" + plcy: policies("App", "")}), []string{"settings error sfdx-project.json:4 need 6"}},
		{"eca by another command", sound().with(files{"scripts/bootstrap.sh": "sh -e scripts/bootstrap-eca-oauth.sh \"$@\""}), nil},
		{"eca in a script that carries it", sound().with(files{"scripts/bootstrap.sh": "exec \"$eca\" hook \"$@\"\n" + strings.Repeat("#0 "+strings.Repeat("A", 1000)+"\n", 17<<10)}), nil},
		{"eca by cmd.exe", sound().with(files{"scripts/bootstrap.sh": "\"%eca%\" hook %*\r\n"}), nil},
		{"a script for cmd.exe", sound().with(files{"sfdx-project.json": strings.Replace(fmt.Sprintf(packages, ""), "bootstrap.sh", "bootstrap.cmd", 1), "scripts/bootstrap.cmd": "\"%eca%\" hook %*\r\n"}), []string{"script-not-wired error sfdx-project.json:2 cmd.exe runs no file without an extension"}},
		{"eca with flags", sound().with(files{"scripts/bootstrap.sh": "\"${ECA_BIN:-eca}\" --verbose hook \"$@\""}), nil},
		{"eca by go run", sound().with(files{"scripts/bootstrap.sh": "go run github.com/ecakit/ecakit/hook/eca@latest hook \"$@\""}), nil},
		{"header left out by .forceignore", sound().with(files{".forceignore": "*.eca-meta.xml"}), nil},
		{"private key", sound().with(files{"src/def/certs/x.key": "\n" + privateKey}), []string{"secret-in-source error src/def/certs/x.key:2 private key"}},
		{"private key in a component", sound().with(files{"src/pol/uat/" + plcy: policies("App", "<startUrl>"+privateKey+"</startUrl>")}), []string{"secret-in-source error src/pol/uat/" + plcy + ":2 private key"}},
		{"Packaged with the hook", sound().with(files{appFile: header("<distributionState>Packaged</distributionState>")}), []string{"header-not-local error " + appFile + ":2 Packaged", "packaged-without-link error " + appFile + ":2 oauthLink"}},
		{"scoped to an org", sound().with(files{appFile: header("<orgScopedExternalApp>00D000000000001:App</orgScopedExternalApp>")}), []string{"org-scoped error " + appFile + ":2 00D000000000001"}},
		{"scoped to another name", sound().with(files{appFile: header("<orgScopedExternalApp>00D000000000001:Other</orgScopedExternalApp>")}), []string{"org-scoped error " + appFile + ":2 Other"}},
		{"scoped to another org than the link", packaged().with(files{"src/def/extlClntAppOauthSettings/App_oauth.ecaOauth-meta.xml": oauth("App", link2)}), []string{"org-scoped error " + appFile + ":2 00D000000000002"}},
		{"no script", sound().with(files{"sfdx-project.json": strings.Replace(fmt.Sprintf(packages, ""), `, "postDeploymentScript": "scripts/bootstrap.sh"`, "", 1)}), []string{"script-not-wired error sfdx-project.json:2 has no postDeploymentScript"}},
		{"script is gone", sound().with(files{"scripts/bootstrap.sh": ""}), []string{"script-not-wired error sfdx-project.json:2 does not exist"}},
		{"another script", sound().with(files{"scripts/bootstrap.sh": "# eca hook\necho deployed eca-definition"}), []string{"script-not-wired warning sfdx-project.json:2 does not seem to call eca"}},
		{"policies first", sound().with(files{"sfdx-project.json": `{"packageDirectories": [
			{"path": "src/pol", "package": "pol", "aliasfy": true, "alwaysDeploy": true},
			{"path": "src/def", "package": "def", "alwaysDeploy": true, "postDeploymentScript": "scripts/bootstrap.sh"}]}`}), []string{"package-order error sfdx-project.json:2 before def"}},
		{"policies with the header", sound().with(files{"src/def/" + plcy: policies("App", "")}), []string{"package-order error src/def/" + plcy + ":1 together with its header"}},
		{"no default", sound().with(files{"src/pol/default/" + plcy: ""}), []string{"no-default warning sfdx-project.json:3 pol"}},
		{"default with client credentials", sound().with(files{"src/pol/default/" + plcy: policies("App", runAs+flow)}), []string{"default-client-credentials warning src/pol/default/" + plcy + ":3 "}},
		{"no user", sound().with(files{"src/pol/uat/" + plcy: policies("App", flow)}), []string{"run-as-user error src/pol/uat/" + plcy + ":3 no user"}},
		{"unfilled user", sound().with(files{"src/pol/uat/" + plcy: policies("App", strings.Replace(runAs, "a@example.com", "{username}", 1)+flow)}), []string{"run-as-user error src/pol/uat/" + plcy + ":2 applyPolicies"}},
		{"filled user", sound().settings(`{"applyPolicies": true}`).with(files{"src/pol/default/" + plcy: policies("App", strings.Replace(runAs, "a@example.com", "{username}", 1)+flow)}), nil},
		{"outside of folders", sound().with(files{"src/pol/" + strings.Replace(plcy, "App_", "Old_", 1): policies("App", "")}), []string{"folder-unreachable error src/pol/extlClntAppOauthPolicies/Old_oauthPlcy.ecaOauthPlcy-meta.xml:0 never deploys"}},
		{"shadowed", sound().with(files{"src/pol/a/uat/" + plcy: policies("App", "")}), []string{"folder-shadowed error src/pol/uat:0 src/pol/a/uat"}},
		{"shadowed by case", sound().with(files{"src/pol/UAT/" + plcy: policies("App", "")}), []string{"folder-shadowed warning src/pol/uat:0 case"}},
		{"Packaged without a link", packaged().with(files{"src/def/extlClntAppOauthSettings/App_oauth.ecaOauth-meta.xml": ""}), []string{"packaged-without-link error " + appFile + ":2 retrieve"}},
		{"made-up link", packaged().with(files{"src/def/extlClntAppOauthSettings/App_oauth.ecaOauth-meta.xml": oauth("App", "<oauthLink>x:y</oauthLink>")}), []string{"bad-link error src/def/extlClntAppOauthSettings/App_oauth.ecaOauth-meta.xml:2 888"}},
		{"links to two orgs", packaged().with(files{
			"src/def/externalClientApps/Two.eca-meta.xml":                  header("<distributionState>Packaged</distributionState>"),
			"src/def/extlClntAppOauthSettings/Two_oauth.ecaOauth-meta.xml": oauth("Two", link2)}), []string{"mixed-stages warning src/def/extlClntAppOauthSettings/Two_oauth.ecaOauth-meta.xml:2 several orgs"}},
		{"prod and nonprod", packaged().with(files{
			"src/def/externalClientApps/Erp_Prod.eca-meta.xml":            header("<distributionState>Packaged</distributionState>"),
			"src/def/externalClientApps/ErpNonProd.eca-meta.xml":          header("<distributionState>Packaged</distributionState>"),
			"src/def/extlClntAppOauthSettings/P_oauth.ecaOauth-meta.xml":  oauth("Erp_Prod", link),
			"src/def/extlClntAppOauthSettings/NP_oauth.ecaOauth-meta.xml": oauth("ErpNonProd", link)}), []string{"mixed-stages warning src/def/externalClientApps/Erp_Prod.eca-meta.xml:1 production"}},
		{"broken XML", sound().with(files{"src/pol/uat/" + plcy: "<ExtlClntApp"}), []string{"malformed error src/pol/uat/" + plcy + ":1 well-formed"}},
		{"another root", sound().with(files{"src/pol/uat/" + plcy: header("")}), []string{"malformed error src/pol/uat/" + plcy + ":0 root element"}},
		{"unknown element", sound().with(files{"src/pol/uat/" + plcy: policies("App", "\n<permittedUserPolicyType>AllSelfAuthorized</permittedUserPolicyType>")}), []string{"unknown-element warning src/pol/uat/" + plcy + ":3 permittedUsersPolicyType"}},
		{"unknown value", sound().with(files{"src/pol/uat/" + plcy: policies("App", "<permittedUsersPolicyType>AdminApproved</permittedUsersPolicyType>")}), []string{"unknown-value warning src/pol/uat/" + plcy + ":2 'AdminApproved' is not a valid value for the enum 'PermittedUsersPolicyType'"}},
		{"two of one", sound().with(files{"src/pol/uat/" + plcy: policies("App", "\n<startUrl>a</startUrl>\n<startUrl>b</startUrl>")}), []string{"repeated-element error src/pol/uat/" + plcy + ":3 more than once"}},
		{"missing element", sound().with(files{"src/pol/uat/extlClntAppPolicies/A.ecaPlcy-meta.xml": xml("ExtlClntAppConfigurablePolicies", "<externalClientApplication>App</externalClientApplication>")}), []string{"missing-element error src/pol/uat/extlClntAppPolicies/A.ecaPlcy-meta.xml:1 isEnabled"}},
		{"wrong value", sound().with(files{"src/pol/uat/" + plcy: policies("App", "<sessionTimeoutInMinutes>soon</sessionTimeoutInMinutes>")}), []string{"wrong-value error src/pol/uat/" + plcy + ":2 not a whole number"}},
		{"unknown scope", packaged().with(files{"src/def/extlClntAppOauthSettings/App_oauth.ecaOauth-meta.xml": oauth("App", link+"\n<commaSeparatedOauthScopes>Api, refresh_token</commaSeparatedOauthScopes>")}), []string{"unknown-value warning src/def/extlClntAppOauthSettings/App_oauth.ecaOauth-meta.xml:3 did you mean RefreshToken?"}},
		{"permission set by ID", sound().with(files{"src/pol/uat/" + plcy: policies("App", "\n<commaSeparatedPermissionSet>0PS000000000001</commaSeparatedPermissionSet>")}), []string{"permission-set error src/pol/uat/" + plcy + ":3 API name"}},
		{"the marker of a key alone", sound().with(files{"src/def/classes/X.cls": "key.remove('-----BEGIN " + "PRIVATE KEY-----');"}), nil},
		{"main/default below the folders", sound().with(files{"src/pol/default/" + plcy: "", "src/pol/uat/" + plcy: "", "src/pol/default/main/default/" + plcy: policies("App", ""), "src/pol/uat/main/default/" + plcy: policies("App", runAs+flow), "src/pol/uat2/force-app/main/default/" + plcy: policies("App", runAs+flow)}), nil},
		{"folders in a folder", sound().with(files{"src/pol/default/" + plcy: "", "src/pol/uat/" + plcy: "", "src/pol/envs/default/" + plcy: policies("App", ""), "src/pol/envs/uat/" + plcy: policies("App", "")}), nil},
		{"no -meta.xml", sound().with(files{"src/pol/uat/App.ecaOauthPlcy": policies("App", "")}), []string{"wrong-suffix error src/pol/uat/App.ecaOauthPlcy:1 App.ecaOauthPlcy-meta.xml"}},
		{"policies of two packages", sound().with(files{"sfdx-project.json": strings.Replace(fmt.Sprintf(packages, ""), `], "source`, `, {"path": "src/pol2", "package": "pol2", "alwaysDeploy": true, "aliasfy": true}], "source`, 1), "src/pol2/default/x.txt": "", "src/pol2/uat/extlClntAppOauthPolicies/Q.ecaOauthPlcy-meta.xml": policies("App", "")}), []string{"no-default warning sfdx-project.json:4 pol2", "duplicate error src/pol2/uat/extlClntAppOauthPolicies/Q.ecaOauthPlcy-meta.xml:2 one record"}},
		{"merge mode", sound().with(files{"sfdx-project.json": strings.Replace(fmt.Sprintf(packages, ""), `"aliasfy": true`, `"aliasfy": {"mergeMode": true}`, 1), "src/pol/uat/" + plcy: "", "src/pol/uat/extlClntAppOauthPolicies/Q.ecaOauthPlcy-meta.xml": policies("App", "")}), []string{"duplicate error src/pol/uat/extlClntAppOauthPolicies/Q.ecaOauthPlcy-meta.xml:2 same name"}},
		{"a comment before", sound().with(files{"src/pol/uat/" + plcy: policies("App", "<!-- <bogus> -->\n\n<bogus/>")}), []string{"unknown-element warning src/pol/uat/" + plcy + ":4 check its name"}},
		{"a malformed header", sound().with(files{appFile: "<x"}), []string{"malformed error " + appFile + ":1 well-formed"}},
		{"a package in a package", sound().with(files{"sfdx-project.json": strings.Replace(fmt.Sprintf(packages, ""), `{"path": "src/pol"`, `{"path": "src", "package": "all", "type": "source"},{"path": "src/pol"`, 1)}), nil},
		{"newer element", sound().with(files{"src/pol/uat/" + plcy: policies("App", "<namedUserJwtSessionTimeoutType>Custom</namedUserJwtSessionTimeoutType>")}), []string{"newer-than-project warning src/pol/uat/" + plcy + ":2 65.0"}},
		{"newer element that eca sends", sound().settings(`{"applyPolicies": true}`).with(files{".forceignore": "**/uat/", "src/pol/uat/" + plcy: policies("App", "<namedUserJwtSessionTimeoutType>Custom</namedUserJwtSessionTimeoutType>")}), nil},
		{"newer setting, which eca sends", sound().settings(`{"apps": {"App": {"globalOauthSettings": {"isMtlsEnabled": true}}}}`), nil},
		{"newer type", sound().with(files{"src/def/extlClntAppCanvasSettings/App.ecaCanvas-meta.xml": xml("ExtlClntAppCanvasSettings", "<canvasUrl>https://a</canvasUrl><externalClientApplication>App</externalClientApplication>")}), []string{"newer-than-project warning src/def/extlClntAppCanvasSettings/App.ecaCanvas-meta.xml:0 66.0", "sfp-cannot-build error src/def/extlClntAppCanvasSettings/App.ecaCanvas-meta.xml:0 move it to eca/policies/ENVIRONMENT"}},
		{"what sfp cannot build", sound().with(files{"src/pol/uat/extlClntAppPushSettings/App.ecaPush-meta.xml": "<x/>"}), []string{"sfp-cannot-build error src/pol/uat/extlClntAppPushSettings/App.ecaPush-meta.xml:0 leaves out the package pol; add it to .forceignore, and deploy it with sf"}},
		{"what sfp cannot build, left out", sound().with(files{"src/def/eca/policies/uat/App.ecaSamlPlcy-meta.xml": xml("ExtlClntAppSamlConfigurablePolicies", "<acsUrl>https://a</acsUrl><entityUrl>e</entityUrl><externalClientApplication>App</externalClientApplication>"), ".forceignore": "src/def/eca/"}), nil},
		{"what the project teaches sfp", sound().with(files{"src/pol/uat/App.ecaPush-meta.xml": "<x/>", "sfdx-project.json": strings.Replace(fmt.Sprintf(packages, ""), `"sourceApi`, `"registryCustomizations": {"types": {"extlclntapppushsettings": {"suffix": "ecaPush"}}}, "sourceApi`, 1)}), nil},
		{"wrong suffix", sound().with(files{"src/pol/uat/extlClntAppOauthPolicies/App.ecaOauthPolicy-meta.xml": policies("App", "")}), []string{"wrong-suffix error src/pol/uat/extlClntAppOauthPolicies/App.ecaOauthPolicy-meta.xml:1 App.ecaOauthPlcy-meta.xml"}},
		{"wrong folder", sound().with(files{appFile: "", "src/def/extlClntAppPolicies/App.eca-meta.xml": header("")}), []string{"wrong-folder warning src/def/extlClntAppPolicies/App.eca-meta.xml:0 externalClientApps"}},
		{"policies of nobody", sound().with(files{"src/pol/uat/" + plcy: xml("ExtlClntAppOauthConfigurablePolicies", "")}), []string{"unknown-app error src/pol/uat/" + plcy + ":1 is missing"}},
		{"policies of another app", sound().with(files{"src/pol/uat/" + plcy: policies("Other", "")}), []string{"unknown-app warning src/pol/uat/" + plcy + ":2 Other"}},
		{"settings of another app", sound().settings(`{"apps": {"app": {}}}`), []string{"unknown-app error sfdx-project.json:4 did you mean App?"}},
		{"two headers", sound().with(files{"src/def/more/App.eca-meta.xml": header("")}), []string{"duplicate error src/def/more/App.eca-meta.xml:1 already"}},
		{"two policies", sound().with(files{"src/pol/uat/more/extlClntAppOauthPolicies/B.ecaOauthPlcy-meta.xml": policies("App", ""), "src/pol/uat/extlClntAppOauthPolicies/C.ecaOauthPlcy-meta.xml": policies("App", "")}), []string{
			"duplicate error src/pol/uat/extlClntAppOauthPolicies/C.ecaOauthPlcy-meta.xml:2 one record", "duplicate error src/pol/uat/more/extlClntAppOauthPolicies/B.ecaOauthPlcy-meta.xml:2 one record"}},
		{"wrong setting", sound().settings(`{"apps": {"App": {"oauthSetings": {}}}}`), []string{"settings error sfdx-project.json:4 did you mean oauthSettings?"}},
		{"unknown field in the settings", sound().settings(`{"apps": {"App": {"environments": {"uat": {"oauthSettings": {"lable": "x"}}}}}}`),
			[]string{"settings warning sfdx-project.json:4 plugins.eca.apps.App.environments.uat.oauthSettings.lable: ExtlClntAppOauthSettings has no such element in API version 68.0; did you mean label?"}},
		{"the old key", sound().settings(`{"apps": {"App": {"policies": {"isEnabled": true}}}}`), []string{"settings warning sfdx-project.json:4 rename it"}},
		{"no JSON", sound().with(files{"sfdx-project.json": "{"}), []string{"settings error sfdx-project.json:1 line 1"}},
		{"no directory", sound().with(files{"sfdx-project.json": strings.Replace(fmt.Sprintf(packages, ""), `], "source`, `, {"path": "src/gone", "package": "gone"}], "source`, 1)}), []string{"settings error sfdx-project.json:4 src/gone"}},
		{"a flow without policies", sound().settings(`{"apps": {"App": {"globalOauthSettings": {"isClientCredentialsFlowEnabled": true}}}}`).with(files{"src/pol/default/" + plcy: "", "src/pol/uat/" + plcy: "", "src/pol/keep.txt": "x"}),
			[]string{"no-policies warning sfdx-project.json:4 name a user to run as"}},
		{"a flow with policies of another environment", sound().settings(`{"apps": {"App": {"globalOauthSettings": {"isClientCredentialsFlowEnabled": true}, "environments": {"dev": {}}}}}`), nil},
		{"token exchange without policies", sound().settings(`{"apps": {"App": {"globalOauthSettings": {"isTokenExchangeEnabled": true}}}}`),
			[]string{"no-policies warning sfdx-project.json:4 token exchange on, but no OAuth policies that switch it on"}},
		{"token exchange with policies", sound().settings(`{"apps": {"App": {"globalOauthSettings": {"isTokenExchangeEnabled": true}}}}`).with(files{"src/pol/default/" + plcy: policies("App", "<isTokenExchangeFlowEnabled>true</isTokenExchangeFlowEnabled>")}), nil},
		{"a flow that all policies have off", sound().settings(`{"apps": {"App": {"globalOauthSettings": {"isClientCredentialsFlowEnabled": true}}}}`).with(files{"src/pol/uat/" + plcy: policies("App", "<isClientCredentialsFlowEnabled>false</isClientCredentialsFlowEnabled>")}),
			[]string{"no-policies warning sfdx-project.json:4 name a user to run as"}},
		{"credentials in POST alone, without their flow", sound().settings(`{"apps": {"App": {"globalOauthSettings": {"isCodeCredPostOnly": true}}}}`), []string{"flow-off warning sfdx-project.json:4 needs isCodeCredFlowEnabled"}},
		{"the Agent API without JWT-based tokens", sound().settings(`{"apps": {"App": {"oauthSettings": {"commaSeparatedOauthScopes": ["Api", "SFApiPlatform"]}}}}`), []string{"mcp-without-jwt warning sfdx-project.json:4 the scope SFApiPlatform"}},
		{"contradictions, and what else is wrong", sound().settings(`{"apps": {"App": {"globalOauthSettings": {"isClientCredentialsFlowEnabled": false}, "oauthSettings": {"commaSeparatedOauthScopes": ["Full"]}, "pluginPolicies": {"isOauthPluginEnabled": false}}}}`),
			[]string{"scope-full warning sfdx-project.json:4 broader than any use", "settings error sfdx-project.json:4 isClientCredentialsFlowEnabled: is false",
				"settings error sfdx-project.json:4 isOauthPluginEnabled: is false", "settings error sfdx-project.json:4 (for uat)"}},
		{"contradiction", sound().settings(`{"apps": {"App": {"globalOauthSettings": {"isClientCredentialsFlowEnabled": false}}}}`), []string{"settings error sfdx-project.json:4 (for uat)"}},
		{"a hand-over that the settings forbid", sound().settings(`{"apps": {"App": {"handOver": {"command": ["true"]}}}}`).with(files{"src/def/settings/ExternalClientApp.settings-meta.xml": xml("ExternalClientAppSettings", "<enableConsumerSecretApiAccess>true</enableConsumerSecretApiAccess>")}), []string{"hand-over-locked warning src/def/settings/ExternalClientApp.settings-meta.xml:1 enableClientSecretInRestApiAccess"}},
		{"a hand-over that the settings allow", sound().settings(`{"apps": {"App": {"handOver": {"command": ["true"]}}}}`).with(files{"src/def/settings/ExternalClientApp.settings-meta.xml": xml("ExternalClientAppSettings", "<enableClientSecretInRestApiAccess>true</enableClientSecretInRestApiAccess>")}), nil},
		{"MCP without JWT-based tokens", sound().settings(`{"apps": {"App": {"oauthSettings": {"commaSeparatedOauthScopes": ["MCP"]}}}}`), []string{"mcp-without-jwt warning sfdx-project.json:4 isNamedUserJwtEnabled"}},
		{"MCP with them", sound().settings(`{"apps": {"App": {"oauthSettings": {"commaSeparatedOauthScopes": ["MCP"]}, "globalOauthSettings": {"isNamedUserJwtEnabled": true}}}}`), nil},
		{"all scopes", sound().settings(`{"apps": {"App": {"oauthSettings": {"commaSeparatedOauthScopes": ["Full"]}}}}`), []string{"scope-full warning sfdx-project.json:4 broader than any use"}},
		{"public client that cannot refresh", sound().settings(`{"apps": {"App": {"oauthSettings": {"commaSeparatedOauthScopes": ["RefreshToken"]}, "globalOauthSettings": {"isConsumerSecretOptional": true}}}}`), []string{"public-client warning sfdx-project.json:4 isSecretRequiredForRefreshToken to false"}},
		{"public client with the synonym", sound().settings(`{"apps": {"App": {"oauthSettings": {"commaSeparatedOauthScopes": ["OfflineAccess"]}, "globalOauthSettings": {"isConsumerSecretOptional": true}}}}`), []string{"public-client warning sfdx-project.json:4 isSecretRequiredForRefreshToken to false"}},
		{"public client without PKCE", sound().settings(`{"apps": {"App": {"globalOauthSettings": {"isConsumerSecretOptional": true, "isPkceRequired": false}}}}`), []string{"public-client warning sfdx-project.json:4 isPkceRequired to true"}},
		{"sound public client", sound().settings(`{"apps": {"App": {"oauthSettings": {"commaSeparatedOauthScopes": ["RefreshToken"]}, "globalOauthSettings": {"isConsumerSecretOptional": true, "isSecretRequiredForRefreshToken": false}}}}`), nil},
		{"certificate that has expired", withCertificate(t, -time.Hour), []string{"certificate-expires error sfdx-project.json:4 that expired on"}},
		{"certificate that expires soon", withCertificate(t, 29*24*time.Hour), []string{"certificate-expires warning sfdx-project.json:4 expires on"}},
		{"certificate that is good", withCertificate(t, 31*24*time.Hour), nil},
		{"certificate with an elliptic curve", withKey(t, ecKey(t), 31*24*time.Hour), []string{"certificate-unfit error sfdx-project.json:4 with a key of ECDSA"}},
		{"certificate with a short key", withKey(t, rsaKey(t, 1024), 31*24*time.Hour), []string{"certificate-unfit error sfdx-project.json:4 a key of 1024 bits"}},
		{"certificate with too many names", withLargeCertificate(t), []string{"certificate-unfit error sfdx-project.json:4 4 KB or more"}},
		{"JWT bearer without the scope", withCertificate(t, 31*24*time.Hour).settings(`{"apps": {"App": {"oauthSettings": {"commaSeparatedOauthScopes": ["Api"]}, "globalOauthSettings": {"certificate": {"file": "app.crt"}}}}}`), []string{"jwt-login warning sfdx-project.json:4 not the scope RefreshToken"}},
		{"JWT bearer for users who authorise themselves", withCertificate(t, 31*24*time.Hour).with(files{"src/pol/uat/" + plcy: policies("App", "\n<refreshTokenPolicyType>Zero</refreshTokenPolicyType>")}), []string{
			"jwt-login warning src/pol/uat/" + plcy + ":1 let all users authorise", "jwt-login warning src/pol/uat/" + plcy + ":3 end refresh tokens at once"}},
		{"nobody is pre-authorised", sound().with(files{"src/pol/uat/" + plcy: policies("App", "\n<permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType>")}), []string{"locked-out warning src/pol/uat/" + plcy + ":3 admits only pre-authorised"}},
		{"somebody is pre-authorised in the settings", sound().settings(`{"apps": {"App": {"environments": {"uat": {"permissionSets": ["Ci"]}}}}}`).with(files{"src/pol/uat/" + plcy: policies("App", "<permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType>")}), nil},
		{"a flow that the source has off", whole().with(files{wholePolicies: policies("App", strict+"\n<isTokenExchangeFlowEnabled>true</isTokenExchangeFlowEnabled>")}), []string{"flow-off warning " + wholePolicies + ":3 set isTokenExchangeEnabled to true in " + wholeGlobal}},
		{"guests without JWT-based tokens", whole().with(files{wholePolicies: policies("App", strict+"\n<isGuestCodeCredFlowEnabled>true</isGuestCodeCredFlowEnabled>")}), []string{"flow-off warning " + wholePolicies + ":3 isCodeCredFlowEnabled", "flow-off warning " + wholePolicies + ":3 isNamedUserJwtEnabled"}},
		{"a flow that the settings switch on", sound().with(files{"src/pol/uat/" + plcy: policies("App", "<isGuestCodeCredFlowEnabled>true</isGuestCodeCredFlowEnabled><namedUserJwtTimeout>5</namedUserJwtTimeout>")}), nil},
		{"MCP in source", whole().with(files{wholeOAuth: oauth("App", "\n<commaSeparatedOauthScopes>MCP</commaSeparatedOauthScopes>")}), []string{"mcp-without-jwt warning " + wholeOAuth + ":3 set isNamedUserJwtEnabled to true in " + wholeGlobal}},

		{"credentials that rotate with each deployment", whole().with(files{wholeGlobal: xml("ExtlClntAppGlobalOauthSettings", "<externalClientApplication>App</externalClientApplication><isRefreshTokenRotationEnabled>true</isRefreshTokenRotationEnabled>\n<shouldRotateConsumerKey>true</shouldRotateConsumerKey>\n<shouldRotateConsumerSecret>false</shouldRotateConsumerSecret>")}), []string{"rotates-on-deploy error " + wholeGlobal + ":3 "}},
		{"policies in the type of plug-ins", sound().with(files{"src/pol/uat/extlClntAppPolicies/App_plcy.ecaPlcy-meta.xml": xml("ExtlClntAppConfigurablePolicies", "<externalClientApplication>App</externalClientApplication>\n<ipRelaxation>ENFORCE</ipRelaxation>\n<isEnabled>true</isEnabled>\n<isPkceRequired>true</isPkceRequired>")}), []string{
			"unknown-element warning src/pol/uat/extlClntAppPolicies/App_plcy.ecaPlcy-meta.xml:3 state it as ipRelaxationPolicyType of the app's ExtlClntAppOauthConfigurablePolicies",
			"unknown-element warning src/pol/uat/extlClntAppPolicies/App_plcy.ecaPlcy-meta.xml:5 state it as isPkceRequired of the app's ExtlClntAppGlobalOauthSettings"}},
		{"a scope of published guidance", whole().with(files{wholeOAuth: oauth("App", "\n<commaSeparatedOauthScopes>ChatterApi</commaSeparatedOauthScopes>")}), []string{"unknown-value warning " + wholeOAuth + ":3 did you mean Chatter?"}},

		{"global settings that cannot be parsed, and no errors that follow from that", whole().with(files{wholeGlobal: "<ExtlClntAppGlobalOauthSettings"}), []string{"malformed error " + wholeGlobal + ":1 is not well-formed XML"}},
		{"OAuth settings of no app, and no errors that follow from that", whole().with(files{wholeOAuth: xml("ExtlClntAppOauthSettings", "<commaSeparatedOauthScopes>Api</commaSeparatedOauthScopes>")}), []string{"unknown-app error " + wholeOAuth + ":1 belongs to no app"}},
		{"two global settings of an app", whole().with(files{"src/def/extlClntAppGlobalOauthSets/Other.ecaGlblOauth-meta.xml": whole()[wholeGlobal]}), []string{"duplicate error src/def/extlClntAppGlobalOauthSets/Other.ecaGlblOauth-meta.xml:2 App already has ExtlClntAppGlobalOauthSettings in " + wholeGlobal}},
		{"policies of an app whose OAuth plugin is off", whole().with(files{"src/def/extlClntAppPolicies/App_plcy.ecaPlcy-meta.xml": xml("ExtlClntAppConfigurablePolicies", "<externalClientApplication>App</externalClientApplication><isEnabled>true</isEnabled>\n<isOauthPluginEnabled>false</isOauthPluginEnabled>")}), []string{
			"oauth-off error src/def/extlClntAppPolicies/App_plcy.ecaPlcy-meta.xml:3 set isOauthPluginEnabled to true in src/def/extlClntAppPolicies/App_plcy.ecaPlcy-meta.xml"}},
		{"an API name with two underscores", whole().with(files{wholeOAuth: "", "src/def/extlClntAppOauthSettings/App__oauth_.ecaOauth-meta.xml": whole()[wholeOAuth]}), []string{"api-name error src/def/extlClntAppOauthSettings/App__oauth_.ecaOauth-meta.xml:0 the API name \"App__oauth_\" is invalid"}},
		{"an app's API name", whole().with(files{"src/def/externalClientApps/My-App.eca-meta.xml": header("<distributionState>Packaged</distributionState>")}), []string{
			"api-name error src/def/externalClientApps/My-App.eca-meta.xml:0 ", "packaged-without-link error src/def/externalClientApps/My-App.eca-meta.xml:2 "}},
		{"a namespace that is too long", sound().with(files{"src/pol/uat/Q.ecaOauthPlcy-meta.xml": policies("sixteenletterssss__App", "")}), []string{"unknown-app error src/pol/uat/Q.ecaOauthPlcy-meta.xml:2 cannot be the API name"}},
		{"an app of a package", sound().with(files{"src/pol/uat/ns__App_oauthPlcy.ecaOauthPlcy-meta.xml": policies("my_ns__App", "")}), nil},
		{"an app of a template", sound().with(files{"src/pol/uat/__APP___oauthPlcy.ecaOauthPlcy-meta.xml": policies("\n{{APP}}", "")}), []string{
			"placeholder warning src/pol/uat/__APP___oauthPlcy.ecaOauthPlcy-meta.xml:2 {{APP}}", "white-space error src/pol/uat/__APP___oauthPlcy.ecaOauthPlcy-meta.xml:2 "}},
		{"the label of an app", sound().with(files{appFile: header("<label>My App</label>"), "src/pol/uat/Q.ecaOauthPlcy-meta.xml": policies("My App", "")}), []string{"unknown-app error src/pol/uat/Q.ecaOauthPlcy-meta.xml:2 write App"}},
		{"white space around a reference", sound().with(files{"src/pol/uat/" + plcy: xml("ExtlClntAppOauthConfigurablePolicies", "<clientCredentialsFlowUser>a@example.com\n</clientCredentialsFlowUser><externalClientApplication> App </externalClientApplication>"+flow)}), []string{
			"white-space error src/pol/uat/" + plcy + ":2 a@example.com", "white-space error src/pol/uat/" + plcy + ":3 has white space"}},
		{"placeholders", whole().with(files{wholePolicies: policies("App", strict+"\n<sessionTimeoutInMinutes>@TIMEOUT@</sessionTimeoutInMinutes><startUrl>&lt;%= URL %&gt;</startUrl>"),
			wholeGlobal: xml("ExtlClntAppGlobalOauthSettings", "<callbackUrl>__CALLBACK_URL__</callbackUrl>\n<externalClientApplication>App</externalClientApplication>\n<isRefreshTokenRotationEnabled>${ROTATE}</isRefreshTokenRotationEnabled>")}), []string{
			"placeholder warning " + wholeGlobal + ":2 __CALLBACK_URL__", "placeholder warning " + wholeGlobal + ":4 ${ROTATE}", "placeholder warning " + wholePolicies + ":3 @TIMEOUT@", "placeholder warning " + wholePolicies + ":3 <%= URL %>"}},

		{"two wrong settings do not hide the rest", sound().settings(`{"preflight": "maybe", "apps": {"App": {"oauthSettings": 1, "globalOauthSettings": {"isPkceRequired": 2, "isClientCredentialsFlowEnabled": false}}}}`).with(files{
			"src/pol/default/" + plcy: policies("App", "\n<policyAction>block</policyAction>")}), []string{
			"settings error sfdx-project.json:4 plugins.eca.apps.App.globalOauthSettings.isClientCredentialsFlowEnabled: is false",
			"settings error sfdx-project.json:4 plugins.eca.apps.App.globalOauthSettings.isPkceRequired", "settings error sfdx-project.json:4 plugins.eca.apps.App.oauthSettings",
			"settings error sfdx-project.json:4 plugins.eca.preflight", "unknown-value warning src/pol/default/" + plcy + ":3 did you mean Block?"}},
		{"plain sf", plain(), nil},
		{"plain sf, environments in the package", plain().with(files{"force-app/default/" + plcy: policies("App", ""), "force-app/uat/" + plcy: policies("App", "")}), []string{
			"environments-in-package error force-app/default/" + plcy + ":0 the last one by name wins: force-app/uat/" + plcy, "package-order error force-app/default/" + plcy + ":1 eca/policies/ENVIRONMENT",
			"environments-in-package error force-app/uat/" + plcy + ":0 move it to eca/policies/uat/extlClntAppOauthPolicies", "package-order error force-app/uat/" + plcy + ":1 "}},
		{"plain sf, everything is a package", plain().with(files{"sfdx-project.json": strings.Replace(plain()["sfdx-project.json"], "force-app", "eca", 1), "force-app/externalClientApps/App.eca-meta.xml": "",
			"eca/App.eca-meta.xml": header("")}), []string{"environments-in-package error sfdx-project.json:1 give the package a directory of its own"}},
		{"plain sf, without default and beside the environments", plain().with(files{"eca/policies/default/" + plcy: "", "eca/policies/Q.ecaOauthPlcy-meta.xml": policies("App", "")}), []string{
			"no-default warning eca/policies:0 eca bootstrap fails", "folder-unreachable error eca/policies/Q.ecaOauthPlcy-meta.xml:0 eca never deploys it"}},
		{"plain sf, policies of eca", plain().with(files{"eca/policies/uat/" + plcy: policies("App", flow)}), []string{"run-as-user error eca/policies/uat/" + plcy + ":3 "}},
		{"plain sf, named by the setting", sound().settings(`{"layout": "sf"}`).with(files{"src/pol/default/" + plcy: policies("App", "")}), []string{
			"environments-in-package error src/pol/default/" + plcy + ":0 ", "environments-in-package error src/pol/uat/" + plcy + ":0 "}},
		{"no certificate", sound().settings(`{"apps": {"App": {"globalOauthSettings": {"certificate": {"file": "gone.crt"}}}}}`), []string{"settings error sfdx-project.json:4 (for default, uat)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			findings, err := lint.Run(test.files.withSums().fs(), ".")
			if err != nil {
				t.Fatal(err)
			}
			if len(findings) != len(test.want) {
				t.Errorf("%d findings, want %d", len(findings), len(test.want))
			}
			for i, f := range findings {
				broken[f.Rule] = true
				t.Log(f)
				if i >= len(test.want) {
					continue
				}
				want := strings.SplitN(test.want[i], " ", 4)
				if got := fmt.Sprintf("%s %s %s:%d", f.Rule, f.Level, f.File, f.Line); got != strings.Join(want[:3], " ") || !strings.Contains(f.Message(), want[3]) {
					t.Errorf("found %s, want %s", got, test.want[i])
				}
				if strings.Contains(f.String(), "topsecret") || f.Fix == "" {
					t.Errorf("%q", f)
				}
			}
		})
	}
	findings, err := lint.Run(closed{sound().fs(), appFile}, ".")
	if err != nil || len(findings) != 1 || findings[0].Rule != "unreadable" || findings[0].File != appFile {
		t.Errorf("of a file that cannot be opened: %v, %v", findings, err)
	}
	for _, f := range findings {
		broken[f.Rule] = true
	}
	own, _, _ := strings.Cut(lint.Document, "\n## External and Named Credentials") // other packages test their rules
	for _, rule := range finding.ParseRules(own) {
		if !broken[rule.ID] {
			t.Errorf("no test breaks %s", rule.ID)
		}
		if rule.Summary == "" || !strings.HasSuffix(rule.Summary, ".") {
			t.Errorf("%s: its page begins with %q", rule.ID, rule.Summary)
		}
	}
	for rule := range broken {
		if !slices.ContainsFunc(lint.Rules(), func(r finding.Rule) bool { return r.ID == rule }) {
			t.Errorf("RULES.md has no page for %s", rule)
		}
	}
}

// closed is a file system with a file that cannot be opened.
type closed struct {
	fs.FS
	file string
}

func (c closed) Open(name string) (fs.File, error) {
	if name == c.file {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return c.FS.Open(name)
}

// TestBound has more findings than anybody reads.
// TestSums: eca.sum depends on what its items mean, not on line ends and white space, and Fixes makes it right.
func TestSums(t *testing.T) {
	t.Parallel()
	p := sound().settings(`{"apps": {"App": {"permissionSets": ["A"]}}}`)
	for name, test := range map[string]struct {
		change files
		stale  bool
	}{
		"nothing":               {nil, false},
		"white space":           {sound().settings("{\r\n\"apps\" : {\"App\": {\"permissionSets\":[\"A\"]}} }"), false},
		"CRLF in the script":    {files{"scripts/bootstrap.sh": "a\r\neca hook\r\n"}, true},
		"CRLF alone":            {files{"src/def/eca.sum": strings.ReplaceAll(p.withSums()["src/def/eca.sum"], "\n", "\r\n")}, false},
		"another setting":       {sound().settings(`{"apps": {"App": {"permissionSets": ["B"]}}}`), true},
		"policies are deployed": {files{"src/pol/uat/" + plcy: policies("App", "")}, false},
	} {
		changed := p.withSums().with(test.change)
		if sum, kept := test.change["src/def/eca.sum"]; !kept {
			changed["src/def/eca.sum"] = p.withSums()["src/def/eca.sum"]
		} else {
			changed["src/def/eca.sum"] = sum
		}
		edits, err := lint.Fixes(changed.fs(), ".")
		if err != nil || len(edits) > 0 != test.stale {
			t.Errorf("%s: %v, %v", name, edits, err)
		}
		for _, edit := range edits {
			changed[edit.File] = string(edit.Content)
		}
		if findings, err := lint.Run(changed.fs(), "."); err != nil || slices.ContainsFunc(findings, func(f finding.Finding) bool { return f.Rule == "stale-sum" }) {
			t.Errorf("%s: %v, %v", name, findings, err)
		}
	}
	crlf := p.with(files{"scripts/bootstrap.sh": "exec \"$ECA_BIN\" hook\r\n\r"})
	lf := p.with(files{"scripts/bootstrap.sh": "exec \"$ECA_BIN\" hook\n\r"})
	if a, b := crlf.withSums()["src/def/eca.sum"], lf.withSums()["src/def/eca.sum"]; a != b || a == "" {
		t.Errorf("line ends count: %s, %s", a, b)
	}
}

func TestBound(t *testing.T) {
	t.Parallel()
	p := sound()
	for i := range 2100 {
		p[fmt.Sprintf("src/def/certs/%d.key", i)] = privateKey
	}
	if findings, err := lint.Run(p.fs(), "."); err != nil || len(findings) != 2000 {
		t.Errorf("%d findings, %v", len(findings), err)
	}
}

// TestLinksAreNotFollowed has links to files with findings: sfp does not follow them.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	fsys := sound().with(files{"outside/x.key": privateKey, "outside/B.eca": header("<nonsense/>"), "outside/crm": "<"}).withSums().fs().(fstest.MapFS)
	for link, target := range map[string]string{
		"src/def/x.key": "outside/x.key", "src/def/externalClientApps/B.eca-meta.xml": "outside/B.eca", ec: "outside/crm",
	} {
		fsys[link] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte(strings.Repeat("../", strings.Count(link, "/")) + target)}
		if _, err := fs.ReadFile(fsys, link); err != nil {
			t.Fatal(err)
		}
	}
	if findings, err := lint.Run(fsys, "."); err != nil || len(findings) > 0 {
		t.Errorf("%v, %v", findings, err)
	}
}

func TestUnder(t *testing.T) {
	t.Parallel()
	p := sound().with(files{"src/def/x.pem": privateKey, "src/pol/uat/x.pem": privateKey, "src/pol2/x.pem": privateKey}).withSums().fs()
	findings, err := lint.Run(p, "src/pol")
	if err != nil || len(findings) != 1 || findings[0].File != "src/pol/uat/x.pem" {
		t.Errorf("%v, %v", findings, err)
	}
}

func TestSample(t *testing.T) {
	t.Parallel()
	if findings, err := lint.Run(ecakit.Sample, "."); err != nil || len(findings) > 0 {
		t.Errorf("the sample project: %v, %v", findings, err)
	}
}

func ExampleRun() {
	findings, err := lint.Run(sound().with(files{"src/pol/uat/" + plcy: policies("App", flow)}).withSums().fs(), ".")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range findings {
		fmt.Println(f.File, f.Rule, f.Level)
	}
	// Output:
	// src/pol/uat/extlClntAppOauthPolicies/App_oauthPlcy.ecaOauthPlcy-meta.xml run-as-user error
}

// withCertificate returns a project whose app has a certificate that ends after a time.
func withCertificate(t *testing.T, left time.Duration) files {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return withKey(t, key, left)
}

// withKey is a project with a certificate of a key.
func withKey(t *testing.T, key crypto.Signer, left time.Duration) files {
	t.Helper()
	return withTemplate(t, key, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(left)})
}

// withLargeCertificate is a project with a certificate that has many names.
func withLargeCertificate(t *testing.T) files {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(31 * 24 * time.Hour)}
	for i := range 150 {
		template.DNSNames = append(template.DNSNames, fmt.Sprintf("a-long-name-of-a-host-%d.example.com", i))
	}
	return withTemplate(t, rsaKey(t, 2048), template)
}

func withTemplate(t *testing.T, key crypto.Signer, template *x509.Certificate) files {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	const preAuthorised = "<permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType><commaSeparatedPermissionSet>Ci</commaSeparatedPermissionSet>"
	return sound().settings(`{"apps": {"App": {"globalOauthSettings": {"certificate": {"file": "app.crt"}}}}}`).
		with(files{
			"src/def/app.crt":         string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
			"src/pol/default/" + plcy: policies("App", preAuthorised), "src/pol/uat/" + plcy: policies("App", preAuthorised),
		})
}

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rsaKey returns a new RSA key of some bits.
func rsaKey(t *testing.T, bits int) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestNothingToCheck: a check without an object must not look like a success.
func TestNothingToCheck(t *testing.T) {
	t.Parallel()
	const config = `{"packageDirectories": [{"path": "force-app", "default": true}]%s}`
	header := `<ExternalClientApplication xmlns="http://soap.sforce.com/2006/04/metadata"><contactEmail>a@example.com</contactEmail><distributionState>Local</distributionState><label>A</label></ExternalClientApplication>`
	for name, test := range map[string]struct {
		file, content, settings, under string
		nothing                        bool
	}{
		"no file of ours":            {"force-app/classes/A.cls", "class A {}", "", ".", true},
		"an app":                     {"force-app/externalClientApps/A.eca-meta.xml", header, "", ".", false},
		"an app elsewhere":           {"force-app/externalClientApps/A.eca-meta.xml", header, "", "force-app/other", true},
		"an app in the directory":    {"force-app/externalClientApps/A.eca-meta.xml", header, "", "force-app/externalClientApps", false},
		"an app outside packages":    {"other/externalClientApps/A.eca-meta.xml", header, "", "other", false},
		"outside packages, not ours": {"other/A.cls", "class A {}", "", "other", true},
		"a Connected App":            {"force-app/connectedApps/A.connectedApp-meta.xml", "<ConnectedApp/>", "", ".", false},
		"a named credential":         {"force-app/namedCredentials/A.namedCredential-meta.xml", `<NamedCredential xmlns="http://soap.sforce.com/2006/04/metadata"><label>A</label><namedCredentialType>SecuredEndpoint</namedCredentialType></NamedCredential>`, "", ".", false},
		"settings alone":             {"force-app/A.cls", "class A {}", `, "plugins": {"eca": {"apps": {"A": {}}}}`, ".", false},
	} {
		fsys := fstest.MapFS{"sfdx-project.json": {Data: fmt.Appendf(nil, config, test.settings)}, test.file: {Data: []byte(test.content)}, "force-app/other/x": {}}
		findings, err := lint.Run(fsys, test.under)
		if got := errors.As(err, new(*lint.NothingError)); got != test.nothing || err != nil && !got {
			t.Errorf("%s: %v, %v; nothing to check: want %v", name, findings, err, test.nothing)
		}
		for _, f := range findings {
			if f.Rule == "script-not-wired" {
				t.Errorf("%s: %v, but sf runs no scripts", name, f)
			}
		}
	}
}
