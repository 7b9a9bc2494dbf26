// Package group says which tasks this process should own, by the membership of
// a Kafka consumer group.
//
// Membership is a hint and not a guarantee: two processes may both believe for a
// while that a task is theirs. The transactional ids decide; this package only
// makes it rare. A task is a partition number of all input topics together, and
// the balancer is sticky: a rebalance moves no more tasks than it must, so most
// go on without a pause while the group talks.
//
// It may import kafka-go. It knows no task, no core, no store.
package group
