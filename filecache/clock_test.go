// SPDX-License-Identifier: MIT

package filecache_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t)
		key := name("k")
		wantAdd(t, s, key, "first", 10*time.Second, true)
		time.Sleep(9 * time.Second)
		wantGet(t, s, key, "first", time.Second)
		wantAdd(t, s, key, "second", 10*time.Second, false)
		time.Sleep(time.Second)
		wantGet(t, s, key, "", 0)
		wantAdd(t, s, key, "second", 10*time.Second, true)
		set(t, s, key, "let go", 0)
		wantAdd(t, s, key, "third", 10*time.Second, false) // a millisecond
		time.Sleep(time.Millisecond)
		wantAdd(t, s, key, "third", 10*time.Second, true)
		wantGet(t, s, key, "third", 10*time.Second)
	})
}

// A bubble's time is that of the year 2000: the clock is set, and set back.
func TestClockIsSet(t *testing.T) {
	s, dir := open(t)
	synctest.Test(t, func(t *testing.T) {
		set(t, s, name("p"), "past", 24*time.Hour)
	})
	wantGet(t, s, name("p"), "", 0)
	set(t, s, name("f"), "future", 24*time.Hour)
	wantAdd(t, s, name("l"), "lease", 24*time.Hour, true)
	synctest.Test(t, func(t *testing.T) {
		wantGet(t, s, name("f"), "", 0)
		wantAdd(t, s, name("l"), "mine", time.Hour, true)
		wantGet(t, s, name("l"), "mine", time.Hour)
		for range 20 {
			set(t, s, name("x"), "x", time.Hour)
		}
		if _, err := os.Stat(filepath.Join(dir, name("f"))); err == nil {
			t.Error("what is from the future is kept until it comes")
		}
	})
}

func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := open(t)
		stranger := filepath.Join(dir, "README")
		for _, path := range []string{stranger, filepath.Join(dir, "key"), filepath.Join(dir, name("a")+".bak")} {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		const many = 100
		for i := range many {
			set(t, s, fmt.Sprintf("%032d", i), "v", time.Minute)
			set(t, s, fmt.Sprintf("%031d-", i), "v", 24*time.Hour)
		}
		time.Sleep(12 * time.Minute)
		for range many {
			set(t, s, name("x"), "x", time.Hour)
			time.Sleep(time.Second)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		ended := 0
		for _, f := range files {
			if len(f.Name()) == 32 && !strings.HasSuffix(f.Name(), "-") && f.Name() != name("x") {
				ended++
			}
		}
		if ended > 0 {
			t.Errorf("%d of %d files that have ended are left", ended, many)
		}
		if want := many + 4; len(files)-ended != want {
			t.Errorf("%d other files are left, want %d", len(files)-ended, want)
		}
		for i := range many {
			wantGet(t, s, fmt.Sprintf("%031d-", i), "v", 24*time.Hour-13*time.Minute)
		}
	})
}

// Entries that were succeeded, and what killed processes leave.
func TestSweepRests(t *testing.T) {
	s, dir := open(t)
	rests := []string{"tmp.ABCDEFGHIJKLMNOPQRSTUVWXYZ", name("g"), name("g") + ".0000000000000000"}
	young := "tmp.YOUNGYOUNGYOUNGYOUNGYOUNGY"
	for _, rest := range append(rests, young) {
		path := filepath.Join(dir, rest)
		if err := os.WriteFile(path, []byte("half a tok"), 0o600); err != nil {
			t.Fatal(err)
		}
		if old := time.Now().Add(-11 * time.Minute); rest != young {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	set(t, s, name("x"), "x", time.Hour)
	for _, rest := range rests {
		if _, err := os.Lstat(filepath.Join(dir, rest)); err == nil {
			t.Errorf("%s is left", rest)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, young)); err != nil {
		t.Errorf("what may still be written was removed: %v", err)
	}
}
