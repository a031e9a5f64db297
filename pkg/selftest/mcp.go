package selftest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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

// mcpHost serves the hosted MCP servers of all orgs. A simulated org plays it under its own address.
const mcpHost = "https://api.salesforce.com"

// maxMCP bounds an answer in bytes.
const maxMCP = 1 << 20

// send sends a request without a session.
func (r *run) send(ctx context.Context, method, address, body string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("User-Agent", r.conn.Agent())
	client := r.conn.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := salesforce.WithoutRedirects(client).Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("%s does not answer", req.URL.Host) // another host than the org says nothing about it
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxMCP))
	return resp, data, err
}

func askMCP(ctx context.Context, r *run) error {
	host, server := mcpHost, "/platform/mcp/v1/"
	if platform.IsLoopback(r.conn.InstanceURL) {
		host = r.conn.InstanceURL
	}
	if r.org.Kind != developerEdition {
		server += "sandbox/"
	}
	server += "platform/sobject-all"
	resp, data, err := r.send(ctx, http.MethodGet, host+"/.well-known/oauth-protected-resource"+server, "")
	if err != nil {
		return err
	}
	var metadata struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	json.Unmarshal(data, &metadata) // which then lacks servers
	servers := strings.Join(metadata.Servers, ", ")
	switch {
	case slices.ContainsFunc(metadata.Servers, func(s string) bool {
		return strings.Contains(s, "login.salesforce.com") || strings.Contains(s, "test.salesforce.com")
	}):
		r.saw("mcp-authorization-server", "login-host", "authorization_servers is %s", servers)
	case len(metadata.Servers) > 0 && slices.Contains(metadata.Servers, metadata.Resource):
		r.saw("mcp-authorization-server", "resource", "authorization_servers is %s, like the resource", servers)
	default:
		r.unknown("mcp-authorization-server", "HTTP %d, authorization_servers is %q", resp.StatusCode, servers)
	}
	resp, data, err = r.send(ctx, http.MethodPost, host+server, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"selftest","version":"1"}}}`)
	switch sent := resp; {
	case err != nil:
		return err
	case sent.StatusCode != http.StatusUnauthorized:
		r.unknown("mcp-www-authenticate", "HTTP %d without a token", sent.StatusCode)
	case sent.Header.Get("WWW-Authenticate") != "":
		r.saw("mcp-www-authenticate", "yes", "WWW-Authenticate: %s", sent.Header.Get("WWW-Authenticate"))
	default:
		r.saw("mcp-www-authenticate", "no", "HTTP 401 without WWW-Authenticate: %s", bytes.TrimSpace(data))
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
