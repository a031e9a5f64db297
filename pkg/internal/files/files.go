// Package files reads untrusted files safely: regular files only, because a pipe or a device
// may never end, and only up to a maximum size.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
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
		return nil, tooLarge(name, max)
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

func tooLarge(name string, max int64) error {
	return &fs.PathError{Op: "read", Path: name, Err: &sizeError{max}}
}

// sizeError is an ErrTooLarge that says what the limit is.
type sizeError struct{ max int64 }

func (e *sizeError) Error() string { return fmt.Sprintf("is larger than %d MiB", e.max>>20) }

func (e *sizeError) Is(target error) bool { return target == ErrTooLarge }

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
	return &dir{root: root}, nil
}

// dir opens each file from an open directory near it, because os.Root opens a path element by element.
type dir struct {
	root *os.Root

	mu   sync.Mutex
	open []opened // each is below the one before
}

// opened is an open directory.
type opened struct {
	name  string
	depth int
	root  *os.Root
}

// distance is the number of path elements between two open directories, besides the last one.
const distance = 32

// do calls a function for a file with the directory that it is in, or with the whole root.
func (d *dir) do(op, name string, call func(root *os.Root, name string) error) error {
	if !fs.ValidPath(name) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	parent, base := path.Split(name)
	if root := d.enter(strings.TrimSuffix(parent, "/")); root != nil && call(root, base) == nil {
		return nil
	}
	return call(d.root, name) // which may lead to a symlink's target elsewhere, and whose error has the name
}

// enter returns an open directory, nil if it cannot be opened.
func (d *dir) enter(name string) *os.Root {
	if name == "" {
		return d.root
	}
	for n := len(d.open); n > 0 && !isWithin(name, d.open[n-1].name); n-- {
		d.drop(n - 1)
	}
	last := opened{root: d.root}
	if n := len(d.open); n > 0 {
		if last = d.open[n-1]; last.name == name {
			return last.root
		}
	}
	elements := strings.Split(strings.TrimPrefix(name[len(last.name):], "/"), "/")
	for len(elements) > 0 {
		step := elements[:min(distance, len(elements))]
		elements = elements[len(step):]
		rest := strings.Join(step, "/")
		root, err := last.root.OpenRoot(rest)
		if err != nil {
			return nil
		}
		if n := len(d.open); n > 0 && d.open[n-1].depth+len(step)-d.depth(n-2) <= distance {
			d.drop(n - 1)
		}
		end := len(rest)
		if last.name != "" {
			end += len(last.name) + len("/")
		}
		last = opened{name[:end], last.depth + len(step), root}
		d.open = append(d.open, last)
	}
	return last.root
}

// isWithin reports whether a path is a directory or below it.
func isWithin(name, dir string) bool {
	return strings.HasPrefix(name, dir) && (len(name) == len(dir) || name[len(dir)] == '/')
}

// depth returns the depth of one of the open directories, 0 for that of the root.
func (d *dir) depth(i int) int {
	if i < 0 {
		return 0
	}
	return d.open[i].depth
}

// drop closes the last of the open directories.
func (d *dir) drop(i int) {
	d.open[i].root.Close()
	d.open = d.open[:i]
}

// Open implements fs.FS.
func (d *dir) Open(name string) (file fs.File, err error) {
	err = d.do("open", name, func(root *os.Root, base string) error {
		if info, err := root.Stat(base); err == nil && !info.IsDir() {
			if err := check(name, info); err != nil {
				return err
			}
		}
		file, err = root.Open(base)
		return err
	})
	if err != nil {
		return nil, err
	}
	return file, nil
}

// ReadFile implements fs.ReadFileFS.
func (d *dir) ReadFile(name string) ([]byte, error) {
	info, err := d.Stat(name)
	if err == nil {
		err = check(name, info) // opening a device may act
	}
	if err != nil {
		return nil, err
	}
	return d.read(name, MaxFile)
}

// read returns the content of a regular file of up to max bytes. It does not wait for a pipe.
func (d *dir) read(name string, max int64) (data []byte, err error) {
	err = d.do("open", name, func(root *os.Root, base string) error {
		file, err := root.OpenFile(base, os.O_RDONLY|noWait, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		if err := check(name, info); err != nil {
			return err
		}
		if info.Size() > max {
			return tooLarge(name, max)
		}
		data = make([]byte, info.Size()+1)
		n, err := file.Read(data)
		data = data[:n]
		if err == nil && int64(n) != info.Size() { // the file has changed, or comes in pieces
			var rest []byte
			rest, err = readAll(name, file, max-int64(n))
			data = append(data, rest...)
		}
		if err == io.EOF {
			err = nil
		}
		return err
	})
	return data, err
}

// ErrTooLarge reports a file that is larger than the limit.
var ErrTooLarge = errors.New("is too large")

// ReadUpTo is fs.ReadFile for a file of up to max bytes that is known to be regular. The error for a larger
// one is ErrTooLarge.
func ReadUpTo(fsys fs.FS, name string, max int64) ([]byte, error) {
	if d, ok := fsys.(*dir); ok {
		return d.read(name, max)
	}
	info, err := fs.Stat(fsys, name)
	switch {
	case err != nil:
		return nil, err
	case info.Size() > max:
		return nil, tooLarge(name, max)
	}
	return fs.ReadFile(fsys, name)
}

// ReadDir implements fs.ReadDirFS.
func (d *dir) ReadDir(name string) (entries []fs.DirEntry, err error) {
	err = d.do("open", name, func(root *os.Root, base string) (err error) {
		entries, err = fs.ReadDir(root.FS(), base)
		return err
	})
	return entries, err
}

// Stat implements fs.StatFS. It follows symlinks.
func (d *dir) Stat(name string) (info fs.FileInfo, err error) {
	err = d.do("stat", name, func(root *os.Root, base string) (err error) {
		info, err = root.Stat(base)
		return err
	})
	return info, err
}

// Lstat implements fs.ReadLinkFS. It does not follow symlinks.
func (d *dir) Lstat(name string) (info fs.FileInfo, err error) {
	err = d.do("lstat", name, func(root *os.Root, base string) (err error) {
		info, err = root.Lstat(base)
		return err
	})
	return info, err
}

// ReadLink returns the target of a symlink.
func (d *dir) ReadLink(name string) (target string, err error) {
	err = d.do("readlink", name, func(root *os.Root, base string) (err error) {
		target, err = root.Readlink(base)
		return err
	})
	return target, err
}
