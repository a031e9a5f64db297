package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Rotation replaces the credentials of a consumer: it stages new ones, proves that they work, hands
// them over, makes them the main ones, and proves them again. All state is on the org, so the next run
// completes one that was interrupted at any step: staged credentials work at once, and the old ones
// for another 30 days.
type Rotation struct {
	Client *Client

	// Consumer is the consumer of the app to rotate, as Consumers returns it. Default: the only one.
	Consumer *Consumer

	// HandOver gives working credentials to their users: the new ones, or the main ones after an
	// earlier rotation. A run that completes an interrupted one calls it again. If it fails, nothing is
	// swapped or revoked. It is required.
	HandOver HandOver

	// Wait is how long to ask again while the token endpoint does not know the new credentials.
	Wait time.Duration

	// RevokeOld revokes the old credentials at the end. If false, they expire by themselves.
	RevokeOld bool

	// Now is for credentials that have leaked: whatever the state of the last rotation is, the run rotates,
	// and revokes all other credentials. Those of an earlier rotation, which have to go before others
	// can be staged, are revoked first. Those that an interrupted run has staged become the main ones.
	Now bool

	// EvenIfHandOverFails goes on without a hand-over that fails. Its error is returned at the end.
	EvenIfHandOverFails bool

	// Progress, if not nil, is called for each event.
	Progress func(Event)
}

// HandOver gives working credentials to their users.
type HandOver func(context.Context, login.Credentials) error

// Event is something that has happened in a rotation.
type Event struct {
	Step    Step
	Expires time.Time     // when the old credentials expire; of FoundRotated
	Wait    time.Duration // the time to the next attempt; of Waiting
	Left    time.Duration // the time for which attempts go on; of Waiting
	Refusal error         // the last refusal; of Waiting
}

// Step is the kind of an Event.
type Step string

// The steps, in the order of a run.
const (
	FoundStaged  Step = "found staged"  // an earlier run has staged new credentials
	FoundRotated Step = "found rotated" // an earlier run has rotated, and the old ones still work
	NewStaged    Step = "staged"        // new credentials are staged
	Waiting      Step = "waiting"       // the org does not know them yet
	Proved       Step = "proved"        // they work; after FoundRotated, the main ones
	HandedOver   Step = "exported"      // their users have them
	Swapped      Step = "swapped"       // they are the main ones, and work
	OldRevoked   Step = "old revoked"   // the old ones no longer work
	EarlierEnded Step = "earlier ended" // those of an earlier rotation no longer work; of a run with Now
)

// RotationResult is the result of a rotation.
type RotationResult struct {
	App string
	// Rotated reports that this run made the new credentials the main ones. If false, an earlier run
	// had done so, and the old ones have not expired yet.
	Rotated bool
	Key     string // of the main credentials
	OldKey  string // "" if the old credentials are revoked, or the org does not show them
	// Expires is when the old credentials expire, zero if they no longer work.
	Expires  time.Time
	Verified bool // the main credentials work
}

// OwnSessionError reports that the session was issued to the consumer that it is to rotate.
type OwnSessionError struct{ App string }

func (e *OwnSessionError) Error() string {
	return fmt.Sprintf("this session was issued to the consumer of %s, which must not rotate its own credentials", e.App)
}

// HandOverError reports that new credentials are staged, but exporting them failed.
type HandOverError struct {
	App string
	Err error // from Rotation.HandOver
}

func (e *HandOverError) Error() string {
	return fmt.Sprintf("the new credentials of %s are staged, but exporting them failed: %v", e.App, e.Err)
}

// Unwrap returns e.Err.
func (e *HandOverError) Unwrap() error { return e.Err }

// SwapError reports that new credentials are staged and exported, but did not become the main ones.
// Another run completes the rotation.
type SwapError struct {
	App string
	Err error // the org's answer
}

func (e *SwapError) Error() string {
	const text = "the new credentials of %s are staged and exported, but did not become the main ones: %v"
	return fmt.Sprintf(text, e.App, e.Err)
}

// Unwrap returns e.Err.
func (e *SwapError) Unwrap() error { return e.Err }

// StateError reports that the credentials beside the main ones are in a state that does not allow the
// next step. They are left alone.
type StateError struct {
	App   string
	State State
}

func (e *StateError) Error() string {
	return fmt.Sprintf("the credentials beside the main ones of %s are in the unexpected state %q", e.App, string(e.State))
}

func (r *Rotation) report(event Event) {
	if r.Progress != nil {
		r.Progress(event)
	}
}

