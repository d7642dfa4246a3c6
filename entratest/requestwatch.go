// SPDX-License-Identifier: MIT

package entratest

import "slices"

// maxWatchers bounds who follows the record at a time.
const maxWatchers = 32

// watch returns a channel that has something once there are more requests or something
// beside them has changed, and what ends that. ok is false if too many watch already.
func (l *requestLog) watch() (more <-chan struct{}, end func(), ok bool) {
	w := make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.watchers) == maxWatchers {
		return nil, nil, false
	}
	l.watchers = append(l.watchers, w)
	return w, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.watchers = slices.DeleteFunc(l.watchers, func(other chan struct{}) bool { return other == w })
	}, true
}

// wake tells all who watch. The caller holds mu.
func (l *requestLog) wake() {
	for _, w := range l.watchers {
		select {
		case w <- struct{}{}:
		default: // it knows already
		}
	}
}

// changed tells of what is shown beside the requests.
func (l *requestLog) changed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wake()
}

// A numberedRequest is one of the record with how many there were up to it.
type numberedRequest struct {
	Number int
	Request
}

// newest returns the last requests after a number, at most so many, the newest first, and
// the number of the last of all.
func (l *requestLog) newest(after, most int, refused bool) (list []numberedRequest, last int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last = l.counters.Requests
	if after > last {
		after = 0 // it is of an emulator that is gone
	}
	for i := range min(len(l.ring), last-after) {
		r := &l.ring[(l.next+len(l.ring)-1-i)%len(l.ring)]
		if !refused || r.refused() {
			list = append(list, numberedRequest{last - i, *r})
		}
		if len(list) == most {
			break
		}
	}
	return list, last
}

// refused reports whether the client did not get what it wants: also if it is led to a
// place where people sign in.
func (r *Request) refused() bool {
	return r.Status == 0 || r.Status >= 400 || slices.ContainsFunc(r.Comparisons, func(c Comparison) bool { return !c.Matched })
}
