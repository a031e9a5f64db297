package audit_test

import (
	"bytes"
	"context"
	"errors"
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

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// findBrowser returns the path of Chromium, and skips the test without it.
func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("Chromium is not installed (Debian has it in chromium)")
	return ""
}

// chromium starts a browser, which ends with the test.
func chromium(t *testing.T, browser string) context.Context {
	t.Helper()
	// The browser may still write there when its process is told to end.
	profile, err := os.MkdirTemp("", "eca-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(profile) })
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.WindowSize(1400, 1000), chromedp.UserDataDir(profile))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// serve serves a page of reports.
func serve(t *testing.T, reports []audit.OrgReport) (*httptest.Server, int) {
	t.Helper()
	var page bytes.Buffer
	if err := audit.WriteHTML(&page, reports, now); err != nil {
		t.Fatal(err)
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page.Bytes())
	}))
	t.Cleanup(site.Close)
	return site, page.Len()
}

// TestPageInEveryWindow: no window scrolls sideways, in light and dark, with long and hostile names.
// With ECA_SCREENSHOTS, the test writes screenshots to that directory.
func TestPageInEveryWindow(t *testing.T) {
	browser := findBrowser(t)
	r := org60(t, audit.Options{})
	r.Apps[0].Name, r.Apps[1].Label = strings.Repeat("Very_long_name_", 12), strings.Repeat("w", 300)
	for i := range r.Findings {
		if r.Findings[i].IsAbout(r.Apps[0]) {
			r.Findings[i].App = r.Apps[0].Name
		}
	}
	reports := []audit.OrgReport{{Org: "prod", Report: r, Username: "admin@acme.example.com"}, {Org: strings.Repeat("o", 80), Report: r}, {Org: "broken", Err: errors.New(hostile)}}
	site, _ := serve(t, reports)
	ctx := chromium(t, browser)
	if err := chromedp.Run(ctx, chromedp.Navigate(site.URL)); err != nil {
		t.Skip("Chromium cannot be driven here: ", err)
	}
	for _, scheme := range []string{"light", "dark"} {
		media := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
		for _, width := range []int64{1400, 800, 400} {
			var wide, cards, top int
			var background string
			var shot []byte
			err := chromedp.Run(ctx, chromedp.EmulateViewport(width, 1000), emulation.SetEmulatedMedia().WithFeatures(media), chromedp.Navigate(site.URL),
				chromedp.Evaluate(`document.documentElement.scrollWidth`, &wide),
				chromedp.Evaluate(`getComputedStyle(document.querySelector("#matrix tr:last-child")).display === "block" ? 1 : 0`, &cards),
				chromedp.Evaluate(`Math.round(document.querySelector(".actions").getBoundingClientRect().top)`, &top),
				chromedp.Evaluate(`getComputedStyle(document.body).backgroundColor`, &background),
				chromedp.CaptureScreenshot(&shot))
			switch {
			case err != nil:
				t.Fatal(err)
			case int64(wide) > width:
				t.Errorf("%d pixels, %s: the page is %d wide", width, scheme, wide)
			case (cards == 1) != (width < 900):
				t.Errorf("%d pixels: apps are cards: %d", width, cards)
			case top > 1000:
				t.Errorf("%d pixels: the actions to take first begin at %d", width, top)
			case (background == "rgb(255, 255, 255)") != (scheme == "light"):
				t.Errorf("%s: the background is %s", scheme, background)
			}
			if dir := os.Getenv("ECA_SCREENSHOTS"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d.png", scheme, width)), shot, 0o644); err != nil {
					t.Error(err)
				}
			}
		}
	}
	// A mark leads to its rule, and the filters are in the URL.
	var open, hash, shown string
	err := chromedp.Run(ctx, chromedp.EmulateViewport(1400, 1000), chromedp.Navigate(site.URL),
		chromedp.Click(`#matrix td.m a[href="#rule-open-to-all"]`, chromedp.ByQuery),
		chromedp.Evaluate(`String(document.getElementById("rule-open-to-all").open)`, &open),
		chromedp.SetValue("#level", "error", chromedp.ByQuery),
		chromedp.Evaluate(`document.getElementById("level").dispatchEvent(new Event("input"))`, nil),
		chromedp.Evaluate(`location.hash`, &hash),
		chromedp.Navigate(site.URL+"/?again#level=error&org=prod"),
		chromedp.Evaluate(`document.getElementById("org").value + " " + [...document.querySelectorAll(".group")].filter(g => !g.hidden).map(g => g.dataset.level).join(" ")`, &shown))
	if err != nil {
		t.Fatal(err)
	}
	if open != "true" || hash != "#level=error" || strings.Contains(shown, "warning") || !strings.HasPrefix(shown, "prod error") {
		t.Errorf("the rule is open: %s; the URL has %s; shown are %q", open, hash, shown)
	}
	if err := chromedp.Cancel(ctx); err != nil { // and wait until it has ended
		t.Log(err)
	}
}

// TestPageOfManyApps: 500 apps in three orgs are a page of less than 3 MB. It logs how fast it opens.
func TestPageOfManyApps(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short")
	}
	browser := findBrowser(t)
	_, conn := start(t, simorg.Config{}, many(t))
	r, err := run(t.Context(), conn, audit.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	site, size := serve(t, []audit.OrgReport{{Org: "prod", Report: r}, {Org: "uat", Report: r}, {Org: "sit", Report: r}})
	if size > 3<<20 {
		t.Errorf("the page has %d bytes", size)
	}
	ctx := chromium(t, browser)
	var ms int
	const took = `Math.round(performance.timing.loadEventEnd - performance.timing.navigationStart)`
	if err := chromedp.Run(ctx, chromedp.Navigate(site.URL), chromedp.Evaluate(took, &ms)); err != nil {
		t.Skip("Chromium cannot be driven here: ", err)
	}
	t.Logf("%d bytes for %d apps open in %d ms", size, 3*len(r.Apps), ms)
	var lazy string // what is not on the screen takes no time
	if err := chromedp.Run(ctx, chromedp.Evaluate(`getComputedStyle(document.querySelector(".matrix")).contentVisibility`, &lazy)); err != nil || lazy != "auto" {
		t.Errorf("the matrix of many apps is laid out at once: %q, %v", lazy, err)
	}
	var card string
	if err := chromedp.Run(ctx, chromedp.Evaluate(`document.querySelector(".orgs li").textContent`, &card)); err != nil || !strings.Contains(card, "API "+conn.APIVersion().String()) {
		t.Errorf("the card of the org is %q, %v", card, err)
	}
	if err := chromedp.Cancel(ctx); err != nil {
		t.Log(err)
	}
}

// hostile is what an app can be called.
const hostile = `<img src=x onerror="document.title='owned'"> & 'x'`

// TestPageInABrowser opens the page in Chromium: no error on its console, filter and sort work,
// names are text. With -update, the test updates the screenshot in the documentation.
func TestPageInABrowser(t *testing.T) {
	browser := findBrowser(t)
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

	ctx := chromium(t, browser)
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
	err := chromedp.Run(ctx,
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
