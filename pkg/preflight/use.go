package preflight

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/refusal"
)

// Use is the OAuth of an app in an environment: its settings and policies together. Its checks foretell
// logins that the org will refuse, although it accepts each component.
type Use struct {
	App string
	// Value returns a field of a component of the app, and the place that states it.
	Value func(typ, field string) Value
	// Policies are the app's OAuth policies in the environment, nil if there are none.
	Policies []*Policies
	// Off are the flows that no OAuth policies of the app switch on, neither of any environment nor of the org.
	Off []eca.Flow
	// CodeCredentialsOff reports that the org lets no app use the Authorization Code and Credentials Flow.
	CodeCredentialsOff bool
}

// Value is a field of a component with its place.
type Value struct {
	Text string
	File string // of the settings or of the component in source; "" if only the org has it
	At   string // the path of the setting or element in the file
	// Setting is the field as plugins.eca states it, "" if the source has the component.
	Setting string
}

// Problem is a finding about the use of an app. At is its path in the finding's file.
type Problem struct {
	finding.Finding
	At string
}

// To returns what to do to give a field a value: where the field is stated, in the settings or in source.
func (v Value) To(value string) string {
	if v.Setting != "" {
		return fmt.Sprintf("set %s to %s", v.Setting, value)
	}
	field := v.At[strings.LastIndexByte(v.At, '.')+1:]
	return fmt.Sprintf("set %s to %s in %s", field, value, v.File)
}

// uses collects the problems with a use.
type uses struct {
	Use
	all []Problem
}

func (u *uses) report(rule string, level finding.Level, at Value, problem, fix string) {
	u.refused("", rule, level, at, problem, fix)
}

// refused is report for a problem that is the cause of refused logins.
func (u *uses) refused(cause refusal.Cause, rule string, level finding.Level, at Value, problem, fix string) {
	f := finding.Finding{Rule: rule, Level: level, App: u.App, File: at.File, Problem: u.App + " " + problem, Fix: fix, Cause: cause}
	u.all = append(u.all, Problem{f, at.At})
}

// global returns a field of the global OAuth settings, and whether that switch is on.
func (u *uses) global(field string) (v Value, on bool) {
	v = u.Value(eca.GlobalOAuthSettings, field)
	ft := eca.Lookup(eca.GlobalOAuthSettings).Field(field)
	return v, v.Text == "true" || v.Text == "1" || v.Text == "" && ft.Default == "true"
}

// Check returns the problems with a use.
func (use Use) Check() []Problem {
	u := &uses{Use: use}
	scopes := u.Value(eca.OAuthSettings, "commaSeparatedOauthScopes")
	if jwt, on := u.global("isNamedUserJwtEnabled"); !on {
		if scope := eca.NeedsJWT(metadata.Items(scopes.Text)); scope != "" {
			u.report("mcp-without-jwt", finding.Warning, scopes, "has the scope "+scope+", but issues no JWT-based tokens", jwt.To("true"))
		}
	}
	u.flows()
	u.needs()
	certificate := u.Value(eca.GlobalOAuthSettings, "certificate")
	if !u.certificate(certificate) && eca.Placeholder(certificate.Text) == "" {
		return u.all
	}
	if strings.TrimSpace(scopes.Text) != "" && !eca.HasRefreshToken(metadata.Items(scopes.Text)) {
		u.refused(refusal.NoRefreshScope, "jwt-login", finding.Warning, scopes, "has a certificate, but not the scope RefreshToken, without which logins with JWT bearer are refused", "add RefreshToken to the scopes")
	}
	for _, p := range u.Policies {
		at := func(field string) Value { return Value{File: p.File, At: field} }
		if !PreAuthorisedOnly(p.Component) {
			u.refused(refusal.NotApproved, "jwt-login", finding.Warning, at("permittedUsersPolicyType"), "has a certificate, but its policies let all users authorise it themselves, and logins with JWT bearer are refused for those who did not",
				"set permittedUsersPolicyType to AdminApprovedPreAuthorized, and grant the app to permission sets")
		}
		if strings.TrimSpace(p.Component.Text("refreshTokenPolicyType")) == "Zero" {
			u.report("jwt-login", finding.Warning, at("refreshTokenPolicyType"), "has a certificate, but its policies end refresh tokens at once, and logins with JWT bearer are refused then", "choose another refreshTokenPolicyType")
		}
	}
	return u.all
}

