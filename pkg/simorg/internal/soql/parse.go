package soql

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Query is a query that was parsed.
type Query struct {
	Object  string // as the query writes it
	items   []item
	count   bool // COUNT() alone
	where   condition
	groupBy []string
	orderBy []ordering
	limit   int // -1 for none
	offset  int
}

// item is one thing that is selected.
type item struct {
	function, field, alias string
}

type ordering struct {
	item
	descending bool
	nullsLast  bool
}

// Fields returns the fields that the query selects, as it writes them.
func (q *Query) Fields() (names []string) {
	for _, i := range q.items {
		names = append(names, i.field)
	}
	return names
}

// fields returns all fields that the query names outside its conditions.
func (q *Query) fields() (names []string) {
	for _, i := range q.items {
		if i.field != "" {
			names = append(names, i.field)
		}
	}
	names = append(names, q.groupBy...)
	for _, o := range q.orderBy {
		names = append(names, o.field)
	}
	return names
}

func (q *Query) grouped() bool {
	return len(q.groupBy) > 0 || slices.ContainsFunc(q.items, func(i item) bool { return i.function != "" })
}

// condition is a part of WHERE.
type condition interface {
	holds(*evaluation, Row) bool
	fields([]string) []string
}

type (
	and        []condition
	or         []condition
	not        struct{ of condition }
	comparison struct {
		field, operator string
		values          []literal
	}
)

func (c and) holds(e *evaluation, r Row) bool {
	return !slices.ContainsFunc(c, func(part condition) bool { return !part.holds(e, r) })
}

func (c or) holds(e *evaluation, r Row) bool {
	return slices.ContainsFunc(c, func(part condition) bool { return part.holds(e, r) })
}

func (c not) holds(e *evaluation, r Row) bool { return !c.of.holds(e, r) }

func fieldsOf(parts []condition, names []string) []string {
	for _, part := range parts {
		names = part.fields(names)
	}
	return names
}

func (c and) fields(names []string) []string        { return fieldsOf(c, names) }
func (c or) fields(names []string) []string         { return fieldsOf(c, names) }
func (c not) fields(names []string) []string        { return c.of.fields(names) }
func (c comparison) fields(names []string) []string { return append(names, c.field) }

// literal is a value that a query states.
type literal struct {
	value any
	days  int // of LAST_N_DAYS, 0 for other literals
}

func (c comparison) holds(e *evaluation, r Row) bool {
	v := value(r, c.field)
	equals := func(l literal) bool {
		if v == nil || l.value == nil && l.days == 0 {
			return v == nil && l.value == nil && l.days == 0
		}
		if l.days > 0 {
			t, ok := timeOf(text(v))
			return ok && !t.Before(e.now.AddDate(0, 0, -l.days).Truncate(24*time.Hour)) && !t.After(e.now)
		}
		if a, b := text(v), text(l.value); isID(c.field) && len(a) >= 15 && len(b) >= 15 {
			return a[:15] == b[:15] // with 15 or 18 characters
		}
		if _, is := v.(bool); is {
			return v == l.value
		}
		return compare(v, l.value) == 0
	}
	switch c.operator {
	case "=", "IN":
		return slices.ContainsFunc(c.values, equals)
	case "!=", "NOT IN":
		return !slices.ContainsFunc(c.values, equals)
	case "LIKE":
		return v != nil && like(text(c.values[0].value)).MatchString(text(v))
	}
	if v == nil {
		return false
	}
	l := c.values[0]
	against := l.value
	if l.days > 0 {
		against = e.now.AddDate(0, 0, -l.days).Truncate(24 * time.Hour).UTC().Format(TimeLayout)
	}
	if against == nil {
		return false
	}
	switch d := compare(v, against); c.operator {
	case "<":
		return d < 0
	case "<=":
		return d <= 0
	case ">":
		return d > 0
	default:
		return d >= 0
	}
}

