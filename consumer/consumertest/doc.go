// Package consumertest proves what a consumer promises.
//
// A [Cluster] is a Kafka cluster in memory for use within a testing/synctest
// bubble: real protocol, virtual time. A [History] writes down what was produced,
// processed and committed. The guarantees ([AtLeastOnce], [KeyOrder], [OneAtATime],
// [CommitsBehind]) look at a History and say where it breaks them; a test is a few
// lines that make trouble and then ask for all of them, or name those that it gives
// up.
//
//	synctest.Test(t, func(t *testing.T) {
//		cluster := consumertest.NewCluster(t, 3)
//		cluster.Produce(10_000)
//		a := cluster.Start("a", consumer.Config{Concurrency: 4})
//		b := cluster.Start("b", consumer.Config{Concurrency: 4})
//		time.Sleep(time.Minute)
//		a.Stop()
//		b.Stop()
//		cluster.Check(t)
//	})
//
// Build with -tags synctests: under that tag the Kafka client's mutexes are ones
// that a bubble can see as blocked.
package consumertest
