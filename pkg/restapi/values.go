package restapi

import "time"

// ShortID returns the part of a record's ID that counts: the first 15 characters. The other three
// serve systems that ignore case, and the API accepts and returns both forms.
func ShortID(id string) string { return id[:min(15, len(id))] }

// SameID tells whether two IDs, of 15 or 18 characters, are of one record. Shorter text is of none.
func SameID(a, b string) bool { return len(a) >= 15 && len(b) >= 15 && ShortID(a) == ShortID(b) }

// ParseTime reads a time as the platform writes it, with an offset like +0000 or like Z, and
// returns it in UTC; zero for text that is none.
func ParseTime(text string) time.Time {
	for _, layout := range []string{"2006-01-02T15:04:05.000-0700", time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// Later returns the later of a time and one that the platform wrote.
func Later(t time.Time, text string) time.Time {
	if other := ParseTime(text); other.After(t) {
		return other
	}
	return t
}