func isID(field string) bool { return strings.HasSuffix(strings.ToLower(field), "id") }

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// like makes a pattern of LIKE an expression: % is any text, _ one character, and both stand for
// themselves behind a backslash.
func like(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?is)\A`)
	escaped := false
	for _, r := range pattern {
		switch {
		case !escaped && r == '\\':
			escaped = true
			continue
		case !escaped && r == '%':
			b.WriteString(".*")
		case !escaped && r == '_':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
		escaped = false
	}
	return regexp.MustCompile(b.String() + `\z`)
}

// token is a word, a literal or a sign of a query.
var token = regexp.MustCompile(`(?s)'(?:[^'\\]|\\.)*'|\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d))?|-?\d+(?:\.\d+)?|[A-Za-z_][\w.]*(?::\d+)?|<=|>=|!=|<>|[=<>(),]|\S`)

// maxDepth bounds how deep conditions nest, and maxQuery how long a query is, which is the
// platform's own bound.
const (
	maxDepth = 50
	maxQuery = 100_000
)

// Parse parses a query. An error is an *Error.
func Parse(query string) (*Query, error) {
	if len(query) > maxQuery {
		return nil, malformed("SOQL statements cannot be longer than %d characters.", maxQuery)
	}
	p := &parser{tokens: token.FindAllString(query, -1)}
	q := p.query()
	if p.err == nil && p.at < len(p.tokens) {
		p.unexpected()
	}
	if p.err != nil {
		return nil, p.err
	}
	return q, nil
}

type parser struct {
	tokens []string
	at     int
	err    *Error
}

func (p *parser) peek() string {
	if p.err == nil && p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return ""
}

func (p *parser) next() string {
	t := p.peek()
	p.at++
	return t
}

func (p *parser) unexpected() {
	switch {
	case p.err != nil:
	case p.at < len(p.tokens):
		p.err = malformed("unexpected token: '%s'", p.tokens[p.at])
	default:
		p.err = malformed("unexpected token: '<EOF>'")
	}
}

// accept takes words that follow, and reports whether they do.
func (p *parser) accept(words ...string) bool {
	for i, word := range words {
		if p.err != nil || p.at+i >= len(p.tokens) || !strings.EqualFold(p.tokens[p.at+i], word) {
			return false
		}
	}
	p.at += len(words)
	return true
}

func (p *parser) expect(word string) {
	if !p.accept(word) {
		p.unexpected()
	}
}

var name = regexp.MustCompile(`^[A-Za-z]\w*(\.[A-Za-z]\w*){0,5}$`)

// keywords end a list of fields.
var keywords = []string{"FROM", "WHERE", "GROUP", "ORDER", "LIMIT", "OFFSET", "AND", "OR", "HAVING", "ASC", "DESC", "NULLS"}

func (p *parser) name() string {
	if t := p.peek(); !name.MatchString(t) || slices.Contains(keywords, strings.ToUpper(t)) {
		p.unexpected()
		return ""
	}
	return p.next()
}

func (p *parser) number() int {
	n, err := strconv.Atoi(p.peek())
	if err != nil || n < 0 {
		p.unexpected()
		return 0
	}
	p.at++
	return n
}

func (p *parser) query() *Query {
	q := &Query{limit: -1}
	p.expect("SELECT")
	if p.accept("COUNT", "(", ")") {
		q.count = true
	} else {
		q.items = append(q.items, p.item())
		for p.accept(",") {
			q.items = append(q.items, p.item())
		}
	}
	p.expect("FROM")
	q.Object = p.name()
	if p.accept("WHERE") {
		q.where = p.disjunction(0)
	}
	if p.accept("GROUP", "BY") {
		q.groupBy = append(q.groupBy, p.name())
		for p.accept(",") {
			q.groupBy = append(q.groupBy, p.name())
		}
	}
	if p.accept("ORDER", "BY") {
		q.orderBy = append(q.orderBy, p.ordering())
		for p.accept(",") {
			q.orderBy = append(q.orderBy, p.ordering())
		}
	}
	if p.accept("LIMIT") {
		q.limit = p.number()
	}
	if p.accept("OFFSET") {
		q.offset = p.number()
	}
	return q
}

