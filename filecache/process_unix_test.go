// SPDX-License-Identifier: MIT

//go:build unix

package filecache_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apponly/apponly/filecache"
)

// parts are what this binary does when a test runs it as another process.
var parts = map[string]func(dir string) error{
	"add": addAgainAndAgain, "write": writeForEver, "key": printKey, "full": writeOnFullDisk,
}

const partEnv, dirEnv = "FILECACHE_TEST_PART", "FILECACHE_TEST_DIR"

func TestMain(m *testing.M) {
	part, ok := parts[os.Getenv(partEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := part(os.Getenv(dirEnv)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// process returns this program in a part, not started yet.
func process(t *testing.T, part, dir string) (cmd *exec.Cmd, out *bytes.Buffer) {
	cmd, out = exec.CommandContext(t.Context(), os.Args[0]), new(bytes.Buffer)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", partEnv+"="+part, dirEnv+"="+dir)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	return cmd, out
}

// processes runs n of them at once and returns what they printed.
func processes(t *testing.T, n int, part, dir string) (printed []string) {
	t.Helper()
	var cmds []*exec.Cmd
	var outs []*bytes.Buffer
	for range n {
		cmd, out := process(t, part, dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds, outs = append(cmds, cmd), append(outs, out)
	}
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("a process: %v", err)
		}
		printed = append(printed, outs[i].String())
	}
	return printed
}

// A win is when a process has added: between the two.
type win struct{ From, To time.Time }

// after reports whether a win can be after the end of another; entries know milliseconds.
func (w win) after(other win) bool { return !w.To.Before(other.From.Add(addTTL - time.Millisecond)) }

const (
	addTTL = 20 * time.Millisecond
	addFor = 2 * time.Second
)

func addAgainAndAgain(dir string) error {
	s, err := filecache.Open(dir)
	if err != nil {
		return err
	}
	var wins []win
	for end := time.Now().Add(addFor); time.Now().Before(end); {
		from := time.Now()
		added, err := s.Add(context.Background(), name("k"), []byte("v"), addTTL)
		if err != nil {
			return err
		}
		if added {
			wins = append(wins, win{from, time.Now()})
		}
	}
	return json.NewEncoder(os.Stdout).Encode(wins)
}

// Of many processes one adds, and until that has ended nobody else does.
func TestOneOfManyAdds(t *testing.T) {
	_, dir := open(t)
	const many = 12
	var wins []win
	winners := 0
	for _, out := range processes(t, many, "add", dir) {
		var some []win
		if err := json.Unmarshal([]byte(out), &some); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		wins = append(wins, some...)
		winners += min(1, len(some))
	}
	for i, a := range wins {
		for _, b := range wins[:i] {
			if !a.after(b) && !b.after(a) {
				t.Errorf("one has added at %v to %v, another at %v to %v", a.From.Format("05.000000"), a.To.Format("05.000000"), b.From.Format("05.000000"), b.To.Format("05.000000"))
			}
		}
	}
	t.Logf("%d wins of %d processes", len(wins), winners)
	if len(wins) < 20 || winners < 2 {
		t.Errorf("%d wins of %d processes, want more", len(wins), winners)
	}
}

// writeForEver writes values that anybody can see to be whole: of one letter each.
func writeForEver(dir string) error {
	s, err := filecache.Open(dir)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		letter := string(rune('a' + rand.IntN(4)))
		value := bytes.Repeat([]byte{byte('A' + i%26)}, 60<<10)
		if i%2 == 0 {
			_, err = s.Add(context.Background(), name(letter), value, 5*time.Millisecond)
		} else {
			err = s.Set(context.Background(), name(letter), value, time.Hour)
		}
		if err != nil {
			return err
		}
	}
}

func TestKilledWhileWriting(t *testing.T) {
	s, dir := open(t)
	seen := 0
	for range 20 {
		var cmds []*exec.Cmd
		for range 2 {
			cmd, _ := process(t, "write", dir)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			cmds = append(cmds, cmd)
		}
		<-time.After(time.Duration(20+rand.IntN(60)) * time.Millisecond)
		for _, cmd := range cmds {
			_ = cmd.Process.Kill()
			if cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
				t.Fatalf("a process has ended by itself: %v", cmd.ProcessState)
			}
		}
		for _, letter := range []string{"a", "b", "c", "d"} {
			value, _, err := s.Get(t.Context(), name(letter))
			if err != nil {
				t.Fatal(err)
			}
			if value != nil {
				seen++
			}
			if len(value) > 0 && !bytes.Equal(value, bytes.Repeat(value[:1], 60<<10)) {
				t.Fatalf("half a value of %d bytes", len(value))
			}
			set(t, s, name(letter), "v", time.Millisecond)
		}
	}
	if seen == 0 {
		t.Error("nothing was ever written")
	}
}

func printKey(dir string) error {
	if _, err := filecache.Key(dir); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(dir, "key"))
	fmt.Printf("%s", b)
	return err
}

func TestAllGetTheSameKey(t *testing.T) {
	for range 3 {
		dir := filepath.Join(t.TempDir(), "cache")
		keys := processes(t, 12, "key", dir)
		if slices.Sort(keys); keys[0] != keys[len(keys)-1] || len(keys[0]) != 45 {
			t.Errorf("there are several keys, or none: %d and %d bytes", len(keys[0]), len(keys[len(keys)-1]))
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
			t.Errorf("there are %v, %v, want the key", files, err)
		}
	}
}

// writeOnFullDisk writes where no file may have more than 100 bytes.
func writeOnFullDisk(dir string) error {
	s, err := filecache.Open(dir)
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100, Max: 100}); err != nil {
		return err
	}
	value := bytes.Repeat([]byte("v"), 1000)
	added, addErr := s.Add(context.Background(), name("a"), value, time.Hour)
	if setErr := s.Set(context.Background(), name("k"), value, time.Hour); added || addErr == nil || setErr == nil {
		return fmt.Errorf("Add = %v, %v, Set = %v, want errors", added, addErr, setErr)
	}
	fmt.Print(addErr)
	return nil
}

func TestFullDisk(t *testing.T) {
	s, dir := open(t)
	set(t, s, name("k"), "before", time.Hour)
	said := processes(t, 1, "full", dir)[0]
	if !strings.Contains(said, "filecache: "+dir+": ") || !strings.Contains(said, "file too large") {
		t.Errorf("the error is %q", said)
	}
	wantGet(t, s, name("k"), "before", time.Hour)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("there are %v, %v, want one file", files, err)
	}
}
