package scaffold_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/lint"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// everything is a Connected App that uses all that can be carried, and some that cannot.
const everything = `<?xml version="1.0" encoding="UTF-8"?>
<ConnectedApp xmlns="http://soap.sforce.com/2006/04/metadata">
    <attributes><formula>$User.Country</formula><key>country</key></attributes>
    <attributes><formula>$User.Email</formula><key>mail</key></attributes>
    <canvasConfig>
        <accessMethod>Post</accessMethod>
        <canvasUrl>https://everything.example.com/canvas</canvasUrl>
        <lifecycleClass>CanvasLifecycle</lifecycleClass>
        <locations>Aura</locations>
        <locations>Publisher</locations>
        <options>HideShare</options>
        <samlInitiationMethod>None</samlInitiationMethod>
    </canvasConfig>
    <contactEmail>owner@example.com</contactEmail>
    <contactPhone>+49 30 1234</contactPhone>
    <description>All at once</description>
    <iconUrl>https://everything.example.com/icon.png</iconUrl>
    <infoUrl>https://everything.example.com/info</infoUrl>
    <ipRanges><description>Office</description><end>192.0.2.255</end><start>192.0.2.0</start></ipRanges>
    <ipRanges><end>198.51.100.9</end><start>198.51.100.1</start></ipRanges>
    <label>Everything &amp; more</label>
    <logoUrl>https://everything.example.com/logo.png</logoUrl>
    <mobileStartUrl>https://everything.example.com/mobile</mobileStartUrl>
    <oauthConfig>
        <assetTokenConfig>
            <assetAudiences>https://everything.example.com/assets</assetAudiences>
            <assetIncludeAttributes>true</assetIncludeAttributes>
            <assetIncludeCustomPerms>true</assetIncludeCustomPerms>
            <assetValidityPeriod>30</assetValidityPeriod>
        </assetTokenConfig>
        <callbackUrl>https://everything.example.com/callback
https://everything.example.com/second
everything://callback</callbackUrl>
        <consumerKey>3MVG9everything</consumerKey>
        <idTokenConfig>
            <idTokenAudience>https://everything.example.com</idTokenAudience>
            <idTokenIncludeAttributes>true</idTokenIncludeAttributes>
            <idTokenIncludeCustomPerms>true</idTokenIncludeCustomPerms>
            <idTokenIncludeStandardClaims>true</idTokenIncludeStandardClaims>
            <idTokenValidity>2</idTokenValidity>
        </idTokenConfig>
        <isAdminApproved>true</isAdminApproved>
        <isClientCredentialEnabled>true</isClientCredentialEnabled>
        <isCodeCredentialEnabled>true</isCodeCredentialEnabled>
        <isCodeCredentialPostOnly>true</isCodeCredentialPostOnly>
        <isConsumerSecretOptional>true</isConsumerSecretOptional>
        <isDPopEnabled>true</isDPopEnabled>
        <isDeviceFlowEnabled>true</isDeviceFlowEnabled>
        <isEnforceRefreshTokenTTL>true</isEnforceRefreshTokenTTL>
        <isIntrospectAllTokens>true</isIntrospectAllTokens>
        <isNamedUserJwtEnabled>true</isNamedUserJwtEnabled>
        <isPkceRequired>false</isPkceRequired>
        <isRefreshTokenRotationEnabled>true</isRefreshTokenRotationEnabled>
        <isSecretRequiredForRefreshToken>false</isSecretRequiredForRefreshToken>
        <isSecretRequiredForTokenExchange>true</isSecretRequiredForTokenExchange>
        <isTokenExchangeEnabled>true</isTokenExchangeEnabled>
        <oauthClientCredentialUser>integration@example.com.uat</oauthClientCredentialUser>
        <scopes>Api</scopes>
        <scopes>RefreshToken</scopes>
        <scopes>SFAP</scopes>
        <scopes>OpenID</scopes>
        <singleLogoutUrl>https://everything.example.com/logout</singleLogoutUrl>
    </oauthConfig>
    <oauthPolicy>
        <ipRelaxation>ENFORCE_RELAXREFRESH</ipRelaxation>
        <isTokenExchangeFlowEnabled>true</isTokenExchangeFlowEnabled>
        <refreshTokenPolicy>Specific_Lifetime:48:HOURS</refreshTokenPolicy>
        <singleLogoutUrl>https://everything.example.com/policy-logout</singleLogoutUrl>
    </oauthPolicy>
    <permissionSetName>Everybody</permissionSetName>
    <permissionSetName>Integrations</permissionSetName>
    <plugin>Handler</plugin>
    <pluginExecutionUser>integration@example.com.uat</pluginExecutionUser>
    <samlConfig>
        <acsUrl>https://everything.example.com/acs</acsUrl>
        <encryptionType>AES_256</encryptionType>
        <entityUrl>https://everything.example.com/entity</entityUrl>
        <issuer>https://org.example.com</issuer>
        <samlIdpSLOBindingEnum>PostBinding</samlIdpSLOBindingEnum>
        <samlNameIdFormat>EmailAddress</samlNameIdFormat>
        <samlSigningAlgoType>SHA256</samlSigningAlgoType>
        <samlSloUrl>https://everything.example.com/slo</samlSloUrl>
        <samlSubjectType>FederationId</samlSubjectType>
    </samlConfig>
    <sessionPolicy>
        <policyAction>RaiseSessionLevel</policyAction>
        <sessionLevel>HIGH_ASSURANCE</sessionLevel>
        <sessionTimeout>60</sessionTimeout>
    </sessionPolicy>
    <startUrl>https://everything.example.com/start</startUrl>
</ConnectedApp>`

