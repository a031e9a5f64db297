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

// Rotation replaces the pair of a consumer by a new one: it stages a pair, proves that it logs
// in, hands it over, makes it the main pair, and proves that again. Nothing is kept but by the org,
// so a run that died is continued by the next one, whatever step it had reached: the pair that is
// staged logs in from the start, and the old one for 30 days more.
type Rotation struct {
	Client *Client

	// HandOver gives a pair that logs in to whoever uses it: the new one, or after an earlier
	// rotation the main one. It is called again by a run that continues one that died. Where
	// it fails, nothing is swapped and nothing ended.
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

// StateError says that the pair beside the main one is in a state that is not known, so that
// nothing is done to it.
type StateError struct {
	App   string
	State State
}

func (e *StateError) Error() string {
	return fmt.Sprintf("the pair beside the main one of %s is in the state %q, which is not known, so it is left alone", e.App, string(e.State))
}

// Run rotates the pair of an app's consumer, or continues a rotation. Where an earlier rotation's
// old pair is still there, it proves and hands over the main pair, and ends the old one where
// RevokeOld says so.
func (r *Rotation) Run(ctx context.Context, app string) (*Outcome, error) {
	s, err := r.Client.Status(ctx, app)
	if err != nil {
		return nil, err
	}
	if err := r.notOwn(ctx, s); err != nil {
		return nil, err
	}
	if s.Beside != nil {
		switch s.Beside.State {
		case Active, Expired:
		case Rotated:
			return r.again(ctx, s)
		default:
			return nil, &StateError{s.Consumer.App, s.Beside.State}
		}
	}
	staged, err := r.stage(ctx, s)
	if err != nil {
		return nil, err
	}
	revoke, err := r.proveStaged(ctx, s, &staged)
	if err != nil {
		return nil, fmt.Errorf("the new pair is staged, but does not log in: %w", err)
	}
	r.step("the new pair logs in")
	if err := r.HandOver(ctx, staged.Pair); err != nil {
		if revoke != nil {
			revoke()
		}
		return nil, &HandOverError{s.Consumer.App, err}
	}
	r.step("handed over")
	if err := r.swap(ctx, s, staged, revoke); err != nil {
		return nil, err
	}
	s.Main = staged.Pair
	o := &Outcome{App: s.Consumer.App, Key: staged.Key, Expires: time.Now().Add(oldLife)}
	if err := r.confirm(ctx, s, o); err != nil {
		return o, err
	}
	o.Rotated = true
	r.step("the new pair is the main one, and logs in")
	return o, r.end(ctx, s, o)
}

// again is a run after a rotation whose old pair has not expired yet.
func (r *Rotation) again(ctx context.Context, s *Status) (*Outcome, error) {
	r.step("rotated before; the old pair logs in until %s", s.Beside.Expires.Format(time.DateOnly))
	o := &Outcome{App: s.Consumer.App, Key: s.Main.Key, OldKey: s.Beside.Key, Expires: s.Beside.Expires}
	if err := r.confirm(ctx, s, o); err != nil {
		return o, err
	}
	r.step("the main pair logs in")
	// Whoever rotated may have told nobody.
	if err := r.HandOver(ctx, s.Main); err != nil {
		return o, fmt.Errorf("the main pair was not handed over, so the old one stays: %w", err)
	}
	r.step("handed over the main pair")
	return o, r.end(ctx, s, o)
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

// stage returns the pair that is staged, or stages one. Its secret is there.
func (r *Rotation) stage(ctx context.Context, s *Status) (*Staged, error) {
	beside := s.Beside
	if beside != nil && beside.State == Active {
		r.step("a new pair is staged already")
		return r.Client.whole(ctx, s.Consumer, beside)
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
	return r.Client.whole(ctx, s.Consumer, staged)
}

// whole returns a staged pair with its secret, which is missing for a while after the org's
// setting was switched on.
func (c *Client) whole(ctx context.Context, of *Consumer, staged *Staged) (*Staged, error) {
	for _, pause := range secretWaits {
		if staged.Key != "" && !staged.Secret.IsZero() {
			return staged, nil
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
		again, err := c.Staged(ctx, of)
		if err != nil {
			return nil, err
		}
		if again != nil {
			staged = again
		}
	}
	if staged.Key == "" || staged.Secret.IsZero() {
		return nil, &NoSecretError{of.App}
	}
	return staged, nil
}

// proveStaged proves that the staged pair logs in. At the same time it looks whether it is still
// the one that is staged: two runs at once may have staged one each, and where the second replaces
// the first, both go on with that.
func (r *Rotation) proveStaged(ctx context.Context, s *Status, staged **Staged) (revoke func(), err error) {
	for range 3 {
		var now *Staged
		group, groupCtx := errgroup.WithContext(ctx)
		group.Go(func() (err error) {
			now, err = r.Client.Staged(groupCtx, s.Consumer)
			return err
		})
		var proofErr error
		group.Go(func() error {
			revoke, proofErr = r.prove(groupCtx, (*staged).Pair, true)
			return nil
		})
		if err := group.Wait(); err != nil {
			if revoke != nil {
				revoke()
			}
			return nil, err
		}
		if now == nil || now.State != Active || now.Key == (*staged).Key {
			return revoke, proofErr // swapped meanwhile, or still there
		}
		if revoke != nil {
			revoke()
		}
		if *staged, err = r.Client.whole(ctx, s.Consumer, now); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("somebody else stages one pair after another")
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
	return fmt.Errorf("the new pair is staged and handed over, but did not become the main one; run the same again: %w", err)
}

// confirm proves that the main pair logs in, and that it is the main one.
func (r *Rotation) confirm(ctx context.Context, s *Status, o *Outcome) error {
	var now Pair
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		now, err = r.Client.pair(groupCtx, s.Consumer)
		return err
	})
	group.Go(func() error {
		revoke, err := r.prove(groupCtx, s.Main, false)
		if revoke != nil {
			revoke()
		}
		if err != nil {
			return fmt.Errorf("the main pair does not log in: %w", err)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if now.Key != s.Main.Key {
		return fmt.Errorf("the org accepted the new pair of %s as the main one, and has another; run the same again", s.Consumer.App)
	}
	o.Verified = true
	return nil
}

// end ends the old pair where that is wanted. What is beside the main pair is looked up again,
// because the swap may have changed its ID.
func (r *Rotation) end(ctx context.Context, s *Status, o *Outcome) error {
	if !r.RevokeOld {
		return nil
	}
	old, err := r.Client.Staged(ctx, s.Consumer)
	if err != nil {
		return err
	}
	if old != nil {
		if old.State != Rotated && old.State != Expired || old.Key == s.Main.Key {
			return &StateError{s.Consumer.App, old.State}
		}
		if err := r.Client.Discard(ctx, s.Consumer, old); err != nil && !isGone(err) {
			return err
		}
	}
	o.OldKey, o.Expires = "", time.Time{}
	r.step("the old pair logs in no more")
	return nil
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
	// Another run may have gone on with it meanwhile, and made it the main one.
	now, err := c.Staged(ctx, s.Consumer)
	if err != nil {
		return false, err
	}
	if now != nil && now.State == Active && now.Key == s.Beside.Key {
		if err := c.Discard(ctx, s.Consumer, now); err != nil && !isGone(err) {
			return false, err
		}
		return true, nil
	}
	main, err := c.pair(ctx, s.Consumer)
	if err == nil && handOver != nil && main.Key != s.Main.Key {
		err = handOver(ctx, main)
	}
	return false, err
}

// wait calls try again, at growing intervals up to half a minute, as long as an org refuses a
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
