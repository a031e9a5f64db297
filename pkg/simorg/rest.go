package simorg

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// restError is an error as the REST API answers it.
type restError struct {
	status        int
	code, message string
}

func (o *Org) serveREST(w http.ResponseWriter, r *http.Request) {
	answer, failure := o.rest(r)
	status := http.StatusOK
	if failure != nil {
		status = failure.status
		answer = []map[string]string{{"message": failure.message, "errorCode": failure.code}}
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}

// rest answers one REST call, under the org's lock.
func (o *Org) rest(r *http.Request) (any, *restError) {
	o.mu.Lock()
	defer o.mu.Unlock()
	path := strings.TrimSuffix(r.URL.Path, "/")
	if path == "/services/data" { // the only one that needs no session
		return o.versions(), nil
	}
	if r.Header.Get("Authorization") != "Bearer "+o.token {
		return nil, &restError{http.StatusUnauthorized, "INVALID_SESSION_ID", "Session expired or invalid"}
	}
	rest, _ := strings.CutPrefix(path, "/services/data/v")
	number, resource, _ := strings.Cut(rest, "/")
	version, err := metadata.ParseVersion(number)
	if err == nil && version <= o.config.Version && resource == "query" && r.Method == http.MethodGet {
		return o.query(r.URL.Query().Get("q"))
	}
	return nil, &restError{http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist"}
}

func (o *Org) versions() any {
	var all []map[string]string
	for v := metadata.Version(59); v <= o.config.Version; v++ {
		all = append(all, map[string]string{"label": "API " + v.String(), "url": "/services/data/v" + v.String(), "version": v.String()})
	}
	return all
}

var soql = regexp.MustCompile(`(?is)^\s*SELECT\s+([\w\s,]+?)\s+FROM\s+(\w+)\s*$`)

// query answers SOQL of the plainest form, all records of one object, for the
// objects that this org has.
func (o *Org) query(q string) (any, *restError) {
	match := soql.FindStringSubmatch(q)
	if match == nil {
		return nil, &restError{http.StatusBadRequest, "MALFORMED_QUERY", "unexpected token: " + q}
	}
	object := match[2]
	var rows []map[string]any
	switch strings.ToLower(object) {
	case "organization":
		rows = []map[string]any{o.organization()}
	case "externalclientapplication":
		for _, rec := range o.all(metadata.Header) {
			rows = append(rows, map[string]any{"Id": rec.id, "DeveloperName": rec.fullName, "MasterLabel": rec.text("label")})
		}
	case "user":
		for i, user := range o.config.Users {
			rows = append(rows, map[string]any{"Id": fmt.Sprintf("005%012dAAA", i+1), "Username": user.Username, "IsActive": !user.Inactive})
		}
	default:
		return nil, &restError{http.StatusBadRequest, "INVALID_TYPE", fmt.Sprintf("sObject type '%s' is not supported.", object)}
	}
	records := []map[string]any{}
	for _, row := range rows {
		record := map[string]any{"attributes": map[string]string{"type": object}}
		for _, field := range strings.Split(match[1], ",") {
			field = strings.TrimSpace(field)
			content, ok := row[field]
			if !ok {
				return nil, &restError{http.StatusBadRequest, "INVALID_FIELD", fmt.Sprintf("No such column '%s' on entity '%s'.", field, object)}
			}
			record[field] = content
		}
		records = append(records, record)
	}
	return map[string]any{"totalSize": len(records), "done": true, "records": records}, nil
}

func (o *Org) organization() map[string]any {
	org := map[string]any{
		"Id": o.id, "Name": "Simulated", "IsSandbox": o.config.Kind != Production, "TrialExpirationDate": nil,
		"OrganizationType": "Enterprise Edition", "InstanceName": "SIM1", "NamespacePrefix": nil,
	}
	if o.config.Kind == Scratch {
		org["TrialExpirationDate"] = "2099-12-31T00:00:00.000+0000"
	}
	return org
}
