package simorg

import "strings"

// QueriedColumns returns the columns of the objects that can be queried, by object.
func QueriedColumns() map[string][]string {
	all := make(map[string][]string)
	for _, o := range objects {
		all[o.name] = strings.Fields(o.columns)
	}
	return all
}
