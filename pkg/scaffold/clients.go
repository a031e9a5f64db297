package scaffold

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/words"
)

// Client is an AI client that logs in to Salesforce's hosted MCP servers.
type Client struct {
	Name      string
	Product   string
	Callbacks []string // with %s for the value that the client needs
	Value     string   // what the client needs beside its name: URL, PORT, or "" for nothing
	Default   string   // of the value, "" if it must be given
	Secret    bool     // the client asks for the consumer secret
	Needs     string   // what a person does in the client, as a sentence without its full stop; with %s for the value
}

// Clients returns the clients whose callback URLs are known. Sources: their documentation and Salesforce's.
func Clients() []Client { return clients }

var clients = []Client{
	{Name: "claude", Product: "Claude on the web, on the desktop and in Cowork",
		Callbacks: []string{"https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"},
		Needs:     "add a custom connector with the server's URL, and enter the consumer key as the OAuth client ID, without a secret. Claude calls from its own network: where login IP ranges apply, set ipRelaxationPolicyType to Bypass"},
	{Name: "claude-code", Product: "Claude Code", Value: "PORT", Default: "8080",
		Callbacks: []string{"http://localhost:%s/callback"},
		Needs:     "run claude mcp add --transport http NAME URL --client-id KEY --callback-port %s; without the port, Claude Code takes a random one"},
	{Name: "chatgpt", Product: "ChatGPT", Value: "URL", Secret: true, Callbacks: []string{"%s"},
		Needs: "choose the registration User-defined OAuth client, and paste consumer key and secret. ChatGPT calls from its own network: where login IP ranges apply, set ipRelaxationPolicyType to Bypass"},
	{Name: "cursor", Product: "Cursor",
		Callbacks: []string{"http://localhost:8787/callback", "cursor://anysphere.cursor-mcp/oauth/callback", "https://www.cursor.com/agents/mcp/oauth/callback"},
		Needs:     `state the server in mcp.json as {"url": URL, "auth": {"CLIENT_ID": KEY}}`},
	{Name: "vscode", Product: "VS Code",
		Callbacks: []string{"http://127.0.0.1:33418/", "http://127.0.0.1/", "https://vscode.dev/redirect", "https://insiders.vscode.dev/redirect"},
		Needs:     "keep port 33418 free during the login: VS Code takes a random one instead, which the app does not have; Salesforce does not test VS Code"},
	{Name: "postman", Product: "Postman",
		Callbacks: []string{"https://oauth.pstmn.io/v1/callback", "https://oauth.pstmn.io/v1/browser-callback"},
		Needs:     "choose to send client credentials in the body"},
	{Name: "gemini-cli", Product: "Gemini CLI", Callbacks: []string{"http://localhost:7777/oauth/callback"},
		Needs: "state the consumer key as the OAuth client ID of the server; Salesforce does not test Gemini CLI"},
	{Name: "power-platform", Product: "Power Platform and Copilot Studio", Value: "URL", Secret: true, Callbacks: []string{"%s"},
		Needs: "create a custom connector with the identity provider SalesforceV2, the scopes mcp_api and refresh_token, and consumer key and secret"},
}

// ParseClient returns the client with a name, or with a name and its value, like chatgpt=URL, with the value in its
// Callbacks and Needs.
func ParseClient(text string) (Client, error) {
	name, value, given := strings.Cut(text, "=")
	var names []string
	for _, c := range clients {
		names = append(names, c.Name)
		if c.Name != name {
			continue
		}
		if !given {
			value = c.Default
		}
		return c.with(value, given)
	}
	return Client{}, fmt.Errorf("the callback URLs of %s are not known, only those of %s%s; give the URLs instead", name, strings.Join(names, ", "), words.DidYouMean(name, names))
}

// with returns the client with its value filled in.
func (c Client) with(value string, given bool) (Client, error) {
	port, err := strconv.Atoi(value)
	switch {
	case c.Value == "" && given:
		return c, fmt.Errorf("%s takes no value, but %q is given", c.Name, value)
	case c.Value == "PORT" && (err != nil || port < 1 || port > 65535):
		return c, fmt.Errorf("%s needs a port, not %q", c.Name, value)
	case c.Value == "URL" && value == "":
		return c, fmt.Errorf("%s shows its callback URL when it is set up; give it as %s=URL", c.Product, c.Name)
	case c.Value == "URL" && !strings.HasPrefix(value, "https://"):
		return c, fmt.Errorf("%q is not the callback URL of %s, which begins with https://", value, c.Product)
	}
	fill := func(text string) string { return strings.ReplaceAll(text, "%s", value) }
	own := c
	own.Callbacks, own.Needs = nil, fill(c.Needs)
	for _, url := range c.Callbacks {
		own.Callbacks = append(own.Callbacks, fill(url))
	}
	return own, nil
}
