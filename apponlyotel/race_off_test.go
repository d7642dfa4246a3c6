// SPDX-License-Identifier: MIT

//go:build !race

package apponlyotel_test

const raceEnabled = false