// Run rotates the credentials of an app's consumer, or completes a rotation. If the old credentials of
// an earlier rotation still work, Run proves and hands over the main ones, and revokes the old ones if
// RevokeOld is set. The result is not nil once the new credentials are the main ones.
func (r *Rotation) Run(ctx context.Context, app string) (*RotationResult, error) {
	switch {
	case r == nil || r.HandOver == nil:
		return nil, errors.New("a rotation without HandOver would leave nobody with the new credentials")
	case r.Client == nil || r.Client.Conn == nil:
		return nil, errors.New("a rotation needs a Client with a connection to an org")
	}
	found := r.Consumer
	if found == nil {
		var err error
		if found, err = r.Client.Find(ctx, app); err != nil {
			return nil, err
		}
	}
	if found.Packaged {
		return nil, &NotLocalError{found.App}
	}
	s, err := r.Client.StatusOf(ctx, found)
	if err != nil {
		return nil, err
	}
	if err := r.notOwn(ctx, s); err != nil {
		return nil, err
	}
	if s.Beside != nil {
		switch state := s.Beside.State; {
		case state == Active || state == Expired:
		case r.Now:
			if err := r.Client.discard(ctx, s.Consumer, s.Beside); err != nil {
				return nil, err
			}
			s.Beside = nil
			r.report(Event{Step: EarlierEnded})
		case state == Rotated:
			return r.again(ctx, s)
		default:
			return nil, &StateError{s.Consumer.App, state}
		}
	}
	staged, err := r.stage(ctx, s)
	if err != nil {
		return nil, err
	}
	staged, session, err := r.proveStaged(ctx, s, staged)
	if err != nil {
		return nil, fmt.Errorf("the new credentials are staged, but do not work: %w", err)
	}
	r.report(Event{Step: Proved})
	var lost error // the new credentials are not exported
	if err := r.HandOver(ctx, staged.Credentials); err != nil {
		lost = &HandOverError{s.Consumer.App, err}
		if !r.EvenIfHandOverFails || ctx.Err() != nil {
			session.Revoke(ctx)
			return nil, lost
		}
	} else {
		r.report(Event{Step: HandedOver})
	}
	if err := r.swap(ctx, s, staged, session); err != nil {
		return nil, err
	}
	old := s.Main.Key
	s.Main = staged.Credentials
	result := &RotationResult{App: s.Consumer.App, Key: staged.Key, OldKey: old, Expires: time.Now().Add(oldLife)}
	if err := r.confirm(ctx, s, result); err != nil {
		return result, err
	}
	result.Rotated = true
	r.report(Event{Step: Swapped})
	return result, cmp.Or(r.revokeOld(ctx, s, result), lost)
}

// again completes a rotation whose old credentials have not expired yet.
func (r *Rotation) again(ctx context.Context, s *Status) (*RotationResult, error) {
	r.report(Event{Step: FoundRotated, Expires: s.Beside.Expires})
	result := &RotationResult{App: s.Consumer.App, Key: s.Main.Key, OldKey: s.Beside.Key, Expires: s.Beside.Expires}
	if err := r.confirm(ctx, s, result); err != nil {
		return result, err
	}
	r.report(Event{Step: Proved})
	// The rotation may have been done elsewhere, as in Setup, without a hand-over.
	if err := r.HandOver(ctx, s.Main); err != nil {
		return result, fmt.Errorf("the main credentials were not exported, so the old ones stay: %w", err)
	}
	r.report(Event{Step: HandedOver})
	return result, r.revokeOld(ctx, s, result)
}

// notOwn returns an error if the session was issued to the consumer. If the org refuses to say so, as
// for a consumer that may not introspect, the session counts as another one's, which is the rule.
func (r *Rotation) notOwn(ctx context.Context, s *Status) error {
	token, err := r.Client.Conn.Tokens.Token()
	if err != nil {
		return err
	}
	answer, err := login.Introspect(ctx, r.Client.Conn, s.Main, salesforce.NewSecret(token.AccessToken))
	_, unreachable := errors.AsType[*salesforce.NetworkError](err)
	switch {
	case unreachable, salesforce.IsTransient(err):
		return err
	case err != nil:
		return ctx.Err()
	case answer.Active && (answer.ClientID == s.Main.Key || s.Beside != nil && answer.ClientID == s.Beside.Key):
		return &OwnSessionError{s.Consumer.App}
	}
	return nil
}

// stage returns the staged credentials with their secret. If there are none, it stages some.
func (r *Rotation) stage(ctx context.Context, s *Status) (*Staged, error) {
	beside := s.Beside
	if beside != nil && beside.State == Active {
		r.report(Event{Step: FoundStaged})
		return r.Client.complete(ctx, s.Consumer, beside)
	}
	if beside != nil { // expired
		if err := r.Client.discard(ctx, s.Consumer, beside); err != nil {
			return nil, err
		}
	}
	staged, err := r.Client.stage(ctx, s.Consumer)
	if err != nil {
		// The org may have acted without an answer, or another run was faster.
		found, lookErr := r.Client.staged(ctx, s.Consumer)
		if lookErr != nil || found == nil || found.State != Active {
			return nil, err
		}
		staged = found
	}
	r.report(Event{Step: NewStaged})
	return r.Client.complete(ctx, s.Consumer, staged)
}

