// SPDX-License-Identifier: MIT

package wire

import (
	"bytes"
	"container/list"
	"context"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/netfault"
)

const (
	// MaxUnderWay is how many token requests of one HTTP client are under way at
	// once. More do not get answers any sooner: ten thousand connections that are
	// opened at once fight for the processor until most have timed out, and an
	// HTTP/2 server takes about a hundred streams of each.
	MaxUnderWay = 100
	// maxWait bounds the wait for a turn. It takes that long only if everybody
	// ahead of one is timing out.
	maxWait = 5 * time.Minute
)

// A Turn is the right to send a token request by one HTTP client, or to ask something
// else that must not be asked too much at once. It belongs to one goroutine.
type Turn struct {
	client *http.Client
	queue  queueKey
	held   *sync.Once // gives the place back, at most once; nil: there is none
	stop   func() bool
}

// TakeTurn waits until fewer than [MaxUnderWay] turns of client, or of the
// process's own if that is nil, are taken, first come, first served. The clock of
// the flight that ctx belongs to stands still meanwhile, for five minutes at most: the
// error is netfault.ErrNoTurn then. The turn ends with ctx,
// so that a RoundTripper that never returns does not keep it.
func TakeTurn(ctx context.Context, client *http.Client) (*Turn, error) {
	if client == nil {
		client = defaultClient()
	}
	t := &Turn{client: client, queue: queueKey{client, bubble()}}
	return t, t.take(ctx)
}

// TakeTurnOf is [TakeTurn] for what is no HTTP client, and is known by a pointer.
func TakeTurnOf(ctx context.Context, what any) (*Turn, error) {
	t := &Turn{queue: queueKey{what, bubble()}}
	return t, t.take(ctx)
}

// take waits for a place, unless t has one.
func (t *Turn) take(ctx context.Context) error {
	if t.held != nil {
		return nil
	}
	if err := enter(ctx, t.queue); err != nil {
		return err
	}
	key, held := t.queue, new(sync.Once)
	t.held = held
	// A RoundTripper that heeds ctx has a moment to return, or there would be one too
	// many under way.
	t.stop = context.AfterFunc(ctx, func() {
		time.AfterFunc(flight.Grace, func() { held.Do(func() { leave(key) }) })
	})
	return nil
}

// End gives the place to whoever is next. It may be called more than once.
func (t *Turn) End() {
	if t.held == nil {
		return
	}
	t.stop()
	t.held.Do(func() { leave(t.queue) })
	t.held = nil
}

// queues are those of what is asked at the moment, so that nothing is kept of what is
// idle.
var queues = struct {
	sync.Mutex // never held across a wait
	of         map[queueKey]*queue
}{of: map[queueKey]*queue{}}

// A queueKey keeps apart whoever must not wake each other.
type queueKey struct {
	what   any // a pointer
	bubble string
}

// A queue is who sends and who waits for a place.
type queue struct {
	underWay int
	waiting  list.List // of chan struct{}, which is closed when a place is given
}

// enter takes a place in the queue of key.
func enter(ctx context.Context, key queueKey) error {
	queues.Lock()
	q := queues.of[key]
	if q == nil {
		q = new(queue)
		queues.of[key] = q
	}
	if q.underWay < MaxUnderWay {
		q.underWay++
		queues.Unlock()
		return nil
	}
	given := make(chan struct{})
	place := q.waiting.PushBack(given)
	queues.Unlock()

	defer flight.Pause(ctx)()
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	var err error
	select {
	case <-given:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = netfault.ErrNoTurn
	}
	queues.Lock()
	defer queues.Unlock()
	select {
	case <-given: // just now
		return nil
	default:
		q.waiting.Remove(place)
		return err
	}
}

// leave gives a place to the first who waits.
func leave(key queueKey) {
	queues.Lock()
	defer queues.Unlock()
	q := queues.of[key]
	if first := q.waiting.Front(); first != nil {
		close(q.waiting.Remove(first).(chan struct{}))
		return
	}
	if q.underWay--; q.underWay == 0 {
		delete(queues.of, key)
	}
}

// bubble tells testing/synctest's bubbles apart, "" outside of them: a goroutine
// of one that wakes a goroutine of another ends the process. Only a bubble's
// clock has no monotonic reading, and only a stack trace says which one it is.
// Should that ever change, requests in bubbles wait for each other as others do.
func bubble() string {
	if now := time.Now(); now != now.Round(0) {
		return ""
	}
	var b [128]byte
	head, _, _ := bytes.Cut(b[:runtime.Stack(b[:], false)], []byte("]:\n"))
	_, id, _ := bytes.Cut(head, []byte(", synctest bubble "))
	id, _, _ = bytes.Cut(id, []byte(" ")) // labels may follow
	return string(id)
}
