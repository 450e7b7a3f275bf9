package broker

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FindCoordinator (10), versions 0 to 6: who answers for a group or a transactional
// id. That is always this node.
//
//	1  transactional ids
//	3  flexible
//	4  several at once
func (c *conn) findCoordinator(_ context.Context, req *kmsg.FindCoordinatorRequest) answer {
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	resp.NodeID, resp.Host, resp.Port = nodeID, c.listen.host, c.listen.port
	for _, key := range req.CoordinatorKeys {
		found := kmsg.NewFindCoordinatorResponseCoordinator()
		found.Key, found.NodeID, found.Host, found.Port = strings.Clone(key), nodeID, c.listen.host, c.listen.port
		resp.Coordinators = append(resp.Coordinators, found)
	}
	return ready(resp)
}
