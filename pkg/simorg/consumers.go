package simorg

import (
	"cmp"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
)

// secretsInREST is the org setting that lets REST read consumers' secrets.
const secretsInREST = "enableClientSecretInRestApiAccess"

// pair is a key and secret beside the consumer's main ones.
type pair struct {
	ID      string    `json:"id"`
	Key     string    `json:"key"`
	Secret  string    `json:"secret"`
	State   string    `json:"state"` // Active or Rotated
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// stagedLife is how long a pair lives beside the main one.
const stagedLife = 30 * 24 * time.Hour

// noContent is the answer of a call that answers nothing.
var noContent any = struct{ nothing bool }{}

// The refusals of these resources. Their texts are assumed but for the first, which was seen
// from a neighbouring resource.
var (
	notEnabled    = &restError{http.StatusForbidden, "FUNCTIONALITY_NOT_ENABLED", "This feature is not currently enabled for this user."}
	alreadyStaged = &restError{http.StatusBadRequest, "INVALID_INPUT", "There are staged credentials for this consumer already."}
	localOnly     = &restError{http.StatusBadRequest, "INVALID_INPUT", "Credentials can be staged for local external client apps only."}
	notStaged     = &restError{http.StatusBadRequest, "INVALID_INPUT", "The staged credentials can't be rotated."}
)

// consumerID returns the ID of an app's consumer, "" where it has none: the part of the link
// behind the colon.
func (o *Org) consumerID(app string) string {
	if settings := o.of(eca.OAuthSettings, app); settings != nil && o.of(eca.GlobalOAuthSettings, app) != nil {
		_, id, _ := strings.Cut(settings.text("oauthLink"), ":")
		return id
	}
	return ""
}

func sameID(a, b string) bool { return len(a) >= 15 && len(b) >= 15 && a[:15] == b[:15] }

// headerOf returns the header of the app with an ID, or nil.
func (o *Org) headerOf(id string) *record {
	for _, header := range o.all(eca.Header) {
		if sameID(header.id, id) {
			return header
		}
	}
	return nil
}

// consumers answers the resources below /apps/oauth/credentials: APP, APP/CONSUMER, and for staged pairs
// APP/CONSUMER/staged and APP/CONSUMER/staged/PAIR. They exist since API 60, those of staged pairs since 65.
func (o *Org) consumers(r *http.Request, path string, body []byte, version apiversion.Version) (any, *restError) {
	below, ok := strings.CutPrefix(path, "oauth/credentials/")
	parts := strings.Split(below, "/")
	header := o.headerOf(parts[0])
	if !ok || version < 60 || header == nil {
		return nil, notFoundREST
	}
	app := header.fullName
	part := strings.ToLower(cmp.Or(r.URL.Query().Get("part"), "key"))
	if failure := o.mayReadConsumers(bearer(r), len(parts) <= 2 && part == "key"); failure != nil {
		return nil, failure
	}
	c := consumer{strings.TrimSuffix(r.URL.Path, "/"), o.consumerID(app), o.of(eca.GlobalOAuthSettings, app)}
	if len(parts) == 1 && r.Method == http.MethodGet {
		return c.list(o.pageOf(r)), nil
	}
	if c.id == "" || len(parts) < 2 || !sameID(parts[1], c.id) {
		return nil, notFoundREST
	}
	switch {
	case len(parts) == 2 && r.Method == http.MethodGet:
		return o.readConsumer(c, part), nil
	case len(parts) < 3 || parts[2] != "staged" || version < 65:
		return nil, notFoundREST
	}
	if header.text("distributionState") == "Packaged" && o.is("packaged-staging", "refused") {
		return nil, localOnly
	}
	o.expireStaged()
	switch len(parts) {
	case 3:
		return o.stagedPairs(r.Method, c)
	case 4:
		return o.stagedPair(r.Method, c, parts[3], body)
	}
	return nil, notFoundREST
}

// mayReadConsumers refuses consumers unless the user and the org setting allow them. keys are calls
// that answer without secrets.
func (o *Org) mayReadConsumers(session string, keys bool) *restError {
	switch {
	case !o.may(session, ecaDeveloper), !o.may(session, viewClientSecret):
		status := http.StatusForbidden
		if o.is("no-right-status", "400") {
			status = http.StatusBadRequest
		}
		return &restError{status, "INSUFFICIENT_ACCESS", "insufficient access rights on object id"}
	case keys && o.is("key-without-setting", "answered") || o.find(eca.OrgSettings, eca.OrgSettingsName).isTrue(secretsInREST):
		return nil
	}
	return notEnabled
}

// consumer is the consumer that a call is about, and the path of the call.
type consumer struct {
	path, id string  // id is "" for an app without a consumer
	global   *record // its settings
}

// list returns a page of the app's consumers, of which there is one.
func (c consumer) list(page paging) any {
	consumers := []any{}
	if c.id != "" {
		consumers = append(consumers, map[string]any{
			"id": c.id, "key": c.global.text("consumerKey"), "name": c.global.fullName,
			"url": c.path + "/" + c.id, "stagedCredentialsUrl": c.path + "/" + c.id + "/staged",
		})
	}
	return page.answer("consumers", c.path, consumers)
}

func (o *Org) readConsumer(c consumer, part string) any {
	answer := map[string]any{"id": c.id}
	if part == "key" || part == "keyandsecret" {
		answer["key"] = c.global.text("consumerKey")
	}
	switch {
	case part != "secret" && part != "keyandsecret":
	case o.unsecured > 0:
		o.unsecured--
	default:
		answer["secret"] = c.global.secret
	}
	return answer
}

// expireStaged deletes pairs whose time is over.
func (o *Org) expireStaged() {
	maps.DeleteFunc(o.state.Staged, func(_ string, p *pair) bool { return time.Now().After(p.Expires) })
}

// stagedURL is the path of the staged pairs of a consumer, whichever of its resources is called.
func (c consumer) stagedURL() string {
	url, _, _ := strings.Cut(c.path, "/staged")
	return url + "/staged"
}

// show returns the answer with one pair.
func (o *Org) show(p *pair, c consumer) any {
	return map[string]any{
		"id": p.ID, "key": p.Key, "secret": p.Secret, "state": p.State, "url": c.stagedURL() + "/" + p.ID,
		"createdBy":   o.user(0)["id"],
		"createdDate": p.Created.UTC().Format(time.RFC3339), "expirationDate": p.Expires.UTC().Format(time.RFC3339),
	}
}

// listStaged returns the answer with the staged pairs of a consumer: one, or none.
func (o *Org) listStaged(p *pair, c consumer) any {
	pairs := []any{}
	if p != nil {
		if o.is("staged-shape", "top") {
			return o.show(p, c)
		}
		pairs = append(pairs, o.show(p, c))
	}
	return map[string]any{"stagedCredentials": pairs, "url": c.stagedURL()}
}

// stagedPairs reads a consumer's staged pair, or stages one.
func (o *Org) stagedPairs(method string, c consumer) (any, *restError) {
	staged := o.state.Staged[c.id]
	switch {
	case method == http.MethodGet && (staged != nil || o.is("nothing-staged", "empty-list")):
		return o.listStaged(staged, c), nil
	case method != http.MethodPost:
		return nil, notFoundREST
	case staged != nil && staged.State == "Active" && o.is("second-staging", "refused"),
		staged != nil && staged.State == "Rotated" && o.is("staging-over-rotated", "refused"):
		return nil, alreadyStaged
	}
	now := time.Now()
	staged = &pair{
		ID: o.nextID("0Sk"), Key: "3MVG9" + random(40), Secret: strings.ToUpper(random(32)),
		State: "Active", Created: now, Expires: now.Add(stagedLife),
	}
	o.state.Staged[c.id] = staged
	return o.listStaged(staged, c), nil
}

// stagedPair reads, deletes or rotates the staged pair with an ID.
func (o *Org) stagedPair(method string, c consumer, id string, body []byte) (any, *restError) {
	staged := o.state.Staged[c.id]
	if staged == nil || id != staged.ID {
		return nil, notFoundREST
	}
	switch method {
	case http.MethodGet:
		return o.show(staged, c), nil
	case http.MethodDelete:
		delete(o.state.Staged, c.id)
		return noContent, nil
	case http.MethodPatch:
		if strings.ReplaceAll(string(body), " ", "") != `{"command":"rotate"}` || staged.State != "Active" {
			return nil, notStaged
		}
		return o.show(o.rotate(c, staged), c), nil
	}
	return nil, notFoundREST
}

// rotate makes a staged pair the main one, and returns the pair that was the main one before.
func (o *Org) rotate(c consumer, staged *pair) *pair {
	old := &pair{
		ID: staged.ID, Key: c.global.text("consumerKey"), Secret: c.global.secret,
		State: "Rotated", Created: staged.Created, Expires: time.Now().Add(stagedLife),
	}
	if o.is("staged-id-after-swap", "new") {
		old.ID = o.nextID("0Sk")
	}
	c.global.set("consumerKey", staged.Key)
	c.global.secret = staged.Secret
	o.state.Staged[c.id] = old
	if o.is("consumer-dates-move", "yes") {
		o.state.Made["rotation of "+strings.ToLower(c.global.app())] = time.Now()
	}
	return old
}

// Pair is a key and secret of an app's consumer.
type Pair struct{ Key, Secret, State string }

// Pairs returns the pairs of an app's consumer: the main one, whose state is "", and the one
// beside it where there is one.
func (o *Org) Pairs(app string) []Pair {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pairs(app)
}

func (o *Org) pairs(app string) (pairs []Pair) {
	if global := o.of(eca.GlobalOAuthSettings, app); global != nil {
		pairs = append(pairs, Pair{global.text("consumerKey"), global.secret, ""})
	}
	if p := o.state.Staged[o.consumerID(app)]; p != nil {
		pairs = append(pairs, Pair{p.Key, p.Secret, p.State})
	}
	return pairs
}
