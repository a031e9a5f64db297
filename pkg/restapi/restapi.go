// Package restapi makes the REST calls that bootstrapping an External Client App
// needs beside the Metadata API: SOQL queries, through them the facts of an org,
// and the creation of records.
package restapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/internal/wire"
)

// Client calls the REST API of one org. It holds no state and may be used by
// several goroutines.
type Client struct {
	// InstanceURL is the org's My Domain URL. A token is sent nowhere else, and
	// only over https, or to this machine's loopback.
	InstanceURL string

	// Version is the API version of the endpoints.
	Version apiversion.Version

	// Tokens gives the access token for the Authorization header. Where it can
	// renew a token, as an *orgauth.Session can, a call that the org refuses for an
	// expired session is repeated once with the new one.
	Tokens oauth2.TokenSource

	// HTTPClient sends the requests; nil stands for http.DefaultClient. Redirects
	// are never followed, whatever it says.
	HTTPClient *http.Client
}

// Error is an error that the REST API answered.
type Error struct {
	Status  int    // the HTTP status
	Code    string // the errorCode, like INVALID_SESSION_ID
	Message string // in the platform's words
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// SessionExpired reports whether the org does not accept the access token: it
// expired, was revoked, or belongs to another org.
func (e *Error) SessionExpired() bool {
	return e.Status == http.StatusUnauthorized || e.Code == "INVALID_SESSION_ID"
}

// Uncertain reports whether the org may have acted before it gave up.
func (e *Error) Uncertain() bool {
	return e.Status >= 500 || e.Code == "SERVER_UNAVAILABLE" || e.Code == "REQUEST_RUNNING_TOO_LONG"
}

// Transient reports whether the same call may well succeed soon.
func (e *Error) Transient() bool {
	return wire.TransientCode(e.Code) || wire.TransientStatus(e.Status)
}

// Organization is what the org says of itself.
type Organization struct {
	ID                  string `json:"Id"`
	IsSandbox           bool   `json:"IsSandbox"` // scratch orgs are sandboxes too
	TrialExpirationDate string `json:"TrialExpirationDate"`
	OrganizationType    string `json:"OrganizationType"` // like "Enterprise Edition"
	InstanceName        string `json:"InstanceName"`     // like "SWE12S"
}

// IsScratch reports whether the org is a scratch org: a sandbox that expires.
func (o Organization) IsScratch() bool { return o.IsSandbox && o.TrialExpirationDate != "" }

// Organization asks the org for its facts. It is one request. An answer that
// does not say whether the org is a sandbox is an error, because environments are
// chosen by that.
func (c *Client) Organization(ctx context.Context) (Organization, error) {
	records, err := Query[struct {
		Organization
		IsSandbox *bool `json:"IsSandbox"`
	}](ctx, c, "SELECT Id, IsSandbox, TrialExpirationDate, OrganizationType, InstanceName FROM Organization")
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
	next := "/services/data/v" + c.Version.String() + "/query?q=" + url.QueryEscape(soql)
	for range maxPages {
		var page struct {
			Records        []Record `json:"records"`
			Done           bool     `json:"done"`
			NextRecordsURL string   `json:"nextRecordsUrl"`
		}
		if err := c.call(ctx, http.MethodGet, next, nil, &page); err != nil {
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
		next = page.NextRecordsURL
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
// it, the error is an *Error.
func (c *Client) Create(ctx context.Context, object string, fields map[string]any) (id string, err error) {
	body, err := json.Marshal(fields)
	if err != nil {
		return "", err
	}
	var created struct {
		ID      string `json:"id"`
		Success bool   `json:"success"`
	}
	if err := c.call(ctx, http.MethodPost, "/services/data/v"+c.Version.String()+"/sobjects/"+url.PathEscape(object), body, &created); err != nil {
		return "", err
	}
	if !created.Success || created.ID == "" {
		return "", fmt.Errorf("the org answered the creation of a %s with neither an ID nor an error", object)
	}
	return created.ID, nil
}

// call makes one call, once more with a renewed token where the session expired.
func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	_, err := wire.Repeat(ctx, c.Tokens, func() (struct{}, error) { return struct{}{}, c.send(ctx, method, path, body, into) })
	return err
}

func (c *Client) send(ctx context.Context, method, path string, body []byte, into any) error {
	instance, err := wire.ParseInstance(c.InstanceURL)
	if err != nil {
		return err
	}
	ref, err := url.Parse(path)
	if err != nil || ref.Host != "" || ref.Scheme != "" {
		return errors.New("the org refers to another place than a path of its own")
	}
	answer, err := wire.Do(ctx, c.HTTPClient, c.Tokens, func(token string) (*http.Request, error) {
		req, err := http.NewRequest(method, instance.ResolveReference(ref).String(), bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept", "application/json")
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		return req, nil
	})
	if err != nil {
		return err
	}
	return decode(instance.Host, answer, into)
}

// decode reads an answer, or the error that the REST API put in its place.
func decode(host string, answer *wire.Answer, into any) error {
	if bytes.Count(answer.Body, []byte(","))+bytes.Count(answer.Body, []byte("{")) > wire.MaxMarks {
		return fmt.Errorf("the answer of %s has more than %d JSON objects and members", host, wire.MaxMarks)
	}
	if answer.Status >= 200 && answer.Status < 300 {
		if err := json.Unmarshal(answer.Body, into); err != nil {
			return &wire.StatusError{Host: host, Status: answer.Status, What: "not the JSON that the REST API defines"}
		}
		return nil
	}
	var failures []struct {
		ErrorCode string `json:"errorCode"`
		Message   string `json:"message"`
	}
	if err := json.Unmarshal(answer.Body, &failures); err != nil || len(failures) == 0 {
		return &wire.StatusError{Host: host, Status: answer.Status, What: "not an answer of the REST API"}
	}
	return &Error{Status: answer.Status, Code: answer.Mask(failures[0].ErrorCode), Message: answer.Mask(failures[0].Message)}
}
