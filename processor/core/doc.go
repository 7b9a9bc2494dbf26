// Package core is one task as a pure state machine.
//
// A task is one partition number of all input topics. Its state is a function
// of what it took, in the order in which it took it: records, ticks of the
// clock, steps of a sweep. The caller hands these in by Take, Tick and Sweep;
// what the caller must then do comes out as a Ready:
//
//	core.Take(records) ... core.Tick(to) ...  →  core.Ready()
//	  1. publish Ready.Out, Ready.Transfers, Ready.Controls and
//	     Ready.Journal in one transaction
//	  2. only when that is committed: Store.Apply(Ready.Batch, Ready.Position)
//	  3. core.Applied(Ready.Sequence)
//
// The caller may go on with Take while a Ready is on its way. If its outcome
// is not a definite success, the caller throws the Core away, and a new one is
// made from the store and the journal.
//
// Invariants
//
//   - Nothing here reads a clock, a random number, the environment, or the
//     order of a map. There is no goroutine, no lock and no I/O but the reads of
//     the Reader, whose answers are the state itself.
//   - The same inputs give the same bytes: triggers, state, journal. Neither
//     the size of the cache, nor where a Ready is cut, nor a crash between two
//     Readys changes what is published, only how it is parcelled.
//   - The clock never goes back. Timers fire in the order of (due, customer).
//     At one instant events come before timers: a silence is over when its last
//     instant has passed without an order. What is due for the task as a whole
//     comes before both: a period holds what happened before its end, and new
//     cuts hold from their instant on.
//   - A step works to a Budget and may stop inside a tick or a sweep; the
//     journal says after how many units of work, so a replay stops there too.
//   - A row in the store never knows an event that the Position does not.
//   - Every record taken either is applied, or is a repeat and changes nothing,
//     or is a dead letter; never half of it, but for a refund's excess, whose
//     part within what was paid is applied.
//
// # How a change of the past is told
//
// Each rule moves between phases at instants (rule.eval); a move may begin an
// episode (FIRED) or end one (ENDED). An event in order is one step at its
// instant. An event that changes the past within correct_within rewinds: the
// rule runs again from that instant over the history as known now, and what it
// then says is laid beside what was published (rewind.go): what is missing is
// RETRACTED, what says other values is CORRECTED, what is new is FIRED; an episode
// that is over says ENDED again instead of CORRECTED. Two events at one instant
// make one move, the second corrects it. Beyond correct_within the past stands,
// and the change is an ordinary one now; so it does before the instant at which a
// playbook armed the rule, and as far back as orders were folded into sums.
//
// Every line of evidence is true of the facts as known when it is published. In
// FIRED and CORRECTED it proves the trigger; in RETRACTED, and in an ENDED whose
// past was changed since, it may say the opposite of what was said before.
//
// The package may import schemas, state, playbook, and the domain rooms under
// processor. It must never import Kafka, Pebble, OpenTelemetry, os, net or sync.
package core
