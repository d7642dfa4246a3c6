// SPDX-License-Identifier: MIT

package health_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/health"
)

// An outage of three hours, with tokens of one: a pod is told of it at the first failure,
// taken out of service two minutes before its calls fail, and back with the first token.
// In between nothing changes to and fro, whatever was drawn.
func TestOutage(t *testing.T) {
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			c := w.check()
			ctx, stop := context.WithCancel(t.Context())
			go w.client.KeepWarm(ctx, w.scope)
			synctest.Wait()
			type change struct {
				verdict health.Verdict
				at      time.Time
			}
			var changes []change
			var promised time.Time // when it becomes not-ready
			watch := func(d time.Duration) {
				for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
					synctest.Wait()
					r := c.Now()
					if n := len(changes); n == 0 || changes[n-1].verdict != r.Verdict {
						changes = append(changes, change{r.Verdict, time.Now()})
					}
					if r.Verdict == health.Degraded {
						promised = r.Until
					}
				}
			}
			watch(10 * time.Minute)
			refresh, ends := c.Now().Reasons[0].NextTry, c.Now().Reasons[0].ExpiresOn
			w.fail()
			watch(3 * time.Hour)
			w.ClearFaults()
			back := time.Now()
			watch(time.Minute)
			stop()
			synctest.Wait()

			var verdicts []health.Verdict
			for _, c := range changes {
				verdicts = append(verdicts, c.verdict)
			}
			if want := []health.Verdict{health.Ready, health.Degraded, health.NotReady, health.Ready}; !slices.Equal(verdicts, want) {
				t.Fatalf("%v, want %v", changes, want)
			}
			// The first request fails when its attempts have: seconds, and KeepWarm looks once a minute.
			if late := changes[1].at.Sub(refresh); late < 0 || late > 75*time.Second {
				t.Errorf("degraded %v after the refresh was due", late)
			}
			if early := ends.Sub(changes[2].at); early > 2*time.Minute || early < 2*time.Minute-2*time.Second || !promised.Equal(ends.Add(-2*time.Minute)) {
				t.Errorf("not-ready %v before the end, promised for %v before", early, ends.Sub(promised))
			}
			if late := changes[3].at.Sub(back); late > 20*time.Second { // the pace of failures is 15 s at most
				t.Errorf("ready %v after the outage", late)
			}
		})
	}
}
