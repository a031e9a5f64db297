package cli

import (
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/secrets"
)

// The flags that commands share, under names of their own, because a command embeds several.
type (
	callFlags   = orgs.CallFlags
	orgFlags    = orgs.Flags
	secretFlags = secrets.Flags
)
