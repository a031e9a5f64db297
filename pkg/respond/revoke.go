package respond

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Revocation is what became of the access through some apps.
type Revocation struct {
	Before   *Exposure `json:"before"`
	After    *Exposure `json:"after,omitempty"` // nil if the run ended before it
	Tokens   int       `json:"tokens"`          // number of tokens that were revoked, by this run or another
	Sessions int       `json:"sessions,omitempty"`
}

// RemainError reports that an app still gives access after a revocation: users have logged in again, or
// the org does not show what revokes their tokens.
type RemainError struct{ Tokens, Sessions int }

func (e *RemainError) Error() string {
	return fmt.Sprintf("%d tokens and %d open sessions are left, or were created meanwhile", e.Tokens, e.Sessions)
}

// Revoke revokes the tokens of all apps and ends their sessions, and counts again. The result is not nil,
// also with an error; another Look and Revoke completes what was interrupted. The error is a
// *RemainError if something is left.
//
// Tokens of an External Client App are deleted with the resources /apps/oauth/usage, and those that remain
// like all others with their DeleteToken.
func (e *Exposure) Revoke(ctx context.Context) (*Revocation, error) {
	r := &Revocation{Before: e}
	for _, app := range e.Apps {
		if app.Tokens == 0 {
			continue
		}
		if err := e.revoke(ctx, app); err != nil {
			return r, err
		}
	}
	for _, app := range e.Apps {
		if err := e.endSessions(ctx, app, &r.Sessions); err != nil {
			return r, err
		}
	}
	after, err := look(ctx, e.conn, e.selection, false)
	if _, none := errors.AsType[*NotFoundError](err); none { // a token was all that the org had of the app
		after, err = &Exposure{OrgID: e.OrgID, Time: e.Time, Apps: []*App{}}, nil
	}
	if err != nil {
		return r, fmt.Errorf("the tokens are revoked, and cannot be counted again: %w", err)
	}
	r.After = after
	r.Tokens = max(0, e.Tokens()-after.Tokens())
	if tokens, sessions := after.Tokens(), after.Sessions(); tokens+sessions > 0 {
		return r, &RemainError{tokens, sessions}
	}
	return r, nil
}

// revoke revokes the tokens of an app.
func (e *Exposure) revoke(ctx context.Context, app *App) error {
	rest := &restapi.Client{Conn: e.conn}
	if app.Kind == External {
		if err := e.deleteUsage(ctx, app); err != nil {
			return err
		}
	}
	for _, query := range e.queries(app) {
		if _, err := rest.RevokeQueried(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

// deleteUsage deletes the tokens of an External Client App. An org refuses apps that it does not list
// there.
func (e *Exposure) deleteUsage(ctx context.Context, app *App) error {
	resource := "apps/oauth/usage/" + url.PathEscape(app.ID)
	if e.selection.User == "" {
		return unlessRefused(e.delete(ctx, resource+"/tokens"))
	}
	for _, h := range app.Holders {
		if h.Tokens == 0 {
			continue
		}
		if err := unlessRefused(e.delete(ctx, resource+"/"+url.PathEscape(h.ID)+"/tokens")); err != nil {
			return err
		}
	}
	return nil
}

// delete deletes a resource. What is already gone counts, so a lost answer is simply repeated.
func (e *Exposure) delete(ctx context.Context, resource string) error {
	rest := &restapi.Client{Conn: e.conn}
	return e.conn.Retry.Do(ctx, func() error {
		err := rest.Do(ctx, http.MethodDelete, resource, nil, nil)
		if code := salesforce.Code(err); code == "NOT_FOUND" || code == "ENTITY_IS_DELETED" {
			return nil
		}
		return err
	})
}

// queries returns the queries for the tokens of an app.
func (e *Exposure) queries(app *App) (all []string) {
	var labels, items []string
	for _, label := range app.labels {
		labels = append(labels, restapi.Quote(label))
	}
	for _, item := range app.items {
		items = append(items, restapi.Quote(item))
	}
	query := "SELECT DeleteToken FROM OauthToken WHERE AppName IN (" + strings.Join(labels, ", ") + ") "
	if e.selection.User != "" {
		query += "AND User.Username = " + restapi.Quote(e.selection.User) + " "
	}
	if len(items) > 0 {
		all = append(all, query+"AND AppMenuItemId IN ("+strings.Join(items, ", ")+")")
	}
	if app.bare {
		all = append(all, query+"AND AppMenuItemId = null")
	}
	return all
}

// sessionJobs is the number of concurrent requests that end sessions.
const sessionJobs = 8

// endSessions ends the open sessions of an app. One that has ended meanwhile counts.
func (e *Exposure) endSessions(ctx context.Context, app *App, ended *int) error {
	done := make([]bool, len(app.sessions))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(sessionJobs)
	for i, id := range app.sessions {
		group.Go(func() error {
			err := e.delete(groupCtx, "sobjects/AuthSession/"+url.PathEscape(id))
			done[i] = err == nil
			return err
		})
	}
	err := group.Wait()
	for _, ok := range done {
		if ok {
			*ended++
		}
	}
	return err
}
