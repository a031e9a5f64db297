package bootstrap_test

import (
	"testing"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// TestKeyOfAnotherOrg: an org gets a consumer with a kept key unless another org has the key.
func TestKeyOfAnotherOrg(t *testing.T) {
	t.Parallel()
	var keys simorg.Keys
	keep := map[string]login.Credentials{"MyApp": {Key: "kept", Secret: salesforce.NewSecret("topsecret")}}
	for _, want := range []bootstrap.Kept{bootstrap.KeptKey, bootstrap.KeptTaken} {
		o := startOrg(t, simorg.Config{Keys: &keys})
		o.deployHeaders(simple())
		options, err := o.options(simple(), "def")
		if err != nil {
			t.Fatal(err)
		}
		options.Consumers = keep
		report, err := options.run(t.Context())
		if err != nil || report.Apps[0].Kept != want {
			t.Fatalf("got %+v, %v, want the key %s", report, err, want)
		}
		if has := o.one(eca.GlobalOAuthSettings).Fields["consumerKey"] == "kept"; has != (want == bootstrap.KeptKey) {
			t.Errorf("%s: the consumer has the kept key: %t", want, has)
		}
	}
}
