package orgs

import (
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// isOwn reports whether no other user can put anything into a directory, which Windows says of the directories in a
// user's profile.
func isOwn(info fs.FileInfo, _ bool) bool { return info.IsDir() }

// lockedAt is the place of the locked byte, far behind the text of a record: Windows lets nobody write what
// is locked.
const lockedAt = 1 << 30

// lock locks a file for this process alone, at once or not at all, or waits until it is shared with others
// that hold it.
func lock(file *os.File, alone bool) error {
	handle := windows.Handle(file.Fd())
	var flags uint32
	if alone {
		flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	}
	_ = windows.UnlockFileEx(handle, 0, 1, 0, &windows.Overlapped{Offset: lockedAt}) // fails if it is not locked yet
	return windows.LockFileEx(handle, flags, 0, 1, 0, &windows.Overlapped{Offset: lockedAt})
}
