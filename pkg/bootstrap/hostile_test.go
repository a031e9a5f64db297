package bootstrap_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/wanted"
)

const envelope = `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>%s</soapenv:Body></soapenv:Envelope>`

// listing is a listMetadata answer with many names.
func listing(n int) string {
	var b strings.Builder
	b.WriteString(`<listMetadataResponse xmlns="http://soap.sforce.com/2006/04/metadata">`)
	for i := range n {
		fmt.Fprintf(&b, "<result><fullName>N%d</fullName><type>ExtlClntAppOauthSettings</type></result>", i)
	}
	return fmt.Sprintf(envelope, b.String()+"</listMetadataResponse>")
}

// TestHostileAnswers has an org that answers everything with something evil. Each
// run ends soon, with an error, without the token in it, and takes no more than a
// bounded amount of memory.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	zeros := bytes.Repeat([]byte("<a/>"), 3<<20)
	for name, answer := range map[string]string{
		"elements up to the bound":    fmt.Sprintf(envelope, strings.Repeat("<a/>", 249_000)),
		"attributes up to the bound":  fmt.Sprintf(envelope, "<a"+strings.Repeat(` a=""`, 249_000)+"/>"),
		"elements with a text":        fmt.Sprintf(envelope, strings.Repeat("<a>x</a>", 124_000)),
		"elements beyond it":          strings.Repeat("<a/>", 2<<20),
		"a gzip bomb":                 "gzip",
		"deep nesting":                strings.Repeat("<a>", 100_000),
		"an entity bomb":              `<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><a>&b;</a>`,
		"another encoding":            `<?xml version="1.0" encoding="UTF-16"?><a/>`,
		"bytes that are not UTF-8":    "<a>\xff\xfe</a>",
		"a list without end":          listing(50_000),
		"JSON, deep":                  strings.Repeat("[", 1<<20),
		"pages that repeat":           `{"done": false, "records": [{}], "nextRecordsUrl": "/services/data/v67.0/query/01g"}`,
		"records without number":      `{"done": false, "nextRecordsUrl": "/services/data/v67.0/query/%d", "records": [` + strings.Repeat("{},", 1<<20) + `{}]}`,
		"the token in a fault":        fmt.Sprintf(envelope, "<soapenv:Fault><faultcode>sf:X</faultcode><faultstring>"+hostileToken+"</faultstring></soapenv:Fault>"),
		"the token in place of names": fmt.Sprintf(envelope, `<listMetadataResponse xmlns="http://soap.sforce.com/2006/04/metadata"><result><fullName>`+hostileToken+`</fullName><type>ExtlClntAppOauthSettings</type></result></listMetadataResponse>`),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if answer == "gzip" {
					w.Header().Set("Content-Encoding", "gzip")
					z := gzip.NewWriter(w)
					for range 100 {
						z.Write(zeros)
					}
					z.Close()
					return
				}
				w.Write([]byte(answer))
			}))
			defer server.Close()
			p := simple().with(policies("default", "MyApp", runAs("run@example.com")))
			source, err := wanted.Load(wanted.Location{Project: p.fs(), Dir: ".", Sibling: p.fs()})
			if err != nil {
				t.Fatal(err)
			}
			session, err := orgauth.FromToken(salesforce.NewSecret(hostileToken), server.URL)
			if err != nil {
				t.Fatal(err)
			}
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			report, err := bootstrap.Run(ctx, session.Conn(), source, bootstrap.Options{Kind: session.Kind})
			runtime.ReadMemStats(&after)
			if err == nil || ctx.Err() != nil {
				t.Errorf("ended with %v", err)
			}
			if shown := fmt.Sprint(report, err); strings.Contains(shown, "SECRETTOKEN") || len(fmt.Sprint(err)) > 20_000 {
				t.Errorf("%.300s", shown)
			}
			const bound = 512 << 20
			if took := after.TotalAlloc - before.TotalAlloc; took > 2*bound || after.HeapSys > bound {
				t.Errorf("it allocated %d MB, of %d MB of heap", took>>20, after.HeapSys>>20)
			}
		})
	}
}

const hostileToken = "00D000000000001!SECRETTOKEN1234567890"

// TestHostileNames has names that mean something to XML, SOQL and terminals.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{`o'brien@example.com`, `a"b@example.com`, "]]>@example.com", "</metadata>@example.com", "a\nb@example.com", `x\' OR Username != '@example.com`, strings.Repeat("x", 5000) + "@example.com"} {
		config := people
		o := startOrg(t, config)
		escaped := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(name)
		p := simple().with(policies("uat", "MyApp", runAs(escaped)+"<commaSeparatedPermissionSet>"+escaped+"</commaSeparatedPermissionSet>"))
		report, err := o.run(p)
		if err == nil || len(report.Findings) == 0 {
			t.Errorf("%.60q: found %v, ended with %v", name, report.Findings, err)
		}
		o.one(eca.GlobalOAuthSettings)
	}
	// An app's label and callback travel as they are.
	o := startOrg(t, simorg.Config{})
	p := settings(`"MyApp": {"globalOauthSettings": {"label": "a ]]> & <b> \" ' é\n\tz"}}`).with(header("MyApp"))
	o.mustRun(p)
	if got := o.one(eca.GlobalOAuthSettings).Fields["label"]; got != "a ]]> & <b> \" ' é\n\tz" {
		t.Errorf("the label is %q", got)
	}
	if o.mustRun(p); len(o.writes()) > 0 {
		t.Error("the second run writes")
	}
}
