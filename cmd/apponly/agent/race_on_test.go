// SPDX-License-Identifier: MIT

//go:build race

package agent_test

const raceEnabled = true
