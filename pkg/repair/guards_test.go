package repair_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/repair"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// meanwhile does something before the first delete call.
type meanwhile func()

func (do *meanwhile) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if now := *do; now != nil && bytes.Contains(body, []byte("<deleteMetadata")) {
		*do = nil
		now()
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestDeletedMeanwhile: a component that another run has deleted counts as deleted.
func TestDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	org, conn := start(t, simorg.Config{})
	deploy(t, org, header("App", ""), settings("App", ""))
	other := *conn
	do := meanwhile(func() {
		if _, err := (&mdapi.Client{Conn: &other}).Delete(t.Context(), eca.OAuthSettings, "App_oauth"); err != nil {
			t.Error(err)
		}
	})
	conn.HTTPClient = &http.Client{Transport: &do}
	r, err := repair.Recreate(t.Context(), conn, "App", repair.Options{CallbackURL: "https://a"})
	if err != nil || !r.NewConsumer || do != nil {
		t.Errorf("got %+v, %v, want a repair", r, err)
	}
}

// TestDeleteRefused: a component that cannot be deleted ends the run.
func TestDeleteRefused(t *testing.T) {
	t.Parallel()
	org, conn := start(t, simorg.Config{})
	deploy(t, org, header("App", ""), settings("App", ""))
	answer, err := os.ReadFile("testdata/delete-refused.xml")
	if err != nil {
		t.Fatal(err)
	}
	org.Inject(simorg.Fault{
		Fits:   func(r simorg.Request) bool { return r.Operation == "deleteMetadata" },
		Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/xml"}}, Body: string(answer),
	})
	r, err := repair.Recreate(t.Context(), conn, "App", repair.Options{CallbackURL: "https://a"})
	if err == nil || !strings.Contains(err.Error(), "DEPENDENCY_EXISTS") || len(r.Deleted) > 0 || len(r.Created) > 0 {
		t.Errorf("got %+v, %v, want the refusal", r, err)
	}
}

// TestSavedOfAnotherApp: an app is not recreated with the components of another one.
func TestSavedOfAnotherApp(t *testing.T) {
	t.Parallel()
	of := func(typ, app string) *metadata.Component {
		return metadata.New(typ, "any", metadata.Stated("externalClientApplication", app))
	}
	for name, saved := range map[string][]*metadata.Component{
		"another app":  {of(eca.OAuthSettings, "App"), of(eca.GlobalOAuthSettings, "Other")},
		"another type": {of(eca.OAuthSecuritySettings, "App")},
		"nil":          {nil},
	} {
		org, conn := start(t, simorg.Config{})
		deploy(t, org, header("App", ""), settings("App", ""))
		org.ForgetRequests()
		if _, err := repair.Recreate(t.Context(), conn, "App", repair.Options{Saved: saved}); err == nil || !strings.Contains(err.Error(), "not those of App") {
			t.Errorf("%s: got %v, want an error", name, err)
		}
		for _, r := range org.Requests() {
			if r.Writes() {
				t.Errorf("%s: wrote %s", name, r.Operation)
			}
		}
	}
}

// TestProbeKeepsUnknownFields: the probe of an app that looks sound sends everything that the org shows,
// because the platform replaces the whole component.
func TestProbeKeepsUnknownFields(t *testing.T) {
	t.Parallel()
	org, conn := start(t, simorg.Config{})
	deploy(t, org, header("App", ""))
	upsert(t, conn, eca.OAuthSettings, "App_oauth", "commaSeparatedOauthScopes", "Api", "externalClientApplication", "App", "label", "s")
	upsert(t, conn, eca.GlobalOAuthSettings, "App_glbl", "callbackUrl", "https://a", "externalClientApplication", "App", "label", "s")
	answer(t, org, eca.OAuthSettings, "unknown-field")
	org.ForgetRequests()
	repair.Recreate(t.Context(), conn, "App", repair.Options{}) // the simulated org may refuse the unknown field
	sent := ""
	for _, r := range org.Requests() {
		if r.Operation == "upsertMetadata" {
			sent += string(r.Body)
		}
	}
	if !strings.Contains(sent, "fieldOfTheFuture") || !strings.Contains(sent, "commaSeparatedOauthScopes") {
		t.Errorf("the probe sent %s", sent)
	}
}

// TestInterruptedBefore: a run whose context has ended deletes nothing.
func TestInterruptedBefore(t *testing.T) {
	t.Parallel()
	org, conn := start(t, simorg.Config{})
	deploy(t, org, header("App", ""), settings("App", ""))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := repair.Recreate(ctx, conn, "App", repair.Options{Save: func([]*metadata.Component) error { cancel(); return nil }})
	if !errors.Is(err, context.Canceled) || len(r.Deleted) > 0 || len(org.Components(eca.OAuthSettings)) != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
}
