package salesforce

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/internal/words"
)

// TokenRefusal is what the token endpoint of a host answers where it gives no token.
type TokenRefusal struct {
	Host        string
	Code        string // like invalid_grant
	Description string // like "client credentials flow not enabled"
}

func (e *TokenRefusal) Error() string {
	return fmt.Sprintf("%s answered %s: %s", e.Host, e.Code, e.Description)
}

// TokenError turns an error of golang.org/x/oauth2, which holds the whole answer, into one that
// can be shown: a *TokenRefusal, a *StatusError or a *NetworkError. login is the URL of the host
// that was asked. The answer of a host that is busy counts as such whatever it says.
func TokenError(login string, err error) error {
	host := login
	if u, parseErr := url.Parse(login); parseErr == nil {
		host = u.Host
	}
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		var why struct {
			Code        string `json:"error"`
			Description string `json:"error_description"`
		}
		status := &StatusError{Host: host, Status: answer.Response.StatusCode, What: "not an answer of the token endpoint"}
		if !IsTransient(status) && json.Unmarshal(answer.Body, &why) == nil && why.Code != "" {
			return &TokenRefusal{Host: host, Code: words.Foreign(why.Code), Description: words.Foreign(why.Description)}
		}
		return status
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return NewNetworkError(host, failed.Err)
	}
	return fmt.Errorf("a token cannot be had from %s", host)
}
