// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"strings"
)

// didYouMean names the candidate that a word was probably meant to be.
func didYouMean(word string, candidates []string) string {
	best, nearest := "", 3
	for _, c := range candidates {
		if d := distance(word, c); d < nearest && d < len(c) {
			best, nearest = c, d
		}
	}
	if best == "" {
		return ", want one of " + strings.Join(candidates, ", ")
	}
	return fmt.Sprintf(", did you mean %s?", best)
}

// distance is the number of letters to insert, drop or replace (Levenshtein).
// Words that differ much in length are far apart and not compared.
func distance(a, b string) int {
	if d := len(a) - len(b); d > 3 || d < -3 {
		return 4
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
