package secrets

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"

	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Credentials are an app's credentials on one org.
type Credentials struct {
	Org, App   string
	BaseURL    string // the org's own domain
	AppID      string // 0xI…, "" if it was not looked up
	ConsumerID string // 888…, "" if it was not looked up
	Pair       login.Credentials
	KeyOnly    bool // leaves the secret out

	// Token is an access token, which then goes to the receiver instead of key and secret.
	Token salesforce.Secret
	// Stdin is the standard input of a command that gets a token.
	Stdin io.Reader
}

// value is one value of the credentials, by the names of the JSON document, of environment variables, and
// of templates.
type value struct {
	field, variable, name string
	text                  string
	secret                bool
}

// values returns the values of the credentials. It is the one place where a secret becomes text again.
func (c *Credentials) values() []value {
	if !c.Token.IsZero() {
		token := c.Token.Reveal()
		return []value{
			{"org", "ECA_ORG", "Org", c.Org, false},
			{"app", "ECA_APP", "App", c.App, false},
			{"instance_url", "SF_ORG_INSTANCE_URL", "InstanceURL", c.BaseURL, false},
			{"access_token", "ECA_ACCESS_TOKEN", "AccessToken", token, true},
			{"", "SF_ACCESS_TOKEN", "", token, true}, // the same, by the name that sf and eca read
		}
	}
	all := []value{
		{"org", "ECA_ORG", "Org", c.Org, false},
		{"app", "ECA_APP", "App", c.App, false},
		{"base_url", "ECA_BASE_URL", "BaseURL", c.BaseURL, false},
		{"client_id", "ECA_CLIENT_ID", "ClientID", c.Pair.Key, false},
		{"client_secret", "ECA_CLIENT_SECRET", "ClientSecret", c.Pair.Secret.Reveal(), true},
		{"app_id", "ECA_APP_ID", "AppID", c.AppID, false},
		{"consumer_id", "ECA_CONSUMER_ID", "ConsumerID", c.ConsumerID, false},
	}
	if c.KeyOnly {
		for i := range all {
			if all[i].secret {
				all[i].text = ""
			}
		}
	}
	return all
}

// The shapes in which stores take credentials: the name of each value by its field. Sources: the stores'
// own documentation, see hook/docs/credentials-and-stores.md.
var shapes = map[string]map[string]string{
	"aws": { // AWS Secrets Manager, the managed type SalesforceClientSecret
		"client_id": "consumerKey", "client_secret": "consumerSecret", "base_url": "baseUri", "app_id": "appId", "consumer_id": "consumerId",
	},
	"infisical": { // an app connection by client credentials
		"client_id": "consumerKey", "client_secret": "consumerSecret", "base_url": "instanceUrl", "app_id": "appId", "consumer_id": "consumerId",
	},
}

// format returns the format, which the zero Flags do not name.
func (f *Flags) format() string { return cmp.Or(f.Format, "json") }

// reveal writes the credentials out. org and app say that a document names them, because there are several.
func (f *Flags) reveal(c *Credentials, org, app bool) ([]byte, error) {
	values := c.values()
	switch {
	case f.Field != "":
		for _, v := range values {
			if v.field == f.Field {
				return []byte(v.text), nil // stores keep a line break as part of the value
			}
		}
	case f.format() == "template":
		fields := make(map[string]string)
		for _, v := range values {
			fields[v.name] = v.text
		}
		t, err := parseTemplate(f.Template)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, fields); err != nil {
			return nil, fmt.Errorf("--template: %w", templateError(err))
		}
		return b.Bytes(), nil
	case f.format() == "env", f.format() == "github":
		var lines strings.Builder
		for _, v := range values {
			if v.text != "" && v.field != "org" && v.field != "app" {
				fmt.Fprintf(&lines, "%s=%s\n", v.variable, QuoteEnv(v.text))
			}
		}
		return []byte(lines.String()), nil
	}
	values = slices.DeleteFunc(values, func(v value) bool {
		return v.text == "" || v.field == "" || v.field == "org" && !org || v.field == "app" && !app
	})
	return document(values, shapes[f.format()])
}

// document writes values as a JSON object on one line, named by a shape, or by their fields if it is nil.
func document(values []value, shape map[string]string) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	for _, v := range values {
		name := cmp.Or(shape[v.field], v.field)
		separator := byte(',')
		if b.Len() == 0 {
			separator = '{'
		}
		b.WriteByte(separator)
		for i, text := range []string{name, v.text} {
			if i > 0 {
				b.WriteByte(':')
			}
			if err := encoder.Encode(text); err != nil {
				return nil, err
			}
			b.Truncate(b.Len() - 1) // the encoder ends a value with a line break
		}
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// parseTemplate parses the text of --template. Its function json quotes a value for a JSON document.
func parseTemplate(text string) (*template.Template, error) {
	quote := func(text string) (string, error) {
		quoted, err := json.Marshal(text)
		return string(quoted), err
	}
	t, err := template.New("template").Option("missingkey=error").Funcs(template.FuncMap{"json": quote, "env": QuoteEnv}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("--template: %w", templateError(err))
	}
	return t, nil
}

// templateError removes the name of the template from its errors.
func templateError(err error) error {
	text := strings.TrimPrefix(err.Error(), "template: template:")
	return fmt.Errorf("line %s", text)
}

// checkFormat checks the flags of the format, and that a template needs no value that does not exist.
func (f *Flags) checkFormat(several, keyOnly bool) error {
	several = several && len(f.Command) == 0 // a command runs once per org
	switch {
	case (f.format() == "template") != (f.Template != ""):
		return usage.Errorf("--format template and --template belong together")
	case f.Field != "" && f.format() != "json":
		return usage.Errorf("--field prints one value and goes with no --format")
	case f.Field != "" && several:
		return usage.Errorf("--field is for one org")
	case f.Field == "client_secret" && keyOnly:
		return usage.Errorf("--key-only leaves the secret out")
	case several && (f.format() == "env" || f.format() == "github"):
		return usage.Errorf("--format %s is for one org: several would overwrite one another", f.Format)
	}
	if f.Template != "" {
		if _, err := f.reveal(&Credentials{}, false, false); err != nil {
			return usage.Errorf("%w", err)
		}
	}
	return nil
}

// CheckRotation checks that what is exported has both new credentials. A command has them in its environment.
func (f *Flags) CheckRotation() error {
	if len(f.Command) > 0 {
		return nil
	}
	if f.Field != "" {
		return usage.Errorf("--field exports one value, and a rotation replaces key and secret; leave out --field")
	}
	if f.Template == "" {
		return nil
	}
	const key, secret = "KEY-OF-THE-TEST", "SECRET-OF-THE-TEST"
	text, err := f.reveal(&Credentials{Pair: login.Credentials{Key: key, Secret: salesforce.NewSecret(secret)}}, false, false)
	if err != nil {
		return usage.Errorf("%w", err)
	}
	if !bytes.Contains(text, []byte(key)) || !bytes.Contains(text, []byte(secret)) {
		return usage.Errorf("a rotation replaces key and secret, and --template leaves one of them out; use {{.ClientID}} and {{.ClientSecret}}")
	}
	return nil
}

// CheckApps checks that the flags suit the credentials of several apps: a command runs once per app, and what is
// printed or written to a file has to say which app it is of.
func (f *Flags) CheckApps() error {
	switch {
	case len(f.Command) > 0:
		return nil
	case f.Field != "":
		return usage.Errorf("--field is for one app")
	case f.format() == "env" || f.format() == "github":
		return usage.Errorf("--format %s is for one app: several would overwrite one another", f.Format)
	}
	return nil
}
