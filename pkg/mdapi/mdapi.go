// Package mdapi calls the Salesforce Metadata API over SOAP: the synchronous
// calls that create, change, read, list and delete single components.
//
// A Client is a salesforce.Conn and no more. Where the whole call failed, the error is a
// *salesforce.Error as a rule; where the org refused one component of several, its Result
// has a ComponentError. Reads are retried as the Conn has it. Writes are sent once: whoever
// writes looks up what became of a write that was not answered (salesforce.IsUncertain)
// before it is sent again.
package mdapi

import (
	"context"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// The platform's limits on one call, from the Metadata API Developer Guide.
const (
	MaxComponents = 10 // components of createMetadata, updateMetadata, upsertMetadata, readMetadata, deleteMetadata
	MaxQueries    = 3  // queries of listMetadata
)

// maxParallel bounds the calls that one Read or List has under way at a time.
const maxParallel = 16

// Client calls the Metadata API of one org. It may be used by several goroutines.
type Client struct {
	// Conn is the connection. Its version decides which fields the org knows.
	Conn *salesforce.Conn
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
// One call carries up to MaxComponents of one type, in the order given; calls follow one
// another. Each component has its own result, in the order given. On an error the results
// of the calls before it are returned as well.
func (c *Client) Upsert(ctx context.Context, components []*metadata.Component) ([]Result, error) {
	return c.write(ctx, "upsertMetadata", components)
}

// Update changes components that exist, as Upsert does. It is the way to change settings of
// the org: there is no other component of their type, and none can be made.
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

// Read returns the components of a type that exist under the given names, in no
// particular order. A name that does not exist is not an error; its component is
// missing from the result. Calls carry up to MaxComponents names and run in
// parallel.
func (c *Client) Read(ctx context.Context, typ string, fullNames ...string) ([]*metadata.Component, error) {
	return inParallel(ctx, fullNames, MaxComponents, func(ctx context.Context, names []string) ([]*metadata.Component, error) {
		answer, err := c.call(ctx, "readMetadata", true, func(e *encoder) { e.names(typ, names) })
		if err != nil {
			return nil, err
		}
		return readRecords(answer, typ, names)
	})
}

// List returns the components of the given types that the org lists, in no
// particular order. Calls carry up to MaxQueries types and run in parallel. For
// the types of External Client Apps an empty list does not prove that nothing
// exists; Read is.
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

// Delete deletes components of a type by name, with one result a name, in the
// order given. Calls carry up to MaxComponents names and follow one another. On
// an error the results of the calls before it are returned as well.
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

// call makes one SOAP call and returns the operation's answer.
func (c *Client) call(ctx context.Context, operation string, idempotent bool, body func(*encoder)) (*response, error) {
	var found *response
	err := c.Conn.Do(ctx, salesforce.Request{
		Name: operation, Method: http.MethodPost, Path: "/services/Soap/m/" + c.Conn.APIVersion().String(), Idempotent: idempotent,
		Header: http.Header{"Content-Type": {"text/xml; charset=UTF-8"}, "Soapaction": {`""`}},
		Body: func(token salesforce.Secret) ([]byte, error) {
			return encodeEnvelope(token, operation, body)
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
			what = "a SOAP answer under a status of failure"
		}
		return fmt.Errorf("%s: %w", operation, &salesforce.StatusError{Host: answer.Host, Status: answer.Status, What: what})
	})
	return found, err
}
