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
	// maxDocument bounds what is read, in bytes.
	maxDocument = 1 << 20
)

// A document is one key document, and the keys of it that are trusted.
type document struct {
	url, instance string
	http          *http.Client
	log           *slog.Logger
	hung          flight.Guard

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
	odd       string
}

// A fetch is one on its way.
type fetch struct {
	done chan struct{} // closed once err is set and the keys are there
	err  error
	// awaited: nobody has asked for so long that what is known may be long out of
	// date. Who has a key waits, too, and goes on with it if the fetch fails.
	awaited bool
}

// find returns the keys of a name, all of them if there are several. A name that is
// known costs no waiting.
func (d *document) find(ctx context.Context, id string) ([]*key, *Error) {
	now := clock.Now()
	keys := d.known(id)
	if len(keys) > 0 && !clock.Packed(d.look.Load()).Reached(now) {
		return keys, nil
	}
	f := d.fetchIfDue(ctx, now, len(keys) == 0)
	switch {
	case len(keys) > 0 && (f == nil || !f.awaited):
		return keys, nil
	case f == nil:
		return nil, d.unknown()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, waitLimit, flight.TimeoutError("no answer within 5 seconds"))
	defer cancel()
	var err error
	select {
	case <-f.done:
		err = f.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if found := d.known(id); len(found) > 0 {
		return found, nil
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

// fetchIfDue returns the fetch under way, nil if there is none. It begins one if that
// is due: for its own sake, or for a name that is not known.
func (d *document) fetchIfDue(ctx context.Context, now clock.Instant, unknown bool) *fetch {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fetching == nil && (d.due.Reached(now) || unknown && d.tried.Add(unknownEvery).Reached(now)) {
		d.fetching = &fetch{done: make(chan struct{}), awaited: d.tried.Add(keptFor).Reached(now)}
		d.tried = now
		go d.run(ctx, d.fetching)
	}
	return d.fetching
}

// unknown says why a name is not known when nothing is fetched for it.
func (d *document) unknown() *Error {
	d.mu.Lock()
	err := d.err
	d.mu.Unlock()
	if err != nil {
		return d.unavailable(err)
	}
	return refuse(ErrUnknownKey, "")
}

func (d *document) unavailable(err error) *Error {
	d.mu.Lock()
	at := d.due
	d.mu.Unlock()
	e := refuse(ErrKeysUnavailable, err.Error())
	e.cause, e.RetryAt = err, at.Time()
	return e
}

// run is a fetch. It does not end with the caller that began it.
func (d *document) run(ctx context.Context, f *fetch) {
	ctx, cancel := flight.Detach(ctx, fetchLimit, flight.TimeoutError("no answer within 10 seconds"))
	defer cancel()
	body, err := flight.Run(ctx, &d.hung, "fetching the keys", d.get)
	var keys []*key
	var odd error
	if err == nil {
		keys, odd, err = parseKeys(body, d.instance)
	}
	d.mu.Lock()
	now := clock.Now()
	if err == nil {
		var set keySet
		if old := d.keys.Load(); old != nil {
			set = *old
		}
		set = set.merge(keys, now)
		d.keys.Store(&set)
		d.due, d.failures, d.err, d.succeeded = now.Add(refreshAfter-refreshAfter/10+rand.N(refreshAfter/5)), 0, nil, now.Time()
	} else {
		d.failures++
		err = fmt.Errorf("%s: %w", d.url, err)
		d.due, d.err = now.Add(flight.Backoff(firstRetry, lastRetry, d.failures)), err
	}
	d.look.Store(uint64(d.due.Pack()))
	d.fetching, f.err = nil, err
	told := odd == nil || odd.Error() == d.odd
	if odd != nil {
		d.odd = odd.Error()
	}
	d.mu.Unlock()
	close(f.done)
	if err != nil {
		d.log.WarnContext(ctx, "the signing keys could not be fetched; those that are known stay", "error", err)
	}
	if !told {
		d.log.WarnContext(ctx, "the key document has an entry that is passed over", "url", d.url, "error", odd)
	}
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
