package cutover

import (
	"net/http"
	"testing"

	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// TestOddLookups: an unexpected value costs its own column, and a set with half a name is no set.
func TestOddLookups(t *testing.T) {
	t.Parallel()
	const records = `{"LoginHistory": [{"Application": "Erp", "UserId": "005000000000001AAA", "LoginSubType": "OauthUsernamePassword", "SourceIp": "203.0.113.7", "LoginTime": "2026-11-02T00:00:00.000+0000"}]}`
	_, c := filled(t, simorg.Config{PermissionSets: []string{"Users"}}, nil, records)
	for object, columns := range map[string][]string{
		"": {""}, "LoginHistory": {"Application", "UserId", "SourceIp", "LoginSubType", "last"}, "User": {"Id", "Username"}, "PermissionSet": {"Name", "Label", "NamespacePrefix"},
	} {
		for _, column := range columns {
			for kind, value := range simorgtest.Odd {
				c.Conn.HTTPClient = &http.Client{Transport: simorgtest.Twisted(func(o string, records []any) any {
					if o == object {
						simorgtest.Twist(records, column, value)
					}
					return records
				})}
				logins, err := c.PasswordLogins(t.Context())
				if want := column != "LoginSubType"; err != nil || (len(logins) == 1) != want {
					t.Errorf("%s.%s is a %s: %+v, %v", object, column, kind, logins, err)
				} else if want && logins[0].Username == "" && column != "UserId" {
					t.Errorf("%s.%s is a %s: the login is of nobody", object, column, kind)
				}
				sets, err := c.PermissionSets(t.Context(), []string{"Users"})
				if err != nil {
					t.Errorf("%s.%s is a %s: %v", object, column, kind, err)
				}
				for _, set := range sets {
					if kind != "text" && set.Name != "Users" {
						t.Errorf("%s.%s is a %s: the org has the set %+v", object, column, kind, set)
					}
				}
				if object != "PermissionSet" && len(sets) == 0 {
					t.Errorf("%s.%s is a %s: no set", object, column, kind)
				}
			}
		}
	}
}
