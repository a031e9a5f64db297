package simorg

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/simorg/internal/soql"
)

// The objects that Dev Hubs alone have. sf knows a Dev Hub by the first.
const (
	scratchOrgInfo   = "ScratchOrgInfo"
	activeScratchOrg = "ActiveScratchOrg"
)

// The fields of these objects: of ScratchOrgInfo those that clients write when they create one,
// and those of sfp's package for pools, apart.
const (
	scratchColumns = "Id Name CreatedDate CreatedById CreatedBy.Username LastModifiedDate Status ErrorCode ScratchOrg SignupUsername SignupEmail SignupInstance LoginUrl AuthCode ExpirationDate DeletedDate " +
		requestColumns + " " + poolColumns
	requestColumns = "OrgName Edition Username AdminEmail Country Language Description DurationDays Features HasSampleData Namespace Release Template Snapshot SourceOrg Package2AncestorIds ConnectedAppConsumerKey ConnectedAppCallbackUrl"
	poolColumns    = "Pooltag__c Allocation_status__c Password__c SfdxAuthUrl__c"
	activeColumns  = "Id Name CreatedDate ScratchOrgInfoId ScratchOrg SignupUsername SignupEmail SignupInstance OrgName Edition Description ExpirationDate"
)

// allocationStatuses are the values of Allocation_status__c.
var allocationStatuses = []string{"Available", "In Progress", "Return", "Allocate", "Assigned"}

// scratchOrg is a scratch org that a Dev Hub signed up, or tried to.
type scratchOrg struct {
	info   row
	server *Server // nil where the signup failed, and after the deletion
}

// ScratchOrgs returns the scratch orgs that a Dev Hub signed up and did not delete since.
//
// A Dev Hub signs one up when a ScratchOrgInfo is created: a further Org, which listens on a port
// of its own of the loopback until its ActiveScratchOrg is deleted or the Dev Hub's Server is
// closed. The objects' fields, the codes of a signup that fails, and the authorization code that
// lets the client in, are the platform's. What differs, or is assumed:
//
//   - A signup is done at once; the platform takes minutes, with the status New or Creating.
//   - The client is the Salesforce CLI's own app, or one of Config.JWTClients.
//   - Of a definition, the username, the days and the feature EnableSetPasswordInApi make a
//     difference. Its edition, template, snapshot, language and further features make none,
//     nor do the settings that sf deploys afterwards.
//   - The instance's name ends in S, which makes sf call the org by its LoginUrl. From another
//     name it would make an address below salesforce.com.
//   - ScratchOrgInfo has the fields of sfp's package for pools. Config.WithoutFields takes them.
//   - A deleted scratch org is out of reach, and answers no refusal. Save leaves scratch orgs out.
func (o *Org) ScratchOrgs() (all []*Server) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.scratchOrgs {
		if s.server != nil {
			all = append(all, s.server)
		}
	}
	return all
}

func (o *Org) scratchRows() (rows []row) {
	for _, s := range o.scratchOrgs {
		rows = append(rows, s.info)
	}
	return rows
}

// activeID returns the ID of an ActiveScratchOrg by that of its ScratchOrgInfo.
func activeID(info row) string { return "09S" + fmt.Sprint(info["id"])[3:] }

