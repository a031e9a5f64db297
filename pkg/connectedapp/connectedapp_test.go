package connectedapp

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/antchfx/xmlquery"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
)

const file = "connectedApps/Erp.connectedApp-meta.xml"

func read(t testing.TB, body string) *App {
	t.Helper()
	a, err := Read(source(body), file)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func source(body string) fstest.MapFS {
	return fstest.MapFS{file: {Data: []byte("<ConnectedApp xmlns=\"http://soap.sforce.com/2006/04/metadata\">\n" + body + "\n</ConnectedApp>")}}
}

// TestEveryElementIsCarriedOrReported holds the table against the type in the WSDL's schema.
func TestEveryElementIsCarriedOrReported(t *testing.T) {
	t.Parallel()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "schema", "metadata.xsd"))
	if err != nil {
		t.Skip("the WSDL's schema is not at hand: ", err)
	}
	defer f.Close()
	doc, err := xmlquery.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	var walk func(typ, at string)
	walk = func(typ, at string) {
		for _, e := range xmlquery.Find(doc, "//xsd:complexType[@name='"+typ+"']//xsd:element") {
			name := e.SelectAttr("name")
			if name == "fullName" {
				continue
			}
			where := name
			if at != "" {
				where = at + "." + name
			}
			seen++
			rule, ok := rules[where]
			_, inner, _ := strings.Cut(e.SelectAttr("type"), ":")
			switch {
			case !ok:
				t.Errorf("%s is neither carried nor reported", where)
			case rule.each:
				walk(inner, where)
			case rule.structure != nil:
				for _, part := range xmlquery.Find(doc, "//xsd:complexType[@name='"+inner+"']//xsd:element") {
					if rule.structure[part.SelectAttr("name")] == "" {
						t.Errorf("%s.%s is neither carried nor reported", where, part.SelectAttr("name"))
					}
				}
			}
		}
	}
	walk("ConnectedApp", "")
	if seen < 50 {
		t.Errorf("only %d elements were looked at", seen)
	}
}

// TestTargetsExist: each field that the table carries to is one of its type.
func TestTargetsExist(t *testing.T) {
	t.Parallel()
	for from, rule := range rules {
		for _, to := range rule.to {
			ft := eca.Lookup(to.typ).Field(to.field)
			if ft == nil || ft.Platform || ft.Until != 0 {
				t.Errorf("%s goes to %s.%s, which nobody can state", from, to.typ, to.field)
				continue
			}
			for _, part := range rule.structure {
				if !strings.Contains(fmt.Sprint(ft.Fields), part) {
					t.Errorf("%s goes to %s, which has no %s", from, to.field, part)
				}
			}
			for _, value := range rule.values {
				if ft.Kind == metadata.Enum && !strings.Contains(fmt.Sprint(ft.Values), value) {
					t.Errorf("%s becomes %s of %s, which it cannot be", from, value, to.field)
				}
			}
		}
		if rule.lost != "" && rule.fix == "" {
			t.Errorf("%s is lost, and nothing says what to do", from)
		}
	}
}

