package cutover

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ecakit/ecakit/pkg/restapi"
)

// Revocation is the result of revoking the tokens of a Connected App.
type Revocation struct {
	App     string
	Tokens  int // number of tokens of the app
	Revoked int // how many of them were revoked, by this run or another
	// Unclear is the number of tokens with the app's label that may belong to another app. They are
	// not revoked.
	Unclear int
}

// ErrNoReplacement reports that the tokens of an app are not revoked, because its users could not log
// in with an External Client App instead.
var ErrNoReplacement = errors.New(
	"there is no External Client App of that name with a consumer, which its users could move to")

// RevokeOld revokes the tokens of a Connected App that an External Client App of the same name
// replaces; unless really is true, it only counts them. Users who still log in with the Connected App
// lose access.
//
// Tokens with an item of the app menu belong to the item's app. If the org shows no item of the
// Connected App, tokens without an item belong to it, unless another app has its label.
//
// The REST resources for tokens of External Client Apps do not cover Connected Apps, whose tokens are
// revoked with OauthToken.DeleteToken at the revoke endpoint. Source: the documentation of OauthToken.
func (c *Client) RevokeOld(ctx context.Context, name string, really bool) (*Revocation, error) {
	p, err := c.revocable(ctx, name)
	if err != nil {
		return nil, err
	}
	r := &Revocation{App: p.Name}
	for _, u := range p.Old {
		r.Tokens += u.Tokens
	}
	for _, u := range p.Either {
		r.Unclear += u.Tokens
	}
	if !really || r.Tokens == 0 {
		return r, nil
	}
	if r.Revoked, err = c.rest().RevokeQueried(ctx, p.tokenQuery()); err != nil {
		return r, fmt.Errorf("%d of %d tokens are revoked, the next run continues: %w", r.Revoked, r.Tokens, err)
	}
	if r.Revoked < r.Tokens {
		return r, fmt.Errorf("%d of %d tokens are revoked, and the org does not show what revokes the others: "+
			"revoke them in Setup (Connected Apps OAuth Usage)", r.Revoked, r.Tokens)
	}
	return r, nil
}

// revocable returns the replacement of an app if the app's tokens can be revoked.
func (c *Client) revocable(ctx context.Context, name string) (*Replacement, error) {
	status, err := c.Status(ctx, name)
	if err != nil {
		return nil, err
	}
	if status.Blind {
		return nil, fmt.Errorf("the org does not show whose tokens it has: %s", strings.Join(status.Unseen, "; "))
	}
	if len(status.Replacements) != 1 || !status.Replacements[0].HasNew || !status.Replacements[0].HasConsumer {
		return nil, fmt.Errorf("%s: %w", name, ErrNoReplacement)
	}
	p := &status.Replacements[0]
	if len(p.oldIDs) > 1 {
		return nil, fmt.Errorf("%d Connected Apps have the label %s, and tokens contain only the label; rename this app first",
			len(p.oldIDs), p.OldLabel)
	}
	return p, nil
}

// tokenQuery returns the query for the tokens that certainly belong to the Connected App.
func (p *Replacement) tokenQuery() string {
	query := "SELECT DeleteToken FROM OauthToken WHERE AppName = " + restapi.Quote(p.OldLabel) + " AND AppMenuItemId "
	if len(p.items) == 0 {
		return query + "= null"
	}
	var items []string
	for _, item := range p.items {
		items = append(items, restapi.Quote(item))
	}
	return query + "IN (" + strings.Join(items, ", ") + ")"
}
