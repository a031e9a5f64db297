package cutover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// UnreadableError reports a Connected App that the org lists and does not let the session read, like
// those of other vendors.
type UnreadableError struct {
	App string
	Err error // the org's refusal; nil if the org returned nothing
}

func (e *UnreadableError) Error() string {
	message := e.App + " is listed and cannot be read, like apps of other vendors, which their vendors have to migrate"
	if e.Err != nil {
		message += ": " + e.Err.Error()
	}
	return message
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// NotFoundError reports that the org has no Connected App of a name.
type NotFoundError struct {
	App string
	// Similar are the names of the org's Connected Apps, of which the message suggests one that is close.
	Similar []string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("the org has no Connected App %s%s", e.App, words.DidYouMean(e.App, e.Similar))
}

// Read returns the Connected Apps of the org with some names, or all of them without names, and those
// that cannot be read. If the org lacks one of the names, the error is a *NotFoundError.
func (c *Client) Read(ctx context.Context, names ...string) ([]*connectedapp.App, []*UnreadableError, error) {
	listed, err := c.md().List(ctx, connectedapp.TypeName)
	if err != nil {
		return nil, nil, err
	}
	var all []string
	for _, l := range listed {
		all = append(all, l.FullName)
	}
	if len(names) == 0 {
		return c.ReadListed(ctx, all)
	}
	var wanted []string
	for _, name := range names {
		i := slices.IndexFunc(all, func(known string) bool { return strings.EqualFold(known, name) })
		if i < 0 {
			return nil, nil, &NotFoundError{App: name, Similar: all}
		}
		wanted = append(wanted, all[i])
	}
	return c.ReadListed(ctx, wanted)
}

// ReadListed returns the Connected Apps of names that the org lists, sorted, and those that cannot be
// read. It takes one round of requests, or two if an app cannot be read.
func (c *Client) ReadListed(ctx context.Context, names []string) ([]*connectedapp.App, []*UnreadableError, error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	answers := &answers{components: make(map[string]*metadata.Component), refusals: make(map[string]error)}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	for batch := range slices.Chunk(names, mdapi.MaxComponents) {
		group.Go(func() error { return c.readBatch(groupCtx, batch, answers) })
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	var apps []*connectedapp.App
	var unread []*UnreadableError
	for _, name := range names {
		if component := answers.components[name]; component != nil {
			apps = append(apps, connectedapp.FromOrg(component))
		} else {
			unread = append(unread, &UnreadableError{name, answers.refusals[name]})
		}
	}
	return apps, unread, nil
}

// maxParallel bounds the concurrent calls of ReadListed.
const maxParallel = 32

// answers are the org's answers by the name of a Connected App.
type answers struct {
	mu         sync.Mutex
	components map[string]*metadata.Component
	refusals   map[string]error
}

func (a *answers) add(components []*metadata.Component) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, component := range components {
		a.components[component.FullName] = component
	}
}

// loadFailed is how Salesforce refuses to show an app of another vendor.
const loadFailed = "Load of metadata from db failed"

// readBatch reads the names of one call. Whether one app that cannot be read spoils the call for the
// others is not certain, so readBatch repeats such a call for each app.
func (c *Client) readBatch(ctx context.Context, names []string, answers *answers) error {
	components, err := c.md().Read(ctx, connectedapp.TypeName, names...)
	if !restapi.Refused(err) || !strings.Contains(err.Error(), loadFailed) {
		answers.add(components)
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, name := range names {
		group.Go(func() error {
			components, err := c.md().Read(groupCtx, connectedapp.TypeName, name)
			answers.add(components)
			if !restapi.Refused(err) {
				return err
			}
			refused, _ := errors.AsType[*salesforce.Error](err)
			answers.mu.Lock()
			defer answers.mu.Unlock()
			answers.refusals[name] = refused
			return nil
		})
	}
	return group.Wait()
}
