package metadata

import "github.com/ecakit/ecakit/pkg/apiversion"

// MinVersion is the first API version that can bootstrap an app: the policies that turn
// its OAuth plugin on came with it.
const MinVersion apiversion.Version = 60