func TestFieldsAreCarried(t *testing.T) {
	t.Parallel()
	oauth := func(body string) string { return "<oauthConfig>" + body + "</oauthConfig>" }
	policy := func(body string) string { return "<oauthPolicy>" + body + "</oauthPolicy>" }
	for _, test := range []struct {
		body string
		typ  string
		want string // NAME=TEXT, comma by comma
	}{
		{"<label>Erp</label><contactPhone>1</contactPhone><infoUrl>https://a</infoUrl>", header, "label=Erp,contactPhone=1,infoUrl=https://a"},
		{"<startUrl>https://a</startUrl>", plugin, "startUrl=https://a,startPage=Custom"},
		{oauth("<isAdminApproved>true</isAdminApproved>"), policies, "permittedUsersPolicyType=AdminApprovedPreAuthorized"},
		{oauth("<isAdminApproved>false</isAdminApproved>"), policies, "permittedUsersPolicyType=AllSelfAuthorized"},
		{oauth(""), policies, "permittedUsersPolicyType=AllSelfAuthorized"},
		{oauth(""), global, "isPkceRequired=false"},
		{oauth("<isPkceRequired>true</isPkceRequired>"), global, "isPkceRequired=true"},
		{oauth("<isPkceRequired>1</isPkceRequired><isConsumerSecretOptional>FALSE</isConsumerSecretOptional><isAdminApproved>0</isAdminApproved><idTokenConfig><idTokenValidity>5</idTokenValidity></idTokenConfig>"), global, "isPkceRequired=true,isConsumerSecretOptional=false"},
		{oauth("<isCodeCredentialEnabled>true</isCodeCredentialEnabled><isCodeCredentialPostOnly>true</isCodeCredentialPostOnly>"), global, "isCodeCredFlowEnabled=true,isCodeCredPostOnly=true"},
		{oauth("<isClientCredentialEnabled>true</isClientCredentialEnabled>"), global, "isClientCredentialsFlowEnabled=true"},
		{oauth("<scopes>Api</scopes><scopes>SFAP</scopes><scopes>mcp</scopes><scopes>Api</scopes>"), settings, "commaSeparatedOauthScopes=Api; SFApiPlatform; MCP"},
		{oauth("<callbackUrl>https://a\nhttps://b</callbackUrl>"), global, "callbackUrl=https://a\nhttps://b"},
		{oauth("<singleLogoutUrl>https://a</singleLogoutUrl>"), settings, "singleLogoutUrl=https://a"},
		{oauth("<assetTokenConfig><assetAudiences>a</assetAudiences><assetValidityPeriod>5</assetValidityPeriod></assetTokenConfig>"), settings, "assetTokenAudiences=a,assetTokenValidity=5"},
		{policy("<ipRelaxation>bypass_2FACTOR</ipRelaxation>"), policies, "ipRelaxationPolicyType=Bypass_2factor"},
		{policy("<refreshTokenPolicy>infinite</refreshTokenPolicy>"), policies, "refreshTokenPolicyType=Infinite"},
		{policy("<refreshTokenPolicy>ZERO</refreshTokenPolicy>"), policies, "refreshTokenPolicyType=Zero"},
		{policy("<refreshTokenPolicy>specific_lifetime:02:HOURS</refreshTokenPolicy>"), policies, "refreshTokenPolicyType=SpecificLifetime,refreshTokenValidityPeriod=2,refreshTokenValidityUnit=Hours"},
		{policy("<refreshTokenPolicy>Specific_Inactivity:3:months</refreshTokenPolicy>"), policies, "refreshTokenPolicyType=SpecificInactivity,refreshTokenValidityPeriod=3,refreshTokenValidityUnit=Months"},
		{policy("<singleLogoutUrl>https://a</singleLogoutUrl><isTokenExchangeFlowEnabled>true</isTokenExchangeFlowEnabled>"), policies, "singleLogoutUrl=https://a,isTokenExchangeFlowEnabled=true"},
		{"<sessionPolicy><policyAction>block</policyAction><sessionLevel>HIGH_ASSURANCE</sessionLevel><sessionTimeout>30</sessionTimeout></sessionPolicy>", policies, "policyAction=Block,requiredSessionLevel=HIGH_ASSURANCE,sessionTimeoutInMinutes=30"},
		{"<samlConfig><acsUrl>https://a</acsUrl><certificate>MIIB</certificate><encryptionType>AES_256</encryptionType><entityUrl>e</entityUrl><issuer>i</issuer><samlIdpSLOBindingEnum>PostBinding</samlIdpSLOBindingEnum><samlNameIdFormat>Persistent</samlNameIdFormat></samlConfig>", saml, "acsUrl=https://a,certificate=MIIB,encryptionType=AES_256,entityUrl=e,issuer=i,singleLogoutBindingType=PostBinding,nameIdFormat=Persistent"},
		{"<samlConfig><samlSigningAlgoType>SHA256</samlSigningAlgoType><samlSloUrl>https://b</samlSloUrl><samlSubjectCustomAttr>c</samlSubjectCustomAttr><samlSubjectType>CustomAttribute</samlSubjectType></samlConfig>", saml, "signingAlgorithmType=SHA256,singleLogoutUrl=https://b,subjectCustomAttribute=c,subjectType=CustomAttribute"},
		{"<canvasConfig><accessMethod>Post</accessMethod><canvasUrl>https://a</canvasUrl><lifecycleClass>L</lifecycleClass><locations>Aura</locations><options>HideHeader</options><samlInitiationMethod>None</samlInitiationMethod></canvasConfig>", canvas, "accessMethod=Post,canvasUrl=https://a,lifeCycleHandler=L,canvasLocationOptions=Aura,canvasOptions=HideHeader,samlInitiationMethod=None"},
		{"<permissionSetName>A</permissionSetName><permissionSetName>B</permissionSetName>", policies, "commaSeparatedPermissionSet=A; B"},
	} {
		a := read(t, test.body)
		for _, want := range strings.Split(strings.ReplaceAll(test.want, "; ", "\x00"), ",") {
			name, text, _ := strings.Cut(strings.ReplaceAll(want, "\x00", ", "), "=")
			if values := a.Fields[test.typ][name]; len(values) != 1 || values[0].Text != text {
				t.Errorf("%s: %s is %v, want %q", test.body, name, values, text)
			}
		}
		if finding.Count(a.Findings, finding.Error) > 0 {
			t.Errorf("%s: %v", test.body, a.Findings)
		}
	}
	a := read(t, "<attributes><formula>f</formula><key>k</key></attributes><attributes><formula>g</formula><key>l</key></attributes><ipRanges><start>1</start><end>2</end><description>d</description></ipRanges>"+
		oauth("<idTokenConfig><idTokenIncludeCustomPerms>true</idTokenIncludeCustomPerms><idTokenValidity>5</idTokenValidity></idTokenConfig>"))
	got := fmt.Sprint(a.Fields[settings]["customAttributes"], a.Fields[settings]["trustedIpRanges"], a.Fields[global]["idTokenConfig"])
	if want := "[{customAttributes  [{formula f []} {key k []}]} {customAttributes  [{formula g []} {key l []}]}] [{trustedIpRanges  [{description d []} {endIpAddress 2 []} {startIpAddress 1 []}]}] [{idTokenConfig  [{idTokenIncludeCustomPermissions true []} {idTokenValidityInMinutes 5 []}]}]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWhatIsLostIsSaid(t *testing.T) {
	t.Parallel()
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE " + "KEY", Bytes: []byte("topsecret")}))
	for _, test := range []struct{ body, want string }{
		{"<samlConfig>\n<encryptionType>Triple_Des</encryptionType></samlConfig>", "3: error: samlConfig.encryptionType: External Client Apps do not encrypt with Triple DES; agree on AES"},
		{"<samlConfig><certificate>" + key + "</certificate></samlConfig>", "error: samlConfig.certificate: a private key is in the source"},
		{"<samlConfig><samlSubjectType>Nobody</samlSubjectType></samlConfig>", `error: samlConfig.samlSubjectType: "Nobody" has no equivalent`},
		{"<canvasConfig><locations>Aura</locations>\n<locations>OpenCTI</locations></canvasConfig>", "3: error: canvasConfig.locations[1]: canvas apps of External Client Apps do not have OpenCTI"},
		{"<canvas><canvasUrl>https://a</canvasUrl></canvas>", "2: error: canvas: is an old form of canvasConfig"},
		{"\n<mobileStartUrl>https://a</mobileStartUrl>", "3: warning: mobileStartUrl: "},
		{"<mobileAppConfig><version>1</version></mobileAppConfig>", "mobileAppConfig: "},
		{"<nonsense>1</nonsense>", "2: warning: nonsense: is not an element of a Connected App"},
		{"<oauthConfig><isAdminApproved>true</isAdminApproved></oauthConfig><profileName>Admin</profileName>", "warning: profileName: only the profiles Admin grant the app; whether profiles authorise users of an External Client App is not certain, so perhaps they are refused; assign the permission set Erp_Users"},
		{"<oauthConfig><isAdminApproved>true</isAdminApproved></oauthConfig><permissionSetName>P</permissionSetName><profileName>Admin</profileName>", "warning: profileName: the profiles Admin grant the app besides permission sets"},
		{"<permissionSetName>Billing Connect</permissionSetName>", `warning: permissionSetName: is the label of a permission set, and none with the label "Billing Connect" is known; the API name Billing_Connect is derived from it`},
		{"<oauthConfig><certificate>${CERT}</certificate></oauthConfig>", "error: oauthConfig.certificate: is the placeholder ${CERT}, not a certificate"},
		{"<oauthConfig><callbackUrl>https://{{ host }}/cb</callbackUrl></oauthConfig>", "error: oauthConfig.callbackUrl: has the placeholder {{ host }}"},
		{"<startUrl>__START_URL__</startUrl>", "error: startUrl: has the placeholder __START_URL__"},
		{"<ipRanges><start>${IP}</start><end>1.1.1.1</end></ipRanges>", "error: ipRanges.start: has the placeholder ${IP}"},
		{"<oauthConfig><isAdminApproved>${APPROVED}</isAdminApproved></oauthConfig>", "error: oauthConfig.isAdminApproved: is the placeholder ${APPROVED}, and its value decides"},
		{"<oauthConfig><scopes>{{SCOPE}}</scopes></oauthConfig>", "error: oauthConfig.scopes: is the placeholder {{SCOPE}}"},
		{"<oauthConfig><consumerSecret>${SECRET}</consumerSecret></oauthConfig>", "warning: oauthConfig.consumerSecret: the secret stays with the Connected App"},
		{"<contactEmail>${EMAIL}</contactEmail>", `error: contactEmail: "${EMAIL}" is not an e-mail address; name the app's contact`},
		{"<oauthConfig><scopes><scope>Api</scope></scopes></oauthConfig>", "error: oauthConfig.scopes: has elements in it, such as scope, and can only have a text"},
		{"<oauthConfig><callbackUrl>\n</callbackUrl></oauthConfig>", "warning: oauthConfig.callbackUrl: the source states no callback URL"},
		{"<oauthConfig><callbackUrl>https://login.salesforce.com/services/oauth2/success</callbackUrl></oauthConfig>", "warning: oauthConfig.callbackUrl: the callback URL is the one that Setup adds for the device flow"},
		{"<oauthConfig><scopes>Full</scopes></oauthConfig>", "warning: oauthConfig.scopes: the scope Full is broader than any use"},
		{"<plugin>Handler</plugin>", "plugin: the class Handler extends Auth.ConnectedAppPlugin"},
		{"<oauthConfig><consumerSecret>topsecret</consumerSecret></oauthConfig>", "error: oauthConfig.consumerSecret: a secret is in the source"},
		{"<oauthConfig><consumerKey>topsecret</consumerKey></oauthConfig>", "warning: oauthConfig.consumerKey: the key stays with the Connected App"},
		{"<oauthConfig><certificate>MyCertificate</certificate></oauthConfig>", "error: oauthConfig.certificate: is not a certificate"},
		{"<oauthConfig><certificate>" + key + "</certificate></oauthConfig>", "error: oauthConfig.certificate: a private key is in the source"},
		{"<oauthConfig><scopes>Api</scopes>\n<scopes>Nonsense</scopes></oauthConfig>", `3: error: oauthConfig.scopes[1]: "Nonsense" has no equivalent`},
		{"<oauthConfig><oauthClientCredentialUser>a@example.com</oauthClientCredentialUser></oauthConfig>", "the app has a user for client credentials, and the flow is off"},
		{"<oauthConfig><isClientCredentialEnabled>true</isClientCredentialEnabled></oauthConfig>", "names no user to run it as; name one for each org"},
		{"<oauthConfig><isPkceRequired>maybe</isPkceRequired></oauthConfig>", `error: oauthConfig.isPkceRequired: "maybe" has no equivalent`},
		{"<oauthConfig><assetTokenConfig><assetValidityPeriod>abc</assetValidityPeriod></assetTokenConfig></oauthConfig>", `error: oauthConfig.assetTokenConfig.assetValidityPeriod: "abc" has no equivalent`},
		{"<oauthConfig><idTokenConfig><idTokenIncludeAttributes>yes</idTokenIncludeAttributes></idTokenConfig></oauthConfig>", `error: oauthConfig.idTokenConfig.idTokenIncludeAttributes: "yes" has no equivalent`},
		{"<sessionPolicy><sessionTimeout>-3</sessionTimeout></sessionPolicy>", `error: sessionPolicy.sessionTimeout: "-3" has no equivalent`},
		{"<oauthConfig></oauthConfig>", "warning: oauthConfig.isPkceRequired: PKCE is not required"},
		{"<oauthPolicy>\n<refreshTokenPolicy>specific_lifetime:5</refreshTokenPolicy></oauthPolicy>", `3: error: oauthPolicy.refreshTokenPolicy: "specific_lifetime:5" has no equivalent`},
		{"<oauthPolicy><refreshTokenPolicy>specific_lifetime:0:DAYS</refreshTokenPolicy></oauthPolicy>", "error: oauthPolicy.refreshTokenPolicy: "},
		{"<oauthPolicy><refreshTokenPolicy>specific_lifetime:5:YEARS</refreshTokenPolicy></oauthPolicy>", "error: oauthPolicy.refreshTokenPolicy: "},
		{"<oauthPolicy><refreshTokenPolicy>specific_lifetime</refreshTokenPolicy></oauthPolicy>", "error: oauthPolicy.refreshTokenPolicy: "},
		{"<oauthPolicy><refreshTokenPolicy>zero:5:DAYS</refreshTokenPolicy></oauthPolicy>", "error: oauthPolicy.refreshTokenPolicy: "},
		{"<oauthPolicy><ipRelaxation>SOMETIMES</ipRelaxation></oauthPolicy>", "error: oauthPolicy.ipRelaxation: "},
		{"<sessionPolicy><sessionLevel>MIDDLE</sessionLevel></sessionPolicy>", "error: sessionPolicy.sessionLevel: "},
	} {
		a := read(t, test.body)
		text := ""
		for _, f := range a.Findings {
			text += f.String() + "\n"
			if f.Fix == "" || f.Line == 0 {
				t.Errorf("%s: a finding without a line or what to do: %v", test.body, f)
			}
		}
		if strings.Contains(test.body, "refreshTokenPolicy>") && strings.Contains(text, "states no refreshTokenPolicy") {
			t.Errorf("%s: found\n%s", test.body, text)
		}
		if !strings.Contains(text, test.want) || strings.Contains(text, "topsecret") {
			t.Errorf("%s: found\n%swant %q", test.body, text, test.want)
		}
		if fmt.Sprint(a.Fields) != strings.ReplaceAll(fmt.Sprint(a.Fields), "topsecret", "") {
			t.Errorf("%s: a secret is carried", test.body)
		}
	}
}

