// Package consumer is a Kafka group consumer that hands records to Processors:
// in order within a key, several keys at once, committing only what is settled.
//
// It guarantees at-least-once processing: no offset is committed before every
// record below it has been settled. Within one assignment, records of one
// partition that share a key are processed in order and never two at once.
//
// A program fills a [Config], calls [New] and then [Consumer.Run], which returns
// when its context ends and all that it started has returned. The package knows
// the contract of package processor and nothing of Wasm; a program that runs Go
// processors needs no cgo.
package consumer
