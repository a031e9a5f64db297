package credential

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// before does something once, before the first request that fits is sent.
type before struct {
	fits func(*http.Request) bool
	do   func()
	once sync.Once
}

func (b *before) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.fits(r) {
		b.once.Do(b.do)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestStoredMeanwhile: another run stores a secret between the look and the write.
func TestStoredMeanwhile(t *testing.T) {
	t.Parallel()
	to, credentials := provider(t)
	from := calling(t, simorg.Config{})
	conn := connTo(from)
	conn.HTTPClient = &http.Client{Transport: &before{
		fits: func(r *http.Request) bool {
			return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/named-credentials/credential")
		},
		do: func() {
			other := login.Credentials{Key: "3MVG9other", Secret: salesforce.NewSecret("other")}
			if _, err := Connect(t.Context(), connTo(from), crm(to), other, Options{}); err != nil {
				t.Error(err)
			}
		},
	}}
	if _, err := Connect(t.Context(), conn, crm(to), credentials(), Options{}); err != nil {
		t.Fatal(err)
	}
	if key, _ := from.Stored("Crm", connection.DefaultPrincipal); key != credentials().Key {
		t.Errorf("the org stores %q, want the key of the last run", key)
	}
}

// TestGrantedMeanwhile: another run gives the access between the look and the write.
func TestGrantedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, object := range []string{AccessToPrincipal, ReadPermission} {
		to, credentials := provider(t)
		from := calling(t, simorg.Config{})
		conn := connTo(from)
		conn.HTTPClient = &http.Client{Transport: &before{
			fits: func(r *http.Request) bool {
				return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/sobjects/"+object)
			},
			do: func() {
				if _, err := Connect(t.Context(), connTo(from), crm(to), credentials(), Options{}); err != nil {
					t.Error(err)
				}
			},
		}}
		report, err := Connect(t.Context(), conn, crm(to), credentials(), Options{})
		if err != nil || report.Pending > 0 || from.Callout("Crm", caller) != nil {
			t.Errorf("%s: got %+v, %v, want success", object, report, err)
		}
	}
}

// TestPrincipalKeepsItsSettings: what the org has of a principal, like its group and sequence number,
// stays.
func TestPrincipalKeepsItsSettings(t *testing.T) {
	t.Parallel()
	to, credentials := provider(t)
	from := calling(t, simorg.Config{})
	if _, err := Connect(t.Context(), connTo(from), crm(to), credentials(), Options{}); err != nil {
		t.Fatal(err)
	}
	client := &mdapi.Client{Conn: connTo(from)}
	read := func() *metadata.Component {
		found, err := client.Read(t.Context(), connection.ExternalCredential, "Crm")
		if err != nil {
			t.Fatal(err)
		}
		return found[0]
	}
	// Somebody changes the principal, and a scope that the connection does not know.
	changed := read()
	for i, f := range changed.Fields {
		for j, part := range f.Fields {
			switch part.Name {
			case "parameterGroup":
				changed.Fields[i].Fields[j].Text = "Night"
			case "sequenceNumber":
				changed.Fields[i].Fields[j].Text = "7"
			}
		}
	}
	if results, err := client.Upsert(t.Context(), []*metadata.Component{changed}); err != nil || !results[0].Success {
		t.Fatal(err, results)
	}
	want := fmt.Sprint(read().Fields)
	report, err := Connect(t.Context(), connTo(from), crm(to), credentials(), Options{})
	if got := fmt.Sprint(read().Fields); err != nil || got != want || report.Changed > 0 {
		t.Errorf("%v: the credential was\n%s\nand is\n%s", err, want, got)
	}
}

// TestLookUpsCut: a failure is not an org that stores nothing.
func TestLookUpsCut(t *testing.T) {
	t.Parallel()
	to, credentials := provider(t)
	for name, fault := range map[string]simorg.Fault{
		"busy":    {Status: 503, Body: "busy"},
		"proxy":   {Status: 404, Body: "<html>not found</html>"},
		"expired": {Status: 401, Body: `[{"errorCode":"INVALID_SESSION_ID","message":"no"}]`},
	} {
		from := calling(t, simorg.Config{})
		fault.Fits = func(r simorg.Request) bool {
			return r.Method == http.MethodGet && strings.Contains(r.Path, "/named-credentials/")
		}
		from.Inject(fault)
		from.ForgetRequests()
		if _, err := Connect(t.Context(), connTo(from), crm(to), credentials(), Options{}); err == nil {
			t.Errorf("%s: got success, want an error", name)
		}
		for _, r := range from.Requests() {
			if r.Writes() {
				t.Errorf("%s: wrote %s %s after it", name, r.Method, r.Path)
			}
		}
	}
}

// TestPlanCut: a plan does not take a failure for a principal that does not exist yet.
func TestPlanCut(t *testing.T) {
	t.Parallel()
	to, credentials := provider(t)
	from := calling(t, simorg.Config{})
	from.Inject(simorg.Fault{
		Fits:   func(r simorg.Request) bool { return strings.Contains(r.Path, "/external-credentials/") },
		Status: 503, Body: "busy",
	})
	if _, err := Connect(t.Context(), connTo(from), crm(to), credentials(), Options{PlanOnly: true}); !salesforce.IsTransient(err) {
		t.Errorf("got %v, want the failure", err)
	}
}
