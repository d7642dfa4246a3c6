// SPDX-License-Identifier: MIT

package verify

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/clock"
)

// A KeysStatus is what is known of one key document.
type KeysStatus struct {
	URL string
	// Keys is how many names of keys are trusted, 0 before the first fetch.
	Keys int
	// LastSuccess is when the document was read last, zero if it never was.
	LastSuccess time.Time
	// Err is why the last fetch failed, nil if it did not.
	Err error
}

// Status describes the key documents, sorted by URL. It does not block.
func (v *Verifier) Status() []KeysStatus {
	var all []KeysStatus
	for _, d := range v.documents() {
		all = append(all, d.status())
	}
	slices.SortFunc(all, func(a, b KeysStatus) int { return strings.Compare(a.URL, b.URL) })
	return all
}

func (v *Verifier) documents() []*document {
	var all []*document
	for _, d := range v.tenants {
		all = append(all, d)
	}
	if v.others != nil {
		all = append(all, v.others)
	}
	return all
}

func (d *document) status() KeysStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := KeysStatus{URL: d.url, LastSuccess: d.succeeded, Err: d.err}
	if set := d.keys.Load(); set != nil {
		s.Keys = len(*set)
	}
	return s
}

// maxWarming bounds the documents that are fetched at once.
const maxWarming = 8

// Warm fetches the key documents that are not there yet, and returns what failed,
// with nil if all are there: for a start-up probe, which asks until it is satisfied.
// After a failure it does not ask Entra again before a while has passed, and returns
// the last error. It blocks until the documents are there or ctx ends.
func (v *Verifier) Warm(ctx context.Context) error {
	documents := v.documents()
	errs := make([]error, len(documents))
	places := make(chan struct{}, maxWarming)
	var wg sync.WaitGroup
	for i, d := range documents {
		places <- struct{}{}
		wg.Go(func() {
			errs[i] = d.warm(ctx)
			<-places
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (d *document) warm(ctx context.Context) error {
	if d.keys.Load() != nil {
		return nil
	}
	var err error
	if f := d.fetchIfDue(ctx, clock.Now(), false); f == nil {
		err = d.status().Err
	} else {
		select {
		case <-f.done:
			err = f.err
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		return d.unavailable(err)
	}
	return nil
}
