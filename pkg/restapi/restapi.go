// Package restapi calls the REST API of one Salesforce org: resources by method and path, SOQL
// queries, record creation, and facts about the org and the session.
//
// A Client adds nothing to a salesforce.Conn but the shape of requests and answers. An error
// that the API returned is a *salesforce.Error. The Conn retries reads. Writes are sent once.
package restapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Client calls the REST API of one org. It is safe for concurrent use.
type Client struct{ Conn *salesforce.Conn }

// Do calls a resource. A path with a leading slash is relative to the instance, like
// /services/oauth2/userinfo; any other is relative to the resources of the Conn's API version.
// Do sends in as JSON, unless it is nil, and decodes the answer's JSON into out, unless it is
// nil. An answer without a body, like 204, leaves out unchanged.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	if !strings.HasPrefix(path, "/") {
		path = "/services/data/v" + c.Conn.APIVersion().String() + "/" + path
	}
	request := salesforce.Request{Method: method, Path: path, Header: http.Header{"Accept": {"application/json"}}, Idempotent: method == http.MethodGet}
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
	}
	request.Authorize = true
	request.Body = func(salesforce.Secret) ([]byte, error) { return body, nil }
	return c.Conn.Do(ctx, request, func(answer *salesforce.Response) error { return decode(answer, out) })
}

// decode reads an answer, or the error that the REST API returned instead.
func decode(answer *salesforce.Response, out any) error {
	if err := answer.CheckMarks(",{", "JSON objects and members"); err != nil {
		return err
	}
	if answer.Status >= 200 && answer.Status < 300 {
		if out == nil || answer.Status == http.StatusNoContent {
			return nil
		}
		if err := json.Unmarshal(answer.Body, out); err != nil {
			unusable := answer.Unexpected("not the JSON that the REST API defines")
			if errors.As(err, new(*json.UnmarshalTypeError)) {
				return &ShapeError{unusable}
			}
			return unusable
		}
		return nil
	}
	var failures []struct {
		ErrorCode string `json:"errorCode"`
		Message   string `json:"message"`
	}
	if err := json.Unmarshal(answer.Body, &failures); err != nil || len(failures) == 0 {
		return answer.Unexpected("not an answer of the REST API")
	}
	return &salesforce.Error{
		Status: answer.Status, Code: answer.Mask(failures[0].ErrorCode), Message: answer.Mask(failures[0].Message),
		Acted: answer.Status >= 500,
	}
}

// ShapeError reports an answer in JSON whose members are not those that the REST API defines.
type ShapeError struct{ Err error }

func (e *ShapeError) Error() string { return e.Err.Error() }

// Unwrap returns the *salesforce.StatusError.
func (e *ShapeError) Unwrap() error { return e.Err }

// Loose is a record of which members with an unexpected type are left out, so that they do not cost
// the whole answer. It suits reports. What decides about a write must not ignore them.
type Loose[Record any] struct {
	Record Record
	Odd    string // the first of these members, "" if there is none
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Loose[Record]) UnmarshalJSON(data []byte) error {
	err := json.Unmarshal(data, &l.Record)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if l.Odd = wrong.Field; l.Odd == "" {
			l.Odd = "record"
		}
		return nil
	}
	return err
}

// Records returns the records, and the names of the members that were left out, sorted.
func Records[Record any](loose []Loose[Record]) (records []Record, odd []string) {
	for _, l := range loose {
		records = append(records, l.Record)
		if l.Odd != "" {
			odd = append(odd, l.Odd)
		}
	}
	slices.Sort(odd)
	return records, slices.Compact(odd)
}

// Refused reports whether err is an org's answer that refuses a call for good: the object, a field
// or the user's rights. A network error, an answer of something else than the org, an expired
// session, a busy org, an error of the server and an exceeded limit of calls are not: they say
// nothing about the call, so a caller must not draw conclusions from them.
func Refused(err error) bool {
	answer, ok := errors.AsType[*salesforce.Error](err)
	return ok && !answer.SessionExpired() && !answer.Transient() && !answer.Uncertain() && answer.Code != "REQUEST_LIMIT_EXCEEDED"
}

// UserInfo identifies the user and the org of a session.
type UserInfo struct {
	UserID   string `json:"user_id"`
	Username string `json:"preferred_username"`
	OrgID    string `json:"organization_id"`
	MyDomain string `json:"-"` // the URL of the org's own domain, "" if the org does not show it
}

// NewestVersion returns the newest API version of the org. It takes one request, which needs no
// session.
func (c *Client) NewestVersion(ctx context.Context) (apiversion.Version, error) {
	var all []struct {
		Version string `json:"version"`
	}
	if err := c.Do(ctx, http.MethodGet, "/services/data", nil, &all); err != nil {
		return 0, fmt.Errorf("API versions: %w", err)
	}
	var newest apiversion.Version
	for _, one := range all {
		if v, err := apiversion.Parse(one.Version); err == nil {
			newest = max(newest, v)
		}
	}
	if newest == 0 {
		return 0, errors.New("API versions: the org lists none")
	}
	return newest, nil
}

