// SPDX-License-Identifier: MIT

package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/netfault"
)

// See https://learn.microsoft.com/entra/identity-platform/signing-key-rollover.
const (
	// keptFor is how long a key is trusted after it was last seen.
	keptFor = 24 * time.Hour
	// refreshAfter is how old what is known may become, by a tenth more or less.
	refreshAfter = time.Hour
	// After a failure it is tried again after firstRetry, doubled up to lastRetry.
	firstRetry, lastRetry = time.Second, 5 * time.Minute
	// unknownEvery is how often tokens of unknown keys make it be fetched: whoever
	// invents key names costs nothing more.
	unknownEvery = 30 * time.Second
	// waitLimit is how long a caller waits for a fetch, which may take fetchLimit.
	waitLimit, fetchLimit = 5 * time.Second, 10 * time.Second
	logLimit              = time.Second
	// maxFetches bounds the documents of a verifier that are fetched at once: an API
	// with thousands of tenants that has just started must not open as many connections.
	maxFetches = 64
	// maxDocument bounds what is read, in bytes.
	maxDocument = 1 << 20
)

// A document is one key document, and the keys of it that are trusted.
type document struct {
	url, instance string
	http          *http.Client
	log           *slog.Logger
	places        chan struct{} // shared by those of a verifier: one is taken while it is fetched
	hung, deaf    flight.Guard  // of the client, of the logger

	keys atomic.Pointer[keySet] // nil until there are some
	// look is when somebody has to look closer: a refresh is due. Until then nothing
	// is locked.
	look atomic.Uint64 // clock.Packed

	mu        sync.Mutex // guards the rest; not held while it is fetched
	fetching  *fetch     // under way, nil if none
	tried     clock.Instant
	due       clock.Instant
	succeeded time.Time
	err       error // of the last fetch
	failures  int   // in a row
	toldOdd   bool  // one warning is enough
}

// A fetch is one on its way.
type fetch struct {
	done chan struct{} // closed once err is set and the keys are there
	err  error
	// awaited: nobody has asked for so long that what is known may be long out of
	// date. Who has a key waits, too, and goes on with it if the fetch fails.
	awaited bool
}

// isDue reports whether to look closer.
func (d *document) isDue(now clock.Instant) bool { return clock.Packed(d.look.Load()).Reached(now) }

// find returns the keys of a name, all of them if there are several. A name that is
// known costs no waiting.
func (d *document) find(ctx context.Context, now clock.Instant, id string) ([]*key, *Error) {
	keys := d.known(id)
	if len(keys) > 0 && !d.isDue(now) {
		return keys, nil
	}
	f, err := d.fetchIfDue(ctx, now, len(keys) == 0)
	if len(keys) > 0 && (f == nil || !f.awaited) {
		return keys, nil
	}
	if f != nil {
		err = f.wait(ctx, time.After(waitLimit))
	}
	if keys = d.known(id); len(keys) > 0 { // another one's fetch may have brought it just now
		return keys, nil
	}
	if err != nil {
		return nil, d.unavailable(err)
	}
	return nil, refuse(ErrUnknownKey, "")
}

func (d *document) known(id string) []*key {
	if set := d.keys.Load(); set != nil {
		return (*set)[id]
	}
	return nil
}

// fetchIfDue returns the fetch under way. It begins one if that is due: for its own
// sake, or for a name that is not known. If there is none it returns what the last
// one failed with.
func (d *document) fetchIfDue(ctx context.Context, now clock.Instant, unknown bool) (*fetch, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fetching == nil && (d.due.Reached(now) || unknown && d.tried.Add(unknownEvery).Reached(now)) {
		d.fetching = &fetch{done: make(chan struct{}), awaited: d.tried.Add(keptFor).Reached(now)}
		d.tried = now
		go d.run(ctx, d.fetching)
	}
	return d.fetching, d.err
}

