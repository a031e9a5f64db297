// Package consumer finds the OAuth consumers of External Client Apps, reads their credentials (key and
// secret), and rotates them.
//
//	client := &consumer.Client{Conn: conn}
//	found, err := client.Find(ctx, "MyApp")
//	credentials, err := client.Credentials(ctx, found)
//	proof, err := login.ClientCredentials(conn.InstanceURL, credentials).Verify(ctx, nil)
//
// The REST API has consumers from API version 60.0 on, and staged credentials from 65.0 on. Sources:
// Salesforce's documentation of the resources /apps/oauth/credentials, and reports from live orgs.
package consumer

import (
	"cmp"
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
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Client works on the consumers of one org. It has no state and is safe for concurrent use.
type Client struct{ Conn *salesforce.Conn }

// Consumer is the consumer of an app on one org.
type Consumer struct {
	App     string    // the app's name
	AppID   string    // 0xI…
	ID      string    // 888…
	Key     string    // the consumer key, "" unless Consumers returned it
	Created time.Time // when the app's OAuth settings were created, zero if the org does not show it

	chosen bool // one of several, so the others do not matter

	// Packaged reports that the app can come from a package. Source is the ID of the org to which
	// its link leads, and which has the consumer. On that org, too, the app is Packaged.
	Packaged bool
	Source   string
}

// minVersion and minStaged are the API versions from which the resources exist.
const (
	minVersion apiversion.Version = 60
	minStaged  apiversion.Version = 65
)

// notFound is the platform's code for something that does not exist.
const notFound = "NOT_FOUND"

// consumerLack is what an app lacks before its OAuth is enabled.
const consumerLack = "OAuth consumer"

// Young reports whether the token endpoint may not know the consumer yet, because it is new.
func (c *Consumer) Young(now time.Time) bool { return now.Sub(c.Created) < login.MaxPropagation }

// PackagedError reports that an app comes from a package, so its consumer is on another org.
type PackagedError struct {
	App    string
	Source string // the ID of that org
}

func (e *PackagedError) Error() string {
	return fmt.Sprintf("the app %s comes from a package, and its consumer is on the org %s, where the package was made",
		e.App, e.Source)
}

// NotLocalError reports that an app is Packaged: the platform stages credentials of Local apps only.
type NotLocalError struct{ App string }

func (e *NotLocalError) Error() string {
	return fmt.Sprintf("the app %s is Packaged, and Salesforce stages new credentials of Local apps only", e.App)
}

// SeveralError reports that an app has several consumers, so none can be chosen.
type SeveralError struct {
	App string
	IDs []string
}

func (e *SeveralError) Error() string {
	return fmt.Sprintf("the app %s has several consumers on this org: %s", e.App, strings.Join(e.IDs, ", "))
}

// AccessError reports that an org does not let a session read consumers.
type AccessError struct {
	Setting bool  // the org's setting is off; if false, the user lacks a permission
	Err     error // the org's answer
}

func (e *AccessError) Error() string {
	if e.Setting {
		return "this org does not let its REST API read consumer secrets"
	}
	return "the user of this session may not read consumer secrets"
}

// Unwrap returns the org's answer.
func (e *AccessError) Unwrap() error { return e.Err }

// NoSecretError reports that the org returned the key without the secret.
type NoSecretError struct{ App string }

func (e *NoSecretError) Error() string {
	return fmt.Sprintf("the org shows the consumer key of %s but not yet its secret", e.App)
}

// accessError converts a refusal of the right to read consumers. It goes by the code, because the
// status of INSUFFICIENT_ACCESS varies.
func accessError(err error) error {
	switch code := salesforce.Code(err); {
	case code == "FUNCTIONALITY_NOT_ENABLED":
		return &AccessError{Setting: true, Err: err}
	case strings.HasPrefix(code, "INSUFFICIENT_ACCESS"):
		return &AccessError{Err: err}
	}
	return err
}

func (c *Client) rest() *restapi.Client { return &restapi.Client{Conn: c.Conn} }

// do calls one of the resources.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	return accessError(c.rest().Do(ctx, method, path, in, out))
}

// path returns the resource of a consumer of the app.
func (c *Consumer) path(id string) string {
	return "apps/oauth/credentials/" + url.PathEscape(c.AppID) + "/" + url.PathEscape(id)
}

// Find finds the consumer of one of the org's own apps. It takes one round of requests, or two if the
// org does not show the link of the app's OAuth settings, which contains the consumer's ID. The error
// is an *apps.NotFoundError, an *apps.NoOAuthError, a *SeveralError or an *AccessError if the org
// answers.
func (c *Client) Find(ctx context.Context, app string) (*Consumer, error) {
	found, err := c.locate(ctx, app)
	if err != nil || found.ID != "" {
		return found, err
	}
	found.ID, err = c.list(ctx, found)
	return found, err
}

// Consumers returns all consumers of one of the org's own apps, with their keys. It takes two rounds of
// requests. Errors are those of Find, without a *SeveralError.
func (c *Client) Consumers(ctx context.Context, app string) (all []*Consumer, err error) {
	found, err := c.locate(ctx, app)
	if err != nil {
		return nil, err
	}
	listed, err := c.listAll(ctx, found)
	for _, one := range listed {
		consumer := *found
		consumer.ID, consumer.Key, consumer.chosen = one.ID, one.Key, true
		all = append(all, &consumer)
	}
	if err == nil && len(all) == 0 {
		err = &apps.NoOAuthError{App: found.App, Lack: consumerLack}
	}
	return all, err
}

