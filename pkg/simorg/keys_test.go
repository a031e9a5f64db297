package simorg_test

import (
	"os"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// TestKeysOfOtherOrgs: a key that another org has is taken until its consumer is deleted.
func TestKeysOfOtherOrgs(t *testing.T) {
	t.Parallel()
	const taken = "The consumer key is already taken."
	keys := new(simorg.Keys)
	start := func(keys *simorg.Keys) *simorg.Server {
		org := simorg.Start(simorg.Config{Keys: keys})
		t.Cleanup(org.Close)
		ready(t, org, eca.OAuthSettings)
		return org
	}
	create := func(org *simorg.Server, key string) string {
		_, answer := upsert(org, eca.GlobalOAuthSettings, `<fullName>App_glbloauth</fullName><callbackUrl>https://a</callbackUrl><consumerKey>`+key+`</consumerKey>`+link)
		return answer
	}
	old, other, apart := start(keys), start(keys), start(nil)
	for _, org := range []*simorg.Server{old, apart} {
		if answer := create(org, "mine"); !strings.Contains(answer, "<success>true") {
			t.Error(answer)
		}
	}
	if answer := create(other, "mine"); !strings.Contains(answer, taken) {
		t.Errorf("a key of another org: %s", answer)
	}
	call(old, "deleteMetadata", `<type>`+eca.GlobalOAuthSettings+`</type><fullNames>App_glbloauth</fullNames>`)
	if answer := create(other, "mine"); !strings.Contains(answer, "<success>true") {
		t.Errorf("a key that is free again: %s", answer)
	}

	// Connected Apps have keys, too.
	filled := start(keys)
	if err := filled.Fill(os.DirFS("testdata/journeys"), "."); err != nil {
		t.Fatal(err)
	}
	_, answer := call(filled, "readMetadata", `<type>ConnectedApp</type><fullNames>Erp</fullNames>`)
	_, key, _ := strings.Cut(answer, "<consumerKey>")
	key, _, _ = strings.Cut(key, "<")
	if answer := create(start(keys), key); key == "" || !strings.Contains(answer, taken) {
		t.Errorf("the key %q of a Connected App: %s", key, answer)
	}
}
