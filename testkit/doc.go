// Package testkit gives tests a Kafka to talk to, and an independent client,
// franz-go, to fill topics and to read what was published.
//
// The broker is a real one if the environment variable TIDEMARK_KAFKA names it
// (host:port; `make kafka-start` starts one), else one inside the test's process. A
// test is written once for both.
//
// # What it promises
//
//   - Tests share nothing: without TIDEMARK_KAFKA each test has a broker of its own,
//     and with it each topic and each Unique name is new.
//   - What it started ends with the test that asked for it.
//   - No call hangs: each one fails the test after Limit, or shortly before
//     the test binary's own deadline.
//   - Readers read by position, to the end that the broker named when the call began: an
//     aborted transaction or a control batch at the end of a log neither hangs nor shortens them.
//
// The embedded broker and registry are Tidemark's own, so the tests inside their
// packages (package broker, package registry) can't import this one; broker_test can.
//
// Every function that takes a testing.TB fails the test itself and returns no
// error. Only tests may import this package.
package testkit
