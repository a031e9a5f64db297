package cutover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/restapi"
)

// PermissionSets returns the org's permission sets with some labels or API names. Records with values of an
// unexpected type are left out.
func (c *Client) PermissionSets(ctx context.Context, labels []string) (sets []connectedapp.PermissionSet, err error) {
	for _, field := range []string{"Label", "Name"} {
		found, err := restapi.QueryIn[restapi.Loose[struct{ Name, Label, NamespacePrefix string }]](ctx, c.rest(),
			"SELECT Name, Label, NamespacePrefix FROM PermissionSet WHERE IsOwnedByProfile = false AND "+field+" IN (%s)", labels)
		if err != nil {
			return nil, err
		}
		for _, loose := range found {
			r := loose.Record
			if loose.Odd != "" || r.Name == "" {
				continue // a name that is not complete would be that of another set
			}
			name := r.Name
			if r.NamespacePrefix != "" {
				name = r.NamespacePrefix + "__" + name
			}
			sets = append(sets, connectedapp.PermissionSet{Name: name, Label: r.Label})
		}
	}
	return sets, nil
}

// PasswordLogin is a caller that logs in to a Connected App with the username-password flow, which
// External Client Apps do not have.
type PasswordLogin struct {
	App      string    `json:"app"` // the label of the Connected App
	Username string    `json:"username"`
	SourceIP string    `json:"sourceIp,omitempty"`
	Last     time.Time `json:"last"`
}

// PasswordFlow is the LoginSubType of the username-password flow, which only Connected Apps have.
// Source: the documentation of LoginSubType.
const PasswordFlow = "OauthUsernamePassword"

// PasswordLogins returns the logins with the username-password flow in the last six months, the latest
// of each app, user and address, sorted. A value of an unexpected type is left out.
func (c *Client) PasswordLogins(ctx context.Context) ([]PasswordLogin, error) {
	type loginRow struct{ Application, UserID, SourceIP, LoginSubType, Last string }
	type userRow struct{ ID, Username string }
	// Whether LoginSubType can be filtered is not known.
	found, err := restapi.Query[restapi.Loose[loginRow]](ctx, c.rest(), fmt.Sprintf("SELECT Application, UserId, SourceIp, LoginSubType, MAX(LoginTime) last "+
		"FROM LoginHistory GROUP BY Application, UserId, SourceIp, LoginSubType ORDER BY MAX(LoginTime) DESC LIMIT %d", maxLogins))
	if err != nil {
		return nil, err
	}
	rows, _ := restapi.Records(found)
	rows = slices.DeleteFunc(rows, func(r loginRow) bool { return r.LoginSubType != PasswordFlow })
	var ids []string
	for _, r := range rows {
		ids = append(ids, r.UserID)
	}
	named, err := restapi.QueryIn[restapi.Loose[userRow]](ctx, c.rest(), "SELECT Id, Username FROM User WHERE Id IN (%s)", ids)
	if err != nil && !restapi.Refused(err) && !errors.As(err, new(*restapi.ShapeError)) {
		return nil, err
	}
	users, _ := restapi.Records(named)
	var logins []PasswordLogin
	for _, r := range rows {
		login := PasswordLogin{App: r.Application, Username: r.UserID, SourceIP: r.SourceIP, Last: restapi.ParseTime(r.Last)}
		if i := slices.IndexFunc(users, func(u userRow) bool { return restapi.SameID(u.ID, r.UserID) }); i >= 0 && users[i].Username != "" {
			login.Username = users[i].Username
		}
		logins = append(logins, login)
	}
	slices.SortFunc(logins, func(a, b PasswordLogin) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a.App), strings.ToLower(b.App)), cmp.Compare(a.Username, b.Username), cmp.Compare(a.SourceIP, b.SourceIP))
	})
	return logins, nil
}