// TestEmptyElements: an empty element states nothing.
func TestEmptyElements(t *testing.T) {
	t.Parallel()
	without := read(t, "<oauthConfig/>")
	for _, element := range []string{"startUrl", "ipRanges", "permissionSetName", "profileName", "plugin", "canvas", "mobileAppConfig"} {
		a := read(t, "<oauthConfig/><"+element+"/>")
		if len(a.Findings) != len(without.Findings) || fmt.Sprint(a.Fields) != fmt.Sprint(without.Fields) || len(a.PermissionSets) > 0 {
			t.Errorf("an empty %s gives %v, %v", element, a.Fields, a.Findings)
		}
	}
	for _, element := range []string{"certificate", "consumerKey", "scopes", "isIpBindingEnabled", "isAdminApproved", "idTokenConfig"} {
		a := read(t, "<oauthConfig><"+element+"/></oauthConfig>")
		if len(a.Findings) != len(without.Findings) || fmt.Sprint(a.Fields) != fmt.Sprint(without.Fields) {
			t.Errorf("an empty %s gives %v, %v", element, a.Fields, a.Findings)
		}
	}
}

// TestFromOrg: an org always shows the key, which nobody can remove.
func TestFromOrg(t *testing.T) {
	t.Parallel()
	a := FromOrg(&metadata.Component{Type: TypeName, FullName: "Erp", Fields: []metadata.Field{
		{Name: "label", Text: "Erp"}, {Name: "oauthConfig", Fields: []metadata.Field{{Name: "consumerKey", Text: "3MVG9KEY"}, {Name: "nonsense", Text: "x"}}},
	}})
	var rules []string
	for _, f := range a.Findings {
		rules = append(rules, f.Rule)
		if f.File != "" || f.Line != 0 {
			t.Errorf("a finding has a place: %v", f)
		}
	}
	if a.Name != "Erp" || a.Label() != "Erp" || strings.Contains(fmt.Sprint(rules), "consumer-key") || !strings.Contains(fmt.Sprint(rules), "unknown-element") {
		t.Errorf("%s (%s) has the findings %v", a.Name, a.Label(), rules)
	}
}

