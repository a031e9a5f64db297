// Package atomicfile writes files so that a reader sees the old content or the new, never a part.
//
// The new content is first written to a temporary file beside the target, with mode 0600 and a
// fixed name, see Temporary. A process that is killed leaves at most that file, and the next Write
// of the same target reuses it. Concurrent writers of one target wait for one another, on
// Windows too.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/ecakit/ecakit/pkg/internal/files"
)

// ErrIrregular reports a target that is not a regular file: a directory, a device, a pipe, or a symlink
// that is not followed.
var ErrIrregular = files.ErrIrregular

// Options configure Write and Check.
type Options struct {
	// Mode is the permission of a new file. An existing file keeps its permission, and gets the
	// execute bits of Mode. 0 is for secrets: the file has at most 0600, even if it had more.
	Mode fs.FileMode
	// FollowLinks replaces the target of a symlink. Without it, a symlink is refused.
	FollowLinks bool
	// Parents is the permission of directories above the target, which Write creates. With 0, it
	// creates none.
	Parents fs.FileMode
	// Guard, if not nil, is called while no other Write can replace the target. After an error of
	// Guard, which Write returns, the target is unchanged.
	Guard func() error
}

// Temporary returns the name of the file that Write uses before it replaces name.
func Temporary(name string) string {
	return filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".eca-tmp")
}

// targetOf returns the path that Write replaces: name, or the target of the symlink if links are
// followed. The error is a *fs.PathError, with ErrIrregular for anything that exists and is
// not a regular file.
func targetOf(name string, o Options) (string, error) {
	info, err := os.Lstat(name)
	if err == nil && o.FollowLinks && info.Mode()&fs.ModeSymlink != 0 {
		if name, err = filepath.EvalSymlinks(name); err == nil {
			info, err = os.Lstat(name)
		}
		if err != nil {
			return "", err
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return name, nil
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", &fs.PathError{Op: "write", Path: name, Err: files.ErrIrregular}
	}
	return name, nil
}

// Check returns the error that Write would return before it writes: a target that is not a regular
// file, or a directory in which no file can be created. It changes nothing.
func Check(name string, o Options) error {
	target, err := targetOf(name, o)
	if err != nil {
		return err
	}
	probe, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".eca-check-*")
	if err != nil {
		return cause(target, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// cause replaces the path of an error by name, so that no message names a temporary file.
func cause(name string, err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: "write", Path: name, Err: pathErr.Err}
	}
	if linkErr, ok := errors.AsType[*os.LinkError](err); ok {
		return &fs.PathError{Op: "write", Path: name, Err: linkErr.Err}
	}
	return err
}

// attempts bounds how often Write gives way to a concurrent writer of the same target.
const attempts = 100

// Write replaces the content of a file. After an error the old content is unchanged.
func Write(name string, data []byte, o Options) error {
	if o.Parents != 0 {
		files.Changes("mkdir", filepath.Dir(name))
		if err := os.MkdirAll(filepath.Dir(name), o.Parents); err != nil {
			return cause(name, err)
		}
	}
	target, err := targetOf(name, o)
	if err != nil {
		return err
	}
	for range attempts {
		var written bool
		if written, err = write(target, data, o); written || err != nil && !errors.Is(err, errInUse) {
			return cause(target, err)
		}
	}
	return &fs.PathError{Op: "write", Path: target, Err: errors.New("other processes keep replacing the file")}
}

// errInUse reports that another writer opened the temporary file before it could be renamed.
var errInUse = errors.New("the temporary file is in use")

// write makes one attempt. It returns false without an error if another writer renamed the
// temporary file in the meantime.
func write(target string, data []byte, o Options) (written bool, err error) {
	temporary := Temporary(target)
	if info, err := os.Lstat(temporary); err == nil && !info.Mode().IsRegular() {
		return false, &fs.PathError{Op: "write", Path: temporary, Err: files.ErrIrregular}
	}
	files.Changes("create", temporary)
	file, err := lockedfile.OpenFile(temporary, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer file.Close()
	opened, err := file.Stat()
	if err != nil {
		return false, err
	}
	// Another writer may have renamed the file while this one waited for the lock.
	if now, err := os.Lstat(temporary); err != nil || !os.SameFile(now, opened) {
		return false, nil
	}
	if o.Guard != nil {
		err = o.Guard()
	}
	if err == nil {
		err = fill(file, data, mode(target, o))
	}
	if err != nil {
		if runtime.GOOS == "windows" { // which deletes no open file
			file.Close()
		}
		remove(temporary)
		return false, err
	}
	files.Changes("rename", target)
	if runtime.GOOS == "windows" { // which renames no open file
		if err := file.Close(); err != nil {
			return false, err
		}
		if err := os.Rename(temporary, target); err != nil {
			if _, statErr := os.Lstat(temporary); statErr == nil {
				return false, fmt.Errorf("%w: %w", errInUse, err)
			}
			return false, nil
		}
		return true, nil
	}
	if err := os.Rename(temporary, target); err != nil {
		remove(temporary)
		return false, err
	}
	syncDir(filepath.Dir(target))
	return true, nil
}

func remove(name string) error {
	files.Changes("remove", name)
	return os.Remove(name)
}

// Remove removes a file and the temporary file that a killed Write of it has left. That there is none
// is no error.
func Remove(name string) error {
	for _, file := range []string{Temporary(name), name} {
		if err := remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return cause(name, err)
		}
	}
	return nil
}

// fill writes the whole content.
func fill(file *lockedfile.File, data []byte, mode fs.FileMode) error {
	files.Changes("truncate", file.Name())
	if err := file.Chmod(0o600); err != nil && runtime.GOOS != "windows" {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	files.Changes("write", file.Name())
	if _, err := file.WriteAt(data, 0); err != nil {
		return err
	}
	if mode != 0o600 {
		if err := file.Chmod(mode); err != nil && runtime.GOOS != "windows" {
			return err
		}
	}
	return file.Sync()
}

// mode returns the permission of the written file.
func mode(target string, o Options) fs.FileMode {
	info, err := os.Lstat(target)
	switch {
	case o.Mode == 0:
		return 0o600
	case err != nil:
		return o.Mode
	}
	return info.Mode().Perm() | o.Mode&0o111
}

// syncDir makes a rename durable. File systems that cannot do so lose at most the rename.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}
