package orgs

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// TestRecord: the last run that holds a record changes the setting back, and a killed one leaves a note.
func TestRecord(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	e := &Env{Home: home, Getenv: func(string) string { return "" }}
	if r, err := e.OpenRecord("x", false); r != nil || err != nil {
		t.Errorf("without a record there is %v, %v", r, err)
	}
	open := func() *Record {
		r, err := e.OpenRecord("x", true)
		if err != nil || r == nil {
			t.Fatalf("opened %v, %v", r, err)
		}
		return r
	}
	first := open()
	if !first.Since().IsZero() {
		t.Error("a new record is set")
	}
	if err := first.Set(); err != nil {
		t.Fatal(err)
	}
	second := open()
	if time.Since(second.Since()) > time.Minute {
		t.Errorf("the second run reads %v", second.Since())
	}
	if second.Abandoned() {
		t.Error("the record of a run that is under way is abandoned")
	}
	if first.Last() {
		t.Error("the first run to end is the last one")
	}
	if !second.Last() {
		t.Error("the second run to end is not the last one")
	}
	second.Close() // as if killed
	first.Close()
	third := open()
	if !third.Abandoned() || !third.Last() {
		t.Error("the record of a killed run is lost, or held by nobody")
	}
	if err := third.Clear(); err != nil || !third.Since().IsZero() {
		t.Errorf("after Clear: %v, %v", third.Since(), err)
	}
	third.Close()
	info, err := os.Stat(filepath.Join(home, ".cache", "eca", "records", "x"))
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the file is %v, %v", info, err)
	}
	// Nobody has a directory for it.
	if r, err := (&Env{Getenv: e.Getenv}).OpenRecord("x", true); r != nil || err != nil || !r.Last() || r.Set() != nil {
		t.Errorf("without a home: %v, %v", r, err)
	}
}

// TestCacheOfOthers: a directory that another user can write to is not used.
func TestCacheOfOthers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("permissions of Unix")
	}
	for name, test := range map[string]struct {
		cache, eca os.FileMode // 0 for none
		relative   bool
		want       bool
	}{
		"nothing yet":            {0, 0, false, true},
		"its own":                {0o700, 0o700, false, true},
		"readable":               {0o755, 0o755, false, true},
		"writable to all":        {0o777, 0o700, false, false},
		"sticky":                 {0o777 | os.ModeSticky, 0o700, false, true},
		"writable to a group":    {0o770, 0, false, false},
		"eca's writable to all":  {0o755, 0o777, false, false},
		"a home in the checkout": {0, 0, true, false},
	} {
		home := t.TempDir()
		for dir, mode := range map[string]os.FileMode{"": test.cache, "eca": test.eca} {
			dir = filepath.Join(home, ".cache", dir)
			if mode == 0 {
				continue
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, mode); err != nil {
				t.Fatal(err)
			}
		}
		if test.relative {
			home = "home"
		}
		e := &Env{Home: home, Getenv: func(string) string { return "" }}
		if got := e.Cache(); (got != "") != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	// Of somebody else.
	dir := t.TempDir()
	e := &Env{Getenv: func(string) string { return dir }}
	if err := os.Mkdir(filepath.Join(dir, "eca"), 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Chown(filepath.Join(dir, "eca"), 12345, 12345) == nil && e.Cache() != "" {
		t.Error("the directory of another user is used")
	}
}
