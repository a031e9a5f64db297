package simorg

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/simorg/internal/soql"
)

// row is a record of a standard or custom object, by field in lower case.
type row = soql.Row

// object is an object that can be queried.
type object struct {
	name         string
	columns      string // separated by blanks; "" takes every field
	unfilterable string
	rows         func(*Org) []row // nil for objects of which there are only records that Fill brought
}

// objects are all objects that can be queried, with the columns that Salesforce documents or that
// code queries which runs against real orgs.
var objects = []object{
	{"Organization", "Id Name IsSandbox TrialExpirationDate OrganizationType InstanceName NamespacePrefix", "", func(o *Org) []row { return []row{o.organization()} }},
	{"ExternalClientApplication", "Id DeveloperName MasterLabel NamespacePrefix ContactEmail DistributionState ManagedType OrgScopedExternalApp Version CreatedDate LastModifiedDate CreatedById", "", (*Org).headerRows},
	{"ExtlClntAppOauthPlcyCnfg", "Id ExternalClientApplicationId PermittedUsersPolicyType RefreshTokenPolicyType RefreshTokenValidityPeriod RefreshTokenValidityUnit IpRelaxationPolicyType SessionTimeoutInMinutes RequiredSessionLevel PolicyAction IsClientCredentialsFlowEnabled ClientCredentialsFlowUser IsTokenExchangeFlowEnabled IsGuestCodeCredFlowEnabled IsNamedUserJwtEnabled GuestJwtTimeout NamedUserJwtTimeout", "", (*Org).policyRows},
	{"ExtlClntAppPlcyCnfg", "Id ExternalClientApplicationId IsEnabled OauthPluginStatus SamlPluginStatus StartPage StartUrl", "", (*Org).pluginRows},
	{"ExtlClntAppOauthSettings", "Id ExternalClientApplicationId OauthLink CreatedDate " + strings.Join(slices.Sorted(maps.Values(eca.ScopeColumns())), " "), "", (*Org).settingsRows},
	{"ExtlClntAppOauthConsumer", "Id DeveloperName ExternalClientApplicationId ExtlClntAppOauthSettingsId CreatedDate LastModifiedDate", "", (*Org).consumerRows},
	{eca.OAuthSecuritySettings, "Id DeveloperName MasterLabel Language ExternalClientApplicationId", "", (*Org).securityRows},
	{"ConnectedApplication", "Id Name CreatedDate LastModifiedDate OptionsAllowAdminApprovedUsersOnly OptionsRefreshTokenValidityMetric RefreshTokenValidityPeriod MobileSessionTimeout PinLength StartUrl OptionsHasSessionLevelPolicy OptionsIsInternal", "", (*Org).connectedRows},
	{"OauthToken", "Id AppName AppMenuItemId UserId User.Username UseCount LastUsedDate CreatedDate DeleteToken", "", nil},
	{"AppMenuItem", "Id ApplicationId IsUsingAdminAuthorization Label Name NamespacePrefix Type", "", (*Org).menuRows},
	{"ExtlClntAppOauthIpRange", "Id StartIpAddress EndIpAddress ExtlClntAppOauthSettingsId ExtlClntAppOauthSettings.ExternalClientApplicationId", "", (*Org).trustedRangeRows},
	{"ExtlClntAppOauthSecurityTokenIpRange", "Id StartIpAddress EndIpAddress ExtlClntAppOauthSecurityId ExtlClntAppOauthSecurity.ExternalClientApplicationId", "", (*Org).tokenRangeRows},
	{"LoginHistory", "Id UserId Application LoginTime LoginType LoginSubType Status SourceIp", "Application Status", nil},
	{sessionObject, "Id UsersId Users.Username LoginType LoginHistory.Application SourceIp IsCurrent ParentId", "", (*Org).sessionRows},
	{"User", "Id Username Name Email IsActive ProfileId Profile.Name", "", (*Org).userRows},
	{"PermissionSet", "Id Name Label IsOwnedByProfile NamespacePrefix Profile.Name " + permissionColumnsOf(""), "", (*Org).permissionSetRows},
	{userLoginObject, "Id UserId IsFrozen", "", (*Org).userLoginRows},
	{"Profile", "Id Name", "", (*Org).profileRows},
	{accessObject, "Id ParentId SetupEntityId SetupEntityType Parent.Name Parent.IsOwnedByProfile Parent.Profile.Name", "", (*Org).accessRows},
	{assignmentObject, "Id AssigneeId Assignee.Username Assignee.IsActive PermissionSetId PermissionSet.Name PermissionSet.Label PermissionSet.IsOwnedByProfile PermissionSet.Profile.Name " + permissionColumnsOf("PermissionSet."), "", (*Org).assignmentRows},
	{"ObjectPermissions", "Id ParentId SobjectType PermissionsRead", "", func(o *Org) []row { return o.state.ObjectPermissions }},
	{scratchOrgInfo, scratchColumns, "", (*Org).scratchRows},
	{activeScratchOrg, activeColumns, "", (*Org).activeRows},
	{installedPackage, "", "", (*Org).installedRows},
	{packageVersion, "", "", packageVersionRows},
	{"PermissionSetGroup", "", "", nil}, // of which sfp asks whether any is still being recalculated
	{"SourceMember", "", "", nil},       // in which scratch orgs track for sf what has changed; this org does not
	{artifactObject, "", "", func(o *Org) []row { return o.state.Artifacts }},
}

