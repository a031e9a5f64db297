package audit

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"time"
)

//go:embed review.html
var reviewPage string

// Reviewable reports whether an app can be a partner's: an External Client App or a Connected App whose
// settings the org shows.
func Reviewable(a *App) bool {
	return (a.Kind == External || a.Kind == Connected) && !a.Salesforce && !a.NoOAuth && !a.opaque
}

// control is one of the controls for partner apps, with its proof from the org.
type control struct {
	Name, State, Class, Proof, Fix string
}

// review is the content of a page for a security review.
type review struct {
	App                                       *App
	Org, URL, Kind, Username, Date, Version   string
	Scopes, Flows, Callbacks, Passed, Refresh string
	Controls                                  []control
	Others                                    []Finding
}

// WriteReview writes a page about one app of a report: the controls that Salesforce requires of partner
// apps, each with its proof from the org.
func WriteReview(w io.Writer, o OrgReport, a *App, now time.Time, version string) error {
	v := review{App: a, Org: o.Org, URL: o.Report.URL, Kind: string(o.Report.Kind), Username: o.Username,
		Date: now.Format("2006-01-02 15:04 MST"), Version: version, Scopes: strings.Join(a.Scopes, ", "), Flows: a.How(),
		Callbacks: strings.Join(a.Callbacks, ", "), Refresh: a.RefreshToken}
	source := "ExtlClntAppGlobalOauthSettings"
	allowlist := "ExtlClntAppOauthSecuritySettings.tokenIpRanges"
	if a.Kind == Connected {
		source, allowlist = "ConnectedApp.oauthConfig", "Connected Apps have no such list in metadata"
	}
	add := func(name, field string, value *bool) {
		c := control{Name: name, State: "not shown", Class: "warning", Proof: fmt.Sprintf("the org does not show %s.%s", source, field)}
		if value != nil {
			c.Proof = fmt.Sprintf("%s.%s is %t", source, field, *value)
			c.State, c.Class = "missing", "error"
			if *value {
				c.State, c.Class = "in place", "ok"
			} else {
				c.Fix = fmt.Sprintf("set %s to true", field)
			}
		}
		v.Controls = append(v.Controls, c)
	}
	add("PKCE", "isPkceRequired", a.PKCE)
	add("Refresh token rotation", "isRefreshTokenRotationEnabled", a.Rotation)
	add("30-day idle limit of refresh tokens", "isEnforceRefreshTokenTTL", a.IdleLimit)
	list := control{Name: "IP allowlist of refresh tokens", State: "missing", Class: "error", Proof: allowlist + ": no range",
		Fix: "list the addresses of your servers, at most 256, in the app's OAuth security settings"}
	switch {
	case a.TokenAddresses > maxTokenAddresses:
		list.Proof = fmt.Sprintf("%s: %d addresses, more than %d", allowlist, a.TokenAddresses, maxTokenAddresses)
	case a.TokenAddresses > 0:
		list.State, list.Class, list.Fix = "in place", "ok", ""
		list.Proof = fmt.Sprintf("%s: %s", allowlist, plural(a.TokenAddresses, "address"))
	}
	list.Proof = strings.Replace(list.Proof, "addresss", "addresses", 1)
	v.Controls = append(v.Controls, list)
	passed := 0
	for _, c := range v.Controls {
		if c.Class == "ok" {
			passed++
		}
	}
	v.Passed = fmt.Sprintf("%d of %d controls in place", passed, len(v.Controls))
	for _, f := range o.Report.Findings {
		if f.IsAbout(a) {
			v.Others = append(v.Others, f)
		}
	}
	return write(w, reviewPage, v)
}
