package consumer

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Attempt is a login that was refused, as far as the org can be asked about it.
type Attempt struct {
	App      string
	Username string            // whom the login was for, "" where only the policies say it
	Key      salesforce.Secret // the private key of a JWT, zero for other flows
	Made     time.Time         // when the consumer was made, zero where nobody knows
}

// Diagnose asks the org what is behind a refusal, and returns it in a sentence without its full
// stop, "" where there is nothing more to say than Explain does. What the org does not answer is
// left out.
func (c *Client) Diagnose(ctx context.Context, why Refusal, a Attempt) string {
	policies := func() *metadata.Component {
		found, err := c.Policies(ctx, a.App)
		if err != nil {
			return nil
		}
		return found
	}
	user := func() string {
		if p := policies(); a.Username == "" && p != nil {
			return strings.TrimSpace(p.Text("clientCredentialsFlowUser"))
		}
		return a.Username
	}
	switch why.Cause {
	case UnknownConsumer:
		if !a.Made.IsZero() {
			return fmt.Sprintf("the app's OAuth settings were made %s ago", time.Since(a.Made).Round(time.Minute))
		}
	case FlowOff:
		const field = "isClientCredentialsFlowEnabled"
		global, err := c.Global(ctx, a.App)
		switch p := policies(); {
		case err == nil && global != nil && !eca.Bool(global, field):
			return fmt.Sprintf("%s is false in the global OAuth settings %s", field, global.FullName)
		case p == nil:
			return "the app has no OAuth policies on this org yet: deploy them"
		case !eca.Bool(p, field):
			return fmt.Sprintf("%s is false in the OAuth policies %s", field, p.FullName)
		}
	case NotAuthorised, NotApproved:
		sets, err := apps.GrantedBy(ctx, c.rest(), a.App)
		who := user()
		if who == "" {
			who = "the user"
		}
		switch {
		case err != nil:
		case len(sets) == 0:
			return fmt.Sprintf(`no permission set grants the app: name one in "permissionSets" of the app in plugins.eca, and assign it to %s`, who)
		default:
			return fmt.Sprintf("%s grants the app: assign it to %s", strings.Join(sets, " or "), who)
		}
	case InactiveUser:
		if who := user(); who != "" {
			return "it is " + who
		}
	case WrongAssertion:
		return c.diagnoseCertificate(ctx, a)
	}
	return ""
}

func (c *Client) diagnoseCertificate(ctx context.Context, a Attempt) string {
	global, err := c.Global(ctx, a.App)
	if err != nil || global == nil {
		return ""
	}
	text := global.Text("certificate")
	certificate, err := x509.ParseCertificate(metadata.CertificateDER(text))
	switch {
	case text == "":
		return "the org shows no certificate for the app: state it in globalOauthSettings.certificate"
	case err != nil:
		return ""
	case time.Now().After(certificate.NotAfter):
		return "the certificate on the org has expired on " + certificate.NotAfter.Format(time.DateOnly)
	}
	if key, err := ParseKey(a.Key); err == nil && !key.PublicKey.Equal(certificate.PublicKey) {
		return fmt.Sprintf("the certificate on the org, valid until %s, belongs to another private key", certificate.NotAfter.Format(time.DateOnly))
	}
	return ""
}

// ParseKey reads an RSA private key in PEM, PKCS#1 or PKCS#8. An error repeats nothing of it.
func ParseKey(key salesforce.Secret) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(key.Reveal()))
	if block == nil {
		return nil, errors.New("is not a private key in PEM")
	}
	if strings.Contains(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "" {
		return nil, errors.New("is encrypted with a passphrase; decrypt it first, as with openssl pkey")
	}
	if parsed, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return parsed, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("is not a private key in PKCS#1 or PKCS#8")
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("is not an RSA key, which JWT bearer needs")
	}
	return private, nil
}
