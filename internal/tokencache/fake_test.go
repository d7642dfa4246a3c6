// SPDX-License-Identifier: MIT

package tokencache_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/tokencache"
)

// A fake is a source whose answers are a function.
type fake struct {
	fetch   func(ctx context.Context, req tokencache.Request) (tokencache.Grant, error)
	observe func(tokencache.Flight)
	stamp   atomic.Pointer[string]
}

func (f *fake) Fetch(ctx context.Context, req tokencache.Request) (tokencache.Grant, any, error) {
	g, err := f.fetch(ctx, req)
	return g, nil, err
}

func (f *fake) Stamp() string {
	if s := f.stamp.Load(); s != nil {
		return *s
	}
	return ""
}

func (f *fake) Failure(err error, _ tokencache.Request) tokencache.Failure {
	if failed, ok := err.(failure); ok {
		return failed
	}
	return failure{text: err.Error(), passing: true}
}

func (f *fake) Observe(_ context.Context, flight tokencache.Flight) {
	if f.observe != nil {
		f.observe(flight)
	}
}

// identity returns an identity of its own in c.
func (f *fake) identity(c *tokencache.Cache) *tokencache.Identity {
	return &tokencache.Identity{Cache: c, Key: new(int), Source: f, Timeout: 30 * time.Second, NewState: func() any { return new(int) }}
}

// A failure is an error of a fake.
type failure struct {
	text       string
	passing    bool
	after      time.Duration // the server's wish
	remembered bool
	overtaken  bool // another flight had brought a token in the meantime
}

func (f failure) Error() string { return f.text }

func (f failure) Pace() (passing bool, retryAt time.Time) {
	if f.after > 0 {
		retryAt = time.Now().Add(f.after)
	}
	return f.passing, retryAt
}

func (f failure) At(time.Time) (answer, remembered error) {
	later := f
	later.remembered = true
	return f, later
}

// granted returns a token of a lifetime from now on.
func granted(text string, lifetime time.Duration) tokencache.Grant {
	return tokencache.Grant{Bearer: func() string { return "Bearer " + text }, Received: clock.Now(), Lifetime: lifetime}
}

func tenant(i int) string { return fmt.Sprintf("t%d", i) }
