package platform

import (
	"fmt"
	"net/url"
	"strings"
)

// ServicesHost is the host of the services of all orgs that accept JWT-based access tokens alone: hosted MCP
// servers, Agent API, Models API. Source: Salesforce's documentation.
const ServicesHost = "https://api.salesforce.com"

// Services returns the address of the services of an org, see ServicesHost. A simulated org, at an address of
// this machine's loopback, plays them itself.
func Services(instanceURL string) string {
	if IsLoopback(instanceURL) {
		return strings.TrimSuffix(instanceURL, "/")
	}
	return ServicesHost
}

// ServicesAnswered checks the api_instance_url of a token answer, and returns the address to which the token may
// be sent: a host of Salesforce over https or, for an org at an address of this machine's loopback, that
// address alone. Without an answer it is that of Services. Errors contain no more than the host.
func ServicesAnswered(instanceURL, answered string) (string, error) {
	if answered == "" {
		return Services(instanceURL), nil
	}
	to, err := ParseInstance(answered)
	if err != nil {
		return "", fmt.Errorf("the answer with the token names an address that is none of Salesforce's services: %w", err)
	}
	if own, err := ParseInstance(instanceURL); err == nil && IsLoopbackHost(own.Hostname()) {
		if to.Scheme == own.Scheme && strings.EqualFold(to.Host, own.Host) {
			return own.String(), nil
		}
		return "", fmt.Errorf("the answer with the token names the host %s, and the org is at %s", to.Host, own.Host)
	}
	if to.Scheme != "https" || !IsSalesforceHost(to.Hostname()) {
		return "", fmt.Errorf("the answer with the token names the host %s, which is not a host of Salesforce", to.Host)
	}
	return to.String(), nil
}

// IsSalesforceHost reports whether a host without a port is salesforce.com or below it.
func IsSalesforceHost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "salesforce.com" || strings.HasSuffix(host, ".salesforce.com")
}

// MCPPath is the path of hosted MCP servers, and MCPMetadataPath that of what authorizes their clients (RFC
// 9728). Both are followed by an address of MCPAddresses.
const (
	MCPPath         = "/platform/mcp/v1/"
	MCPMetadataPath = "/.well-known/oauth-protected-resource" + MCPPath
)

// MCPAddresses returns where an org has a hosted MCP server: its paths below MCPPath. standard is for all orgs
// of the kind. myDomain pins the org and is needed if the org blocks logins at the login hosts, "" if the
// instance URL shows no My Domain. developer reports a Developer Edition. Source: Salesforce's documentation.
func MCPAddresses(kind Kind, instanceURL, server string, developer bool) (standard, myDomain string) {
	standard = server
	if kind.IsSandbox() {
		standard = "sandbox/" + server
	}
	host := ""
	if u, err := url.Parse(instanceURL); err == nil {
		host = u.Hostname()
	}
	domain, rest, _ := strings.Cut(host, ".")
	if !strings.HasSuffix("."+rest, ".my.salesforce.com") {
		return standard, ""
	}
	segment := ""
	switch {
	case kind == Scratch:
		segment = "scratch/"
	case kind == Sandbox:
		segment = "sandbox/"
	case developer:
		segment = "develop/"
	}
	return standard, "d/" + domain + "/" + segment + server
}

// DefaultMCPServer is a standard server that every org with hosted MCP servers can activate.
const DefaultMCPServer = "platform/sobject-all"

// MCPServer returns the name of the server of a record of McpServerAccess, like platform/sobject-all. Standard
// servers have no McpServerId, and a DeveloperName of prefix and label. That the other ones are below custom/
// is documented; that their DeveloperName is the name is assumed.
func MCPServer(developerName, masterLabel, serverID string) string {
	if serverID != "" {
		return "custom/" + developerName
	}
	if prefix, ok := strings.CutSuffix(developerName, "_"+underscored(masterLabel)); ok && prefix != "" && masterLabel != "" {
		return prefix + "/" + masterLabel
	}
	prefix, name, found := strings.Cut(developerName, "_")
	if !found {
		return developerName
	}
	return prefix + "/" + strings.ReplaceAll(name, "_", "-")
}

// SameMCPServer reports whether two names mean the same server. Case, and whether words are separated by
// hyphens or underscores, do not matter.
func SameMCPServer(a, b string) bool { return strings.EqualFold(underscored(a), underscored(b)) }

func underscored(name string) string {
	return strings.NewReplacer("-", "_", "/", "_", " ", "_").Replace(name)
}

// AgentPath is the path of the Agent API. Source: Salesforce's documentation.
const AgentPath = "/einstein/ai-agent/v1/"

// IsAgentID reports whether a text has the form of the ID of an agent (BotDefinition).
func IsAgentID(id string) bool {
	if len(id) != 15 && len(id) != 18 || !strings.HasPrefix(id, "0Xx") {
		return false
	}
	return strings.Trim(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
}

// TokenOrg returns the ID of the org of a JWT-based access token, from the tnk of its header, which is
// core/INSTANCE/ORGID, or "". Source: two projects that read it.
func TokenOrg(tnk string) string {
	return tnk[strings.LastIndexByte(tnk, '/')+1:]
}
