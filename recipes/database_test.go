// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/apponly/apponly"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// postgresScope is what Azure Database for PostgreSQL and for MySQL take tokens
// for in the public cloud; Azure SQL has https://database.windows.net/.default.
const postgresScope = "https://ossrdbms-aad.database.windows.net/.default"

// tokenFunc returns the function that database drivers ask for a token. For
// Azure SQL the same one goes into go-mssqldb, whose DSN then needs encrypt=true:
// without it the token goes to anybody's certificate.
//
//	connector, err := mssql.NewConnectorWithAccessTokenProvider(dsn, tokenFunc(client, scope))
func tokenFunc(client *apponly.Client, scope string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		token, err := client.Token(ctx, scope)
		return token.Value(), err
	}
}

// passwordFrom makes each new connection log in with a token. It is for
// stdlib.OptionBeforeConnect and for BeforeConnect of a pgxpool.Config.
//
// The server gets the token in clear text, so it must be the one that was meant:
// pgx's default, sslmode=prefer, would hand it to anybody, without TLS if need
// be. A connection lives on when its token ends; sql.DB.SetConnMaxLifetime
// bounds that.
func passwordFrom(token func(context.Context) (string, error)) func(context.Context, *pgx.ConnConfig) error {
	return func(ctx context.Context, config *pgx.ConnConfig) (err error) {
		hosts := append([]*pgconn.FallbackConfig{{TLSConfig: config.TLSConfig}}, config.Fallbacks...)
		for _, host := range hosts {
			if host.TLSConfig == nil || host.TLSConfig.InsecureSkipVerify {
				return errors.New("a token as password needs sslmode=verify-full")
			}
		}
		config.Password, err = token(ctx)
		return err
	}
}

// The password is asked for as a connection is made, so it is never an old one:
// nothing needs to be done about a token that ends.
func Example_database() {
	sts, client := emulated()
	defer sts.Close()
	server := newPostgres(sts, postgresScope) // lets in whose password is a good token
	defer server.close()

	config, err := pgx.ParseConfig("postgres://orders-service@" + server.addr + "/orders?sslmode=verify-full")
	if err != nil {
		log.Fatal(err)
	}
	config.TLSConfig.RootCAs = server.roots // for the fake server only
	db := stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(passwordFrom(tokenFunc(client, postgresScope))))
	defer db.Close()
	db.SetMaxIdleConns(0) // a connection each time, to show what that costs

	for range 3 {
		if err := db.PingContext(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("connections:", server.logins.Load(), "token requests:", sts.TokenRequests())
	// Output: connections: 3 token requests: 1
}
