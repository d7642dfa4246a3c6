// SPDX-License-Identifier: MIT

// Package recipes shows how an apponly client goes into other ecosystems. There
// is nothing to import: each file below holds the few lines to copy, in an
// Example that runs.
//
//   - azuresdk_test.go: any Azure SDK client, with its claims challenges
//   - oauth2_test.go: what takes an oauth2.TokenSource
//   - grpc_test.go: gRPC, as credentials of each call
//   - database_test.go: a database password: pgx with Azure Database for
//     PostgreSQL; go-mssqldb takes the same function
//   - retryablehttp_test.go: hashicorp/go-retryablehttp, around the transport
//   - otelhttp_test.go: OpenTelemetry's otelhttp, around the transport
//   - prometheus_test.go, otlp_test.go: metrics and spans of module apponlyotel, for
//     Prometheus to scrape and to a collector
//   - hosts_test.go: several APIs behind one http.Client, each host with the
//     token of its own scope
//   - rueidis_test.go, memcached_test.go: tokens shared by the processes of a
//     fleet, in what the module rediscache and package filecache are not for
//   - migratetokens_test.go: what comes from azidentity, MSAL Go or oauth2
//
// And of package verify, on the API's side:
//
//   - grpcserver_test.go: a gRPC server, as interceptors
//   - chi_test.go: the router chi, by group and by route
//   - migrate_test.go: what comes from go-oidc, or from golang-jwt and keyfunc
//
// What a recipe promises is tested in the file of the same name that ends in
// _check_test.go; that of the stores is sharedstore_check_test.go. Each runs against the
// emulator of package entratest and a fake service that checks the token by package
// verify, or a real server where there is one.
//
// The browser directory has a browser go through admin consent, the ops directory a
// Prometheus through the alerts that are shipped, the kubectl directory client-go get its
// tokens from the command "apponly token".
//
// A client whose Options.CAE is set gets tokens that an API may refuse at any
// time with a claims challenge. Of these recipes, those for HTTP and for the
// Azure SDKs answer one; oauth2, gRPC and databases cannot, so their clients
// should be made without it.
package recipes
