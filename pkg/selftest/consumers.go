package selftest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// consumerProbes ask the REST resources of consumers.
var consumerProbes = []probe{
	{[]string{"key-without-setting", "secret-after-setting", "no-right-status"}, func(ctx context.Context, r *run) error { return r.openSecrets(ctx) }},
	{[]string{"unused-app-in-usage"}, askUnusedApp},
}

// rotationProbes stage credentials and rotate them. They follow the logins, which then need not wait for
// further keys.
var rotationProbes = []probe{
	{[]string{"nothing-staged", "staged-shape", "second-staging", "staged-id-after-swap", "staging-over-rotated", "consumer-dates-move"}, askRotation},
}

// answer is the answer of a REST resource as it is.
type answer struct {
	status int
	body   map[string]json.RawMessage
}

// call calls a resource once. A refusal is a *salesforce.Error.
func (r *run) call(ctx context.Context, method, path string, body any) (a answer, err error) {
	request := salesforce.Request{
		Method: method, Path: "/services/data/v" + r.conn.APIVersion().String() + "/" + path, Authorize: true,
		Header: http.Header{"Accept": {"application/json"}},
	}
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return a, err
		}
		request.Header.Set("Content-Type", "application/json")
		request.Body = func(salesforce.Secret) ([]byte, error) { return encoded, nil }
	}
	err = r.conn.Do(ctx, request, func(got *salesforce.Response) error {
		a.status = got.Status
		if got.Status >= http.StatusBadRequest {
			return refusal(got)
		}
		json.Unmarshal(got.Body, &a.body) // an answer without a body has no members
		return nil
	})
	return a, err
}

// refusal returns the error of a REST resource.
func refusal(got *salesforce.Response) error {
	var all []struct{ ErrorCode, Message string }
	if json.Unmarshal(got.Body, &all) != nil || len(all) == 0 {
		return &salesforce.StatusError{Host: got.Host, Status: got.Status, What: "not an answer of the REST API"}
	}
	return &salesforce.Error{Code: all[0].ErrorCode, Message: all[0].Message, Status: got.Status}
}

// openSecrets lets REST read secrets, and asks on the way what is only visible then.
func (r *run) openSecrets(ctx context.Context) error {
	return r.once("secrets", func() error {
		if err := r.mainConsumer(ctx); err != nil {
			return err
		}
		path := "apps/oauth/credentials/" + url.PathEscape(r.header)
		if r.access {
			r.unknown("key-without-setting", "the org lets REST read secrets, and the selftest does not switch that off")
			r.unknown("secret-after-setting", "the org lets REST read secrets, and the selftest does not switch that off")
		} else {
			_, err := r.call(ctx, http.MethodGet, path, nil)
			if err := r.accepts("key-without-setting", err, "answered", "refused"); err != nil {
				return err
			}
			if err := r.consumers().SetAccess(ctx, true); err != nil {
				return err
			}
		}
		found, err := r.consumers().Find(ctx, r.app(mainApp))
		if err != nil {
			return err
		}
		r.consumer = found
		at, err := r.call(ctx, http.MethodGet, path+"/"+url.PathEscape(found.ID)+"?part=KeyAndSecret", nil)
		if refused, isAnswer := err.(*salesforce.Error); isAnswer && strings.HasPrefix(refused.Code, "INSUFFICIENT_ACCESS") {
			r.saw("no-right-status", fmt.Sprint(refused.Status), "%s", says(err))
		}
		if err != nil {
			return err
		}
		if _, has := at.body["secret"]; has {
			r.saw("secret-after-setting", "at-once", "the first answer has the secret")
		} else {
			r.saw("secret-after-setting", "later", "the first answer has no secret")
		}
		r.credentials, err = r.consumers().Credentials(ctx, found)
		return err
	})
}

// maxUsagePages bounds the search for an app in the usage pages, of 100 apps each.
const maxUsagePages = 50

func askUnusedApp(ctx context.Context, r *run) error {
	if err := r.mainConsumer(ctx); err != nil {
		return err
	}
	const size = 100
	for page := range maxUsagePages {
		var usage struct {
			Apps []struct{ Identifier, DeveloperName string }
		}
		if err := r.rest.Do(ctx, http.MethodGet, fmt.Sprintf("apps/oauth/usage?page=%d&pageSize=%d", page, size), nil, &usage); err != nil {
			return err
		}
		for _, app := range usage.Apps {
			if restapi.SameID(app.Identifier, r.header) || app.DeveloperName == r.app(mainApp) {
				r.saw("unused-app-in-usage", "yes", "the usage pages list the app before its first login")
				return nil
			}
		}
		if len(usage.Apps) < size {
			r.saw("unused-app-in-usage", "no", "the usage pages do not list the app before its first login")
			return nil
		}
	}
	r.unknown("unused-app-in-usage", "the org has more than %d used apps", maxUsagePages*size)
	return nil
}