// flows checks the flows that are on in the settings against the policies and the org.
func (u *uses) flows() {
	for _, flow := range u.Off {
		v, on := u.global(flow.Switch)
		if !on {
			continue
		}
		problem, fix := "has "+flow.Name+" on, but no OAuth policies that switch it on, so such logins are refused", "add OAuth policies with "+flow.Policy
		if flow.Policy == clientCredentials {
			problem, fix = "has client credentials on, but no OAuth policies that name a user to run as, so such logins are refused", fix+" and clientCredentialsFlowUser"
		}
		u.refused(refusal.NoPolicies, "no-policies", finding.Warning, v, problem, fix+", or switch the flow off")
	}
	code, on := u.global("isCodeCredFlowEnabled")
	if post, only := u.global("isCodeCredPostOnly"); only && !on {
		u.report("flow-off", finding.Warning, post, "has isCodeCredPostOnly, which needs isCodeCredFlowEnabled of its global OAuth settings, but that is off", code.To("true"))
	}
	if on && u.CodeCredentialsOff {
		u.report("flow-off", finding.Warning, code, "has the Authorization Code and Credentials Flow on, but the org lets no app use it ("+eca.CodeCredentialsOfOrg+" of OauthOidcSettings is false)",
			"allow the flow in Setup, OAuth and OpenID Connect Settings")
	}
}

// clientCredentials is the field of OAuth policies for client credentials.
const clientCredentials = "isClientCredentialsFlowEnabled"

// needs checks that the settings have the switches on that the policies require. Those of sessions are
// checked by jwtSession, because the platform refuses such policies.
func (u *uses) needs() {
	for _, p := range u.Policies {
		for _, need := range eca.Needs(p.Component) {
			v, on := u.global(need.Switch)
			if on || need.By == jwtSessionField {
				continue
			}
			problem := fmt.Sprintf("has policies with %s, which needs %s of its global OAuth settings, but that is off", need.By, need.Switch)
			cause := refusal.Cause("")
			if need.By == "isClientCredentialsFlowEnabled" {
				cause = refusal.FlowOff
			}
			u.refused(cause, "flow-off", finding.Warning, Value{File: p.File, At: need.By}, problem, v.To("true"))
		}
	}
}

// expirySoon is the remaining validity at which a certificate is reported.
const expirySoon = 30 * 24 * time.Hour

// The platform's limits of certificates for JWT bearer. Source: manuals of two vendors, and field
// descriptions of other certificates of an app.
const (
	minKeyBits     = 2048
	maxCertificate = 4 << 10 // bytes
)

// certificate checks the app's certificate, and reports whether it has one.
func (u *uses) certificate(at Value) bool {
	certificate, err := x509.ParseCertificate(metadata.CertificateDER(at.Text))
	if err != nil {
		return false
	}
	const fix = "create a new key and certificate: RSA of 2048 bits or more, the certificate smaller than 4 KB"
	key, isRSA := certificate.PublicKey.(*rsa.PublicKey)
	switch {
	case !isRSA:
		u.refused(refusal.NotRSA, "certificate-unfit", finding.Error, at, fmt.Sprintf("has a certificate with a key of %s, and Salesforce accepts logins with JWT bearer only with RSA", certificate.PublicKeyAlgorithm), fix)
	case key.N.BitLen() < minKeyBits:
		u.refused(refusal.ShortKey, "certificate-unfit", finding.Error, at, fmt.Sprintf("has a certificate with a key of %d bits, and Salesforce requires %d", key.N.BitLen(), minKeyBits), fix)
	case len(strings.TrimSpace(at.Text)) >= maxCertificate:
		u.refused(refusal.LargeCertificate, "certificate-unfit", finding.Error, at, "has a certificate of 4 KB or more, which Salesforce refuses", fix)
	}
	day := certificate.NotAfter.Format(time.DateOnly)
	switch left := time.Until(certificate.NotAfter); {
	case left <= 0:
		u.refused(refusal.ExpiredCertificate, "certificate-expires", finding.Error, at, "has a certificate that expired on "+day, "replace it")
	case left < expirySoon:
		u.report("certificate-expires", finding.Warning, at, "has a certificate that expires on "+day, "replace it")
	}
	return true
}