// badToken is the plain-text body with which userinfo refuses a token, together with HTTP 403.
// Source: Salesforce's documentation of the endpoint.
const badToken = "Bad_OAuth_Token"

// UserInfo returns the user of the session. It takes one request.
func (c *Client) UserInfo(ctx context.Context) (UserInfo, error) {
	var answer struct {
		UserInfo
		URLs struct {
			CustomDomain string `json:"custom_domain"`
		} `json:"urls"`
	}
	request := salesforce.Request{Method: http.MethodGet, Path: "/services/oauth2/userinfo", Header: http.Header{"Accept": {"application/json"}}, Authorize: true, Idempotent: true}
	err := c.Conn.Do(ctx, request, func(got *salesforce.Response) error {
		if got.Status == http.StatusForbidden && strings.TrimSpace(string(got.Body)) == badToken {
			return &salesforce.Error{Status: http.StatusUnauthorized, Code: badToken}
		}
		return decode(got, &answer)
	})
	info := answer.UserInfo
	info.MyDomain = answer.URLs.CustomDomain
	if err == nil && (info.Username == "" || info.OrgID == "") {
		err = errors.New("the org's userinfo has no user name or no org ID")
	}
	return info, err
}

// Revoke ends an access token or a refresh token. It takes one request, which needs no session. An
// error repeats nothing of the answer, which holds the token.
func (c *Client) Revoke(ctx context.Context, token salesforce.Secret) error {
	return c.revoke(ctx, token, false)
}

// RevokeListed is Revoke for a DeleteToken of OauthToken. It sends the session as well, which orgs may
// demand, see revoke-without-session of pkg/platform.
func (c *Client) RevokeListed(ctx context.Context, token salesforce.Secret) error {
	return c.revoke(ctx, token, true)
}

func (c *Client) revoke(ctx context.Context, token salesforce.Secret, authorize bool) error {
	request := salesforce.Request{
		Authorize: authorize, Method: http.MethodPost, Path: "/services/oauth2/revoke", Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Body: func(salesforce.Secret) ([]byte, error) {
			return []byte(url.Values{"token": {token.Reveal()}}.Encode()), nil
		},
	}
	return c.Conn.Do(ctx, request, func(answer *salesforce.Response) error {
		if answer.Status != http.StatusOK {
			return answer.Unexpected("not a confirmation that the token is revoked")
		}
		return nil
	})
}

// Organization is the org's record of itself.
type Organization struct {
	ID                  string `json:"Id"`
	IsSandbox           bool   `json:"IsSandbox"` // scratch orgs are sandboxes too
	TrialExpirationDate string `json:"TrialExpirationDate"`
}

// Kind returns the org's kind. A scratch org is a sandbox with an expiration date.
func (o Organization) Kind() platform.Kind {
	switch {
	case o.IsSandbox && o.TrialExpirationDate != "":
		return platform.Scratch
	case o.IsSandbox:
		return platform.Sandbox
	}
	return platform.Production
}

// ErrNoOrganization reports that an org did not return its record of itself.
var ErrNoOrganization = errors.New("the query of Organization did not return exactly one complete record")

// Organization returns the org's record of itself. It takes one request. An answer without
// IsSandbox is an error, because the environment depends on it.
func (c *Client) Organization(ctx context.Context) (Organization, error) {
	records, err := Query[struct {
		Organization
		IsSandbox *bool `json:"IsSandbox"`
	}](ctx, c, "SELECT Id, IsSandbox, TrialExpirationDate FROM Organization")
	if err != nil {
		return Organization{}, err
	}
	if len(records) != 1 || records[0].ID == "" || records[0].IsSandbox == nil {
		return Organization{}, ErrNoOrganization
	}
	org := records[0].Organization
	org.IsSandbox = *records[0].IsSandbox
	return org, nil
}

// Bounds of one query. A page of the platform has up to 2000 records.
const (
	maxPages   = 100
	maxRecords = 200_000
)

// Query runs a SOQL query and decodes its records. It fetches all pages, with one request each.
func Query[Record any](ctx context.Context, c *Client, soql string) ([]Record, error) {
	return query[Record](ctx, c, "query", soql)
}

// QueryTooling is Query for objects of the Tooling API.
func QueryTooling[Record any](ctx context.Context, c *Client, soql string) ([]Record, error) {
	return query[Record](ctx, c, "tooling/query", soql)
}

func query[Record any](ctx context.Context, c *Client, resource, soql string) ([]Record, error) {
	var records []Record
	next := resource + "?q=" + url.QueryEscape(soql)
	for range maxPages {
		var page struct {
			Records        []Record `json:"records"`
			Done           bool     `json:"done"`
			NextRecordsURL string   `json:"nextRecordsUrl"`
		}
		if err := c.Do(ctx, http.MethodGet, next, nil, &page); err != nil {
			return nil, fmt.Errorf("query: %w", err)
		}
		if records = append(records, page.Records...); len(records) > maxRecords {
			return nil, fmt.Errorf("query: the org returned more than %d records", maxRecords)
		}
		if page.Done {
			return records, nil
		}
		if page.NextRecordsURL == "" || page.NextRecordsURL == next {
			return nil, errors.New("query: the org's answer is incomplete, without a URL of the next page")
		}
		if next = page.NextRecordsURL; !strings.HasPrefix(next, "/") {
			return nil, errors.New("query: the org's URL of the next page is not a path")
		}
	}
	return nil, fmt.Errorf("query: the org returned more than %d pages", maxPages)
}