func TestFilesThatAreNone(t *testing.T) {
	t.Parallel()
	for name, fsys := range map[string]fstest.MapFS{
		"another type":   {file: {Data: []byte("<Other/>")}},
		"no XML":         {file: {Data: []byte("<")}},
		"text":           {file: {Data: []byte("<ConnectedApp>text</ConnectedApp>")}},
		"too large":      source(strings.Repeat(" ", maxFile)),
		"not there":      {},
		"it is a folder": {file + "/x": {}},
	} {
		if a, err := Read(fsys, file); err == nil {
			t.Errorf("%s: read %v", name, a)
		}
	}
	if _, err := Read(fstest.MapFS{"a.xml": {}}, "a.xml"); err == nil {
		t.Error("read a.xml")
	}
}

func FuzzRead(f *testing.F) {
	f.Add("<oauthConfig><scopes>Api</scopes></oauthConfig><attributes><key>k</key></attributes>")
	f.Add("<oauthPolicy><refreshTokenPolicy>a:b:c</refreshTokenPolicy></oauthPolicy>")
	f.Fuzz(func(t *testing.T, body string) {
		if a, err := Read(source(body), file); err == nil {
			a.Label()
		}
	})
}

func Example() {
	app, err := Read(source("<contactEmail>a@example.com</contactEmail><label>Erp</label><oauthConfig><isAdminApproved>true</isAdminApproved><isPkceRequired>true</isPkceRequired><scopes>Api</scopes></oauthConfig><oauthPolicy><refreshTokenPolicy>zero</refreshTokenPolicy></oauthPolicy>\n<mobileStartUrl>https://erp.example.com/m</mobileStartUrl>"), file)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(app.Name, app.Fields[eca.OAuthPolicies]["permittedUsersPolicyType"][0].Text)
	for _, f := range app.Findings {
		fmt.Println(f.Line, f.Field, f.Level)
	}
	// Output:
	// Erp AdminApprovedPreAuthorized
	// 2 oauthConfig.callbackUrl warning
	// 3 mobileStartUrl warning
}