func (o *Org) activeRows() (rows []row) {
	for _, s := range o.scratchOrgs {
		if s.server == nil {
			continue
		}
		r := row{"id": activeID(s.info), "scratchorginfoid": s.info["id"]}
		for _, column := range strings.Fields(strings.ToLower(activeColumns)) {
			if _, ok := r[column]; !ok {
				r[column] = s.info[column]
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// devHubObject answers what is asked of the objects of a Dev Hub, other than queries.
func (o *Org) devHubObject(method, object, id string, body []byte) (any, *restError) {
	switch info := strings.EqualFold(object, scratchOrgInfo); {
	case method == http.MethodPost && info && id == "":
		fields, failure := decodeBody[map[string]any](body)
		if failure != nil {
			return nil, failure
		}
		return o.signUp(fields)
	case method == http.MethodPatch && info:
		fields, failure := decodeBody[map[string]any](body)
		if failure == nil {
			failure = o.updateScratchOrg(id, fields)
		}
		return noContent, failure
	case method == http.MethodDelete && !info:
		return noContent, o.deleteScratchOrg(id)
	case method == http.MethodGet && info && id == "describe":
		return o.describeScratchOrgInfo(), nil
	case method == http.MethodGet && id != "":
		return o.retrieve(object, id)
	}
	return nil, notFoundREST
}

// retrieve answers a record with all its fields.
func (o *Org) retrieve(object, id string) (any, *restError) {
	table, _ := o.table(object, objects...)
	for _, r := range table.Rows {
		if !sameID(fmt.Sprint(r["id"]), id) {
			continue
		}
		record := map[string]any{"attributes": map[string]string{"type": table.Name}}
		for _, column := range table.Columns {
			if !strings.Contains(column, ".") {
				record[column] = r[strings.ToLower(column)]
			}
		}
		return record, nil
	}
	return nil, notFoundREST
}

// describeScratchOrgInfo describes the fields by name, and the picklist that sfp looks for.
func (o *Org) describeScratchOrgInfo() any {
	fields, statuses := []map[string]any{}, []map[string]any{}
	for _, status := range allocationStatuses {
		statuses = append(statuses, map[string]any{"active": true, "defaultValue": false, "label": status, "value": status})
	}
	table, _ := o.table(scratchOrgInfo, objects...)
	for _, column := range table.Columns {
		switch field := (map[string]any{"name": column, "label": column, "type": "string", "picklistValues": []any{}}); {
		case strings.Contains(column, "."):
			continue
		case column == "Allocation_status__c":
			field["type"], field["picklistValues"] = "picklist", statuses
			fallthrough
		default:
			fields = append(fields, field)
		}
	}
	return map[string]any{"name": scratchOrgInfo, "fields": fields}
}

// limits answers the limits of scratch orgs, and no other.
func (o *Org) limits() any {
	if !o.config.DevHub {
		return map[string]any{}
	}
	most := cmp.Or(o.config.MaxScratchOrgs, defaultScratchOrgs)
	return map[string]any{
		"ActiveScratchOrgs": map[string]int{"Max": most, "Remaining": most - len(o.activeRows())},
		"DailyScratchOrgs":  map[string]int{"Max": 2 * most, "Remaining": max(0, 2*most-len(o.scratchOrgs))}, // which is not enforced
	}
}

// defaultScratchOrgs is how many scratch orgs an Enterprise Edition can have at once.
const defaultScratchOrgs = 40

// signUp creates a ScratchOrgInfo, and with it a scratch org, or one with the reason why there is
// none, as the platform does.
func (o *Org) signUp(fields map[string]any) (any, *restError) {
	if failure := o.checkFields(fields, requestColumns+" "+poolColumns); failure != nil {
		return nil, failure
	}
	if len(o.activeRows()) >= cmp.Or(o.config.MaxScratchOrgs, defaultScratchOrgs) {
		return nil, &restError{http.StatusBadRequest, "LIMIT_EXCEEDED", "The signup request failed because this organization has reached its active scratch org limit"} // the code is assumed
	}
	now := time.Now().UTC()
	info := row{"id": o.nextID("2SR"), "createddate": now.Format(soql.TimeLayout), "lastmodifieddate": now.Format(soql.TimeLayout), "createdbyid": o.user(0)["id"], "createdby": o.user(0)}
	for _, column := range strings.Fields(strings.ToLower(scratchColumns)) {
		if _, ok := info[column]; !ok && !strings.Contains(column, ".") {
			info[column] = nil
		}
	}
	info["hassampledata"] = false
	for name, v := range fields {
		info[strings.ToLower(name)] = v
	}
	text := func(column string) string { s, _ := info[column].(string); return s }
	info["name"] = text("orgname")
	info["signupemail"] = cmp.Or(text("adminemail"), fmt.Sprint(o.user(0)["email"]))
	info["signupusername"] = cmp.Or(text("username"), "test-"+random(6)+"@example.com")
	s := &scratchOrg{info: info}
	o.scratchOrgs = append(o.scratchOrgs, s)
	key := text("connectedappconsumerkey")
	_, jwt := o.config.JWTClients[key]
	switch {
	case key != cliClient && !jwt:
		info["errorcode"] = "C-1016" // the Connected App cannot be configured
	case slices.ContainsFunc(o.activeRows(), func(r row) bool { return r["signupusername"] == info["signupusername"] }):
		info["errorcode"] = "C-1007" // the username is in use
	default:
		config := Config{
			Kind: Scratch, Username: fmt.Sprint(info["signupusername"]), Features: strings.FieldsFunc(text("features"), func(r rune) bool { return r == ';' || r == ',' || r == ' ' }),
			Facts: o.config.Facts, Version: o.config.Version, Latency: o.config.Latency, SessionLifetime: o.config.SessionLifetime, JWTClients: o.config.JWTClients, Unrecorded: o.config.Unrecorded, Keys: o.config.Keys,
		}
		if o.config.SignUp != nil {
			o.config.SignUp(&config)
		}
		org := New(config)
		authCode := "aPrx" + random(24)
		org.codes[authCode] = code{grant{Client: key, Scope: cliScopes}, text("connectedappcallbackurl"), ""}
		server, err := Serve("127.0.0.1:0", org)
		if err != nil {
			info["errorcode"] = "S-9999" // a fatal error
			break
		}
		days, ok := info["durationdays"].(float64)
		if !ok {
			days = 7
		}
		s.server = server
		info["scratchorg"], info["authcode"], info["loginurl"], info["signupinstance"] = org.id[:15], authCode, server.URL, "SIM1S"
		info["expirationdate"] = now.AddDate(0, 0, int(days)).Format(time.DateOnly)
	}
	info["status"] = "Active"
	if info["errorcode"] != nil {
		info["status"] = "Error"
	}
	return created(fmt.Sprint(info["id"])), nil
}

// checkFields refuses fields that ScratchOrgInfo lacks, or that clients cannot write, and values
// that no field has.
func (o *Org) checkFields(fields map[string]any, writable string) *restError {
	table, _ := o.table(scratchOrgInfo, objects...)
	for name, v := range fields {
		switch v.(type) {
		case map[string]any, []any:
			return &restError{http.StatusBadRequest, "JSON_PARSER_ERROR", "Cannot deserialize the value of " + name} // assumed wording
		}
		is := func(column string) bool { return strings.EqualFold(column, name) }
		if !slices.ContainsFunc(table.Columns, is) {
			return &restError{http.StatusBadRequest, "INVALID_FIELD", fmt.Sprintf("No such column '%s' on sobject of type %s", name, scratchOrgInfo)}
		}
		if !slices.ContainsFunc(strings.Fields(writable), is) {
			return &restError{http.StatusBadRequest, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: " + name + ". Please check the security settings of this field and verify that it is read/write for your profile or permission set."}
		}
	}
	return nil
}

// updateScratchOrg updates a ScratchOrgInfo. Beside the pool fields clients can write the
// description, which is assumed.
func (o *Org) updateScratchOrg(id string, fields map[string]any) *restError {
	if failure := o.checkFields(fields, "Description "+poolColumns); failure != nil {
		return failure
	}
	for _, s := range o.scratchOrgs {
		if sameID(fmt.Sprint(s.info["id"]), id) {
			for name, v := range fields {
				s.info[strings.ToLower(name)] = v
			}
			s.info["lastmodifieddate"] = time.Now().UTC().Format(soql.TimeLayout)
			return nil
		}
	}
	return notFoundREST
}

// deleteScratchOrg deletes a scratch org by its ActiveScratchOrg.
func (o *Org) deleteScratchOrg(id string) *restError {
	for _, s := range o.scratchOrgs {
		if s.server != nil && sameID(activeID(s.info), id) {
			s.server.Close()
			o.config.Keys.free(s.server.Org)
			s.server = nil
			s.info["status"], s.info["deleteddate"] = "Deleted", time.Now().UTC().Format(soql.TimeLayout)
			return nil
		}
	}
	return notFoundREST
}

// collection updates or deletes several records at once: PATCH and DELETE of composite/sobjects.
func (o *Org) collection(r *http.Request, body []byte) (any, *restError) {
	var ids []string
	var failures []*restError
	switch r.Method {
	case http.MethodDelete:
		ids = strings.Split(r.URL.Query().Get("ids"), ",")
		for _, id := range ids {
			failures = append(failures, o.deleteScratchOrg(id))
		}
	case http.MethodPatch:
		request, failure := decodeBody[struct{ Records []map[string]any }](body)
		if failure != nil {
			return nil, failure
		}
		for _, fields := range request.Records {
			attributes, _ := fields["attributes"].(map[string]any)
			id, ok := fields["id"].(string)
			if !ok {
				id, _ = fields["Id"].(string)
			}
			for _, name := range []string{"attributes", "id", "Id"} {
				delete(fields, name)
			}
			failure := notFoundREST
			if attributes["type"] == scratchOrgInfo {
				failure = o.updateScratchOrg(id, fields)
			}
			ids, failures = append(ids, id), append(failures, failure)
		}
	default:
		return nil, notFoundREST
	}
	answer := []map[string]any{}
	for i, id := range ids {
		errors := []map[string]any{}
		if failure := failures[i]; failure != nil {
			errors = append(errors, map[string]any{"statusCode": failure.code, "message": failure.message, "fields": []string{}})
		}
		answer = append(answer, map[string]any{"id": id, "success": failures[i] == nil, "errors": errors})
	}
	return answer, nil
}
