// SPDX-License-Identifier: MIT

package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/apponly/apponly/internal/clock"
	"github.com/apponly/apponly/internal/flight"
)

// A KeysStatus is what is known of one key document.
type KeysStatus struct {
	URL string
	// Keys is how many keys are trusted, 0 before the first fetch.
	Keys int
	// LastSuccess is when the document was read last, zero if it never was.
	LastSuccess time.Time
	// Err is why the last fetch failed, nil if it did not.
	Err error
}

// Status describes the key documents, sorted by URL. It does not block.
func (v *Verifier) Status() []KeysStatus {
	all := make([]KeysStatus, len(v.documents))
	for i, d := range v.documents {
		all[i] = d.status()
	}
	return all
}

func (d *document) status() KeysStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := KeysStatus{URL: d.url, LastSuccess: d.succeeded, Err: d.err}
	if set := d.keys.Load(); set != nil {
		for _, keys := range *set {
			if slices.ContainsFunc(keys, (*key).usable) {
				s.Keys++
			}
		}
	}
	return s
}

const (
	// maxWarming bounds the documents that are fetched at once for a probe, so that
	// those who call meanwhile find a place.
	maxWarming = 8
	// maxWarmErrors bounds what it returns: thousands of tenants fail for one reason.
	maxWarmErrors = 10
)

// Warm fetches the key documents that are not there yet, and returns what failed,
// with nil if all are there: for a start-up probe, which asks until it is satisfied.
// After a failure it does not ask Entra again before a while has passed, half a minute
// at most, and returns the last error. It blocks until the documents are there or ctx
// ends. What failed is an [*Error] each, the first ten of them.
func (v *Verifier) Warm(ctx context.Context) error {
	ctx = flight.Safe(ctx) // it is called in goroutines in which nobody recovers
	errs := make([]error, len(v.documents))
	places := make(chan struct{}, maxWarming)
	var wg sync.WaitGroup
	for i, d := range v.documents {
		places <- struct{}{}
		wg.Go(func() {
			errs[i] = d.warm(ctx)
			<-places
		})
	}
	wg.Wait()
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if more := len(errs) - maxWarmErrors; more > 0 {
		errs = append(errs[:maxWarmErrors], fmt.Errorf("verify: and %d more", more))
	}
	return errors.Join(errs...)
}

func (d *document) warm(ctx context.Context) error {
	if d.keys.Load() != nil {
		return nil
	}
	err := ctx.Err()
	if err == nil {
		var f *fetch
		if f, err = d.fetchIfDue(ctx, clock.Now(), true); f != nil {
			err = f.wait(ctx, nil)
		}
	}
	if err != nil && d.keys.Load() == nil {
		return d.unavailable(err)
	}
	return nil
}
