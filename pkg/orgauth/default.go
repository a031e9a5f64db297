package orgauth

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// DefaultOrg returns the alias or username of the org that the Salesforce CLI
// works on where none is named: SF_TARGET_ORG, else target-org of the project's
// .sf/config.json, else that of the user's. It returns "" where none is set.
// project is the project's directory, home the user's.
func DefaultOrg(project, home string, getenv func(string) string) string {
	if org := getenv("SF_TARGET_ORG"); org != "" {
		return org
	}
	for _, dir := range []string{project, home} {
		var config struct {
			TargetOrg string `json:"target-org"`
		}
		data, err := os.ReadFile(filepath.Join(dir, ".sf", "config.json"))
		if err == nil && json.Unmarshal(data, &config) == nil && config.TargetOrg != "" {
			return config.TargetOrg
		}
	}
	return ""
}
