package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Settings are what the environment says of connections.
type Settings struct {
	// Warning says why NODE_EXTRA_CA_CERTS is without effect, "" if it is not.
	Warning string

	authorities *x509.CertPool // nil for those of the system
}

// Environment returns the settings of this process's environment. An address of a proxy that is none is an error:
// net/http would connect without the proxy.
var Environment = sync.OnceValues(func() (Settings, error) { return environment(os.Getenv) })

func environment(getenv func(string) string) (s Settings, err error) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		if value := getenv(name); value != "" && !isProxy(value) {
			return s, fmt.Errorf("%s is not the address of a proxy, like http://proxy.example.com:3128", name)
		}
	}
	const name = "NODE_EXTRA_CA_CERTS" // which sf honours too
	file := getenv(name)
	if file == "" {
		return s, nil
	}
	data, err := os.ReadFile(file)
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = failed.Err
	}
	if err != nil {
		s.Warning = fmt.Sprintf("%s is ignored: %s cannot be read: %v", name, file, err)
		return s, nil
	}
	authorities, err := x509.SystemCertPool()
	if err != nil {
		authorities = x509.NewCertPool()
	}
	if !authorities.AppendCertsFromPEM(data) {
		s.Warning = fmt.Sprintf("%s is ignored: %s holds no certificate in PEM", name, file)
		return s, nil
	}
	s.authorities = authorities
	return s, nil
}

// isProxy reports whether net/http can use a text as the address of a proxy. Without a scheme, it is one of HTTP.
func isProxy(text string) bool {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	return err == nil && u.Hostname() != "" && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, strings.ToLower(u.Scheme)) &&
		!strings.ContainsAny(u.Host, " \t")
}

// base returns a transport with connections of its own, and with the settings of the environment.
func base() *http.Transport {
	own := salesforce.NewTransport()
	if settings, err := Environment(); err == nil && settings.authorities != nil {
		own.TLSClientConfig = &tls.Config{RootCAs: settings.authorities}
	}
	return own
}
