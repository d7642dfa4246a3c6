// SPDX-License-Identifier: MIT

package apponly

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/keyfile"
)

// CertificateOptions are the settings of [Certificate]; nil is fine.
type CertificateOptions struct {
	// SendX5C sends the certificate chain with each assertion, for apps that
	// trust a subject name and issuer instead of one certificate.
	SendX5C bool
}

func (o *CertificateOptions) sendX5C() bool { return o != nil && o.SendX5C }

// CertificateFileOptions are the settings of [CertificateFile]; nil is fine.
type CertificateFileOptions struct {
	// KeyFile is where the private key is, if not in the certificate's file.
	KeyFile string
	// Password opens what is encrypted. Where nothing is, it is not used.
	Password string
	// PasswordFile holds the password; it is read for every token request, and
	// one trailing line break is dropped. Not together with Password.
	PasswordFile string
	// SendX5C is as in [CertificateOptions].
	SendX5C bool
}

// Certificate returns a credential that signs with key, which belongs to one
// certificate of chain. The key may be any crypto.Signer with an RSA key; the
// chain may be in any order. opts may be nil.
//
// The credential is equal only to itself: build it once and keep it, or clients
// built with it do not share their tokens. A key that hangs or panics fails the
// token request it was asked for and nothing else.
func Certificate(chain []*x509.Certificate, key crypto.Signer, opts *CertificateOptions) Credential {
	p, err := newPairs(chain, key)
	if err != nil {
		err = errorf(ErrCertificateInvalid, "apponly: certificate: %w", err)
	}
	sign, x5c := p.signWith(new(flight.Guard)), opts.sendX5C()
	return &credential{id: unique(), err: err, resolve: func(_ context.Context, req AssertionRequest, _ *fileReader) (*material, error) {
		return p.material(req, sign, x5c), nil
	}}
}

// CertificateFile returns a credential that reads certificate and key from a
// file for every token request, so that a renewed certificate counts from the
// next request on. The file is PEM, DER or PKCS#12, told apart by content; the
// certificates may be in any order, and the key in a file of its own. In PEM the
// key may be PKCS#1 or PKCS#8, plain or encrypted. A key is opened once for each
// content and password, however many tenants and clients ask; a file that asks for
// more than 10,000,000 iterations of a function that makes keys of passwords is
// refused. Each file may be at most 1 MiB.
//
// Of several certificates of the key, those valid now are sent first, the latest of
// them before the others, which follow if Entra refuses it. opts may be nil.
//
// path may also be a directory with tls.crt and, unless KeyFile names another,
// tls.key, as Kubernetes mounts a secret of the type kubernetes.io/tls.
//
// Clients built with the same paths and password share their tokens.
func CertificateFile(path string, opts *CertificateFileOptions) Credential {
	if opts == nil {
		opts = &CertificateFileOptions{}
	}
	if err := errors.Join(
		checkPath(ErrCredentialUnavailable, "the path of CertificateFile", path),
		checkPath(ErrCredentialUnavailable, "CertificateFileOptions.KeyFile", opts.KeyFile),
		checkPath(ErrCredentialUnavailable, "CertificateFileOptions.PasswordFile", opts.PasswordFile),
	); err != nil {
		return &credential{err: err}
	}
	f := certificateFile{path: absolute(path), keyPath: absolute(opts.KeyFile), passwordPath: absolute(opts.PasswordFile), x5c: opts.SendX5C}
	password := opts.Password
	if password != "" {
		f.mac = macOf(password)
	}
	c := &credential{id: f, files: watch(f.files()...)}
	if f.path == "" {
		c.err = errorf(ErrCredentialMissing, "apponly: path of the certificate file is empty")
	}
	if password != "" && f.passwordPath != "" {
		c.err = errors.Join(c.err, errorf(ErrConfiguration, "apponly: certificate file: both Password and PasswordFile are set"))
	}
	c.resolve = func(ctx context.Context, req AssertionRequest, files *fileReader) (*material, error) {
		p, err := readWith(ctx, files, f.path, func() (*pairs, error) { return f.load(files, password) })
		if err != nil {
			return nil, errorf(ErrCredentialUnavailable, "certificate file: %w", err)
		}
		return p.material(req, p.signWith(nil), f.x5c), nil
	}
	return c
}

// A certificateFile is what such a credential is known by.
type certificateFile struct {
	path, keyPath, passwordPath string
	x5c                         bool
	mac                         [sha256.Size]byte // of the password given by value
}

// files are the paths that are set, and those in them if they are directories.
func (f certificateFile) files() []string {
	files := slices.DeleteFunc([]string{f.path, f.keyPath, f.passwordPath}, func(p string) bool { return p == "" })
	return append(files, filepath.Join(f.path, "tls.crt"), filepath.Join(f.path, "tls.key"))
}

// inDirectory returns the files that a directory stands for. It is looked at each
// time: it may be mounted later.
func (f certificateFile) inDirectory() (certificateFile, error) {
	if info, err := os.Stat(f.path); err != nil || !info.IsDir() {
		return f, nil
	}
	crt := filepath.Join(f.path, "tls.crt")
	if _, err := os.Stat(crt); err != nil {
		return f, fmt.Errorf("%s is a directory, and has no tls.crt", f.path)
	}
	f.path, f.keyPath = crt, cmp.Or(f.keyPath, filepath.Join(f.path, "tls.key"))
	return f, nil
}

