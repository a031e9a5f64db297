package orgs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Record is a note on this machine that runs on it have changed a setting of an org, and have to change it
// back. All of them hold the record, the last one to end changes the setting back. A killed run leaves its
// record without a holder.
type Record struct {
	file  *os.File
	alone bool // no other run held it when it was opened
}

// OpenRecord opens the record of a name and holds it. It returns nil if the user has no directory for it, or,
// unless create is set, if there is none.
func (e *Env) OpenRecord(name string, create bool) (*Record, error) {
	cache := e.Cache()
	if cache == "" {
		return nil, nil
	}
	file := filepath.Join(cache, "records", name)
	if _, err := os.Lstat(file); err != nil && !create {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(file); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", file)
	}
	opened, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	alone := err == nil && lock(opened, true) == nil
	if err == nil {
		err = lock(opened, false)
	}
	if err != nil {
		opened.Close()
		return nil, err
	}
	return &Record{opened, alone}, nil
}

// Abandoned reports that the record was set by a run that has ended without clearing it.
func (r *Record) Abandoned() bool { return r != nil && r.alone && !r.Since().IsZero() }

// Since returns when the setting was changed, zero if it was not.
func (r *Record) Since() time.Time {
	if r == nil {
		return time.Time{}
	}
	data := make([]byte, 64)
	n, _ := r.file.ReadAt(data, 0)
	if n == 0 {
		return time.Time{}
	}
	since, err := time.Parse(time.RFC3339, strings.TrimSpace(string(data[:n])))
	if info, statErr := r.file.Stat(); err != nil && statErr == nil {
		since = info.ModTime() // a part of a time
	}
	return since
}

// Set notes that the setting is about to be changed.
func (r *Record) Set() error {
	if r == nil {
		return nil
	}
	if err := r.file.Truncate(0); err != nil {
		return err
	}
	_, err := r.file.WriteAt([]byte(time.Now().UTC().Format(time.RFC3339)), 0)
	return errors.Join(err, r.file.Sync())
}

// Last reports whether no other run holds the record. From then on, others wait until Close. If it is not the
// last one, it no longer holds the record.
func (r *Record) Last() bool { return r == nil || lock(r.file, true) == nil }

// Clear notes that the setting was changed back.
func (r *Record) Clear() error {
	if r == nil {
		return nil
	}
	return r.file.Truncate(0)
}

// Close ends the holding.
func (r *Record) Close() error {
	if r == nil {
		return nil
	}
	return r.file.Close()
}