// toolingObjects are the objects that only the Tooling API has, with the columns that are documented.
var toolingObjects = []object{
	{connection.ExternalCredential, "Id DeveloperName MasterLabel Language NamespacePrefix AuthenticationProtocol Description", "", (*Org).externalCredentialRows},
	{serverAccess, "Id DeveloperName MasterLabel Language Active McpServerId", "", func(o *Org) []row { return o.state.Servers }},
}

// lacks reports whether the org lacks a column that other orgs have.
func (o *Org) lacks(object, column string) bool {
	switch column[strings.LastIndexByte(column, '.')+1:] {
	case "CreatedDate":
		return object == "ExtlClntAppOauthSettings" && o.is("settings-created-date", "no")
	case "PermissionsCanApproveUninstalledApps":
		return o.is("uninstalled-apps-column", "no")
	case "PermissionsUseAnyApiClient":
		control := o.find(appSettings, o.settingsName(appSettings)).isTrue("enableAdminApprovedAppsOnly")
		return !control && o.is("any-api-client-column", "no")
	}
	return false
}

// table returns an object of some as a query sees it.
func (o *Org) table(name string, objects ...object) (soql.Table, bool) {
	for _, known := range objects {
		if !strings.EqualFold(known.name, name) {
			continue
		}
		if slices.Contains(o.config.WithoutObjects, known.name) || !o.config.DevHub && (known.name == scratchOrgInfo || known.name == activeScratchOrg) {
			break
		}
		table := soql.Table{Name: known.name, Unfilterable: strings.Fields(known.unfilterable)}
		if known.columns != "" {
			table.Columns = slices.DeleteFunc(strings.Fields(known.columns), func(c string) bool {
				return slices.Contains(o.config.WithoutFields, known.name+"."+c) || o.lacks(known.name, c)
			})
		}
		if known.rows != nil {
			table.Rows = known.rows(o)
		}
		table.Rows = append(slices.Clip(table.Rows), o.state.Filled[known.name]...)
		table.Rows = o.shown(known.name, table.Rows)
		return table, true
	}
	return soql.Table{}, false
}

