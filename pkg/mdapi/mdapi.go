// Package mdapi calls the Salesforce Metadata API over SOAP: the synchronous
// calls that create, change, read, list and delete single components.
//
// A Client is given where the org is, which API version to speak and where
// tokens come from; it holds no other state and may be used by several
// goroutines. What the platform answers with an error comes back as a *Fault
// where the whole call failed, and as ComponentErrors in the Result of the
// component concerned where only that one did.
package mdapi

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"

	"github.com/ecakit/ecakit/pkg/apiversion"

	"golang.org/x/oauth2"
	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/internal/wire"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// The platform's limits on one call, from the Metadata API Developer Guide.
const (
	MaxComponents = 10 // components of createMetadata, updateMetadata, upsertMetadata, readMetadata, deleteMetadata
	MaxQueries    = 3  // queries of listMetadata
)

// maxParallel bounds the calls that one Read or List has under way at a time.
const maxParallel = 8

// Client calls the Metadata API of one org.
type Client struct {
	// InstanceURL is the org's My Domain URL, like
	// https://example.my.salesforce.com. A token is sent nowhere else, and only
	// over https, or to this machine's loopback.
	InstanceURL string

	// Version is the API version of the endpoint. It decides which fields the
	// org knows.
	Version apiversion.Version

	// Tokens gives the access token that goes into each call's SessionHeader.
	// Where it can renew a token, as an *orgauth.Session can, a call that the org
	// refuses for an expired session is repeated once with the new one.
	Tokens oauth2.TokenSource

	// HTTPClient sends the requests; nil stands for http.DefaultClient. Redirects
	// are never followed, whatever it says.
	HTTPClient *http.Client
}

// Result is what became of one component of Upsert or Delete.
type Result struct {
	Type     string
	FullName string
	Success  bool
	Created  bool              // Upsert made the component, it did not exist
	Errors   []*ComponentError // why not, where Success is false
}

// FileProperties is one component that List found.
type FileProperties struct {
	Type     string
	FullName string
}

// Upsert creates components or replaces those that exist under the same type and
// name. Replacing is complete: on the platform, a field that is left out goes
// back to its default, so an update starts from what Read returned.
//
// The components can be of several types and any number. One call carries up to
// MaxComponents of one type; calls follow one another, types in the order in
// which they first appear. Each component has its own result, in the order
// given. On an error the results of the calls before it are returned as well.
func (c *Client) Upsert(ctx context.Context, components []*metadata.Component) ([]Result, error) {
	answered := make(map[int]Result, len(components)) // by index in components
	inOrder := func() (results []Result) {
		for i := range components {
			if r, ok := answered[i]; ok {
				results = append(results, r)
			}
		}
		return results
	}
	var types []string
	indexes := make(map[string][]int)
	for i, component := range components {
		if indexes[component.Type] == nil {
			types = append(types, component.Type)
		}
		indexes[component.Type] = append(indexes[component.Type], i)
		if err := component.Check(); err != nil {
			return nil, fmt.Errorf("%s %s: %w", component.Type, component.FullName, err)
		}
	}
	for _, typ := range types {
		for chunk := range chunks(indexes[typ], MaxComponents) {
			answer, err := c.call(ctx, "upsertMetadata", func(e *xml.Encoder) error {
				for _, i := range chunk {
					if err := e.EncodeElement(components[i], start("metadata")); err != nil {
						return err
					}
				}
				return nil
			})
			if err == nil {
				err = readResults(answer, componentNames(components, chunk), chunk, typ, answered)
			}
			if err != nil {
				return inOrder(), err
			}
		}
	}
	return inOrder(), nil
}

// Read returns the components of a type that exist under the given names, in no
// particular order. A name that does not exist is no error, its component is
// missing from the result. Calls carry up to MaxComponents names and run in
// parallel.
func (c *Client) Read(ctx context.Context, typ string, fullNames ...string) ([]*metadata.Component, error) {
	return inParallel(ctx, fullNames, MaxComponents, func(ctx context.Context, names []string) ([]*metadata.Component, error) {
		answer, err := c.call(ctx, "readMetadata", func(e *xml.Encoder) error {
			return encodeNames(e, typ, names)
		})
		if err != nil {
			return nil, err
		}
		return readRecords(answer, typ, names)
	})
}

