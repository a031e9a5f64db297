package scaffold

import (
	"fmt"

	"github.com/ecakit/ecakit/pkg/internal/words"
)

// Preset is what an app is used for, and what settings and policies that needs.
type Preset struct {
	Name    string
	Summary string          // what it is for, for people
	Scopes  []string        // OAuth scopes
	Global  map[string]bool // switches of the global OAuth settings

	// PreAuthorised lets only pre-authorised users in, so that a permission set has to grant
	// the app.
	PreAuthorised bool
	// Callbacks says that the callback URLs are the client's, and have to be named.
	Callbacks bool
	// Certificate says that the client signs with the key of a certificate.
	Certificate bool
	// RefreshTokenDays is how long a refresh token lives, 0 for a year.
	RefreshTokenDays int
}

// Presets returns the presets. Salesforce's documentation of the flows, and an integrator's
// experience, are their source.
func Presets() []Preset { return presets }

var presets = []Preset{
	{Name: "server", Summary: "a server that calls the org as one user, by client credentials",
		Scopes: []string{"Api"}, Global: map[string]bool{"isClientCredentialsFlowEnabled": true}, PreAuthorised: true},
	{Name: "ci", Summary: "a pipeline that logs in by JWT bearer, as sf org login jwt does",
		Scopes: []string{"Api", "Web", "RefreshToken"}, Global: map[string]bool{}, PreAuthorised: true, Certificate: true},
	{Name: "web", Summary: "a web application with a server side, by authorization code",
		Scopes:    []string{"Api", "RefreshToken"},
		Global:    map[string]bool{"isPkceRequired": true, "isConsumerSecretOptional": false, "isSecretRequiredForRefreshToken": true, "isRefreshTokenRotationEnabled": true},
		Callbacks: true},
	{Name: "spa", Summary: "a public client, in a browser, on a phone or a desktop, by authorization code without a secret",
		Scopes:    []string{"Api", "RefreshToken"},
		Global:    map[string]bool{"isPkceRequired": true, "isConsumerSecretOptional": true, "isSecretRequiredForRefreshToken": false, "isRefreshTokenRotationEnabled": true},
		Callbacks: true, RefreshTokenDays: 7},
	{Name: "mcp", Summary: "AI clients that call Salesforce's hosted MCP servers, which Connected Apps cannot do",
		Scopes:        []string{"MCP", "RefreshToken"},
		Global:        map[string]bool{"isNamedUserJwtEnabled": true, "isPkceRequired": true, "isConsumerSecretOptional": true, "isSecretRequiredForRefreshToken": false},
		PreAuthorised: true, Callbacks: true},
}

// plain is what an app is set up for where no preset is chosen.
var plain = Preset{Scopes: []string{"Api", "RefreshToken"}}

// preset returns the preset of the configuration.
func (c Config) preset() (Preset, error) {
	if c.Preset == "" {
		return plain, nil
	}
	var names []string
	for _, p := range presets {
		if p.Name == c.Preset {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Preset{}, fmt.Errorf("there is no preset %s%s", c.Preset, words.DidYouMean(c.Preset, names))
}

// Clients are the callback URLs of MCP clients, by name, as their documentation has them.
var clients = map[string][]string{
	"claude":  {"https://claude.ai/api/mcp/auth_callback"},
	"cursor":  {"http://localhost:8787/callback", "cursor://anysphere.cursor-mcp/oauth/callback"},
	"postman": {"https://oauth.pstmn.io/v1/callback", "https://oauth.pstmn.io/v1/browser-callback"},
}

// ClientCallbacks returns the callback URLs of an MCP client: claude, cursor or postman.
func ClientCallbacks(client string) ([]string, error) {
	urls, ok := clients[client]
	if !ok {
		return nil, fmt.Errorf("the callback URLs of %s are not known, only those of claude, cursor and postman; give them themselves", client)
	}
	return urls, nil
}
