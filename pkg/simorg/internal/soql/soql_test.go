package soql

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func sample() Table {
	ann := Row{"id": "005000000000001AAA", "username": "Ann@example.com"}
	return Table{
		Name:         "OauthToken",
		Columns:      []string{"Id", "AppName", "UseCount", "LastUsedDate", "Used", "User.Username", "UserId", "Status"},
		Unfilterable: []string{"Status"},
		Rows: []Row{
			{"id": "0CQ000000000001AAA", "appname": "Loader", "usecount": 3.0, "lastuseddate": "2026-11-01T10:00:00.000+0000", "used": true, "user": ann, "userid": ann["id"]},
			{"id": "0CQ000000000002AAA", "appname": "loader", "usecount": 20.0, "lastuseddate": "2025-01-01T10:00:00.000+0000", "used": false, "user": ann, "userid": ann["id"]},
			{"id": "0CQ000000000003AAA", "appname": "50%_off's", "usecount": nil, "lastuseddate": nil, "used": false, "user": nil},
		},
	}
}

// TestRun asks queries of a table and compares what they answer.
func TestRun(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT UseCount FROM OauthToken":                                                                                  `[{"UseCount":3},{"UseCount":20},{"UseCount":null}]`,
		"select usecount from oauthtoken where appname = 'LOADER' order by usecount desc":                                  `[{"UseCount":20},{"UseCount":3}]`,
		"SELECT UseCount FROM OauthToken ORDER BY UseCount":                                                                `[{"UseCount":null},{"UseCount":3},{"UseCount":20}]`,
		"SELECT UseCount FROM OauthToken ORDER BY UseCount DESC NULLS LAST":                                                `[{"UseCount":20},{"UseCount":3},{"UseCount":null}]`,
		"SELECT UseCount FROM OauthToken ORDER BY UseCount LIMIT 1 OFFSET 1":                                               `[{"UseCount":3}]`,
		"SELECT User.Username FROM OauthToken WHERE UseCount > 3":                                                          `[{"User":{"Username":"Ann@example.com"}}]`,
		"SELECT User.Username FROM OauthToken WHERE UseCount = null":                                                       `[{"User":{"Username":null}}]`,
		"SELECT UseCount FROM OauthToken WHERE User.Username != 'x' AND UseCount <> null":                                  `[{"UseCount":3},{"UseCount":20}]`,
		"SELECT UseCount FROM OauthToken WHERE AppName LIKE 'lo%' AND (UseCount < 5 OR Used = true)":                       `[{"UseCount":3}]`,
		`SELECT UseCount FROM OauthToken WHERE AppName LIKE '50\%\_off\'_'`:                                                `[{"UseCount":null}]`,
		"SELECT UseCount FROM OauthToken WHERE AppName LIKE 'loade'":                                                       `[]`,
		`SELECT UseCount FROM OauthToken WHERE AppName IN ('50%_off\'s', 'x')`:                                             `[{"UseCount":null}]`,
		"SELECT UseCount FROM OauthToken WHERE NOT (AppName = 'Loader')":                                                   `[{"UseCount":null}]`,
		"SELECT UseCount FROM OauthToken WHERE AppName NOT IN ('Loader')":                                                  `[{"UseCount":null}]`,
		"SELECT UseCount FROM OauthToken WHERE LastUsedDate < 2026-01-01T00:00:00Z":                                        `[{"UseCount":20}]`,
		"SELECT UseCount FROM OauthToken WHERE LastUsedDate >= 2026-11-01T12:00:00+02:00":                                  `[{"UseCount":3}]`,
		"SELECT UseCount FROM OauthToken WHERE LastUsedDate = LAST_N_DAYS:30":                                              `[{"UseCount":3}]`,
		"SELECT UseCount FROM OauthToken WHERE LastUsedDate < LAST_N_DAYS:30":                                              `[{"UseCount":20}]`,
		"SELECT UseCount FROM OauthToken WHERE Id = '0CQ000000000001'":                                                     `[{"UseCount":3}]`,
		"SELECT UseCount FROM OauthToken WHERE Used = false":                                                               `[{"UseCount":20},{"UseCount":null}]`,
		"SELECT AppName, COUNT(Id) n, MAX(LastUsedDate) FROM OauthToken WHERE Used = true GROUP BY AppName":                `[{"AppName":"Loader","expr0":"2026-11-01T10:00:00.000+0000","n":1}]`,
		"SELECT COUNT_DISTINCT(AppName), MIN(UseCount), COUNT(UseCount) FROM OauthToken":                                   `[{"expr0":2,"expr1":3,"expr2":2}]`,
		"SELECT User.Username, COUNT(Id) n FROM OauthToken GROUP BY User.Username ORDER BY User.Username DESC NULLS FIRST": `[{"Username":null,"n":1},{"Username":"Ann@example.com","n":2}]`,
		"SELECT UserId, COUNT(Id) n FROM OauthToken GROUP BY UserId ORDER BY COUNT(Id) DESC LIMIT 1":                       `[{"UserId":"005000000000001AAA","n":2}]`,
		"SELECT COUNT(Id) FROM OauthToken WHERE AppName = 'nobody'":                                                        `[{"expr0":0}]`,
	} {
		q, err := Parse(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		result, err := q.Run(sample(), now)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		got := plain(t, result.Records)
		var a, b any
		if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal([]byte(want), &b) != nil || plain(t, a) != plain(t, b) {
			t.Errorf("%s:\n%s, not\n%s", query, got, want)
		}
	}
	q, err := Parse("SELECT COUNT() FROM OauthToken WHERE Used = false")
	if err != nil {
		t.Fatal(err)
	}
	if result, err := q.Run(sample(), now); err != nil || result.Total != 2 || len(result.Records) != 0 {
		t.Errorf("COUNT() answers %+v, %v", result, err)
	}
}

