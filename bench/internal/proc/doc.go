// Package proc starts the processes that are measured and reads from Linux what
// they cost: CPU time and peak memory by /proc/PID, and at the end by rusage.
// A process started here dies with the bench.
package proc
