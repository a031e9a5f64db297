// Package consumer works on the OAuth consumers of External Client Apps: it finds an app's
// consumer, reads its key and secret, proves that a login works, and rotates the pair.
//
//	client := &consumer.Client{Conn: conn}
//	found, err := client.Find(ctx, "MyApp")
//	pair, err := client.Credentials(ctx, found)
//	proof, err := consumer.ClientCredentials(conn.InstanceURL, pair).Verify(ctx, httpClient)
//
// The platform serves consumers over REST from API version 60.0 on, and pairs that are staged
// beside the main one from 65.0 on. Salesforce's documentation of the resources
// /apps/oauth/credentials, and reports from live orgs, are the source of what is here.
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

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Client works on the consumers of one org. It holds no state and may be used by several
// goroutines.
type Client struct{ Conn *salesforce.Conn }

// Pair is a consumer's key and secret.
type Pair struct {
	Key    string
	Secret salesforce.Secret
}

// ShortKey returns the key as it may be shown: enough of it to tell keys apart.
func (p Pair) ShortKey() string { return words.ShortKey(p.Key) }

// check refuses a pair that could break out of where it is written.
func (p Pair) check() error {
	if strings.ContainsFunc(p.Key+p.Secret.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the org answered a key or secret with characters that none has")
	}
	return nil
}

// Consumer is the consumer of an app on one org.
type Consumer struct {
	App   string    // the app's name
	AppID string    // 0xI…
	ID    string    // 888…
	Made  time.Time // when the app's OAuth settings were made, zero where the org does not tell

	// Packaged says that the app can come from a package. Source is then the ID of the org that
	// its link leads to, which has the consumer; on that org itself, the app is Packaged too.
	Packaged bool
	Source   string
}

// minVersion and minStaged are the API versions that have the resources.
const (
	minVersion apiversion.Version = 60
	minStaged  apiversion.Version = 65
)

// MaxPropagation is how long the token endpoint may not know a new consumer. Salesforce's
// documentation says two to ten minutes, others saw up to thirty.
const MaxPropagation = 30 * time.Minute

// consumerLack is what an app lacks before its OAuth is enabled.
const consumerLack = "OAuth consumer"

// Young reports whether the consumer is so new that the token endpoint may not know it yet.
func (c *Consumer) Young(now time.Time) bool {
	return !c.Made.IsZero() && now.Sub(c.Made) < MaxPropagation
}

// PackagedError says that an app comes from a package, so that its consumer is on another org.
type PackagedError struct {
	App    string
	Source string // the ID of that org
}

func (e *PackagedError) Error() string {
	return fmt.Sprintf("the app %s comes from a package, and its consumer is on the org %s, where the package was made", e.App, e.Source)
}

// SeveralError says that an app has several consumers, so that none can be chosen.
type SeveralError struct {
	App string
	IDs []string
}

func (e *SeveralError) Error() string {
	return fmt.Sprintf("the app %s has %d consumers on this org (%s), and which one is meant cannot be told", e.App, len(e.IDs), strings.Join(e.IDs, ", "))
}

// AccessError says that an org does not let a session read consumers.
type AccessError struct {
	// Setting says that it is the org's setting that is off; otherwise the user lacks a
	// permission.
	Setting bool
	Err     error // what the org answered
}

func (e *AccessError) Error() string {
	if e.Setting {
		return "this org does not let its REST API read consumer secrets"
	}
	return "the user of this session may not read consumer secrets"
}

// Unwrap returns what the org answered.
func (e *AccessError) Unwrap() error { return e.Err }

// NoSecretError says that the org answered with the key and without the secret.
type NoSecretError struct{ App string }

func (e *NoSecretError) Error() string {
	return fmt.Sprintf("the org shows the key of %s and not yet its secret", e.App)
}

// accessError tells refusals of the right from others, by their code: the status of
// INSUFFICIENT_ACCESS is not sure.
func accessError(err error) error {
	if refused, ok := errors.AsType[*salesforce.Error](err); ok {
		switch {
		case refused.Code == "FUNCTIONALITY_NOT_ENABLED":
			return &AccessError{Setting: true, Err: err}
		case strings.HasPrefix(refused.Code, "INSUFFICIENT_ACCESS"):
			return &AccessError{Err: err}
		}
	}
	return err
}

