// Package census counts what is left behind by a run: what stands in the
// stores, what they take on disk, and what the journal topic holds.
package census
