package simorg

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
)

// restError is an error as the REST API answers it.
type restError struct {
	status        int
	code, message string
}

func (o *Org) serveREST(w http.ResponseWriter, r *http.Request, body []byte) {
	answer, failure := o.rest(r, body)
	if failure == badOAuthToken {
		w.Header().Set("Content-Type", "text/html;charset=UTF-8")
		w.WriteHeader(failure.status)
		io.WriteString(w, failure.message)
		return
	}
	status := http.StatusOK
	switch {
	case answer == noContent:
		w.WriteHeader(http.StatusNoContent)
		return
	case failure != nil:
		status = failure.status
		answer = []map[string]string{{"message": failure.message, "errorCode": failure.code}}
	case r.Method == http.MethodPost:
		status = http.StatusCreated
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}

// badOAuthToken is how userinfo refuses a token: in plain text.
var badOAuthToken = &restError{http.StatusForbidden, "", "Bad_OAuth_Token"}

var notFoundREST = &restError{http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist"}

// rest answers one REST call, under the org's lock.
func (o *Org) rest(r *http.Request, body []byte) (any, *restError) {
	o.mu.Lock()
	defer o.mu.Unlock()
	path := strings.TrimSuffix(r.URL.Path, "/")
	if path == "/services/data" { // the only one that needs no session
		return o.versions(), nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch accepted := ok && o.accepts(token); {
	case !accepted && path == userInfoPath:
		return nil, badOAuthToken
	case !accepted:
		return nil, &restError{http.StatusUnauthorized, "INVALID_SESSION_ID", "Session expired or invalid"}
	}
	if path == userInfoPath {
		return o.userInfo(token), nil
	}
	rest, _ := strings.CutPrefix(path, "/services/data/v")
	number, resource, _ := strings.Cut(rest, "/")
	version, err := apiversion.Parse(number)
	if err != nil || version > o.config.Version {
		return nil, notFoundREST
	}
	resource, key, _ := strings.Cut(resource, "/")
	switch {
	case resource == "" && r.Method == http.MethodGet:
		return map[string]string{"query": path + "/query", "sobjects": path + "/sobjects", "metadata": path + "/metadata"}, nil
	case (resource == "query" || resource == "tooling" && key == "query") && r.Method == http.MethodGet:
		return o.query(r.URL.Query().Get("q"), r.URL.Query().Get("columns") == "true")
	case resource == "sobjects":
		return o.sobject(r.Method, key, body)
	case resource == "metadata":
		return o.deployREST(r, key, body, version)
	case resource == "named-credentials":
		return o.namedCredentials(r, key, body, version)
	case resource == "apps":
		return o.consumers(r, key, body, version)
	}
	return nil, notFoundREST
}

func (o *Org) versions() any {
	var all []map[string]string
	for v := apiversion.Version(59); v <= o.config.Version; v++ {
		all = append(all, map[string]string{"label": "API " + v.String(), "url": "/services/data/v" + v.String(), "version": v.String()})
	}
	return all
}

// soql is the part of SOQL that this org knows: fields of one object, conditions
// that compare with a literal, all of which have to hold, and a limit.
var soql = regexp.MustCompile(`(?is)^\s*SELECT\s+([\w\s,]+?)\s+FROM\s+(\w+)(?:\s+WHERE\s+(.+?))?(?:\s+ORDER\s+BY\s+[\w\s,]+?)?(?:\s+LIMIT\s+(\d+))?\s*$`)

// condition is one comparison, like Username = 'a' or Status IN ('a', 'b').
var condition = regexp.MustCompile(`(?is)^\s*(\w+)\s*(=|!=|\bIN\b)\s*(.+?)\s*$`)

// disjunction is what this org's conditions do not know.
var disjunction = regexp.MustCompile(`(?i)['\s\d]\s*\bOR\b\s`)

// quoted is a literal string, and literal any literal, in which strings are replaced
// by their numbers.
var (
	quoted  = regexp.MustCompile(`(?s)'(?:[^'\\]|\\.)*'`)
	literal = regexp.MustCompile(`'(\d+)'|\b(true|false|null|\d+)\b`)
)

// query answers a SOQL query, or with columns only what columns its records have.
func (o *Org) query(q string, columns bool) (any, *restError) {
	match := soql.FindStringSubmatch(q)
	if match == nil {
		return nil, &restError{http.StatusBadRequest, "MALFORMED_QUERY", "unexpected token: " + q}
	}
	object, where := match[2], match[3]
	if strings.EqualFold(object, "SourceMember") {
		// In scratch orgs sf tracks what has changed; this org does not. Its conditions
		// are beyond what this org knows.
		return map[string]any{"totalSize": 0, "done": true, "records": []any{}}, nil
	}
	rows, ok := o.table(object)
	if !ok {
		return nil, &restError{http.StatusBadRequest, "INVALID_TYPE", fmt.Sprintf("sObject type '%s' is not supported.", object)}
	}
	if where != "" {
		// What stands in a literal is not part of the condition.
		var literals []string
		where = quoted.ReplaceAllStringFunc(where, func(l string) string {
			literals = append(literals, l)
			return fmt.Sprintf("'%d'", len(literals)-1)
		})
		for _, part := range regexp.MustCompile(`(?i)\s+AND\s+`).Split(where, -1) {
			var failure *restError
			if rows, failure = filter(rows, part, literals); failure != nil {
				return nil, failure
			}
		}
	}
	if limit, err := strconv.Atoi(match[4]); err == nil && limit < len(rows) {
		rows = rows[:limit]
	}
	if columns {
		list := []map[string]any{}
		for _, field := range strings.Split(match[1], ",") {
			field = strings.TrimSpace(field)
			list = append(list, map[string]any{"columnName": field, "displayName": field, "aggregate": false, "apexType": "String", "booleanType": false, "numberType": false, "textType": true, "updatable": false, "custom": false, "foreignKeyName": nil, "joinColumns": []any{}})
		}
		return map[string]any{"columnMetadata": list, "entityName": object, "groupBy": false, "idSelected": true, "keyPrefix": ""}, nil
	}
	records := []map[string]any{}
	for _, row := range rows {
		record := map[string]any{"attributes": map[string]string{"type": object}}
		for _, field := range strings.Split(match[1], ",") {
			field = strings.TrimSpace(field)
			content, ok := row[strings.ToLower(field)]
			if !ok {
				return nil, &restError{http.StatusBadRequest, "INVALID_FIELD", fmt.Sprintf("No such column '%s' on entity '%s'.", field, object)}
			}
			record[field] = content
		}
		records = append(records, record)
	}
	return map[string]any{"totalSize": len(records), "done": true, "records": records}, nil
}

var escape = regexp.MustCompile(`\\.`)

// unescape reads an escape of a SOQL literal.
func unescape(s string) string {
	switch s[1] {
	case 'n':
		return "\n"
	case 'r':
		return "\r"
	case 't':
		return "\t"
	}
	return s[1:]
}

func filter(rows []row, comparison string, literals []string) ([]row, *restError) {
	match := condition.FindStringSubmatch(comparison)
	if match == nil || disjunction.MatchString(comparison) {
		return nil, &restError{http.StatusBadRequest, "MALFORMED_QUERY", "unexpected token: " + comparison}
	}
	var values []string
	for _, l := range literal.FindAllStringSubmatch(match[3], -1) {
		if l[2] != "" {
			values = append(values, l[2])
		} else if i, err := strconv.Atoi(l[1]); err == nil && i < len(literals) {
			text := literals[i]
			values = append(values, escape.ReplaceAllStringFunc(text[1:len(text)-1], unescape))
		}
	}
	var kept []row
	for _, r := range rows {
		value, ok := r[strings.ToLower(match[1])]
		if !ok {
			return nil, &restError{http.StatusBadRequest, "INVALID_FIELD", "No such column '" + match[1] + "'"}
		}
		is := slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, text(value)) })
		if is == (match[2] != "!=") {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// text writes a value as a SOQL literal has it.
func text(value any) string {
	if value == nil {
		return "null"
	}
	return fmt.Sprint(value)
}

// row is a record of a standard or custom object, by field in lower case.
type row map[string]any

// table returns the records of an object that can be queried.
func (o *Org) table(object string) ([]row, bool) {
	var rows []row
	switch strings.ToLower(object) {
	case "organization":
		rows = []row{o.organization()}
	case "externalclientapplication":
		for _, rec := range o.all(eca.Header) {
			rows = append(rows, row{"id": rec.id, "developername": rec.fullName, "masterlabel": rec.text("label"), "distributionstate": rec.text("distributionState"), "namespaceprefix": nil})
		}
	case "user":
		for i := range o.config.Users {
			rows = append(rows, o.user(i))
		}
	case "extlclntappoauthplcycnfg":
		for _, rec := range o.all(eca.OAuthPolicies) {
			if header := o.find(eca.Header, rec.app()); header != nil {
				rows = append(rows, row{
					"id": rec.id, "externalclientapplicationid": header.id, "permitteduserspolicytype": rec.text("permittedUsersPolicyType"),
					"isclientcredentialsflowenabled": rec.isTrue("isClientCredentialsFlowEnabled"), "clientcredentialsflowuser": o.userID(rec.text("clientCredentialsFlowUser")),
				})
			}
		}
	case "extlclntappoauthsettings":
		for _, rec := range o.all(eca.OAuthSettings) {
			if header := o.find(eca.Header, rec.app()); header != nil {
				r := row{"id": rec.id, "externalclientapplicationid": header.id, "oauthlink": rec.text("oauthLink")}
				if !o.config.NoCreatedDate {
					made := o.made[strings.ToLower(rec.app())]
					r["createddate"] = made.UTC().Format("2006-01-02T15:04:05.000-0700")
				}
				rows = append(rows, r)
			}
		}
	case "permissionset":
		for i, name := range o.config.PermissionSets {
			rows = append(rows, row{"id": permissionSetID(i), "name": name, "label": name, "isownedbyprofile": false, "namespaceprefix": nil})
		}
	case "profile":
		for i, name := range o.config.Profiles {
			rows = append(rows, row{"id": fmt.Sprintf("00e%012dAAA", i+1), "name": name})
		}
	case strings.ToLower(accessObject):
		rows = o.access
	case strings.ToLower(assignmentObject):
		rows = o.assignments
	case "objectpermissions":
		rows = o.objectPermissions
	case "permissionsetgroup":
		// None: sfp asks whether any is still being recalculated.
	case strings.ToLower(artifactObject):
		rows = o.artifacts
	default:
		return nil, false
	}
	return rows, true
}

// userID returns the ID of a user, nil where there is none.
func (o *Org) userID(username string) any {
	if i := o.userIndex(username); i >= 0 {
		return o.user(i)["id"]
	}
	return nil
}

func (o *Org) userIndex(username string) int {
	return slices.IndexFunc(o.config.Users, func(u User) bool { return strings.EqualFold(u.Username, strings.TrimSpace(username)) })
}

func (o *Org) user(i int) row {
	return row{
		"id": fmt.Sprintf("005%012dAAA", i+1), "username": o.config.Users[i].Username, "isactive": !o.config.Users[i].Inactive,
		"name": o.config.Users[i].Username, "email": o.config.Users[i].Username,
	}
}

func (o *Org) organization() row {
	org := row{
		"id": o.id, "name": "Simulated", "issandbox": o.config.Kind != Production, "trialexpirationdate": nil,
		"organizationtype": "Enterprise Edition", "instancename": "SIM1", "namespaceprefix": nil,
	}
	if o.config.Kind == Scratch {
		org["trialexpirationdate"] = "2099-12-31T00:00:00.000+0000"
	}
	return org
}

// userInfoPath is where a client learns whose session it has.
const userInfoPath = "/services/oauth2/userinfo"

func (o *Org) userInfo(token string) any {
	user := o.user(o.grants[token].User)
	return map[string]any{
		"sub": o.url + "/id/" + o.id + "/" + user["id"].(string), "user_id": user["id"], "organization_id": o.id,
		"preferred_username": user["username"], "name": user["name"], "email": user["email"], "active": true, "user_type": "STANDARD",
		"urls": map[string]string{"custom_domain": o.url, "rest": o.url + "/services/data/v{version}/"},
	}
}

// artifactObject is the custom object in which sfp notes what it has installed.
const artifactObject = "SfpowerscriptsArtifact2__c"

// sobject reads a user, reads and writes sfp's records, and makes records of who
// may use an app.
func (o *Org) sobject(method, key string, body []byte) (any, *restError) {
	object, id, _ := strings.Cut(key, "/")
	switch {
	case method == http.MethodGet && strings.EqualFold(object, "User"):
		for i := range o.config.Users {
			if user := o.user(i); user["id"] == id {
				return map[string]any{"attributes": map[string]string{"type": "User"}, "Id": id, "Username": user["username"], "Name": user["name"], "Email": user["email"], "IsActive": user["isactive"]}, nil
			}
		}
	case method == http.MethodPost && id == "" && (strings.EqualFold(object, accessObject) || strings.EqualFold(object, assignmentObject)):
		var fields map[string]string
		if err := json.Unmarshal(body, &fields); err != nil {
			return nil, &restError{http.StatusBadRequest, "JSON_PARSER_ERROR", err.Error()}
		}
		if strings.EqualFold(object, accessObject) {
			return o.grant(fields)
		}
		return o.assign(fields)
	case strings.EqualFold(object, "ObjectPermissions") && (method == http.MethodPost && id == "" || method == http.MethodPatch && id != ""):
		return o.permitObject(id, body)
	case object == artifactObject && (method == http.MethodPost && id == "" || method == http.MethodPatch && id != ""):
		var fields map[string]any
		if err := json.Unmarshal(body, &fields); err != nil {
			return nil, &restError{http.StatusBadRequest, "JSON_PARSER_ERROR", err.Error()}
		}
		i := slices.IndexFunc(o.artifacts, func(r row) bool { return r["id"] == id })
		if method == http.MethodPost {
			id = o.nextID("a00")
			r := row{"id": id}
			for _, name := range []string{"name", "tag__c", "version__c", "commitid__c"} {
				r[name] = nil
			}
			i = len(o.artifacts)
			o.artifacts = append(o.artifacts, r)
		}
		if i >= 0 {
			for name, value := range fields {
				o.artifacts[i][strings.ToLower(name)] = value
			}
			return map[string]any{"id": id, "success": true, "errors": []any{}}, nil
		}
	}
	return nil, notFoundREST
}
