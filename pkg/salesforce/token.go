package salesforce

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/internal/words"
)

// TokenRefusal is a token endpoint's error answer.
type TokenRefusal struct {
	Host        string
	Code        string // like invalid_grant
	Description string // like "client credentials flow not enabled"
}

func (e *TokenRefusal) Error() string {
	return fmt.Sprintf("%s answered %s: %s", e.Host, e.Code, e.Description)
}

// TokenError converts an error of golang.org/x/oauth2, which contains the whole answer, into
// one that is safe to show: a *TokenRefusal, a *StatusError or a *NetworkError. login is the
// URL of the token endpoint's host. A busy host's answer is a *StatusError, whatever its body.
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
		got := &Response{Host: host, Status: answer.Response.StatusCode, Header: answer.Response.Header, Body: answer.Body}
		status := got.Unexpected("not an answer of the token endpoint")
		if !IsTransient(status) && json.Unmarshal(answer.Body, &why) == nil && why.Code != "" {
			return &TokenRefusal{Host: host, Code: words.Foreign(why.Code), Description: words.Foreign(why.Description)}
		}
		return status
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return NewNetworkError(host, failed.Err)
	}
	// The status was that of a success, and the body no token.
	return &StatusError{Host: host, Status: http.StatusOK, What: "not an answer of the token endpoint"}
}