// TestNamePermissionSets: a Connected App has labels, and an External Client App API names.
func TestNamePermissionSets(t *testing.T) {
	t.Parallel()
	known := []PermissionSet{
		{"Billing_Users", "Billing"}, {"Billing", "Billing Admins"}, {"acme__Sync", "Sync"}, {"A1", "Twice"}, {"A2", "Twice"}, {"Plain", "Something else"},
	}
	for _, test := range []struct{ stated, want, finding string }{
		{"Billing", "Billing_Users", ""},
		{"billing admins", "Billing", ""},
		{"Sync", "acme__Sync", ""},
		{"Twice", "Twice", `several permission sets have the label "Twice": A1, A2; Twice is used`},
		{"Plain", "Plain", `no permission set has the label "Plain"; the one with this API name is used`},
		{"Unknown", "Unknown", "Unknown is taken as its API name"},
		{"acme__Unknown", "acme__Unknown", "acme__Unknown is taken as its API name"},
		{"API – Access (2)", "API_Access_2", "the API name API_Access_2 is derived"},
		{"3rd Party", "X3rd_Party", "the API name X3rd_Party is derived"},
		{"日本", "X", "the API name X is derived"},
		{strings.Repeat("long ", 30), "", "is derived"},
	} {
		a := read(t, "<permissionSetName>"+test.stated+"</permissionSetName><permissionSetName>"+test.stated+"</permissionSetName>")
		a.NamePermissionSets(known)
		got := a.Fields[policies].Text("commaSeparatedPermissionSet")
		if len(a.PermissionSets) != 1 || got != a.PermissionSets[0] || test.want != "" && got != test.want || len(got) > 80 {
			t.Errorf("%s becomes %q, %v", test.stated, got, a.PermissionSets)
		}
		switch text := fmt.Sprint(a.Findings); {
		case test.finding == "" && len(a.Findings) > 0:
			t.Errorf("%s: %v", test.stated, a.Findings)
		case !strings.Contains(text, test.finding):
			t.Errorf("%s: found %s, want %q", test.stated, text, test.finding)
		}
	}
}