// List returns the components of the given types that the org lists, in no
// particular order. Calls carry up to MaxQueries types and run in parallel. For
// the types of External Client Apps an empty list is no proof that nothing
// exists; Read is.
func (c *Client) List(ctx context.Context, types ...string) ([]FileProperties, error) {
	return inParallel(ctx, types, MaxQueries, func(ctx context.Context, types []string) ([]FileProperties, error) {
		answer, err := c.call(ctx, "listMetadata", func(e *xml.Encoder) error {
			for _, typ := range types {
				query := start("queries")
				if err := e.EncodeToken(query); err != nil {
					return err
				}
				if err := e.EncodeElement(typ, start("type")); err != nil {
					return err
				}
				if err := e.EncodeToken(query.End()); err != nil {
					return err
				}
			}
			return e.EncodeElement(c.Version.String(), start("asOfVersion"))
		})
		if err != nil {
			return nil, err
		}
		return readList(answer), nil
	})
}

// Delete deletes components of a type by name, with one result a name, in the
// order given. Calls carry up to MaxComponents names and follow one another. On
// an error the results of the calls before it are returned as well.
func (c *Client) Delete(ctx context.Context, typ string, fullNames ...string) ([]Result, error) {
	results := make([]Result, 0, len(fullNames))
	for names := range chunks(fullNames, MaxComponents) {
		answer, err := c.call(ctx, "deleteMetadata", func(e *xml.Encoder) error {
			return encodeNames(e, typ, names)
		})
		indexes := make([]int, len(names))
		for i := range indexes {
			indexes[i] = i
		}
		answered := make(map[int]Result, len(names))
		if err == nil {
			err = readResults(answer, names, indexes, typ, answered)
		}
		if err != nil {
			return results, err
		}
		for _, i := range indexes {
			results = append(results, answered[i])
		}
	}
	return results, nil
}

func componentNames(components []*metadata.Component, indexes []int) []string {
	var names []string
	for _, i := range indexes {
		names = append(names, components[i].FullName)
	}
	return names
}

func start(name string) xml.StartElement { return xml.StartElement{Name: xml.Name{Local: name}} }

func encodeNames(e *xml.Encoder, typ string, fullNames []string) error {
	if err := e.EncodeElement(typ, start("type")); err != nil {
		return err
	}
	for _, name := range fullNames {
		if err := e.EncodeElement(name, start("fullNames")); err != nil {
			return err
		}
	}
	return nil
}

// chunks yields the items in runs of at most n.
func chunks[T any](items []T, n int) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(items) > 0 {
			size := min(n, len(items))
			if !yield(items[:size]) {
				return
			}
			items = items[size:]
		}
	}
}

// inParallel makes one call for each run of at most n items and joins what they
// return. The first error ends the others.
func inParallel[T, R any](ctx context.Context, items []T, n int, call func(context.Context, []T) ([]R, error)) ([]R, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	answers := make([][]R, (len(items)+n-1)/n)
	i := 0
	for chunk := range chunks(items, n) {
		at := i
		i++
		group.Go(func() (err error) {
			answers[at], err = call(ctx, chunk)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var all []R
	for _, a := range answers {
		all = append(all, a...)
	}
	return all, nil
}

// call sends one SOAP request and returns the operation's answer. It is repeated
// once where the session has expired and can be renewed; the org has not acted
// then.
func (c *Client) call(ctx context.Context, operation string, body func(*xml.Encoder) error) (*response, error) {
	return wire.Repeat(ctx, c.Tokens, func() (*response, error) { return c.send(ctx, operation, body) })
}

func (c *Client) send(ctx context.Context, operation string, body func(*xml.Encoder) error) (*response, error) {
	instance, err := wire.ParseInstance(c.InstanceURL)
	if err != nil {
		return nil, err
	}
	answer, err := wire.Do(ctx, c.HTTPClient, c.Tokens, func(token string) (*http.Request, error) {
		envelope, err := encodeEnvelope(token, operation, body)
		if err != nil {
			return nil, err
		}
		url := instance.JoinPath("services/Soap/m", c.Version.String())
		req, err := http.NewRequest(http.MethodPost, url.String(), bytes.NewReader(envelope))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "text/xml; charset=UTF-8")
		req.Header.Set("SOAPAction", `""`)
		return req, nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", operation, err)
	}
	response, err := parseAnswer(answer, operation)
	if fault := new(Fault); errors.As(err, &fault) {
		fault.Operation, fault.Status = operation, answer.Status
		return nil, fault
	}
	if err == nil && answer.Status == http.StatusOK {
		return response, nil
	}
	what := "not a SOAP answer"
	if err == nil {
		what = "a SOAP answer under a status of failure"
	}
	return nil, fmt.Errorf("%s: %w", operation, &wire.StatusError{Host: instance.Host, Status: answer.Status, What: what})
}
