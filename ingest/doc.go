// Package ingest turns files into one stream of sorted events: JSON Lines as
// the contract has them, and CSV files described by a mapping (see MAPPING.md).
//
// What it promises:
//
//   - Order. Next gives the events by (OccurredAt, orders before behaviors,
//     place in the sources: source by source, line by line). An event made of
//     several lines stands at its first line. The same sources give the same
//     events in the same order whatever the memory budget and however many
//     workers parse.
//   - Memory. Records beyond Options.MemoryBytes go to one temporary file in
//     sorted runs that Next merges; it is gone after Close, and on systems that
//     let an open file be unlinked it is gone even if the process is killed.
//     Input that is sorted already becomes one run, read straight back.
//   - Identity. The event ids of CSV rows are a hash of the mapping's name and
//     the rows' text, so a second run over the same or an overlapping export
//     repeats no event. Renaming a mapping makes new events of old rows.
//   - Money. Decimal text becomes minor units in integer arithmetic; what does
//     not fit exactly is a problem unless the mapping asks for rounding.
//   - Nothing is dropped in silence: a line is an event or part of one, or it is
//     counted under the skip rule that took it, or it is a Problem with its line.
//
// The package imports schemas and nothing else of Tidemark. It never logs and
// keeps no goroutine after Open has returned.
package ingest
