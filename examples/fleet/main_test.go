// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/examples/internal/kittest"
)

func TestMain(m *testing.M) {
	if os.Getenv(envScope) != "" {
		main()
	}
	os.Exit(m.Run())
}

var brief = scenario{kill: 3 * time.Second, restart: 6 * time.Second, end: 8 * time.Second}

// The program as it is, with the server and with files.
func TestNoCallFails(t *testing.T) {
	for name, path := range map[string]string{"as it is": os.Getenv("PATH"), "with files": ""} {
		t.Run(name, func(t *testing.T) {
			tmp := kittest.Isolate(t)
			t.Setenv("PATH", path)
			t.Setenv("TMPDIR", shortDir(t)) // for the path of a socket
			var out kittest.Output
			if err := run(t.Context(), &out, 20, brief); err != nil {
				t.Fatalf("run: %v\n%s", err, &out)
			}
			kittest.WantLines(t, out.String(), "* 20 processes share tokens in ", "0 failed; 1 token requests",
				"is killed", "0 failed", "is back", "0 failed", " calls, 0 failed; ")
			kittest.WantNoSecrets(t, out.String())
			t.Log(out.String())
			before, _, _ := strings.Cut(out.String(), "is killed")
			counts := regexp.MustCompile(`(\d+) token requests`).FindAllStringSubmatch(before, -1)
			if n, err := strconv.Atoi(counts[len(counts)-1][1]); err != nil || n > 3 {
				t.Errorf("%d token requests before the place was killed, %v", n, err)
			}
			kittest.WantEmpty(t, tmp)
		})
	}
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "f")
	if err != nil {
		t.Skip("no place for a socket: ", err)
	}
	t.Cleanup(func() {
		kittest.WantEmpty(t, dir)
		os.RemoveAll(dir)
	})
	return dir
}

// Ctrl-C: nothing is left behind, and it is no error.
func TestStops(t *testing.T) {
	kittest.Isolate(t)
	t.Setenv("TMPDIR", shortDir(t))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var out kittest.Output
	if err := run(ctx, &out, 3, usual); err != nil {
		t.Fatalf("run: %v\n%s", err, &out)
	}
	kittest.WantLines(t, out.String(), "0 failed; 1 token requests", " calls, 0 failed; ")
}
