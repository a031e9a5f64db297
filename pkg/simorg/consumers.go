package simorg

import (
	"cmp"
	"net/http"
	"slices"
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

// consumers answers the resources below /apps/oauth/credentials. They are there from API 60 on,
// those of staged pairs from 65 on.
func (o *Org) consumers(r *http.Request, path string, body []byte, version apiversion.Version) (any, *restError) {
	parts := strings.Split(path, "/")
	if len(parts) < 3 || parts[0] != "oauth" || parts[1] != "credentials" || version < 60 {
		return nil, notFoundREST
	}
	i := slices.IndexFunc(o.all(eca.Header), func(h *record) bool { return sameID(h.id, parts[2]) })
	if i < 0 {
		return nil, notFoundREST
	}
	app := o.all(eca.Header)[i].fullName
	on := o.find(eca.OrgSettings, eca.OrgSettingsName).isTrue(secretsInREST)
	part := strings.ToLower(cmp.Or(r.URL.Query().Get("part"), "key"))
	switch {
	case o.config.NoSecretRight != 0:
		return nil, &restError{o.config.NoSecretRight, "INSUFFICIENT_ACCESS", "insufficient access rights on object id"}
	case !on && !(o.config.KeysAlways && len(parts) <= 4 && part == "key"):
		return nil, notEnabled
	}
	here := strings.TrimSuffix(r.URL.Path, "/")
	id := o.consumerID(app)
	global := o.of(eca.GlobalOAuthSettings, app)
	if len(parts) == 3 && r.Method == http.MethodGet {
		consumers := []any{}
		if id != "" {
			consumers = append(consumers, map[string]any{
				"id": id, "key": global.text("consumerKey"), "name": global.fullName, "url": here + "/" + id, "stagedCredentialsUrl": here + "/" + id + "/staged",
			})
		}
		return map[string]any{"consumers": consumers, "currentPageUrl": here, "nextPageUrl": here + "?page=1"}, nil
	}
	if id == "" || len(parts) < 4 || !sameID(parts[3], id) {
		return nil, notFoundREST
	}
	if len(parts) == 4 && r.Method == http.MethodGet {
		answer := map[string]any{"id": id}
		if part == "key" || part == "keyandsecret" {
			answer["key"] = global.text("consumerKey")
		}
		if part == "secret" || part == "keyandsecret" {
			if o.unsecured > 0 {
				o.unsecured--
			} else {
				answer["secret"] = global.secret
			}
		}
		return answer, nil
	}
	if len(parts) < 5 || parts[4] != "staged" || version < 65 {
		return nil, notFoundREST
	}
	o.expireStaged()
	return o.stagedPairs(r.Method, here, id, parts[5:], body, global)
}

// expireStaged deletes pairs whose time is over.
func (o *Org) expireStaged() {
	for id, p := range o.staged {
		if time.Now().After(p.Expires) {
			delete(o.staged, id)
		}
	}
}

func (o *Org) stagedPairs(method, here, id string, slot []string, body []byte, global *record) (any, *restError) {
	staged := o.staged[id]
	show := func(p *pair) any {
		shown := map[string]any{
			"id": p.ID, "key": p.Key, "secret": p.Secret, "state": p.State, "url": here + "/" + p.ID, "createdBy": o.user(0)["id"],
			"createdDate": p.Created.UTC().Format(time.RFC3339), "expirationDate": p.Expires.UTC().Format(time.RFC3339),
		}
		if o.config.StagedAtTop {
			return shown
		}
		return map[string]any{"stagedCredentials": []any{shown}, "url": here}
	}
	if len(slot) == 0 {
		switch method {
		case http.MethodGet:
			if staged == nil && o.config.StagedNotFound {
				return nil, notFoundREST
			}
			if staged == nil {
				return map[string]any{"stagedCredentials": []any{}, "url": here}, nil
			}
			return show(staged), nil
		case http.MethodPost:
			if staged != nil && !o.config.StagingReplaces {
				return nil, alreadyStaged
			}
			now := time.Now()
			staged = &pair{ID: o.nextID("0Sk"), Key: "3MVG9" + random(40), Secret: strings.ToUpper(random(32)), State: "Active", Created: now, Expires: now.Add(stagedLife)}
			o.staged[id] = staged
			return show(staged), nil
		}
		return nil, notFoundREST
	}
	if staged == nil || slot[0] != staged.ID {
		return nil, notFoundREST
	}
	switch method {
	case http.MethodGet:
		return show(staged), nil
	case http.MethodDelete:
		delete(o.staged, id)
		return noContent, nil
	case http.MethodPatch:
		if strings.ReplaceAll(string(body), " ", "") != `{"command":"rotate"}` || staged.State != "Active" {
			return nil, notStaged
		}
		old := &pair{ID: staged.ID, Key: global.text("consumerKey"), Secret: global.secret, State: "Rotated", Created: staged.Created, Expires: time.Now().Add(stagedLife)}
		if o.config.NewStagedIDs {
			old.ID = o.nextID("0Sk")
		}
		global.set("consumerKey", staged.Key)
		global.secret = staged.Secret
		o.staged[id] = old
		return show(old), nil
	}
	return nil, notFoundREST
}

// Pair is a key and secret of an app's consumer.
type Pair struct{ Key, Secret, State string }

// Pairs returns the pairs of an app's consumer: the main one, whose state is "", and the one
// beside it where there is one.
func (o *Org) Pairs(app string) (pairs []Pair) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if global := o.of(eca.GlobalOAuthSettings, app); global != nil {
		pairs = append(pairs, Pair{global.text("consumerKey"), global.secret, ""})
	}
	if p := o.staged[o.consumerID(app)]; p != nil {
		pairs = append(pairs, Pair{p.Key, p.Secret, p.State})
	}
	return pairs
}
