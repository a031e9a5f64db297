package metadata

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is an API version of the Salesforce platform. Versions are whole
// numbers that are written with a trailing ".0".
type Version int

// The API versions that matter to External Client Apps.
const (
	// MinVersion is the first version that can bootstrap an app: the policies
	// that turn its OAuth plugin on came with it.
	MinVersion Version = 60

	// LatestVersion is the version of the WSDL that the table of types follows.
	LatestVersion Version = 67
)

// ParseVersion reads "65.0" or "65".
func ParseVersion(s string) (Version, error) {
	n, err := strconv.ParseUint(strings.TrimSuffix(s, ".0"), 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not an API version like 65.0", s)
	}
	return Version(n), nil
}

// String writes the version as URLs have it, like "65.0".
func (v Version) String() string { return strconv.Itoa(int(v)) + ".0" }
