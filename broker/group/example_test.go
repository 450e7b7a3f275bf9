package group_test

import (
	"fmt"

	"github.com/hapaxmq/hapax/broker/group"
)

// A caller under its lock: what a request brings about goes to the log, and once
// that is synced the replies go out.
func Example() {
	settings := group.Defaults()
	settings.InitialDelay = 0
	groups := group.New(settings)
	var log [][]byte

	now := int64(1_700_000_000_000)
	answer := func(step group.Step) {
		for _, event := range step.Events {
			log = append(log, event.Append(nil))
		}
		for _, reply := range step.Replies {
			switch {
			case reply.Join != nil:
				fmt.Printf("request %d: %s in generation %d\n", reply.Ticket, reply.Join.Member, reply.Join.Generation)
			case reply.Sync != nil:
				fmt.Printf("request %d: %s\n", reply.Ticket, reply.Sync.Assignment)
			}
		}
	}
	answer(groups.Join(1, group.JoinRequest{
		Group: "orders", ClientID: "billing", Fresh: "5f2c", SessionTimeout: 10_000, RebalanceTimeout: 60_000,
		ProtocolType: "consumer", Protocols: []group.Protocol{{Name: "range"}},
	}, now))
	answer(groups.Sync(2, group.SyncRequest{
		Group: "orders", Member: "billing-5f2c", Generation: 1,
		Assignments: []group.Assignment{{Member: "billing-5f2c", Bytes: []byte("partition 0")}},
	}, now))

	// An offset is decided, logged and applied.
	codes, event := groups.DecideCommit(group.CommitRequest{
		Group: "orders", Member: "billing-5f2c", Generation: 1, Producer: group.NoProducer, Retention: -1,
		Offsets: []group.Offset{{Offset: 42, LeaderEpoch: -1}},
	}, now)
	log = append(log, event.Append(nil))
	groups.Apply(event)
	fmt.Println("commit:", codes)

	// After a restart the log is read, and the offset is there.
	groups = group.New(settings)
	for _, b := range log {
		event, err := group.Read(b)
		if err != nil {
			fmt.Println(err)
			return
		}
		groups.Apply(event)
	}
	groups.Recovered(now)
	_, all := groups.Fetch(group.FetchRequest{Group: "orders", Epoch: -1, All: true})
	fmt.Println("offset:", all[0].Offset)
	// Output:
	// request 1: billing-5f2c in generation 1
	// request 2: partition 0
	// commit: [NONE]
	// offset: 42
}
