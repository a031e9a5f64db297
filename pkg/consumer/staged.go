package consumer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// State is the platform's state of the credentials beside the main ones.
type State string

// The states, by the platform's names.
const (
	Active  State = "Active"  // staged: they work, and can become the main ones
	Rotated State = "Rotated" // the main ones before a rotation: they work until they expire
	Expired State = "Expired" // they no longer work
)

// Staged are the credentials beside a consumer's main ones. A consumer has one such set at most.
type Staged struct {
	login.Credentials
	ID      string
	State   State
	Created time.Time // when they were staged, zero if the org does not show it
	Expires time.Time // zero if the org does not show it
}

// Status are all credentials of a consumer.
type Status struct {
	Consumer *Consumer
	Main     login.Credentials
	Beside   *Staged // nil if there are none, or if they are hidden
	// Hidden is why the org does not show the credentials beside the main ones, an *AccessError, or nil.
	Hidden error
}

// Status looks up the credentials of an app's consumer. It takes two rounds of requests. A Packaged app has
// none beside the main ones.
func (c *Client) Status(ctx context.Context, app string) (*Status, error) {
	found, err := c.Find(ctx, app)
	if err != nil {
		return nil, err
	}
	return c.StatusOf(ctx, found)
}

// Keys is Status without secrets. It needs no right to read secrets, but without it the credentials beside
// the main ones are hidden.
func (c *Client) Keys(ctx context.Context, app string) (*Status, error) {
	found, err := c.Find(ctx, app)
	if err != nil {
		return nil, err
	}
	s := &Status{Consumer: found}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { s.Main.Key, err = c.Key(groupCtx, found.App); return err })
	group.Go(func() (err error) {
		if found.Packaged {
			return nil
		}
		if s.Beside, err = c.staged(groupCtx, found); errors.As(err, new(*AccessError)) {
			s.Hidden, err = err, nil
		}
		return err
	})
	return s, group.Wait()
}

// StatusOf is Status of a consumer that was found. It takes one round of requests.
func (c *Client) StatusOf(ctx context.Context, found *Consumer) (*Status, error) {
	s := &Status{Consumer: found}
	asked := *found
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { s.Main, err = c.Credentials(groupCtx, found); return err })
	if !found.Packaged {
		group.Go(func() (err error) { s.Beside, err = c.staged(groupCtx, &asked); return err })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if asked.ID != found.ID && !found.Packaged { // the link led to another consumer
		var err error
		if s.Beside, err = c.staged(ctx, found); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Abort discards staged credentials, and reports whether it did. handOver, if not nil, first gives the
// main ones to whoever has the staged ones, which then no longer work. Without it, Abort reads no secret.
func (c *Client) Abort(ctx context.Context, app string, handOver HandOver) (bool, error) {
	look := c.Status
	if handOver == nil {
		look = c.Keys
	}
	s, err := look(ctx, app)
	if err == nil {
		err = s.Hidden
	}
	if err != nil || s.Beside == nil || s.Beside.State != Active {
		return false, err
	}
	if handOver != nil {
		if err := handOver(ctx, s.Main); err != nil {
			return false, fmt.Errorf("the main credentials were not exported, so the staged ones stay: %w", err)
		}
	}
	// Another run may have made them the main ones meanwhile, or staged others.
	now, err := c.staged(ctx, s.Consumer)
	if err != nil {
		return false, err
	}
	if now != nil && now.State == Active && now.Key == s.Beside.Key {
		err := c.discard(ctx, s.Consumer, now)
		return err == nil, err
	}
	if handOver == nil {
		return false, nil
	}
	main, err := c.read(ctx, s.Consumer, s.Consumer.ID)
	if err == nil && main.Key != s.Main.Key {
		err = handOver(ctx, main)
	}
	return false, err
}

// stagedAnswer is an answer about staged credentials: in a list, or at the top level.
type stagedAnswer struct {
	stagedRecord
	StagedCredentials []stagedRecord
}

type stagedRecord struct {
	ID, Key, State string
	Secret         salesforce.Secret
	ExpirationDate string
	CreatedDate    string
}

func (a *stagedAnswer) staged() *Staged {
	r := a.stagedRecord
	if len(a.StagedCredentials) > 0 {
		r = a.StagedCredentials[0]
	}
	if r.ID == "" {
		return nil
	}
	state := State(r.State)
	for _, known := range []State{Active, Rotated, Expired} {
		if strings.EqualFold(r.State, string(known)) {
			state = known
		}
	}
	return &Staged{
		Credentials: login.Credentials{Key: r.Key, Secret: r.Secret}, ID: r.ID, State: state,
		Created: restapi.ParseTime(r.CreatedDate), Expires: restapi.ParseTime(r.ExpirationDate),
	}
}

// staged returns the credentials beside a consumer's main ones, or nil. If there are none, orgs answer
// with an empty list or with NOT_FOUND.
func (c *Client) staged(ctx context.Context, found *Consumer) (*Staged, error) {
	if v := c.Conn.APIVersion(); v < minStaged {
		return nil, fmt.Errorf("credentials can be staged from API version %s on, not with %s", minStaged, v)
	}
	var answer stagedAnswer
	err := c.do(ctx, http.MethodGet, found.path(found.ID)+"/staged", nil, &answer)
	if salesforce.Code(err) == notFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return answer.staged(), nil
}

// complete returns staged credentials with their secret.
func (c *Client) complete(ctx context.Context, found *Consumer, staged *Staged) (*Staged, error) {
	_, err := c.withSecret(ctx, found.App, func(ctx context.Context) (login.Credentials, error) {
		if hasSecret(staged.Credentials) {
			return staged.Credentials, nil
		}
		again, err := c.staged(ctx, found)
		if again != nil {
			staged = again
		}
		return staged.Credentials, err
	})
	if err != nil {
		return nil, err
	}
	return staged, nil
}

// stagedPath returns the resource of staged credentials.
func (c *Consumer) stagedPath(staged *Staged) string {
	return c.path(c.ID) + "/staged/" + url.PathEscape(staged.ID)
}

// stage stages credentials beside the main ones. It is unknown whether an org that already has some
// refuses that or replaces them. After an uncertain error, there may be some.
func (c *Client) stage(ctx context.Context, found *Consumer) (*Staged, error) {
	var answer stagedAnswer
	// The call hangs without a body.
	if err := c.do(ctx, http.MethodPost, found.path(found.ID)+"/staged", struct{}{}, &answer); err != nil {
		return nil, err
	}
	staged := answer.staged()
	if staged == nil {
		return nil, errors.New("the org's answer to the staging of credentials does not contain them")
	}
	return staged, nil
}

// rotate makes staged credentials the main ones. The previous main ones are then beside them, and work
// for another 30 days.
func (c *Client) rotate(ctx context.Context, found *Consumer, staged *Staged) error {
	return c.do(ctx, http.MethodPatch, found.stagedPath(staged), map[string]string{"command": "rotate"}, nil)
}

// discard deletes the credentials beside the main ones, which then no longer work. That they do not
// exist is no error.
func (c *Client) discard(ctx context.Context, found *Consumer, staged *Staged) error {
	if err := c.do(ctx, http.MethodDelete, found.stagedPath(staged), nil, nil); salesforce.Code(err) != notFound {
		return err
	}
	return nil
}
