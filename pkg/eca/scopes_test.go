package eca_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/eca"
)

// TestScopeColumns compares the columns with those that a real org describes.
func TestScopeColumns(t *testing.T) {
	t.Parallel()
	for scope, column := range eca.ScopeColumns() {
		if err := eca.CheckScope(scope); err != nil && column != "OauthScopes"+scope {
			t.Error(err)
		}
	}
	data, err := os.ReadFile("../../../shared/schema/sobjects.json")
	if err != nil {
		t.Skip("the columns are not compared: there is no ../shared/schema/sobjects.json beside the module")
	}
	var objects map[string]map[string]string
	if err := json.Unmarshal(data, &objects); err != nil {
		t.Fatal(err)
	}
	var want []string
	for column := range objects["ExtlClntAppOauthSettings"] {
		if strings.HasPrefix(column, "OauthScopes") {
			want = append(want, column)
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Values(eca.ScopeColumns())); !slices.Equal(got, want) {
		t.Errorf("the columns are %v, want %v", got, want)
	}
}
