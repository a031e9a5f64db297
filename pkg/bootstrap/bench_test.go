package bootstrap_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ecakit/ecakit/pkg/simorg"
)

// BenchmarkFirstRun bootstraps packages of some apps on new orgs that answer at
// once.
func BenchmarkFirstRun(b *testing.B) {
	for _, n := range []int{1, 20, 200} {
		b.Run(fmt.Sprintf("apps=%d", n), func(b *testing.B) {
			p := settings("")
			for i := range n {
				p = p.with(header(fmt.Sprintf("App%03d", i)))
			}
			b.ReportAllocs()
			requests := 0
			for b.Loop() {
				b.StopTimer()
				o := &org{Server: simorg.Start(simorg.Config{}), t: b, alias: "uat"}
				options, err := o.options(p, "def")
				if err != nil || o.Deploy(p.fs(), "src/def") != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if _, err := options.run(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				requests = len(o.Requests())
				o.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(requests), "requests/op")
		})
	}
}

// BenchmarkNothingToChange runs on an org that is as wanted, and reports the wall
// time over what the round trips take that cannot be parallel.
func BenchmarkNothingToChange(b *testing.B) {
	const latency = 20 * time.Millisecond
	o := &org{Server: simorg.Start(simorg.Config{Latency: latency}), t: b, alias: "uat"}
	defer o.Close()
	p := simple()
	o.mustRun(p)
	options, err := o.options(p, "def")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := options.run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(2*latency), "wall/ideal")
}