func (c *Client) rest() *restapi.Client { return &restapi.Client{Conn: c.Conn} }

// get reads one of the resources.
func (c *Client) get(ctx context.Context, path string, out any) error {
	return accessError(c.rest().Do(ctx, http.MethodGet, path, nil, out))
}

// path is the resource of a consumer.
func (c *Consumer) path() string {
	return "apps/oauth/credentials/" + url.PathEscape(c.AppID) + "/" + url.PathEscape(c.ID)
}

// Find finds the consumer of an app by the app's name. It is one round of requests, or two where
// the org does not tell the link of the app's OAuth settings, which names the consumer. An error
// is an *apps.NotFoundError, a *SeveralError or an *AccessError where the org answers.
func (c *Client) Find(ctx context.Context, app string) (*Consumer, error) {
	if v := c.Conn.APIVersion(); v < minVersion {
		return nil, fmt.Errorf("consumers can be read from API version %s on, not with %s", minVersion, v)
	}
	type named struct {
		ID                               string `json:"Id"`
		DeveloperName, DistributionState string
	}
	type settings struct {
		ExternalClientApplicationID string `json:"ExternalClientApplicationId"`
		OauthLink, CreatedDate      string
	}
	var all []named
	var links []settings
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		all, err = restapi.Query[named](groupCtx, c.rest(), "SELECT Id, DeveloperName, DistributionState FROM ExternalClientApplication WHERE NamespacePrefix = null")
		return err
	})
	group.Go(func() (err error) {
		// That the object has CreatedDate, as all others have, is assumed. An org that does not
		// answer says nothing of link and age.
		links, err = restapi.Query[settings](groupCtx, c.rest(), "SELECT ExternalClientApplicationId, OauthLink, CreatedDate FROM ExtlClntAppOauthSettings")
		if refused, ok := errors.AsType[*salesforce.Error](err); ok && refused.Code == "INVALID_FIELD" {
			links, err = restapi.Query[settings](groupCtx, c.rest(), "SELECT ExternalClientApplicationId, OauthLink FROM ExtlClntAppOauthSettings")
		}
		if restapi.Refused(err) {
			return nil
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	missing := &apps.NotFoundError{App: app}
	var found *Consumer
	for _, one := range all {
		if strings.EqualFold(one.DeveloperName, app) {
			found = &Consumer{App: one.DeveloperName, AppID: one.ID, Packaged: one.DistributionState != "" && one.DistributionState != "Local"}
		}
		missing.Similar = append(missing.Similar, one.DeveloperName)
	}
	if found == nil {
		return nil, missing
	}
	for _, one := range links {
		if restapi.SameID(one.ExternalClientApplicationID, found.AppID) {
			found.Source, found.ID, _ = strings.Cut(one.OauthLink, ":")
			found.Made = restapi.ParseTime(one.CreatedDate)
		}
	}
	if found.ID != "" {
		return found, nil
	}
	return found, c.list(ctx, found)
}

// list asks an app for its consumers, of which there has to be one.
func (c *Client) list(ctx context.Context, of *Consumer) error {
	var list struct {
		Consumers []struct{ ID, Key string }
	}
	if err := c.get(ctx, "apps/oauth/credentials/"+url.PathEscape(of.AppID), &list); err != nil {
		return err
	}
	switch len(list.Consumers) {
	case 0:
		return &apps.NoOAuthError{App: of.App, Lack: consumerLack}
	case 1:
		of.ID = list.Consumers[0].ID
		return nil
	}
	several := &SeveralError{App: of.App}
	for _, one := range list.Consumers {
		several.IDs = append(several.IDs, one.ID)
	}
	return several
}

// Key returns the key of an app's consumer without its secret, from the metadata of the app,
// which every org shows. It needs no setting of the org, in two rounds of requests.
func (c *Client) Key(ctx context.Context, app string) (string, error) {
	global, err := apps.Component(ctx, c.Conn, app, eca.GlobalOAuthSettings)
	if err != nil {
		return "", err
	}
	if global == nil || global.Text("consumerKey") == "" {
		return "", &apps.NoOAuthError{App: app, Lack: consumerLack}
	}
	return global.Text("consumerKey"), nil
}

// Global returns the global OAuth settings of an app, nil where there are none.
func (c *Client) Global(ctx context.Context, app string) (*metadata.Component, error) {
	return apps.Component(ctx, c.Conn, app, eca.GlobalOAuthSettings)
}

// Policies returns the OAuth policies of an app, nil where there are none.
func (c *Client) Policies(ctx context.Context, app string) (*metadata.Component, error) {
	return apps.Component(ctx, c.Conn, app, eca.OAuthPolicies)
}

// Credentials reads the key and the secret of a consumer, and makes sure that it is the only one
// of its app. Where the org's setting was switched on only just now, the secret is missing at
// first: it is asked for again for a while, and then the error is a *NoSecretError.
func (c *Client) Credentials(ctx context.Context, of *Consumer) (Pair, error) {
	var pair Pair
	listed := *of
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.list(groupCtx, &listed) })
	group.Go(func() (err error) {
		pair, err = c.pair(groupCtx, of)
		if refused, ok := errors.AsType[*salesforce.Error](err); ok && refused.Code == "NOT_FOUND" {
			return nil // which the list explains
		}
		return err
	})
	err := group.Wait()
	if missing := (*apps.NoOAuthError)(nil); of.Packaged && errors.As(err, &missing) {
		return Pair{}, &PackagedError{App: of.App, Source: of.Source}
	}
	if err != nil {
		return Pair{}, err
	}
	if pair.Key == "" || !restapi.SameID(listed.ID, of.ID) {
		of.ID = listed.ID // the link led elsewhere
		return c.pair(ctx, of)
	}
	return pair, nil
}

