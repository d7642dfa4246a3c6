// SPDX-License-Identifier: MIT

package apponly

import (
	"encoding/base64"
	"errors"
	"net/url"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/apponly/apponly/internal/ident"
)

const byteOrderMark = "\ufeff"

// outsideText returns what a file, a variable or a callback means: without the
// byte order mark that Windows editors and PowerShell put in front, and without
// one trailing line break.
func outsideText(s string) string {
	return strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(s, byteOrderMark), "\n"), "\r")
}

// envValue drops the white space that "echo" and heredocs leave around a value.
func envValue(name string) string { return strings.TrimSpace(outsideText(os.Getenv(name))) }
func isSet(name string) bool      { return envValue(name) != "" }

// strayText names what no secret, password or assertion has and what carried it
// here has added: "is in quotes". It is nil if there is nothing, and never quotes.
func strayText(s string) error {
	text := ""
	switch {
	case strings.HasPrefix(s, "\xff\xfe"), strings.HasPrefix(s, "\xfe\xff"):
		text = "is text in UTF-16; convert with: iconv -f UTF-16 -t UTF-8"
	case !utf8.ValidString(s):
		text = "is binary data, not text"
	case strings.ContainsFunc(strings.TrimSpace(s), func(r rune) bool { return r < ' ' || r == 0x7f }):
		text = "has line breaks or control characters inside"
	case strings.ContainsFunc(s, invisible):
		text = "has characters in it that cannot be seen (zero-width, a soft hyphen or a byte order mark)"
	case strings.ContainsFunc(s, func(r rune) bool { return r > '~' && unicode.IsSpace(r) }):
		text = "has a no-break space or another blank that is not ASCII in it"
	case strings.TrimSpace(s) != s:
		text = "has blanks or line breaks at its start or end"
	case isAssignment(s):
		text = "is a NAME=value: want the value alone"
	case ident.InQuotes(s):
		text = "is in quotes: docker --env-file and kubectl's --from-env-file keep them"
	default:
		return nil
	}
	return errors.New(text)
}

// invisible reports whether r takes no room: format characters such as the
// zero-width ones, which web pages and chats put into what is copied.
func invisible(r rune) bool {
	return unicode.Is(unicode.Cf, r) || r == '\u034f' || r >= 0xfe00 && r <= 0xfe0f
}

// isAssignment reports whether s begins with the name of an environment variable
// and a sign of equality: of capital letters, with a line below, as the names in
// use have and base64 with its padding has not.
func isAssignment(s string) bool {
	name, _, found := strings.Cut(strings.TrimPrefix(s, "export "), "=")
	return found && strings.Contains(strings.Trim(name, "_"), "_") && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == ""
}

// resemblance says what a secret seems to be instead, for when Entra has refused
// it; "" if it looks like one.
func resemblance(secret string) string {
	switch s := secret; {
	case ident.IsGUID(s):
		return "what was sent is a GUID: the ID of the secret instead of its value, it seems"
	case strings.HasPrefix(s, "$(") || strings.HasPrefix(s, "${") || strings.HasPrefix(s, "{{") || strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") || strings.HasPrefix(s, "@Microsoft.KeyVault("):
		return "what was sent is a placeholder that nothing has filled in, it seems"
	case strings.Contains(s, "://"):
		return "what was sent is a URL: of a vault, it seems, instead of what it holds"
	case strings.HasPrefix(s, "{") || strings.HasPrefix(s, "["):
		return "what was sent is JSON, it seems, with the secret inside"
	case isPath(s):
		return "what was sent is a path, it seems: SecretFile and APPONLY_CLIENT_SECRET_FILE read files"
	case isBase64Text(s):
		return "what was sent is the base64 of a text, it seems: decode it"
	case strings.Contains(s, "***") || strings.Contains(s, "•••"):
		return "what was sent is masked, it seems: the portal shows a secret once, when it is made"
	case isNamed(s):
		return "what was sent is a name and a value, it seems: want the value alone"
	case isEscaped(s):
		return "what was sent is percent-encoded, it seems: decode it"
	case strings.ContainsAny(s, " \\\"'`"):
		return "what was sent is more than a secret, it seems: it has blanks, quotes or backslashes in it"
	case len(s) < 16:
		return "what was sent is shorter than Entra's secrets are: a word that stands for one, it seems"
	}
	return ""
}

// isNamed reports whether s is a name and a value as environment files and YAML have
// them. The signs of equality at the end of base64 are none.
func isNamed(s string) bool {
	name, value, found := strings.Cut(s, "=")
	if !found {
		name, value, found = strings.Cut(s, ": ")
	}
	odd := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.", r)
	}
	return found && strings.Trim(value, "=") != "" && !strings.ContainsFunc(name, odd)
}

func isEscaped(s string) bool {
	plain, err := url.PathUnescape(s)
	return err == nil && plain != s
}

// isPath reports whether s is an absolute path or one below the working directory.
func isPath(s string) bool {
	windows := len(s) > 2 && s[1] == ':' && (s[2] == '\\' || s[2] == '/') && unicode.IsLetter(rune(s[0]))
	return windows || strings.HasPrefix(s, "/") && strings.Count(s, "/") > 1 || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || strings.HasPrefix(s, "~/")
}

// isBase64Text reports whether s is the base64 of printable text, as Kubernetes
// shows secrets. Secrets of Entra have a tilde, which base64 has not.
func isBase64Text(s string) bool {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	printable := func(r rune) bool { return r >= ' ' && r <= '~' || r == '\n' || r == '\r' }
	return err == nil && len(b) >= 8 && strings.IndexFunc(string(b), func(r rune) bool { return !printable(r) }) < 0
}
