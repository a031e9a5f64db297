package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

const restError = `[{"errorCode":%q,"message":%q}]`

// badAnswers are what something answers in the place of an org, and what a person reads then.
var badAnswers = map[string]struct {
	status               int
	name, value          string // a field of the header
	body                 string
	message, soapMessage string // patterns; soapMessage is for an answer that should be SOAP, and message if it is ""
	hint, soapHint       string
}{
	"a page with 200":       {200, "", "", "<!DOCTYPE html><html>Welcome", "HTTP 200 OK: an HTML page, not the JSON that the REST API defines", "HTTP 200 OK: an HTML page, not a SOAP answer", "open https://HOST in a browser to see the page", ""},
	"a page by its type":    {200, "Content-Type", "text/html", "", ": an HTML page, not ", "", "open https://HOST in a browser", ""},
	"a page of a proxy":     {403, "", "", "\n<HTML>blocked", "HTTP 403 Forbidden: an HTML page, not .*", "", "open https://HOST in a browser", ""},
	"maintenance":           {503, "", "", "<html>We are down for maintenance", "HTTP 503 Service Unavailable: an HTML page, not an answer of the REST API", "HTTP 503 Service Unavailable: an HTML page, not a SOAP answer", "this is usually temporary", ""},
	"wait":                  {503, "Retry-After", "3600", "<html>Later", "HTTP 503", "", "^run the command again in 1 hour, or wait for it with --retry-for 1h1m$", ""},
	"wait of a limit":       {429, "Retry-After", "90", "", "HTTP 429 Too Many Requests", "", "in 2 minutes, or wait for it with --retry-for 2m$", ""},
	"a retired version":     {410, "", "", fmt.Sprintf(restError, "GONE", "no longer supported"), "GONE: no longer supported", "HTTP 410 Gone: API version 66.0 is retired or not supported", "", "API version 66.0: choose one that it has with --api-version"},
	"no such version":       {404, "", "", fmt.Sprintf(restError, "NOT_FOUND", "does not exist"), "NOT_FOUND: does not exist", "HTTP 404 Not Found: not a SOAP answer", "check the instance URL", "API version 66.0: choose one that it has"},
	"another instance":      {401, "", "", fmt.Sprintf(restError, "URL_NOT_RESET", "must be set"), "URL_NOT_RESET: must be set", "-", "the org has another instance URL than this login", ""},
	"no API":                {403, "", "", fmt.Sprintf(restError, "API_DISABLED_FOR_ORG", "not enabled"), "API_DISABLED_FOR_ORG: not enabled", "-", "permission API Enabled", ""},
	"no API, by its status": {401, "", "", fmt.Sprintf(restError, "API_DISABLED", "not enabled"), "API_DISABLED: not enabled", "-", "permission API Enabled", ""},
	"API disabled":          {403, "", "", fmt.Sprintf(restError, "API_CURRENTLY_DISABLED", "disabled"), "API_CURRENTLY_DISABLED: disabled", "-", "usually temporary", ""},
	"a proxy's login":       {407, "", "", "<html>Log in", "HTTP 407 Proxy Authentication Required", "", "give the proxy its user and password in HTTPS_PROXY", ""},
	"a network's login":     {302, "Location", "https://portal.example.com/login", "", "HTTP 302 Found: a redirect to portal.example.com, which would get the token", "", "if the network here wants a login first", ""},
	"a part of JSON":        {200, "", "", `{"a":`, "HTTP 200 OK: not the JSON that the REST API defines", "not a SOAP answer", "check the instance URL and the proxy settings", ""},
	"nothing":               {200, "", "", "", "not the JSON that the REST API defines", "not a SOAP answer", "check the instance URL", ""},
	"XML":                   {200, "", "", "<a>b</a>", "not the JSON that the REST API defines", "not a SOAP answer", "check the instance URL", ""},
	"a part of an answer":   {200, "Content-Length", "500", "{", "ended its answer early", "", "check the network", ""},
	"an error":              {500, "", "", "", "HTTP 500 Internal Server Error: not an answer of the REST API", "not a SOAP answer", "check the instance URL", ""},
}

// TestBadAnswers: one true sentence and a hint, whichever request is answered badly, and no token.
func TestBadAnswers(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, sampleOrg())
	if err := org.Deploy(ecakit.Sample, "testdata/eca-definition"); err != nil {
		t.Fatal(err)
	}
	for name, bad := range badAnswers {
		for _, soap := range []bool{false, true} {
			message, hint := bad.message, bad.hint
			if soap && bad.soapMessage != "" {
				message = bad.soapMessage
			}
			if soap && bad.soapHint != "" {
				hint = bad.soapHint
			}
			if message == "-" {
				continue
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if soap && !strings.Contains(r.URL.Path, "/Soap/") {
					org.ServeHTTP(w, r)
					return
				}
				if bad.name != "" {
					w.Header().Set(bad.name, bad.value)
				}
				w.WriteHeader(bad.status)
				w.Write([]byte(bad.body))
			}))
			t.Cleanup(server.Close)
			gotMessage, gotHint := refused(t, server.URL, org.AccessToken(), nil)
			host := strings.TrimPrefix(server.URL, "http://")
			if !regexp.MustCompile(message).MatchString(gotMessage) || !regexp.MustCompile(strings.ReplaceAll(hint, "HOST", host)).MatchString(gotHint) {
				t.Errorf("%s, SOAP %t: eca: %s\nhint: %s\nwant %s\n%s", name, soap, gotMessage, gotHint, message, hint)
			}
		}
	}
}

