package simorg

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
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
	case failure != nil:
		status = failure.status
		answer = []map[string]string{{"message": failure.message, "errorCode": failure.code}}
	case answer == noContent:
		w.WriteHeader(http.StatusNoContent)
		return
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
	case (resource == "query" && key == "" || resource == "tooling" && key == "query") && r.Method == http.MethodGet:
		return o.query(r.URL.Query().Get("q"), r.URL.Query().Get("columns") == "true", path)
	case resource == "query" && r.Method == http.MethodGet:
		return o.more(key, strings.TrimSuffix(path, "/"+key))
	case resource == "limits" && key == "" && r.Method == http.MethodGet:
		return o.limits(), nil
	case resource == "tooling" && strings.HasPrefix(key, "sobjects/"):
		return o.tooling(r.Method, key, body)
	case resource == "composite" && key == "sobjects" && o.config.DevHub:
		return o.collection(r, body)
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
	case o.config.DevHub && (strings.EqualFold(object, scratchOrgInfo) || strings.EqualFold(object, activeScratchOrg)):
		return o.devHubObject(method, object, id, body)
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
