package simorg

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/ecakit/ecakit/pkg/eca"
)

// The objects that record access to an app: what a permission set grants, and who has it.
const (
	accessObject     = "SetupEntityAccess"
	assignmentObject = "PermissionSetAssignment"
)

func permissionSetID(i int) string { return fmt.Sprintf("0PS%012dAAA", i+1) }

// hasPermissionSet reports whether the org has a permission set with that ID.
func (o *Org) hasPermissionSet(id string) bool { return by(o.permissionSetRows(), id) != nil }

// hasAccess reports whether a permission set grants an app or a principal.
func (o *Org) hasAccess(set, entity string) bool {
	return slices.ContainsFunc(o.state.Access, func(r row) bool {
		return r["parentid"] == set && r["setupentityid"] == entity
	})
}

// isAssigned reports whether a user, by index, has a permission set.
func (o *Org) isAssigned(user int, set string) bool {
	id := o.user(user)["id"]
	return slices.ContainsFunc(o.state.Assignments, func(r row) bool {
		return r["assigneeid"] == id && r["permissionsetid"] == set
	})
}

// The wordings of these refusals are assumed.
var invalidReference = &restError{http.StatusBadRequest, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"}

func duplicate(id string) *restError {
	return &restError{http.StatusBadRequest, "DUPLICATE_VALUE", "duplicate value found: duplicates value on record with id: " + id}
}

// grant records that a permission set grants an app, or a principal of an external credential.
func (o *Org) grant(body []byte) (any, *restError) {
	fields, failure := decodeBody[map[string]string](body)
	if failure != nil {
		return nil, failure
	}
	parent, entity := fields["ParentId"], fields["SetupEntityId"]
	var typ string
	switch {
	case !o.hasPermissionSet(parent):
	case slices.ContainsFunc(o.all(eca.Header), func(rec *record) bool { return rec.id == entity }):
		typ = eca.Header
	case o.isPrincipal(entity):
		typ = "NamedCredentialPrincipal" // assumed name
	}
	if typ == "" {
		return nil, invalidReference
	}
	for _, r := range o.state.Access {
		if r["parentid"] == parent && r["setupentityid"] == entity {
			return nil, duplicate(fmt.Sprint(r["id"]))
		}
	}
	id := o.nextID("0J0")
	access := row{"id": id, "parentid": parent, "setupentityid": entity, "setupentitytype": typ}
	o.state.Access = append(o.state.Access, access)
	return created(id), nil
}

// assign records that a user has a permission set.
func (o *Org) assign(body []byte) (any, *restError) {
	fields, failure := decodeBody[map[string]string](body)
	if failure != nil {
		return nil, failure
	}
	assignee, set := fields["AssigneeId"], fields["PermissionSetId"]
	if user := by(o.userRows(), assignee); user["isactive"] != true || !o.hasPermissionSet(set) {
		return nil, invalidReference
	}
	for _, r := range o.state.Assignments {
		if r["assigneeid"] == assignee && r["permissionsetid"] == set {
			return nil, duplicate(fmt.Sprint(r["id"]))
		}
	}
	id := o.nextID("0Pa")
	o.state.Assignments = append(o.state.Assignments, row{"id": id, "assigneeid": assignee, "permissionsetid": set})
	return created(id), nil
}

func created(id string) any { return map[string]any{"id": id, "success": true, "errors": []any{}} }

// Granted returns the names of the permission sets that grant an app.
func (o *Org) Granted(app string) (names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	header := o.find(eca.Header, app)
	for i, name := range o.config.PermissionSets {
		if header != nil && o.hasAccess(permissionSetID(i), header.id) {
			names = append(names, name)
		}
	}
	return names
}

// Assigned returns the names of the permission sets that a user has.
func (o *Org) Assigned(username string) (names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	user := o.userIndex(username)
	for i, name := range o.config.PermissionSets {
		if user >= 0 && o.isAssigned(user, permissionSetID(i)) {
			names = append(names, name)
		}
	}
	return names
}