// load reads the files and parses what they hold, if that is new.
func (f certificateFile) load(files *fileReader, password string) (*pairs, error) {
	name := "the password"
	if f.passwordPath != "" {
		b, err := readFile(f.passwordPath)
		if err != nil {
			return nil, err
		}
		password = outsideText(string(b))
		name += " in " + f.passwordPath
	}
	f, err := f.inDirectory()
	if err != nil {
		return nil, err
	}
	content, err := readFile(f.path)
	if err != nil {
		return nil, err
	}
	var keyContent []byte
	if f.keyPath != "" {
		if keyContent, err = readFile(f.keyPath); err != nil {
			return nil, err
		}
	}
	sum := macOf(fmt.Sprint(len(content), " ", len(keyContent), " ", string(content), string(keyContent), password))
	p, err := files.parse(sum, func() (*pairs, error) { return f.parse(content, keyContent, password) })
	if stray := strayText(password); err != nil && stray != nil { // which a password may have, if it opens the file
		err = fmt.Errorf("%w; %s %w", err, name, stray)
	}
	return p, err
}

// parse makes pairs of what the files hold; keyContent is nil if there is one.
func (f certificateFile) parse(content, keyContent []byte, password string) (*pairs, error) {
	file, err := keyfile.Parse(content, password)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	if keyContent != nil {
		more, err := keyfile.Parse(keyContent, password)
		if err == nil {
			err = file.Join(more)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.keyPath, err)
		}
	}
	if file.Key == nil {
		return nil, fmt.Errorf("%s: no private key in it; where that is in a file of its own: KeyFile, APPONLY_CLIENT_CERTIFICATE_KEY_PATH", cmp.Or(f.keyPath, f.path))
	}
	p, err := newPairs(file.Certificates, file.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, withReason(err, file.Unparsed))
	}
	return p, nil
}

// withReason adds to err why a certificate was not parsed, which may be the one
// that is missed.
func withReason(err, unparsed error) error {
	if unparsed == nil {
		return err
	}
	return fmt.Errorf("%w; %w", err, unparsed)
}

// CertificateFunc returns a credential whose certificate and key fn is asked for
// at every token request, about once an hour for each tenant and scope: Key
// Vault, Vault. The tls.Certificate's PrivateKey must be a crypto.Signer with an
// RSA key; its Certificate is the chain in any order. opts may be nil.
//
// The credential is equal only to itself: build it once and keep it, or clients
// built with it do not share their tokens. fn must be safe for concurrent use.
// One that panics or ends its goroutine fails the request it was asked for; one
// that does not return in time is abandoned, and until it has, tried again after five
// minutes and ever less often.
func CertificateFunc(fn func(ctx context.Context) (*tls.Certificate, error), opts *CertificateOptions) Credential {
	c, x5c := &credential{id: unique()}, opts.sendX5C()
	if fn == nil {
		c.err = errorf(ErrCredentialMissing, "apponly: certificate function is nil")
	}
	var hung flight.Guard
	c.resolve = func(ctx context.Context, req AssertionRequest, _ *fileReader) (*material, error) {
		p, err := flight.Run(ctx, &hung, "the function", func(ctx context.Context) (*pairs, error) {
			cert, err := fn(ctx)
			switch {
			case err != nil:
				return nil, err
			case cert == nil:
				return nil, errors.New("returned neither a certificate nor an error")
			}
			return pairsOf(cert) // asks the key for its public part, which may be far away
		})
		if err != nil {
			return nil, errorf(ErrCredentialUnavailable, "certificate: %w", err)
		}
		return p.material(req, p.signWith(&hung), x5c), nil
	}
	return c
}

func pairsOf(cert *tls.Certificate) (*pairs, error) {
	key, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key is no crypto.Signer")
	}
	var chain []*x509.Certificate
	var unparsed error
	for _, der := range cert.Certificate {
		parsed, err := keyfile.ParseCertificate(der)
		if unparsed == nil {
			unparsed = err
		}
		if parsed != nil {
			chain = append(chain, parsed)
		}
	}
	p, err := newPairs(chain, key)
	if err != nil {
		return nil, withReason(err, unparsed)
	}
	return p, nil
}

// CertificateSigner returns a credential that has sign make its signatures. The
// first certificate of chain must be the one of the key, which has to be an RSA
// key. An assertion is used again for the same tenant for five minutes, so that
// the KMS is not asked for each request, and never after a refusal. opts may be
// nil.
//
// The credential is equal only to itself: build it once and keep it, or clients
// built with it do not share their tokens. A sign that panics or ends its
// goroutine fails the request it was asked for; one that does not return in time
// is abandoned, and until it has, tried again after five minutes and ever less often.
func CertificateSigner(chain []*x509.Certificate, sign SignFunc, opts *CertificateOptions) Credential {
	c, x5c := &credential{id: unique()}, opts.sendX5C()
	var p *pairs
	var err error
	switch {
	case sign == nil:
		err = errors.New("the sign function is nil")
	case len(chain) == 0 || chain[0] == nil:
		err = errors.New("no certificate")
	default:
		p, err = newPairs(chain, publicOnly{chain[0].PublicKey})
	}
	if err != nil {
		c.err = errorf(ErrCertificateInvalid, "apponly: certificate: %w", err)
	}
	var hung flight.Guard
	var made assertions
	guarded := func(ctx context.Context, digest []byte, o crypto.SignerOpts) ([]byte, error) {
		return askKey(ctx, &hung, "the sign function", func(ctx context.Context) ([]byte, error) { return sign(ctx, digest, o) })
	}
	c.resolve = func(_ context.Context, req AssertionRequest, _ *fileReader) (*material, error) {
		first := p.material(req, guarded, x5c)
		for m := first; m != nil; m = m.next {
			made.reuseFor(m)
		}
		return first, nil
	}
	return c
}

// publicOnly stands for a key that is elsewhere.
type publicOnly struct{ key crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.key }
func (publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the key is elsewhere")
}
