// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/apponly/apponly/internal/flight"
	"golang.org/x/sync/semaphore"
)

// looks are the looks at the files of one credential. A file system can hang for
// good, as NFS does when its server is gone: whoever waits for a look stops waiting
// when its time is up, and looks that hang cost one goroutine however many wait.
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
func look[T any](ctx context.Context, l *looks, what string, do func() (T, error)) (v T, err error) {
	came := l.begun.Load()
	if err := l.turn.Acquire(ctx, 1); err != nil {
		return v, fmt.Errorf("%s did not get its turn in time: %w", what, err)
	}
	defer l.turn.Release(1)
	if last, same := l.last.(func() (T, error)); same && l.begun.Load() > came {
		return last()
	}
	l.begun.Add(1)
	v, err = flight.Run(ctx, &l.hung, what, func(context.Context) (T, error) { return do() })
	l.last = nil
	if _, hung := errors.AsType[*flight.Error](err); !hung { // others have more time perhaps
		l.last = func() (T, error) { return v, err }
	}
	return v, err
}

// A fileReader reads the files of one credential.
type fileReader struct {
	*looks
	mu   sync.Mutex // guards kept; not held while a file is read or parsed
	kept []parsedKey
}

// newFileReaders returns n of them.
func newFileReaders(n int) []*fileReader {
	readers := make([]*fileReader, n)
	for i := range readers {
		readers[i] = &fileReader{looks: newLooks()}
	}
	return readers
}

// readWith has read read the file of that path, and others perhaps.
func readWith[T any](ctx context.Context, r *fileReader, path string, read func() (T, error)) (T, error) {
	return look(ctx, r.looks, "reading "+path, read)
}

// A parsedKey is what one content came to. A key that is encrypted costs a second
// of work or more, of which a file with the password and the content as before
// brings nothing new: not for the next tenant, and not if the password is wrong.
type parsedKey struct {
	sum   [32]byte // of content and password
	pairs *pairs
	err   error
}

// maxKept is for content of before a rotation that comes back, and no more.
const maxKept = 4

// parse returns what parse made of the content with this sum, now or before.
func (r *fileReader) parse(sum [32]byte, parse func() (*pairs, error)) (*pairs, error) {
	if k, ok := r.find(sum); ok {
		return k.pairs, k.err
	}
	p, err := parse()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) == maxKept {
		r.kept = slices.Delete(r.kept, 0, 1)
	}
	r.kept = append(r.kept, parsedKey{sum, p, err})
	return p, err
}

func (r *fileReader) find(sum [32]byte) (parsedKey, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.kept, func(k parsedKey) bool { return k.sum == sum })
	if i < 0 {
		return parsedKey{}, false
	}
	return r.kept[i], true
}
