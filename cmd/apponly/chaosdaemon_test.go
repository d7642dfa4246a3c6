// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/apponly/apponly"
)

// asDaemon makes the test binary a daemon that asks for a token all the time.
const asDaemon = "APPONLY_TEST_AS_DAEMON"

// A call is one Token of a daemon, as it reports it.
type call struct {
	Began, Ended time.Time
	Err          string
	// Valid says that the token before was still good when the call failed.
	Valid bool
}

// daemon asks for tokens as the environment says, several callers at once, and
// prints a line of JSON for each call.
func daemon() {
	client, err := apponly.FromEnv(nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var mu sync.Mutex // guards out and good
	out := json.NewEncoder(os.Stdout)
	var good time.Time // until when the last token is handed out
	for range 4 {
		go func() {
			for {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				c := call{Began: time.Now()}
				token, err := client.Token(ctx, os.Getenv("SCOPE"))
				cancel()
				c.Ended = time.Now()
				mu.Lock()
				if err == nil {
					lifetime := tokenLifetime - tokenLifetime/10 - 100*time.Millisecond // the cache's margin, and a call's own time
					good = later(good, token.ExpiresOn().Add(lifetime-tokenLifetime))
				} else {
					c.Err, c.Valid = err.Error(), c.Ended.Before(good)
				}
				if out.Encode(c) != nil {
					os.Exit(0) // the test has ended
				}
				mu.Unlock()
				time.Sleep(25 * time.Millisecond)
			}
		}()
	}
	select {}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

const tokenLifetime = 5 * time.Second