// value parses a field, or a function of one.
func (p *parser) value() (i item) {
	i.field = p.name()
	function := strings.ToUpper(i.field)
	if slices.Contains([]string{"COUNT", "COUNT_DISTINCT", "MIN", "MAX"}, function) && p.accept("(") {
		i.function, i.field = function, p.name()
		p.expect(")")
	}
	return i
}

func (p *parser) item() item {
	i := p.value()
	if t := p.peek(); name.MatchString(t) && !slices.Contains(keywords, strings.ToUpper(t)) {
		i.alias = p.name()
	}
	return i
}

func (p *parser) ordering() (o ordering) {
	o.item = p.value()
	if p.accept("DESC") {
		o.descending = true
	} else {
		p.accept("ASC")
	}
	if p.accept("NULLS", "LAST") {
		o.nullsLast = true
	} else {
		p.accept("NULLS", "FIRST")
	}
	return o
}

// disjunction parses conditions. AND and OR beside one another need parentheses, as on the
// platform.
func (p *parser) disjunction(depth int) condition {
	if depth > maxDepth {
		p.unexpected()
		return and{}
	}
	parts := []condition{p.one(depth)}
	switch {
	case p.accept("AND"):
		parts = append(parts, p.one(depth))
		for p.accept("AND") {
			parts = append(parts, p.one(depth))
		}
		return and(parts)
	case p.accept("OR"):
		parts = append(parts, p.one(depth))
		for p.accept("OR") {
			parts = append(parts, p.one(depth))
		}
		return or(parts)
	}
	return parts[0]
}

func (p *parser) one(depth int) condition {
	if p.accept("NOT") {
		return not{p.one(depth + 1)}
	}
	if p.accept("(") {
		c := p.disjunction(depth + 1)
		p.expect(")")
		return c
	}
	c := comparison{field: p.name()}
	switch operator := strings.ToUpper(p.next()); operator {
	case "=", "!=", "<", ">", "<=", ">=", "LIKE":
		c.operator = operator
	case "<>":
		c.operator = "!="
	case "NOT":
		p.expect("IN")
		c.operator = "NOT IN"
	case "IN":
		c.operator = "IN"
	default:
		p.at--
		p.unexpected()
	}
	if c.operator != "IN" && c.operator != "NOT IN" {
		c.values = []literal{p.literal()}
		if _, ok := c.values[0].value.(string); c.operator == "LIKE" && !ok && p.err == nil {
			p.err = malformed("invalid operator on %s field", c.field)
		}
		return c
	}
	p.expect("(")
	c.values = append(c.values, p.literal())
	for p.accept(",") {
		c.values = append(c.values, p.literal())
	}
	p.expect(")")
	return c
}

var (
	escape  = regexp.MustCompile(`(?s)\\.`)
	decimal = regexp.MustCompile(`^-?\d+(\.\d+)?$`)
)

func (p *parser) literal() literal {
	t := p.next()
	switch {
	case len(t) >= 2 && t[0] == '\'':
		return literal{value: escape.ReplaceAllStringFunc(t[1:len(t)-1], unescape)}
	case strings.EqualFold(t, "true"), strings.EqualFold(t, "false"):
		return literal{value: strings.EqualFold(t, "true")}
	case strings.EqualFold(t, "null"):
		return literal{}
	case decimal.MatchString(t):
		n, _ := strconv.ParseFloat(t, 64)
		return literal{value: n}
	}
	if unit, n, ok := strings.Cut(t, ":"); ok && strings.EqualFold(unit, "LAST_N_DAYS") {
		if days, err := strconv.Atoi(n); err == nil && days > 0 {
			return literal{days: days}
		}
	}
	if _, ok := timeOf(t); ok {
		return literal{value: t}
	}
	p.at--
	p.unexpected()
	return literal{}
}

// unescape reads an escape of a string. What LIKE escapes stays so.
func unescape(s string) string {
	switch s[1] {
	case 'n':
		return "\n"
	case 'r':
		return "\r"
	case 't':
		return "\t"
	case '%', '_':
		return s
	}
	return s[1:]
}
