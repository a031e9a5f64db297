package scaffold

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/internal/words"
)

// Preset is a use of an app, with the settings and policies that it needs.
type Preset struct {
	Name    string
	Summary string          // the use, for people
	Scopes  []string        // OAuth scopes
	Global  map[string]bool // switches of the global OAuth settings

	// PreAuthorised admits only pre-authorised users, so a permission set must grant the app.
	PreAuthorised bool
	// Callbacks reports that the client has its own callback URLs, which Config must name.
	Callbacks bool
	// Certificate reports that the client signs with a private key, so the app needs its
	// certificate.
	Certificate bool
	// RefreshTokenDays is the lifetime of a refresh token in days; 0 means until 30 days without use.
	RefreshTokenDays int
}

// Presets returns the presets. Sources: Salesforce's documentation of the flows, and an
// integrator's experience.
func Presets() []Preset { return presets }

var presets = []Preset{
	{Name: "server", Summary: "a server that calls the org as one user, by client credentials",
		Scopes: []string{"Api"}, Global: map[string]bool{"isClientCredentialsFlowEnabled": true}, PreAuthorised: true},
	{Name: "ci", Summary: "a pipeline that logs in by JWT bearer, as sf org login jwt does",
		Scopes: []string{"Api", "Web", "RefreshToken"}, Global: map[string]bool{}, PreAuthorised: true, Certificate: true},
	{Name: "web", Summary: "a web application with a server side, by authorization code",
		Scopes:        []string{"Api", "RefreshToken"},
		Global:        map[string]bool{"isPkceRequired": true, "isConsumerSecretOptional": false, "isSecretRequiredForRefreshToken": true, "isRefreshTokenRotationEnabled": true},
		PreAuthorised: true, Callbacks: true},
	{Name: "spa", Summary: "a public client, in a browser, on a phone or a desktop, by authorization code without a secret",
		Scopes:        []string{"Api", "RefreshToken"},
		Global:        map[string]bool{"isPkceRequired": true, "isConsumerSecretOptional": true, "isSecretRequiredForRefreshToken": false, "isRefreshTokenRotationEnabled": true},
		PreAuthorised: true, Callbacks: true, RefreshTokenDays: 7},
	{Name: "mcp", Summary: "AI clients that call Salesforce's hosted MCP servers, which Connected Apps cannot do",
		Scopes:        []string{"MCP", "RefreshToken"},
		Global:        map[string]bool{"isNamedUserJwtEnabled": true, "isPkceRequired": true, "isConsumerSecretOptional": true, "isSecretRequiredForRefreshToken": false, "isRefreshTokenRotationEnabled": true},
		PreAuthorised: true, Callbacks: true},
	// Salesforce's documentation of both names these scopes, RefreshToken included. It asks to deselect PKCE and
	// the secret's switches, which client credentials do not use.
	{Name: "agent", Summary: "a server that talks to an Agentforce agent by the Agent API",
		Scopes:        []string{"Api", "RefreshToken", "Chatbot", "SFApiPlatform"},
		Global:        map[string]bool{"isClientCredentialsFlowEnabled": true, "isNamedUserJwtEnabled": true, "isPkceRequired": true, "isRefreshTokenRotationEnabled": true},
		PreAuthorised: true},
	{Name: "models", Summary: "a server that calls the Models API, or another service of the scope sfap_api",
		Scopes:        []string{"Api", "RefreshToken", "SFApiPlatform"},
		Global:        map[string]bool{"isClientCredentialsFlowEnabled": true, "isNamedUserJwtEnabled": true, "isPkceRequired": true, "isRefreshTokenRotationEnabled": true},
		PreAuthorised: true},
}

// plain returns what applies if no preset is chosen. An app for client credentials alone gets no scope that
// the flow cannot use. An app with settings from elsewhere keeps them.
func (c Config) plain() Preset {
	preset := Preset{Scopes: []string{"Api", "RefreshToken"}}
	if c.hasRunAsUser() && len(c.CallbackURLs) == 0 && c.Certificate == nil {
		preset.Scopes = []string{"Api"}
	}
	if c.Fields == nil {
		preset.Global = map[string]bool{"isPkceRequired": true, "isRefreshTokenRotationEnabled": true}
		preset.PreAuthorised = true
	}
	return preset
}

// withSets returns the configuration with a permission set that grants the app, if no other one is named and the
// preset admits only pre-authorised users. Settings from elsewhere say themselves who may log in.
func (c Config) withSets() Config {
	if preset, err := c.preset(); err == nil && preset.PreAuthorised && len(c.PermissionSets) == 0 && c.Fields == nil {
		const ending = "_Users"
		c.PermissionSets = []string{strings.TrimRight(c.App[:min(len(c.App), eca.MaxName-len(ending))], "_") + ending}
	}
	return c
}

// hasRunAsUser reports whether client credentials are on in an environment.
func (c Config) hasRunAsUser() bool {
	return c.hasUser || slices.ContainsFunc(c.Environments, func(e Environment) bool { return e.RunAsUser != "" })
}

// OpenToAll reports that every user of the org can authorise the app.
func (c Config) OpenToAll() bool {
	preset, err := c.preset()
	return err == nil && !preset.PreAuthorised && len(c.PermissionSets) == 0
}

// preset returns the configuration's preset, or an error for an unknown name.
func (c Config) preset() (Preset, error) {
	if c.Preset == "" {
		return c.plain(), nil
	}
	return FindPreset(c.Preset)
}

// FindPreset returns the preset of a name.
func FindPreset(name string) (Preset, error) {
	var names []string
	for _, p := range presets {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Preset{}, fmt.Errorf("there is no preset %s%s", name, words.DidYouMean(name, names))
}