// become is what the app has to be on an org, field by field. Fields that are not named are the
// platform's own or have its defaults.
var become = map[string]string{
	eca.Header: `contactEmail=owner@example.com contactPhone=+49 30 1234 description=All at once distributionState=Local iconUrl=https://everything.example.com/icon.png
		infoUrl=https://everything.example.com/info isProtected=false label=Everything & more logoUrl=https://everything.example.com/logo.png`,
	eca.OAuthSettings: `areAttributesIncludedInAssetToken=true areCustomPermsIncludedInAssetToken=true assetTokenAudiences=https://everything.example.com/assets assetTokenValidity=30
		commaSeparatedOauthScopes=Api, RefreshToken, SFApiPlatform, OpenID
		customAttributes={formula=$User.Country key=country} customAttributes={formula=$User.Email key=mail} externalClientApplication=Everything isFirstPartyAppEnabled=false
		singleLogoutUrl=https://everything.example.com/logout
		trustedIpRanges={description=Office endIpAddress=192.0.2.255 startIpAddress=192.0.2.0} trustedIpRanges={endIpAddress=198.51.100.9 startIpAddress=198.51.100.1}`,
	eca.GlobalOAuthSettings: `callbackUrl=https://everything.example.com/callback|https://everything.example.com/second|everything://callback externalClientApplication=Everything
		idTokenConfig={idTokenAudience=https://everything.example.com idTokenIncludeAttributes=true idTokenIncludeCustomPermissions=true idTokenIncludeStandardClaims=true idTokenValidityInMinutes=2}
		isClientCredentialsFlowEnabled=true isCodeCredFlowEnabled=true isCodeCredPostOnly=true isConsumerSecretOptional=true isDPopEnabled=true isDeviceFlowEnabled=true isEnforceRefreshTokenTTL=true isIntrospectAllTokens=true isMtlsEnabled=false
		isNamedUserJwtEnabled=true isPkceRequired=false isRefreshTokenRotationEnabled=true isSecretRequiredForRefreshToken=false isSecretRequiredForTokenExchange=true isTokenExchangeEnabled=true`,
	eca.PluginPolicies: `externalClientApplication=Everything isAttestPluginEnabled=false isCanvasPluginEnabled=true isEnabled=true isMobilePluginEnabled=true isNotificationPluginEnabled=true isOauthPluginEnabled=true
		isPushPluginEnabled=true isSamlPluginEnabled=true startPage=Custom startUrl=https://everything.example.com/start`,
	eca.OAuthPolicies: `apexHandler=Handler clientCredentialsFlowUser=integration@example.com.uat commaSeparatedPermissionSet=Everybody, Integrations executeHandlerAs=integration@example.com.uat
		externalClientApplication=Everything ipRelaxationPolicyType=Enforce_RelaxRefresh isClientCredentialsFlowEnabled=true isGuestCodeCredFlowEnabled=false isTokenExchangeFlowEnabled=true
		permittedUsersPolicyType=AdminApprovedPreAuthorized policyAction=RaiseSessionLevel refreshTokenPolicyType=SpecificLifetime refreshTokenValidityPeriod=48 refreshTokenValidityUnit=Hours
		requiredSessionLevel=HIGH_ASSURANCE sessionTimeoutInMinutes=60 singleLogoutUrl=https://everything.example.com/policy-logout`,
	eca.SAMLPolicies: `acsUrl=https://everything.example.com/acs customAttributes={formula=$User.Country key=country} customAttributes={formula=$User.Email key=mail} encryptionType=AES_256
		entityUrl=https://everything.example.com/entity externalClientApplication=Everything issuer=https://org.example.com nameIdFormat=EmailAddress signingAlgorithmType=SHA256
		singleLogoutBindingType=PostBinding singleLogoutUrl=https://everything.example.com/slo subjectType=FederationId`,
	eca.CanvasSettings: `accessMethod=Post canvasLocationOptions=Aura canvasLocationOptions=Publisher canvasOptions=HideShare canvasUrl=https://everything.example.com/canvas externalClientApplication=Everything
		lifeCycleHandler=CanvasLifecycle samlInitiationMethod=None`,
}

