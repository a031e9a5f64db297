package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameInterrupt is how long after an interrupt another one counts as the same: a pipeline signals
// the process and its parents, and parents like npx pass theirs on.
const sameInterrupt = time.Second

// interruptible returns a context that ends with an interrupt, a termination or the loss of the
// terminal. A second signal, at least sameInterrupt later, ends the process at once.
func interruptible() context.Context {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, signals...)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		cancel()
		time.Sleep(sameInterrupt)
		signal.Stop(arrived)
	}()
	return ctx
}
