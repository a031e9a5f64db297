package login

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Attempt is a login that was, or will be, attempted.
type Attempt struct {
	App      string
	Username string            // the user of the login, "" if only the policies name it
	Key      salesforce.Secret // the private key of a JWT, zero for other flows
	Created  time.Time         // when the consumer was created, zero if unknown
}

// State is what an org shows of an app, as far as logins depend on it. What the org does not show is
// unknown, and nothing is concluded from it.
type State struct {
	Attempt
	// Settings, Global, Policies and Plugins are the app's components, nil if there are none.
	Settings, Global, Policies, Plugins *metadata.Component

	Certificate *x509.Certificate // of the app; nil if there is none, or it cannot be read
	Granting    []string          // names of the permission sets that grant the app
	Host        string            // that is called
	MyDomain    string            // the URL of the org's own domain, "" if unknown

	unread error       // why the components are unknown
	facts  *apps.Facts // nil if unknown

	rest *sync.WaitGroup // reads what components do not show; nil for a State that Look did not return
}

// Look reads an app and its policies, in two or three rounds of requests. It goes on to read who may use the
// app, and the user of the login, in at most five rounds in all: Wait waits for that, as Diagnose does. The
// user is that of the attempt, or the run-as user of the policies.
func Look(ctx context.Context, conn *salesforce.Conn, a Attempt) *State {
	s := &State{Attempt: a, Host: host(conn.InstanceURL), rest: new(sync.WaitGroup)}
	client := &restapi.Client{Conn: conn}
	var granting []string
	var grants errgroup.Group
	grants.Go(func() (err error) { granting, err = apps.GrantedBy(ctx, client, a.App); return err })
	s.rest.Go(func() {
		if info, err := client.UserInfo(ctx); err == nil {
			s.MyDomain = strings.TrimSuffix(info.MyDomain, "/")
		}
	})
	s.read(ctx, conn)
	if s.Policies != nil && s.Username == "" {
		s.Username = strings.TrimSpace(s.Policies.Text("clientCredentialsFlowUser"))
	}
	s.rest.Go(func() {
		if err := grants.Wait(); err == nil && s.unread == nil {
			s.Granting = granting
			s.readUser(ctx, client, a.App)
		}
	})
	return s
}

// host returns the host of a URL, with its port.
func host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// Wait waits until everything is read.
func (s *State) Wait() {
	if s.rest != nil {
		s.rest.Wait()
	}
}

// readUser reads who may use the app, and the user of the login.
func (s *State) readUser(ctx context.Context, client *restapi.Client, app string) {
	if s.Policies != nil {
		for _, name := range metadata.Items(s.Policies.Text("commaSeparatedPermissionSet")) {
			if !slices.Contains(s.Granting, name) {
				s.Granting = append(s.Granting, name)
			}
		}
	}
	names := preflight.Names{Apps: []string{app}, PermissionSets: s.Granting}
	if s.Username != "" {
		names.Users, names.Assignees = []string{s.Username}, []string{s.Username}
	}
	if facts, err := apps.LookUp(ctx, client, names); err == nil {
		s.facts = facts
	}
}

// read reads the app's components.
func (s *State) read(ctx context.Context, conn *salesforce.Conn) {
	types := []string{eca.GlobalOAuthSettings, eca.OAuthPolicies, eca.PluginPolicies, eca.OAuthSettings}
	one := &apps.App{Name: s.App}
	listed, err := apps.List(ctx, conn, types)
	if err == nil {
		err = apps.Load(ctx, conn, []*apps.App{one}, types, listed)
	}
	if s.unread = err; err != nil {
		return
	}
	s.Global, s.Policies, s.Plugins = one.Component(types[0]), one.Component(types[1]), one.Component(types[2])
	s.Settings = one.Component(types[3])
	if s.Global != nil {
		s.Certificate, _ = x509.ParseCertificate(metadata.CertificateDER(s.Global.Text("certificate")))
	}
}

// Err returns why the app's components could not be read, or nil.
func (s *State) Err() error { return s.unread }

// Diagnosis is a refused login, or one that will be refused, with its cause.
type Diagnosis struct {
	*State
	Cause refusal.Cause
	// Found reports that the org shows the cause. If not, it is the first one that the org does not
	// exclude.
	Found bool
	Err   error // the refusal, nil for a login that was not attempted
}

func (d *Diagnosis) Error() string {
	text := d.App
	if d.Err != nil && text != "" {
		text += ": "
	}
	if d.Err != nil {
		text += d.Err.Error()
	}
	return text
}

// Unwrap returns the refusal.
func (d *Diagnosis) Unwrap() error { return d.Err }

// Diagnose returns the cause of a refusal, nil if err is not a known refusal.
func (s *State) Diagnose(err error) *Diagnosis {
	s.Wait()
	why, known := Explain(err)
	if !known || why.Where == refusal.API {
		return nil
	}
	own := *s
	if refused, ok := errors.AsType[*salesforce.TokenRefusal](err); ok && refused.Host != "" {
		own.Host = refused.Host
	}
	d := &Diagnosis{State: &own, Cause: refusal.OtherCause, Err: err}
	for _, cause := range why.Causes {
		switch verdict := own.judge(cause); {
		case verdict == yes:
			d.Cause, d.Found = cause, true
			return d
		case verdict == unknown && d.Cause == refusal.OtherCause:
			d.Cause = cause
		}
	}
	return d
}

