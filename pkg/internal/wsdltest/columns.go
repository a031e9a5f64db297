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
	return all, json.Unmarshal(data, &all)
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

// unknownColumns returns the columns of a query, like Object.Column, that objects lacks.
func unknownColumns(soql string, objects map[string]map[string]string) (unknown []string) {
	soql = quoted.ReplaceAllString(soql, "''")
	from := fromObject.FindStringSubmatch(soql)
	if from == nil {
		return []string{"no object in " + soql}
	}
	for _, path := range column.FindAllString(strings.Replace(soql, from[0], " FROM", 1), -1) {
		if keyword.MatchString(path) {
			continue
		}
		object := from[1]
		for _, name := range strings.Split(path, ".") {
			typ, known := objects[object][name]
			if !known {
				unknown = append(unknown, object+"."+name)
			}
			object = typ
		}
	}
	return unknown
}
