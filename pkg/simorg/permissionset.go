package simorg

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

const (
	permissionSet = "PermissionSet"

	modifyAllData = "ModifyAllData"

	// systemAdministrator is the profile that has every permission.
	systemAdministrator = "System Administrator"
)

// permissionSetType follows the WSDL. A deploy or an upsert creates a permission set, with access to
// principals of external credentials and with user and object permissions. Access to an app is no
// part of it: that is a SetupEntityAccess record.
var permissionSetType = &metadata.Type{Name: permissionSet, Folder: "permissionsets", Suffix: "permissionset", Fields: parseFields(`
	agentAccesses agentName! enabled?!
	applicationVisibilities application! visible?!
	classAccesses apexClass! enabled?!
	customMetadataTypeAccesses enabled?! name!
	customPermissions enabled?! name!
	customSettingAccesses enabled?! name!
	description
	emailRoutingAddressAccesses enabled?! name!
	externalCredentialPrincipalAccesses enabled?! externalCredentialPrincipal!
	externalDataSourceAccesses enabled?! externalDataSource!
	fieldPermissions editable?! field! readable?
	flowAccesses enabled?! flow!
	genComputingSummaryDefAccesses configName! enabled?!
	hasActivationRequired?
	label!
	license
	objectPermissions allowCreate?! allowDelete?! allowEdit?! allowRead?! modifyAllRecords?! object! viewAllFields? viewAllRecords?!
	pageAccesses apexPage! enabled?!
	recordTypeVisibilities recordType! visible?!
	servicePresenceStatusAccesses enabled?! servicePresenceStatus!
	tabSettings tab! visibility!
	userPermissions enabled?! name!`)}

// parseFields reads the fields of a type, one per line: its name and, for a repeated structure, the names
// of the structure's fields. A name ends in "?" if it is a boolean, and then in "!" if it is required.
func parseFields(lines string) (fields []metadata.FieldType) {
	parse := func(word string) (ft metadata.FieldType) {
		ft.Name, ft.Required = strings.CutSuffix(word, "!")
		if name, boolean := strings.CutSuffix(ft.Name, "?"); boolean {
			ft.Name, ft.Kind = name, metadata.Boolean
		}
		return ft
	}
	for _, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		words := strings.Fields(line)
		ft := parse(words[0])
		for _, word := range words[1:] {
			ft.Kind, ft.Repeated = metadata.Struct, true
			ft.Fields = append(ft.Fields, parse(word))
		}
		fields = append(fields, ft)
	}
	return fields
}

// permissions are those that PermissionSet has a column for.
var permissions = strings.Fields("ApiUserOnly AuthorApex CanApproveUninstalledApps ClientSecretRotation CustomizeApplication ExternalClientAppAdmin ExternalClientAppDeveloper " +
	"ExternalClientAppViewer ManageNamedCredentials ManageRemoteAccess ManageUsers ModifyAllData UseAnyApiClient ViewAllData ViewClientSecret")

// permissionColumnsOf returns the names of these columns, of an object or behind a relationship.
func permissionColumnsOf(relationship string) string {
	return relationship + "Permissions" + strings.Join(permissions, " "+relationship+"Permissions")
}

// addPermissionSet adds a permission set of Config.
func (o *Org) addPermissionSet(name string) {
	if o.find(permissionSet, name) != nil {
		return
	}
	set := &record{typ: permissionSet, fullName: name, id: fmt.Sprintf("0PS%012dAAA", len(o.records[permissionSet])+1)}
	set.set("label", name)
	if slices.Contains(o.config.ModifyAllData, name) {
		set.fields = append(set.fields, value{Name: "userPermissions", Nested: []value{{Name: "enabled", Text: "true"}, {Name: "name", Text: modifyAllData}}})
	}
	o.store(set)
}

// permissionSets returns the permission sets in the order in which they were created.
func (o *Org) permissionSets() []*record {
	return slices.SortedFunc(maps.Values(o.records[permissionSet]), func(a, b *record) int { return strings.Compare(a.id, b.id) })
}

// enabled returns what is enabled in the structures of a field: the other field's text.
func (r *record) enabled(structure, switchedBy, what string) (all []string) {
	for _, v := range r.fields {
		if v.Name == structure && v.at(switchedBy) == "true" {
			all = append(all, v.at(what))
		}
	}
	return all
}

// principalIDs returns the IDs of the principals that a permission set grants, which are named
// CREDENTIAL-PRINCIPAL.
func (o *Org) principalIDs(set *record) (ids []string, err error) {
	for _, name := range set.enabled("externalCredentialPrincipalAccesses", "enabled", "externalCredentialPrincipal") {
		credential, principal, _ := strings.Cut(name, "-")
		id := o.state.Principals[credentialKey(credential, principal)]
		if id == "" {
			return nil, refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id: %s", name) // assumed wording
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (o *Org) checkPermissionSet(set *record) error {
	_, err := o.principalIDs(set)
	return err
}

// applyPermissionSet records what a new version of a permission set grants. It takes access to principals
// and objects away from no one, which is assumed.
func (o *Org) applyPermissionSet(set *record) {
	if o.is("permission-set-write", "removed") {
		o.state.Access = slices.DeleteFunc(o.state.Access, func(r row) bool {
			return r["parentid"] == set.id && r["setupentitytype"] == eca.Header
		})
	}
	ids, _ := o.principalIDs(set) // which were checked
	for _, id := range ids {
		o.insert(&o.state.Access, "0J0", row{"parentid": set.id, "setupentityid": id, "setupentitytype": principalType})
	}
	for _, object := range set.enabled("objectPermissions", "allowRead", "object") {
		o.insert(&o.state.ObjectPermissions, "110", row{"parentid": set.id, "sobjecttype": object, "permissionsread": true})
	}
}

// removePermissionSet takes a permission set from its users, with all that it grants.
func (o *Org) removePermissionSet(set *record) {
	for _, rows := range []*[]row{&o.state.Access, &o.state.ObjectPermissions, &o.state.Assignments} {
		*rows = slices.DeleteFunc(*rows, func(r row) bool { return r["parentid"] == set.id || r["permissionsetid"] == set.id })
	}
}

// permissionColumns adds the columns of permissions to a row.
func permissionColumns(r row, granted func(permission string) bool) row {
	for _, permission := range permissions {
		r["permissions"+strings.ToLower(permission)] = granted(permission)
	}
	return r
}

func (o *Org) permissionSetRows() (rows []row) {
	for _, set := range o.permissionSets() {
		enabled := set.enabled("userPermissions", "enabled", "name")
		rows = append(rows, permissionColumns(row{
			"id": set.id, "name": set.fullName, "label": set.text("label"), "isownedbyprofile": false, "namespaceprefix": nil,
		}, func(permission string) bool { return slices.Contains(enabled, permission) }))
	}
	return rows
}

// profileSet returns the permission set that stands for a user's profile.
func (o *Org) profileSet(id, profile string) row {
	return permissionColumns(row{"id": id, "name": "X" + id, "label": nil, "isownedbyprofile": true, "namespaceprefix": nil, "profile": row{"name": profile}},
		func(permission string) bool {
			return profile == systemAdministrator || permission == modifyAllData && slices.Contains(o.config.ModifyAllData, profile)
		})
}
