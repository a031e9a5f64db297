package audit_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"testing"

	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// TestOddAnswers: an unexpected value costs its own column, and never the report.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	org, conn := start(t, simorg.Config{Kind: simorg.Production, PermissionSets: []string{"Integration_Users"}}, nil)
	if err := org.Fill(os.DirFS("../../testdata/org60"), "."); err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]string) // columns by object
	conn.HTTPClient = new(http.Client)
	seen := make(chan [2]string, 10_000)
	conn.HTTPClient.Transport = simorgtest.Twisted(func(object string, records []any) any {
		for _, record := range records {
			for _, column := range simorgtest.Columns(record, "") {
				select {
				case seen <- [2]string{object, column}:
				default:
				}
			}
		}
		return records
	})
	sound, err := run(t.Context(), conn, audit.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	close(seen)
	for pair := range seen {
		if !slices.Contains(all[pair[0]], pair[1]) {
			all[pair[0]] = append(all[pair[0]], pair[1])
		}
	}
	if len(all) < 10 {
		t.Errorf("only these objects were queried: %v", slices.Collect(maps.Keys(all)))
	}
	for object, names := range all {
		for _, column := range names {
			for kind, value := range simorgtest.Odd {
				if testing.Short() && kind != "object" {
					continue
				}
				conn.HTTPClient = &http.Client{Transport: simorgtest.Twisted(func(o string, records []any) any {
					if o == object {
						simorgtest.Twist(records, column, value)
					}
					return records
				})}
				r, err := run(t.Context(), conn, audit.Options{Now: now})
				if err != nil {
					t.Errorf("%s.%s is a %s: %v", object, column, kind, err)
					continue
				}
				if len(r.Apps) < len(sound.Apps)/2 {
					t.Errorf("%s.%s is a %s: %d of %d apps are left", object, column, kind, len(r.Apps), len(sound.Apps))
				}
			}
		}
		for kind, records := range map[string]any{"null": nil, "a text": "none", "an object": map[string]any{}, "texts": []any{"a"}, "nulls": []any{nil}} {
			conn.HTTPClient = &http.Client{Transport: simorgtest.Twisted(func(o string, sent []any) any {
				if o == object {
					return records
				}
				return sent
			})}
			if _, err := run(t.Context(), conn, audit.Options{Now: now}); err != nil {
				t.Errorf("the records of %s are %s: %v", object, kind, err)
			}
		}
	}
}

// FuzzAnswers: no answer of a query makes the audit panic.
func FuzzAnswers(f *testing.F) {
	f.Add("OauthToken", `[{"AppName": 1, "users": "many"}]`)
	f.Add("ConnectedApplication", `[{"Id": {}, "Name": null}]`)
	f.Add("ExtlClntAppOauthPlcyCnfg", `[{"ExternalClientApplicationId": "0xI", "RefreshTokenValidityPeriod": []}]`)
	org, conn := start(f, simorg.Config{}, load(f, app{Name: "Eca", Open: true}, "external"))
	_ = org
	f.Fuzz(func(t *testing.T, object, records string) {
		var value any
		if json.Unmarshal([]byte(records), &value) != nil {
			t.Skip()
		}
		own := *conn
		own.HTTPClient = &http.Client{Transport: simorgtest.Twisted(func(o string, sent []any) any {
			if o == object {
				return value
			}
			return sent
		})}
		if r, err := run(t.Context(), &own, audit.Options{}); err == nil {
			var b bytes.Buffer
			if err := audit.WriteHTML(&b, []audit.OrgReport{{Org: "uat", Report: r}}, now); err != nil {
				t.Error(err)
			}
			_ = r.Sentence()
		}
	})
}