// wait returns what the fetch ended with. Who has waited long enough, by limit or by
// its own context, leaves; the fetch goes on.
func (f *fetch) wait(ctx context.Context, limit <-chan time.Time) error {
	select {
	case <-f.done:
		return f.err
	case <-limit:
		return flight.TimeoutError("no answer within 5 seconds")
	case <-ctx.Done():
	}
	// With only the cause, a caller that set one loses context.DeadlineExceeded.
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return ctx.Err()
}

// unavailable says that nobody knows, and when somebody might.
func (d *document) unavailable(err error) *Error {
	d.mu.Lock()
	at := d.due.Earlier(d.tried.Add(unknownEvery)).Time()
	d.mu.Unlock()
	if now := time.Now(); at.Before(now) { // it is being fetched
		at = now
	}
	e := refuse(ErrKeysUnavailable, err.Error())
	e.cause, e.RetryAt = err, at
	return e
}

// run is a fetch. It does not end with the caller that began it.
func (d *document) run(ctx context.Context, f *fetch) {
	keys, odd, err := d.read(ctx)
	d.mu.Lock()
	now := clock.Now()
	if err == nil {
		var set keySet
		if old := d.keys.Load(); old != nil {
			set = *old
		}
		set = set.merge(keys, now)
		d.keys.Store(&set)
		d.due, d.failures, d.succeeded = now.Add(refreshAfter-refreshAfter/10+rand.N(refreshAfter/5)), 0, now.Time()
	} else {
		d.failures++
		err = fmt.Errorf("%s: %w", d.url, err)
		d.due = now.Add(flight.Backoff(firstRetry, lastRetry, d.failures))
	}
	d.look.Store(uint64(d.due.Pack()))
	d.fetching, d.err, f.err = nil, err, err
	if d.toldOdd {
		odd = nil
	}
	d.toldOdd = d.toldOdd || odd != nil
	d.mu.Unlock()
	close(f.done)
	if err != nil {
		d.warn(ctx, "the signing keys could not be fetched; those that are known stay", "error", err)
	}
	if odd != nil {
		d.warn(ctx, "the key document has an entry that is passed over", "url", d.url, "error", odd)
	}
}

// warn tells the logger, which is not ours: it may panic or hang.
func (d *document) warn(ctx context.Context, text string, args ...any) {
	ctx, cancel := flight.Detach(ctx, logLimit, flight.TimeoutError("the logger has not returned"))
	defer cancel()
	_, _ = flight.RunFor(ctx, 0, &d.deaf, "the logger", func(ctx context.Context) (struct{}, error) {
		d.log.WarnContext(ctx, text, args...)
		return struct{}{}, nil
	})
}

// read fetches the document once there is a place, which each fetch leaves in time.
func (d *document) read(ctx context.Context) (keys []*key, odd, err error) {
	d.places <- struct{}{}
	defer func() { <-d.places }()
	ctx, cancel := flight.Detach(ctx, fetchLimit, flight.TimeoutError("no answer within 10 seconds"))
	defer cancel()
	body, err := flight.Run(ctx, &d.hung, "fetching the keys", d.get)
	if err != nil {
		return nil, nil, err
	}
	return parseKeys(body, d.instance)
}

// get reads the document.
func (d *document) get(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, unreached(req, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer has status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, unreached(req, err)
	case len(body) > maxDocument:
		return nil, errors.New("the answer is larger than 1 MiB")
	}
	return body, nil
}

// unreached is the error of a request that was not answered, with a text that is the
// same each time.
func unreached(req *http.Request, err error) error {
	reason, cause := netfault.Describe(&netfault.RouteError{Host: req.URL.Host, Err: err})
	if cause == nil {
		return errors.New(reason)
	}
	return &unreachedError{reason, cause}
}

type unreachedError struct {
	reason string
	cause  error
}

func (e *unreachedError) Error() string { return e.reason }
func (e *unreachedError) Unwrap() error { return e.cause }
