package login

import (
	"cmp"
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
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Attempt is a refused login.
type Attempt struct {
	App      string
	Username string            // the user of the login, "" if only the policies name it
	Key      salesforce.Secret // the private key of a JWT, zero for other flows
	Created  time.Time         // when the consumer was created, zero if unknown
}

// Diagnose asks the org for the cause of a refusal. It returns a sentence without its full stop, or
// "" if there is nothing to add to Explain. It draws no conclusion from a query that failed.
func Diagnose(ctx context.Context, conn *salesforce.Conn, why Refusal, a Attempt) string {
	switch why.Cause {
	case UnknownConsumer:
		if !a.Created.IsZero() {
			return fmt.Sprintf("the app's OAuth settings were made %s ago", time.Since(a.Created).Round(time.Minute))
		}
	case FlowOff:
		return a.flow(ctx, conn)
	case NotAuthorised, NotApproved:
		return a.grants(ctx, conn)
	case InactiveUser:
		if user := a.user(ctx, conn); user != "" {
			return "it is " + user
		}
	case WrongAssertion:
		return a.certificate(ctx, conn)
	}
	return ""
}

// user returns the user of the login, "" if unknown.
func (a Attempt) user(ctx context.Context, conn *salesforce.Conn) string {
	if a.Username != "" {
		return a.Username
	}
	policies, err := apps.Component(ctx, conn, a.App, eca.OAuthPolicies)
	if err != nil || policies == nil {
		return ""
	}
	return strings.TrimSpace(policies.Text("clientCredentialsFlowUser"))
}

// flow says which component turns the client credentials flow off.
func (a Attempt) flow(ctx context.Context, conn *salesforce.Conn) string {
	const field = "isClientCredentialsFlowEnabled"
	global, err := apps.Component(ctx, conn, a.App, eca.GlobalOAuthSettings)
	if err == nil && global != nil && !eca.Bool(global, field) {
		return fmt.Sprintf("%s is false in the global OAuth settings %s", field, global.FullName)
	}
	policies, err := apps.Component(ctx, conn, a.App, eca.OAuthPolicies)
	switch {
	case err != nil:
		return ""
	case policies == nil:
		return "the app has no OAuth policies on this org yet: deploy them"
	case !eca.Bool(policies, field):
		return fmt.Sprintf("%s is false in the OAuth policies %s", field, policies.FullName)
	}
	return ""
}

// grants says which permission sets grant the app.
func (a Attempt) grants(ctx context.Context, conn *salesforce.Conn) string {
	sets, err := apps.GrantedBy(ctx, &restapi.Client{Conn: conn}, a.App)
	if err != nil {
		return ""
	}
	user := cmp.Or(a.user(ctx, conn), "the user")
	if len(sets) == 0 {
		return "no permission set grants the app: add one to its permissionSets, and assign it to " + user
	}
	return fmt.Sprintf("%s grants the app: assign it to %s", strings.Join(sets, " or "), user)
}

// certificate says what is wrong with the app's certificate.
func (a Attempt) certificate(ctx context.Context, conn *salesforce.Conn) string {
	global, err := apps.Component(ctx, conn, a.App, eca.GlobalOAuthSettings)
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
		expires := certificate.NotAfter.Format(time.DateOnly)
		return fmt.Sprintf("the certificate on the org, valid until %s, belongs to another private key", expires)
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
