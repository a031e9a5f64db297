// Package restapi calls the REST API of one Salesforce org: its resources by verb and path,
// SOQL queries, the creation of records, and what the org says of itself and of the session.
//
// A Client is a salesforce.Conn and no more. An error that the API answered is a
// *salesforce.Error. What reads is retried as the Conn has it; what changes something is
// sent once.
package restapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Client calls the REST API of one org. It holds no state and may be used by
// several goroutines.
type Client struct{ Conn *salesforce.Conn }

// Do calls a resource. A path that begins with a slash is one of the instance, like
// /services/oauth2/userinfo; any other is relative to the resources of the Conn's API
// version. in is sent as JSON, nil for no body; out is what the answer's JSON is decoded
// into, nil where none is wanted. An answer without a body, like 204, leaves out as it is.
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

// decode reads an answer, or the error that the REST API put in its place.
func decode(answer *salesforce.Response, out any) error {
	if err := answer.CheckMarks(",{", "JSON objects and members"); err != nil {
		return err
	}
	if answer.Status >= 200 && answer.Status < 300 {
		if out == nil || answer.Status == http.StatusNoContent {
			return nil
		}
		if err := json.Unmarshal(answer.Body, out); err != nil {
			return &salesforce.StatusError{Host: answer.Host, Status: answer.Status, What: "not the JSON that the REST API defines"}
		}
		return nil
	}
	var failures []struct {
		ErrorCode string `json:"errorCode"`
		Message   string `json:"message"`
	}
	if err := json.Unmarshal(answer.Body, &failures); err != nil || len(failures) == 0 {
		return &salesforce.StatusError{Host: answer.Host, Status: answer.Status, What: "not an answer of the REST API"}
	}
	return &salesforce.Error{
		Status: answer.Status, Code: answer.Mask(failures[0].ErrorCode), Message: answer.Mask(failures[0].Message),
		Acted: answer.Status >= 500,
	}
}

// UserInfo is whose session it is.
type UserInfo struct {
	UserID   string `json:"user_id"`
	Username string `json:"preferred_username"`
	OrgID    string `json:"organization_id"`
}

// badToken is what userinfo answers, with HTTP 403 and as plain text, where it does not
// accept the token. Its source is Salesforce's documentation of the endpoint.
const badToken = "Bad_OAuth_Token"

// UserInfo asks the org whose session this is. It is one request.
func (c *Client) UserInfo(ctx context.Context) (UserInfo, error) {
	var info UserInfo
	request := salesforce.Request{Method: http.MethodGet, Path: "/services/oauth2/userinfo", Header: http.Header{"Accept": {"application/json"}}, Authorize: true, Idempotent: true}
	err := c.Conn.Do(ctx, request, func(answer *salesforce.Response) error {
		if answer.Status == http.StatusForbidden && strings.TrimSpace(string(answer.Body)) == badToken {
			return &salesforce.Error{Status: http.StatusUnauthorized, Code: badToken, Message: "the org does not accept the access token"}
		}
		return decode(answer, &info)
	})
	if err == nil && (info.Username == "" || info.OrgID == "") {
		err = errors.New("the org does not say whose session this is")
	}
	return info, err
}

// Organization is what the org says of itself.
type Organization struct {
	ID                  string `json:"Id"`
	IsSandbox           bool   `json:"IsSandbox"` // scratch orgs are sandboxes too
	TrialExpirationDate string `json:"TrialExpirationDate"`
}

// Kind returns the kind of the org. A scratch org is a sandbox that expires.
func (o Organization) Kind() salesforce.Kind {
	switch {
	case o.IsSandbox && o.TrialExpirationDate != "":
		return salesforce.Scratch
	case o.IsSandbox:
		return salesforce.Sandbox
	}
	return salesforce.Production
}

// Organization asks the org for its facts. It is one request. An answer that
// does not say whether the org is a sandbox is an error, because environments are
// chosen by that.
func (c *Client) Organization(ctx context.Context) (Organization, error) {
	records, err := Query[struct {
		Organization
		IsSandbox *bool `json:"IsSandbox"`
	}](ctx, c, "SELECT Id, IsSandbox, TrialExpirationDate FROM Organization")
	if err != nil {
		return Organization{}, err
	}
	if len(records) != 1 || records[0].ID == "" || records[0].IsSandbox == nil {
		return Organization{}, errors.New("the query for the Organization did not return the one record that every org has")
	}
	org := records[0].Organization
	org.IsSandbox = *records[0].IsSandbox
	return org, nil
}

// Bounds of one query. A page of the platform's holds up to 2000 records.
const (
	maxPages   = 100
	maxRecords = 200_000
)

// Query runs a SOQL query and decodes its records, following the platform's
// pages until it has them all. One page is one request.
func Query[Record any](ctx context.Context, c *Client, soql string) ([]Record, error) {
	var records []Record
	next := "query?q=" + url.QueryEscape(soql)
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
			return nil, fmt.Errorf("query: the org answered more than %d records", maxRecords)
		}
		if page.Done {
			return records, nil
		}
		if page.NextRecordsURL == "" || page.NextRecordsURL == next {
			return nil, errors.New("query: the org's answer is not complete and does not say where the rest is")
		}
		if next = page.NextRecordsURL; !strings.HasPrefix(next, "/") {
			return nil, errors.New("query: the org refers to another place than a path of its own")
		}
	}
	return nil, fmt.Errorf("query: the org answered more than %d pages", maxPages)
}

// QueryIn runs a SOQL query once for each bunch of values, such as 'a', 'b', that
// its one %s, inside IN (…), is to stand for, and returns all records. Values are
// escaped here. Without values it asks nothing.
func QueryIn[Record any](ctx context.Context, c *Client, soql string, values []string) ([]Record, error) {
	var all []Record
	for bunch := range slices.Chunk(values, maxIn) {
		var quoted []string
		for _, value := range bunch {
			quoted = append(quoted, Quote(value))
		}
		records, err := Query[Record](ctx, c, fmt.Sprintf(soql, strings.Join(quoted, ", ")))
		if err != nil {
			return nil, err
		}
		all = append(all, records...)
	}
	return all, nil
}

// maxIn bounds the values of one query, which travels in a URL. The platform's
// bound on a URL is 16 KB, and usernames have up to 80 characters.
const maxIn = 100

var soqlEscapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// Quote writes a string as a literal of SOQL.
func Quote(s string) string { return "'" + soqlEscapes.Replace(s) + "'" }

// Create makes a record of an object and returns its ID. Where the org refuses
// it, the error is a *salesforce.Error.
func (c *Client) Create(ctx context.Context, object string, fields map[string]any) (id string, err error) {
	var created struct {
		ID      string `json:"id"`
		Success bool   `json:"success"`
	}
	if err := c.Do(ctx, http.MethodPost, "sobjects/"+url.PathEscape(object), fields, &created); err != nil {
		return "", err
	}
	if !created.Success || created.ID == "" {
		return "", fmt.Errorf("the org answered the creation of a %s with neither an ID nor an error", object)
	}
	return created.ID, nil
}
