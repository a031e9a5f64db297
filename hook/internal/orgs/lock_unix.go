//go:build !windows

package orgs

import (
	"io/fs"
	"os"
	"syscall"
)

// isOwn reports whether no other user can put anything into a directory. In one of the system's, or a sticky one,
// others can add directories, but not take the place of ours.
func isOwn(info fs.FileInfo, above bool) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() {
		return false
	}
	owned := int(stat.Uid) == os.Geteuid() || above && stat.Uid == 0
	return owned && (info.Mode().Perm()&0o022 == 0 || above && info.Mode()&fs.ModeSticky != 0)
}

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
