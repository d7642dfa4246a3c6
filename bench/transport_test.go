// SPDX-License-Identifier: MIT

package main

import (
	"testing"
	"time"
)

// A request with a cached token must cost hardly more than a copy of it, and
// less than with oauth2.Transport. At eight headers one more makes the copy's
// map grow.
func TestRoundTripStaysNearAClone(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes every memory access a call: times mean nothing")
	}
	for _, headers := range []int{0, 3, 7, 8, 9} {
		t.Run(plural(headers, "header"), func(t *testing.T) {
			base, clone, transports, err := attaching(headers)
			if err != nil {
				t.Fatal(err)
			}
			// A bad figure must repeat itself to count, see TestHitStaysNearTheFloor.
			for try := range 8 {
				time.Sleep(time.Duration(try) * 100 * time.Millisecond)
				results, err := compare(200*time.Microsecond, 60*time.Millisecond, base, clone, transports[0], transports[1])
				if err != nil {
					t.Fatal(err)
				}
				least, cloned, ours, oauth2 := results[0], results[1], results[2], results[3]
				if ours.allocs > cloned.allocs+1 {
					t.Fatalf("%v allocations, req.Clone makes %v", ours.allocs, cloned.allocs)
				}
				took, limit := ours.ns-least.ns, 1.5*cloned.ns+150
				t.Logf("%.0f ns beyond the base; req.Clone %.0f ns, limit %.0f ns; oauth2.Transport %.0f ns", took, cloned.ns, limit, oauth2.ns-least.ns)
				if took <= limit && ours.ns < oauth2.ns {
					return
				}
			}
			t.Error("it takes longer than 1.5 times req.Clone and 150 ns, or than oauth2.Transport")
		})
	}
}
