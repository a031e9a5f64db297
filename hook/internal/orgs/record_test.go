package orgs

import (
	"os"
	"path/filepath"
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
