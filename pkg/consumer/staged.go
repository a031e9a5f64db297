package consumer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// State is what a pair beside the main one is.
type State string

// The states, as the platform calls them.
const (
	Active  State = "Active"  // staged: it logs in, and can become the main pair
	Rotated State = "Rotated" // was the main pair: it logs in until it expires
	Expired State = "Expired" // logs in no more
)

// Staged is the pair beside a consumer's main one. There is one at most.
type Staged struct {
	Pair
	ID      string
	State   State
	Created time.Time // zero where the org does not tell
	Expires time.Time
}

// stagedAnswer is a pair as the platform answers it: in a list, or at the top.
type stagedAnswer struct {
	stagedPair
	StagedCredentials []stagedPair
}

type stagedPair struct {
	ID, Key, State string
	Secret         salesforce.Secret
	CreatedDate    string
	ExpirationDate string
}

func (a *stagedAnswer) staged() *Staged {
	p := a.stagedPair
	if len(a.StagedCredentials) > 0 {
		p = a.StagedCredentials[0]
	}
	if p.ID == "" {
		return nil
	}
	state := State(p.State)
	for _, known := range []State{Active, Rotated, Expired} {
		if strings.EqualFold(p.State, string(known)) {
			state = known
		}
	}
	return &Staged{Pair: Pair{p.Key, p.Secret}, ID: p.ID, State: state, Created: restapi.ParseTime(p.CreatedDate), Expires: restapi.ParseTime(p.ExpirationDate)}
}

// Staged returns the pair beside a consumer's main one, nil where there is none. Orgs answer that
// with an empty list or with NOT_FOUND; both are understood.
func (c *Client) Staged(ctx context.Context, of *Consumer) (*Staged, error) {
	if v := c.Conn.APIVersion(); v < minStaged {
		return nil, fmt.Errorf("pairs can be staged from API version %s on, not with %s", minStaged, v)
	}
	var answer stagedAnswer
	err := c.get(ctx, of.path()+"/staged", &answer)
	if refused, ok := errors.AsType[*salesforce.Error](err); ok && refused.Code == "NOT_FOUND" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return answer.staged(), nil
}

// Stage makes a pair beside the main one. Whether an org that has one already refuses that or
// replaces it is not known, so look before; a *salesforce.Error that is uncertain leaves open
// whether there is one now.
func (c *Client) Stage(ctx context.Context, of *Consumer) (*Staged, error) {
	var answer stagedAnswer
	// The call hangs without a body.
	if err := accessError(c.rest().Do(ctx, http.MethodPost, of.path()+"/staged", struct{}{}, &answer)); err != nil {
		return nil, err
	}
	staged := answer.staged()
	if staged == nil {
		return nil, errors.New("the org answered the staging of a pair without the pair")
	}
	return staged, nil
}

// Rotate makes a staged pair the main one. The main one so far becomes the pair beside it, and
// logs in for 30 days more.
func (c *Client) Rotate(ctx context.Context, of *Consumer, staged *Staged) error {
	command := struct {
		Command string `json:"command"`
	}{"rotate"}
	return accessError(c.rest().Do(ctx, http.MethodPatch, of.path()+"/staged/"+url.PathEscape(staged.ID), command, nil))
}

// Discard deletes the pair beside the main one: one that is staged is forgotten, one that was the
// main pair logs in no more.
func (c *Client) Discard(ctx context.Context, of *Consumer, staged *Staged) error {
	return accessError(c.rest().Do(ctx, http.MethodDelete, of.path()+"/staged/"+url.PathEscape(staged.ID), nil, nil))
}
