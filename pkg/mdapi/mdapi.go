// Package mdapi calls the Salesforce Metadata API over SOAP: the synchronous calls that create,
// update, read, list and delete components.
//
// A Client adds nothing to a salesforce.Conn but the shape of requests and answers. If a whole
// call failed, the error is usually a *salesforce.Error. If the org refused a single component,
// its Result has a ComponentError. The Conn retries reads. Writes are sent once: before it
// repeats a write without an answer (salesforce.IsUncertain), the caller must read what the org
// has.
package mdapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// The platform's limits on one call, from the Metadata API Developer Guide.
const (
	MaxComponents = 10 // components of createMetadata, updateMetadata, upsertMetadata, readMetadata, deleteMetadata
	MaxQueries    = 3  // queries of listMetadata
)

// maxParallel bounds the concurrent calls of one Read or List.
const maxParallel = 32

// Client calls the Metadata API of one org. It is safe for concurrent use.
type Client struct {
	// Conn is the connection. Its API version determines the fields that the org knows.
	Conn *salesforce.Conn
}

// Result is the result of Upsert, Update or Delete for one component.
type Result struct {
	Type     string
	FullName string
	Success  bool
	Created  bool              // Upsert created the component
	Errors   []*ComponentError // the reasons if Success is false
}

// FileProperties identifies a component found by List.
type FileProperties struct {
	Type     string
	FullName string
}

// Upsert creates components, or replaces those that exist with the same type and name. A
// replacement is complete: the platform resets omitted fields to their defaults, so an update
// must start from the result of Read.
//
// Each call carries up to MaxComponents of one type. The calls run one after another, and the
// results have the order of the components. If a call fails, Upsert returns the results of the
// calls before it along with the error.
func (c *Client) Upsert(ctx context.Context, components []*metadata.Component) ([]Result, error) {
	return c.write(ctx, "upsertMetadata", components)
}

// Update replaces existing components, as Upsert does. It is the way to change org settings:
// their type has a single component, which cannot be created.
func (c *Client) Update(ctx context.Context, components []*metadata.Component) ([]Result, error) {
	return c.write(ctx, "updateMetadata", components)
}

func (c *Client) write(ctx context.Context, operation string, components []*metadata.Component) ([]Result, error) {
	for _, component := range components {
		if err := component.Check(); err != nil {
			return nil, fmt.Errorf("%s %s: %w", component.Type, component.FullName, err)
		}
	}
	var results []Result
	for len(components) > 0 {
		typ, n := components[0].Type, 0
		for n < len(components) && n < MaxComponents && components[n].Type == typ {
			n++
		}
		var names []string
		answer, err := c.call(ctx, operation, false, func(e *encoder) {
			names = nil
			for _, component := range components[:n] {
				names = append(names, component.FullName)
				e.value("metadata", component)
			}
		})
		if err != nil {
			return results, err
		}
		some, err := readResults(answer, typ, names)
		if err != nil {
			return results, err
		}
		results, components = append(results, some...), components[n:]
	}
	return results, nil
}

// Read returns the components of a type with the given names, in no particular order. Names
// that do not exist are missing from the result, without an error. The calls carry up to
// MaxComponents names each and run in parallel.
func (c *Client) Read(ctx context.Context, typ string, fullNames ...string) ([]*metadata.Component, error) {
	return inParallel(ctx, fullNames, MaxComponents, func(ctx context.Context, names []string) ([]*metadata.Component, error) {
		answer, err := c.call(ctx, "readMetadata", true, func(e *encoder) { e.names(typ, names) })
		if err != nil {
			return nil, err
		}
		return readRecords(answer, typ, names)
	})
}

// List returns the components of the given types that the org lists, in no particular order.
// The calls carry up to MaxQueries types each and run in parallel. For External Client App
// types an empty list does not prove that nothing exists; Read does.
func (c *Client) List(ctx context.Context, types ...string) ([]FileProperties, error) {
	return inParallel(ctx, types, MaxQueries, func(ctx context.Context, types []string) ([]FileProperties, error) {
		answer, err := c.call(ctx, "listMetadata", true, func(e *encoder) {
			for _, typ := range types {
				e.open("queries")
				e.value("type", typ)
				e.close()
			}
			e.value("asOfVersion", c.Conn.APIVersion().String())
		})
		if err != nil {
			return nil, err
		}
		return readList(answer), nil
	})
}

// Delete deletes components of a type by name and returns one result per name, in order. The
// calls carry up to MaxComponents names each and run one after another. If a call fails, Delete
// returns the results of the calls before it along with the error.
func (c *Client) Delete(ctx context.Context, typ string, fullNames ...string) ([]Result, error) {
	var results []Result
	for names := range chunks(fullNames, MaxComponents) {
		answer, err := c.call(ctx, "deleteMetadata", false, func(e *encoder) { e.names(typ, names) })
		if err != nil {
			return results, err
		}
		some, err := readResults(answer, typ, names)
		if err != nil {
			return results, err
		}
		results = append(results, some...)
	}
	return results, nil
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

// inParallel calls once per run of at most n items and joins the results. The first error
// cancels the other calls.
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

// call makes one SOAP call and returns the response element.
func (c *Client) call(ctx context.Context, operation string, idempotent bool, body func(*encoder)) (*response, error) {
	var found *response
	err := c.Conn.Do(ctx, salesforce.Request{
		Name: operation, Method: http.MethodPost, Path: "/services/Soap/m/" + c.Conn.APIVersion().String(), Idempotent: idempotent,
		Header: http.Header{"Content-Type": {"text/xml; charset=UTF-8"}, "Soapaction": {`""`}},
		Body: func(token salesforce.Secret) ([]byte, error) {
			agent, _, _ := strings.Cut(c.Conn.Agent(), " ") // without the address
			return encodeEnvelope(agent, token, operation, body)
		},
	}, func(answer *salesforce.Response) (err error) {
		found, err = parseAnswer(answer, operation)
		if fault, ok := err.(*salesforce.Error); ok {
			fault.Operation, fault.Status = operation, answer.Status
			return fault
		}
		if err == nil && answer.Status == http.StatusOK {
			return nil
		}
		what := "not a SOAP answer"
		if err == nil {
			what = "a SOAP answer with an error status"
		}
		return fmt.Errorf("%s: %w", operation, answer.Unexpected(what))
	})
	return found, err
}
