// Package soql evaluates queries of a simulated org: the part of SOQL that is asked of objects
// of the setup. It knows fields, also of parents, WHERE with AND, OR, NOT, comparisons, IN and
// LIKE, GROUP BY with COUNT, COUNT_DISTINCT, MIN and MAX, ORDER BY, LIMIT and OFFSET. Anything
// else is the platform's MALFORMED_QUERY.
package soql

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Row is a record: values by the field's name in lower case. A value is nil, a string, a bool, a
// number, or, of a relationship, the parent's Row.
type Row map[string]any

// Table is an object that can be queried.
type Table struct {
	Name         string
	Columns      []string // "Name" or, of a parent, "Parent.Name"; nil takes every field
	Unfilterable []string // columns that WHERE cannot name
	Rows         []Row
}

// TimeLayout is how the platform writes a time.
const TimeLayout = "2006-01-02T15:04:05.000-0700"

// Error is the platform's refusal of a query.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func malformed(format string, args ...any) *Error {
	return &Error{"MALFORMED_QUERY", fmt.Sprintf(format, args...)}
}

// Result is what a query answers.
type Result struct {
	Total   int              // the number of records, also where there are none to show, as for COUNT()
	Records []map[string]any // as the REST API writes them
	Grouped bool             // whether these are no records of the object, which come in one page only
}

// Run answers the query from its object's table. now is what LAST_N_DAYS counts from.
func (q *Query) Run(table Table, now time.Time) (*Result, error) {
	e := &evaluation{table: table, now: now}
	kept := []Row{}
	if q.where != nil {
		if err := e.check(q.where.fields, true); err != nil {
			return nil, err
		}
	}
	if err := e.check(q.fields(), false); err != nil {
		return nil, err
	}
	for _, row := range table.Rows {
		if q.where == nil || q.where.holds(e, row) {
			kept = append(kept, row)
		}
	}
	if q.count {
		return &Result{Total: len(kept), Grouped: true}, nil
	}
	if q.grouped() {
		return e.group(q, kept)
	}
	slices.SortStableFunc(kept, func(a, b Row) int {
		return q.order(func(i item) (any, any) { return value(a, i.field), value(b, i.field) })
	})
	kept = page(q, kept)
	result := &Result{Total: len(kept), Records: []map[string]any{}}
	for _, row := range kept {
		record := map[string]any{"attributes": map[string]string{"type": table.Name}}
		for _, item := range q.items {
			put(record, e.spelled(item.field), value(row, item.field))
		}
		result.Records = append(result.Records, record)
	}
	return result, nil
}

type evaluation struct {
	table Table
	now   time.Time
}

// check refuses fields that the object lacks, and those that cannot be filtered.
func (e *evaluation) check(fields []string, filtered bool) error {
	for _, field := range fields {
		is := func(c string) bool { return strings.EqualFold(c, field) }
		if e.table.Columns != nil && !slices.ContainsFunc(e.table.Columns, is) {
			return &Error{"INVALID_FIELD", fmt.Sprintf("No such column '%s' on entity '%s'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name.", field, e.table.Name)}
		}
		if filtered && slices.ContainsFunc(e.table.Unfilterable, is) {
			return &Error{"INVALID_FIELD", fmt.Sprintf("field '%s' can not be filtered in a query call", field)}
		}
	}
	return nil
}

// spelled returns a field's name as the object has it, which is how the platform answers it.
func (e *evaluation) spelled(field string) string {
	for _, c := range e.table.Columns {
		if strings.EqualFold(c, field) {
			return c
		}
	}
	return field
}

