// SPDX-License-Identifier: MIT

//go:build race

package apponly_test

// underRace says that the race detector is on, under which the longest tests run
// a part of their rounds; .ci/run runs them whole without it.
const underRace = true
