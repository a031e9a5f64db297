package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/finding"
)

// Permission is a user permission that decides about OAuth apps.
type Permission struct{ Name, Label string }

const (
	modifyAllData = "ModifyAllData"
	useAnyClient  = "UseAnyApiClient"

	approveUninstalled = "CanApproveUninstalledApps"

	useAnyClientLabel = "Use Any API Client"
)

// permissions are those whose holders are read. Source: Salesforce's object documentation, and field
// reports for the second and third, whose columns some orgs lack.
var permissions = []Permission{
	{modifyAllData, "Modify All Data"},
	{approveUninstalled, "Approve Uninstalled Connected Apps"},
	{useAnyClient, useAnyClientLabel},
	{"ManageRemoteAccess", "Manage Connected Apps"},
	{"ViewClientSecret", "View Client Secret"},
	{"ExternalClientAppDeveloper", "External Client App Developer"},
	{"ExternalClientAppAdmin", "External Client App Admin"},
}

// orgSetting returns a check of a setting of the org that should have a value. An org without the
// setting has no finding; Unseen names the setting.
func orgSetting(field, want, problem, fix string) func(subject) []Finding {
	return func(s subject) []Finding {
		value, exists := s.snapshot.orgWide[field]
		if !exists || value == want {
			return nil
		}
		return foundIn("", field, problem, fix)
	}
}

// absentSettings describes settings that the org does not have, and that rules need.
func (s *Snapshot) absentSettings() (all []string) {
	for _, p := range permissions {
		if !slices.Contains(s.noColumns, p.Label) || p.Name == useAnyClient && s.orgWide["enableAdminApprovedAppsOnly"] != "true" {
			continue // without API Access Control useAnyClient means nothing
		}
		// To read these elements takes three rounds more, and a call for each ten of all sets and profiles.
		all = append(all, fmt.Sprintf("permissions: the org does not show who has %s; look for %s in userPermissions of "+
			"permission sets and profiles", p.Label, p.Name))
	}
	if s.hidden[fromOrgWide] {
		return all
	}
	if _, exists := s.orgWide["enableAdminApprovedAppsOnly"]; !exists {
		all = append(all, "API Access Control: the org does not have it; Salesforce Support enables it")
	}
	for _, field := range []string{"blockOAuthUnPwFlow", "blockOAuthUsrAgtFlow", "enableClientSecretInRestApiAccess"} {
		if _, exists := s.orgWide[field]; !exists {
			all = append(all, "settings of the org: the org does not have "+field)
		}
	}
	return all
}

// holder returns who has a permission, and through what.
func (row permittedRow) holder() (user, by string) {
	by = "permission set " + row.PermissionSet.Label
	if row.PermissionSet.IsOwnedByProfile {
		by = profilePrefix + row.PermissionSet.Profile.Name
	}
	return cmp.Or(row.Assignee.Username, row.AssigneeID), by
}

// holders returns a check of who holds one of some permissions, besides the users who may modify all
// data: they can give themselves every permission.
func holders(fix string, names ...string) func(subject) []Finding {
	return func(s subject) []Finding {
		if !s.sees(fromAdmins) {
			return nil
		}
		var labels []string
		users, through := make(map[string]bool), make(map[string]map[string]bool)
		for _, p := range permissions {
			if !slices.Contains(names, p.Name) {
				continue
			}
			held := false
			for _, row := range s.snapshot.permitted[p.Name] {
				user, by := row.holder()
				if user == "" || s.snapshot.admins[userKey(row.AssigneeID)] {
					continue
				}
				users[user], held = true, true
				if through[by] == nil {
					through[by] = make(map[string]bool)
				}
				through[by][user] = true
			}
			if held {
				labels = append(labels, p.Label)
			}
		}
		if len(users) == 0 {
			return nil
		}
		return found(fmt.Sprintf("%s %s %s, besides administrators: %s", plural(len(users), "user"),
			map[bool]string{true: "has", false: "have"}[len(users) == 1], strings.Join(labels, " or "), members(through)), fix)
	}
}

// members lists who has a permission through what, with at most five users each.
func members(through map[string]map[string]bool) string {
	var all []string
	for by, users := range through {
		all = append(all, by+" ("+shortened(distinct(keys(users)))+")")
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// shortened lists at most five names.
func shortened(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		names = append(names[:most:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

func keys(set map[string]bool) (all []string) {
	for key := range set {
		all = append(all, key)
	}
	return all
}

// canApprove checks who can authorise apps that are not installed. Such users can authorise an app again whose
// tokens are revoked.
func canApprove(s subject) []Finding {
	all := holders("take the permission from users who do not need it", approveUninstalled)(s)
	if len(all) == 0 {
		return nil
	}
	users := make(map[string]bool)
	for _, a := range s.apps {
		if a.Kind != NotInstalled {
			continue
		}
		for _, h := range a.allHolders {
			if !h.Admin {
				users[h.Username] = true
			}
		}
	}
	var again []string
	for _, row := range s.snapshot.permitted[approveUninstalled] {
		if user, _ := row.holder(); users[user] {
			again = append(again, user)
		}
	}
	if again = distinct(again); len(again) > 0 {
		all[0].Level = finding.Error
		all[0].Problem += "; " + shortened(again) + " can authorise apps again that are not installed and have tokens now"
	}
	return all
}

// anyClient checks who gets around API Access Control.
func anyClient(s subject) []Finding {
	if s.snapshot.orgWide["enableAdminApprovedAppsOnly"] != "true" {
		return nil // without it the permission means nothing
	}
	all := holders("take the permission from users who do not need it", useAnyClient)(s)
	for i := range all {
		all[i].Level = finding.Warning
		all[i].Problem += "; API Access Control does not apply to them"
	}
	return all
}

// seesOwnTokens reports whether the org shows tokens of the session's user alone, as it does to users
// without the permission Customize Application. An org with one user looks the same.
func (o Options) seesOwnTokens(s *Snapshot) bool {
	return o.Username != "" && len(s.holders) > 0 && !slices.ContainsFunc(s.holders, func(h holderRow) bool {
		return !strings.EqualFold(h.Username, o.Username)
	})
}
