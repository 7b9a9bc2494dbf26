// Package micro holds the micro-benchmarks of what is done per event: decoding,
// a task's step with all customers in memory, rows, triggers. They use the
// playbook and the orders of the bench, so that their sums can be held against
// what `make bench` measures from outside. Read them with benchstat.
package micro
