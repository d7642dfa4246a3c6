// SPDX-License-Identifier: MIT

package apponlyotel

import "time"

// A State is what is told of a token.
type State struct {
	Ready     bool
	Failures  int
	Remaining time.Duration
}

// Worse reports whether s is told of in place of u.
func (s State) Worse(u State) bool {
	return tokenState{s.Ready, s.Failures, s.Remaining}.worse(tokenState{u.Ready, u.Failures, u.Remaining})
}
