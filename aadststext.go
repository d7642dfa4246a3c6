// SPDX-License-Identifier: MIT

package apponly

import (
	"encoding/json"
	"slices"
	"strings"
)

// LookupText returns what is known of the errors that a text tells of, for tools:
// the JSON of an answer of Entra's, lines of a log, the text of an [Error], a
// number, the error of RFC 6749 section 5.2 or a [Kind] by itself. Each is there once;
// of an answer the one that decides comes first. An entry without a Kind is a number
// that is not known, one without a Code an error that has none.
func LookupText(text string) []AADSTS {
	text = strings.TrimSpace(text)
	if found, ok := lookupAnswer(text); ok {
		return found
	}
	var found []AADSTS
	add := func(a AADSTS) {
		if !slices.Contains(found, a) {
			found = append(found, a)
		}
	}
	if codes := wholeNumbers(text); len(codes) == 1 && strings.Trim(text, "0123456789") == "" {
		add(lookupNumber(codes[0]))
	}
	for _, rest := range strings.Split(strings.ToUpper(text), "AADSTS")[1:] {
		digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
		for _, code := range wholeNumbers(digits) {
			add(lookupNumber(code))
		}
	}
	if len(found) > 0 {
		return found
	}
	for _, rest := range strings.Split(text, troubleshooting)[1:] {
		word := rest[:len(rest)-len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyz0123456789_"))]
		if a, ok := lookupWord(word); ok {
			add(a)
		}
	}
	if a, ok := lookupWord(text); ok {
		add(a)
	}
	return found
}

// lookupAnswer reads what may be the body of an answer, with or without text around
// it, as a client logs it.
func lookupAnswer(text string) (found []AADSTS, ok bool) {
	from, to := strings.IndexByte(text, '{'), strings.LastIndexByte(text, '}')
	if from < 0 || to < from || !json.Valid([]byte(text[from:to+1])) {
		return nil, false
	}
	b, codes := parseEntraError([]byte(text[from : to+1]))
	code, kind, known := b.decide(codes, ErrCredential)
	if len(codes) == 0 && kind == ErrOther {
		return nil, false // somebody else's JSON, perhaps with an answer quoted in it
	}
	first := AADSTS{Code: code, Kind: kind, Remedy: kind.Remedy()}
	if known {
		first = lookupNumber(code)
		first.Kind, first.Remedy = kind, kind.Remedy() // a number may have two meanings
	}
	found = []AADSTS{first}
	for _, other := range codes {
		if other != code {
			found = append(found, lookupNumber(other))
		}
	}
	return found, true
}

func lookupNumber(code int) AADSTS {
	a, _ := LookupAADSTS(code)
	a.Code = code
	return a
}

// lookupWord returns what a kind, or the error of RFC 6749, comes to.
func lookupWord(word string) (AADSTS, bool) {
	kind := Kind(word)
	if _, ok := kinds[kind]; !ok {
		_, kind, _ = (&entraError{OAuthError: word}).decide(nil, ErrCredential)
		if kind == ErrOther {
			return AADSTS{}, false
		}
	}
	return AADSTS{Kind: kind, Remedy: kind.Remedy()}, true
}
