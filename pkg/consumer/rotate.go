package consumer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Rotation replaces the pair of a consumer by a new one: it stages a pair, hands it over, proves
// that it logs in, makes it the main pair, and proves that again. Nothing is kept but by the org,
// so a run that died is continued by the next one, whatever step it had reached: the pair that is
// staged logs in from the start, and the old one for 30 days more.
type Rotation struct {
	Client *Client

	// HandOver gives the new pair to whoever logs in with it. It is called again by a run that
	// continues one that died. Where it fails, the pair stays staged.
	HandOver func(ctx context.Context, pair Pair) error

	// Wait is how long the token endpoint is asked again while it does not know the new pair.
	Wait time.Duration

	// RevokeOld ends the old pair in the end. Otherwise it expires by itself.
	RevokeOld bool

	// Step, where it is not nil, is told what is done, in words for people.
	Step func(text string)
}

// Outcome is how a rotation ended.
type Outcome struct {
	App string
	// Rotated says that this run has made the new pair the main one. Otherwise an earlier run
	// had, and its old pair has not expired yet.
	Rotated bool
	Key     string // the main pair's
	OldKey  string // "" where the old pair was revoked, or the org does not tell
	// Expires is when the old pair logs in no more, zero where it does not already.
	Expires  time.Time
	Verified bool // the new pair logged in
}

// OwnSessionError says that the session itself was given to the consumer that it is to rotate.
type OwnSessionError struct{ App string }

func (e *OwnSessionError) Error() string {
	return fmt.Sprintf("this session was itself given to the consumer of %s, which must not rotate its own pair", e.App)
}

// HandOverError says that a new pair is staged and was not handed over.
type HandOverError struct {
	App string
	Err error
}

func (e *HandOverError) Error() string {
	return fmt.Sprintf("the new pair of %s is staged, and handing it over failed: %v", e.App, e.Err)
}

// Unwrap returns why handing over failed.
func (e *HandOverError) Unwrap() error { return e.Err }

// Status is what an org has of a consumer's pairs.
type Status struct {
	Consumer *Consumer
	Main     Pair
	Beside   *Staged // nil where there is none
}

