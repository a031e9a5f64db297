package console

import (
	"os"
	"os/signal"
	"syscall"
)

// OutliveReader lets the work on an org go on when the reader of the output goes away, like head. A
// program that asks for SIGPIPE is not ended by it (source: os/signal); writes fail instead.
func OutliveReader() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
