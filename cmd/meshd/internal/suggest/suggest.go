// Package suggest finds the known word that a misspelled one was probably meant to be. It knows nothing of what the
// words name: commands, flags, YAML keys and environment variables all use it.
package suggest

import "strings"

// Closest returns the known word with the fewest edits (insert, delete, replace, swap of neighbours) to word, ignoring
// case, and whether it is close enough to be worth naming: at most one edit in three letters. The first of equals wins.
func Closest(word string, known []string) (string, bool) {
	best, bestEdits := "", 1+max(1, len(word)/3)
	for _, k := range known {
		if edits := distance(strings.ToLower(word), strings.ToLower(k)); edits < bestEdits {
			best, bestEdits = k, edits
		}
	}
	return best, best != ""
}

// Hint is Closest as the tail of an error message: `; did you mean "x"?`, or nothing.
func Hint(word string, known []string) string {
	if k, ok := Closest(word, known); ok {
		return `; did you mean "` + k + `"?`
	}
	return ""
}

// distance is the optimal string alignment distance in bytes: enough for names that are all ASCII.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
