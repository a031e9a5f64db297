package orgs

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

// FuzzOrgList reads whatever may be given as a list of orgs. What is taken for usernames stands
// in the list, none of them empty, and an array of names is read as it is.
func FuzzOrgList(f *testing.F) {
	f.Add([]byte(`{"result": {"scratchOrgs": [{"username": "a@b.c", "isExpired": "unknown"}, {"username": "d@e.f", "isExpired": true}]}}`))
	f.Add([]byte(`{"result": {"devHubs": [{"username": "a@b.c"}], "other": [{"username": "a@b.c"}, {"alias": "b"}]}}`))
	f.Add([]byte(`["a", "b"]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseOrgList(data)
		if err != nil {
			if got != nil {
				t.Errorf("got %q beside the error %v, want none", got, err)
			}
			return
		}
		var names []string
		if json.Unmarshal(data, &names) == nil {
			if !slices.Equal(got, names) {
				t.Errorf("got %q, want %q", got, names)
			}
			return
		}
		texts := countTexts(data)
		for _, name := range got {
			if texts[name]--; name == "" || texts[name] < 0 {
				t.Errorf("got %q, want usernames that the list holds, each as often as it does", got)
			}
		}
	})
}

// countTexts counts the strings of a JSON document, names among them.
func countTexts(data []byte) map[string]int {
	texts := make(map[string]int)
	d := json.NewDecoder(bytes.NewReader(data))
	for {
		token, err := d.Token()
		if err != nil {
			return texts
		}
		if text, ok := token.(string); ok {
			texts[text]++
		}
	}
}
