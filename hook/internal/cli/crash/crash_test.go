// Package crash_test kills the commands of eca at each step, and runs them again.
package crash_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/hook/internal/cli"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// The eca that tests start writes a line for each change of the file system to the file that changesFile
// names, and ends before the change with the number that endAtChange gives.
const (
	changesFile = "ECA_TEST_CHANGES"
	endAtChange = "ECA_TEST_END_AT_CHANGE"
)

func TestMain(m *testing.M) {
	// Runs wait for orgs and before they retry, more than they compute.
	flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0)))
	cli.KeyBits = 2048 // which takes less time
	testscript.Main(m, map[string]func(){"eca": func() {
		if name := os.Getenv(changesFile); name != "" {
			endAt(name, os.Getenv(endAtChange))
		}
		os.Exit(cli.Main(os.Args[1:]))
	}})
}

// endAt makes this process record its changes of the file system, and kill itself before one of them.
func endAt(record, number string) {
	last, err := strconv.Atoi(number)
	if err != nil {
		last = -1
	}
	file, err := os.OpenFile(record, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	seen := 0
	simorgtest.OnFileChange(func(operation, name string) {
		mu.Lock()
		defer mu.Unlock()
		if seen == last {
			self, _ := os.FindProcess(os.Getpid())
			self.Kill()
			select {}
		}
		seen++
		fmt.Fprintln(file, operation, name)
	})
}

// scene is what one run of a command works on: a directory with a project, a home directory, and orgs.
type scene struct {
	t         *testing.T
	eca       string
	dir, home string
	orgs      []*simorg.Server
	configs   []simorg.Config
	aliases   []string
	calm      atomic.Bool // no more faults
	before    snapshot
	out       *os.File // what the first run prints into
}

// snapshot is what a scene is before a run.
type snapshot struct {
	files []file
	orgs  [][]byte // as Org.Save writes them
}

type file struct {
	name string
	mode fs.FileMode
	data []byte
}

// crash is a command that is ended at each of its steps.
type crash struct {
	name string
	args []string
	// set prepares a scene.
	set func(s *scene)
	// result describes what the command is to achieve, without what differs from run to run.
	result func(s *scene) string
	// elsewhere reports that the next run is on another machine: with another home directory, and
	// without what the first run has written to its working directory.
	elsewhere bool
	// left, if not nil, matches the sentence of the next run about what is left. rest is the command that
	// the sentence names, with the file into which the first run printed.
	left *regexp.Regexp
	rest []string
}

// add starts an org with a login.
func (s *scene) add(alias string, config simorg.Config, flags ...string) *simorg.Server {
	s.t.Helper()
	org := simorg.Start(config)
	s.orgs, s.configs, s.aliases = append(s.orgs, org), append(s.configs, config), append(s.aliases, alias)
	s.must(simorgtest.LogIn(s.home, org, alias, flags...))
	return org
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// files writes files into the scene's directory.
func (s *scene) files(files map[string]string) {
	s.t.Helper()
	for name, content := range files {
		name = filepath.Join(s.dir, filepath.FromSlash(name))
		s.must(os.MkdirAll(filepath.Dir(name), 0o755))
		s.must(os.WriteFile(name, []byte(content), 0o644))
	}
}

// sample copies the sample project into the scene's directory.
func (s *scene) sample() { s.t.Helper(); s.must(os.CopyFS(s.dir, ecakit.Sample)) }

func (c *crash) start(t *testing.T) *scene {
	t.Helper()
	binary, err := exec.LookPath("eca") // this test's own binary, by testscript's arrangement
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, eca: binary, dir: filepath.Join(root, "project"), home: filepath.Join(root, "home")}
	for _, dir := range []string{s.dir, s.home, s.coverage()} {
		s.must(os.Mkdir(dir, 0o700))
	}
	c.set(s)
	s.before.files = s.read()
	for _, org := range s.orgs {
		var state bytes.Buffer
		s.must(org.Save(&state))
		s.before.orgs = append(s.before.orgs, state.Bytes())
	}
	return s
}

// root is the directory of all that the scene has.
func (s *scene) root() string { return filepath.Dir(s.dir) }

// read returns the files and directories of the scene.
func (s *scene) read() (files []file) {
	s.t.Helper()
	s.must(filepath.WalkDir(s.root(), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == s.root() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		f := file{name: name, mode: info.Mode()}
		if !entry.IsDir() {
			f.data, err = os.ReadFile(name)
		}
		files = append(files, f)
		return err
	}))
	return files
}

