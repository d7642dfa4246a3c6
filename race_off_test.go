// SPDX-License-Identifier: MIT

//go:build !race

package apponly_test

const raceEnabled = false
