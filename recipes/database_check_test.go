// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// pool returns a pgxpool, whose hook is the same as that of database/sql.
func pool(t *testing.T, server *fakePostgres, token func(context.Context) (string, error)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig("postgres://orders-service@" + server.addr + "/orders?sslmode=verify-full")
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.TLSConfig.RootCAs = server.roots
	config.BeforeConnect = passwordFrom(token)
	p, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A connection that is made later logs in with the token of that moment.
func TestDatabaseTakesTheTokenOfTheMoment(t *testing.T) {
	sts := entratest.New(t)
	client := newClient(sts, sts.HTTPClient())
	server := newPostgres(sts, postgresScope)
	defer server.close()
	p := pool(t, server, tokenFunc(client, postgresScope))
	defer p.Close()

	ping := func() {
		t.Helper()
		if err := p.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.Reset()
	}
	ping()
	first, err := client.Token(t.Context(), postgresScope)
	if err != nil {
		t.Fatal(err)
	}
	second, err := client.TokenFor(t.Context(), apponly.TokenRequest{Scope: postgresScope, Force: true})
	if err != nil {
		t.Fatal(err)
	}
	ping()
	got := server.presented()
	if len(got) != 2 || got[0] != first.Value() || got[1] != second.Value() || first == second {
		t.Errorf("%d logins, want two, with the first and the second token", len(got))
	}
}

// A server that turns the token away makes no error that tells it.
func TestDatabaseErrorHoldsNoToken(t *testing.T) {
	sts := entratest.New(t)
	client := newClient(sts, sts.HTTPClient())
	server := newPostgres(sts, postgresScope)
	defer server.close()
	p := pool(t, server, tokenFunc(client, sts.API().Scope()))
	defer p.Close()

	err := p.Ping(t.Context())
	if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "28P01" {
		t.Errorf("with a token for something else: %v, want SQLSTATE 28P01", err)
	}
	token, tokenErr := client.Token(t.Context(), sts.API().Scope())
	if tokenErr != nil {
		t.Fatal(tokenErr)
	}
	if strings.Contains(err.Error(), token.Value()) {
		t.Error("the error holds the token")
	}
}

// Without a token there is no connection, and the error is the client's.
func TestDatabaseWithoutAToken(t *testing.T) {
	sts := entratest.New(t)
	client := newClient(sts, sts.HTTPClient())
	sts.App().RemoveSecret(sts.Secret())
	server := newPostgres(sts, postgresScope)
	defer server.close()
	p := pool(t, server, tokenFunc(client, postgresScope))
	defer p.Close()
	if err := p.Ping(t.Context()); !errors.Is(err, apponly.ErrSecretInvalid) {
		t.Errorf("Ping = %v, want %v", err, apponly.ErrSecretInvalid)
	}
}

// Who waits for a connection waits no longer for its token.
func TestDatabaseDeadline(t *testing.T) {
	sts := entratest.New(t)
	config, err := pgx.ParseConfig("postgres://u@db.test/x?sslmode=verify-full")
	if err != nil {
		t.Fatal(err)
	}
	token := tokenFunc(newClient(sts, unanswered()), postgresScope)
	db := stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(passwordFrom(token)))
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := db.PingContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ping = %v, want %v", err, context.DeadlineExceeded)
	}
	if took := time.Since(start); took > 15*time.Second { // a token request may take 30 s
		t.Errorf("Ping returned after %v", took)
	}
}

// No token goes to a server that is not known to be the right one.
func TestDatabaseInsistsOnTLS(t *testing.T) {
	token := func(context.Context) (string, error) { return "a.b.c", nil }
	for _, test := range []struct {
		dsn string
		ok  bool
	}{
		{"postgres://u@db.test/x?sslmode=verify-full", true},
		{"postgres://u@a.test,b.test/x?sslmode=verify-full", true},
		{"postgres://u@db.test/x?sslmode=verify-ca", false},
		{"postgres://u@db.test/x?sslmode=require", false},
		{"postgres://u@db.test/x?sslmode=prefer", false},
		{"postgres://u@db.test/x?sslmode=allow", false},
		{"postgres://u@db.test/x?sslmode=disable", false},
		{"postgres://u@db.test/x", false},
		{"host=/run/postgresql user=u sslmode=verify-full", false},
		{"host=db.test,/run/postgresql user=u sslmode=verify-full", false},
	} {
		config, err := pgx.ParseConfig(test.dsn)
		if err != nil {
			t.Fatalf("%s: %v", test.dsn, err)
		}
		err = passwordFrom(token)(t.Context(), config)
		if got := config.Password == "a.b.c"; got != test.ok || (err == nil) != test.ok {
			t.Errorf("%s: password set: %v, %v; want %v", test.dsn, got, err, test.ok)
		}
	}
}
