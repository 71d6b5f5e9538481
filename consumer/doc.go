// Package consumer is a Kafka group consumer that hands records to Processors:
// in order within a key, several keys at once, committing only what is settled.
//
// It guarantees:
//   - At least once. No offset is committed before every record below it has been
//     settled, and each record from the group's start on is delivered.
//   - Order by key. Within one assignment, records of one partition that share a key
//     are processed in order and never two at once. With one lane a partition
//     (Config.Concurrency) the whole partition is in order.
//   - Commits by the owner alone. A record that finishes after its partition went to
//     another member commits nothing.
//   - Interrupted is not failed. Work that a stop or a rebalance cuts short is
//     delivered again, and no policy for failures applies to it.
//
// What it does not: a record may be delivered more than once, after a crash, a lost
// session, or work that was cut. A Processor that does not return when its context
// ends is left behind at a rebalance, and may then run beside its successor in
// another process.
//
// A program fills a [Config], calls [New] and then [Consumer.Run], which returns when
// its context ends and all that it started has returned. [Consumer.Stats] may be
// called from anywhere at any time. Processors are called from goroutines of the
// consumer, one each at a time. The package knows the contract of package processor
// and nothing of Wasm; a program that runs Go processors needs no cgo.
//
// # The way of a record
//
//	poll.go        takes what the client fetched, and admits it to its partition
//	assignment.go  partitions come and go
//	partition.go   one assignment of a partition: what is pending, what is settled
//	scheduler.go   which record may run next
//	lane.go        one goroutine, one Processor, a batch at a time
//	settle.go      what an outcome leads to
//	commit.go      watermarks to offsets to the broker
//
// connect.go and start.go come before, end.go and tail.go find the end; failure.go
// tells what heals from what does not.
package consumer
