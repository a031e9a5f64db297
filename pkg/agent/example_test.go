package agent_test

import (
	"context"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/agent"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// Check everything about an AI client that needs no login.
func ExampleMCP() {
	org := simorg.Start(simorg.Config{InactiveMCPServers: []string{"platform/sobject-all"}})
	defer org.Close()
	if err := org.Deploy(source("MCP, RefreshToken", mcpGlobal, ""), "."); err != nil {
		fmt.Println(err)
		return
	}
	conn := &salesforce.Conn{InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
	way := &agent.MCP{Conn: conn, App: "App"}
	if err := way.Check(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	failed := way.Report.Failed()
	fmt.Println(failed.Stage, failed.Cause)
	// Output: server mcp-server-not-activated
}
