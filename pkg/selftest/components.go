package selftest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// componentProbes ask what the Metadata API does with an app's components.
var componentProbes = []probe{
	{[]string{"policies-with-consumer", "security-settings-with-consumer", "pkce-forced", "components-listed"}, askNewConsumer},
	{[]string{"certificate-shown", "certificate-form"}, askCertificate},
	{[]string{"disabled-app-policies", "jwt-switch-in-policies", "unknown-profile"}, askPolicies},
	{[]string{"consumer-key-at-creation", "consumer-secret-at-creation", "older-version-resets"}, askChosenCredentials},
	{[]string{"foreign-org-scope", "repeated-element"}, askHeaders},
	{[]string{"local-on-scratch-deploy"}, askDeploy},
}

// newHeader returns the header of a throw-away app.
func newHeader(app string) *metadata.Component {
	return metadata.New(eca.Header, app, metadata.Stated(
		"contactEmail", "selftest@example.com", "description", "A throw-away app of a selftest, to be deleted",
		"distributionState", "Local", "isProtected", "false", "label", app,
	))
}

// component returns a component of an app.
func component(typ, app string, pairs ...string) *metadata.Component {
	fields := metadata.Stated(pairs...)
	fields.Set("externalClientApplication", app)
	if typ != eca.OAuthPolicies && typ != eca.PluginPolicies {
		fields.Set("label", app)
	}
	return metadata.New(typ, eca.UsualNames(app, typ)[0], fields)
}

// mainHeader creates the main app, by which the next run would find what a killed one leaves.
func (r *run) mainHeader(ctx context.Context) error {
	return r.once("header", func() error {
		r.marked = true
		if err := upsert(ctx, r.meta, newHeader(r.app(mainApp))); err != nil {
			return err
		}
		found, err := apps.Find(ctx, r.conn, nil, r.app(mainApp))
		if err != nil {
			return err
		}
		r.header = found.ID
		r.notify(Event{Step: Begun, Name: r.app(mainApp)})
		return nil
	})
}

// globalSettings returns the main app's global settings. They let it log in with client credentials
// and with JWT bearer.
func (r *run) globalSettings(certificate string) *metadata.Component {
	return component(eca.GlobalOAuthSettings, r.app(mainApp), "callbackUrl", r.conn.InstanceURL, "certificate", certificate,
		"isClientCredentialsFlowEnabled", "true", "isPkceRequired", "false")
}

// mainConsumer creates the main app's consumer. Afterwards existing has the components that the org
// has made by itself.
func (r *run) mainConsumer(ctx context.Context) error {
	return r.once("consumer", func() error {
		if err := r.mainHeader(ctx); err != nil {
			return err
		}
		key, err := newKey()
		if err != nil {
			return err
		}
		if r.certificate, err = newCertificate(key, 24*time.Hour); err != nil {
			return err
		}
		app := r.app(mainApp)
		if err := upsert(ctx, r.meta, component(eca.OAuthSettings, app, "commaSeparatedOauthScopes", "Api, RefreshToken")); err != nil {
			return err
		}
		if err := upsert(ctx, r.meta, r.globalSettings(r.certificate.pem)); err != nil {
			return err
		}
		types := []string{eca.PluginPolicies, eca.OAuthPolicies}
		own, err := apps.Find(ctx, r.conn, types, app)
		if err != nil {
			return err
		}
		for _, typ := range types {
			if c := own.Component(typ); c != nil {
				r.existing[typ] = c.FullName
			}
		}
		return nil
	})
}