// refused runs a bootstrap that fails, and returns the lines of standard error.
func refused(t *testing.T, instance, token string, environ []string, args ...string) (message, hint string) {
	t.Helper()
	eca, err := exec.LookPath("eca")
	if err != nil {
		t.Fatal(err)
	}
	project := filepath.Join(t.TempDir(), "project")
	if err := os.CopyFS(project, ecakit.Sample); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(eca, append([]string{"bootstrap", "-o", "uat", "--retry-for", "0", "--api-version", "66.0", project}, args...)...)
	cmd.Env = append([]string{"HOME=" + t.TempDir(), "SF_ACCESS_TOKEN=" + token, "SF_ORG_INSTANCE_URL=" + instance, "GOCOVERDIR=" + t.TempDir()}, environ...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil {
		t.Errorf("%s: the run succeeded", instance)
	}
	lines := strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
	if len(lines) > 2 || !strings.HasPrefix(lines[0], "error: ") || strings.Contains(stderr.String(), token[18:]) {
		t.Errorf("standard error is %q", &stderr)
	}
	if len(lines) == 2 {
		hint = strings.TrimPrefix(lines[1], "hint: ")
	}
	return strings.TrimPrefix(lines[0], "error: "), hint
}

// TestBadConnections: what lies between this machine and the org.
func TestBadConnections(t *testing.T) {
	t.Parallel()
	const token, away = "00Dxx0000001gPF!AQEAQsecretsecretsecret", "https://acme-none.my.salesforce.com"
	const password = "p4ssw0rd-of-the-proxy"
	closed := httptest.NewServer(nil)
	closed.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	t.Cleanup(proxy.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	with := func(server *httptest.Server) string {
		return strings.Replace(server.URL, "http://", "http://user:"+password+"@", 1)
	}
	intercepted, authority := tlsServer(t, "127.0.0.1", time.Now().Add(time.Hour))
	expired, old := tlsServer(t, "127.0.0.1", time.Now().Add(-time.Hour))
	elsewhere, other := tlsServer(t, "192.0.2.1", time.Now().Add(time.Hour))
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		instance      string
		environ       []string
		message, hint string
	}{
		"refused":                     {closed.URL, nil, "did not answer: .*(refused|No connection)", "check the network, the proxy settings and the instance URL"},
		"no such host":                {"https://no-such-host.invalid", nil, "did not answer: .*lookup", "instance URL"},
		"an unknown authority":        {intercepted, nil, "certificate", "NODE_EXTRA_CA_CERTS or SSL_CERT_FILE"},
		"a known authority":           {intercepted, []string{"NODE_EXTRA_CA_CERTS=" + authority}, "HTTP 418", ""},
		"no file of authorities":      {intercepted, []string{"NODE_EXTRA_CA_CERTS=" + empty + ".none"}, "certificate", "NODE_EXTRA_CA_CERTS"},
		"an expired certificate":      {expired, []string{"NODE_EXTRA_CA_CERTS=" + old}, "expired", "check the clock of this machine"},
		"another host's certificate":  {elsewhere, []string{"NODE_EXTRA_CA_CERTS=" + other}, "certificate", "correct the instance URL, or the proxy"},
		"no TLS":                      {strings.Replace(plain.URL, "http:", "https:", 1), nil, "did not answer", "something that does not speak TLS answers"},
		"a proxy that wants a login":  {away, []string{"HTTPS_PROXY=" + with(proxy)}, "Proxy Authentication Required", "give the proxy its user and password"},
		"a proxy that is not there":   {away, []string{"HTTPS_PROXY=" + with(closed)}, "proxyconnect", "check the address of the proxy in HTTPS_PROXY"},
		"a proxy that is none":        {away, []string{"HTTPS_PROXY=http://user:" + password + "@:bad:"}, "^HTTPS_PROXY is not the address of a proxy", ""},
		"a proxy with a wrong scheme": {away, []string{"https_proxy=ftp://user:" + password + "@proxy"}, "^https_proxy is not the address of a proxy", ""},
		"a proxy without a host":      {closed.URL, []string{"HTTPS_PROXY=http://"}, "^HTTPS_PROXY is not the address of a proxy", ""},
		"a proxy with a space":        {away, []string{"HTTPS_PROXY=http://proxy .example.com:1"}, "^HTTPS_PROXY is not the address of a proxy", ""},
	} {
		message, hint := refused(t, test.instance, token, test.environ)
		if !regexp.MustCompile(test.message).MatchString(message) || !strings.Contains(hint, test.hint) || strings.Contains(message+hint, password) {
			t.Errorf("%s: eca: %s\nhint: %s\nwant %s\n%s", name, message, hint, test.message, test.hint)
		}
	}
	// A file that is not used is named, and the run goes on.
	org := simorgtest.Start(t, sampleOrg())
	eca, _ := exec.LookPath("eca")
	for file, want := range map[string]string{empty: "holds no certificate in PEM", empty + ".none": "cannot be read: no such file"} {
		cmd := exec.Command(eca, "audit", "-o", "uat", "--fail-on", "never")
		cmd.Env = []string{"HOME=" + t.TempDir(), "SF_ACCESS_TOKEN=" + org.AccessToken(), "SF_ORG_INSTANCE_URL=" + org.URL, "GOCOVERDIR=" + t.TempDir(), "NODE_EXTRA_CA_CERTS=" + file}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "warning: NODE_EXTRA_CA_CERTS is ignored: "+file+" "+want) {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// tlsServer serves with a certificate for an address until a time, and returns the file with its authority.
func tlsServer(t *testing.T, address string, until time.Time) (url, authority string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.ParseIP(address)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	authority = filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL, authority
}
