// SPDX-License-Identifier: MIT

package apponly

import (
	"html"
	"net/url"
	"strings"
)

// echoes finds secrets that a server repeats. An echo by whatever stands in
// Entra's place is the one way in which what was sent could come back in an error;
// Entra repeats nothing.
type echoes struct {
	whole []string // secrets that are shorter than a piece
	// pieces of the longer ones begin at each multiple of their length: echoes get
	// cut off, and any part of twice that length holds one. Looking them up takes
	// time in proportion to the text, however long a secret is.
	pieces map[[piece]byte]bool
}

const shortest, piece = 6, 12

func newEchoes(secrets ...string) echoes {
	e := echoes{pieces: map[[piece]byte]bool{}}
	for _, s := range secrets {
		switch {
		case len(s) < shortest:
			// So short that it is no secret, and may be any word.
		case len(s) < piece:
			e.whole = append(e.whole, s)
		}
		for ; len(s) >= piece; s = s[piece:] {
			e.pieces[[piece]byte([]byte(s[:piece]))] = true
		}
	}
	return e
}

// redact returns text, which a server wrote, or a mark in its place if it holds a
// secret or a longer piece of one, plain or escaped.
func (e echoes) redact(text string) string {
	plain, _ := url.QueryUnescape(text) // "" if it is not escaped that way
	if e.in(text) || e.in(plain) || e.in(html.UnescapeString(text)) {
		return redacted
	}
	return text
}

func (e echoes) in(text string) bool {
	for _, s := range e.whole {
		if strings.Contains(text, s) {
			return true
		}
	}
	for i := 0; i+piece <= len(text); i++ {
		if e.pieces[[piece]byte([]byte(text[i:i+piece]))] {
			return true
		}
	}
	return false
}