func askNewConsumer(ctx context.Context, r *run) error {
	if err := r.mainConsumer(ctx); err != nil {
		return err
	}
	if err := r.askMadePolicies(ctx); err != nil {
		return err
	}
	if err := r.askSecuritySettings(ctx); err != nil {
		return err
	}
	global, err := r.meta.Read(ctx, eca.GlobalOAuthSettings, eca.UsualNames(r.app(mainApp), eca.GlobalOAuthSettings)[0])
	if err != nil {
		return err
	}
	if len(global) > 0 {
		answer := "kept-as-sent"
		if eca.Bool(global[0], "isPkceRequired") {
			answer = "forced"
		}
		r.saw("pkce-forced", answer, "sent false, readMetadata returns isPkceRequired %s", global[0].Text("isPkceRequired"))
	}
	listed, err := r.meta.List(ctx, eca.Header, eca.OAuthSettings, eca.GlobalOAuthSettings)
	if err != nil {
		return err
	}
	n := 0
	for _, one := range listed {
		if strings.HasPrefix(one.FullName, r.app(mainApp)) {
			n++
		}
	}
	answer := "listed"
	if n == 0 {
		answer = "empty"
	}
	r.saw("components-listed", answer, "listMetadata lists %d of the app's 3 components", n)
	return nil
}

// askMadePolicies asks whether the org has made policies, and under which names.
func (r *run) askMadePolicies(ctx context.Context) error {
	made := append([]string{}, r.existing[eca.PluginPolicies], r.existing[eca.OAuthPolicies])
	made = slices.DeleteFunc(made, func(name string) bool { return name == "" })
	switch {
	case len(made) > 0:
		answer := "created"
		if slices.ContainsFunc(made, func(name string) bool { return name != r.app(mainApp)+"_defaultPolicy" }) {
			answer = "created-under-other-names"
		}
		r.saw("policies-with-consumer", answer, "after the consumer the org has %s", strings.Join(made, ", "))
		return nil
	}
	// Components with other names cannot be found by an org that does not list them.
	rows, err := restapi.Query[struct{ ID string }](ctx, r.rest, "SELECT Id FROM ExtlClntAppPlcyCnfg WHERE ExternalClientApplicationId = "+restapi.Quote(r.header))
	switch {
	case err != nil:
		return err
	case len(rows) > 0:
		r.saw("policies-with-consumer", "created-under-other-names", "after the consumer ExtlClntAppPlcyCnfg has a row of the app, and neither list nor usual names show it")
	default:
		r.saw("policies-with-consumer", "none", "after the consumer there are no policies of the app")
	}
	return nil
}

func (r *run) askSecuritySettings(ctx context.Context) error {
	const id = "security-settings-with-consumer"
	if since := eca.Lookup(eca.OAuthSecuritySettings).Since; r.conn.APIVersion() < since {
		r.unknown(id, "needs API version %s", since)
		return nil
	}
	own, err := apps.Find(ctx, r.conn, []string{eca.OAuthSecuritySettings}, r.app(mainApp))
	if err != nil {
		return err
	}
	if c := own.Component(eca.OAuthSecuritySettings); c != nil {
		r.saw(id, "created", "after the consumer the org has %s", c.FullName)
	} else {
		r.saw(id, "none", "after the consumer there are none of the app")
	}
	return nil
}

// certificate is a self-signed certificate in the forms that an org may show, and its key.
type certificate struct {
	pem, body, base64 string
	key               *rsa.PrivateKey
	private           salesforce.Secret // PEM
}

// newKey returns the key of all throw-away certificates of this process.
var newKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// newCertificate returns a certificate of a key that is valid for a time, or was until then if it is negative.
func newCertificate(key *rsa.PrivateKey, valid time.Duration) (c certificate, err error) {
	end := time.Now().Add(valid)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "selftest"},
		NotBefore: end.Add(-48 * time.Hour), NotAfter: end,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return c, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	privatePEM := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return certificate{
		pem: string(block), body: base64.StdEncoding.EncodeToString(der), base64: base64.StdEncoding.EncodeToString(block),
		key: key, private: salesforce.NewSecret(string(privatePEM)),
	}, nil
}

// form returns the name of the form in which a certificate is written, or "".
func (c certificate) form(text string) string {
	plain := func(text string) string { return strings.Join(strings.Fields(text), "") }
	switch plain(text) {
	case plain(c.pem):
		return "pem"
	case c.body:
		return "body"
	case c.base64:
		return "base64"
	}
	return ""
}