func (o *Org) headerRows() (rows []row) {
	for _, rec := range o.all(eca.Header) {
		managed := any(nil)
		if rec.text("distributionState") == "Packaged" {
			managed = "Unlocked"
		}
		rows = append(rows, row{
			"id": rec.id, "developername": rec.fullName, "masterlabel": rec.text("label"), "distributionstate": rec.text("distributionState"), "namespaceprefix": nil,
			"contactemail": rec.text("contactEmail"), "managedtype": managed, "orgscopedexternalapp": orNil(rec.text("orgScopedExternalApp")), "version": nil,
			"createddate": o.madeAt(rec.fullName), "lastmodifieddate": o.madeAt(rec.fullName), "createdbyid": o.user(0)["id"],
		})
	}
	return rows
}

func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// Age moves the creation and rotation dates of apps and consumers into the past.
func (o *Org) Age(by time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, made := range o.state.Made {
		o.state.Made[name] = made.Add(-by)
	}
}

// madeAt returns when an app's consumer was made, or now where it has none.
func (o *Org) madeAt(app string) string {
	made, ok := o.state.Made[strings.ToLower(app)]
	if !ok {
		made = time.Now()
	}
	return made.UTC().Format(soql.TimeLayout)
}

// ofApps returns the records of a type, each with the header of its app.
func (o *Org) ofApps(typ string) iter.Seq2[*record, *record] {
	return func(yield func(header, rec *record) bool) {
		for _, rec := range o.all(typ) {
			if header := o.find(eca.Header, rec.app()); header != nil && !yield(header, rec) {
				return
			}
		}
	}
}

