package simorg

import (
	"net/http"
	"slices"
	"strings"
)

// serverAccess is the Tooling object with a record for each MCP server that was activated.
const serverAccess = "McpServerAccess"

// addServers adds the configured MCP servers that the org does not have yet.
func (o *Org) addServers() {
	for _, name := range o.config.MCPServers {
		o.addServer(name, true)
	}
	for _, name := range o.config.InactiveMCPServers {
		o.addServer(name, false)
	}
}

// addServer adds an MCP server. Standard servers have no McpServerId, and a DeveloperName of prefix and name.
func (o *Org) addServer(name string, active bool) {
	if slices.ContainsFunc(o.state.Servers, func(r row) bool { return r["server"] == name }) {
		return
	}
	prefix, label, _ := strings.Cut(name, "/")
	r := row{"id": o.nextID("1fz"), "developername": prefix + "_" + strings.ReplaceAll(label, "-", "_"), "masterlabel": label, "language": "en_US", "active": active, "mcpserverid": nil, "server": name}
	if prefix == "custom" {
		r["developername"], r["mcpserverid"] = label, o.nextID("1fy") // an assumed prefix
	}
	o.state.Servers = append(o.state.Servers, r)
}

// isActiveServer reports whether an MCP server is active.
func (o *Org) isActiveServer(name string) bool {
	return slices.ContainsFunc(o.state.Servers, func(r row) bool { return r["server"] == name && r["active"] == true })
}

// serverAccessObject answers the calls for one record of McpServerAccess.
func (o *Org) serverAccessObject(method, id string, body []byte) (any, *restError) {
	switch {
	case method == http.MethodDelete:
		return remove(&o.state.Servers, id)
	case method == http.MethodPost && id == "":
		return o.activate(body)
	case method == http.MethodPatch:
		access := by(o.state.Servers, id)
		fields, failure := decodeBody[struct{ Active *bool }](body)
		switch {
		case failure != nil:
			return nil, failure
		case access == nil:
			return nil, notFoundREST
		case fields.Active != nil:
			access["active"] = *fields.Active
		}
		return noContent, nil
	}
	return nil, notFoundREST
}

// activate creates a record of McpServerAccess.
func (o *Org) activate(body []byte) (any, *restError) {
	fields, failure := decodeBody[struct {
		DeveloperName, MasterLabel, Language, McpServerId string
		Active                                            bool
	}](body)
	switch {
	case failure != nil:
		return nil, failure
	case fields.DeveloperName == "" || fields.MasterLabel == "":
		return nil, &restError{http.StatusBadRequest, "REQUIRED_FIELD_MISSING", "Required fields are missing: [DeveloperName, MasterLabel]"}
	case fields.McpServerId == "" && o.is("mcp-access-create", "refused"):
		return nil, &restError{http.StatusBadRequest, "FIELD_INTEGRITY_EXCEPTION", "McpServerId is required"} // assumed wording
	}
	name := "custom/" + fields.DeveloperName
	if fields.McpServerId == "" {
		name = strings.TrimSuffix(fields.DeveloperName, "_"+strings.ReplaceAll(fields.MasterLabel, "-", "_")) + "/" + fields.MasterLabel
	}
	o.state.Servers = slices.DeleteFunc(o.state.Servers, func(r row) bool { return r["server"] == name })
	o.addServer(name, fields.Active)
	return created(o.state.Servers[len(o.state.Servers)-1]["id"].(string)), nil
}
