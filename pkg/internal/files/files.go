// Package files reads files that somebody else wrote: regular ones only, because a
// pipe or a device may never end, and only up to a bound.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrIrregular says that a name leads to no regular file.
var ErrIrregular = errors.New("is not a regular file")

// Read returns the content of a file of up to max bytes.
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

// MaxFile is the most that ReadFile of a Dir reads.
const MaxFile = 16 << 20

// Dir returns a directory as a file system that leads nowhere else, by no ".." and
// no link, whose files are regular ones and directories, and read up to MaxFile.
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

// Open opens a file or directory.
func (d dir) Open(name string) (fs.File, error) {
	if info, err := fs.Stat(d.fs, name); err == nil && !info.IsDir() {
		if err := check(name, info); err != nil {
			return nil, err
		}
	}
	return d.fs.Open(name)
}

// ReadFile reads a file.
func (d dir) ReadFile(name string) ([]byte, error) {
	file, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(name, file, MaxFile)
}

// ReadDir reads a directory, in the order of names.
func (d dir) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(d.fs, name) }

// Stat describes what a name leads to.
func (d dir) Stat(name string) (fs.FileInfo, error) { return fs.Stat(d.fs, name) }

// Lstat describes a name itself.
func (d dir) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(d.fs, name) }

// ReadLink returns where a link leads.
func (d dir) ReadLink(name string) (string, error) { return fs.ReadLink(d.fs, name) }
