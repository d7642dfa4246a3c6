// SPDX-License-Identifier: MIT

package apponly

import (
	"encoding/json"
	"html"
	"net/url"
	"strings"
)

// withhold returns text, which a server wrote, or a mark in its place if it
// repeats one of secrets or a longer piece of one, plain or escaped. An echo by
// whoever stands in Entra's place is the one way in which what was sent could
// come back in an error; Entra repeats nothing.
func withhold(text string, secrets ...string) string {
	plain, _ := url.QueryUnescape(text) // "" if it is not escaped that way
	for _, s := range secrets {
		if repeats(text, s) || repeats(plain, s) || repeats(html.UnescapeString(text), s) {
			return redacted
		}
	}
	return text
}

// repeats reports whether text holds secret or a piece of it: echoes get cut
// off. Any piece of twice the step holds one that begins at a multiple of it.
func repeats(text, secret string) bool {
	const shortest, step = 6, 12
	if len(secret) < shortest || text == "" {
		return false // so short that it is no secret, and may be any word
	}
	if len(secret) < step {
		return strings.Contains(text, secret)
	}
	for i := 0; i+step <= len(secret); i += step {
		if strings.Contains(text, secret[i:i+step]) {
			return true
		}
	}
	return false
}

// tokenIn returns the access token of an answer that was not taken for one.
func tokenIn(body []byte) string {
	var b struct {
		AccessToken string `json:"access_token"`
	}
	_ = json.Unmarshal(body, &b) // whatever could be read
	return b.AccessToken
}