// noColumn is how the platform refuses a column that an object lacks, or that the session cannot
// see.
var noColumn = regexp.MustCompile(`No such column '([\w.]+)'`)

// QueryColumns queries columns of an object. It omits columns that the org does not have or aggregate, as
// older orgs do not, and returns them as missing. Each of them takes one more query, because the org's refusal names
// one. from is an object, and can have conditions, and a GROUP BY with columns separated by ", ". If the
// first column is missing, or the refusal names another column, the refusal is the error.
func QueryColumns[Record any](ctx context.Context, c *Client, columns []string, from string) (records []Record, missing []string, err error) {
	shown := slices.Clone(columns)
	for {
		records, err = Query[Record](ctx, c, "SELECT "+strings.Join(shown, ", ")+" FROM "+from)
		refused, ok := errors.AsType[*salesforce.Error](err)
		if !ok || refused.Code != "INVALID_FIELD" && refused.Code != "MALFORMED_QUERY" {
			return records, missing, err
		}
		i := refusedColumn(shown, refused.Message)
		if i <= 0 {
			return nil, missing, err
		}
		missing = append(missing, fieldOf(shown[i]))
		from = withoutGroup(from, shown[i])
		shown = slices.Delete(shown, i, i+1)
	}
}

// noAggregate is how the platform refuses an aggregate of a column, see token-dates-aggregate of pkg/platform.
var noAggregate = regexp.MustCompile(`field (\w+) does not support aggregate operator`)

// refusedColumn returns the index of the column that a refusal names, or -1.
func refusedColumn(columns []string, refusal string) int {
	named, aggregate := noColumn.FindStringSubmatch(refusal), false
	if named == nil {
		named, aggregate = noAggregate.FindStringSubmatch(refusal), true
	}
	if named == nil {
		return -1
	}
	return slices.IndexFunc(columns, func(column string) bool {
		return strings.EqualFold(fieldOf(column), named[1]) && (!aggregate || strings.Contains(column, "("))
	})
}

// fieldOf returns the field of a column, which can be an aggregate like MAX(LoginTime) last.
func fieldOf(column string) string {
	if _, inside, found := strings.Cut(column, "("); found {
		column, _, _ = strings.Cut(inside, ")")
	}
	return column
}

// withoutGroup removes a column from GROUP BY.
func withoutGroup(from, column string) string {
	head, rest, found := strings.Cut(from, " GROUP BY ")
	if !found {
		return from
	}
	keys, tail, ordered := strings.Cut(rest, " ORDER BY ")
	kept := slices.DeleteFunc(strings.Split(keys, ", "), func(key string) bool { return key == column })
	if ordered {
		tail = " ORDER BY " + tail
	}
	return head + " GROUP BY " + strings.Join(kept, ", ") + tail
}

// QueryIn runs a SOQL query with a list of values such as 'a', 'b' for its one %s, inside IN
// (…), and returns all records. It sorts and escapes the values, leaves out duplicates and empty ones,
// and splits them over several queries at once if needed. Without values it sends nothing.
func QueryIn[Record any](ctx context.Context, c *Client, soql string, values []string) ([]Record, error) {
	values = slices.Compact(slices.Sorted(slices.Values(values)))
	values = slices.DeleteFunc(values, func(value string) bool { return value == "" })
	bunches := slices.Collect(slices.Chunk(values, maxIn))
	all := make([][]Record, len(bunches))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxQueries)
	for i, bunch := range bunches {
		var quoted []string
		for _, value := range bunch {
			quoted = append(quoted, Quote(value))
		}
		group.Go(func() (err error) {
			all[i], err = Query[Record](groupCtx, c, fmt.Sprintf(soql, strings.Join(quoted, ", ")))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(all...), nil
}

// maxQueries is how many queries QueryIn sends at once.
const maxQueries = 16

// maxIn bounds the values of one query, which is part of a URL. The platform limits a URL to 16
// KB, and usernames have up to 80 characters.
const maxIn = 100

var soqlEscapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// Quote returns a string as a SOQL literal.
func Quote(s string) string { return "'" + soqlEscapes.Replace(s) + "'" }

// Create creates a record of an object and returns its ID. If the org refuses it, the error is
// a *salesforce.Error.
func (c *Client) Create(ctx context.Context, object string, fields map[string]any) (id string, err error) {
	var created struct {
		ID      string `json:"id"`
		Success bool   `json:"success"`
	}
	if err := c.Do(ctx, http.MethodPost, "sobjects/"+url.PathEscape(object), fields, &created); err != nil {
		return "", err
	}
	if !created.Success || created.ID == "" {
		return "", fmt.Errorf("the org returned neither an ID nor an error for the new %s", object)
	}
	return created.ID, nil
}
