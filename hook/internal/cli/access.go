package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// accessFlags let a command read secrets where the org does not let them be read.
type accessFlags struct {
	EnableAccess bool `name:"enable-access" help:"Switch on, for the reading only, the org setting that lets secrets be read over REST. Leaves it on if it is on already."`
}

// accessSetting is what messages call the setting.
const accessSetting = "the REST access to consumer secrets (enableClientSecretInRestApiAccess)"

// during does something while the secrets of an app can be read, and reports whether the setting was switched on
// for it. If another run switches it off meanwhile, during switches it on again and does the same thing again.
func (f *accessFlags) during(ctx context.Context, e *env, client *consumer.Client, work *orgs.Work, app string, do func(*access) error) (switched bool, err error) {
	if f.EnableAccess { // nothing is switched on for an app that does not exist
		if _, err := client.Find(ctx, app); err != nil && !isSettingOff(err) {
			return false, err
		}
	}
	a := &access{enable: f.EnableAccess, env: e, client: client, work: work}
	if err := a.open(ctx); err != nil {
		return false, err
	}
	for range maxReopened {
		if err = do(a); !isSettingOff(err) || !f.EnableAccess || ctx.Err() != nil {
			break
		}
		if err = a.reopen(ctx); err != nil {
			break
		}
	}
	switch failed := a.close(ctx); {
	case failed == nil:
	case err == nil:
		err = failed
	default:
		err = fmt.Errorf("%w; and %w", err, failed)
	}
	return a.switched, err
}

// isSettingOff reports whether an org does not let anybody read secrets.
func isSettingOff(err error) bool {
	locked, ok := errors.AsType[*consumer.AccessError](err)
	return ok && locked.Setting
}

// maxReopened is the maximum number of retries after another run has switched the setting off.
const maxReopened = 3

// access is the org's setting during the reading of secrets. A record on this machine says that a run has switched
// it on, so that the next run can switch it off if this one is killed, and no run does so while another one reads.
type access struct {
	enable bool
	env    *env
	client *consumer.Client
	work   *orgs.Work

	record   *orgs.Record
	restore  bool // close switches it off
	switched bool // by this run
}

// open switches the setting on where it is off, if that is wanted. An earlier run on this machine that was killed
// may have left it on: then it is switched off at the end.
func (a *access) open(ctx context.Context) (err error) {
	a.restore = false
	var unkept error
	if a.record, unkept = a.env.OpenRecord(accessRecord(a.client), a.enable); unkept != nil {
		a.record = nil // as where the home directory cannot be written
	}
	since := a.record.Since()
	if !a.enable && since.IsZero() {
		return a.record.Close()
	}
	on, err := a.client.Access(ctx)
	switch {
	case err != nil:
		a.record.Close()
		return err
	case on && since.IsZero():
		a.work.Note("%s is on already; it stays on, because no run on this machine has switched it on", accessSetting)
		return a.record.Close()
	case on:
		a.restore = true
		if a.record.Abandoned() {
			a.work.Note("an interrupted run on this machine left %s on at %s; it is switched off afterwards", accessSetting, since.Local().Format(time.DateTime))
		}
		return nil
	case !a.enable: // a run was killed before it had switched it on
		if a.record.Last() {
			err = a.record.Clear()
		}
		return errors.Join(err, a.record.Close())
	}
	if a.record == nil {
		if unkept == nil {
			unkept = errors.New("there is no directory for it that only this user can write")
		}
		a.work.Note("no record is kept (%v); if this run is killed, eca repair --close-access switches the setting off", unkept)
	}
	if err := a.record.Set(); err != nil {
		a.record.Close()
		return err
	}
	return a.switchOn(ctx)
}

func (a *access) switchOn(ctx context.Context) error {
	err := a.client.SetAccess(ctx, true)
	a.restore = err == nil || salesforce.IsUncertain(err) || ctx.Err() != nil // it may be on
	if err != nil {
		return errors.Join(err, a.close(ctx))
	}
	a.switched = true
	a.work.Note("switched on %s", accessSetting)
	return nil
}

// reopen opens the setting again, which another run has switched off.
func (a *access) reopen(ctx context.Context) error {
	if a.restore {
		return a.switchOn(ctx) // the record is held
	}
	return a.open(ctx)
}

// close switches the setting off again if it was switched on for this run, unless another run on this machine
// still reads. It does so also if the run is interrupted.
func (a *access) close(ctx context.Context) error {
	if !a.restore {
		return nil
	}
	a.restore = false
	defer a.record.Close()
	if !a.record.Last() {
		a.work.Note("%s stays on for another run on this machine, which switches it off", accessSetting)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := a.client.SetAccess(ctx, false); err != nil {
		return &leftOnError{err}
	}
	a.work.Note("switched off %s again", accessSetting)
	return a.record.Clear()
}

// outside does something that takes its time, like a command that gets a secret, while the setting is as it was
// before.
func (a *access) outside(ctx context.Context, do func() error) error {
	reopen := a.restore
	if err := a.close(ctx); err != nil {
		return err
	}
	if err := do(); err != nil || !reopen {
		return err
	}
	return a.open(ctx)
}

// leftOnError reports that the setting is on and should be off.
type leftOnError struct{ err error }

func (e *leftOnError) Error() string {
	return accessSetting + " could not be switched off again: " + e.err.Error()
}

func (e *leftOnError) Unwrap() error { return e.err }

// accessRecord returns the name of the record of an org.
func accessRecord(client *consumer.Client) string {
	host := client.Conn.InstanceURL
	if u, err := url.Parse(host); err == nil && u.Host != "" {
		host = u.Host
	}
	return "access-" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, strings.ToLower(host))
}

// closeAccess switches the setting of an org off, whoever has switched it on.
func closeAccess(ctx context.Context, e *env, work *orgs.Work, client *consumer.Client) (closed bool, err error) {
	on, err := client.Access(ctx)
	if err != nil {
		return false, err
	}
	if on {
		if err := client.SetAccess(ctx, false); err != nil {
			return false, err
		}
		work.Line("switched off %s", accessSetting)
	} else {
		work.Line("%s is off already", accessSetting)
	}
	record, err := e.OpenRecord(accessRecord(client), false)
	if err != nil || record == nil {
		return on, nil // a record that is left is checked against the setting anyway
	}
	defer record.Close()
	if record.Last() {
		err = record.Clear()
	}
	return on, err
}
