package audit_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// hostile is what an app can be called.
const hostile = `<img src=x onerror="document.title='owned'"> & 'x'`

// TestPageInABrowser opens the page in Chromium: no error on its console, filter and sort work,
// names are text. With -update, the test updates the screenshot in the documentation.
func TestPageInABrowser(t *testing.T) {
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("Chromium is not installed (Debian has it in chromium)")
	}
	reports := make([]audit.OrgReport, 0, 2)
	for _, org := range []string{"prod", "uat"} {
		files := load(t, app{Name: "ErpConnector", Open: true}, "external")
		sample := os.DirFS(filepath.Join("..", "..", "testdata", "audit"))
		config := simorg.Config{Kind: simorg.Production, Users: []simorg.User{{Username: "integration@example.com", Profile: "System Administrator"}}, PermissionSets: []string{"Warehouse_Users"}}
		if org == "uat" {
			files["hostile.json"] = &fstest.MapFile{Data: fmt.Appendf(nil, `{"OauthToken": [{"AppName": %q, "UserId": "005000000000001AAA"}]}`, hostile)}
		}
		server, conn := start(t, config, files)
		if err := server.Fill(sample, "."); err != nil {
			t.Fatal(err)
		}
		o := audit.Options{Now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
		if org == "uat" {
			o.Accept = []audit.Acceptance{{App: "Field_App", Rule: "open-to-all", Until: o.Now.AddDate(0, 3, 0), Why: "all field staff use it"}}
		}
		report, err := run(t.Context(), conn, o)
		if err != nil {
			t.Fatal(err)
		}
		reports = append(reports, audit.OrgReport{Org: org, Report: report})
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			if r.URL.Path != "/favicon.ico" {
				t.Errorf("the page asks for %s", r.URL.Path)
			}
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		audit.WriteHTML(w, reports, time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC))
	}))
	defer site.Close()

	// The browser may still write there when its process is told to end.
	profile, err := os.MkdirTemp("", "eca-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(profile) })
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.WindowSize(1360, 1000), chromedp.UserDataDir(profile))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var mu sync.Mutex
	var console []string
	chromedp.ListenTarget(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			console = append(console, e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			console = append(console, string(e.Type))
		case *cdplog.EventEntryAdded:
			console = append(console, e.Entry.Text)
		}
	})
	if err := chromedp.Run(ctx, cdplog.Enable(), chromedp.Navigate(site.URL)); err != nil {
		t.Skip("Chromium cannot be driven here: ", err)
	}
	var title, status, first, last, names, shown string
	var shot []byte
	visible := `[...document.querySelectorAll('#matrix tbody tr')].filter(r => !r.hidden).map(r => r.dataset.org + ' ' + r.cells[0].innerText.split('\n')[0]).join('; ')`
	sortBy := func(column int) chromedp.Action {
		return chromedp.Click(fmt.Sprintf("#matrix thead th:nth-child(%d) button", column), chromedp.ByQuery)
	}
	err = chromedp.Run(ctx,
		chromedp.CaptureScreenshot(&shot),
		chromedp.Text("#shown", &status, chromedp.ByQuery),
		chromedp.Evaluate(visible, &names),
		sortBy(6), sortBy(6),
		chromedp.Evaluate(`document.querySelector('#matrix tbody tr').cells[5].textContent`, &first),
		chromedp.Evaluate(`[...document.querySelectorAll('#matrix tbody tr')].at(-1).cells[5].textContent`, &last),
		chromedp.SetValue("#org", "uat", chromedp.ByQuery),
		chromedp.SetValue("#rule", "open-to-all", chromedp.ByQuery),
		chromedp.Evaluate(`document.getElementById('rule').dispatchEvent(new Event('input'))`, nil),
		chromedp.Evaluate(visible, &shown),
		chromedp.SendKeys("#text", "field", chromedp.ByQuery),
		chromedp.Text("#shown", &status, chromedp.ByQuery),
		chromedp.Title(&title),
	)
	if err != nil {
		t.Fatal(err)
	}
	if len(console) > 0 {
		t.Errorf("the console has %q", console)
	}
	if title != "OAuth app audit" || !strings.Contains(names, "uat "+hostile) {
		t.Errorf("a hostile name is not text: the title is %q, the names %q", title, names)
	}
	if first <= last {
		t.Errorf("sorted by findings, the first has %s and the last %s", first, last)
	}
	if strings.Contains(shown, "prod") || !strings.Contains(shown, "uat Data_Loader") || strings.Contains(shown, "Warehouse") || !strings.Contains(shown, "uat Field_App") {
		t.Errorf("filtered by org and rule: %q", shown)
	}
	if status != "1 of 15 apps" {
		t.Errorf("filtered by text as well: %q", status)
	}
	var unlabelled int
	if err := chromedp.Run(ctx, chromedp.Evaluate(`[...document.querySelectorAll('input,select')].filter(c => !c.labels.length).length + [...document.querySelectorAll('th')].filter(h => !h.scope).length`, &unlabelled)); err != nil || unlabelled > 0 {
		t.Errorf("%d controls or heads have no label or scope (%v)", unlabelled, err)
	}
	if err := chromedp.Cancel(ctx); err != nil { // and wait until it has ended
		t.Log(err)
	}
	if *update {
		if err := os.WriteFile("audit.png", shot, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
