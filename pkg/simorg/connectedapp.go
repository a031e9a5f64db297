package simorg

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/simorg/internal/soql"
)

// Connected Apps are there from before: nobody can make new ones since Spring '26, so a deploy
// and an upsert refuse them, and only Fill brings them. They are read and deleted as components.
const (
	connectedApp       = "ConnectedApp"
	connectedAppSuffix = ".connectedApp"
)

// connectedAppType is the type as the org lists it. Its fields are those of each record.
var connectedAppType = &metadata.Type{Name: connectedApp, Folder: "connectedApps", Suffix: "connectedApp"}

// noConnectedApps is the platform's refusal of new ones.
const noConnectedApps = "You can't create a connected app. To enable connected app creation, contact Salesforce Customer Support."

func (o *Org) fillConnectedApp(fsys fs.FS, name, full string) error {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	root, err := parseXML(data)
	if err != nil {
		return err
	}
	if root.name.Local != connectedApp {
		return fmt.Errorf("holds %s, not a ConnectedApp", root.name.Local)
	}
	o.putConnectedApp(&record{typ: connectedApp, fullName: full, id: o.nextID("0H4"), fields: plainValues(root)}, "3MVG9"+random(40))
	o.state.Made["connected app "+strings.ToLower(full)] = time.Now()
	return nil
}

// replaceConnectedApp replaces a Connected App that the org has.
func (o *Org) replaceConnectedApp(rec, existing *record) error {
	if existing == nil {
		return refuse("INVALID_OPERATION", noConnectedApps) // the code is assumed
	}
	rec.id = existing.id
	o.putConnectedApp(rec, existing.at("oauthConfig", "consumerKey"))
	return nil
}

// putConnectedApp stores a Connected App. Its consumer key is the org's own, whatever is sent, and
// the secret is never shown.
func (o *Org) putConnectedApp(rec *record, key string) {
	rec.fields = slices.DeleteFunc(rec.fields, func(v value) bool { return v.Name == "fullName" })
	for i := range rec.fields {
		if f := &rec.fields[i]; f.Name == "oauthConfig" {
			f.Nested = slices.DeleteFunc(f.Nested, func(v value) bool { return v.Name == "consumerSecret" || v.Name == "consumerKey" })
			f.Nested = append([]value{{Name: "consumerKey", Text: key}}, f.Nested...)
		}
	}
	o.store(rec)
}

// plainValues reads elements whatever their names.
func plainValues(n *node) (values []value) {
	for _, child := range n.children {
		values = append(values, value{Name: child.name.Local, Text: strings.TrimSpace(child.text), Nested: plainValues(child)})
	}
	return values
}

// at returns the text of a field of a structure, or "".
func (r *record) at(structure, name string) string {
	for _, v := range r.fields {
		if v.Name == structure {
			return v.at(name)
		}
	}
	return ""
}

// connectedRows writes the period of refresh tokens with its unit, as
// OptionsRefreshTokenValidityMetric has it; what that field is for each policy is assumed.
func (o *Org) connectedRows() (rows []row) {
	for _, rec := range o.all(connectedApp) {
		made := o.state.Made["connected app "+strings.ToLower(rec.fullName)].UTC().Format(soql.TimeLayout)
		r := row{
			"id": rec.id, "name": rec.text("label"), "createddate": made, "lastmodifieddate": made, "starturl": orNil(rec.text("startUrl")),
			"optionsallowadminapprovedusersonly": rec.at("oauthConfig", "isAdminApproved") == "true", "optionsrefreshtokenvaliditymetric": false,
			"refreshtokenvalidityperiod": nil, "mobilesessiontimeout": nil, "pinlength": nil, "optionshassessionlevelpolicy": rec.at("sessionPolicy", "policyAction") != "", "optionsisinternal": rec.text("label") == cliApp && o.is("cli-app-internal", "yes"),
		}
		if parts := strings.Split(rec.at("oauthPolicy", "refreshTokenPolicy"), ":"); len(parts) == 3 {
			if n, err := strconv.Atoi(parts[1]); err == nil {
				r["refreshtokenvalidityperiod"] = n
			}
		}
		rows = append(rows, r)
	}
	return rows
}