// proveStaged proves that the staged credentials work, and looks at the same time whether they are still
// the staged ones: two concurrent runs may each have staged some. If the second replaced the first,
// both continue with the second. The session is that of the proof.
func (r *Rotation) proveStaged(ctx context.Context, s *Status, staged *Staged) (*Staged, *login.Session, error) {
	for range 3 {
		var now *Staged
		var session *login.Session
		var proofErr error
		group, groupCtx := errgroup.WithContext(ctx)
		group.Go(func() (err error) {
			now, err = r.Client.staged(groupCtx, s.Consumer)
			return err
		})
		group.Go(func() error {
			if session, proofErr = r.prove(groupCtx, s, staged.Credentials); proofErr == nil && session != nil {
				_, proofErr = session.UserInfo(groupCtx)
			}
			return nil
		})
		err := group.Wait()
		if replaced := err == nil && now != nil && now.State == Active && now.Key != staged.Key; !replaced {
			if err = cmp.Or(err, proofErr); err == nil {
				return staged, session, nil
			}
		}
		session.Revoke(ctx)
		if err != nil {
			return nil, nil, err
		}
		if staged, err = r.Client.complete(ctx, s.Consumer, now); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, errors.New("another run stages credentials again and again")
}

// prove is Client.Prove with the patience of the rotation.
func (r *Rotation) prove(ctx context.Context, s *Status, c login.Credentials) (*login.Session, error) {
	waiting := func(wait, left time.Duration, refusal error) {
		r.report(Event{Step: Waiting, Wait: wait, Left: left, Refusal: refusal})
	}
	return r.Client.Prove(ctx, &Consumer{App: s.Consumer.App}, c, login.Patience{Limit: r.Wait, Waiting: waiting})
}

// Prove proves that credentials work, and returns the session, or nil if they can be proved only without
// one. For an app whose client credentials flow does not work, the proof is that the org lets the
// consumer introspect a token. The caller revokes the session. Prove waits, as patience allows, only while nothing
// on the org explains the refusal but that the consumer is new; without a time of creation, found may be new.
func (c *Client) Prove(ctx context.Context, found *Consumer, credentials login.Credentials, patience login.Patience) (session *login.Session, err error) {
	conn := c.Conn
	if patience.NotYet == nil {
		var once sync.Once
		var state *login.State
		patience.NotYet = func(err error) bool {
			if !login.IsNotYetKnown(err) {
				return false
			}
			once.Do(func() { state = login.Look(ctx, conn, login.Attempt{App: found.App, Created: found.Created}) })
			return state.Diagnose(err).Cause == refusal.NewConsumer
		}
	}
	err = patience.Wait(ctx, func(ctx context.Context) error {
		flow := login.ClientCredentials(conn.InstanceURL, credentials)
		flow.Retry = conn.Retry
		session, err = flow.Open(ctx, conn.HTTPClient)
		if why, _ := login.Explain(err); why.ConsumerAccepted() {
			_, err = login.Introspect(ctx, conn, credentials, salesforce.NewSecret("none"))
		}
		return err
	})
	return session, err
}

// swap makes the staged credentials the main ones. Meanwhile it revokes the proof's session.
func (r *Rotation) swap(ctx context.Context, s *Status, staged *Staged, session *login.Session) error {
	var group errgroup.Group
	group.Go(func() error { session.Revoke(ctx); return nil })
	err := r.Client.rotate(ctx, s.Consumer, staged)
	group.Wait()
	if err == nil {
		return nil
	}
	// The answer may have been lost, or another run was faster.
	if now, lookErr := r.Client.read(ctx, s.Consumer, s.Consumer.ID); lookErr == nil && now.Key == staged.Key {
		return nil
	}
	return &SwapError{s.Consumer.App, err}
}

// confirm proves that the main credentials work, and that the org shows them as the main ones.
func (r *Rotation) confirm(ctx context.Context, s *Status, result *RotationResult) error {
	var now login.Credentials
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		now, err = r.Client.read(groupCtx, s.Consumer, s.Consumer.ID)
		return err
	})
	group.Go(func() error {
		session, err := r.prove(groupCtx, s, s.Main)
		session.Revoke(ctx)
		if err != nil {
			return fmt.Errorf("the main credentials do not work: %w", err)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if now.Key != s.Main.Key {
		return &SwapError{s.Consumer.App, errors.New("the org shows others")}
	}
	result.Verified = true
	return nil
}

// revokeOld revokes the old credentials if RevokeOld is set. It looks them up again, because the swap may
// have changed their ID.
func (r *Rotation) revokeOld(ctx context.Context, s *Status, result *RotationResult) error {
	if !r.RevokeOld && !r.Now {
		return nil
	}
	old, err := r.Client.staged(ctx, s.Consumer)
	if err != nil {
		return err
	}
	if old != nil {
		if old.State != Rotated && old.State != Expired || old.Key == s.Main.Key {
			return &StateError{s.Consumer.App, old.State}
		}
		if err := r.Client.discard(ctx, s.Consumer, old); err != nil {
			return err
		}
	}
	result.OldKey, result.Expires = "", time.Time{}
	r.report(Event{Step: OldRevoked})
	return nil
}

// oldLife is how long the old credentials work after a rotation. Source: Salesforce's documentation.
const oldLife = 30 * 24 * time.Hour
