package simorg

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
)

// The objects that record access to an app: what a permission set grants, and who has it.
const (
	accessObject     = "SetupEntityAccess"
	assignmentObject = "PermissionSetAssignment"
)

// principalType is the SetupEntityType of a principal of an external credential. The name is assumed.
const principalType = "NamedCredentialPrincipal"

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
		typ = principalType
	}
	if typ == "" {
		return nil, invalidReference
	}
	return o.insert(&o.state.Access, "0J0", row{"parentid": parent, "setupentityid": entity, "setupentitytype": typ})
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
	return o.insert(&o.state.Assignments, "0Pa", row{"assigneeid": assignee, "permissionsetid": set})
}

// remove deletes a record.
func remove(rows *[]row, id string) (any, *restError) {
	before := len(*rows)
	*rows = slices.DeleteFunc(*rows, func(r row) bool { return sameID(fmt.Sprint(r["id"]), id) })
	if len(*rows) == before {
		return nil, notFoundREST
	}
	return noContent, nil
}

// removeAccess deletes a record of access. That of a Connected App from a package may stay.
func (o *Org) removeAccess(id string) (any, *restError) {
	filled := o.state.Filled[accessObject]
	known := by(filled, id)
	if known == nil {
		return remove(&o.state.Access, id)
	}
	packaged := slices.ContainsFunc(o.all(connectedApp), func(rec *record) bool {
		return rec.id == known["setupentityid"] && (strings.Contains(rec.fullName, "__") || slices.Contains(o.config.UnreadableApps, rec.fullName))
	})
	if packaged && o.is("packaged-access-deletable", "no") {
		return nil, &restError{http.StatusBadRequest, "INSUFFICIENT_ACCESS_OR_READONLY", "entity is read only"} // assumed wording
	}
	answer, failure := remove(&filled, id)
	o.state.Filled[accessObject] = filled
	return answer, failure
}

// insert adds a record and gives it an ID, unless there is one with the same fields.
func (o *Org) insert(rows *[]row, prefix string, r row) (any, *restError) {
	for _, other := range *rows {
		r["id"] = other["id"]
		if maps.Equal(other, r) {
			return nil, duplicate(fmt.Sprint(other["id"]))
		}
	}
	id := o.nextID(prefix)
	r["id"] = id
	*rows = append(*rows, r)
	return created(id), nil
}

func created(id string) any { return map[string]any{"id": id, "success": true, "errors": []any{}} }

// Granted returns the names of the permission sets that grant an app.
func (o *Org) Granted(app string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	header := o.find(eca.Header, app)
	return o.setsThat(func(set string) bool { return header != nil && o.hasAccess(set, header.id) })
}

// Assigned returns the names of the permission sets that a user has.
func (o *Org) Assigned(username string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	user := o.userIndex(username)
	return o.setsThat(func(set string) bool { return user >= 0 && o.isAssigned(user, set) })
}

// setsThat returns the names of permission sets by what holds for their IDs.
func (o *Org) setsThat(hold func(id string) bool) (names []string) {
	for _, set := range o.permissionSets() {
		if hold(set.id) {
			names = append(names, set.fullName)
		}
	}
	return names
}