// locate is Find without a look at the list of consumers: the ID is empty if the org shows no link.
func (c *Client) locate(ctx context.Context, app string) (*Consumer, error) {
	if v := c.Conn.APIVersion(); v < minVersion {
		return nil, fmt.Errorf("consumers can be read from API version %s on, not with %s", minVersion, v)
	}
	type settings struct {
		ExternalClientApplicationID string `json:"ExternalClientApplicationId"`
		OauthLink, CreatedDate      string
	}
	var all []*apps.App
	var links []settings
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { all, _, err = apps.Apps(groupCtx, c.Conn); return err })
	group.Go(func() (err error) {
		columns := []string{"ExternalClientApplicationId", "OauthLink", "CreatedDate"}
		links, _, err = restapi.QueryColumns[settings](groupCtx, c.rest(), columns, "ExtlClntAppOauthSettings")
		if restapi.Refused(err) {
			return nil // then the link and the age are unknown
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	own, err := apps.Named(all, app)
	if err != nil {
		return nil, err
	}
	found := &Consumer{App: own.Name, AppID: own.ID, Packaged: own.Packaged()}
	for _, one := range links {
		if restapi.SameID(one.ExternalClientApplicationID, found.AppID) {
			found.Source, found.ID, _ = strings.Cut(one.OauthLink, ":")
			found.Created = restapi.ParseTime(one.CreatedDate)
		}
	}
	return found, nil
}

type listedConsumer struct{ ID, Key string }

// listAll returns the consumers of an app as the org lists them.
func (c *Client) listAll(ctx context.Context, found *Consumer) ([]listedConsumer, error) {
	var list struct{ Consumers []listedConsumer }
	err := c.do(ctx, http.MethodGet, "apps/oauth/credentials/"+url.PathEscape(found.AppID), nil, &list)
	return list.Consumers, err
}

// list returns the ID of an app's only consumer, as the org lists it.
func (c *Client) list(ctx context.Context, found *Consumer) (string, error) {
	listed, err := c.listAll(ctx, found)
	switch {
	case err != nil:
		return "", err
	case len(listed) == 0:
		return "", &apps.NoOAuthError{App: found.App, Lack: consumerLack}
	case len(listed) == 1:
		return listed[0].ID, nil
	}
	several := &SeveralError{App: found.App}
	for _, one := range listed {
		several.IDs = append(several.IDs, one.ID)
	}
	return "", several
}

// Key returns the key of an app's consumer without its secret, from the metadata of the app. It needs
// no setting of the org, and takes two rounds of requests.
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

// Credentials reads the key and secret of a consumer, and checks that it is the only one of its app unless
// Consumers returned it. If
// the org's setting was switched on only just now, the secret is missing at first: Credentials asks
// again for a while, and then returns a *NoSecretError.
func (c *Client) Credentials(ctx context.Context, found *Consumer) (login.Credentials, error) {
	if found.chosen {
		return c.read(ctx, found, found.ID)
	}
	var credentials login.Credentials
	var listed string
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { listed, err = c.list(groupCtx, found); return err })
	group.Go(func() (err error) {
		if credentials, err = c.read(groupCtx, found, found.ID); salesforce.Code(err) == notFound {
			return nil // explained by the list
		}
		return err
	})
	err := group.Wait()
	if _, missing := errors.AsType[*apps.NoOAuthError](err); missing && found.Packaged {
		return login.Credentials{}, &PackagedError{App: found.App, Source: found.Source}
	}
	if err != nil {
		return login.Credentials{}, err
	}
	if credentials.Key == "" || !restapi.SameID(listed, found.ID) {
		found.ID = listed // the link led to another consumer
		return c.read(ctx, found, listed)
	}
	return credentials, nil
}

// secretPolling is the waiting for a secret that the org does not show yet.
var secretPolling = salesforce.Polling{Limit: 20 * time.Second}

// withSecret calls look until it returns credentials with their secret, which is missing for a while after
// the org's setting was switched on. It checks them.
func (c *Client) withSecret(
	ctx context.Context, app string, look func(context.Context) (login.Credentials, error),
) (found login.Credentials, err error) {
	complete, err := c.Conn.Retry.Until(ctx, secretPolling, func(ctx context.Context) (_ bool, err error) {
		found, err = look(ctx)
		return hasSecret(found), err
	})
	if err == nil && !complete {
		err = &NoSecretError{app}
	}
	if err = cmp.Or(err, found.Check()); err != nil {
		return login.Credentials{}, err
	}
	return found, nil
}

func hasSecret(c login.Credentials) bool { return c.Key != "" && !c.Secret.IsZero() }

// read reads the key and secret of a consumer by its ID.
func (c *Client) read(ctx context.Context, found *Consumer, id string) (login.Credentials, error) {
	var answer struct {
		Key    string
		Secret salesforce.Secret
	}
	return c.withSecret(ctx, found.App, func(ctx context.Context) (login.Credentials, error) {
		err := c.do(ctx, http.MethodGet, found.path(id)+"?part=KeyAndSecret", nil, &answer)
		return login.Credentials(answer), err
	})
}

// accessField is the field of the org's settings that lets the REST API read consumer secrets.
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

// SetAccess switches the reading of consumer secrets by the org's REST API on or off. Other settings
// stay as they are.
func (c *Client) SetAccess(ctx context.Context, on bool) error {
	// Setting a value twice is harmless, so a write with a lost answer is simply repeated.
	return c.Conn.Retry.Do(ctx, func() error { return c.setAccess(ctx, on) })
}

func (c *Client) setAccess(ctx context.Context, on bool) error {
	settings, err := c.settings(ctx)
	if err != nil {
		return err
	}
	wanted := metadata.Stated(accessField, fmt.Sprint(on))
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
