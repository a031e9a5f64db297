// Package apiversion knows the API versions of the Salesforce platform, which decide what
// the calls of an org can say.
package apiversion

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is an API version, a whole number that is written with a trailing ".0".
// The zero Version stands for a version that nobody has chosen.
type Version int

// Latest is the latest version that this module knows: that of the WSDL which the
// table of types in pkg/metadata follows.
const Latest Version = 68

// Parse reads "65.0" or "65".
func Parse(s string) (Version, error) {
	n, err := strconv.ParseUint(strings.TrimSuffix(s, ".0"), 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not an API version like 65.0", s)
	}
	return Version(n), nil
}

// String writes the version as URLs have it, like "65.0".
func (v Version) String() string { return strconv.Itoa(int(v)) + ".0" }
