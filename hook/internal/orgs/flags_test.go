package orgs

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestAttemptTimeout: an org that takes a call and never answers leaves time for further
// attempts.
func TestAttemptTimeout(t *testing.T) {
	t.Parallel()
	for run, want := range map[time.Duration]time.Duration{
		time.Hour: 2 * time.Minute, 10 * time.Minute: 2 * time.Minute, time.Minute: 12 * time.Second,
		10 * time.Second: 5 * time.Second, time.Second: 5 * time.Second,
	} {
		if got := (&CallFlags{Timeout: run}).attemptTimeout(); got != want {
			t.Errorf("of a run of %s, an attempt may take %s, want %s", run, got, want)
		}
	}
}

// TestShardsDivideAList: each element is in exactly one part, and the parts are about as long.
func TestShardsDivideAList(t *testing.T) {
	t.Parallel()
	for length := range 12 {
		var list []string
		for i := range length {
			list = append(list, fmt.Sprint(i))
		}
		for of := 1; of < 15; of++ {
			var all []string
			for index := 1; index <= of; index++ {
				var s Shard
				if err := s.UnmarshalText(fmt.Appendf(nil, "%d/%d", index, of)); err != nil {
					t.Fatal(err)
				}
				part := s.part(list)
				if len(part) > length/of+1 || len(part) < length/of {
					t.Errorf("shard %d/%d of %d has %d", index, of, length, len(part))
				}
				all = append(all, part...)
			}
			slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
			if !slices.Equal(all, list) {
				t.Errorf("%d shards of %v are %v", of, list, all)
			}
		}
	}
}
