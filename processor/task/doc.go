// Package task says how far a customer has come with a task (任务): which steps
// of the round under way are done, how often the task was completed, and when
// time alone may do the next step.
//
// # What it promises
//
//   - Eval is a pure function of the history up to an instant and of the position
//     before it: the same history gives the same steps, whatever was published.
//   - A round is what can be completed AtMost times: a cycle of the calendar, a
//     season, the time since an event opened it or since the customer entered. What
//     was done of an older round does not count in the next.
//   - What counts for a step comes after the round opened and, where steps are
//     chained, after the step before it. The event that does one step counts for no
//     later one.
//   - Who a task is open to is asked as of just before the instant, so what a task
//     gives can't take back that it was done.
//
// The package is pure. It may import playbook, processor/facts,
// processor/history and schemas.
package task
