// Package files reads untrusted files safely: regular files only, because a pipe or a device
// may never end, and only up to a maximum size.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrIrregular reports a name that is not a regular file.
var ErrIrregular = errors.New("is not a regular file")

// Read returns the content of a regular file of up to max bytes.
func Read(name string, max int64) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if err := check(name, info); err != nil {
		return nil, err
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(name, file, max)
}

func check(name string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		if info.IsDir() {
			return &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
		}
		return &fs.PathError{Op: "read", Path: name, Err: ErrIrregular}
	}
	return nil
}

func readAll(name string, from io.Reader, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(from, max+1))
	if err == nil && int64(len(data)) > max {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("is larger than %d MiB", max>>20)}
	}
	return data, err
}

// Step, if not nil, is called before each operation that changes the file system, with its name. Tests
// set it, to end a process there.
var Step func(operation, name string)

// Changes announces an operation that changes the file system.
func Changes(operation, name string) {
	if Step != nil {
		Step(operation, name)
	}
}

// Plain returns an error of the file system without the operation and the path.
func Plain(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// MaxFile is the maximum size in bytes of a file that ReadFile of a Dir reads.
const MaxFile = 16 << 20

// Dir returns a directory as a file system. Access is confined to it: ".." and symlinks cannot
// leave it. Only directories and regular files of up to MaxFile bytes can be read.
func Dir(name string) (fs.FS, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return dir{root, root.FS()}, nil
}

type dir struct {
	root *os.Root
	fs   fs.FS
}

// Open implements fs.FS.
func (d dir) Open(name string) (fs.File, error) {
	if info, err := fs.Stat(d.fs, name); err == nil && !info.IsDir() {
		if err := check(name, info); err != nil {
			return nil, err
		}
	}
	return d.fs.Open(name)
}

// ReadFile implements fs.ReadFileFS.
func (d dir) ReadFile(name string) ([]byte, error) {
	file, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(name, file, MaxFile)
}

// ReadDir implements fs.ReadDirFS.
func (d dir) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(d.fs, name) }

// Stat implements fs.StatFS. It follows symlinks.
func (d dir) Stat(name string) (fs.FileInfo, error) { return fs.Stat(d.fs, name) }

// Lstat implements fs.ReadLinkFS. It does not follow symlinks.
func (d dir) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(d.fs, name) }

// ReadLink returns the target of a symlink.
func (d dir) ReadLink(name string) (string, error) { return fs.ReadLink(d.fs, name) }
