package restapi

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Bounds of a revocation: concurrent requests, and queries for tokens, of which the org shows 2,500 at
// a time.
const (
	revokeJobs     = 8
	maxRevocations = 400
)

// RevokeQueried revokes the tokens of a query for OauthToken.DeleteToken, and repeats the query until it
// returns no others, because an org shows 2,500 tokens at a time. It returns how many are revoked, also with
// an error. Tokens that the org no longer lists although it does not know them count as revoked, for
// example by another run.
func (c *Client) RevokeQueried(ctx context.Context, soql string) (int, error) {
	r := &revocation{client: c, tried: make(map[string]bool), unknown: make(map[string]bool)}
	for range maxRevocations {
		found, err := Query[struct{ DeleteToken salesforce.Secret }](ctx, c, soql)
		if err != nil {
			return r.revoked, err
		}
		due := r.due(found)
		if len(due) == 0 {
			break
		}
		if err := r.revoke(ctx, due); err != nil {
			return r.revoked, err
		}
	}
	return r.revoked, nil
}

// revocation is one call of RevokeQueried.
type revocation struct {
	client  *Client
	revoked int
	tried   map[string]bool
	unknown map[string]bool // tokens that the revoke endpoint did not know
}

// due returns the tokens that were not tried yet.
func (r *revocation) due(found []struct{ DeleteToken salesforce.Secret }) (due []salesforce.Secret) {
	for _, t := range found {
		token := t.DeleteToken.Reveal()
		if r.unknown[token] { // but the org lists it, so it is not revoked
			delete(r.unknown, token)
			r.revoked--
		}
		if token != "" && !r.tried[token] {
			r.tried[token] = true
			due = append(due, t.DeleteToken)
		}
	}
	return due
}

// revoke revokes tokens. It counts a token that the org does not know as revoked.
func (r *revocation) revoke(ctx context.Context, due []salesforce.Secret) error {
	errs := make([]error, len(due))
	sent := make([]bool, len(due))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(revokeJobs)
	for i, token := range due {
		group.Go(func() error {
			errs[i], sent[i] = r.client.RevokeListed(groupCtx, token), true
			if isUnknown(errs[i]) {
				return nil
			}
			return errs[i]
		})
	}
	err := group.Wait()
	for i, token := range due {
		switch {
		case isUnknown(errs[i]):
			r.unknown[token.Reveal()] = true
			r.revoked++
		case sent[i] && errs[i] == nil:
			r.revoked++
		}
	}
	return err
}

// isUnknown reports whether the revoke endpoint does not know a token.
func isUnknown(err error) bool {
	status, ok := errors.AsType[*salesforce.StatusError](err)
	return ok && status.Status == http.StatusBadRequest
}