// plain writes records without what the REST API adds about their type.
func plain(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var read any
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	var strip func(any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			delete(v, "attributes")
			for _, member := range v {
				strip(member)
			}
		case []any:
			for _, member := range v {
				strip(member)
			}
		}
	}
	strip(read)
	data, _ = json.Marshal(read)
	return string(data)
}

// TestRefusals asks what the platform refuses, and what this evaluator does not know.
func TestRefusals(t *testing.T) {
	for query, want := range map[string]string{
		"":                                       "MALFORMED_QUERY: unexpected token: '<EOF>'",
		"SELECT FROM OauthToken":                 "MALFORMED_QUERY: unexpected token: 'FROM'",
		"SELECT Id FROM OauthToken WHERE":        "MALFORMED_QUERY: unexpected token: '<EOF>'",
		"SELECT Id FROM OauthToken WHERE Id ~ 1": "MALFORMED_QUERY: unexpected token: '~'",
		"SELECT Id FROM OauthToken WHERE Used = true AND Id = '1' OR Id = '2'":             "MALFORMED_QUERY: unexpected token: 'OR'",
		"SELECT Id, (SELECT Id FROM X) FROM OauthToken":                                    "MALFORMED_QUERY: unexpected token: '('",
		"SELECT Id FROM OauthToken WHERE Id IN (SELECT Id FROM X)":                         "MALFORMED_QUERY: unexpected token: 'SELECT'",
		"SELECT AppName FROM OauthToken GROUP BY AppName HAVING COUNT(Id) > 1":             "MALFORMED_QUERY: unexpected token: 'HAVING'",
		"SELECT Id FROM OauthToken LIMIT -1":                                               "MALFORMED_QUERY: unexpected token: '-1'",
		"SELECT Id FROM OauthToken WHERE Id = 'a":                                          "MALFORMED_QUERY: unexpected token: '''",
		"SELECT Id FROM OauthToken; DROP":                                                  "MALFORMED_QUERY: unexpected token: ';'",
		"SELECT Id FROM OauthToken WHERE AppName LIKE 5":                                   "MALFORMED_QUERY: invalid operator on AppName field",
		"SELECT AppName, UseCount FROM OauthToken GROUP BY AppName":                        "MALFORMED_QUERY: Field must be grouped or aggregated: UseCount",
		"SELECT Secret FROM OauthToken":                                                    "INVALID_FIELD: No such column 'Secret' on entity 'OauthToken'",
		"SELECT Id FROM OauthToken WHERE User.Secret = 'a'":                                "INVALID_FIELD: No such column 'User.Secret'",
		"SELECT Id FROM OauthToken ORDER BY Secret":                                        "INVALID_FIELD: No such column 'Secret'",
		"SELECT Id FROM OauthToken WHERE Status = 'Success'":                               "INVALID_FIELD: field 'Status' can not be filtered in a query call",
		"SELECT Id FROM OauthToken WHERE " + strings.Repeat("(", 60) + "Id = 'a'":          "MALFORMED_QUERY: unexpected token: '('",
		"SELECT Id FROM OauthToken WHERE Id = '" + strings.Repeat("a", maxQuery) + "'":     "MALFORMED_QUERY: SOQL statements cannot be longer than",
		"SELECT Id FROM OauthToken WHERE " + strings.Repeat("NOT ", 500_000/10) + "Id = 1": "MALFORMED_QUERY:",
	} {
		q, err := Parse(query)
		if err == nil {
			_, err = q.Run(sample(), now)
		}
		if refusal := new(Error); !errors.As(err, &refusal) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.80s: %v, not %s", query, err, want)
		}
	}
}

// FuzzParse parses hostile queries.
func FuzzParse(f *testing.F) {
	f.Add("SELECT A.B, COUNT(Id) n FROM C WHERE NOT (a = 'x\\'' OR b IN (1, null)) GROUP BY A.B ORDER BY n DESC LIMIT 5")
	f.Fuzz(func(t *testing.T, query string) {
		q, err := Parse(query)
		if refusal := new(Error); err != nil && !errors.As(err, &refusal) {
			t.Fatalf("%v is not the platform's refusal", err)
		}
		if err == nil {
			q.Run(sample(), now)
		}
	})
}
