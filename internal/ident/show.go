// SPDX-License-Identifier: MIT

package ident

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// What stands in the wrong place is often a secret: variables get swapped, and a
// value is given where the path of a file is wanted. These functions decide how much
// of it may be shown.

const pemBlock = "a PEM block"

// Misplaced says what a text is that may be a secret, such as "a JWT", "" if it does
// not look like one. What people choose for a password cannot be told from a word.
func Misplaced(s string) string {
	trimmed := strings.TrimSpace(s)
	switch {
	case strings.Contains(s, "-----BEGIN"):
		return pemBlock
	case strings.HasPrefix(trimmed, "eyJ"): // {" in base64
		return "a JWT"
	case strings.ContainsFunc(trimmed, unicode.IsControl):
		return "text of several lines, or binary data"
	}
	if slices.ContainsFunc(strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(`/\ :"'`, r) }), isRandom) {
		return "what looks like a secret"
	}
	return ""
}

// isRandom reports whether a piece without separators looks generated. Every secret
// that Entra makes has a tilde in it; in others small letters, capitals and digits
// follow each other without a pattern, other than in names made of words.
func isRandom(s string) bool {
	const shortest = 16
	if len(s) < shortest {
		return false
	}
	if i := strings.LastIndexByte(s[:len(s)-1], '~'); i > 0 {
		return true
	}
	var seen [4]bool
	changes := 0
	for i := range len(s) {
		class := classOf(s[i])
		seen[class] = true
		if i > 0 && class != classOf(s[i-1]) {
			changes++
		}
	}
	return seen[1] && seen[2] && seen[3] && changes*5 >= len(s)*2
}

func classOf(c byte) int {
	switch {
	case 'a' <= c && c <= 'z':
		return 1
	case 'A' <= c && c <= 'Z':
		return 2
	case '0' <= c && c <= '9':
		return 3
	}
	return 0
}

// NoPath says what a text is that stands in place of the path of a file and is none,
// "" if it may be one. What begins like a path may go on with names of any kind.
func NoPath(s string) string {
	what := Misplaced(s)
	switch {
	case what == pemBlock:
		return what
	case len(s) > 4096:
		return fmt.Sprintf("a text of %d bytes", len(s))
	case beginsPath.MatchString(s):
		return ""
	case what == "" && (placeholder.MatchString(s) || strings.HasPrefix(s, "$") || strings.HasPrefix(s, "~/")):
		return "a placeholder that nothing has filled in, or a URL"
	case strings.ContainsAny(s, `"<>|*?`):
		return cmp.Or(what, "a text with characters that no path has")
	}
	return what
}

var beginsPath = regexp.MustCompile(`^(/|\.{1,2}[/\\]|[A-Za-z]:[/\\]|\\\\)`)

// placeholder is what is left of a template that was not filled in, a reference that
// nobody has resolved, or a URL.
var placeholder = regexp.MustCompile(`^(\$\([^)]*\)|\$\{[^}]*\}|\$[A-Z][A-Z0-9_]+$|\{\{.*\}\}|\[\[.*\]\]|#\{[^}]*\}|<[^>]*>|%[A-Za-z_]+%|__\w+__|@Microsoft\.KeyVault\(|[a-z][a-z0-9+.-]*://[^@]*$)`)

// Quote returns a text that is no identifier, for an error: as much of it as may be
// shown. That is a mistyped GUID or a word as short as no secret, in quotes or not,
// and the beginning of a placeholder.
func Quote(id string) string {
	bare := strings.Trim(id, `"'`)
	word := len(bare) <= 14 && strings.Trim(strings.ToLower(bare), "abcdefghijklmnopqrstuvwxyz0123456789-_./* ") == ""
	switch {
	case word, strings.Trim(bare, "0123456789abcdefABCDEF-{} ") == "":
		return strconv.Quote(OneLine(id, 60))
	case placeholder.MatchString(bare) && Misplaced(bare) == "" && strings.Trim(bare, placeholderChars) == "":
		return strconv.Quote(OneLine(id, 40))
	}
	return fmt.Sprintf("of %d bytes", len(id))
}

const placeholderChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_./:$#@%(){}[]<>|\"'="

// QuoteWord is [Quote] for the name of a setting, which is a word and may be long.
func QuoteWord(s string) string {
	if len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_, ") == "" {
		return strconv.Quote(s)
	}
	return Quote(s)
}
