package simorg

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
)

// The Salesforce CLI's own app, which all orgs know, and which sf logs in by where it is told no
// other. It has no secret.
const (
	cliClient = "PlatformCLI"
	cliApp    = "Salesforce CLI" // no name of an External Client App, for its blank
	cliScopes = "refresh_token api web"
)

var cliSettings = &record{typ: eca.GlobalOAuthSettings, fields: []value{
	{Name: "callbackUrl", Text: "http://localhost:1717/OauthRedirect"}, {Name: "isConsumerSecretOptional", Text: "true"},
}}

// The partner API, of which the org implements setPassword.
const (
	partnerPath      = "/services/Soap/u/"
	partnerNamespace = "urn:partner.soap.sforce.com"
)

// passwordFeature is the feature of a scratch org that lets its user set the own password.
const passwordFeature = "EnableSetPasswordInApi"

func (o *Org) servePartner(w http.ResponseWriter, path string, body []byte) {
	request, session := o.soapRequest(w, strings.TrimPrefix(path, partnerPath), body, partnerNamespace, "setPassword")
	if request == nil {
		return
	}
	user := strings.TrimSpace(request.child(partnerNamespace, "userId").content())
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case by(o.userRows(), user) == nil:
		writeFault(w, "sf:INVALID_CROSS_REFERENCE_KEY", "INVALID_CROSS_REFERENCE_KEY: invalid cross reference id") // assumed
	case user == o.user(o.state.Grants[session].User)["id"] && !o.has(passwordFeature):
		writeFault(w, "sf:INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS: Cannot set password for self")
	default: // there is nowhere to log in with it
		writeXML(w, http.StatusOK, fmt.Sprintf(`<setPasswordResponse xmlns="%s"><result/></setPasswordResponse>`, partnerNamespace))
	}
}

// has reports whether the org has a feature.
func (o *Org) has(feature string) bool {
	return slices.ContainsFunc(o.config.Features, func(f string) bool { return strings.EqualFold(f, feature) })
}

// The objects of installed packages. The org knows one package version, that of sfp which brings
// the object for its records, by the ID that sfp installs; its other fields are assumed. The
// object is on the org without it as well.
const (
	installedPackage = "InstalledSubscriberPackage"
	packageVersion   = "SubscriberPackageVersion"
	installRequest   = "PackageInstallRequest"
	artifactVersion  = "04t1P000000ka9mQAA"
)

func packageVersionRows(*Org) []row {
	return []row{{
		"id": artifactVersion, "subscriberpackageid": "0331P000000ka9mQAA", "name": "sfpowerscripts-artifact", "package2containeroptions": "Unlocked", "isorgdependent": false,
		"majorversion": 1, "minorversion": 0, "patchversion": 0, "buildnumber": 2, "ispasswordprotected": false, "publishername": nil, "releasestate": "Released",
	}}
}

func (o *Org) installedRows() (rows []row) {
	for _, request := range o.installs {
		version := packageVersionRows(o)[0]
		rows = append(rows, row{
			"id": "0A3" + fmt.Sprint(request["id"])[3:], "subscriberpackageid": version["subscriberpackageid"], "subscriberpackageversion": version,
			"subscriberpackage": row{"id": version["subscriberpackageid"], "name": version["name"], "namespaceprefix": nil},
		})
	}
	return rows
}

// tooling creates and reads requests to install a package, which are done at once.
func (o *Org) tooling(method, key string, body []byte) (any, *restError) {
	object, id, _ := strings.Cut(strings.TrimPrefix(key, "sobjects/"), "/")
	switch {
	case object == serverAccess && !slices.Contains(o.config.WithoutObjects, serverAccess):
		return o.serverAccessObject(method, id, body)
	case object != installRequest:
	case method == http.MethodPost && id == "":
		request, failure := decodeBody[struct{ SubscriberPackageVersionKey string }](body)
		if failure != nil {
			return nil, failure
		}
		if !sameID(request.SubscriberPackageVersionKey, artifactVersion) {
			return nil, invalidReference
		}
		id := o.nextID("0Hf")
		o.installs = append(o.installs, row{"id": id})
		return created(id), nil
	case method == http.MethodGet && by(o.installs, id) != nil:
		return map[string]any{"Id": id, "Status": "SUCCESS", "SubscriberPackageVersionKey": artifactVersion, "Errors": nil}, nil
	}
	return nil, notFoundREST
}
