package respond

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// TestOddAnswers: an unexpected value costs its own column, and gives no app the tokens of another.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	_, conn := start(t, simorg.Config{})
	selections := []Selection{{NotInstalled: true, Sessions: true}, {App: "Erp", Sessions: true}, {App: "Loader"}}
	columns := map[string][]string{
		"ConnectedApplication":      {"Id", "Name"},
		"ExternalClientApplication": {"Id", "DeveloperName", "MasterLabel"},
		"OauthToken":                {"AppName", "AppMenuItemId", "UserId", "n", "last"},
		"AppMenuItem":               {"Id", "ApplicationId"},
		"AuthSession":               {"Id", "UsersId", "IsCurrent", "LoginType", "LoginHistory", "LoginHistory.Application"},
		"User":                      {"Id", "Username", "IsActive", "Profile", "Profile.Name"},
		"LoginHistory":              {"UserId", "Application", "LoginTime", "SourceIp", "Status"},
		"PermissionSetAssignment":   {"AssigneeId"},
	}
	for _, selection := range selections {
		conn.HTTPClient = nil
		sound, err := Look(t.Context(), conn, selection)
		if err != nil {
			t.Fatal(err)
		}
		for object, names := range columns {
			for _, column := range names {
				for kind, value := range simorgtest.Odd {
					conn.HTTPClient = &http.Client{Transport: simorgtest.Twisted(func(o string, records []any) any {
						if o == object {
							simorgtest.Twist(records, column, value)
						}
						return records
					})}
					e, err := Look(t.Context(), conn, selection)
					if err != nil {
						// The org does not show that it has the app.
						if _, missing := errors.AsType[*NotFoundError](err); !missing || object != "ExternalClientApplication" {
							t.Errorf("%+v, %s.%s is a %s: %v", selection, object, column, kind, err)
						}
						continue
					}
					for _, app := range e.Apps {
						has := slices.IndexFunc(sound.Apps, func(other *App) bool { return app.Kind == other.Kind && app.Name == other.Name })
						tokens, sessions := 0, 0
						if has >= 0 {
							tokens, sessions = sound.Apps[has].Tokens, sound.Apps[has].Sessions
						}
						if kind != "text" && (app.Tokens > tokens || app.Sessions > sessions) {
							t.Errorf("%+v, %s.%s is a %s: %s %s has %d tokens and %d sessions, and has %d and %d", selection, object, column, kind,
								app.Kind, app.Name, app.Tokens, app.Sessions, tokens, sessions)
						}
					}
					if kind == "object" && !strings.Contains(column, ".") && len(e.Unseen) == 0 && (object != "AuthSession" || selection.Sessions) &&
						column != "Profile" && column != "LoginHistory" {
						t.Errorf("%+v, %s.%s is a %s, and the report does not say so", selection, object, column, kind)
					}
				}
			}
		}
	}
}
