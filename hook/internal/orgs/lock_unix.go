//go:build !windows

package orgs

import (
	"os"
	"syscall"
)

// lock locks a file for this process alone, at once or not at all, or waits until it is shared with others
// that hold it.
func lock(file *os.File, alone bool) error {
	how := syscall.LOCK_SH
	if alone {
		how = syscall.LOCK_EX | syscall.LOCK_NB
	}
	for {
		if err := syscall.Flock(int(file.Fd()), how); err != syscall.EINTR {
			return err
		}
	}
}
