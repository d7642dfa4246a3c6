// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
)

// TestFederatedTokenStaysFresh looks at the file every minute of a day, half an
// hour of which the directory is gone.
func TestFederatedTokenStaysFresh(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		sts := entratest.NewServer()
		d := newDemo(sts, "https://sts.test", dir)
		if err := d.write(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var failures []error
		go d.keepFresh(ctx, func(err error) { failures = append(failures, err) })

		written, last := 0, ""
		for minute := range 24 * 60 {
			time.Sleep(time.Minute)
			synctest.Wait()
			switch minute {
			case 600:
				if err := os.Rename(dir, dir+"-away"); err != nil {
					t.Fatal(err)
				}
			case 630:
				if err := os.Rename(dir+"-away", dir); err != nil {
					t.Fatal(err)
				}
			}
			if minute >= 600 && minute <= 630 {
				continue
			}
			token, left := readAssertion(t, filepath.Join(dir, federatedFile))
			if token != last {
				written, last = written+1, token
			}
			if least := renewFederated - time.Minute; left < least {
				t.Fatalf("minute %d: %v left, want %v", minute, left, least)
			}
		}
		cancel()
		synctest.Wait()
		if len(failures) == 0 || written < 40 || written > 60 {
			t.Errorf("written %d times, failed %d times; want about 48, and failures while the directory was away", written, len(failures))
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 5 {
			t.Errorf("the directory holds %v, %v, want the five files and nothing left over", entries, err)
		}
	})
}

func readAssertion(t *testing.T, path string) (token string, left time.Duration) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(data), ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %d parts", len(parts))
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Exp int64 }
	if err := json.Unmarshal(body, &claims); err != nil {
		t.Fatal(err)
	}
	return string(data), time.Until(time.Unix(claims.Exp, 0))
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)`y`\\": "'$(x)`y`\\'"} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestWriteFileLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "env", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(dir, "env", []byte("data")); err == nil {
		t.Error("a directory was replaced by a file")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v, want what was there", entries, err)
	}
}