// Proof returns the cause for which the app accepts no token of a client like this one, which sends neither a DPoP
// proof nor a client certificate, nil if it requires neither. It waits only if it returns one.
func (s *State) Proof() *Diagnosis {
	for _, cause := range refusal.Foretold {
		if s.judge(cause) == yes {
			s.Wait() // the words for the cause name what it reads
			return &Diagnosis{State: s, Cause: cause, Found: true}
		}
	}
	return nil
}

// verdict is whether a cause is the case.
type verdict int

const (
	unknown verdict = iota
	no
	yes
)

func is(condition bool) verdict {
	if condition {
		return yes
	}
	return no
}

// judge decides whether the org shows a cause.
func (s *State) judge(c refusal.Cause) verdict {
	switch c {
	case refusal.NewConsumer:
		if s.Created.IsZero() {
			return unknown
		}
		return is(time.Since(s.Created) < MaxPropagation)
	case refusal.WrongHost:
		if s.MyDomain == "" {
			return unknown
		}
		return is(host(s.MyDomain) != s.Host)
	case refusal.UnknownUser, refusal.InactiveUser, refusal.NoGrant, refusal.NotAssigned:
		return s.judgeUser(c)
	case refusal.NoCertificate, refusal.NotRSA, refusal.ShortKey, refusal.LargeCertificate, refusal.ExpiredCertificate, refusal.OtherCertificate:
		return s.judgeCertificate(c)
	}
	if s.unread != nil {
		return unknown
	}
	scopes := ""
	if s.Settings != nil {
		scopes = s.Settings.Text("commaSeparatedOauthScopes")
	}
	flow := func(of *metadata.Component) bool { return eca.Bool(of, "isClientCredentialsFlowEnabled") }
	switch c {
	case refusal.AppOff:
		return is(s.Plugins != nil && !(eca.Bool(s.Plugins, "isEnabled") && eca.Bool(s.Plugins, "isOauthPluginEnabled")))
	case refusal.FlowOff:
		return is(s.Global != nil && !flow(s.Global))
	case refusal.NoPolicies:
		return is(s.Policies == nil)
	case refusal.PoliciesFlowOff:
		return is(s.Policies != nil && !flow(s.Policies))
	case refusal.NoRunAsUser:
		return is(s.Policies != nil && strings.TrimSpace(s.Policies.Text("clientCredentialsFlowUser")) == "")
	case refusal.NoRefreshScope:
		return is(s.Settings != nil && !eca.HasRefreshToken(metadata.Items(scopes)))
	case refusal.RotatedAway:
		return is(s.Global != nil && eca.Bool(s.Global, "isRefreshTokenRotationEnabled"))
	case refusal.DPoPRequired:
		return is(s.Global != nil && eca.Bool(s.Global, "isDPopEnabled"))
	case refusal.MTLSRequired:
		return is(s.Global != nil && eca.Bool(s.Global, "isMtlsEnabled"))
	case refusal.NotInstalled:
		if s.Global == nil && s.Policies == nil && s.Settings == nil {
			return yes
		}
	case refusal.NotApproved:
		return is(s.Policies == nil || s.Policies.Text("permittedUsersPolicyType") != "AdminApprovedPreAuthorized")
	}
	return unknown
}

// judgeUser decides about the user of the login, and what grants the app.
func (s *State) judgeUser(c refusal.Cause) verdict {
	if s.facts == nil {
		return unknown
	}
	admits, known := s.facts.Admits(s.App, s.Granting, s.Username)
	if (c == refusal.NoGrant || c == refusal.NotAssigned) && !known || s.facts.Refused(preflight.UserObject) != nil {
		return unknown
	}
	exists, active := s.facts.ActiveUser(s.Username)
	profiles := s.Policies != nil && strings.TrimSpace(s.Policies.Text("commaSeparatedProfile")) != ""
	granted := len(s.Granting) > 0 || s.facts.IsGranted(s.App)
	switch {
	case c == refusal.NoGrant && profiles && !granted:
		return unknown // whether profiles grant External Client Apps is unknown
	case c == refusal.NoGrant:
		return is(!granted)
	case s.Username == "":
		return unknown
	case c == refusal.UnknownUser:
		return is(!exists)
	case c == refusal.InactiveUser:
		return is(exists && !active)
	case profiles:
		return unknown
	}
	return is(granted && !admits)
}

// The certificates that JWT bearer accepts.
const (
	minKeyBits     = 2048
	maxCertificate = 4 << 10
)

// judgeCertificate decides about the app's certificate.
func (s *State) judgeCertificate(c refusal.Cause) verdict {
	if s.unread != nil || s.Global == nil {
		return unknown
	}
	text := s.Global.Text("certificate")
	if c == refusal.NoCertificate {
		return is(text == "")
	}
	if s.Certificate == nil {
		return unknown
	}
	public, isRSA := s.Certificate.PublicKey.(*rsa.PublicKey)
	switch c {
	case refusal.NotRSA:
		return is(!isRSA)
	case refusal.ExpiredCertificate:
		return is(time.Now().After(s.Certificate.NotAfter))
	case refusal.LargeCertificate:
		return is(len(strings.TrimSpace(text)) >= maxCertificate)
	case refusal.ShortKey:
		return is(isRSA && public.N.BitLen() < minKeyBits)
	}
	key, err := ParseKey(s.Key)
	if err != nil {
		return unknown
	}
	return is(!key.PublicKey.Equal(s.Certificate.PublicKey))
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
