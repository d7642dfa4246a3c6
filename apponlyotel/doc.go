// SPDX-License-Identifier: MIT

// Package apponlyotel makes metrics and spans of OpenTelemetry of what an apponly client
// tells of itself.
//
//	telemetry := apponlyotel.New(nil) // with the providers of the process
//	client, err := apponly.FromEnv(&apponly.Options{OnEvent: telemetry.OnEvent})
//	…
//	stop := telemetry.Watch(client)
//	defer stop()
//
// [Telemetry.OnEvent] counts and traces token requests; a token that is served from memory
// costs nothing. [Telemetry.Watch] tells of the tokens that the client has: nothing happens
// until the metrics are collected, and then no request is made.
//
// The module needs the API of OpenTelemetry and no SDK. Alerts, a dashboard and what to do
// when they are red are in ops and docs/operations.md of the repository.
package apponlyotel