func TestReadPermissionSets(t *testing.T) {
	t.Parallel()
	file := func(label string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(`<PermissionSet xmlns="` + metadata.Namespace + `">` + label + `</PermissionSet>`)}
	}
	got := ReadPermissionSets(fstest.MapFS{
		"a/permissionsets/A.permissionset-meta.xml": file("<label> The A </label>"), "a/B.permissionset": file(""),
		"a/node_modules/C.permissionset": file(""), "a/.sf/D.permissionset": file(""), "a/E.permissionset": {Data: []byte("<")}, "b/F.permissionset": file(""),
	}, "a")
	if want := "[{B B} {A The A}]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestForVersion: what a version lacks is left out; a feature that is lost by that needs a person.
func TestForVersion(t *testing.T) {
	t.Parallel()
	a := read(t, "<canvasConfig><canvasUrl>https://a</canvasUrl></canvasConfig>\n<startUrl>https://a</startUrl>"+
		"<oauthConfig><isDPopEnabled>true</isDPopEnabled><isDeviceFlowEnabled>true</isDeviceFlowEnabled><isEnforceRefreshTokenTTL>false</isEnforceRefreshTokenTTL></oauthConfig>")
	a.ForVersion(0)
	if before := len(a.Fields[canvas]) + len(a.Fields[global]); before != 5 {
		t.Errorf("no version leaves %v", a.Fields)
	}
	a.ForVersion(62)
	if len(a.Fields[canvas]) > 0 || !a.Fields[plugin].Has("startUrl") || a.Fields[global].Has("isDPopEnabled") ||
		a.Fields[global].Has("isEnforceRefreshTokenTTL") || !a.Fields[global].Has("isDeviceFlowEnabled") {
		t.Errorf("62.0 leaves %v", a.Fields)
	}
	text := ""
	for _, f := range a.Findings {
		if f.Level == finding.Error {
			text += fmt.Sprintln(f.Line, f.Field, f.Problem)
		}
	}
	if want := "2 canvasConfig is left out, because ExtlClntAppCanvasSettings needs API version 66.0, and the project has 62.0\n" +
		"3 oauthConfig.isDPopEnabled is left out, because isDPopEnabled needs API version 67.0, and the project has 62.0\n"; text != want {
		t.Errorf("found\n%swant\n%s", text, want)
	}
}

