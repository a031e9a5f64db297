package soql

import (
	"fmt"
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
	where   *condition
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
type condition struct {
	fields []string
	holds  func(*evaluation, Row) bool
}

// joined joins conditions by AND, of which all hold, or by OR, of which one does.
func joined(parts []condition, all bool) condition {
	var fields []string
	for _, part := range parts {
		fields = append(fields, part.fields...)
	}
	return condition{fields, func(e *evaluation, r Row) bool {
		return all != slices.ContainsFunc(parts, func(part condition) bool { return part.holds(e, r) != all })
	}}
}

// comparison compares a field with literals: nil, a string, a bool, a number or lastDays.
type comparison struct {
	field, operator string
	values          []any
}

// lastDays is LAST_N_DAYS:n.
type lastDays int

// from returns the first moment of the days.
func (d lastDays) from(now time.Time) time.Time {
	return now.AddDate(0, 0, -int(d)).Truncate(24 * time.Hour)
}

func (c comparison) holds(e *evaluation, r Row) bool {
	v := value(r, c.field)
	equals := func(literal any) bool { return c.equals(v, literal, e.now) }
	switch c.operator {
	case "=", "IN":
		return slices.ContainsFunc(c.values, equals)
	case "!=", "NOT IN":
		return !slices.ContainsFunc(c.values, equals)
	case "LIKE":
		return v != nil && like(fmt.Sprint(c.values[0])).MatchString(fmt.Sprint(v))
	}
	against := c.values[0]
	if days, ok := against.(lastDays); ok {
		against = days.from(e.now).UTC().Format(TimeLayout)
	}
	if v == nil || against == nil {
		return false
	}
	d := compare(v, against)
	if d == 0 {
		return strings.HasSuffix(c.operator, "=")
	}
	return (d < 0) == (c.operator[0] == '<')
}

func (c comparison) equals(v, literal any, now time.Time) bool {
	if v == nil || literal == nil {
		return v == literal
	}
	if days, ok := literal.(lastDays); ok {
		t, ok := timeOf(fmt.Sprint(v))
		return ok && !t.Before(days.from(now)) && !t.After(now)
	}
	if _, ok := v.(bool); ok {
		return v == literal
	}
	if a, b := fmt.Sprint(v), fmt.Sprint(literal); isID(c.field) && len(a) >= 15 && len(b) >= 15 {
		return a[:15] == b[:15] // with 15 or 18 characters
	}
	return compare(v, literal) == 0
}

func isID(field string) bool { return strings.HasSuffix(strings.ToLower(field), "id") }

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

// list parses things with commas between them.
func list[T any](p *parser, one func() T) []T {
	all := []T{one()}
	for p.accept(",") {
		all = append(all, one())
	}
	return all
}

func (p *parser) query() *Query {
	q := &Query{limit: -1}
	p.expect("SELECT")
	if p.accept("COUNT", "(", ")") {
		q.count = true
	} else {
		q.items = list(p, p.item)
	}
	p.expect("FROM")
	q.Object = p.name()
	if p.accept("WHERE") {
		where := p.disjunction(0)
		q.where = &where
	}
	if p.accept("GROUP", "BY") {
		q.groupBy = list(p, p.name)
	}
	if p.accept("ORDER", "BY") {
		q.orderBy = list(p, p.ordering)
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
	if o.descending = p.accept("DESC"); !o.descending {
		p.accept("ASC")
	}
	if o.nullsLast = p.accept("NULLS", "LAST"); !o.nullsLast {
		p.accept("NULLS", "FIRST")
	}
	return o
}

// disjunction parses conditions. AND and OR beside one another need parentheses, as on the
// platform.
func (p *parser) disjunction(depth int) condition {
	if depth > maxDepth {
		p.unexpected()
		return condition{}
	}
	parts := []condition{p.one(depth)}
	word := strings.ToUpper(p.peek())
	if word != "AND" && word != "OR" {
		return parts[0]
	}
	for p.accept(word) {
		parts = append(parts, p.one(depth))
	}
	return joined(parts, word == "AND")
}

func (p *parser) one(depth int) condition {
	if p.accept("NOT") {
		of := p.one(depth + 1)
		return condition{of.fields, func(e *evaluation, r Row) bool { return !of.holds(e, r) }}
	}
	if p.accept("(") {
		c := p.disjunction(depth + 1)
		p.expect(")")
		return c
	}
	c := comparison{field: p.name(), operator: strings.ToUpper(p.next())}
	switch c.operator {
	case "=", "!=", "<", ">", "<=", ">=", "LIKE", "IN":
	case "<>":
		c.operator = "!="
	case "NOT":
		p.expect("IN")
		c.operator = "NOT IN"
	default:
		p.at--
		p.unexpected()
	}
	if strings.HasSuffix(c.operator, "IN") {
		p.expect("(")
		c.values = list(p, p.literal)
		p.expect(")")
	} else {
		c.values = []any{p.literal()}
	}
	if _, ok := c.values[0].(string); c.operator == "LIKE" && !ok && p.err == nil {
		p.err = malformed("invalid operator on %s field", c.field)
	}
	return condition{[]string{c.field}, c.holds}
}

var (
	escape  = regexp.MustCompile(`(?s)\\.`)
	decimal = regexp.MustCompile(`^-?\d+(\.\d+)?$`)
)

func (p *parser) literal() any {
	t := p.next()
	switch {
	case len(t) >= 2 && t[0] == '\'':
		return escape.ReplaceAllStringFunc(t[1:len(t)-1], unescape)
	case strings.EqualFold(t, "true"), strings.EqualFold(t, "false"):
		return strings.EqualFold(t, "true")
	case strings.EqualFold(t, "null"):
		return nil
	case decimal.MatchString(t):
		n, _ := strconv.ParseFloat(t, 64)
		return n
	}
	if unit, n, ok := strings.Cut(t, ":"); ok && strings.EqualFold(unit, "LAST_N_DAYS") {
		if days, err := strconv.Atoi(n); err == nil && days > 0 {
			return lastDays(days)
		}
	}
	if _, ok := timeOf(t); ok {
		return t
	}
	p.at--
	p.unexpected()
	return nil
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
