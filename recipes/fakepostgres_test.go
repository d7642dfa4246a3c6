// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/verify"
	"github.com/jackc/pgx/v5/pgproto3"
)

// A fakePostgres is as much of a PostgreSQL server as it takes to log in, over
// TLS, and to be pinged. The password is a good token, or nobody is let in.
type fakePostgres struct {
	addr   string
	roots  *x509.CertPool
	logins atomic.Int64

	verifier *verify.Verifier
	tls      *tls.Config
	listener net.Listener
	serving  sync.WaitGroup
	mu       sync.Mutex
	tokens   []string // of the logins
}

// newPostgres serves one on a free port of 127.0.0.1 that takes tokens for
// scope.
func newPostgres(sts *entratest.Server, scope string) *fakePostgres {
	uri := strings.TrimSuffix(scope, "/.default")
	cert, roots := localTLS()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := &fakePostgres{
		addr:     listener.Addr().String(),
		roots:    roots,
		verifier: newVerifier(sts, sts.Tenant().NewResource(uri)),
		tls:      &tls.Config{Certificates: []tls.Certificate{cert}},
		listener: listener,
	}
	s.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			s.serving.Go(func() {
				defer conn.Close()
				_ = s.serve(conn) // the client sees what went wrong
			})
		}
	})
	return s
}

// close waits for the connections, so their clients must have closed them.
func (s *fakePostgres) close() {
	s.listener.Close()
	s.serving.Wait()
}

func (s *fakePostgres) serve(conn net.Conn) error {
	backend := pgproto3.NewBackend(conn, conn)
	first, err := backend.ReceiveStartupMessage()
	if err != nil {
		return err
	}
	if _, ok := first.(*pgproto3.SSLRequest); !ok {
		return refuse(backend, "28000", "no pg_hba.conf entry without encryption")
	}
	if _, err := conn.Write([]byte{'S'}); err != nil {
		return err
	}
	secure := tls.Server(conn, s.tls)
	defer secure.Close()
	backend = pgproto3.NewBackend(secure, secure)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return err
	}

	backend.Send(&pgproto3.AuthenticationCleartextPassword{})
	if err := backend.Flush(); err != nil {
		return err
	}
	if err := backend.SetAuthType(pgproto3.AuthTypeCleartextPassword); err != nil {
		return err
	}
	message, err := backend.Receive()
	if err != nil {
		return err
	}
	password, ok := message.(*pgproto3.PasswordMessage)
	if !ok {
		return fmt.Errorf("got a %T, want a password", message)
	}
	if _, err := s.verifier.Verify(context.Background(), password.Password); err != nil {
		return refuse(backend, "28P01", "password authentication failed")
	}
	s.mu.Lock()
	s.tokens = append(s.tokens, password.Password)
	s.mu.Unlock()
	s.logins.Add(1)
	backend.Send(&pgproto3.AuthenticationOk{})
	backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for {
		if err := backend.Flush(); err != nil {
			return err
		}
		message, err := backend.Receive()
		if err != nil {
			return err
		}
		switch message.(type) {
		case *pgproto3.Query: // a comment, which pgx pings with
			backend.Send(&pgproto3.EmptyQueryResponse{})
			backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Terminate:
			return nil
		default:
			return refuse(backend, "0A000", fmt.Sprintf("%T is not served", message))
		}
	}
}

func refuse(backend *pgproto3.Backend, code, text string) error {
	backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: text})
	return backend.Flush()
}

// presented returns the tokens of the logins, in order.
func (s *fakePostgres) presented() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tokens)
}
