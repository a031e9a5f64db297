package apiversion

import "testing"

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Version{"65.0": 65, "65": 65, "9.0": 9, "": 0, "65.1": 0, "v65.0": 0, "0": 0, "-1": 0, "99999999": 0, "sixty": 0} {
		got, err := Parse(text)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("Parse(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}
