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
	token := bearer(r)
	switch accepted := o.accepts(token); {
	case !accepted && path == userInfoPath:
		return nil, badOAuthToken
	case !accepted:
		return nil, &restError{http.StatusUnauthorized, "INVALID_SESSION_ID", "Session expired or invalid"}
	case o.config.SessionsRefused && path != userInfoPath:
		return nil, &restError{http.StatusUnauthorized, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"}
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
	if refused := o.refuseREST(r, token, resource, key); refused != nil {
		return nil, refused
	}
	switch {
	case resource == "" && r.Method == http.MethodGet:
		return map[string]string{"query": path + "/query", "sobjects": path + "/sobjects", "metadata": path + "/metadata"}, nil
	case resource == "query" && key == "" && r.Method == http.MethodGet:
		return o.query(r.URL.Query().Get("q"), r.URL.Query().Get("columns") == "true", path, objects)
	case resource == "tooling" && key == "query" && r.Method == http.MethodGet:
		return o.query(r.URL.Query().Get("q"), r.URL.Query().Get("columns") == "true", path, slices.Concat(toolingObjects, objects))
	case resource == "query" && r.Method == http.MethodGet:
		return o.more(key, strings.TrimSuffix(path, "/"+key))
	case resource == "limits" && key == "" && r.Method == http.MethodGet:
		return o.limits(), nil
	case resource == "tooling" && strings.HasPrefix(key, "sobjects/"):
		return o.tooling(r.Method, key, body)
	case resource == "composite" && key == "sobjects" && o.config.DevHub:
		return o.collection(r, body)
	case resource == "sobjects":
		return o.sobject(r.Method, key, body, o.state.Grants[token].User)
	case resource == "metadata":
		return o.deployREST(r, key, body, version)
	case resource == "named-credentials":
		return o.namedCredentials(r, key, body, version)
	case resource == "apps" && strings.HasPrefix(key+"/", "oauth/usage/"):
		return o.usage(r, path, key)
	case resource == "apps":
		return o.consumers(r, key, body, version)
	}
	return nil, notFoundREST
}

// bearer returns the token of a request, "" if it has none.
func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
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
	user := o.user(o.state.Grants[token].User)
	return map[string]any{
		"sub": o.url + "/id/" + o.id + "/" + user["id"].(string), "user_id": user["id"], "organization_id": o.id,
		"preferred_username": user["username"], "name": user["name"], "email": user["email"], "active": true, "user_type": "STANDARD",
		"urls": map[string]string{"custom_domain": o.url, "rest": o.url + "/services/data/v{version}/"},
	}
}

// artifactObject is the custom object in which sfp notes what it has installed.
const artifactObject = "SfpowerscriptsArtifact2__c"

// sobject answers the calls for one record of an object. Names of objects are case-insensitive.
func (o *Org) sobject(method, key string, body []byte, caller int) (any, *restError) {
	object, id, _ := strings.Cut(key, "/")
	is := func(name string) bool { return strings.EqualFold(object, name) }
	create := method == http.MethodPost && id == ""
	update := method == http.MethodPatch && id != ""
	switch {
	case is(sessionObject) && method == http.MethodDelete:
		return o.endSessionRecord(id)
	case is(userLoginObject) && update:
		return o.freeze(id, caller, body)
	case is(accessObject) && method == http.MethodDelete:
		return o.removeAccess(id)
	case is(assignmentObject) && method == http.MethodDelete:
		return remove(&o.state.Assignments, id)
	case is("User") && update:
		return o.setActive(id, body)
	case is("User") && method == http.MethodGet:
		return o.retrieve("User", id)
	case o.config.DevHub && (is(scratchOrgInfo) || is(activeScratchOrg)):
		return o.devHubObject(method, object, id, body)
	case is(accessObject) && create:
		return o.grant(body)
	case is(assignmentObject) && create:
		return o.assign(body)
	case is("ObjectPermissions") && (create || update):
		return o.permitObject(id, body)
	case is(artifactObject) && (create || update):
		return o.putArtifact(id, body)
	}
	return nil, notFoundREST
}

// decodeBody decodes the JSON of a request.
func decodeBody[T any](body []byte) (v T, failure *restError) {
	if err := json.Unmarshal(body, &v); err != nil {
		failure = &restError{http.StatusBadRequest, "JSON_PARSER_ERROR", err.Error()}
	}
	return v, failure
}

// putArtifact creates one of sfp's records, or updates that with the ID.
func (o *Org) putArtifact(id string, body []byte) (any, *restError) {
	fields, failure := decodeBody[map[string]any](body)
	if failure != nil {
		return nil, failure
	}
	if id == "" {
		id = o.nextID("a00")
		artifact := row{"id": id, "name": nil, "tag__c": nil, "version__c": nil, "commitid__c": nil}
		o.state.Artifacts = append(o.state.Artifacts, artifact)
	}
	artifact := by(o.state.Artifacts, id)
	if artifact == nil {
		return nil, notFoundREST
	}
	for name, value := range fields {
		artifact[strings.ToLower(name)] = value
	}
	return created(id), nil
}
