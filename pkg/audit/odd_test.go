package audit_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// twisted is a transport that changes the answers of queries.
type twisted struct {
	change func(object string, records []any) any
}

var queried = regexp.MustCompile(` FROM (\w+)`)

func (t twisted) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	from := queried.FindStringSubmatch(r.URL.Query().Get("q"))
	if err != nil || from == nil || answer.StatusCode != http.StatusOK {
		return answer, err
	}
	defer answer.Body.Close()
	var page map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil {
		return nil, err
	}
	records, _ := page["records"].([]any)
	page["records"] = t.change(from[1], records)
	body, err := json.Marshal(page)
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer.Header.Del("Content-Length")
	return answer, err
}

// odd are values that no column has.
var odd = map[string]any{
	"null": nil, "number": 7.5, "negative": -1, "text": "Unheard_Of", "boolean": true, "list": []any{1, "a"}, "object": map[string]any{"a": 1}, "missing": "missing",
}

// twist replaces a column of records, which may be one of a parent.
func twist(records []any, column string, value any) {
	for _, record := range records {
		one, _ := record.(map[string]any)
		at := strings.Split(column, ".")
		for ; len(at) > 1; at = at[1:] {
			one, _ = one[at[0]].(map[string]any)
		}
		switch {
		case one == nil:
		case value == "missing":
			delete(one, at[0])
		default:
			one[at[0]] = value
		}
	}
}

// columns are the columns of a record, with those of parents.
func columns(record any, at string) (all []string) {
	for name, value := range record.(map[string]any) {
		if name == "attributes" {
			continue
		}
		all = append(all, at+name)
		if _, parent := value.(map[string]any); parent {
			all = append(all, columns(value, at+name+".")...)
		}
	}
	return all
}

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
	conn.HTTPClient.Transport = twisted{func(object string, records []any) any {
		for _, record := range records {
			for _, column := range columns(record, "") {
				select {
				case seen <- [2]string{object, column}:
				default:
				}
			}
		}
		return records
	}}
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
			for kind, value := range odd {
				if testing.Short() && kind != "object" {
					continue
				}
				conn.HTTPClient = &http.Client{Transport: twisted{func(o string, records []any) any {
					if o == object {
						twist(records, column, value)
					}
					return records
				}}}
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
			conn.HTTPClient = &http.Client{Transport: twisted{func(o string, sent []any) any {
				if o == object {
					return records
				}
				return sent
			}}}
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
		own.HTTPClient = &http.Client{Transport: twisted{func(o string, sent []any) any {
			if o == object {
				return value
			}
			return sent
		}}}
		if r, err := run(t.Context(), &own, audit.Options{}); err == nil {
			var b bytes.Buffer
			if err := audit.WriteHTML(&b, []audit.OrgReport{{Org: "uat", Report: r}}, now); err != nil {
				t.Error(err)
			}
			_ = r.Sentence()
		}
	})
}
