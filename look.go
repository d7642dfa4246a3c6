// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/apponly/apponly/internal/flight"
	"golang.org/x/sync/semaphore"
)

// lookTimeout is how long a look at files may take where something else serves if
// it does not return.
const lookTimeout = 2 * time.Second

// looks are the looks at some files, or at another source of what proves the app. A file system can hang for good, as NFS does
// when its server is gone: whoever waits for a look stops waiting when its time is
// up, and looks that hang cost one goroutine however many wait.
type looks struct {
	// turn is not a channel, which would belong to the synctest bubble that it was
	// made in.
	turn  *semaphore.Weighted
	hung  flight.Guard
	begun atomic.Uint64 // how many there have been
	last  any           // what the latest brought, a func() (T, error); turn guards it
}

func newLooks() *looks { return &looks{turn: semaphore.NewWeighted(1)} }

// look has do look at what, alone and for as long as ctx lasts. All who came before it
// began share what it brings: where a look takes a moment, thousands of tenants would
// not have their turns in time.
func look[T any](ctx context.Context, l *looks, what string, do func(context.Context) (T, error)) (v T, err error) {
	came := l.begun.Load()
	if err := l.turn.Acquire(ctx, 1); err != nil {
		return v, fmt.Errorf("%s did not get its turn in time: %w", what, err)
	}
	defer l.turn.Release(1)
	if last, same := l.last.(func() (T, error)); same && l.begun.Load() > came {
		return last()
	}
	l.begun.Add(1)
	v, err = flight.Run(ctx, &l.hung, what, do)
	l.last = nil
	if _, hung := errors.AsType[*flight.Error](err); !hung && ctx.Err() == nil { // else others have more time perhaps
		l.last = func() (T, error) { return v, err }
	}
	return v, err
}

// watchedFiles are files whose state is looked at before they are read. The zero
// value is none.
type watchedFiles struct {
	paths []string
	*looks
}

func watch(paths ...string) watchedFiles { return watchedFiles{paths, newLooks()} }

// stamp changes when one of the files does. While a look hangs it is always the
// same, and another once it does not hang any more.
func (w watchedFiles) stamp() string {
	if len(w.paths) == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	s, err := look(ctx, w.looks, "the file system", func(context.Context) (string, error) { return fileStamp(w.paths...), nil })
	if err != nil {
		return "hangs"
	}
	return s
}