func (o *Org) policyRows() (rows []row) {
	for header, rec := range o.ofApps(eca.OAuthPolicies) {
		r := row{
			"id": rec.id, "externalclientapplicationid": header.id, "isclientcredentialsflowenabled": rec.isTrue("isClientCredentialsFlowEnabled"),
			"clientcredentialsflowuser": orNil(rec.text("clientCredentialsFlowUser")), "istokenexchangeflowenabled": rec.isTrue("isTokenExchangeFlowEnabled"),
			"isguestcodecredflowenabled": rec.isTrue("isGuestCodeCredFlowEnabled"), "isnameduserjwtenabled": rec.isTrue("isNamedUserJwtEnabled"),
		}
		for _, field := range []string{"permittedUsersPolicyType", "refreshTokenPolicyType", "refreshTokenValidityPeriod", "refreshTokenValidityUnit", "ipRelaxationPolicyType", "sessionTimeoutInMinutes", "requiredSessionLevel", "policyAction", "guestJwtTimeout", "namedUserJwtTimeout"} {
			r[strings.ToLower(field)] = orNil(rec.text(field))
			if n := 0; strings.HasSuffix(field, "Period") || strings.HasSuffix(field, "Minutes") {
				if _, err := fmt.Sscan(rec.text(field), &n); err == nil {
					r[strings.ToLower(field)] = n
				}
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// pluginStatus returns a plugin's status. An app that lacks the plugin's component does not have it
// installed.
func (o *Org) pluginStatus(policies *record, field, component string) string {
	switch {
	case o.of(component, policies.app()) == nil:
		return "Notinstalled"
	case policies.isTrue(field):
		return "Enabled"
	}
	return "Disabled"
}

func (o *Org) pluginRows() (rows []row) {
	for header, rec := range o.ofApps(eca.PluginPolicies) {
		rows = append(rows, row{
			"id": rec.id, "externalclientapplicationid": header.id, "isenabled": rec.isTrue("isEnabled"),
			"oauthpluginstatus": o.pluginStatus(rec, "isOauthPluginEnabled", eca.OAuthSettings),
			"samlpluginstatus":  o.pluginStatus(rec, "isSamlPluginEnabled", eca.SAMLPolicies),
			"startpage":         orNil(rec.text("startPage")), "starturl": orNil(rec.text("startUrl")),
		})
	}
	return rows
}

func (o *Org) settingsRows() (rows []row) {
	for header, rec := range o.ofApps(eca.OAuthSettings) {
		r := row{"id": rec.id, "externalclientapplicationid": header.id, "oauthlink": orNil(rec.text("oauthLink")), "createddate": o.madeAt(rec.app())}
		for scope, column := range eca.ScopeColumns() {
			r[strings.ToLower(column)] = slices.Contains(items(rec.text("commaSeparatedOauthScopes")), scope)
		}
		rows = append(rows, r)
	}
	return rows
}

func (o *Org) trustedRangeRows() []row {
	return o.rangeRows(eca.OAuthSettings, "trustedIpRanges", "extlclntappoauthsettings")
}

func (o *Org) tokenRangeRows() []row {
	return o.rangeRows(eca.OAuthSecuritySettings, "tokenIpRanges", "extlclntappoauthsecurity")
}

// rangeRows returns the IP ranges of a field of a type, each with its parent.
func (o *Org) rangeRows(typ, field, parent string) (rows []row) {
	for header, rec := range o.ofApps(typ) {
		for i, v := range rec.fields {
			if v.Name == field {
				rows = append(rows, row{
					"id": fmt.Sprintf("0y%d%s", i%10, rec.id[3:]), "startipaddress": v.at("startIpAddress"), "endipaddress": v.at("endIpAddress"),
					parent + "id": rec.id, parent: row{"id": rec.id, "externalclientapplicationid": header.id},
				})
			}
		}
	}
	return rows
}

func (o *Org) consumerRows() (rows []row) {
	for _, rec := range o.all(eca.GlobalOAuthSettings) {
		app := rec.app()
		if o.consumerID(app) == "" {
			continue
		}
		modified := o.madeAt(app)
		if rotated, ok := o.state.Made["rotation of "+strings.ToLower(app)]; ok {
			modified = rotated.UTC().Format(soql.TimeLayout)
		}
		rows = append(rows, row{
			"id": o.consumerID(app), "developername": rec.fullName, "externalclientapplicationid": o.find(eca.Header, app).id,
			"extlclntappoauthsettingsid": o.of(eca.OAuthSettings, app).id, "createddate": o.madeAt(app), "lastmodifieddate": modified,
		})
	}
	return rows
}

func (o *Org) securityRows() (rows []row) {
	for header, rec := range o.ofApps(eca.OAuthSecuritySettings) {
		rows = append(rows, row{"id": rec.id, "developername": rec.fullName, "masterlabel": orNil(rec.text("label")), "language": "en_US", "externalclientapplicationid": header.id})
	}
	return rows
}

func (o *Org) externalCredentialRows() (rows []row) {
	for _, rec := range o.all(connection.ExternalCredential) {
		rows = append(rows, row{
			"id": rec.id, "developername": rec.fullName, "masterlabel": rec.text("label"), "language": "en_US", "namespaceprefix": nil,
			"authenticationprotocol": rec.text("authenticationProtocol"), "description": orNil(rec.text("description")),
		})
	}
	return rows
}

// menuItemID returns the ID of an app's AppMenuItem.
func menuItemID(header *record) string { return "0DS" + header.id[3:] }

func (o *Org) menuRows() (rows []row) {
	if o.is("token-menu-item", "no") {
		return nil
	}
	for _, header := range o.all(eca.Header) {
		rows = append(rows, row{
			"id": menuItemID(header), "applicationid": header.id, "isusingadminauthorization": o.of(eca.OAuthPolicies, header.fullName).text("permittedUsersPolicyType") == "AdminApprovedPreAuthorized",
			"label": header.text("label"), "name": header.fullName, "namespaceprefix": nil, "type": "ConnectedApplication", // assumed
		})
	}
	return rows
}

func (o *Org) userRows() (rows []row) {
	for i := range o.config.Users {
		rows = append(rows, o.user(i))
	}
	return rows
}

// profiles returns the names of the org's profiles: those of Config, and those of its users.
func (o *Org) profiles() []string {
	names := slices.Clone(o.config.Profiles)
	for _, user := range o.config.Users {
		if name := cmp.Or(user.Profile, standardUser); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (o *Org) profileRows() (rows []row) {
	for i, name := range o.profiles() {
		rows = append(rows, row{"id": fmt.Sprintf("00e%012dAAA", i+1), "name": name})
	}
	return rows
}

// by returns the row with an ID, or nil.
func by(rows []row, id any) row {
	for _, r := range rows {
		if r["id"] == id {
			return r
		}
	}
	return nil
}

func (o *Org) accessRows() (rows []row) {
	sets := o.permissionSetRows()
	for _, r := range o.state.Access {
		r = maps.Clone(r)
		r["parent"] = by(sets, r["parentid"])
		rows = append(rows, r)
	}
	return rows
}

// assignmentRows has, like the platform, each user's profile among the permission sets.
func (o *Org) assignmentRows() (rows []row) {
	sets, users := o.permissionSetRows(), o.userRows()
	for _, r := range o.state.Assignments {
		r = maps.Clone(r)
		r["permissionset"], r["assignee"] = by(sets, r["permissionsetid"]), by(users, r["assigneeid"])
		rows = append(rows, r)
	}
	for i, user := range users {
		if profile := o.config.Users[i].Profile; profile != "" || i == 0 {
			id := fmt.Sprintf("0PS9%011dAAA", i+1)
			set := o.profileSet(id, profile)
			if i == 0 {
				set["permissionscustomizeapplication"] = o.may("", customizeApplication)
			}
			rows = append(rows, row{"id": fmt.Sprintf("0Pa9%011dAAA", i+1), "assigneeid": user["id"], "assignee": user, "permissionsetid": id, "permissionset": set})
		}
	}
	return rows
}

func (o *Org) userIndex(username string) int {
	return slices.IndexFunc(o.config.Users, func(u User) bool { return strings.EqualFold(u.Username, strings.TrimSpace(username)) })
}

// standardUser is the profile of users without another.
const standardUser = "Standard User"

func (o *Org) user(i int) row {
	user := o.config.Users[i]
	return row{
		"id": fmt.Sprintf("005%012dAAA", i+1), "username": user.Username, "isactive": !user.Inactive,
		"name": user.Username, "email": user.Username, "profile": row{"name": cmp.Or(user.Profile, standardUser)},
	}
}

func (o *Org) organization() row {
	org := row{
		"id": o.id, "name": "Simulated", "issandbox": o.config.Kind != Production, "trialexpirationdate": nil,
		"organizationtype": cmp.Or(o.config.Edition, "Enterprise Edition"), "instancename": "SIM1", "namespaceprefix": orNil(o.config.Namespace),
	}
	if o.config.Kind == Scratch {
		org["trialexpirationdate"] = "2099-12-31T00:00:00.000+0000"
	}
	return org
}

// logIn notes in LoginHistory that an app let a user in, and in OauthToken, with the token that
// revokes the login unless it is "".
func (o *Org) logIn(app string, user int, subtype any, refresh string) {
	var id, item any
	label, now := app, time.Now().UTC().Format(soql.TimeLayout)
	if header := o.find(eca.Header, app); header != nil {
		label = header.text("label")
		if o.is("token-menu-item", "yes") {
			item = menuItemID(header)
		}
	}
	if o.is("token-id", "value") {
		id = o.nextID("0CQ") // an assumed prefix
	}
	userID := o.user(user)["id"]
	if subtype == nil && o.is("jwt-login-subtype", "value") {
		subtype = "OauthJwtBearer" // a made-up value
	}
	o.state.Filled["LoginHistory"] = append(o.state.Filled["LoginHistory"], row{
		"id": o.nextID("0Ya"), "userid": userID, "application": label, "logintime": now, "logintype": o.loginType(), "loginsubtype": subtype, "status": "Success", "sourceip": "127.0.0.1",
	})
	if refresh != "" {
		o.state.Filled["OauthToken"] = append(o.state.Filled["OauthToken"], row{
			"id": id, "appname": label, "appmenuitemid": item, "userid": userID, "user": o.user(user), "usecount": 1, "lastuseddate": now, "createddate": now, "deletetoken": refresh,
		})
	}
}

// Count returns how many records of an object the org has beside those that its components and
// users are.
func (o *Org) Count(object string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.state.Filled[object])
}

// forget revokes the tokens of OauthToken that is holds for, and reports whether there were any.
func (o *Org) forget(is func(row) bool) bool {
	before := len(o.state.Filled["OauthToken"])
	o.state.Filled["OauthToken"] = slices.DeleteFunc(o.state.Filled["OauthToken"], is)
	return len(o.state.Filled["OauthToken"]) < before
}

// tokenPages is how many rows OauthToken answers at once, and maxTokens in all.
const (
	tokenPage = 500
	maxTokens = 2500
)

// aggregatedDate matches queries of the latest or earliest date of tokens.
var aggregatedDate = regexp.MustCompile(`(?i)\b(MAX|MIN)\s*\(\s*(LastUsedDate|CreatedDate)`)

// query answers a SOQL query, or with columns only what columns its records have.
func (o *Org) query(q string, columns bool, base string, objects []object) (any, *restError) {
	refused := func(err error) (any, *restError) {
		refusal, _ := errors.AsType[*soql.Error](err) // soql returns no other
		return nil, &restError{http.StatusBadRequest, refusal.Code, refusal.Message}
	}
	parsed, err := soql.Parse(q)
	if err != nil {
		return refused(err)
	}
	table, ok := o.table(parsed.Object, objects...)
	if !ok {
		return nil, &restError{400, "INVALID_TYPE", fmt.Sprintf("sObject type '%s' is not supported.", parsed.Object)}
	}
	if parsed.Object == "OauthToken" && aggregatedDate.MatchString(q) && o.is("token-dates-aggregate", "no") {
		return nil, &restError{http.StatusBadRequest, "MALFORMED_QUERY", "field LastUsedDate does not support aggregate operator MAX"} // assumed wording
	}
	result, err := parsed.Run(table, time.Now())
	if err != nil {
		return refused(err)
	}
	if columns {
		list := []map[string]any{}
		for _, field := range parsed.Fields() {
			list = append(list, map[string]any{"columnName": field, "displayName": field, "aggregate": false, "apexType": "String", "booleanType": false, "numberType": false, "textType": true, "updatable": false, "custom": false, "foreignKeyName": nil, "joinColumns": []any{}})
		}
		return map[string]any{"columnMetadata": list, "entityName": parsed.Object, "groupBy": result.Grouped, "idSelected": true, "keyPrefix": ""}, nil
	}
	page := cmp.Or(o.config.PageSize, 2000)
	if result.Grouped && len(result.Records) > page {
		return nil, &restError{400, "EXCEEDED_ID_LIMIT", "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"}
	}
	if table.Name == "OauthToken" && !result.Grouped {
		page = min(page, tokenPage)
		result.Records = result.Records[:min(maxTokens, len(result.Records))]
		result.Total = len(result.Records)
	}
	if result.Records == nil {
		result.Records = []map[string]any{}
	}
	id := ""
	if len(result.Records) > page {
		id = o.nextID("01g")
		o.cursors[id] = cursor{result.Records, page}
	}
	return o.page(result.Total, result.Records, 0, page, base, id), nil
}

// cursor is a query's answer that is read page by page.
type cursor struct {
	records []map[string]any
	page    int
}

func (o *Org) page(total int, records []map[string]any, from, size int, base, id string) any {
	to := min(from+size, len(records))
	answer := map[string]any{"totalSize": total, "done": to == len(records), "records": records[from:to]}
	if to < len(records) {
		answer["nextRecordsUrl"] = fmt.Sprintf("%s/%s-%d", base, id, to)
	}
	return answer
}

// more answers the further pages of a query.
func (o *Org) more(locator, base string) (any, *restError) {
	id, at, _ := strings.Cut(locator, "-")
	from := 0
	c, ok := o.cursors[id]
	if _, err := fmt.Sscan(at, &from); err != nil || !ok || from < 0 || from >= len(c.records) {
		return nil, &restError{400, "INVALID_QUERY_LOCATOR", "invalid query locator"}
	}
	if from+c.page >= len(c.records) {
		delete(o.cursors, id)
	}
	return o.page(len(c.records), c.records, from, c.page, base, id), nil
}

// Fill adds what an org has from before: records of the objects that can be queried, from JSON
// files below a directory, and Connected Apps, from their source files. A JSON file holds records
// by object, in the way that the REST API answers them:
//
//	{"OauthToken": [{"AppName": "Dataloader", "UseCount": 7, "User": {"Username": "ann@example.com"}}]}
//
// Fields that a record does not state are null, but for the user of a token, who is the
// administrator. Times can be written as in RFC 3339, too. An error names the file.
func (o *Org) Fill(fsys fs.FS, dir string) error {
	defer o.shareKeys() // without the lock
	o.mu.Lock()
	defer o.mu.Unlock()
	return fs.WalkDir(fsys, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		switch full, connected := strings.CutSuffix(path.Base(name), connectedAppSuffix+"-meta.xml"); {
		case connected:
			err = o.fillConnectedApp(fsys, name, full)
		case strings.HasSuffix(name, settingsSuffix):
			err = o.fillSettings(fsys, name)
		case strings.HasSuffix(name, ".json"):
			err = o.fillRecords(fsys, name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

func (o *Org) fillRecords(fsys fs.FS, name string) error {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	var records map[string][]map[string]any
	if err := json.Unmarshal(data, &records); err != nil {
		line := 1
		if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
			line += strings.Count(string(data[:wrong.Offset]), "\n")
		}
		return fmt.Errorf("line %d: not records by object, like {\"OauthToken\": [{\"AppName\": \"Loader\"}]}: %w", line, err)
	}
	for _, name := range slices.Sorted(maps.Keys(records)) {
		i := slices.IndexFunc(objects, func(known object) bool { return strings.EqualFold(known.name, name) })
		if i < 0 {
			return fmt.Errorf("%s is no object of a simulated org", name)
		}
		known := objects[i]
		for _, record := range records[name] {
			r := lower(record)
			if err := checkColumns(known, "", r); err != nil {
				return err
			}
			if known.name == "OauthToken" && r["userid"] == nil {
				r["userid"] = o.user(0)["id"] // every token has a user
			}
			if user := by(o.userRows(), r["userid"]); known.name == "OauthToken" && r["user"] == nil && user != nil {
				r["user"] = user
			}
			o.state.Filled[known.name] = append(o.state.Filled[known.name], r)
		}
	}
	return nil
}

// checkColumns refuses fields that an object lacks, so that a slip of the pen does not pass as
// null.
func checkColumns(known object, at string, r row) error {
	if known.columns == "" {
		return nil
	}
	for _, field := range slices.Sorted(maps.Keys(r)) {
		if parent, ok := r[field].(row); ok {
			if err := checkColumns(known, at+field+".", parent); err != nil {
				return err
			}
		} else if !slices.ContainsFunc(strings.Fields(known.columns), func(c string) bool { return strings.EqualFold(c, at+field) }) {
			return fmt.Errorf("%s has no field %s", known.name, at+field)
		}
	}
	return nil
}

// lower returns a record with its fields in lower case, and without what the REST API says about
// its type.
func lower(record map[string]any) row {
	r := make(row)
	for name, v := range record {
		if parent, ok := v.(map[string]any); ok {
			if strings.EqualFold(name, "attributes") {
				continue
			}
			v = lower(parent)
		}
		if text, ok := v.(string); ok && strings.HasSuffix(name, "Date") || ok && strings.HasSuffix(name, "Time") {
			if t, err := time.Parse(time.RFC3339, text); err == nil { // as people write times
				v = t.UTC().Format(soql.TimeLayout)
			}
		}
		r[strings.ToLower(name)] = v
	}
	return r
}
