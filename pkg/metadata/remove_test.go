package metadata

import (
	"strings"
	"testing"
)

func TestRemoveFields(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ data, want, removed string }{
		"a line":         {"<?xml version=\"1.0\"?>\n<A>\n    <keep>1</keep>\n    <gone>2</gone>\n    <!-- kept -->\n</A>\n", "<?xml version=\"1.0\"?>\n<A>\n    <keep>1</keep>\n    <!-- kept -->\n</A>\n", "gone"},
		"CRLF and a BOM": {"\xef\xbb\xbf<A>\r\n\t<gone>2</gone>\r\n\t<keep/>\r\n</A>", "\xef\xbb\xbf<A>\r\n\t<keep/>\r\n</A>", "gone"},
		"in one line":    {"<A><gone>2</gone><keep>&amp;</keep><gone/></A>", "<A><keep>&amp;</keep></A>", "gone gone"},
		"several lines":  {"<A>\n<gone>\n<keep>1</keep>\n</gone>\n</A>", "<A>\n</A>", "gone"},
		"nested":         {"<A><b><gone>1</gone></b></A>", "<A><b><gone>1</gone></b></A>", ""},
		"with a prefix":  {`<m:A xmlns:m="x"><m:gone >1</m:gone ></m:A>`, `<m:A xmlns:m="x"></m:A>`, "gone"},
		"two names":      {"<A>\n <also>1</also> <gone>1</gone>\n</A>", "<A>\n  \n</A>", "also gone"},
	} {
		t.Run(name, func(t *testing.T) {
			got, removed, err := RemoveFields([]byte(test.data), "gone", "also")
			if err != nil || string(got) != test.want || strings.Join(removed, " ") != test.removed {
				t.Errorf("got %q, removed %q, %v; want %q, %q", got, removed, err, test.want, test.removed)
			}
		})
	}
	for _, data := range []string{"<A><gone></A>", `<?xml version="1.0" encoding="utf-16"?><A/>`} {
		if got, _, err := RemoveFields([]byte(data), "gone"); err == nil {
			t.Errorf("%s gives %q, want an error", data, got)
		}
	}
}
