package bootstrap_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/sfp"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/wanted"
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

// BenchmarkLoad reads projects of few and of many files, and BenchmarkResolve says what is
// wanted of one more org.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{0, 40_000} {
		b.Run(fmt.Sprintf("files=%d", n), func(b *testing.B) {
			location := ofFiles(b, n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := wanted.Load(location); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkResolve(b *testing.B) {
	for _, n := range []int{0, 40_000} {
		b.Run(fmt.Sprintf("files=%d", n), func(b *testing.B) {
			source, err := wanted.Load(ofFiles(b, n))
			if err != nil {
				b.Fatal(err)
			}
			target := wanted.Target{Username: "admin@example.com", Alias: "uat", Kind: platform.Sandbox, DomainURL: "https://example.my.salesforce.com", Version: apiversion.Latest}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := source.Resolve(target); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// ofFiles writes a project that has so many files besides those of an app.
func ofFiles(b *testing.B, n int) wanted.Location {
	dir := b.TempDir()
	if err := os.CopyFS(dir, simple().with(policies("uat", "MyApp", "")).fs()); err != nil {
		b.Fatal(err)
	}
	for i := range n {
		name := filepath.Join(dir, "src", [2]string{"def", "pol"}[i%2], "main/default/classes", fmt.Sprintf("part%03d/Class%05d.cls", i/100, i))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, nil, 0o600)); err != nil {
			b.Fatal(err)
		}
	}
	project, err := sfp.OpenDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	return wanted.Location{Project: project, Dir: dir}
}
