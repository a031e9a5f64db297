package agent

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// token is what a JWT-based access token shows of itself. It is not verified.
type token struct {
	scopes, audience []string
	operations       string // sfap_op, "" if the token has none
	org              string // the ID, "" if the token does not show it
	expires          time.Time
}

// readToken reads the claims of a session's token. ok is false if it is opaque.
func readToken(s *login.Session) (t token, ok bool) {
	claims, ok := s.Claims()
	if !ok {
		return t, false
	}
	for _, name := range []string{"scp", "scope"} { // both were seen
		t.scopes = append(t.scopes, list(claims[name])...)
	}
	if len(t.scopes) == 0 {
		t.scopes = s.Scopes
	}
	t.audience = list(claims["aud"])
	t.operations = strings.Join(list(claims["sfap_op"]), " ")
	var seconds int64
	if json.Unmarshal(claims["exp"], &seconds) == nil && seconds > 0 {
		t.expires = time.Unix(seconds, 0)
	}
	if header, ok := s.Header(); ok {
		t.org = platform.TokenOrg(strings.Join(list(header["tnk"]), ""))
	}
	return t, true
}

// list returns the words of a claim, which is a text or a list of texts.
func list(claim json.RawMessage) (words []string) {
	var text string
	if json.Unmarshal(claim, &text) == nil {
		return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
	}
	json.Unmarshal(claim, &words) // which leaves none for anything else
	return words
}

// open checks the token of a login, adds what it finds, and returns a connection to the services. It returns nil
// if the token is of no use there. shown gets what the token shows.
func open(r *Report, conn *salesforce.Conn, session *login.Session, orgID string, scopes []string, shown map[Cause]bool) *salesforce.Conn {
	t, isJWT := readToken(session)
	shown[OpaqueTokens] = !isJWT
	if !isJWT {
		r.found(Failed, TokenStage, OpaqueTokens, "the access token is opaque")
		return nil
	}
	services, err := platform.ServicesAnswered(conn.InstanceURL, session.Services)
	if err != nil {
		r.found(Failed, TokenStage, ForeignServices, "%s", err)
		return nil
	}
	missing := slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return len(t.scopes) == 0 || slices.Contains(t.scopes, s) })
	shown[TokenWithoutScope] = len(missing) > 0
	shown[ExpiredToken] = !t.expires.IsZero() && time.Now().After(t.expires)
	if t.org == "" {
		t.org = session.OrgID
	}
	shown[TokenOfOtherOrg] = t.org != "" && orgID != "" && !restapi.SameID(t.org, orgID)
	// What follows is reported, and nobody has confirmed its exact form: it explains a refusal, and is none.
	shown[NoAudience] = len(t.audience) > 0 && !slices.Contains(t.audience, services)
	shown[NotEntitled] = t.operations != "" && !strings.Contains(t.operations, "MCPService")
	switch {
	case shown[TokenOfOtherOrg]:
		r.found(Failed, TokenStage, TokenOfOtherOrg, "the token belongs to the org %s", salesforce.MaskSecrets(t.org))
		return nil
	case shown[TokenWithoutScope]:
		r.found(Failed, TokenStage, TokenWithoutScope, "the token lacks %s", strings.Join(missing, ", "))
		return nil
	case shown[ExpiredToken]:
		r.found(Failed, TokenStage, ExpiredToken, "the token expired at %s", t.expires.UTC().Format("15:04 UTC"))
		return nil
	}
	lifetime := ""
	if !t.expires.IsZero() {
		lifetime = fmt.Sprintf(", valid for %s", time.Until(t.expires).Round(time.Minute))
	}
	r.ok(TokenStage, "a JWT with the scopes %s%s", salesforce.MaskSecrets(strings.Join(t.scopes, " ")), lifetime)
	to := session.Conn()
	to.InstanceURL, to.HTTPClient, to.Timeout, to.Retry, to.UserAgent = services, conn.HTTPClient, conn.Timeout, conn.Retry, conn.UserAgent
	return to
}
