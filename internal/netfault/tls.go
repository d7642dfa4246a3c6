// SPDX-License-Identifier: MIT

package netfault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

// findCertificate knows why a server's certificate was not accepted.
func findCertificate(err error) fault {
	reason, cause := certificate(err)
	if cause == nil {
		return fault{}
	}
	return fault{"TLS: the server's certificate was not accepted: " + reason, cause, true}
}

func certificate(err error) (reason string, cause error) {
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		if strings.Contains(e.Error(), "insecure algorithm") {
			return "it, or one above it, is signed with an algorithm that is not secure, such as SHA-1", e
		}
		return "unknown authority; behind an inspecting proxy its root must be trusted", e
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		if strings.Contains(e.Error(), "legacy Common Name") {
			return "it names its host in the common name only, which is not looked at", e
		}
		return "it is for another host", e
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return invalid(e), e
	}
	if e, ok := errors.AsType[x509.InsecureAlgorithmError](err); ok {
		return "its signature algorithm is not secure", e
	}
	if e, ok := errors.AsType[x509.UnhandledCriticalExtension](err); ok {
		return "it has a critical extension that is not understood", e
	}
	if e, ok := errors.AsType[x509.ConstraintViolationError](err); ok {
		return "its issuer must not issue it", e
	}
	if e, ok := errors.AsType[x509.SystemRootsError](err); ok {
		return "the roots of this machine cannot be loaded", e
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "verification failed", e
	}
	return "", nil
}

// invalid says what is wrong with a certificate, without its times.
func invalid(e x509.CertificateInvalidError) string {
	switch e.Reason {
	case x509.Expired:
		switch now := time.Now(); {
		case e.Cert == nil:
			return "it is not valid now"
		case now.Before(e.Cert.NotBefore):
			return "it is not valid yet, by the clock of this machine"
		}
		return "it has expired, by the clock of this machine"
	case x509.NotAuthorizedToSign:
		return "its issuer is no certificate authority"
	case x509.IncompatibleUsage:
		return "it is not for servers"
	case x509.TooManyIntermediates:
		return "there are more certificates above it than one of them allows"
	case x509.NameConstraintsWithoutSANs, x509.CANotAuthorizedForThisName, x509.UnconstrainedName:
		return "its issuer must not issue for this host"
	case x509.NameMismatch:
		return "its issuer's name is not that of the certificate above it"
	}
	return "it is not valid"
}

// findHandshake knows what else keeps two sides from speaking TLS.
func findHandshake(err error) fault {
	if errors.Is(err, http.ErrSchemeMismatch) {
		return plainHTTP
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if string(e.RecordHeader[:]) == "HTTP/" {
			return plainHTTP
		}
		// Without the connection.
		return fault{"TLS: what answers does not speak TLS", tls.RecordHeaderError{Msg: e.Msg, RecordHeader: e.RecordHeader}, true}
	}
	if alert, ok := alertOf(err); ok {
		text := strings.TrimPrefix(alert.Error(), "tls: ")
		return fault{"TLS: the server ended the handshake: " + text, alert, permanentAlerts[alert]}
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if f := ownHandshake(err.Error()); f.reason != "" {
			return f
		}
	}
	return fault{}
}

var plainHTTP = fault{"TLS: the server speaks plain http on this port, not https", http.ErrSchemeMismatch, true}

// alertOf returns the alert of the other side. Package tls has a type for it that
// only QUIC sees; over TCP its text is all there is.
func alertOf(err error) (tls.AlertError, bool) {
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return alert, true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" && op.Err != nil {
		text := op.Err.Error()
		for n := range 256 {
			if alert := tls.AlertError(n); alert.Error() == text {
				return alert, true
			}
		}
	}
	return 0, false
}

// permanentAlerts are those that the same handshake will meet again (RFC 8446
// section 6.2).
var permanentAlerts = map[tls.AlertError]bool{
	40: true, 42: true, 43: true, 44: true, 45: true, 46: true, 47: true, 48: true, 49: true,
	70: true, 71: true, 86: true, 109: true, 110: true, 112: true, 116: true, 120: true,
}

// ownHandshake knows the texts with which package tls gives up.
func ownHandshake(text string) fault {
	switch rest, unreadable := strings.CutPrefix(text, "tls: failed to parse certificate from server: "); {
	case unreadable && strings.HasPrefix(rest, "x509: negative serial number"):
		return fault{"TLS: the server's certificate cannot be read: its serial number is negative; GODEBUG=x509negativeserial=1 accepts it", nil, true}
	case unreadable:
		reason := "TLS: the server's certificate cannot be read"
		if words := plainWords(strings.TrimPrefix(rest, "x509: ")); words != "" {
			reason += ": " + words
		}
		return fault{reason, nil, true}
	case strings.HasPrefix(text, "tls: server selected unsupported protocol version"):
		return fault{"TLS: the server speaks none of the versions 1.2 and 1.3", nil, true}
	case strings.HasPrefix(text, "tls: "):
		if words := plainWords(strings.TrimPrefix(text, "tls: ")); words != "" {
			return fault{"TLS: " + words, nil, false}
		}
	}
	return fault{}
}

// plainWords returns a text of package x509 or tls, which speak in a few words, or
// "" if it could be anything else.
func plainWords(text string) string {
	const longestText, longestWord = 100, 20
	if len(text) > longestText || strings.ContainsFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || strings.ContainsRune(" ,-'()/", r))
	}) {
		return ""
	}
	for word := range strings.FieldsSeq(text) {
		if len(word) > longestWord {
			return ""
		}
	}
	return text
}
