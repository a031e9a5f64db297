package console

import (
	"fmt"
	"sync"
	"time"
)

// How often something that takes long is reported: on a terminal, and elsewhere.
const (
	spinEvery   = time.Second
	reportEvery = 10 * time.Second
)

// status is a line below all others, which a terminal shows until the next line. Its lock is that of standard
// output.
type status struct {
	mu    sync.Mutex
	shown bool
}

// Working reports what the command is waiting for, once it takes long: on a terminal, a line that changes
// every second and goes away; elsewhere, a line every ten seconds. doing returns what is waited for, or "". The
// caller calls stop at the end.
func (c *Console) Working(doing func() string) (stop func()) {
	if c.JSON || c.Silent || c.status == nil {
		return func() {}
	}
	every := reportEvery
	if c.ansi {
		every = spinEvery
	}
	started := time.Now()
	end, ended := make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				c.hideStatus()
				return
			case <-ticker.C:
			}
			what := doing()
			if what == "" {
				c.hideStatus()
				continue
			}
			text := fmt.Sprintf("waiting for %s, %s so far", what, Duration(time.Since(started)))
			if every == spinEvery {
				c.showStatus(text)
			} else {
				c.Line("  %s", text)
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(end)
		<-ended
	})
}

// showStatus shows a text in the line below all others.
func (c *Console) showStatus(text string) {
	c.status.mu.Lock()
	defer c.status.mu.Unlock()
	c.put(clearLine + "  " + neutral(Clean(text)))
	c.status.shown = true
}

// hideStatus removes the line below all others, if there is one.
func (c *Console) hideStatus() {
	c.status.mu.Lock()
	defer c.status.mu.Unlock()
	c.hide()
}

// hide is hideStatus for a caller that has the lock.
func (c *Console) hide() {
	if c.status.shown {
		c.put(clearLine)
		c.status.shown = false
	}
}

// clearLine is what a terminal empties its current line on.
const clearLine = "\r\x1b[K"
