// SPDX-License-Identifier: MIT

// Fleet shows that pods which share their tokens make one token request for all of
// them, each time that one is due, and that none of their calls fails when the place
// where they share them dies. Run it anywhere:
//
//	go run ./examples/fleet
//
// It starts an emulated Entra, a redis-server, and 50 processes in the place of pods,
// kills the server while they call, and starts it again. Where there is no
// redis-server it shows the same with files.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/examples/internal/kit"
	"github.com/apponly/apponly/filecache"
	"github.com/apponly/apponly/rediscache"
	"github.com/redis/go-redis/v9/logging"
)

func main() {
	if scope := os.Getenv(envScope); scope != "" {
		exit("pod", bePod(scope, os.Stdin, os.Stdout))
	}
	pods := flag.Int("pods", 50, "how many `processes`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *pods, usual)
	stop()
	exit("fleet", err)
}

func exit(name string, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", kit.Explain(err))
		os.Exit(1)
	}
	os.Exit(0)
}

// What makes a process of this program a pod: the scope it calls for. envDir is where
// it shares tokens in files.
const envScope, envDir = "FLEET_SCOPE", "FLEET_DIR"

// newClient is all that a pod needs: its identity and the place where the fleet shares
// tokens, both from the environment.
func newClient() (*apponly.Client, error) {
	store, keys, err := sharedStore()
	if err != nil {
		return nil, err
	}
	cache := apponly.NewCache(&apponly.CacheOptions{Shared: store, SharedKeys: keys})
	return apponly.FromEnv(&apponly.Options{Cache: cache})
}

func sharedStore() (apponly.SharedStore, apponly.SharedKeys, error) {
	dir := os.Getenv(envDir)
	if dir == "" {
		return rediscache.FromEnv()
	}
	store, err := filecache.Open(dir)
	if err != nil {
		return nil, apponly.SharedKeys{}, err
	}
	keys, err := filecache.Key(dir)
	return store, keys, err
}

// A tally is what a pod has done so far.
type tally struct {
	Calls, Failed int
	Taken         uint64 // tokens that another pod has asked for
	Fault         string `json:",omitempty"` // the first one
}

// bePod calls for tokens until stdin ends, and says every so often how it went.
func bePod(scope string, stdin io.Reader, stdout io.Writer) error {
	logging.Disable() // by itself go-redis logs each connection that cannot be made
	client, err := newClient()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		stop()
	}()
	out, said := json.NewEncoder(stdout), time.Time{}
	var t tally
	for ctx.Err() == nil {
		t.Calls++
		if _, err := client.Token(context.WithoutCancel(ctx), scope); err != nil {
			if t.Failed++; t.Failed == 1 {
				t.Fault = err.Error()
			}
		}
		t.Taken = client.Cache().Stats().SharedHits
		if time.Since(said) > 200*time.Millisecond {
			said = time.Now()
			if err := out.Encode(t); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(10+rand.IntN(40)) * time.Millisecond):
		}
	}
	return out.Encode(t)
}