// own are fields that the project or the platform decides, by type.
var own = map[string][]string{
	eca.OAuthSettings: {"label", "oauthLink"}, eca.GlobalOAuthSettings: {"label", "consumerKey", "shouldRotateConsumerKey", "shouldRotateConsumerSecret"}, eca.PluginPolicies: {"label"},
	eca.OAuthPolicies: {"label"}, eca.SAMLPolicies: {"label"}, eca.CanvasSettings: {"label"},
}

// TestMigratedAppIsTheSame migrates an app with everything at once, brings it to an org as a
// release does, and compares each field with what the Connected App had.
func TestMigratedAppIsTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sfdx-project.json", `{"packageDirectories": [], "sourceApiVersion": "68.0"}`)
	write("Everything.connectedApp-meta.xml", everything)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	app, err := connectedapp.Read(root.FS(), "Everything.connectedApp-meta.xml")
	if err != nil {
		t.Fatal(err)
	}
	if app.Wrong() != nil {
		t.Fatal(app.Wrong())
	}
	var found []string
	for _, f := range app.Findings {
		found = append(found, f.Field)
	}
	if want := "mobileStartUrl oauthConfig.consumerKey oauthConfig.isPkceRequired plugin"; strings.Join(found, " ") != want {
		t.Errorf("found %v, want %s", found, want)
	}
	config := scaffold.Migrated(app)
	config.Environments = []scaffold.Environment{{Alias: "uat", RunAsUser: app.RunAsUser}}
	files, err := scaffold.New(root.FS(), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := scaffold.Write(dir, files); err != nil {
		t.Fatal(err)
	}
	problems, err := lint.Run(root.FS(), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range problems {
		if f.Level == finding.Error {
			t.Errorf("lint: %v", f)
		}
	}

	org := simorg.Start(simorg.Config{Users: []simorg.User{{Username: "integration@example.com.uat"}}, PermissionSets: []string{"Everybody", "Integrations"}})
	defer org.Close()
	conn := &salesforce.Conn{InstanceURL: org.URL, Version: 68, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
	if err := org.Deploy(root.FS(), "eca-definition"); err != nil {
		t.Fatal(err)
	}
	source, err := wanted.Load(wanted.Location{Project: root.FS(), Package: "eca-definition"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bootstrap.Run(t.Context(), conn, source, bootstrap.Options{Alias: "uat"}); err != nil {
		t.Fatal(err)
	}
	if err := org.Deploy(root.FS(), "eca-policies/uat"); err != nil {
		t.Fatal(err)
	}
	client := &mdapi.Client{Conn: conn}
	for typ, want := range become {
		var names []string
		for _, c := range org.Components(typ) {
			names = append(names, c.FullName)
		}
		got, err := client.Read(t.Context(), typ, names...)
		if err != nil || len(got) != 1 {
			t.Errorf("%s: %v, %v", typ, got, err)
			continue
		}
		fields := slices.DeleteFunc(got[0].Fields, func(f metadata.Field) bool { return slices.Contains(own[typ], f.Name) })
		if text := written(fields); text != strings.Join(strings.Fields(want), " ") {
			t.Errorf("%s:\ngot  %s\nwant %s", typ, text, strings.Join(strings.Fields(want), " "))
		}
	}
}

func written(fields []metadata.Field) string {
	var parts []string
	for _, f := range fields {
		text := strings.ReplaceAll(f.Text, "\n", "|")
		if len(f.Fields) > 0 {
			text = "{" + written(f.Fields) + "}"
		}
		parts = append(parts, f.Name+"="+text)
	}
	return strings.Join(parts, " ")
}
