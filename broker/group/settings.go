package group

import "slices"

// Settings are the bounds and delays of all groups. Times are in milliseconds,
// sizes in bytes.
type Settings struct {
	MinSession, MaxSession int32    // group.min.session.timeout.ms and group.max.session.timeout.ms
	InitialDelay           int32    // group.initial.rebalance.delay.ms; 0 lets the first member begin at once
	NewMemberTimeout       int32    // how long a new member's first join may stay parked: it cannot heartbeat yet
	MaxMembers             int      // group.max.size: members of a group, and as many that were given an id and have not come back
	ConsumerSession        int32    // group.consumer.session.timeout.ms
	ConsumerInterval       int32    // group.consumer.heartbeat.interval.ms
	MaxConsumers           int      // group.consumer.max.size
	Assignors              []string // group.consumer.assignors: [Uniform] and [Range]; the first is for members that want none
	MaxGroups              int      // groups of the node, those that are only offsets included
	MaxGroupName           int      // a group's id
	MaxGroupBytes          int      // what the members of a group say and are assigned
	MaxOffsetMetadata      int      // offset.metadata.max.bytes
	OffsetRetention        int64    // offsets.retention.minutes, in milliseconds
}

// Defaults are Kafka's, where Kafka has one. Kafka bounds neither the members of
// a group nor what they say, nor the number of groups and the length of their ids.
func Defaults() Settings {
	return Settings{
		MinSession: 6_000, MaxSession: 1_800_000,
		InitialDelay: 3_000, NewMemberTimeout: 300_000,
		ConsumerSession: 45_000, ConsumerInterval: 5_000, MaxConsumers: 4_096, Assignors: []string{Uniform, Range},
		MaxMembers: 4_096, MaxGroups: 100_000, MaxGroupName: 1_024, MaxGroupBytes: 64 << 20,
		MaxOffsetMetadata: 4_096, OffsetRetention: 7 * 24 * 3_600_000,
	}
}

func (s *Settings) knows(assignor string) bool { return slices.Contains(s.Assignors, assignor) }
