package cli

import (
	"strings"

	"github.com/alecthomas/kong"
)

// optional is the value of a flag that can be left out, as in --mcp and --mcp SERVER.
type optional struct {
	set  bool // the flag is there
	text string
}

// Decode implements kong.MapperValue. The next word is the value unless it is a flag.
func (o *optional) Decode(ctx *kong.DecodeContext) error {
	o.set = true
	if next := ctx.Scan.Peek(); !next.IsEOL() && next.IsValue() {
		o.text = strings.TrimSpace(ctx.Scan.Pop().String())
	}
	return nil
}