// askCertificate sends the certificate in two forms: the first is that of the consumer's creation.
func askCertificate(ctx context.Context, r *run) error {
	if err := r.mainConsumer(ctx); err != nil {
		return err
	}
	var shown []string
	for _, sent := range []string{r.certificate.pem, r.certificate.body} {
		if err := upsert(ctx, r.meta, r.globalSettings(sent)); err != nil {
			return err
		}
		global, err := r.meta.Read(ctx, eca.GlobalOAuthSettings, eca.UsualNames(r.app(mainApp), eca.GlobalOAuthSettings)[0])
		if err != nil {
			return err
		}
		text := ""
		if len(global) > 0 {
			text = global[0].Text("certificate")
		}
		if text == "" {
			r.saw("certificate-shown", "withheld", "readMetadata of the global settings has no element certificate")
			r.unknown("certificate-form", "the org does not show the certificate")
			return nil
		}
		shown = append(shown, r.certificate.form(text))
	}
	r.saw("certificate-shown", "shown", "readMetadata returns the certificate")
	answer := shown[0]
	if shown[0] == "pem" && shown[1] == "body" {
		answer = "as-sent"
	} else if shown[0] != shown[1] {
		answer = strings.Join(shown, " and ")
	}
	r.saw("certificate-form", answer, "sent as PEM, returned as %s; sent as the base64 within the PEM, returned as %s", shown[0], shown[1])
	return nil
}

// pluginPolicies switches the main app's OAuth on or off.
func (r *run) pluginPolicies(ctx context.Context, enabled, plugin bool) error {
	return r.writeOwn(ctx, r.meta, component(eca.PluginPolicies, r.app(mainApp), "isEnabled", fmt.Sprint(enabled), "isOauthPluginEnabled", fmt.Sprint(plugin)))
}

// oauthPolicies writes the main app's OAuth policies. The user of the session is the run-as user.
func (r *run) oauthPolicies(ctx context.Context, pairs ...string) error {
	pairs = append(pairs, "clientCredentialsFlowUser", r.user.Username, "isClientCredentialsFlowEnabled", "true")
	return r.writeOwn(ctx, r.meta, component(eca.OAuthPolicies, r.app(mainApp), pairs...))
}

// writeOwn writes a component of the main app under the name that the org gave it.
func (r *run) writeOwn(ctx context.Context, client *mdapi.Client, c *metadata.Component) error {
	if name := r.existing[c.Type]; name != "" {
		c.FullName = name
	}
	err := upsert(ctx, client, c)
	if err == nil {
		r.existing[c.Type] = c.FullName
	}
	return err
}

// jwtSwitchVersion is the API version that may no longer know isNamedUserJwtEnabled of OAuth policies.
const jwtSwitchVersion apiversion.Version = 64

func askPolicies(ctx context.Context, r *run) error {
	if err := r.mainConsumer(ctx); err != nil {
		return err
	}
	if err := r.pluginPolicies(ctx, false, true); err != nil {
		return err
	}
	if err := r.accepts("disabled-app-policies", r.oauthPolicies(ctx), "accepted", "refused"); err != nil {
		return err
	}
	if err := r.pluginPolicies(ctx, true, true); err != nil {
		return err
	}
	switch {
	case !r.options.wanted("jwt-switch-in-policies"):
	case r.conn.APIVersion() < jwtSwitchVersion:
		r.unknown("jwt-switch-in-policies", "needs API version %s", jwtSwitchVersion)
	default:
		err := r.writeOwn(ctx, r.at(jwtSwitchVersion), component(eca.OAuthPolicies, r.app(mainApp), "isNamedUserJwtEnabled", "false"))
		if err := r.accepts("jwt-switch-in-policies", err, "known", "unknown"); err != nil {
			return err
		}
	}
	err := r.oauthPolicies(ctx, "commaSeparatedProfile", "No Such Profile Of A Selftest")
	return r.accepts("unknown-profile", err, "accepted", "refused")
}

