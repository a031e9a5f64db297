package platform

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// ParseInstance parses an instance URL and checks that tokens may be sent there: https, or http
// if the host is this machine's loopback, without path, query or user information. Errors
// contain no more than the host, because a misplaced value may be a secret.
func ParseInstance(raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(strings.TrimSpace(raw), "/"))
	if err != nil || u.Host == "" {
		return nil, errors.New("the instance URL is not a URL like https://example.my.salesforce.com")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("the instance URL has an invalid port")
		}
	}
	if u.Hostname() == "" || u.ForceQuery || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" {
		return nil, fmt.Errorf("the instance URL has more than a scheme and the host %s; remove the rest", u.Host)
	}
	if u.Scheme == "https" || u.Scheme == "http" && IsLoopbackHost(u.Hostname()) {
		return u, nil
	}
	return nil, fmt.Errorf("the instance URL %s://%s must be https, because tokens are sent to it (http is allowed for this machine's own loopback only)", u.Scheme, u.Host)
}

// IsLoginHost reports whether a host is one where users of all orgs log in, and no org's own.
func IsLoginHost(host string) bool {
	host = strings.ToLower(host)
	return host == "login.salesforce.com" || host == "test.salesforce.com"
}

// IsLoopback reports whether a URL's host is this machine's loopback.
func IsLoopback(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && IsLoopbackHost(u.Hostname())
}

// IsLoopbackHost reports whether a host without a port is this machine's loopback.
func IsLoopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
