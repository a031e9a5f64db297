package words

import "strings"

// Unique returns names without surrounding space, empty ones and duplicates. Salesforce's names fold
// case; the first spelling stays.
func Unique(names []string) (kept []string) {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		name = strings.TrimSpace(name)
		if key := strings.ToLower(name); key != "" && !seen[key] {
			seen[key] = true
			kept = append(kept, name)
		}
	}
	return kept
}
