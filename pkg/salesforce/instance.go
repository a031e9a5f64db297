package salesforce

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// ParseInstance checks that tokens may be sent to an instance URL: https, or http where
// the host is this machine's loopback. Path, query and user information have no place in
// it. The error repeats no more than the host, because whatever was put here by mistake may
// be secret.
func ParseInstance(raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(strings.TrimSpace(raw), "/"))
	if err != nil || u.Host == "" {
		return nil, errors.New("the instance URL is not a URL like https://example.my.salesforce.com")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("the instance URL has a port that does not exist")
		}
	}
	if u.Hostname() == "" || u.ForceQuery || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" {
		return nil, fmt.Errorf("the instance URL has more than a scheme and the host %s", u.Host)
	}
	if u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()) {
		return u, nil
	}
	return nil, fmt.Errorf("a token is sent over https only, and the instance URL %s://%s is not (http is for this machine's own loopback)", u.Scheme, u.Host)
}

// IsLoopback reports whether a URL leads to this machine's own loopback.
func IsLoopback(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Kind is what sort of org it is.
type Kind string

// The kinds of org. Scratch orgs are sandboxes to the platform (IsSandbox is true), and to
// sfp's alias rule.
const (
	Unknown    Kind = ""
	Production Kind = "production"
	Sandbox    Kind = "sandbox"
	Scratch    Kind = "scratch org"
)

// IsSandbox reports whether the platform calls an org of this kind a sandbox.
func (k Kind) IsSandbox() bool { return k == Sandbox || k == Scratch }

// KindOfHost tells sandboxes and scratch orgs by the partition in their My Domain host,
// like acme--uat.sandbox.my.salesforce.com. Other hosts tell nothing: Salesforce's
// documentation of enhanced domains lists more partitions than these, and custom hosts
// exist.
func KindOfHost(host string) Kind {
	switch {
	case strings.Contains(host, ".sandbox.my.salesforce."):
		return Sandbox
	case strings.Contains(host, ".scratch.my.salesforce."):
		return Scratch
	}
	return Unknown
}