// staged are the ID and the state of staged credentials in an answer, and where they stand.
func staged(a answer) (id, state, shape string) {
	var list []map[string]json.RawMessage
	at, shape := a.body, "top"
	if json.Unmarshal(a.body["stagedCredentials"], &list) == nil && len(list) > 0 {
		at, shape = list[0], "list"
	}
	var secret salesforce.Secret
	json.Unmarshal(at["secret"], &secret) // so that it is masked from here on
	json.Unmarshal(at["key"], &secret)
	json.Unmarshal(at["id"], &id)
	json.Unmarshal(at["state"], &state)
	return id, state, shape
}

// minStaged is the first API version with staged credentials.
const minStaged = 65

func askRotation(ctx context.Context, r *run) error {
	if r.conn.APIVersion() < minStaged {
		return fmt.Errorf("needs API version %d.0", minStaged)
	}
	if err := r.openSecrets(ctx); err != nil {
		return err
	}
	path := "apps/oauth/credentials/" + url.PathEscape(r.header) + "/" + url.PathEscape(r.consumer.ID) + "/staged"
	none, err := r.call(ctx, http.MethodGet, path, nil)
	switch {
	case salesforce.Code(err) == "NOT_FOUND":
		r.saw("nothing-staged", "not-found", "%s", says(err))
	case err != nil:
		return err
	default:
		r.saw("nothing-staged", "empty-list", "HTTP %d with the list %s", none.status, none.body["stagedCredentials"])
	}
	first, err := r.call(ctx, http.MethodPost, path, struct{}{})
	if err != nil {
		return err
	}
	id, _, shape := staged(first)
	if id == "" {
		return fmt.Errorf("the answer to staging has no ID (HTTP %d)", first.status)
	}
	r.saw("staged-shape", shape, "the answer has the id %s", map[string]string{"list": "in stagedCredentials", "top": "at the top"}[shape])
	second, err := r.call(ctx, http.MethodPost, path, struct{}{})
	if err := r.accepts("second-staging", err, "replaces", "refused"); err != nil {
		return err
	}
	if other, _, _ := staged(second); other != "" {
		id = other
	}
	return r.askSwap(ctx, path, id)
}

// askSwap makes staged credentials the main ones.
func (r *run) askSwap(ctx context.Context, path, id string) error {
	before, err := r.consumerDates(ctx)
	if err != nil {
		return err
	}
	if err := r.nextSecond(ctx, before); err != nil {
		return err
	}
	if _, err := r.call(ctx, http.MethodPatch, path+"/"+url.PathEscape(id), map[string]string{"command": "rotate"}); err != nil {
		return err
	}
	after, err := r.consumerDates(ctx)
	if err != nil {
		return err
	}
	answer := "no"
	if before != after {
		answer = "yes"
	}
	r.saw("consumer-dates-move", answer, "LastModifiedDate was %s before the rotation and is %s after it", before, after)
	slot, err := r.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	rotated, state, _ := staged(slot)
	answer = "new"
	if rotated == id {
		answer = "kept"
	}
	r.saw("staged-id-after-swap", answer, "the id was %s and is %s in the state %s", id, rotated, state)
	_, err = r.call(ctx, http.MethodPost, path, struct{}{})
	return r.accepts("staging-over-rotated", err, "replaces", "refused")
}

// consumerDates returns LastModifiedDate of the main app's consumer.
func (r *run) consumerDates(ctx context.Context) (string, error) {
	type record struct{ LastModifiedDate string }
	found, err := restapi.Query[record](ctx, r.rest, "SELECT LastModifiedDate FROM ExtlClntAppOauthConsumer WHERE ExternalClientApplicationId = "+restapi.Quote(r.header))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("ExtlClntAppOauthConsumer has %d rows of the app", len(found))
	}
	if err != nil {
		return "", err
	}
	return found[0].LastModifiedDate, nil
}

// nextSecond waits until a change gets another time than the one given: the platform's times have seconds.
func (r *run) nextSecond(ctx context.Context, last string) error {
	at := restapi.ParseTime(last)
	if at.Nanosecond() != 0 { // as simulated orgs have them
		return nil
	}
	wait := time.Until(at.Add(1100 * time.Millisecond))
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(min(max(wait, 0), 2*time.Second)):
		return nil
	}
}
