package simorgtest

import (
	"fmt"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// Picture describes the components of an org, without the generated consumerKey and oauthLink.
func Picture(org *simorg.Server) string {
	var b strings.Builder
	for _, typ := range eca.Types() {
		for _, c := range org.Components(typ.Name) {
			delete(c.Fields, "consumerKey")
			delete(c.Fields, "oauthLink")
			fmt.Fprintln(&b, c.Type, c.FullName, strings.ReplaceAll(fmt.Sprint(c.Fields), org.URL, "(the org)"))
		}
	}
	return b.String()
}
