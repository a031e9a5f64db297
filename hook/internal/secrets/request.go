package secrets

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// secretVariable is the environment variable from which token requests read the secret.
const secretVariable = "ECA_CLIENT_SECRET"

// postmanSchema is the format of Postman's collections.
const postmanSchema = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"

// TakeRequest keeps a token request with client credentials for Close, in the format of the flags. The
// request has no secret.
func (s *Sink) TakeRequest(c *Credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[c.Org] = map[string][]byte{c.App: []byte(c.request(s.Format))}
}

// request writes a token request as a command line for curl, a collection of Postman, or a file of
// the REST Client of VS Code.
func (c *Credentials) request(format string) string {
	address := strings.TrimSuffix(c.BaseURL, "/") + "/services/oauth2/token"
	switch format {
	case "curl": // the secret is on standard input, because other users can see arguments
		return fmt.Sprintf("printf %%s \"$%s\" | curl --fail-with-body %s --data grant_type=client_credentials --data-urlencode %s --data-urlencode client_secret@-\n",
			secretVariable, QuoteEnv(address), QuoteEnv("client_id="+c.Pair.Key))
	case "http":
		return fmt.Sprintf("### Access token of %s\nPOST %s\nContent-Type: application/x-www-form-urlencoded\n\ngrant_type=client_credentials&client_id=%s&client_secret={{$processEnv %s}}\n",
			c.App, address, url.QueryEscape(c.Pair.Key), secretVariable)
	}
	type field map[string]string
	body := map[string]any{"mode": "urlencoded", "urlencoded": []field{
		{"key": "grant_type", "value": "client_credentials"},
		{"key": "client_id", "value": c.Pair.Key},
		{"key": "client_secret", "value": "{{" + secretVariable + "}}"},
	}}
	text, err := json.MarshalIndent(map[string]any{
		"info": field{"name": c.App, "schema": postmanSchema},
		"item": []any{map[string]any{"name": "Access token of " + c.App, "request": map[string]any{"method": "POST", "url": address, "body": body}}},
	}, "", "  ")
	if err != nil {
		panic(err) // texts alone
	}
	return string(text) + "\n"
}
