//go:build unix

package main

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"

	"github.com/ecakit/ecakit/pkg/simorg"
)

// wire measures the hook on an org that is far away: every packet takes its time, those of
// the handshakes of TCP and TLS among them. The floor is these two and the rounds of
// requests that have to follow one another.
func wire(dir, project string) {
	fmt.Printf("\n| over TLS, each round trip %s | connections | floor | round trips | over the floor |\n|---|---|---|---|---|\n", latency)
	for _, http2 := range []bool{false, true} {
		far := newDistant(dir, project, http2)
		protocol := "HTTP/1.1"
		if http2 {
			protocol = "HTTP/2"
		}
		row := func(name string, floor int, prepare func()) {
			var opened int
			c := median(func() cost {
				prepare()
				before := far.proxy.connections()
				c := run(far.hook(project))
				opened = far.proxy.connections() - before
				return c
			})
			trips := float64(c.wall) / float64(latency)
			fmt.Printf("| `eca hook` over %s, %s | %d | %d | %.1f | %.2f |\n", protocol, name, opened, floor, trips, trips/float64(floor))
		}
		row("first run", 2+5, func() { far.reset(project) })
		row("nothing to change", 2+2, func() {})
		far.close()
	}
}

// distant is an org behind TLS and a network that takes its time.
type distant struct {
	home   string
	ca     string // the file with the certificate of the server
	proxy  *proxy
	server *httptest.Server
	org    atomic.Pointer[simorg.Org]
}

func newDistant(dir, project string, http2 bool) *distant {
	d := &distant{home: filepath.Join(dir, fmt.Sprintf("distant-%t", http2))}
	d.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.org.Load().ServeHTTP(w, r) }))
	d.server.EnableHTTP2 = http2
	d.server.StartTLS()
	var err error
	d.proxy, err = newProxy(d.server.Listener.Addr().String(), latency)
	must(err)
	d.ca = filepath.Join(d.home, "ca.pem")
	write(d.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.server.Certificate().Raw}))
	d.reset(project)
	return d
}

// reset puts a new org behind the network, with the sample's header on it, and logs sf's
// store in to it.
func (d *distant) reset(project string) {
	org := simorg.New(simorg.Config{Username: username, Users: []simorg.User{{Username: "integration@example.com.uat"}}})
	must(org.Deploy(os.DirFS(project), definition))
	d.org.Store(org)
	logIn(d.home, username, org, "https://"+d.proxy.addr())
}

func (d *distant) hook(project string) *exec.Cmd {
	cmd := exec.Command(*eca, "hook", "eca-definition", username, alias, ".", definition)
	cmd.Dir, cmd.Env = project, environment(d.home, "SSL_CERT_FILE="+d.ca)
	return cmd
}

func (d *distant) close() {
	d.proxy.close()
	d.server.Close()
}
