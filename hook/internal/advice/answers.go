package advice

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// answerHint returns a hint for a host that does not answer, that asks for a wait, or from which something else
// than the org answers.
func answerHint(err error) string {
	if wait := salesforce.RetryAfter(err).Round(time.Second); wait > 0 {
		return fmt.Sprintf("run the command again in %s, or wait for it with --retry-for %s", spoken(wait), written(wait))
	}
	if failed, ok := errors.AsType[*salesforce.NetworkError](err); ok {
		return networkHint(failed)
	}
	if answer, ok := errors.AsType[*salesforce.Error](err); ok {
		switch {
		case isMissingVersion(answer):
			return versionHint(answer.Version)
		case answer.Code == "NOT_FOUND":
			return "check the instance URL: this host has no such resource"
		}
		return ""
	}
	if answer, ok := errors.AsType[*salesforce.StatusError](err); ok {
		return statusHint(answer)
	}
	return ""
}

// isMissingVersion reports whether the org may not have the API version of a call.
func isMissingVersion(answer *salesforce.Error) bool {
	gone := answer.Status == http.StatusGone || answer.Status == http.StatusNotFound
	return answer.Code == "UNSUPPORTED_API_VERSION" || gone && answer.Version != ""
}

func versionHint(version string) string {
	if version == "" {
		return "choose a version that this org has with --api-version, or leave that out"
	}
	return fmt.Sprintf("the org may not have API version %s: choose one that it has with --api-version, or leave that out", version)
}

// statusHint returns a hint for an answer that is none of the org's API.
func statusHint(answer *salesforce.StatusError) string {
	switch {
	case answer.Status == http.StatusProxyAuthRequired:
		return proxyLogin
	case answer.Redirect != "":
		return "use the org's own My Domain URL; if the network here wants a login first, log in to it with a browser"
	case answer.Version != "" && (answer.Status == http.StatusNotFound || answer.Status == http.StatusGone):
		return versionHint(answer.Version)
	case salesforce.IsTransient(answer):
		return ""
	case answer.Page:
		return fmt.Sprintf("open https://%s in a browser to see the page, which may come from a proxy, the network or a maintenance of the org", answer.Host)
	}
	return "check the instance URL and the proxy settings: something else than the org may have answered"
}

const (
	proxyLogin = "give the proxy its user and password in HTTPS_PROXY, as USER:PASSWORD@ before its host"
	checkAll   = "check the network, the proxy settings and the instance URL"
)

// networkHint returns a hint for a host that did not answer, by the cause.
func networkHint(failed *salesforce.NetworkError) string {
	var (
		name      *net.DNSError
		op        *net.OpError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		expired   interface{ Timeout() bool }
	)
	switch cause := failed.Err; {
	case cause == nil:
	case cause.Error() == http.StatusText(http.StatusProxyAuthRequired):
		return proxyLogin
	case errors.As(cause, &op) && op.Op == "proxyconnect":
		return "check the address of the proxy in HTTPS_PROXY"
	case errors.As(cause, &authority):
		return "if a proxy opens TLS connections, name the file with its certificate in NODE_EXTRA_CA_CERTS or SSL_CERT_FILE"
	case errors.As(cause, &invalid) && invalid.Reason == x509.Expired:
		return "check the clock of this machine, which says " + time.Now().UTC().Format("2006-01-02 15:04 UTC")
	case errors.As(cause, &hostname):
		return "correct the instance URL, or the proxy that answers in its place"
	case errors.As(cause, &record), strings.Contains(cause.Error(), "HTTP response to HTTPS client"):
		return "something that does not speak TLS answers: check the instance URL, and whether the network here wants a login first"
	case errors.As(cause, &name) && name.IsNotFound && meantHost(name.Name) != "":
		return fmt.Sprintf("did you mean %s? Correct the instance URL", meantHost(name.Name))
	case errors.As(cause, &name) && name.IsNotFound:
		return "correct the instance URL, or check the DNS of this machine; behind a proxy, set HTTPS_PROXY"
	case errors.As(cause, &expired) && expired.Timeout():
		return "run the command again later; if the org cannot be reached at all, " + checkAll
	}
	return checkAll
}

// myDomains is how the My Domain of all orgs ends.
const myDomains = "my.salesforce.com"

// meantHost returns the My Domain that is meant by a host with a typing error in its last three labels, "" if there is
// none.
func meantHost(host string) string {
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	if len(labels) < 4 {
		return ""
	}
	n := len(labels) - 3
	end := strings.Join(labels[n:], ".")
	if end == myDomains || levenshtein.ComputeDistance(end, myDomains) > 2 {
		return ""
	}
	return strings.Join(labels[:n], ".") + "." + myDomains
}

// spoken returns a wait in words.
func spoken(wait time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if wait >= unit.length {
			n := int((wait + unit.length - 1) / unit.length)
			if n == 1 {
				return "1 " + unit.name
			}
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return "a second"
}

// written returns a wait as flags take it: a little longer.
func written(wait time.Duration) string {
	text := (wait + time.Minute).Truncate(time.Minute).String()
	return strings.TrimSuffix(strings.TrimSuffix(text, "0s"), "0m")
}
