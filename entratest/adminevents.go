// SPDX-License-Identifier: MIT

package entratest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// heartbeat is how often a stream says that it is alive, which also finds readers that
	// have gone without a word.
	heartbeat = 15 * time.Second
	// writeTime is how long a reader may take; one that is slower is dropped, and its
	// browser connects anew.
	writeTime = 10 * time.Second
	// breather is between two writes, so that a busy emulator does not draw every request
	// by itself. Of what comes meanwhile the newest maxShown are sent.
	breather = 100 * time.Millisecond
)

// eventStream is an answer that goes on: the requests as they come, as server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html). It keeps no queue. A
// reader is woken, and looks for what the record has beyond what it has sent.
type eventStream struct {
	s       *Server
	more    <-chan struct{}
	end     func()
	after   int
	refused bool
	state   string // that was sent last
}

func adminEvents(s *Server, r *http.Request, _ []byte) (any, error) {
	q := r.URL.Query()
	stream := &eventStream{s: s, refused: q.Get("only") == "refused"}
	from := r.Header.Get("Last-Event-ID") // of a browser that connects anew
	if from == "" {
		from = q.Get("after")
	}
	stream.after, _ = strconv.Atoi(from) // what is no number means from the beginning
	stream.after = max(stream.after, 0)
	var ok bool
	if stream.more, stream.end, ok = s.requests.watch(); !ok {
		return nil, &adminError{http.StatusServiceUnavailable, fmt.Sprintf("%d readers follow already", maxWatchers)}
	}
	return answer{status: http.StatusOK, body: stream}.with("Content-Type", "text/event-stream"), nil
}

// serve sends until the reader or the emulator goes.
func (e *eventStream) serve(w http.ResponseWriter, r *http.Request) {
	defer e.end()
	control := http.NewResponseController(w)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	text := ": hello\n\n"
	for {
		if text += e.news(); text != "" {
			_ = control.SetWriteDeadline(time.Now().Add(writeTime)) // in memory there is none
			if _, err := w.Write([]byte(text)); err != nil || control.Flush() != nil {
				return
			}
			_ = control.SetWriteDeadline(time.Time{}) // it would end a stream of HTTP/2 that is silent
		}
		text = ""
		select {
		case <-time.After(breather):
		case <-r.Context().Done():
			return
		case <-e.s.closing:
			return
		}
		select {
		case <-e.more:
		case <-beat.C:
			text = ": alive\n\n"
		case <-r.Context().Done():
			return
		case <-e.s.closing:
			return
		}
	}
}

// news are the events since the last call.
func (e *eventStream) news() string {
	var text strings.Builder
	requests, last := e.s.requests.newest(e.after, maxShown, e.refused)
	e.after = last
	for _, request := range slices.Backward(requests) {
		text.WriteString(event("request", strconv.Itoa(request.Number), render("request", newRequestView(request))))
	}
	if state := render("state", e.s.stateView()); state != e.state {
		e.state = state
		text.WriteString(event("state", "", state))
	}
	return text.String()
}

// event writes one in the form of a stream, where every line of the data says so.
func event(name, id, data string) string {
	var b strings.Builder
	b.WriteString("event: " + name + "\n")
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data), "\n") {
		b.WriteString("data: " + line + "\n")
	}
	return b.String() + "\n"
}
