// Package touch (触达) answers what a touch policy asks of local time and of what
// was sent before: when quiet hours end, and how many touches a window holds.
//
// # What it promises
//
//   - QuietEnd never returns an instant that lies in quiet hours by the local
//     clock, summer time included, nor one before the instant asked about.
//   - Count holds what lies in the window that ends at an instant, that instant
//     included: a touch at it as well would be one more.
//
// The package is pure; it may import playbook, processor/history and schemas.
package touch
