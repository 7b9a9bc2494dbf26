// Package playbook turns what the business decides, a YAML file, into rules
// that the core can run.
//
// # What it promises
//
//   - Compile is a pure function of the text: the same text gives the same
//     Playbook and the same Version on every machine, given the same time zone
//     data. It reads no clock, no environment, no network and no other file: a
//     parameters file that the text names is put into the text before, by
//     Resolve (Load and LoadFS do it), so that it is part of the version.
//   - It never panics, whatever the bytes, and never stops at the first mistake:
//     an *Errors value lists every one, with line, column, path, what is wrong
//     and what is allowed.
//   - What it does not understand it refuses. A key or a value that belongs to
//     the planned language but that this engine cannot run yet is refused with
//     the words "not yet in this version"; nothing is silently ignored.
//   - A Playbook is immutable after Compile and safe for concurrent use.
//   - No binary rounding: amounts become minor units (ISO 4217 exponents),
//     durations milliseconds, percentages parts per million, all exactly, or the
//     text is refused. Only the parameters of models are floating point.
//
// # The form of the file
//
// Keys are snake_case. Durations are whole numbers with a unit, largest unit
// first: 30d, 12h, 10m, 2s, 13w, 1d12h, 500ms; a day is always 24 hours. Shares are
// percentages, 10% or 2.5%. Money is a decimal number or string in the
// playbook's currency, with at most that currency's decimals. Instants are
// RFC 3339, or a date, which means the first moment of that local day.
// Anchors, aliases, merge keys, tags and several documents are refused: a
// playbook is read by people who do not write YAML for a living, and each
// value shall stand where it is used.
//
// # Versions
//
// The version of a playbook is "<the file's version or 1>-<8 hex digits>". The
// digits are the first four bytes of the SHA-256 of the canonical text: the
// parsed document as compact JSON, keys sorted by their bytes, lists in their
// order, every scalar as the string that it stands for. Comments, spacing,
// quoting, the order of keys and block or flow style do not change it; any
// value does, even where the rules come out the same (1.0 for 1).
//
// # Conditions
//
// Conditions are CEL without macros and without functions of time, over the
// typed facts of one customer; see NewCondition. Money is in minor units there, and
// the names say so: spend_minor >= 5000 is fifty dollars, or five thousand yen.
//
// # Imports
//
// Of Tidemark this package imports schemas, and nothing else. It never logs.
package playbook