// write writes the files of the snapshot that are below a directory.
func (s *scene) write(dir string) {
	s.t.Helper()
	s.must(os.RemoveAll(dir))
	s.must(os.Mkdir(dir, 0o700))
	for _, f := range s.before.files {
		switch rel, err := filepath.Rel(dir, f.name); {
		case err != nil || rel == "." || !filepath.IsLocal(rel):
		case f.mode.IsDir():
			s.must(os.Mkdir(f.name, f.mode.Perm()))
		default:
			s.must(os.WriteFile(f.name, f.data, f.mode.Perm()))
		}
	}
}

// again makes the scene what it was before a run, with new orgs at the addresses of the old ones. It
// fails if something else has got such an address meanwhile.
func (s *scene) again() error {
	s.t.Helper()
	s.write(s.root())
	s.calm.Store(false)
	for i, old := range s.orgs {
		org := simorg.New(s.configs[i])
		s.must(org.Load(bytes.NewReader(s.before.orgs[i])))
		old.Close()
		server, err := simorg.Serve(strings.TrimPrefix(old.URL, "http://"), org)
		if err != nil {
			return err
		}
		s.orgs[i] = server
	}
	return nil
}

// coverage is a directory for a binary built with -cover, which would complain on standard error.
func (s *scene) coverage() string { return filepath.Join(s.root(), "coverage") }

func (s *scene) close() {
	for _, org := range s.orgs {
		org.Close()
	}
	os.RemoveAll(s.root())
}

// hung is a time after which a run is ended that never ends by itself.
const hung = 3 * time.Minute

func (s *scene) command(args []string, env ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(s.t.Context(), hung)
	s.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, s.eca, args...)
	cmd.WaitDelay = time.Minute
	cmd.Dir = s.dir
	cmd.Env = append([]string{
		"HOME=" + s.home, "PATH=" + os.Getenv("PATH"), "SF_USE_GENERIC_UNIX_KEYCHAIN=true", "GOCOVERDIR=" + s.coverage(), "GORACE=atexit_sleep_ms=0",
	}, env...)
	return cmd
}

// printed is the file with the output of the first run, on no machine.
func (s *scene) printed() string { return filepath.Join(s.root(), "printed") }

// first runs the command for the first time.
func (s *scene) first(c *crash, env ...string) *exec.Cmd {
	s.t.Helper()
	cmd := s.command(c.args, env...)
	out, err := os.Create(s.printed())
	s.must(err)
	cmd.Stdout, s.out = out, out
	return cmd
}

// record is the file in which a run notes its changes of the file system.
func (s *scene) record() string { return filepath.Join(s.root(), "changes") }

func (s *scene) requests() (n int) {
	for _, org := range s.orgs {
		n += len(org.Requests())
	}
	return n
}

// at injects a fault into the request with a number, counted over all orgs, from 0 on. The channel gets
// a value when it is reached.
func (s *scene) at(n int, fault simorg.Fault) (reached chan bool) {
	var seen atomic.Int64
	reached = make(chan bool, 1)
	fault.Fits = func(simorg.Request) bool {
		if s.calm.Load() || seen.Add(1) != int64(n)+1 {
			return false
		}
		reached <- true
		return true
	}
	for _, org := range s.orgs {
		org.Inject(fault)
	}
	return reached
}

// figures are the results of a crash.
type figures struct{ points, converged, said atomic.Int64 }

func (f *figures) String() string {
	return fmt.Sprintf("%d points, %d converged, %d said what is left", f.points.Load(), f.converged.Load(), f.said.Load())
}

// next runs the command again, and judges what it achieves and says.
func (f *figures) next(c *crash, s *scene, point, want string) {
	s.t.Helper()
	s.calm.Store(true)
	s.out.Close() // the first run has ended
	if c.elsewhere {
		s.moves()
	}
	out, err := s.command(c.args).CombinedOutput()
	f.points.Add(1)
	switch got := c.result(s); {
	case err == nil && got == want:
		f.converged.Add(1)
	case c.left != nil && c.left.Match(out):
		f.said.Add(1)
		if _, err := os.Stat(s.printed()); err != nil || c.rest == nil {
			return
		}
		if out, err := s.command(c.rest).CombinedOutput(); err != nil || c.result(s) != want {
			s.t.Errorf("%s: %v\n%s\nthe result of %q is not that of an undisturbed run:\n%s", point, err, out, c.rest, difference(c.result(s), want))
		}
	default:
		s.t.Errorf("%s: the next run: %v\n%s\nthe result is not that of an undisturbed run:\n%s", point, err, out, difference(got, want))
	}
}

// difference returns the lines that one of two texts has and the other has not.
func difference(got, want string) string {
	var b strings.Builder
	for _, side := range []struct{ sign, has, lacks string }{{"+", got, want}, {"-", want, got}} {
		for line := range strings.Lines(side.has) {
			if !strings.Contains(side.lacks, line) {
				b.WriteString(side.sign + line)
			}
		}
	}
	return b.String()
}

