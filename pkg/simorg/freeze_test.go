package simorg_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// frozenClient returns the client of an org whose administrator has logged in, and whose run-as user is another one.
func frozenClient(t *testing.T, facts platform.Answers) (c client, login, robot map[string]any) {
	t.Helper()
	org := simorg.Start(simorg.Config{Facts: facts, Users: []simorg.User{{Username: "robot@example.com"}}})
	t.Cleanup(org.Close)
	c = newClient(t, org, "Api, RefreshToken", `<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><isPkceRequired>false</isPkceRequired>`)
	upsert(org, eca.OAuthPolicies, `<fullName>App_oauthPlcy</fullName><clientCredentialsFlowUser>robot@example.com</clientCredentialsFlowUser>`+link+`<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>`)
	login = c.logIn("")
	_, robot = c.post(tokenPath, url.Values{"grant_type": {"client_credentials"}})
	if login["refresh_token"] == nil || robot["access_token"] == nil {
		t.Fatal(login, robot)
	}
	return c, login, robot
}

// freeze freezes a user with a session, and returns the answer.
func (c client) freeze(session any, username string) string {
	c.Helper()
	id := ask(c.T, c.org, "SELECT Id FROM UserLogin WHERE UserId = '"+fmt.Sprint(ask(c.T, c.org, "SELECT Id FROM User WHERE Username = '"+username+"'").Records[0]["Id"])+"'").Records[0]["Id"]
	req, err := http.NewRequest("PATCH", fmt.Sprintf("%s/services/data/v67.0/sobjects/UserLogin/%s", c.org.URL, id), strings.NewReader(`{"IsFrozen":true}`))
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Authorization", fmt.Sprint("Bearer ", session))
	status, answer := do(req)
	return fmt.Sprint(status, answer)
}

// TestFrozenUser: a frozen user cannot log in. What else ends depends on the facts.
func TestFrozenUser(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"yes", "no"} {
		facts := platform.Answers{"freezing-ends-access-tokens": answer, "freezing-stops-refresh": answer, "freezing-stops-client-credentials": answer}
		c, login, robot := frozenClient(t, facts)
		if said := c.freeze(c.org.AccessToken(), "admin@example.com"); !strings.Contains(said, "CANNOT_FREEZE_SELF") {
			t.Error("a user can freeze the own user:", said)
		}
		for _, said := range []string{c.freeze(robot["access_token"], "admin@example.com"), c.freeze(c.org.AccessToken(), "robot@example.com")} {
			if !strings.HasPrefix(said, "204") {
				t.Fatal(said)
			}
		}
		if refused := c.authorize("").Get("error"); refused != "OAUTH_APP_ACCESS_DENIED" {
			t.Errorf("a frozen user logs in: %q", refused)
		}
		_, again := c.post(tokenPath, url.Values{"grant_type": {"client_credentials"}})
		got := map[string]bool{
			"freezing-ends-access-tokens":       !c.isAccepted(login["access_token"]),
			"freezing-stops-refresh":            c.refresh(login["refresh_token"])["access_token"] == nil,
			"freezing-stops-client-credentials": again["access_token"] == nil,
		}
		for fact, ends := range got {
			if ends != (answer == "yes") {
				t.Errorf("%s %s: it ends: %t", fact, answer, ends)
			}
		}
	}
}

// TestEnablingAgain: refresh tokens may end with the app's OAuth.
func TestEnablingAgain(t *testing.T) {
	t.Parallel()
	for answer, works := range map[string]bool{"yes": true, "no": false} {
		c, login, _ := frozenClient(t, platform.Answers{"enabling-revives-refresh-tokens": answer})
		upsert(c.org, eca.PluginPolicies, plugins+`<isOauthPluginEnabled>false</isOauthPluginEnabled>`)
		if c.refresh(login["refresh_token"])["access_token"] != nil {
			t.Error("a refresh works while OAuth is off")
		}
		upsert(c.org, eca.PluginPolicies, plugins)
		if got := c.refresh(login["refresh_token"])["access_token"] != nil; got != works {
			t.Errorf("with %s, a refresh works: %t", answer, got)
		}
	}
}