// group answers an aggregate query.
func (e *evaluation) group(q *Query, rows []Row) (*Result, error) {
	for _, item := range q.items {
		if item.function == "" && !slices.ContainsFunc(q.groupBy, func(g string) bool { return strings.EqualFold(g, item.field) }) {
			return nil, malformed("Field must be grouped or aggregated: %s", item.field)
		}
	}
	groups := make(map[string][]Row)
	for _, row := range rows {
		var key strings.Builder
		for _, field := range q.groupBy {
			fmt.Fprintf(&key, "%v\x00", value(row, field))
		}
		groups[key.String()] = append(groups[key.String()], row)
	}
	if len(q.groupBy) == 0 {
		groups[""] = rows // one row, also of nothing
	}
	keys := slices.SortedStableFunc(slices.Values(slices.Sorted(maps.Keys(groups))), func(a, b string) int {
		return q.order(func(i item) (any, any) { return i.of(groups[a]), i.of(groups[b]) })
	})
	var records []map[string]any
	for _, key := range page(q, keys) {
		record := map[string]any{"attributes": map[string]string{"type": "AggregateResult"}}
		unnamed := 0
		for _, item := range q.items {
			name := item.alias
			switch {
			case name != "":
			case item.function == "":
				name = item.field[strings.LastIndex(item.field, ".")+1:]
			default:
				name = "expr" + strconv.Itoa(unnamed)
				unnamed++
			}
			record[name] = item.of(groups[key])
		}
		records = append(records, record)
	}
	return &Result{Total: len(records), Records: records, Grouped: true}, nil
}

// of returns the item of a group: a field by which it is grouped, or what its function computes.
func (i item) of(rows []Row) any {
	if i.function != "" {
		return i.aggregate(rows)
	}
	return value(rows[0], i.field)
}

// aggregate computes the item's function over the rows of a group.
func (i item) aggregate(rows []Row) any {
	distinct := make(map[string]bool)
	n := 0
	var least, most any
	for _, row := range rows {
		v := value(row, i.field)
		if i.field != "" && v == nil {
			continue
		}
		n++
		distinct[strings.ToLower(fmt.Sprint(v))] = true
		if least == nil || compare(v, least) < 0 {
			least = v
		}
		if most == nil || compare(v, most) > 0 {
			most = v
		}
	}
	switch i.function {
	case "COUNT":
		return n
	case "COUNT_DISTINCT":
		return len(distinct)
	case "MIN":
		return least
	}
	return most
}

// order compares two records by ORDER BY.
func (q *Query) order(of func(item) (any, any)) int {
	for _, o := range q.orderBy {
		a, b := of(o.item)
		var c int
		switch {
		case (a == nil) != (b == nil):
			if c = 1; (a == nil) != o.nullsLast {
				c = -1
			}
		case a == nil:
		case o.descending:
			c = compare(b, a)
		default:
			c = compare(a, b)
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// page is what LIMIT and OFFSET leave of some records.
func page[T any](q *Query, all []T) []T {
	all = all[min(q.offset, len(all)):]
	if q.limit >= 0 {
		all = all[:min(q.limit, len(all))]
	}
	return all
}

// value returns a field of a row, or of its parent.
func value(row Row, field string) any {
	for {
		first, rest, nested := strings.Cut(strings.ToLower(field), ".")
		v := row[first]
		if !nested {
			return v
		}
		parent, ok := v.(Row)
		if !ok {
			return nil
		}
		row, field = parent, rest
	}
}

// put sets a field of a record of an answer, in the records of its parents.
func put(record map[string]any, field string, v any) {
	for {
		first, rest, nested := strings.Cut(field, ".")
		if !nested {
			record[first] = v
			return
		}
		parent, ok := record[first].(map[string]any)
		if !ok {
			parent = map[string]any{"attributes": map[string]string{"type": first}}
			record[first] = parent
		}
		record, field = parent, rest
	}
}

// compare compares values of one kind: numbers as such, times as such, everything else as text
// without regard to case.
func compare(a, b any) int {
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return cmp.Compare(x, y)
		}
	}
	x, y := fmt.Sprint(a), fmt.Sprint(b)
	if t, ok := timeOf(x); ok {
		if u, ok := timeOf(y); ok {
			return t.Compare(u)
		}
	}
	return strings.Compare(strings.ToLower(x), strings.ToLower(y))
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

func timeOf(text string) (time.Time, bool) {
	if len(text) < len(time.DateOnly) || text[4] != '-' {
		return time.Time{}, false
	}
	for _, layout := range []string{TimeLayout, "2006-01-02T15:04:05.999Z07:00", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
