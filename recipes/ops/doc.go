// SPDX-License-Identifier: MIT

// Package ops holds the files of the directory ops, alerts and a dashboard, against what
// module apponlyotel exports and against Prometheus itself. There is nothing to import.
//
// Tests that need promtool are skipped where there is none. With -prometheus a real
// Prometheus scrapes a program that is refused its token:
//
//	go test ./recipes/ops -prometheus
package ops
