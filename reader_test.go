// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
)

// On a volume behind a network a reading takes a moment. Thousands of tenants that want
// the same file at once share one, and nobody gets what was read before it came.
func TestSlowFileIsReadForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tenants, slow = 10_000, 20 * time.Millisecond
		content, reads := 0, 0
		look := apponly.NewLook()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		var mu sync.Mutex
		failed, old := 0, 0
		for i := range tenants {
			if i%1000 == 0 {
				time.Sleep(slow * 2 / 3)
				mu.Lock()
				content++
				mu.Unlock()
			}
			came := content
			wg.Go(func() {
				got, err := look(ctx, func(context.Context) (int, error) {
					mu.Lock()
					reads++
					v := content
					mu.Unlock()
					time.Sleep(slow)
					return v, nil
				})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					if failed++; failed == 1 {
						t.Error(err)
					}
				} else if got < came {
					old++
				}
			})
		}
		wg.Wait()
		if failed > 0 || old > 0 || reads > 12 {
			t.Errorf("%d of %d failed, %d got what was old, after %d readings", failed, tenants, old, reads)
		}
	})
}