// Status looks up the pairs of an app's consumer, in two rounds of requests.
func (c *Client) Status(ctx context.Context, app string) (*Status, error) {
	found, err := c.Find(ctx, app)
	if err != nil {
		return nil, err
	}
	s := &Status{Consumer: found}
	asked := *found
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		s.Main, err = c.Credentials(groupCtx, found)
		return err
	})
	group.Go(func() (err error) {
		s.Beside, err = c.Staged(groupCtx, &asked)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if asked.ID != found.ID { // the link led elsewhere
		s.Beside, err = c.Staged(ctx, found)
	}
	return s, err
}

func (r *Rotation) step(format string, args ...any) {
	if r.Step != nil {
		r.Step(fmt.Sprintf(format, args...))
	}
}

// Run rotates the pair of an app's consumer, or continues a rotation. Where an earlier rotation's
// old pair is still there, it only proves that the main pair logs in, and ends the old one where
// RevokeOld says so.
func (r *Rotation) Run(ctx context.Context, app string) (*Outcome, error) {
	s, err := r.Client.Status(ctx, app)
	if err != nil {
		return nil, err
	}
	if err := r.notOwn(ctx, s); err != nil {
		return nil, err
	}
	if s.Beside != nil && s.Beside.State == Rotated {
		r.step("rotated before; the old pair logs in until %s", s.Beside.Expires.Format(time.DateOnly))
		return r.finish(ctx, &Outcome{App: s.Consumer.App, Key: s.Main.Key}, s)
	}
	staged, err := r.stage(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := r.HandOver(ctx, staged.Pair); err != nil {
		return nil, &HandOverError{s.Consumer.App, err}
	}
	r.step("handed over")
	revoke, err := r.prove(ctx, staged.Pair, true)
	if err != nil {
		return nil, fmt.Errorf("the new pair is staged and handed over, but does not log in: %w", err)
	}
	if err := r.swap(ctx, s, staged, revoke); err != nil {
		return nil, err
	}
	s.Main = staged.Pair
	r.step("the new pair is the main one")
	return r.finish(ctx, &Outcome{App: s.Consumer.App, Rotated: true, Key: staged.Key}, s)
}

// notOwn makes sure that the session was not given to the consumer.
func (r *Rotation) notOwn(ctx context.Context, s *Status) error {
	token, err := r.Client.Conn.Tokens.Token()
	if err != nil {
		return err
	}
	// Where the org does not answer that, the session is taken for another one's, as it is as a
	// rule.
	active, id, err := introspect(ctx, r.Client.Conn.HTTPClient, r.Client.Conn.InstanceURL, s.Main, salesforce.NewSecret(token.AccessToken))
	if err == nil && active && (id == s.Main.Key || s.Beside != nil && id == s.Beside.Key) {
		return &OwnSessionError{s.Consumer.App}
	}
	return ctx.Err()
}

// stage returns the pair that is staged, or stages one.
func (r *Rotation) stage(ctx context.Context, s *Status) (*Staged, error) {
	beside := s.Beside
	if beside != nil && beside.State == Active {
		r.step("a new pair is staged already")
		return beside, nil
	}
	if beside != nil { // expired
		if err := r.Client.Discard(ctx, s.Consumer, beside); err != nil && !isGone(err) {
			return nil, err
		}
	}
	staged, err := r.Client.Stage(ctx, s.Consumer)
	if err != nil {
		// Whatever became of it, and whoever else staged one at the same time: the slot tells.
		there, lookErr := r.Client.Staged(ctx, s.Consumer)
		if lookErr != nil || there == nil || there.State != Active {
			return nil, err
		}
		staged = there
	}
	r.step("staged a new pair")
	return staged, nil
}

func isGone(err error) bool {
	refused, ok := errors.AsType[*salesforce.Error](err)
	return ok && refused.Code == "NOT_FOUND"
}

// prove proves that a pair logs in, and returns how to revoke the token that it was given, nil
// where there is none. An app without the client credentials flow proves it by asking the org
// about a token that is none.
func (r *Rotation) prove(ctx context.Context, pair Pair, ask bool) (revoke func(), err error) {
	base, client := r.Client.Conn.InstanceURL, r.Client.Conn.HTTPClient
	err = wait(ctx, r.Wait, r.Step, func() error {
		login := ClientCredentials(base, pair)
		login.Retry = r.Client.Conn.Retry
		_, revoke, err = login.open(ctx, client, ask)
		if why, known := Explain(err); known && (why.Cause == FlowOff || why.Cause == NoRunAsUser || why.Cause == NotAuthorised || why.Cause == InactiveUser) {
			// The flow is not for this app, or its user is not let in; the pair may be good.
			_, _, err = introspect(ctx, client, base, pair, salesforce.NewSecret("none"))
		}
		return err
	})
	return revoke, err
}

// swap makes the staged pair the main one, while the proof's token is revoked.
func (r *Rotation) swap(ctx context.Context, s *Status, staged *Staged, revoke func()) error {
	done := make(chan bool)
	go func() {
		defer close(done)
		if revoke != nil {
			revoke()
		}
	}()
	err := r.Client.Rotate(ctx, s.Consumer, staged)
	<-done
	if err == nil {
		return nil
	}
	// The answer may have been lost, or another run may have been faster: the main pair tells.
	if now, lookErr := r.Client.pair(ctx, s.Consumer); lookErr == nil && now.Key == staged.Key {
		return nil
	}
	return fmt.Errorf("the new pair is staged and handed over, but did not become the main one: %w", err)
}

// finish proves that the main pair logs in, and ends the old one where that is wanted. What is
// beside the main pair is looked up again, because the swap may have changed its ID.
func (r *Rotation) finish(ctx context.Context, o *Outcome, s *Status) (*Outcome, error) {
	revoke, err := r.prove(ctx, s.Main, false)
	if revoke != nil {
		defer revoke()
	}
	if err != nil {
		return o, fmt.Errorf("the pair is rotated, but does not log in: %w", err)
	}
	o.Verified = true
	r.step("the main pair logs in")
	if !r.RevokeOld {
		if s.Beside != nil && s.Beside.State == Rotated {
			o.OldKey, o.Expires = s.Beside.Key, s.Beside.Expires
		} else if o.Rotated {
			o.Expires = time.Now().Add(oldLife)
		}
		return o, nil
	}
	old, err := r.Client.Staged(ctx, s.Consumer)
	if err != nil {
		return o, err
	}
	if old != nil && old.State != Active {
		if err := r.Client.Discard(ctx, s.Consumer, old); err != nil && !isGone(err) {
			return o, err
		}
	}
	r.step("the old pair logs in no more")
	return o, nil
}

// oldLife is how long the old pair logs in after a rotation, by Salesforce's documentation.
const oldLife = 30 * 24 * time.Hour

// Abort forgets a pair that is staged. handOver, where it is not nil, gives the main pair to
// whoever has got the staged one, before that logs in no more. It reports whether there was one.
func (c *Client) Abort(ctx context.Context, app string, handOver func(ctx context.Context, pair Pair) error) (bool, error) {
	s, err := c.Status(ctx, app)
	if err != nil || s.Beside == nil || s.Beside.State != Active {
		return false, err
	}
	if handOver != nil {
		if err := handOver(ctx, s.Main); err != nil {
			return false, fmt.Errorf("the main pair was not handed over, so the staged one stays: %w", err)
		}
	}
	if err := c.Discard(ctx, s.Consumer, s.Beside); err != nil && !isGone(err) {
		return false, err
	}
	return true, nil
}

// Wait calls try again, at growing intervals up to half a minute, as long as an org refuses a
// login because it does not know the consumer yet, and for up to a time.
func wait(ctx context.Context, most time.Duration, step func(string), try func() error) error {
	end := time.Now().Add(most)
	for pause := 2 * time.Second; ; pause = min(2*pause, 30*time.Second) {
		err := try()
		if err == nil || !IsNotYetKnown(err) || time.Now().Add(pause).After(end) {
			return err
		}
		if step != nil {
			step(fmt.Sprintf("the org does not know the consumer yet; asking again in %s", pause))
		}
		if stopped := sleep(ctx, pause); stopped != nil {
			return stopped
		}
	}
}

// VerifyWaiting is Verify, asked again for up to a time while the org does not know the consumer
// yet. step, where it is not nil, is told of each wait.
func (l *Login) VerifyWaiting(ctx context.Context, client *http.Client, most time.Duration, step func(string)) (proof *Proof, err error) {
	err = wait(ctx, most, step, func() error {
		proof, err = l.Verify(ctx, client)
		return err
	})
	return proof, err
}
