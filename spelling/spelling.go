// Package spelling finds the word that a slip of the pen may have meant, for error
// messages. It imports nothing of Tidemark.
package spelling

import "strings"

// Nearest is the first of the words that are nearest to word, "" if none is near
// enough: more than a third of its letters, or more than four slips, are another word.
func Nearest(word string, words []string) string {
	best, limit := "", min(len([]rune(word))/3+1, 4)
	for _, w := range words {
		if d := Distance(strings.ToLower(word), strings.ToLower(w), limit); d < limit || d == limit && best == "" {
			best, limit = w, d
		}
	}
	return best
}

// Distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours. Whatever is over limit is limit + 1.
func Distance(a, b string, limit int) int {
	s, t := []rune(a), []rune(b)
	if max(len(s)-len(t), len(t)-len(s)) > limit {
		return limit + 1
	}
	before := make([]int, len(t)+1)
	last := make([]int, len(t)+1)
	row := make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(s); i++ {
		row[0] = i
		for j := 1; j <= len(t); j++ {
			cost := 1
			if s[i-1] == t[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(t)], limit+1)
}
