// SPDX-License-Identifier: MIT

package flight

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Backoff returns how long to wait after the nth failure in a row (from 1):
// first, doubled each time up to limit, the upper half of it at random.
func Backoff(first, limit time.Duration, n int) time.Duration {
	w := limit
	if n < 20 { // the shift cannot overflow
		w = min(first<<(n-1), limit)
	}
	return w/2 + rand.N(w/2+1)
}

// MaxRetryAfter caps what a server may ask for: a mistaken header must not
// silence a daemon for a day.
const MaxRetryAfter = time.Hour

// RetryAfter reads Retry-After (RFC 9110 section 10.2.3): seconds, or a date, which
// is read by the clock that wrote it, the Date of the answer, and by now where
// there is none.
func RetryAfter(header http.Header, now time.Time) (time.Duration, bool) {
	v := strings.TrimSpace(header.Get("Retry-After"))
	if v == "" {
		return 0, false
	}
	if strings.Trim(v, "0123456789") == "" {
		// Compared before it is multiplied: a huge number of seconds overflows
		// a Duration and would mean "at once".
		seconds, err := strconv.ParseInt(v, 10, 64)
		if err != nil || seconds > int64(MaxRetryAfter/time.Second) {
			return MaxRetryAfter, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter), true
}
