package scaffold

import (
	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// Migrated returns what New writes of a Connected App. Its environments are not set.
func Migrated(a *connectedapp.App) Config {
	config := Config{App: a.Name, Label: a.Label(), ContactEmail: a.Header("contactEmail"), PermissionSets: a.PermissionSets, SetsElsewhere: true, Fields: make(map[string]metadata.Fields)}
	if proposed := a.ProposedPermissionSet(); proposed != "" {
		config.PermissionSets, config.SetsElsewhere = []string{proposed}, false
	}
	for typ, fields := range a.Fields {
		fields = fields.Over(nil)
		if values := fields["certificate"]; typ == eca.GlobalOAuthSettings && len(values) == 1 {
			config.Certificate = []byte(values[0].Text)
			delete(fields, "certificate")
		}
		config.Fields[typ] = fields
	}
	return config
}
