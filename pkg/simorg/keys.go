package simorg

import (
	"slices"
	"sync"

	"github.com/ecakit/ecakit/pkg/eca"
)

// Keys are the consumer keys of several orgs, for Config.Keys: on the platform, no two apps have the same key,
// whatever orgs they are on. The zero value is ready for use.
type Keys struct {
	mu       sync.Mutex
	all      map[*Org][]string
	packaged map[string]bool // keys of Packaged apps
}

// elsewhere reports whether another org than o has a key, and whether it is that of a Packaged app.
func (k *Keys) elsewhere(o *Org, key string) (packaged, exists bool) {
	if k == nil {
		return false, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for other, keys := range k.all {
		if other != o && slices.Contains(keys, key) {
			return k.packaged[key], true
		}
	}
	return false, false
}

// take reserves a key for an org, and reports whether no other org has it.
func (k *Keys) take(o *Org, key string) bool {
	if k == nil {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for other, keys := range k.all {
		if other != o && slices.Contains(keys, key) {
			return false
		}
	}
	k.set(o, append(k.all[o], key))
	return true
}

func (k *Keys) set(o *Org, keys []string) {
	if k.all == nil {
		k.all = make(map[*Org][]string)
	}
	k.all[o] = keys
}

// free ends the reservations of an org that is deleted.
func (k *Keys) free(o *Org) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.all, o)
}

// shareKeys tells the other orgs which keys this one has, after a change.
func (o *Org) shareKeys() {
	k := o.config.Keys
	if k == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.set(o, o.keys())
	for _, global := range o.all(eca.GlobalOAuthSettings) {
		if header := o.find(eca.Header, global.app()); header != nil && header.text("distributionState") == "Packaged" {
			if k.packaged == nil {
				k.packaged = make(map[string]bool)
			}
			k.packaged[global.text("consumerKey")] = true
		}
	}
}

// keys returns the consumer keys of the org's apps, without those that are staged.
func (o *Org) keys() (keys []string) {
	for _, global := range o.all(eca.GlobalOAuthSettings) {
		keys = append(keys, global.text("consumerKey"))
	}
	for _, app := range o.all(connectedApp) {
		if key := app.at("oauthConfig", "consumerKey"); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}
