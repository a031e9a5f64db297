package simorgtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// Twisted is a transport that changes the records that queries of an object return.
type Twisted func(object string, records []any) any

var queried = regexp.MustCompile(` FROM (\w+)`)

// RoundTrip implements http.RoundTripper.
func (t Twisted) RoundTrip(r *http.Request) (*http.Response, error) {
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
	page["records"] = t(from[1], records)
	body, err := json.Marshal(page)
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer.Header.Del("Content-Length")
	return answer, err
}

// Odd are values that no column has, by their kind.
var Odd = map[string]any{
	"null": nil, "number": 7.5, "negative": -1, "text": "Unheard_Of", "boolean": true, "list": []any{1, "a"}, "object": map[string]any{"a": 1}, "missing": "missing",
}

// Twist replaces a column of records, which may be one of a parent. The value "missing" removes it.
func Twist(records []any, column string, value any) {
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

// Columns returns the columns of a record, with those of parents. at is the prefix of their names.
func Columns(record any, at string) (all []string) {
	for name, value := range record.(map[string]any) {
		if name == "attributes" {
			continue
		}
		all = append(all, at+name)
		if _, parent := value.(map[string]any); parent {
			all = append(all, Columns(value, at+name+".")...)
		}
	}
	return all
}
