package wsdltest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
)

// sobjects returns the types of the columns of a real org's objects.
var sobjects = sync.OnceValues(func() (all map[string]map[string]string, err error) {
	file, why := schemaFile("sobjects.json")
	if file == "" {
		return nil, fmt.Errorf("%s", why)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	// The org of sobjects.json lacks permissions that other orgs have.
	for _, name := range []string{"CanApproveUninstalledApps", "UseAnyApiClient", "ManageRemoteAccess"} {
		all["PermissionSet"]["Permissions"+name] = "Boolean"
	}
	// sobjects.json has no objects of the Tooling API that came after it. Source: the types of @salesforce/types.
	all["McpServerAccess"] = map[string]string{
		"Id": "Id", "DeveloperName": "String", "MasterLabel": "String", "Language": "String", "Active": "Boolean", "McpServerId": "Id",
	}
	return all, nil
})

var (
	quoted     = regexp.MustCompile(`'(?:\\.|[^'\\])*'`)
	fromObject = regexp.MustCompile(`(?i)\sFROM\s+(\w+)`)
	// column is a column or a path of columns. Keywords are in capitals, aliases in lower case.
	column  = regexp.MustCompile(`\b[A-Z]\w*(?:\.[A-Z]\w*)*\b`)
	keyword = regexp.MustCompile(`^[A-Z_]+$`)
)

// query returns the SOQL query of a request's path, or "".
func query(path string) string {
	_, encoded, found := strings.Cut(path, "/query?q=")
	if !found {
		_, encoded, found = strings.Cut(path, "/query/?q=")
	}
	encoded, _, _ = strings.Cut(encoded, "&")
	soql, err := url.QueryUnescape(encoded)
	if !found || err != nil {
		return ""
	}
	return soql
}

// wrongIn returns what is wrong in a query: columns, like Object.Column, that objects lacks, and comparisons
// of a column with a value of another type.
func wrongIn(soql string, objects map[string]map[string]string) (wrong []string) {
	soql = quoted.ReplaceAllString(soql, "''")
	from := fromObject.FindStringSubmatch(soql)
	if from == nil {
		return []string{"no object in " + soql}
	}
	soql = strings.Replace(soql, from[0], " FROM", 1)
	for _, path := range column.FindAllString(soql, -1) {
		if keyword.MatchString(path) {
			continue
		}
		if _, unknown := typeOf(from[1], path, objects); unknown != "" {
			wrong = append(wrong, unknown)
		}
	}
	for _, compared := range comparison.FindAllStringSubmatch(soql, -1) {
		path, value := compared[1], compared[2]
		if typ, unknown := typeOf(from[1], path, objects); unknown == "" && !literals[typ].MatchString(value) {
			wrong = append(wrong, fmt.Sprintf("%s, of type %s, compared with %s", path, typ, value))
		}
	}
	return wrong
}

// typeOf follows a path of columns from an object, and returns the type of the last one, or what objects
// lacks.
func typeOf(object, path string, objects map[string]map[string]string) (typ, unknown string) {
	typ = object
	for _, name := range strings.Split(path, ".") {
		next, known := objects[typ][name]
		if !known {
			return "", typ + "." + name
		}
		typ = next
	}
	return typ, ""
}

// comparison is a column that is compared with a value, or with a list of which it is the first. A
// placeholder of fmt stands for text.
var comparison = regexp.MustCompile(`\b([A-Z]\w*(?:\.[A-Z]\w*)*)\s*(?:=|!=|<>|<=?|>=?|\s(?:NOT )?IN\s*\(|\sLIKE\s)\s*([^\s,)]+)`)

// literals are the forms of values, by the type of the column.
var literals = map[string]*regexp.Regexp{
	"String": regexp.MustCompile(`^(?:''|null|%s)$`), "Id": regexp.MustCompile(`^(?:''|null|%s)$`), "Boolean": regexp.MustCompile(`^(?:true|false)$`),
	"Integer": regexp.MustCompile(`^(?:-?\d+|null|%d)$`), "Double": regexp.MustCompile(`^(?:-?[\d.]+|null)$`),
	"Datetime": regexp.MustCompile(`^(?:\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-][\d:]+)|[A-Z_]+(?::\d+)?|null|%s)$`), "Date": regexp.MustCompile(`^(?:\d{4}-\d\d-\d\d|[A-Z_]+(?::\d+)?|null|%s)$`),
}

// isOfType reports whether a value of an answer, as JSON has it, can be one of a column of a type.
func isOfType(typ string, v any) bool {
	switch v := v.(type) {
	case nil:
		return typ != "Boolean" // which is never empty
	case bool:
		return typ == "Boolean"
	case float64:
		return typ == "Integer" || typ == "Double"
	case string:
		if typ == "Datetime" {
			return datetime.MatchString(v)
		}
		return typ == "String" || typ == "Id" || typ == "Date"
	}
	return typ != "Boolean" && literals[typ] == nil // a parent
}

var datetime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000$`)
