//go:build unix

package files

import "syscall"

// noWait opens a file without waiting for the other end of a pipe. Without it, os asks for the flags of each
// file four times.
const noWait = syscall.O_NONBLOCK