// oldVersion is an API version that lacks isRefreshTokenRotationEnabled of the global settings.
const oldVersion apiversion.Version = 59

// askChosenCredentials creates a consumer with a key and a secret of its own. Whether the secret was
// taken is asked once REST shows secrets.
func askChosenCredentials(ctx context.Context, r *run) error {
	if err := r.mainHeader(ctx); err != nil {
		return err
	}
	app := r.app(keyApp)
	key, secret := "EcaSelftest"+random(24), salesforce.NewSecret("Eca"+strings.ToUpper(random(32)))
	salesforce.NewSecret(key) // a key identifies no org, but nobody needs it
	if err := upsert(ctx, r.meta, newHeader(app)); err != nil {
		return err
	}
	if err := upsert(ctx, r.meta, component(eca.OAuthSettings, app, "commaSeparatedOauthScopes", "Api")); err != nil {
		return err
	}
	global := func(pairs ...string) *metadata.Component {
		return component(eca.GlobalOAuthSettings, app, append(pairs, "callbackUrl", r.conn.InstanceURL)...)
	}
	created := global("consumerKey", key, "consumerSecret", secret.Reveal(), "isRefreshTokenRotationEnabled", "true")
	if err := upsert(ctx, r.meta, created); err != nil {
		return err
	}
	read := func() (*metadata.Component, error) {
		found, err := r.meta.Read(ctx, eca.GlobalOAuthSettings, created.FullName)
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("readMetadata does not return %s", created.FullName)
		}
		if err != nil {
			return nil, err
		}
		return found[0], nil
	}
	found, err := read()
	if err != nil {
		return err
	}
	answer := "ignored"
	if found.Text("consumerKey") == key {
		answer = "honoured"
	}
	r.saw("consumer-key-at-creation", answer, "sent a key, readMetadata returns %s", map[string]string{"ignored": "another one", "honoured": "the same"}[answer])
	if err := r.askChosenSecret(ctx, app, secret); err != nil {
		return err
	}
	if err := upsert(ctx, r.at(oldVersion), global()); err != nil {
		return err
	}
	if found, err = read(); err != nil {
		return err
	}
	answer = "kept"
	if !eca.Bool(found, "isRefreshTokenRotationEnabled") {
		answer = "reset"
	}
	r.saw("older-version-resets", answer, "after an upsert in API version %s, isRefreshTokenRotationEnabled is %s, was true", oldVersion, found.Text("isRefreshTokenRotationEnabled"))
	return nil
}

func (r *run) askChosenSecret(ctx context.Context, app string, secret salesforce.Secret) error {
	if !r.options.wanted("consumer-secret-at-creation") {
		return nil
	}
	if err := r.openSecrets(ctx); err != nil {
		return err
	}
	found, err := r.consumers().Find(ctx, app)
	if err != nil {
		return err
	}
	credentials, err := r.consumers().Credentials(ctx, found)
	if err != nil {
		return err
	}
	if credentials.Secret.Equal(secret) {
		r.saw("consumer-secret-at-creation", "honoured", "sent a secret, REST returns the same")
	} else {
		r.saw("consumer-secret-at-creation", "ignored", "sent a secret, REST returns another one")
	}
	return nil
}

// askHeaders sends headers that the org may refuse.
func askHeaders(ctx context.Context, r *run) error {
	if err := r.mainHeader(ctx); err != nil {
		return err
	}
	foreign := newHeader(r.app(headerApp))
	foreign.Fields = append(foreign.Fields, metadata.Field{Name: "orgScopedExternalApp", Text: "00D000000000001:" + foreign.FullName})
	if err := r.accepts("foreign-org-scope", upsert(ctx, r.meta, foreign), "accepted", "refused"); err != nil {
		return err
	}
	if !r.options.wanted("repeated-element") {
		return nil
	}
	twice := newHeader(r.app(headerApp))
	twice.Fields = append(twice.Fields, metadata.Field{Name: "label", Text: "Twice"})
	return r.accepts("repeated-element", upsert(ctx, r.meta, twice), "accepted", "refused")
}
