package simorgtest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Secrets are secrets as Salesforce and its tools make them, by kind. No real one is among them.
var Secrets = map[string]string{
	"session":         "00D5g00000AbCdEEAV!AQ4AQKd9.Lp_x3Zs7Qw2Er5Ty8Ui1Op4As6Df0Gh3Jk7Zx2Cv5Bn9Mq",
	"consumer secret": "A1F2A19B64D0E8357F1C29A86B04D3E5C7F2A19B64D0E8357F1C29A86B04D3EF",
	"numeric secret":  "4187239405517283946",
	"refresh token":   "5Aep8617VuQ2.PZ_w1xZ8h3Lk6Jq9Bt4Nf7Mc0Rd5Sg2Ya8Xe1Wi6Uo3Pl==",
	"JWT":             "eyJraWQiOiJ0ZXN0IiwidHlwIjoiSldUIn0.eyJzdWIiOiJ1QGV4YW1wbGUuY29tIn0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg",
	"auth URL":        "force://3MVG9abc.def:9876543210987654321:5Aep861zzzVuQ2PZw1xZ8h3Lk6Jq9Bt4Nf7Mc@acme.my.salesforce.com",
	"PEM": pemBegin + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n" +
		"MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu" + pemEnd,
	"password": "p%41ss &word; with <all> \\n sorts/of+chars=",
}

const pemBegin, pemEnd = "-----BEGIN PRIVATE KEY-----\n", "\n-----END PRIVATE KEY-----"

// SecretForms are the forms in which servers, shells and the logs of CI systems repeat a secret, by name.
var SecretForms = map[string]func(string) string{
	"plain":            func(s string) string { return s },
	"lower case":       strings.ToLower,
	"upper case":       strings.ToUpper,
	"query":            url.QueryEscape,
	"path":             url.PathEscape,
	"query twice":      func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
	"lower percent":    func(s string) string { return eachByte(s, "%%%02x") },
	"upper percent":    func(s string) string { return eachByte(s, "%%%02X") },
	"hex":              func(s string) string { return eachByte(s, "%02x") },
	"upper hex":        func(s string) string { return eachByte(s, "%02X") },
	"hex, spaces":      func(s string) string { return eachByte(s, "%02x ") },
	"hex, colons":      func(s string) string { return strings.TrimSuffix(eachByte(s, "%02X:"), ":") },
	"hex, escapes":     func(s string) string { return eachByte(s, `\x%02x`) },
	"base64":           func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64url":        func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"basic":            func(s string) string { return base64.StdEncoding.EncodeToString([]byte("key:" + s)) },
	"basic, longer":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte("user1:" + s + ":x")) },
	"base64, lines":    func(s string) string { return split(base64.StdEncoding.EncodeToString([]byte("u:"+s)), 19, "\r\n") },
	"base64 in a URL":  func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s))) },
	"JSON":             jsonText,
	"JSON in JSON":     func(s string) string { return jsonText(jsonText(s)) },
	"JSON, escapes":    func(s string) string { return eachByte(s, `\u%04x`) },
	"JSON, slashes":    func(s string) string { return strings.ReplaceAll(jsonText(s), "/", `\/`) },
	"HTML":             html.EscapeString,
	"entities":         func(s string) string { return eachByte(s, "&#%d;") },
	"hex entities":     func(s string) string { return eachByte(s, "&#x%x;") },
	"quoted":           strconv.Quote,
	"shell":            func(s string) string { return strings.NewReplacer("!", `\!`, "&", `\&`, " ", `\ `).Replace(s) },
	"spaces":           func(s string) string { return split(s, 1, " ") },
	"lines":            func(s string) string { return split(s, 7, "\n") },
	"indented lines":   func(s string) string { return split(s, 7, "\r\n\t  ") },
	"zero width":       func(s string) string { return split(s, 1, "\u200b") },
	"joiners":          func(s string) string { return split(s, 3, "\u2060\ufeff") },
	"soft hyphens":     func(s string) string { return split(s, 5, "\u00ad") },
	"selectors":        func(s string) string { return split(s, 2, "\ufe0f") },
	"no-break spaces":  func(s string) string { return split(s, 2, "\u00a0\u202f") },
	"fillers":          func(s string) string { return split(s, 2, "\u3164\u2800") },
	"control bytes":    func(s string) string { return split(s, 2, "\x00\x08") },
	"replaced":         func(s string) string { return split(s, 4, "\ufffd") },
	"colours":          func(s string) string { return split(s, 6, "\x1b[1;31m") },
	"percent in lines": func(s string) string { return split(url.QueryEscape(s), 6, "\n") },
}

func eachByte(s, format string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

func split(s string, every int, between string) string {
	var parts []string
	for part := range slices.Chunk([]byte(s), every) {
		parts = append(parts, string(part))
	}
	return strings.Join(parts, between)
}

func jsonText(s string) string {
	text, _ := json.Marshal(s)
	return strings.Trim(string(text), `"`)
}

// leakedPart is how many characters of a secret that follow one another count as a leak.
const leakedPart = 8

var (
	notSecret  = regexp.MustCompile("\x1b\\[[0-9;]*m|[^!-~]")
	byteEscape = regexp.MustCompile(`(?:%|\\x|\\u00)([0-9A-Fa-f]{2})`)
)

// Leaks reports whether a text shows a part of a secret, in any of the forms.
func Leaks(text, secret string) bool {
	plain := strings.TrimPrefix(strings.TrimSuffix(secret, pemEnd), pemBegin)
	if _, rest, is := strings.Cut(plain, "!"); is {
		plain = rest // behind the org's ID
	}
	if rest, is := strings.CutPrefix(plain, "force://"); is {
		plain, _, _ = strings.Cut(rest, "@")
	}
	var texts []string
	for range 3 {
		texts = append(texts, notSecret.ReplaceAllString(text, ""))
		text = byteEscape.ReplaceAllStringFunc(html.UnescapeString(text), func(escape string) string {
			value, _ := hex.DecodeString(escape[len(escape)-2:])
			return string(value)
		})
		text = strings.NewReplacer(`\n`, "", `\r`, "", `\t`, "", `\`, "").Replace(text)
	}
	all := strings.Join(texts, "\n")
	small := strings.ToLower(strings.ReplaceAll(all, ":", ""))
	stripped := strings.ToLower(notSecret.ReplaceAllString(plain, ""))
	for from := 0; from+leakedPart <= len(stripped); from++ {
		if strings.Contains(strings.ToLower(all), stripped[from:from+leakedPart]) {
			return true
		}
	}
	for from := 0; from+leakedPart+4 <= len(plain); from++ {
		if strings.Contains(small, hex.EncodeToString([]byte(plain[from:from+leakedPart]))) {
			return true
		}
		if from%3 != 0 {
			continue
		}
		for before := range 3 { // where base64 groups the bytes
			encoded := base64.RawStdEncoding.EncodeToString([]byte(plain[from+before : min(len(plain), from+before+9)]))
			if part := encoded[:len(encoded)-2]; len(part) >= leakedPart && strings.Contains(all, part) {
				return true
			}
		}
	}
	return false
}
