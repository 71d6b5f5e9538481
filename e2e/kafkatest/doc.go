// Package kafkatest runs real Apache Kafka brokers for tests and for people who
// want one on their desk: one node, or three that make a cluster, on loopback.
//
// A broker is a Java process. Its jars come from Maven Central through Maven,
// once; so Maven and a Java runtime of version 17 or newer must be there, and
// nothing else. Start returns when every node answers; Stop ends them. Nodes
// started for a test die with the test's process, even if that is killed.
package kafkatest
