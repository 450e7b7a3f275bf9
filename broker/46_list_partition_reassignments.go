package broker

import "github.com/twmb/franz-go/pkg/kmsg"

// ListPartitionReassignments (46), version 0: no partition ever moves to another
// node.
func listPartitionReassignments(_ *conn, req *kmsg.ListPartitionReassignmentsRequest) answer {
	return ready(req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse))
}