func TestNotOAuth(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"<oauthConfig><scopes>Api</scopes></oauthConfig><samlConfig><issuer>a</issuer></samlConfig>": "",
		"<samlConfig><issuer>a</issuer></samlConfig><startUrl>https://a</startUrl>":                  "SAML",
		"<canvasConfig><canvasUrl>https://a</canvasUrl></canvasConfig>":                              "canvas",
		"<startUrl>https://a</startUrl>":                                                             "a link",
		"<label>a</label>":                                                                           "no OAuth, SAML or canvas",
	} {
		if a := read(t, body); a.NotOAuth() != want || a.Wrong() != nil {
			t.Errorf("%s is %q, %v", body, a.NotOAuth(), a.Findings)
		}
	}
}

func TestMovable(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"": "", "<plugin>A</plugin>": "it has a custom handler", "<canvasConfig><canvasUrl>https://a</canvasUrl></canvasConfig>": "it is a canvas app",
		"<samlConfig><encryptionType>TRIPLE_DES</encryptionType></samlConfig>": "it encrypts with Triple DES", "<samlConfig><issuer>a</issuer></samlConfig>": "",
	} {
		if got := read(t, body+"<oauthConfig/>").Movable(); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// TestMetadataFormat: a file of a package.xml's folder has no -meta.xml.
func TestMetadataFormat(t *testing.T) {
	t.Parallel()
	fsys := source("<label>a</label>")
	fsys["connectedApps/Erp.connectedApp"] = fsys[file]
	if a, err := Read(fsys, "connectedApps/Erp.connectedApp"); err != nil || a.Name != "Erp" || a.Label() != "a" {
		t.Errorf("%v, %v", a, err)
	}
	for name, want := range map[string]string{"a/Erp.connectedApp": "Erp", "Erp.connectedApp-meta.xml": "Erp", ".connectedApp": "", "Erp.eca": "", "Erp.connectedApp.bak": ""} {
		if got := NameOf(name); got != want {
			t.Errorf("%s has the name %q, want %q", name, got, want)
		}
	}
}
