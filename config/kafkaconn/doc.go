// Package kafkaconn turns what config says of a cluster into kafka-go's
// Transport and Dialer: client id, time limits, TLS and SASL. It stands apart
// from config, so that what only reads a configuration links no Kafka client.
//
// It promises that both carry all of config.Kafka that a connection
// hangs on, and that an unknown mechanism or an unreadable file is an error and
// never a connection without the protection that was asked for. It dials nobody, but for the
// tokens of OAUTHBEARER, which are fetched when a connection needs one.
package kafkaconn