// moves goes on on another machine.
func (s *scene) moves() {
	s.t.Helper()
	s.must(os.RemoveAll(s.home))
	for i, org := range s.orgs {
		s.must(simorgtest.LogIn(s.home, org, s.aliases[i]))
	}
	s.write(s.dir)
}

// TestCrashes kills commands at each request, before and after the org acts, and before each change of
// the file system, loses each answer, and runs each command twice at once. The next run achieves what a
// run without that achieves, or says what is left. With -short, it tries a sample of the points.
func TestCrashes(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("some of the commands that receive credentials are sh")
	}
	every := 1
	if testing.Short() {
		every = 25
	}
	var total figures
	t.Cleanup(func() { t.Logf("all commands: %v", &total) })
	for _, c := range crashes() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			undisturbed := c.start(t)
			if out, err := undisturbed.command(c.args, changesFile+"="+undisturbed.record()).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			want, requests := c.result(undisturbed), undisturbed.requests()
			changed, _ := os.ReadFile(undisturbed.record())
			changes := bytes.Count(changed, []byte("\n"))
			undisturbed.close()
			var killed, lost, twice figures
			var points []point
			for i := range requests {
				for _, after := range []bool{false, true} {
					points = append(points, point{
						fmt.Sprintf("killed at request %d, after the org acted: %v", i+1, after), &killed,
						func(s *scene) { s.killAtRequest(c, i, after) },
					}, point{
						fmt.Sprintf("lost the answer to request %d, after the org acted: %v", i+1, after), &lost,
						func(s *scene) {
							s.at(i, simorg.Fault{Drop: true, After: after})
							s.first(c).Run() // it may fail, and the next run completes it
						},
					})
				}
			}
			for i := range changes {
				points = append(points, point{
					fmt.Sprintf("killed before change %d of the file system", i+1), &killed,
					func(s *scene) { s.first(c, changesFile+"="+s.record(), endAtChange+"="+strconv.Itoa(i)).Run() },
				})
			}
			for range 4 {
				points = append(points, point{"two at once", &twice, func(s *scene) { s.twice(c) }})
			}
			t.Cleanup(func() {
				t.Logf("%s: killed at %v; with lost answers %v; two at once %v", c.name, &killed, &lost, &twice)
				for _, f := range []*figures{&killed, &lost, &twice} {
					total.points.Add(f.points.Load())
					total.converged.Add(f.converged.Load())
					total.said.Add(f.said.Load())
				}
			})
			left := make(chan point, len(points))
			for n, p := range points {
				if n%every == 0 {
					left <- p
				}
			}
			close(left)
			for range scenes {
				t.Run("points", func(t *testing.T) {
					t.Parallel()
					c.tryAll(t, left, want)
				})
			}
		})
	}
}

// scenes is the number of scenes in which the points of a command are tried at the same time.
const scenes = 4

// point is a step at which a command is ended.
type point struct {
	name string
	of   *figures
	end  func(s *scene)
}

// tryAll tries points in one scene.
func (c *crash) tryAll(t *testing.T, points <-chan point, want string) {
	t.Helper()
	var s *scene
	for p := range points {
		if s != nil && s.again() != nil {
			s.close()
			s = nil
		}
		if s == nil {
			s = c.start(t)
		}
		p.end(s)
		p.of.next(c, s, p.name, want)
	}
	if s != nil {
		s.close()
	}
}

func (s *scene) killAtRequest(c *crash, n int, after bool) {
	s.t.Helper()
	reached := s.at(n, simorg.Fault{Delay: time.Hour, After: after, Drop: !after})
	cmd := s.first(c)
	s.must(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-reached:
		time.Sleep(2 * time.Millisecond) // for the org to act
		cmd.Process.Kill()
		<-ended
	case <-ended: // requests in parallel may be fewer than without the fault
	}
}

func (s *scene) twice(c *crash) {
	s.t.Helper()
	first, second := s.command(c.args), s.command(c.args)
	s.must(first.Start())
	s.must(second.Start())
	first.Wait() // either may fail
	second.Wait()
}

// tree describes the files below a directory, without temporary files.
func tree(dir string, without ...string) string {
	var b strings.Builder
	filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, name)
		switch {
		case err != nil:
			fmt.Fprintln(&b, err)
		case strings.HasSuffix(name, ".eca-tmp") && entry.IsDir():
			return fs.SkipDir
		case entry.IsDir() || strings.HasSuffix(name, ".eca-tmp"):
		case slices.Contains(without, filepath.Base(name)):
			fmt.Fprintln(&b, rel)
		default:
			data, err := os.ReadFile(name)
			fmt.Fprintf(&b, "%s %v\n%s\n", rel, err, data)
		}
		return nil
	})
	return b.String()
}
