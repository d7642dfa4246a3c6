// SPDX-License-Identifier: MIT

// Package tested is a daemon of thirty lines. What matters are its tests: they are what
// docs/testing.md shows.
package tested

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// A Reporter reads the orders of an API each minute.
type Reporter struct {
	API     *http.Client // sends the token
	URL     string
	OnError func(error) // what became of a report that failed
}

// Run reports until ctx ends.
func (r *Reporter) Run(ctx context.Context) {
	for {
		if err := r.Report(ctx); err != nil && ctx.Err() == nil {
			r.OnError(err)
		}
		select {
		case <-time.After(time.Minute):
		case <-ctx.Done():
			return
		}
	}
}

// Report reads the orders once.
func (r *Reporter) Report(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return err
	}
	resp, err := r.API.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the API answered %s", resp.Status)
	}
	return nil
}
