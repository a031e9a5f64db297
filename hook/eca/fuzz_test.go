package main

import "testing"

// FuzzOrgList reads whatever may be given as a list of orgs.
func FuzzOrgList(f *testing.F) {
	f.Add([]byte(`{"result": {"scratchOrgs": [{"username": "a@b.c", "isExpired": "unknown"}]}}`))
	f.Add([]byte(`["a", "b"]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		parseOrgList(data)
	})
}
