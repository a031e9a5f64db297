package cli

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/hook/internal/transport"
	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// TestNoRoundWaitsForAHandshake: all connections to a distant org are opened while the first
// requests are under way, also those that a wider round needs later.
func TestNoRoundWaitsForAHandshake(t *testing.T) {
	eca, err := exec.LookPath("eca") // this test's own binary, by testscript's arrangement
	if err != nil {
		t.Fatal(err)
	}
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", http2), func(t *testing.T) {
			t.Parallel()
			const username = "admin@example.com"
			org := simorg.New(simorg.Config{
				Username: username, Users: []simorg.User{{Username: "integration@example.com.uat"}}, PermissionSets: []string{"Erp_Integration"},
			})
			dir := t.TempDir()
			if err := os.CopyFS(dir, ecakit.Sample); err != nil {
				t.Fatal(err)
			}
			// Permission sets make the second round wider.
			project := filepath.Join(dir, "sfdx-project.json")
			content, err := os.ReadFile(project)
			if err != nil {
				t.Fatal(err)
			}
			granted := strings.Replace(string(content), `"ErpConnector": {`, `"ErpConnector": { "permissionSets": ["Erp_Integration"], "assignToRunAsUser": true,`, 1)
			if granted == string(content) {
				t.Fatal("the sample has no settings of ErpConnector")
			}
			if err := os.WriteFile(project, []byte(granted), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := org.Deploy(os.DirFS(dir), "testdata/"+demoDefinition); err != nil {
				t.Fatal(err)
			}

			var mu sync.Mutex
			opened, atFirst, protocol := 0, -1, ""
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				if atFirst < 0 {
					atFirst = opened
				}
				protocol = r.Proto
				mu.Unlock()
				org.ServeHTTP(w, r)
			}))
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				mu.Lock()
				defer mu.Unlock()
				if state == http.StateNew {
					opened++
				}
			}
			server.EnableHTTP2 = http2
			server.Listener = distant{server.Listener}
			server.StartTLS()
			defer server.Close()

			ca := filepath.Join(dir, "ca.pem")
			login, err := json.Marshal(map[string]any{"username": username, "orgId": org.ID(), "instanceUrl": server.URL, "accessToken": org.AccessToken(), "isSandbox": true, "instanceApiVersion": apiversion.Latest.String()})
			if err != nil {
				t.Fatal(err)
			}
			for name, content := range map[string][]byte{
				ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
				filepath.Join(dir, "home", ".sfdx", username+".json"): login,
			} {
				if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, run := range []string{"first run", "nothing to change"} {
				mu.Lock()
				opened, atFirst = 0, -1
				mu.Unlock()
				cmd := exec.Command(eca, "hook", demoDefinition, username, demoAlias, ".", "testdata/"+demoDefinition)
				cmd.Dir = dir
				cmd.Env = []string{"HOME=" + filepath.Join(dir, "home"), "SF_USE_GENERIC_UNIX_KEYCHAIN=true", "SSL_CERT_FILE=" + ca, "GORACE=" + noRaceSleep}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				mu.Lock()
				if opened != atFirst {
					t.Errorf("%s over %s: %d connections were opened after the first request arrived, want none", run, protocol, opened-atFirst)
				}
				if (protocol == "HTTP/2.0") != http2 {
					t.Errorf("%s: the protocol is %s, and the org offers HTTP/2: %t", run, protocol, http2)
				}
				mu.Unlock()
			}
		})
	}
}

// distant is a listener that accepts connections at once and delays what it reads, as if the client
// were far away.
type distant struct{ net.Listener }

func (d distant) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	return delayed{conn}, err
}

type delayed struct{ net.Conn }

func (d delayed) Read(p []byte) (int, error) {
	time.Sleep(100 * time.Millisecond)
	return d.Conn.Read(p)
}

// TestSpareConnectionsAskNothing: opening connections ahead sends no request, however fast
// they are ready.
func TestSpareConnectionsAskNothing(t *testing.T) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer server.Close()
	for range 200 {
		work := transport.New(nil)
		work.Open(server.URL)
		resp, err := work.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		work.Close()
	}
	if n := requests.Load(); n != 200 {
		t.Errorf("the org got %d requests, want the 200 that were made", n)
	}
}
