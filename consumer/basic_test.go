//go:build synctests

package consumer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/consumer/consumertest"
)

func TestAllRecordsAreProcessedAndCommitted(t *testing.T) {
	for _, lanes := range []int{1, 4, 300} {
		synctest.Test(t, func(t *testing.T) {
			cluster := consumertest.NewCluster(t, 3)
			cluster.Produce(10_000)
			m := cluster.Start("a", consumer.Config{Concurrency: lanes})
			time.Sleep(10 * time.Second)
			if s := m.Stats(); s.Processed != 10_000 || s.Failed != 0 || s.Lag != 0 || s.Assigned != 3 {
				t.Errorf("stats: %+v", s)
			}
			if err := m.Stop(); err != nil {
				t.Error(err)
			}
			cluster.Check(t, consumertest.All...)
			for id, end := range cluster.Ends() {
				if at := cluster.Committed()[id]; at != end {
					t.Errorf("partition %d: committed %d of %d", id, at, end)
				}
			}
		})
	}
}
