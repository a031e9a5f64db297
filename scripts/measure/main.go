//go:build unix

// Command measure runs a command and appends a line with its wall time and peak
// memory to a file.
//
//	measure FILE NAME COMMAND [ARGUMENT]...
//
// Standard input, output and error are the command's, and so is the exit code.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: measure FILE NAME COMMAND [ARGUMENT]...")
		os.Exit(2)
	}
	cmd := exec.Command(os.Args[3], os.Args[4:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	started := time.Now()
	err := cmd.Run()
	wall := time.Since(started)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
	peak := "?"
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		peak = fmt.Sprintf("%.0f MB", float64(usage.Maxrss)/1024) // Linux counts in kB
	}
	f, err := os.OpenFile(os.Args[1], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, "%-52s %8.0f ms %8s\n", os.Args[2], float64(wall.Microseconds())/1000, peak)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}
