// SPDX-License-Identifier: MIT

package flight_test

import (
	"context"
	"errors"
	"net/http/httptrace"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/internal/flight"
)

// A foreign context panics in some of its methods.
type foreign struct {
	context.Context
	panics string
}

func (c foreign) check(method string) {
	if c.panics == method || c.panics == "all" {
		panic(method)
	}
}

func (c foreign) Value(key any) any           { c.check("Value"); return c.Context.Value(key) }
func (c foreign) Err() error                  { c.check("Err"); return c.Context.Err() }
func (c foreign) Done() <-chan struct{}       { c.check("Done"); return c.Context.Done() }
func (c foreign) Deadline() (time.Time, bool) { c.check("Deadline"); return c.Context.Deadline() }

// What package context does with a context in goroutines of its own must not end
// the process.
func TestSafe(t *testing.T) {
	type key struct{}
	for panics, ended := range map[string]bool{"": false, "Value": false, "Err": true, "Done": true, "Deadline": false, "all": true} {
		t.Run(panics, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent, leave := context.WithTimeout(context.WithValue(t.Context(), key{}, "span"), time.Hour)
				defer leave()
				safe := flight.Safe(foreign{parent, panics})
				child, cancel := context.WithTimeout(safe, time.Minute)
				defer cancel()
				synctest.Wait()
				if (safe.Err() != nil) != ended {
					t.Errorf("Err = %v, want ended %t", safe.Err(), ended)
				}
				if want := any("span"); panics != "Value" && panics != "all" && safe.Value(key{}) != want {
					t.Errorf("Value = %v", safe.Value(key{}))
				}
				leave()
				synctest.Wait()
				if child.Err() == nil || safe.Err() == nil {
					t.Errorf("after the end: %v, %v", child.Err(), safe.Err())
				}
				if panics == "" && !errors.Is(safe.Err(), context.Canceled) {
					t.Errorf("Err = %v", safe.Err())
				}

				detached, cancel := flight.Detach(foreign{parent, panics}, time.Minute, flight.TimeoutError("x"))
				defer cancel()
				if detached.Err() != nil || httptrace.ContextClientTrace(detached).GotConn != nil {
					t.Error("detached, and ended")
				}
				detached.Value(key{})
				grandchild, cancel := context.WithCancel(context.WithoutCancel(detached))
				defer cancel()
				grandchild.Value(key{})
			})
		})
	}
	var none context.Context // callers do
	if flight.Safe(none).Err() == nil {
		t.Error("nil has not ended")
	}
}

type exits struct{ context.Context }

func (exits) Value(any) any { runtime.Goexit(); return nil }

// Nor does detaching look anything up: a Value that does not return would hang the
// flight outside its guard.
func TestDetachLooksNothingUp(t *testing.T) {
	ctx, cancel := flight.Detach(exits{t.Context()}, time.Minute, context.DeadlineExceeded)
	defer cancel()
	_, err := flight.Run(ctx, nil, "the function", func(ctx context.Context) (any, error) { return ctx.Value(0), nil })
	if err == nil || err.Error() != "the function ended its goroutine instead of returning" {
		t.Errorf("Run = %v", err)
	}
}
