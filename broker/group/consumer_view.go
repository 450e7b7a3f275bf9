package group

// ConsumerDescription is a group of consumers as ConsumerGroupDescribe has it.
type ConsumerDescription struct {
	State              State
	Epoch, TargetEpoch int32
	Assignor           string
	Members            []DescribedConsumer // by id
}

// DescribedConsumer is a member: what it says, what it has and what it shall have,
// which is not to be changed.
type DescribedConsumer struct {
	Profile
	Holding
	Target []Partition
}

// DescribeConsumers returns what a group of consumers is like. There is none of
// that name if ok is not set, though there may be a classic one.
func (s *Groups) DescribeConsumers(name string) (d ConsumerDescription, ok bool) {
	g := s.byName[name]
	if g == nil || g.consumers == nil {
		return d, false
	}
	all := g.consumers.inOrder()
	d = ConsumerDescription{
		State: g.state, Epoch: g.generation, TargetEpoch: g.consumers.targetEpoch, Assignor: elect(s.set.Assignors, all),
	}
	for _, m := range all {
		d.Members = append(d.Members, DescribedConsumer{m.Profile, m.Holding, m.target})
	}
	return d, true
}
