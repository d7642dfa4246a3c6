// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"net/http"
	"time"

	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

func lookAtClock(ctx context.Context, p *patient) finding {
	proxy, _ := p.proxy()
	return judgeClock(p.ask(ctx, proxy))
}

// Limits of what a clock may be off by: Entra's own tolerance is five minutes.
const (
	wrongClock = time.Minute
	brokenTime = 5 * time.Minute
)

const compare = "Compare the clock of this machine with another one: date -u."

// judgeClock compares the clock of this machine with that of the server. A server
// that does not answer is for the token request to judge.
func judgeClock(a *answer) finding {
	if a.err != nil {
		return warn("not compared: "+reason(a.err), compare)
	}
	server, err := http.ParseTime(a.date)
	if err != nil {
		return warn("not compared: the answer has no date", compare)
	}
	// The answer's time is cut off to whole seconds, and somewhere on the way.
	skew := server.Add(500 * time.Millisecond).Sub(a.sent.Round(0).Add(a.took / 2))
	direction := "behind"
	if skew < 0 {
		direction = "ahead of"
	}
	const remedy = "Synchronise the clock of this machine (NTP): assertions, certificates and tokens are judged by it."
	switch {
	case skew.Abs() > brokenTime:
		return fault("this machine's clock is "+screen.Span(skew)+" "+direction+" that of "+a.host, remedy, "")
	case skew.Abs() > wrongClock:
		return warn("this machine's clock is "+screen.Span(skew)+" "+direction+" that of "+a.host, remedy)
	case skew.Abs() < 2*time.Second:
		return ok("that of " + a.host + ", to the second")
	}
	return ok("that of " + a.host + ", but for " + screen.Span(skew))
}
