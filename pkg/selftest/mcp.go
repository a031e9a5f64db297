package selftest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// mcpProbes ask the host of hosted MCP servers what it says without a session.
var mcpProbes = []probe{
	{[]string{"mcp-authorization-server", "mcp-www-authenticate"}, askMCP},
	{[]string{"ide-auth"}, askIDE},
}

func askMCP(ctx context.Context, r *run) error {
	services := r.conn.WithoutToken(platform.Services(r.conn.InstanceURL))
	kind := platform.Sandbox // which scratch orgs are too
	if r.org.Kind == developerEdition {
		kind = platform.Production
	}
	server, _ := platform.MCPAddresses(kind, r.conn.InstanceURL, platform.DefaultMCPServer, false)
	send := func(method, path, body string) (*salesforce.Response, error) {
		answer, err := services.Ask(ctx, salesforce.Request{
			Method: method, Path: path, Header: http.Header{"Accept": {"application/json, text/event-stream"}},
			Body: func(salesforce.Secret) ([]byte, error) { return []byte(body), nil },
		})
		if err != nil {
			return nil, fmt.Errorf("%s does not answer", services.InstanceURL) // another host than the org says nothing about it
		}
		return answer, nil
	}
	resp, err := send(http.MethodGet, platform.MCPMetadataPath+server, "")
	if err != nil {
		return err
	}
	var metadata struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	json.Unmarshal(resp.Body, &metadata) // which then lacks servers
	servers := strings.Join(metadata.Servers, ", ")
	switch {
	case slices.ContainsFunc(metadata.Servers, func(s string) bool {
		return strings.Contains(s, "login.salesforce.com") || strings.Contains(s, "test.salesforce.com")
	}):
		r.saw("mcp-authorization-server", "login-host", "authorization_servers is %s", servers)
	case len(metadata.Servers) > 0 && slices.Contains(metadata.Servers, metadata.Resource):
		r.saw("mcp-authorization-server", "resource", "authorization_servers is %s, like the resource", servers)
	default:
		r.unknown("mcp-authorization-server", "HTTP %d, authorization_servers is %q", resp.Status, servers)
	}
	resp, err = send(http.MethodPost, platform.MCPPath+server, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"selftest","version":"1"}}}`)
	switch sent := resp; {
	case err != nil:
		return err
	case sent.Status != http.StatusUnauthorized:
		r.unknown("mcp-www-authenticate", "HTTP %d without a token", sent.Status)
	case sent.Header.Get("WWW-Authenticate") != "":
		r.saw("mcp-www-authenticate", "yes", "WWW-Authenticate: %s", sent.Header.Get("WWW-Authenticate"))
	default:
		r.saw("mcp-www-authenticate", "no", "HTTP 401 without WWW-Authenticate: %s", bytes.TrimSpace(sent.Body))
	}
	return nil
}

// askIDE asks for a token without an app. The token is thrown away.
func askIDE(ctx context.Context, r *run) error {
	return r.conn.Do(ctx, salesforce.Request{
		Method: http.MethodPost, Path: "/ide/auth", Authorize: true, Header: http.Header{"Content-Type": {"application/json"}},
		Body: func(salesforce.Secret) ([]byte, error) { return []byte("{}"), nil },
	}, func(got *salesforce.Response) error {
		var answer struct{ JWT salesforce.Secret }
		switch html := bytes.HasPrefix(bytes.TrimSpace(got.Body), []byte("<")); {
		case json.Unmarshal(got.Body, &answer) == nil && !answer.JWT.IsZero():
			r.saw("ide-auth", "jwt", "HTTP %d with a jwt", got.Status)
		case html && got.Status == http.StatusOK:
			r.saw("ide-auth", "redirect", "HTTP %d with a page", got.Status)
		default:
			r.unknown("ide-auth", "HTTP %d with neither a jwt nor a page", got.Status)
		}
		return nil
	})
}