func (c *Client) pair(ctx context.Context, of *Consumer) (Pair, error) {
	for attempt := 0; ; attempt++ {
		var answer struct {
			Key    string
			Secret salesforce.Secret
		}
		if err := c.get(ctx, of.path()+"?part=KeyAndSecret", &answer); err != nil {
			return Pair{}, err
		}
		if !answer.Secret.IsZero() && answer.Key != "" {
			return Pair(answer), Pair(answer).check()
		}
		if attempt == len(secretWaits) {
			return Pair{}, &NoSecretError{of.App}
		}
		if err := sleep(ctx, secretWaits[attempt]); err != nil {
			return Pair{}, err
		}
	}
}

// secretWaits are the waits before a secret that is not there yet is asked for again.
var secretWaits = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// accessField is the field of the org's settings that lets REST read consumer secrets.
const accessField = "enableClientSecretInRestApiAccess"

// Access reports whether the org lets its REST API read consumer secrets.
func (c *Client) Access(ctx context.Context) (bool, error) {
	settings, err := c.settings(ctx)
	return err == nil && eca.Bool(settings, accessField), err
}

func (c *Client) settings(ctx context.Context) (*metadata.Component, error) {
	found, err := (&mdapi.Client{Conn: c.Conn}).Read(ctx, eca.OrgSettings, eca.OrgSettingsName)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("the org does not show its settings of External Client Apps")
	}
	return found[0], nil
}

// SetAccess lets the org's REST API read consumer secrets, or no longer. Other settings stay as
// they are.
func (c *Client) SetAccess(ctx context.Context, on bool) error {
	// Setting a value twice does no harm, so an answer that was lost is no reason to stop.
	return c.Conn.Retry.Do(ctx, func() error { return c.setAccess(ctx, on) })
}

func (c *Client) setAccess(ctx context.Context, on bool) error {
	settings, err := c.settings(ctx)
	if err != nil {
		return err
	}
	wanted := make(metadata.Fields)
	wanted.Set(accessField, fmt.Sprint(on))
	changed, _ := eca.Lookup(eca.OrgSettings).Overlay(settings, wanted)
	results, err := (&mdapi.Client{Conn: c.Conn}).Update(ctx, []*metadata.Component{changed})
	if err != nil {
		return err
	}
	for _, r := range results {
		if !r.Success {
			return r.Errors[0]
		}
	}
	return nil
}
