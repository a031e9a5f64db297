package secrets

import (
	"io"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// TestFormats has each format, with a secret that needs quoting.
func TestFormats(t *testing.T) {
	c := Credentials{
		Org: "uat", App: "MyApp", BaseURL: "https://acme.my.salesforce.com", AppID: "0xI1", ConsumerID: "8881",
		Pair: login.Credentials{Key: "3MVG9", Secret: salesforce.NewSecret(`A"<'1`)},
	}
	for _, test := range []struct {
		flags   Flags
		named   bool
		keyOnly bool
		want    string
	}{
		{Flags{}, false, false, `{"base_url":"https://acme.my.salesforce.com","client_id":"3MVG9","client_secret":"A\"<'1","app_id":"0xI1","consumer_id":"8881"}`},
		{Flags{Format: "json"}, true, true, `{"org":"uat","base_url":"https://acme.my.salesforce.com","client_id":"3MVG9","app_id":"0xI1","consumer_id":"8881"}`},
		{Flags{Format: "aws"}, false, false, `{"baseUri":"https://acme.my.salesforce.com","consumerKey":"3MVG9","consumerSecret":"A\"<'1","appId":"0xI1","consumerId":"8881"}`},
		{Flags{Format: "infisical"}, false, false, `{"instanceUrl":"https://acme.my.salesforce.com","consumerKey":"3MVG9","consumerSecret":"A\"<'1","appId":"0xI1","consumerId":"8881"}`},
		{Flags{Format: "env"}, false, false, "ECA_BASE_URL=https://acme.my.salesforce.com\nECA_CLIENT_ID=3MVG9\nECA_CLIENT_SECRET='A\"<'\\''1'\nECA_APP_ID=0xI1\nECA_CONSUMER_ID=8881"},
		{Flags{Format: "github"}, false, true, "ECA_BASE_URL=https://acme.my.salesforce.com\nECA_CLIENT_ID=3MVG9\nECA_APP_ID=0xI1\nECA_CONSUMER_ID=8881"},
		{Flags{Format: "template", Template: "{{.ClientID}}:{{json .ClientSecret}} {{.Org}}/{{.App}}\n"}, false, false, "3MVG9:\"A\\\"\\u003c'1\" uat/MyApp"},
		{Flags{Format: "template", Template: "{{.ClientSecret}}|\n"}, false, true, "|"},
		{Flags{Field: "client_id"}, false, true, "3MVG9"},
		{Flags{Field: "consumer_id"}, false, false, "8881"},
	} {
		c.KeyOnly = test.keyOnly
		got, err := test.flags.reveal(&c, test.named, false)
		want := test.want + "\n"
		if test.flags.Field != "" {
			want = test.want // stores would keep a line break
		}
		if err != nil || string(got) != want {
			t.Errorf("%+v gives %q, %v", test.flags, got, err)
		}
	}
}

// TestFormatFlags has flags that do not go together.
func TestFormatFlags(t *testing.T) {
	dash := "-"
	out := Output{Console: new(console.Console).To(io.Discard, io.Discard), Secrets: io.Discard}
	for _, test := range []struct {
		flags            Flags
		several, keyOnly bool
		want             string // of the error, "" for none
	}{
		{Flags{Format: "template", Output: &dash}, false, false, "--format template and --template belong together"},
		{Flags{Format: "json", Template: "x", Output: &dash}, false, false, "--format template and --template belong together"},
		{Flags{Format: "template", Template: "{{.Nothing}}", Output: &dash}, false, false, "--template: line 1:2"},
		{Flags{Format: "template", Template: "{{", Output: &dash}, false, false, "--template: line 1"},
		{Flags{Format: "aws", Field: "client_id", Output: &dash}, false, false, "--field prints one value"},
		{Flags{Format: "json", Field: "client_id", Output: &dash}, true, false, "--field is for one org"},
		{Flags{Format: "json", Field: "client_secret", Output: &dash}, false, true, "--key-only leaves the secret out"},
		{Flags{Format: "github", Output: &dash}, true, false, "--format github is for one org"},
		{Flags{Format: "aws", Command: []string{"true"}}, true, false, ""},
		{Flags{Format: "env", Command: []string{"true"}}, true, false, ""},
		{Flags{Format: "json", Field: "client_id"}, false, false, ""},
		{Flags{Format: "json", Field: "client_secret"}, false, false, "name a place for the secret"},
		{Flags{Format: "aws"}, false, false, "name a place for the secret"},
	} {
		_, err := test.flags.Sink(out, []string{"uat"}, test.several, test.keyOnly)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v gives %v, want %q", test.flags, err, test.want)
		}
	}
}

// TestCheckRotation: a rotation exports key and secret.
func TestCheckRotation(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		flags Flags
		ok    bool
	}{
		{Flags{}, true},
		{Flags{Field: "client_id"}, false},
		{Flags{Field: "client_secret"}, false},
		{Flags{Field: "client_secret", Command: []string{"store"}}, true}, // which has both in its environment
		{Flags{Format: "template", Template: "{{.ClientID}}"}, false},
		{Flags{Format: "template", Template: "{{.ClientSecret}}"}, false},
		{Flags{Format: "template", Template: "{{.ClientID}}:{{.ClientSecret}}"}, true},
		{Flags{Format: "env"}, true},
	} {
		if err := test.flags.CheckRotation(); (err == nil) != test.ok {
			t.Errorf("%+v: %v", test.flags, err)
		}
	}
}
